"""Named timers of one node on the event loop: setting a name again moves it, losing power clears them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Timers:
    """Timers and tasks that end together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._open = False

    def open(self) -> None:
        self._open = True

    def clear(self) -> None:
        """Cancel everything; nothing new is taken until `open`."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def at(self, name: str, mono: float, call: Callable[[], None]) -> None:
        """Call once at monotonic time `mono`; infinity is never."""
        self.cancel(name)
        if self._open and mono != float("inf"):
            self._timers[name] = self._loop.call_at(mono, self._fire, name, call)

    def set(self, name: str) -> bool:
        """Whether a timer of that name is waiting."""
        return name in self._timers

    def cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def spawn(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Run `work` beside everything else; what it raises goes to the loop's exception handler."""
        if not self._open:
            work.close()
            return
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _fire(self, name: str, call: Callable[[], None]) -> None:
        self._timers.pop(name, None)
        call()

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._loop.call_exception_handler({"message": f"{task.get_name()} failed", "exception": error})
