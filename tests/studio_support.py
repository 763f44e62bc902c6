"""Sounds made on the fly, and what a listener would measure of the result."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from broadcasts.studio.ffmpeg import locate

RATE = 24_000
FFMPEG = locate().command[-1]

Samples = NDArray[np.float64]


def voice(seconds: float, seed: int = 1, level: float = 0.25) -> Samples:
    """Noise in syllables: broad in frequency, uneven in level, unlike itself at any shift."""
    random = np.random.default_rng(seed)
    length = int(seconds * RATE)
    noise = np.convolve(random.standard_normal(length), np.ones(6) / 6, mode="same")
    knots = random.uniform(0.05, 1.0, int(seconds * 5) + 2)
    syllables = np.interp(np.arange(length) / RATE * 5, np.arange(len(knots)), knots)
    shaped = noise * syllables
    return np.asarray(shaped / np.abs(shaped).max() * level, dtype=np.float64)


def tone(seconds: float, pitch: float = 440.0, level: float = 0.25) -> Samples:
    return np.asarray(level * np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE))


def quiet(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE))


def write(path: Path, samples: Samples, *options: str) -> Path:
    """`samples` as an audio file of the format that the name (and `options`, of ffmpeg) say."""
    raw = samples.astype("<f4").tobytes()
    given = ["-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0"]
    subprocess.run([FFMPEG, "-v", "error", "-y", *given, *options, str(path)], input=raw, check=True)
    return path


def heard(path: Path | str, rate: int = RATE) -> Samples:
    """A file as a player decodes it."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-f", "f32le", "-ac", "1", "-ar", str(rate), "pipe:1"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4").astype(np.float64)


def loudness(path: Path | str) -> tuple[float, float]:
    """Integrated loudness (LUFS) and true peak (dBTP), by ffmpeg's own meter."""
    command = [FFMPEG, "-hide_banner", "-nostats", "-i", str(path), "-af", "ebur128=peak=true", "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, check=True, text=True).stderr
    summary = log[log.rindex("Summary:") :]
    return _figure(r"I: +(\S+) LUFS", summary), _figure(r"Peak: +(\S+) dBFS", summary)


def found_at(part: Samples, whole: Samples) -> tuple[float, float]:
    """Where in `whole` (seconds) `part` is heard, and how surely (normalised correlation, 0 to 1)."""
    size = 1 << (len(whole) + len(part)).bit_length()
    product = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
    energy = np.concatenate([[0.0], np.cumsum(np.square(whole))])
    places = len(whole) - len(part) + 1
    local = np.sqrt(np.maximum(energy[len(part) :] - energy[:places], 1e-12))
    likeness = np.abs(product[:places]) / (local * np.sqrt(np.sum(np.square(part))))
    best = int(likeness.argmax())
    return best / RATE, float(likeness[best])


def counting_ffmpeg(folder: Path) -> tuple[Path, Path]:
    """An ffmpeg that writes the arguments of each run as a line of a log; (program, log)."""
    log = folder / "runs.log"
    log.touch()
    return script(folder / "ffmpeg", f'#!/bin/sh\necho "$@" >> {log}\nexec {FFMPEG} "$@"\n'), log


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _figure(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found is not None
    return float(found[1])
