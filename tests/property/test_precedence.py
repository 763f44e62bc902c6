"""Whatever has the horns: what must be free is never excused, what cannot be free always is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from broadcasts.model import Priority
from controller.domain.delivery import Delivery, DeliveryState, OccurrenceRow
from controller.domain.precedence import REACH, SLACK, gave_way

T = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
MINUTES = st.integers(-240, 240).map(lambda n: T + timedelta(minutes=n))
LENGTHS = st.integers(1, 120).map(lambda n: timedelta(minutes=n))
STATES = st.sampled_from([DeliveryState.SOUNDING, DeliveryState.INTERRUPTED, DeliveryState.COMPLETED])


def airing(id: str, start: datetime, length: timedelta, rank: int) -> OccurrenceRow:
    return OccurrenceRow(id, id, "Bản tin", start, start + length, Priority.NORMAL, rank, "config", T)


ROW = airing("tin", T, timedelta(minutes=10), 20)
OTHERS = st.builds(airing, st.just("other"), MINUTES, LENGTHS, st.sampled_from([10, 20, 30]))


DELIVERIES = st.builds(
    Delivery, st.just(""), st.sampled_from(["m", "n"]), STATES, MINUTES, started_at=st.none() | MINUTES
)
BESIDE = st.lists(st.tuples(OTHERS, DELIVERIES), max_size=5)


def until(beside: list[tuple[OccurrenceRow, Delivery]]) -> dict[str, datetime]:
    rows = [replace(row, id=f"other{n}") for n, (row, _) in enumerate(beside)]
    told = {row.id: [replace(one, occurrence=row.id)] for row, (_, one) in zip(rows, beside, strict=True)}
    return gave_way(ROW, [*rows, ROW], told, [])


@given(BESIDE)
def test_the_last_to_let_go_decides_whatever_else_there_is(beside: list[tuple[OccurrenceRow, Delivery]]) -> None:
    alone = [until([each]) for each in beside]
    nodes = {node for found in alone for node in found}
    assert until(beside) == {node: max(found[node] for found in alone if node in found) for node in nodes}


@given(OTHERS, DELIVERIES)
def test_what_cannot_hold_the_horns_excuses_nothing(other: OccurrenceRow, one: Delivery) -> None:
    over = one.state is DeliveryState.COMPLETED and one.at <= T + SLACK
    if one.started_at is None or other.rank < ROW.rank or other.start >= ROW.end or over:
        assert until([(other, one)]) == {}


@given(OTHERS, DELIVERIES)
def test_an_excuse_ends(other: OccurrenceRow, one: Delivery) -> None:
    assert all(T < end <= other.end + REACH for end in until([(other, one)]).values())
