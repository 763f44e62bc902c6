"""Stable storage for many nodes in one process: what is written is on the disk when the future is done.

Writes of all nodes go through one thread in batches, so that no node waits for a disk inside the event
loop and a hundred nodes that write at once cost one trip.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path


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
    """Do the writes in order; consecutive appends to one path share an fsync."""
    errors: list[OSError | None] = [None] * len(batch)
    groups: dict[Path, list[int]] = {}
    for index, write in enumerate(batch):
        groups.setdefault(write.path, []).append(index)
    for path, indexes in groups.items():
        try:
            _write_path(path, [batch[index] for index in indexes])
        except OSError as error:
            for index in indexes:
                errors[index] = error
    return errors


def _write_path(path: Path, writes: list[_Write]) -> None:
    last_whole = max((i for i, write in enumerate(writes) if write.whole), default=None)
    if last_whole is None:
        with path.open("ab") as file:
            file.write(b"".join(write.data for write in writes))
            file.flush()
            os.fsync(file.fileno())
        return
    _replace(path, b"".join(write.data for write in writes[last_whole:]))


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


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
