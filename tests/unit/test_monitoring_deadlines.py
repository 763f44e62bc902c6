"""Deadlines of many things: nothing is missed, nothing that moved later costs anything."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.liveness import NEVER
from controller.services.deadlines import Deadlines
from tests.fakes import FakeClock, settle


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100)), max_size=30), st.integers(0, 100))
def test_every_key_comes_up_at_its_earliest_deadline(sets: list[tuple[str, int]], now: int) -> None:
    deadlines: Deadlines[str] = Deadlines()
    earliest: dict[str, int] = {}
    for key, when in sets:
        deadlines.set(key, when)
        earliest[key] = min(when, earliest.get(key, when))
    assert deadlines.next == min(earliest.values(), default=NEVER)
    assert {key: when for when, key in deadlines.past(now)} == {k: w for k, w in earliest.items() if w <= now}
    assert deadlines.past(now) == []


def test_what_was_dropped_does_not_come_up() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 5)
    deadlines.drop("a")
    assert deadlines.next == NEVER
    deadlines.set("a", 7)
    assert deadlines.past(10) == [(7, "a")]


async def test_waiting_ends_when_an_earlier_deadline_is_set() -> None:
    clock = FakeClock()
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("late", clock.mono + 100)
    waiting = asyncio.create_task(deadlines.wait(clock))
    await settle()
    assert not waiting.done()
    deadlines.set("later", clock.mono + 200)
    await settle()
    assert not waiting.done()
    deadlines.set("soon", clock.mono + 1)
    await settle()
    assert waiting.done()


async def test_waiting_for_nothing_ends_when_there_is_something() -> None:
    clock = FakeClock()
    deadlines: Deadlines[str] = Deadlines()
    waiting = asyncio.create_task(deadlines.wait(clock))
    await settle()
    deadlines.set("a", clock.mono + 1)
    await settle()
    assert waiting.done()
