"""Signals made by us: open (rising), close (falling), alarm (two-tone siren). The same samples every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from broadcasts.studio.targets import RATE

VERSION = 1
"""A higher one renders every chime anew."""

Samples = NDArray[np.float64]

_G4, _C5, _E5, _G5 = 392.0, 523.25, 659.25, 783.99
_PARTIALS = ((1.0, 1.0, 1.0), (2.0, 0.35, 1.8), (3.0, 0.12, 2.6), (4.2, 0.06, 4.0))
"""Of a struck bar: multiple of the pitch, level, and how many times faster it dies away."""


def open_chime() -> Samples:
    """Four rising notes: something is about to be said."""
    return _struck((_G4, _C5, _E5, _G5))


def close_chime() -> Samples:
    """Three falling notes: that was all."""
    return _struck((_G5, _E5, _C5))


def alarm() -> Samples:
    """Six seconds of a siren between two tones, rich enough in harmonics for a horn to carry far."""
    period, cycles = 1.0, 6
    time = np.arange(int(RATE * period * cycles)) / RATE
    high = (time % period) < period / 2
    phase = 2 * np.pi * np.cumsum(np.where(high, 960.0, 720.0)) / RATE
    tone = sum(np.sin(order * phase) / order for order in (1, 3, 5))
    return _faded(np.asarray(tone, dtype=np.float64)) * 0.3


NAMES: Mapping[str, Callable[[], Samples]] = {"open": open_chime, "close": close_chime, "alarm": alarm}


def _struck(notes: Sequence[float], every_s: float = 0.38, ring_s: float = 1.3) -> Samples:
    step, length = int(every_s * RATE), int(ring_s * RATE)
    mixed = np.zeros(step * (len(notes) - 1) + length)
    for place, pitch in enumerate(notes):
        mixed[place * step : place * step + length] += _bar(pitch, length)
    return _faded(mixed) * 0.3


def _bar(pitch: float, length: int) -> Samples:
    time = np.arange(length) / RATE
    partials = (
        level * np.exp(-4.0 * damping * time) * np.sin(2 * np.pi * pitch * multiple * time)
        for multiple, level, damping in _PARTIALS
    )
    return np.asarray(sum(partials) * np.minimum(1.0, time / 0.004), dtype=np.float64)


def _faded(samples: Samples, over_s: float = 0.02) -> Samples:
    edge = np.linspace(0.0, 1.0, int(over_s * RATE))
    shaped = samples.copy()
    shaped[: len(edge)] *= edge
    shaped[-len(edge) :] *= edge[::-1]
    return shaped
