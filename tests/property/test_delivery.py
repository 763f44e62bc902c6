"""The ledger's state machine: the node's word counts, a deadline is not a failure, nothing final is undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.delivery import (
    FINAL,
    TABLE,
    Delivery,
    DeliveryState,
    Event,
    UnexpectedEvent,
    Word,
    advance,
    journaled,
)

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
FRESH = Delivery("tin@2026-11-23T08:00", "na-meo-01", DeliveryState.PLANNED, NOW)

events = st.lists(st.sampled_from(Event), max_size=30)


def walk(delivery: Delivery, happened: list[Event]) -> list[Delivery]:
    path = [delivery]
    for event in happened:
        try:
            path.append(advance(path[-1], event, NOW))
        except UnexpectedEvent:
            path.append(path[-1])
    return path


@given(events)
def test_what_a_node_has_completed_failed_or_skipped_is_never_undone(happened: list[Event]) -> None:
    path = walk(FRESH, happened)
    for before, after in pairwise(path):
        if before.state in FINAL:
            assert after.state is before.state


@given(events)
def test_silence_alone_never_becomes_failed_or_skipped(happened: list[Event]) -> None:
    words = {Event.COMPLETED, Event.FAILED, Event.SKIPPED}
    path = walk(FRESH, [event for event in happened if event not in words])
    assert path[-1].state not in FINAL


@given(events)
def test_a_nodes_word_after_the_deadline_still_counts(happened: list[Event]) -> None:
    before = walk(FRESH, happened)[-1]
    if before.state not in FINAL:
        late = advance(replace(before, state=DeliveryState.UNKNOWN), Event.COMPLETED, NOW)
        assert late.state is DeliveryState.COMPLETED


def test_every_pair_of_state_and_event_is_decided_or_an_error() -> None:
    for state in DeliveryState:
        for event in Event:
            delivery = replace(FRESH, state=state)
            if (state, event) in TABLE:
                advance(delivery, event, NOW)
            else:
                with pytest.raises(UnexpectedEvent):
                    advance(delivery, event, NOW)


def test_a_cancelled_airing_that_a_cut_off_node_played_is_shown_as_played() -> None:
    cancelled = advance(FRESH, Event.CANCELLED, NOW, "removed from broadcasts.yaml")
    started = journaled(cancelled, Word(Event.STARTED, NOW, late_ms=3))
    done = journaled(started, Word(Event.COMPLETED, NOW, played_ms=900, level_db=-20.5))
    assert (done.state, done.played_ms, done.level_db, done.late_ms) == (DeliveryState.COMPLETED, 900, -20.5, 3)
