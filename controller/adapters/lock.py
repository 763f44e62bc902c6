"""The lock that a running controller holds.

Every command looks at it first: nothing slow is imported here.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

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
