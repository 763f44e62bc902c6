"""Wall time for things that wait, by a clock that somebody sets now and then."""

from __future__ import annotations

from datetime import datetime, timedelta

from controller.ports import Clock

STEP = timedelta(seconds=1)
"""What the clock is ahead of itself by so much was set; less is drift."""
REMEMBERED_S = 1200.0
"""A step matters for so long, monotonic: for longer than any window in which messages are counted."""


class SteadyTime:
    """Wall time that never runs backwards within this process: a clock set back an hour would otherwise hold every
    message for an hour. One that is set forward moves it, and `as_it_was` says what that means for times before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = self._wall = clock.now()
        self._mono = clock.monotonic()
        self._steps: tuple[tuple[float, datetime, timedelta], ...] = ()
        """When (monotonic), from which wall time, and how far the clock was set forward. Never changed in place: other
        threads read it."""

    def now(self) -> datetime:
        mono, said = self._clock.monotonic(), self._clock.now()
        expected = self._wall + timedelta(seconds=mono - self._mono)
        self._wall, self._mono = max(said, expected), mono
        if self._wall - expected > STEP:
            self._steps = (*self._steps, (mono, expected, self._wall - expected))
        if self._steps and mono - self._steps[0][0] > REMEMBERED_S:
            self._steps = self._steps[1:]
        return self._wall

    @property
    def set_forward(self) -> timedelta:
        """By how much altogether, of late."""
        return sum((step for _, _, step in self._steps), timedelta())

    def as_it_was(self, at: datetime) -> datetime:
        """What the clock, as it is set now, would have said at the wall time `at` that was written down before: the
        time passed since then is right. A time in the future was written by an earlier process whose clock was ahead;
        it was at its end at the latest."""
        if at > self._wall:
            return self._start
        return at + sum((step for _, before, step in self._steps if at <= before), timedelta())


__all__ = ["SteadyTime"]
