"""A node's durable journal: numbered entries that wait on the disk until the controller has them.

One file of JSON lines. The first names the log; entries follow; `{"upto": n}` notes what was acknowledged.
A storage that is new (or was lost) starts a log with a new id, so that numbers never mean two things.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from controller.wire.messages import JournalEntry, WireError, decode, encode
from simulators.disk import Disk, mend_tail, whole_lines

WINDOW = 50
"""Entries in flight beyond what is acknowledged."""

COMPACT_AFTER = 500
"""Acknowledged entries that may lie in the file before it is rewritten."""


class Journal:
    """`durable` is called whenever entries have reached the disk. Use from one event loop."""

    def __init__(self, folder: Path, disk: Disk, durable: Callable[[], None]) -> None:
        self._path = folder / "journal.log"
        self._disk = disk
        self._on_durable = durable
        self.log = ""
        self.upto = 0
        self.last = 0
        self.disk_errors = 0
        self._written = 0
        self._sent = 0
        self._acked_in_file = 0
        self._waiting: deque[tuple[int, bytes]] = deque()

    def open(self) -> None:
        """Read what the disk has; a missing or foreign file starts a new log."""
        mend_tail(self._path)
        self._waiting.clear()
        lines = whole_lines(self._path)
        header = _json(lines[0]) if lines else {}
        self.log = str(header.get("log", ""))
        if not self.log:
            self._begin()
            return
        self.upto = self.last = int(header.get("upto", 0))
        for line in lines[1:]:
            self._recall(line)
        while self._waiting and self._waiting[0][0] <= self.upto:
            self._waiting.popleft()
        self._written = self.last
        self._sent = self.upto

    def add(self, entry: JournalEntry) -> None:
        """Number `entry`, write it, and offer it for sending once it is on the disk."""
        self.last += 1
        n = self.last
        payload = encode(replace(entry, log=self.log, n=n))
        self._waiting.append((n, payload))
        done = self._disk.append(self._path, payload + b"\n")
        done.add_done_callback(lambda future: self._wrote(n, future))

    def rewind(self) -> None:
        """Everything not acknowledged is to be sent (again)."""
        self._sent = self.upto

    def take(self) -> list[bytes]:
        """Payloads to publish now: durable, not yet sent, and no more in flight than WINDOW."""
        last = min(self._written, self.upto + WINDOW)
        payloads = [payload for n, payload in self._waiting if self._sent < n <= last]
        self._sent = max(self._sent, last)
        return payloads

    def acknowledge(self, log: str, upto: int) -> bool:
        """Forget everything up to `upto`; False if that says nothing new about this log."""
        if log != self.log or not self.upto < upto <= self.last:
            return False
        while self._waiting and self._waiting[0][0] <= upto:
            self._waiting.popleft()
            self._acked_in_file += 1
        self.upto = upto
        self._sent = max(self._sent, upto)
        self._note_upto()
        return True

    @property
    def backlog(self) -> int:
        """Entries the controller has not acknowledged."""
        return len(self._waiting)

    # --- inside ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.log = secrets.token_hex(6)
        self.upto = self.last = self._written = self._sent = 0
        self._path.write_bytes(json.dumps({"log": self.log, "upto": 0}).encode() + b"\n")

    def _recall(self, line: bytes) -> None:
        try:
            entry = decode(JournalEntry, line)
        except WireError:
            self.upto = max(self.upto, int(_json(line).get("upto", 0)))
            return
        self.last = max(self.last, entry.n)
        self._waiting.append((entry.n, line))

    def _wrote(self, n: int, future: asyncio.Future[None]) -> None:
        """A disk that fails must not keep what is known from being told: it is sent from memory then."""
        if future.cancelled():
            return
        if future.exception() is not None:
            self.disk_errors += 1
        self._written = max(self._written, n)
        self._on_durable()

    def _note_upto(self) -> None:
        if self._acked_in_file >= COMPACT_AFTER:
            self._acked_in_file = 0
            kept = [json.dumps({"log": self.log, "upto": self.upto}).encode(), *(p for _, p in self._waiting)]
            self._forgive(self._disk.replace(self._path, b"\n".join(kept) + b"\n"))
        else:
            self._forgive(self._disk.append(self._path, b'{"upto":%d}\n' % self.upto))

    @staticmethod
    def _forgive(future: asyncio.Future[None]) -> None:
        """A lost note of an acknowledgement costs a resend, nothing else."""
        future.add_done_callback(lambda done: done.cancelled() or done.exception())


def _json(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
