"""Child processes that never outlive their parent, and the lock that a running controller holds.

The kernel sends the death signal when the *thread* that started the child ends: start children from the
main one.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from controller.adapters import lifeline


def bound(command: Sequence[str], user: str = "") -> list[str]:
    """`command` as a child that is killed when this process ends, however it ends; `user`: run as that user."""
    return [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), user, *command]


async def end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """Ask `process` to end, kill it if it has not after `grace_s`, and wait for it."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


RUNS_KEPT = 1000
"""Of the runs before this one; each took the lease at most once."""


class AlreadyRunning(Exception):
    """Another process holds the lock."""


class Lock:
    """An exclusive lock on a file, held until released or until this process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """AlreadyRunning when another process holds it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AlreadyRunning(str(path)) from None

    def claim(self, run: str) -> tuple[str, ...]:
        """Write down that the run called `run` holds the lock now; the runs that held it before: none of them lives."""
        self._file.seek(0)
        before = tuple(self._file.read().split())[-RUNS_KEPT:]
        self._file.write(f"{run}\n")
        self._file.flush()
        return before

    def release(self) -> None:
        self._file.close()


def is_locked(path: Path) -> bool:
    """Does a living process hold the lock on `path`?"""
    if not path.exists():
        return False
    try:
        Lock(path).release()
    except AlreadyRunning:
        return True
    return False
