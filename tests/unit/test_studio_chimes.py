"""The signals are ours: the same every time, distinct, and fit for a horn."""

from __future__ import annotations

import numpy as np
import pytest

from broadcasts.studio import chimes
from tests.studio_support import RATE, Samples, found_at


def pitch_at(samples: Samples, seconds: float) -> float:
    """The strongest frequency in the 0.2 s from then on."""
    start, length = int(seconds * RATE), int(0.2 * RATE)
    window = samples[start : start + length] * np.hanning(length)
    return float(np.fft.rfftfreq(1 << 16, 1 / RATE)[np.abs(np.fft.rfft(window, 1 << 16)).argmax()])


@pytest.mark.parametrize("name", chimes.NAMES)
def test_a_chime_is_the_same_every_time(name: str) -> None:
    assert np.array_equal(chimes.NAMES[name](), chimes.NAMES[name]())


@pytest.mark.parametrize("name", chimes.NAMES)
def test_a_chime_neither_clips_nor_clicks(name: str) -> None:
    samples = chimes.NAMES[name]()
    assert np.abs(samples).max() < 0.9
    assert abs(samples[0]) < 1e-6
    assert abs(samples[-1]) < 1e-6


def test_open_rises_close_falls_and_the_alarm_wails() -> None:
    opening = [pitch_at(chimes.open_chime(), 0.38 * note + 0.1) for note in range(4)]
    closing = [pitch_at(chimes.close_chime(), 0.38 * note + 0.1) for note in range(3)]
    wailing = [round(pitch_at(chimes.alarm(), at)) for at in (0.1, 0.6, 1.1, 1.6)]
    assert opening == sorted(opening)
    assert opening[-1] > 1.5 * opening[0]
    assert closing == sorted(closing, reverse=True)
    assert wailing == pytest.approx([960, 720, 960, 720], abs=5)


def test_nobody_takes_one_chime_for_another() -> None:
    opening, closing, alarm = (chimes.NAMES[name]() for name in ("open", "close", "alarm"))
    assert found_at(closing, opening)[1] < 0.7
    assert found_at(closing, alarm)[1] < 0.3
