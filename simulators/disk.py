"""Stable storage for many nodes in one process: what is written is on the disk when the future is done.

Writes of all nodes go through one thread in batches, so that no node waits for a disk inside the event
loop and a hundred nodes that write at once cost one trip.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ONE_BY_ONE = 4
"""Files of a batch that are synced each by itself; more are synced together."""


@dataclass(frozen=True, slots=True)
class _Write:
    path: Path
    data: bytes
    whole: bool
    done: asyncio.Future[None]


class Disk:
    """Appends and atomic replacements, each fsynced; per path in the order they were asked for."""

    def __init__(self) -> None:
        self._waiting: list[_Write] = []
        self._task: asyncio.Task[None] | None = None

    def append(self, path: Path, data: bytes) -> asyncio.Future[None]:
        """Add `data` at the end of `path`. The future fails with OSError if the disk does."""
        return self._ask(path, data, whole=False)

    def replace(self, path: Path, data: bytes) -> asyncio.Future[None]:
        """Make `data` the content of `path`, all of it or (after a crash) what was there before."""
        return self._ask(path, data, whole=True)

    async def close(self) -> None:
        """Return when everything asked for is written."""
        while self._task is not None:
            await self._task

    def _ask(self, path: Path, data: bytes, *, whole: bool) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(path, data, whole, done))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="disk")
        return done

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                errors = await asyncio.to_thread(_write_all, batch)
                for write, error in zip(batch, errors, strict=True):
                    _settle(write.done, error)
        finally:
            self._task = None


def _settle(done: asyncio.Future[None], error: OSError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _write_all(batch: list[_Write]) -> list[OSError | None]:
    """Do the writes, per path in order, and sync them together."""
    groups: dict[Path, list[_Write]] = {}
    for write in batch:
        groups.setdefault(write.path, []).append(write)
    failed: dict[Path, OSError] = {}
    written = {path: _draft(path, writes, failed) for path, writes in groups.items()}
    _sync(written, failed)
    replaced = [path for path, file in written.items() if file != path and _put_in_place(path, file, failed)]
    _sync({path: path.parent for path in replaced}, failed)
    return [failed.get(write.path) for write in batch]


def _draft(path: Path, writes: list[_Write], failed: dict[Path, OSError]) -> Path:
    """Write, not yet synced: an append in place, a whole content beside it. Returns the file to sync."""
    last_whole = max((i for i, write in enumerate(writes) if write.whole), default=None)
    target = path if last_whole is None else path.with_name(path.name + ".new")
    try:
        with target.open("ab" if last_whole is None else "wb") as file:
            file.write(b"".join(write.data for write in writes[last_whole or 0 :]))
    except OSError as error:
        failed[path] = error
    return target


def _put_in_place(path: Path, file: Path, failed: dict[Path, OSError]) -> bool:
    if path in failed:
        return False
    try:
        file.replace(path)
    except OSError as error:
        failed[path] = error
        return False
    return True


def _sync(files: Mapping[Path, Path], failed: dict[Path, OSError]) -> None:
    """Bring files (by the path they are for) to the disk: each by itself, or many by one call, for a single
    fsync costs milliseconds."""
    good = {path: file for path, file in files.items() if path not in failed}
    if len(good) <= ONE_BY_ONE or _syncfs is None:
        for path, file in good.items():
            _with_open(file, os.fsync, [path], failed)
        return
    disks: dict[int, dict[Path, Path]] = {}
    for path, file in good.items():
        disks.setdefault(file.stat().st_dev, {})[path] = file
    for together in disks.values():
        _with_open(next(iter(together.values())), _syncfs, list(together), failed)


def _with_open(file: Path, sync: Callable[[int], None], paths: list[Path], failed: dict[Path, OSError]) -> None:
    try:
        opened = os.open(file, os.O_RDONLY)
        try:
            sync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        failed.update(dict.fromkeys(paths, error))


def _find_syncfs() -> Callable[[int], None] | None:
    """Linux can sync a whole file system by one call; others have no such thing."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return None

    def syncfs(file: int) -> None:
        if call(file) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")

    return syncfs


_syncfs = _find_syncfs()


def whole_lines(path: Path) -> list[bytes]:
    """The complete lines of a log; a last line that a crash cut short is not one."""
    if not path.exists():
        return []
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1].splitlines()


def mend_tail(path: Path) -> None:
    """Cut off a half-written last line, so that the next append starts a line of its own."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        os.truncate(path, whole)
