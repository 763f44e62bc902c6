"""What a node must not forget over a crash: what it has begun, what it obeyed, which document it holds.

`memory.log` is a log of small facts, read back at power-on and compacted then; `playlists.jws` is the held
document as it came, so that its signature can be checked again.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from broadcasts import typed
from broadcasts.model import Playlist
from simulators.disk import Disk, mend_tail, whole_lines
from simulators.speaker import Heard

KEEP = 5000
"""Ids remembered of each kind; a document spans days, so far fewer are ever needed."""

COMPACT_OVER = 256 * 1024
"""Bytes of `memory.log` from which a boot rewrites it."""


@dataclass(slots=True)
class Known:
    """`begun`: playlist id -> whether it is over. Dicts keep the order in which things became known."""

    begun: dict[str, bool] = field(default_factory=dict)
    commands: dict[str, bool] = field(default_factory=dict)
    emergencies: dict[str, Heard] = field(default_factory=dict)
    ordered: dict[str, Playlist] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    epoch: int = 0


class Memory:
    """A node's stable storage for facts. Every `remember_*` returns a future: done means on the disk."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._path = folder / "memory.log"
        self._document = folder / "playlists.jws"
        self._disk = disk
        self.known = Known()

    def open(self) -> Known:
        """Read everything back; what a crash half wrote is not there."""
        mend_tail(self._path)
        self.known = Known()
        for line in whole_lines(self._path):
            self._recall(line)
        if self._path.exists() and self._path.stat().st_size > COMPACT_OVER:
            self._compact()
        return self.known

    def unfinished(self) -> list[str]:
        """Playlists that were begun and never ended: a crash came between."""
        return [id for id, over in self.known.begun.items() if not over]

    def document(self) -> bytes:
        """The held document, empty if there is none."""
        return self._document.read_bytes() if self._document.exists() else b""

    def hold(self, token: bytes) -> asyncio.Future[None]:
        """Make `token` the held document."""
        return self._disk.replace(self._document, token)

    def remember_begun(self, playlist: str) -> asyncio.Future[None]:
        self.known.begun.setdefault(playlist, False)
        return self._write({"begun": playlist})

    def remember_over(self, playlist: str) -> asyncio.Future[None]:
        self.known.begun[playlist] = True
        self.known.ordered.pop(playlist, None)
        return self._write({"over": playlist})

    def remember_command(self, id: str) -> asyncio.Future[None]:
        self.known.commands[id] = True
        return self._write({"command": id})

    def remember_emergency(self, id: str, heard: Heard) -> asyncio.Future[None]:
        self.known.emergencies[id] = heard
        return self._write({"emergency": id, "rev": heard.rev, "message": heard.message, "ended": heard.over})

    def remember_ordered(self, playlist: Playlist) -> asyncio.Future[None]:
        self.known.ordered[playlist.id] = playlist
        return self._write({"ordered": msgspec.to_builtins(playlist)})

    def remember_epoch(self, epoch: int) -> asyncio.Future[None]:
        """The highest epoch of anything accepted."""
        self.known.epoch = epoch
        return self._write({"epoch": epoch})

    def remember_fault(self, code: str, *, raised: bool) -> asyncio.Future[None]:
        """A fault report stands on the broker under this code, or was taken back."""
        if raised:
            self.known.faults.add(code)
        else:
            self.known.faults.discard(code)
        return self._write({"fault": code, "raised": raised})

    # --- inside ---------------------------------------------------------------------------------------------

    def _write(self, fact: dict[str, Any]) -> asyncio.Future[None]:
        return self._disk.append(self._path, msgspec.json.encode(fact) + b"\n")

    def _recall(self, line: bytes) -> None:
        try:
            fact = json.loads(line)
        except ValueError:
            return
        known = self.known
        match fact:
            case {"begun": str(id)}:
                known.begun.setdefault(id, False)
            case {"over": str(id)}:
                known.begun[id] = True
                known.ordered.pop(id, None)
            case {"command": str(id)}:
                known.commands[id] = True
            case {"emergency": str(id), "rev": int(rev), "message": str(message), "ended": bool(ended)}:
                known.emergencies[id] = Heard(rev, message, ended)
            case {"ordered": dict(plain)}:
                playlist = typed.convert(plain, Playlist)
                known.ordered[playlist.id] = playlist
            case {"fault": str(code), "raised": bool(raised)}:
                (known.faults.add if raised else known.faults.discard)(code)
            case {"epoch": int(epoch)}:
                known.epoch = max(known.epoch, epoch)

    def _compact(self) -> None:
        """Rewrite the log as what it amounts to. Only at power-on, when nobody waits for this node."""
        known = self.known
        facts: list[dict[str, Any]] = [{"epoch": known.epoch}]
        facts += [{"over" if over else "begun": id} for id, over in list(known.begun.items())[-KEEP:]]
        facts += [{"command": id} for id in list(known.commands)[-KEEP:]]
        facts += [
            {"emergency": id, "rev": heard.rev, "message": heard.message, "ended": heard.over}
            for id, heard in list(known.emergencies.items())[-KEEP:]
        ]
        facts += [{"fault": code, "raised": True} for code in sorted(known.faults)]
        facts += [{"ordered": msgspec.to_builtins(playlist)} for playlist in known.ordered.values()]
        draft = self._path.with_name(self._path.name + ".new")
        with draft.open("wb") as file:
            file.write(b"".join(msgspec.json.encode(fact) + b"\n" for fact in facts))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
