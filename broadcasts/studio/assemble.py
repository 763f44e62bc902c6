"""Joining parts with pydub.

Raw data is joined, on disk: appending segments in a loop is quadratic, and an hour held in pydub takes
930 MB. pydub decodes nothing here: it would want ffprobe, and it resamples without a filter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from broadcasts.studio.targets import RATE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns, on import, that PATH has no ffmpeg: it is never asked for one
    from pydub import AudioSegment

Sound: TypeAlias = AudioSegment
"""A piece of canonical audio in memory."""

_BYTES_A_SAMPLE = 2
_SOFT_EDGE_MS = 5


def silence(duration_ms: int) -> Sound:
    """Exactly `duration_ms` (pydub's own is at 11,025 Hz unless told, and counts in floats)."""
    return _segment(bytes(duration_ms * RATE // 1000 * _BYTES_A_SAMPLE))


def sound(samples: bytes) -> Sound:
    """A part from canonical samples, its cut edges softened so that they do not click."""
    part = _segment(samples)
    return part.fade_in(_SOFT_EDGE_MS).fade_out(_SOFT_EDGE_MS)


def join(parts: Iterable[Sound], into: Path) -> int:
    """Write the raw canonical samples of `parts`, one after the other; return how many samples."""
    with into.open("wb") as file:
        return sum(file.write(part.raw_data) for part in parts) // _BYTES_A_SAMPLE


def raw_input(path: Path) -> tuple[str, ...]:
    """ffmpeg input options for a file that `join` wrote."""
    return ("-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", f"file:{path}")


def _segment(samples: bytes) -> Sound:
    return AudioSegment(data=samples, sample_width=_BYTES_A_SAMPLE, frame_rate=RATE, channels=1)
