"""What was heard at a node, as a WAV file whose first sample is a known instant.

`heard.wav` (mono, 24 kHz, 16 bit) and beside it `heard.json` `{"start": instant of sample 0, "rate": 24000}`.
Silence between is not written (a sparse file). After `limit_s` the file is set aside as `heard.1.wav` and
a new one begins, so that it never fills a disk.
"""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from pathlib import Path

from controller.wire.messages import stamp
from simulators.audio import RATE
from simulators.output import Piece

HEADER = 44


class Timeline:
    """The WAV timeline in `folder`. Instants are epoch seconds of the host's clock. Blocking I/O."""

    def __init__(self, folder: Path, *, limit_s: int = 3600) -> None:
        self.path = folder / "heard.wav"
        self._sidecar = folder / "heard.json"
        self._limit = limit_s * RATE
        self._start = 0.0
        self._length = 0

    def open(self, now: float) -> None:
        """Begin an empty timeline at `now` (rounded down to a millisecond, as the sidecar says it)."""
        self._start = int(now * 1000) / 1000
        self._length = 0
        with self.path.open("wb") as file:
            file.write(_header(0))
        started = stamp(datetime.fromtimestamp(self._start + 0.0001, tz=UTC))
        self._sidecar.write_text(json.dumps({"start": started, "rate": RATE}))

    def write(self, pieces: list[Piece], now: float) -> None:
        """Put `pieces` where they were heard and let silence reach up to `now`."""
        if (now - self._start) * RATE > self._limit:
            self._set_aside(now)
        with self.path.open("r+b") as file:
            for piece in pieces:
                at = round((piece.at - self._start) * RATE)
                samples = piece.samples[max(0, -at) :]
                if len(samples):
                    file.seek(HEADER + 2 * max(0, at))
                    file.write(samples.astype("<i2").tobytes())
                    self._length = max(self._length, max(0, at) + len(samples))
            self._length = max(self._length, int((now - self._start) * RATE))
            file.truncate(HEADER + 2 * self._length)
            file.seek(0)
            file.write(_header(2 * self._length))

    def _set_aside(self, now: float) -> None:
        self.path.replace(self.path.with_name("heard.1.wav"))
        self._sidecar.replace(self._sidecar.with_name("heard.1.json"))
        self.open(now)


def _header(size: int) -> bytes:
    riff = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", size)
