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
    """Voiced syllables of wandering pitch: uneven in level as speech is, and like itself at no other shift."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE

    def wander(low: float, high: float, a_second: float) -> Samples:
        knots = random.uniform(low, high, int(seconds * a_second) + 2)
        return np.interp(time * a_second, np.arange(len(knots)), knots)

    phase = 2 * np.pi * np.cumsum(wander(180, 380, 4)) / RATE
    voiced = sum(np.sin(order * phase) / order for order in range(1, 9)) * wander(0.02, 1.0, 5)
    samples = voiced + 0.02 * random.standard_normal(len(time))
    return np.asarray(samples / np.abs(samples).max() * level, dtype=np.float64)


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
