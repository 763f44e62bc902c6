"""Blocking senders, each call in a thread of its own: one that hangs holds up nobody and no shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future


async def in_own_thread(call: Callable[[], None], name: str) -> None:
    """Run `call` in a new daemon thread and wait for it; raises what it raises.

    A cancelled caller returns at once, the thread ends by its own timeouts. There is no pool: forty hung
    sends in a shared one delayed a healthy channel by seconds.
    """
    done: Future[None] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            call()
        except BaseException as error:  # noqa: BLE001  handed to the caller, who raises it
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    await asyncio.wrap_future(done)
