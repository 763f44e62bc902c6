"""Decoding, once per asset and process: to raw samples on disk (mapped, not held in memory) and to levels.

Canonical form: mono, 24 kHz, signed 16 bit little endian.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

RATE = 24_000
STEP_MS = 100
"""Resolution of the levels."""

LONGEST_S = 4 * 3600

Samples = npt.NDArray[np.int16]

_PROTOCOLS = "file,pipe"
_FORMATS = "ogg,mp3,wav,flac,aac,mov,matroska,w64,aiff"


class Undecodable(Exception):
    """An asset that cannot be played; the text says why, in one line."""


def find_ffmpeg() -> str:
    """LOA_FFMPEG, else the one on PATH, else the one that comes with imageio-ffmpeg."""
    return os.environ.get("LOA_FFMPEG") or shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded asset. `power` is the mean square (full scale 1.0) of each STEP_MS."""

    path: Path
    length: int
    power: npt.NDArray[np.float32]

    @property
    def duration_ms(self) -> float:
        return self.length * 1000 / RATE

    def samples(self, start: int, stop: int) -> Samples:
        """Samples [start, stop), fewer at the end of the clip."""
        start, stop = max(0, start), min(stop, self.length)
        if stop <= start:
            return np.zeros(0, dtype=np.int16)
        mapped = np.memmap(self.path, dtype="<i2", mode="r", shape=(self.length,))
        return np.array(mapped[start:stop])


class Decoder:
    """Decodes each asset once for all nodes of the process; at most `jobs` at a time."""

    def __init__(self, folder: Path, *, jobs: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ffmpeg = find_ffmpeg()
        self._jobs = asyncio.Semaphore(jobs)
        self._clips: dict[str, asyncio.Task[Clip]] = {}

    async def clip(self, sha256: str, path: Path) -> Clip:
        """The decoded asset of that name, from `path` if it was not decoded yet. Raises Undecodable."""
        task = self._clips.get(sha256)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._clips[sha256] = asyncio.create_task(self._decode(sha256, path), name=f"decode {sha256[:8]}")
        return await asyncio.shield(task)

    def ready(self, sha256: str) -> Clip | None:
        """The asset, if it is decoded already."""
        task = self._clips.get(sha256)
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    def collect(self, needed: set[str]) -> None:
        """Drop decoded assets that no node needs any more."""
        for sha256 in [sha256 for sha256, task in self._clips.items() if task.done() and sha256 not in needed]:
            del self._clips[sha256]
            (self._folder / f"{sha256}.s16").unlink(missing_ok=True)

    async def close(self) -> None:
        """Stop decoding."""
        tasks = list(self._clips.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _decode(self, sha256: str, path: Path) -> Clip:
        target = self._folder / f"{sha256}.s16"
        async with self._jobs:
            await self._run(path, target)
            return await asyncio.to_thread(_measure, target)

    async def _run(self, source: Path, target: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command(source, target), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, errors = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            said = errors.decode(errors="replace").strip().splitlines()
            raise Undecodable(said[-1][:150] if said else f"ffmpeg exit {process.returncode}")

    def _command(self, source: Path, target: Path) -> list[str]:
        options = ["-nostdin", "-v", "error", "-y", "-protocol_whitelist", _PROTOCOLS]
        reading = ["-format_whitelist", _FORMATS, "-t", str(LONGEST_S), "-i", str(source)]
        writing = ["-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-f", "s16le", str(target)]
        return [self._ffmpeg, *options, *reading, *writing]


def _measure(path: Path) -> Clip:
    length = path.stat().st_size // 2
    if length == 0:
        raise Undecodable("no sound in it")
    step = RATE * STEP_MS // 1000
    samples = np.memmap(path, dtype="<i2", mode="r", shape=(length,))
    powers = [_step_powers(samples[start : start + step * 600], step) for start in range(0, length, step * 600)]
    return Clip(path, length, np.concatenate(powers))


def _step_powers(block: npt.NDArray[np.int16], step: int) -> npt.NDArray[np.float32]:
    """Mean square of each step of one minute; a short last step is padded with silence."""
    padded = np.zeros(-(-len(block) // step) * step, dtype=np.float32)
    padded[: len(block)] = block
    squares: npt.NDArray[np.float32] = np.mean((padded / 32768).reshape(-1, step) ** 2, axis=1, dtype=np.float32)
    return squares
