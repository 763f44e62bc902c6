"""What ffmpeg does not tell of an Ogg file: whether its last page is there, and its length to the sample.

RFC 3533 (pages) and RFC 7845 (Opus in Ogg: granules count 48 kHz samples and include the pre-skip).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_PAGE = struct.Struct("<4sBBqIIIB")
_LAST_PAGES = 2 * 65_307
_END_OF_STREAM = 4
_OPUS_HZ = 48_000


@dataclass(frozen=True, slots=True)
class LastPage:
    """`granule` of the last page that begins in the file; `whole` if all its bytes are there and it says
    that the stream ends with it."""

    granule: int
    whole: bool


def last_page(path: Path) -> LastPage | None:
    """The last page of an Ogg file; None when there is none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _LAST_PAGES))
        tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or at + _PAGE.size > len(tail):
        return None if at < 0 else LastPage(0, False)
    _, _, kind, granule, _, _, _, segments = _PAGE.unpack_from(tail, at)
    lacing = tail[at + _PAGE.size : at + _PAGE.size + segments]
    complete = len(lacing) == segments and at + _PAGE.size + segments + sum(lacing) <= len(tail)
    return LastPage(granule, complete and bool(kind & _END_OF_STREAM))


def opus_duration_ms(path: Path) -> int:
    """Length of an Ogg Opus file in milliseconds, rounded. ValueError when it is none."""
    with path.open("rb") as file:
        head = file.read(512)
    at = head.find(b"OpusHead")
    page = last_page(path)
    if at < 0 or page is None:
        raise ValueError(f"{path.name} is not Ogg Opus")
    pre_skip = int.from_bytes(head[at + 10 : at + 12], "little")
    return round((page.granule - pre_skip) * 1000 / _OPUS_HZ)
