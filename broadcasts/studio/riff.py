"""What ffmpeg does not always tell of a WAV file: whether all the samples that its header counts are there."""

from __future__ import annotations

from pathlib import Path

_CHUNK_HEAD = 8
_UNKNOWN = 0x7FFF_0000
"""Sizes from here on are put there by programs that write to a pipe and cannot know."""


def is_whole(path: Path) -> bool:
    """False for a WAV file with fewer bytes of sound than it promises; True for all else."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            return True
        while len(head := file.read(_CHUNK_HEAD)) == _CHUNK_HEAD:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return length >= _UNKNOWN or file.tell() + length <= size
            file.seek(length + length % 2, 1)
    return True
