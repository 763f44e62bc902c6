"""Wall time for things that wait, by a clock that is set now and then."""

from __future__ import annotations

from datetime import timedelta

from controller.services.steadytime import SteadyTime
from tests.fakes import START, FakeClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


async def test_a_clock_set_back_goes_on() -> None:
    clock = FakeClock()
    time = SteadyTime(clock)
    await clock.advance(60)
    clock.step_wall(-3600)
    assert time.now() == START + MINUTE
    await clock.advance(60)
    assert time.now() == START + 2 * MINUTE


async def test_a_clock_set_forward_moves_it_and_what_was_before_is_not_long_ago() -> None:
    clock = FakeClock()
    time = SteadyTime(clock)
    before = time.now()
    await clock.advance(60)
    time.now()
    clock.step_wall(3600)
    after = time.now()
    await clock.advance(60)
    assert time.now() - time.as_it_was(before) == 2 * MINUTE
    assert (time.as_it_was(after), time.set_forward) == (after, HOUR)


async def test_drift_is_no_step() -> None:
    clock = FakeClock()
    time = SteadyTime(clock)
    for _ in range(100):
        await clock.advance(10)
        clock.step_wall(0.01)
        time.now()
    assert time.set_forward == timedelta()


async def test_a_step_is_forgotten_when_nothing_of_before_counts_any_more() -> None:
    clock = FakeClock()
    time = SteadyTime(clock)
    clock.step_wall(3600)
    time.now()
    await clock.advance(1300)
    time.now()
    assert time.set_forward == timedelta()


async def test_what_an_earlier_process_wrote_in_the_future_was_before_this_one() -> None:
    clock = FakeClock()
    time = SteadyTime(clock)
    await clock.advance(300)
    time.now()
    assert time.as_it_was(START + HOUR) == START
