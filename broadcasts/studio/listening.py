"""What operators' files sound like, listened to once by content, across restarts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from broadcasts.model import fingerprint
from broadcasts.studio import decode
from broadcasts.studio.decode import FileFacts
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.ffmpeg import Ffmpeg
from broadcasts.studio.once import OncePerKey
from broadcasts.studio.shelf import Shelf, digest

KIND = "heard"


class _Verdict(msgspec.Struct, frozen=True):
    """What listening gave: facts, or the reason to refuse (without the file's name, which may differ)."""

    facts: FileFacts | None = None
    refused: str = ""


class Listener:
    """Judges files up to `max_s` seconds long. Blocking; safe from several threads."""

    def __init__(self, ffmpeg: Ffmpeg, shelf: Shelf, max_s: float) -> None:
        self._ffmpeg = ffmpeg
        self._shelf = shelf
        self._max_s = max_s
        self._once = OncePerKey()
        self._digests: dict[str, str] = {}

    def facts(self, path: Path) -> FileFacts:
        """Facts of an accepted file. AudioRefused with one line that names it."""
        reason = decode.unreadable(path)
        if reason:
            raise AudioRefused(f"{path.name} {reason}")
        key = fingerprint([KIND, decode.CHECKS, self._max_s, self.content(path)])
        with self._once.only(key):
            verdict = self._shelf.recall(KIND, key, _Verdict)
            if verdict is None:
                verdict = self._judged(path)
                self._shelf.remember(KIND, key, verdict)
        if verdict.facts is None:
            raise AudioRefused(f"{path.name} {verdict.refused}")
        return verdict.facts

    def fresh(self, path: Path) -> FileFacts:
        """Facts of a file made by ourselves just now: nothing is remembered."""
        return decode.inspect(self._ffmpeg, path, self._max_s)

    def content(self, path: Path) -> str:
        """Content hash of a file; read again only when it has changed. OSError."""
        stamp = self.stamp(path)
        if stamp not in self._digests:
            self._digests[stamp] = digest(path)
        return self._digests[stamp]

    def stamp(self, path: Path) -> str:
        """Something that changes when the file does. OSError."""
        status = path.stat()
        return f"{path} {status.st_ino} {status.st_size} {status.st_mtime_ns}"

    def _judged(self, path: Path) -> _Verdict:
        try:
            return _Verdict(self.fresh(path))
        except AudioRefused as refused:
            if not refused.permanent:
                raise
            return _Verdict(refused=str(refused).removeprefix(f"{path.name} "))
