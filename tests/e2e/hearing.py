"""Compares what a node's loudspeaker gave with what was rendered: by cross-correlation of the two recordings."""

from __future__ import annotations

import json
import subprocess
import wave
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulators.audio import find_ffmpeg

RATE = 24_000
AROUND_S = 1.0


@dataclass(frozen=True)
class Match:
    """`correlation` 0..1 at the best offset; `offset_ms` of the heard beginning from the planned instant."""

    correlation: float
    offset_ms: float


def decoded(asset: Path) -> NDArray[np.float64]:
    """An asset as mono samples at RATE."""
    command = [find_ffmpeg(), "-v", "error", "-i", str(asset), "-f", "s16le", "-ac", "1", "-ar", str(RATE), "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, dtype="<i2").astype(np.float64)


def recorded_until(folder: Path) -> datetime:
    """How far the recording of the node in `folder` reaches."""
    began = datetime.fromisoformat(json.loads((folder / "heard.json").read_text())["start"])
    with wave.open(str(folder / "heard.wav")) as file:
        return began + timedelta(seconds=file.getnframes() / RATE)


def heard(folder: Path, start: datetime, seconds: float) -> NDArray[np.float64]:
    """What the node in `folder` gave from AROUND_S before `start` to AROUND_S after its end."""
    began = datetime.fromisoformat(json.loads((folder / "heard.json").read_text())["start"])
    with wave.open(str(folder / "heard.wav")) as file:
        file.setpos(max(0, round(((start - began).total_seconds() - AROUND_S) * RATE)))
        raw = file.readframes(round((seconds + 2 * AROUND_S) * RATE))
    return np.frombuffer(raw, dtype="<i2").astype(np.float64)


def match(rendered: NDArray[np.float64], recording: NDArray[np.float64]) -> Match:
    """Where in `recording` (which begins AROUND_S before the planned start) `rendered` fits best, and how well."""
    size = len(rendered) + len(recording) - 1
    product = np.fft.irfft(np.fft.rfft(recording, size) * np.conj(np.fft.rfft(rendered, size)), size)
    lags = product[: len(recording) - len(rendered) + 1]
    best = int(np.argmax(lags))
    part = recording[best : best + len(rendered)]
    norm = float(np.linalg.norm(rendered) * np.linalg.norm(part))
    return Match(float(lags[best]) / norm if norm else 0.0, (best / RATE - AROUND_S) * 1000)
