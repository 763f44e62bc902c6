"""Which of many things is to be looked at next, and when: asked for what is past, never for everything."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from controller.domain.liveness import NEVER
from controller.ports import Clock

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Monotonic deadlines by key. A deadline that moves later is not moved: its key comes up at the old time,
    and whoever looks finds that it is early and sets it again. So a node that is heard every ten seconds costs
    nothing here until it is silent for longer.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._at: dict[K, float] = {}
        self._count = 0
        self._earlier = asyncio.Event()

    def set(self, key: K, when: float) -> None:
        """Look at `key` at `when` or before."""
        if when >= self._at.get(key, NEVER):
            return
        if when < self.next:
            self._earlier.set()
        self._at[key] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))

    def drop(self, key: K) -> None:
        """Forget `key`."""
        self._at.pop(key, None)

    @property
    def next(self) -> float:
        """The earliest deadline; NEVER if there is none."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else NEVER

    def past(self, mono: float) -> list[tuple[float, K]]:
        """Take what has come: (deadline, key), earliest first."""
        taken = []
        while self.next <= mono:
            when, _, key = heapq.heappop(self._heap)
            del self._at[key]
            taken.append((when, key))
        return taken

    async def wait(self, clock: Clock) -> None:
        """Until the earliest deadline has come, or an earlier one was set."""
        self._earlier.clear()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._earlier.wait())]
        if (until := self.next) != NEVER:
            waits.append(asyncio.ensure_future(clock.sleep(max(0.0, until - clock.monotonic()))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
