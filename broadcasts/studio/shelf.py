"""The studio's folder: assets by the SHA-256 of what they contain, and small index files by key.

Everything appears at once or not at all: written under tmp/, synced, renamed. An index entry is written
after its asset, so a crash leaves an asset without an entry at worst, which `collect` clears away. Several
processes may share the folder.

    assets/ab/ab12....opus   rendered audio
    index/ab/{key}.json      what rendering `key` gave
    heard/ab/{key}.json      what listening to an operator's file gave
    tmp/                     in the making
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from broadcasts import typed
from broadcasts.studio.encode import SUFFIX

T = TypeVar("T")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_STALE_S = 6 * 3600


class Shelf:
    """Files of one studio folder. `now` is the wall clock in seconds, as file times are."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._now = now
        self._verified: set[str] = set()
        self._tmp = folder / "tmp"
        self._tmp.mkdir(parents=True, exist_ok=True)
        self._clear_stale()

    def asset(self, sha256: str) -> Path | None:
        """File of an asset; None if it is not held, or `sha256` is not one."""
        if not _SHA256.fullmatch(sha256):
            return None
        path = self._asset_path(sha256)
        return path if path.is_file() else None

    def intact(self, sha256: str) -> bool:
        """Is the asset held, and does it contain what its name says? Its bytes are read once per process;
        being asked for makes it young again, so that `collect` leaves it."""
        path = self.asset(sha256)
        if path is None:
            return False
        if sha256 not in self._verified:
            if digest(path) != sha256:
                path.unlink(missing_ok=True)
                return False
            self._verified.add(sha256)
        os.utime(path, (self._now(), self._now()))
        return True

    def adopt(self, made: Path) -> tuple[str, int]:
        """Move a finished file among the assets; return its SHA-256 and size."""
        sha256 = digest(made)
        size = made.stat().st_size
        _place(made, self._asset_path(sha256))
        self._verified.add(sha256)
        return sha256, size

    def recall(self, kind: str, key: str, form: type[T]) -> T | None:
        """An index entry; None if there is none that can be read."""
        try:
            return typed.decode(self._entry(kind, key).read_bytes(), form)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def remember(self, kind: str, key: str, value: object) -> None:
        """Write an index entry."""
        with self.bench() as bench:
            made = bench / "entry"
            made.write_bytes(msgspec.json.encode(value))
            _place(made, self._entry(kind, key))

    @contextmanager
    def bench(self) -> Iterator[Path]:
        """A folder to make things in, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self._tmp, ignore_cleanup_errors=True) as name:
            yield Path(name)

    def sweep(self, kind: str, older_than_s: float, unwanted: Callable[[Path], bool]) -> int:
        """Delete files of `kind` that are old enough and unwanted; return how many."""
        gone = 0
        for path in (self.folder / kind).glob("*/*"):
            with suppress(FileNotFoundError):
                if self._now() - path.stat().st_mtime > older_than_s and unwanted(path):
                    path.unlink()
                    gone += 1
        return gone

    def _asset_path(self, sha256: str) -> Path:
        return self.folder / "assets" / sha256[:2] / f"{sha256}{SUFFIX}"

    def _entry(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}.json"

    def _clear_stale(self) -> None:
        """What a killed process left; a living one of another process is younger."""
        for bench in self._tmp.iterdir():
            with suppress(FileNotFoundError):
                if self._now() - bench.stat().st_mtime > _STALE_S:
                    shutil.rmtree(bench, ignore_errors=True)


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(made: Path, at: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.replace(at)
    folder = os.open(at.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
