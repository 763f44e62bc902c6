"""Two plans compared: an operator sees what an edit does, no more and no less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcasts.calendar import VIETNAM
from broadcasts.difference import Difference, compare, held_by
from broadcasts.model import Broadcast, FileTrack, Occurrence, Rendered
from broadcasts.timeline import Ready, occurrences, per_node
from tests.house import HANOI, NEWS

START = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
WINDOW = (START, START + timedelta(days=3))
NODES = ("na-meo-01", "na-meo-02")


def plan(*broadcasts: Broadcast, nodes: Sequence[str] = NODES, length_ms: int = 10_000) -> tuple[Occurrence, ...]:
    rendered = Rendered((FileTrack("a" * 64, "/media/a.opus", 1000, length_ms),), length_ms)
    ready = [Ready(one, rendered, tuple(nodes)) for one in broadcasts]
    return occurrences(ready, HANOI, WINDOW[0] - timedelta(days=1), WINDOW[1] + timedelta(days=1), VIETNAM)


def between(before: Sequence[Occurrence], after: Sequence[Occurrence]) -> Difference:
    return compare(before, after, WINDOW, HANOI)


def test_the_same_plan_is_no_difference() -> None:
    assert not between(plan(NEWS), plan(NEWS))


def test_another_time_on_the_same_day_is_a_move_and_not_a_loss() -> None:
    found = between(plan(NEWS), plan(replace(NEWS, at=(time(18, 30),))))
    assert found.counts == {"added": 0, "moved": 3, "changed": 0, "cancelled": 0}
    first = found.moved[0]
    assert (first.id, first.was, first.start) == (
        "ban-tin@2026-11-23T18:30",
        datetime(2026, 11, 23, 10, 0, tzinfo=UTC),
        datetime(2026, 11, 23, 11, 30, tzinfo=UTC),
    )


def test_another_day_is_one_cancelled_and_one_added() -> None:
    one = replace(NEWS, at=(), once=(datetime(2026, 11, 24, 10, 0, tzinfo=UTC),))
    found = between(plan(one), plan(replace(one, once=(datetime(2026, 11, 25, 10, 0, tzinfo=UTC),))))
    assert [change.id for change in found.cancelled] == ["ban-tin@2026-11-24T17:00"]
    assert [change.id for change in found.added] == ["ban-tin@2026-11-25T17:00"]
    assert found.moved == ()


def test_a_move_in_a_zone_is_judged_by_the_local_date() -> None:
    """23:30 and 06:00 local are two local days, though both fall on one day in UTC."""
    one = replace(NEWS, at=(), once=(datetime(2026, 11, 24, 16, 30, tzinfo=UTC),))
    found = between(plan(one), plan(replace(one, once=(datetime(2026, 11, 24, 23, 0, tzinfo=UTC),))))
    assert found.counts == {"added": 1, "moved": 0, "changed": 0, "cancelled": 1}


def test_one_of_two_times_moves_and_the_other_stays() -> None:
    twice = replace(NEWS, at=(time(9, 0), time(17, 0)))
    found = between(plan(twice), plan(replace(twice, at=(time(9, 0), time(17, 15)))))
    assert found.counts == {"added": 0, "moved": 3, "changed": 0, "cancelled": 0}


def test_a_second_time_is_added_and_nothing_moves() -> None:
    found = between(plan(NEWS), plan(replace(NEWS, at=(time(9, 0), time(17, 0)))))
    assert found.counts == {"added": 3, "moved": 0, "changed": 0, "cancelled": 0}


def test_what_changed_beside_the_time_is_named() -> None:
    loud = replace(NEWS, title="Bản tin chiều", volume=90)
    found = between(plan(NEWS), plan(loud, nodes=("na-meo-02", "son-thuy-01"), length_ms=20_000))
    (first, *_) = found.changed
    assert first.what == ("title", "length", "audio", "volume", "nodes")
    assert (first.gained, first.lost) == (("son-thuy-01",), ("na-meo-01",))


def test_what_is_over_is_no_loss() -> None:
    over = replace(NEWS, at=(), once=(START - timedelta(hours=2),))
    assert not between(plan(over), plan())


def test_what_still_sounds_is_a_loss() -> None:
    sounding = replace(NEWS, at=(), once=(START - timedelta(seconds=5),))
    assert between(plan(sounding), plan()).counts["cancelled"] == 1


def test_a_plan_that_only_reaches_further_is_no_difference() -> None:
    first = plan(NEWS)
    assert not between([one for one in first if one.start < WINDOW[1]], first)


def test_what_nodes_hold_is_the_plan_again() -> None:
    planned = plan(NEWS, replace(NEWS, id="khac"))
    held = held_by(per_node(planned, NODES))
    assert sorted(held, key=lambda one: (one.start, one.id)) == list(planned)


times = st.lists(
    st.times(time(0, 0), time(23, 0)).map(lambda at: at.replace(second=0, microsecond=0, fold=0)), max_size=3
)
plans = st.lists(st.tuples(st.sampled_from("abc"), times), max_size=3, unique_by=lambda each: each[0]).map(
    lambda each: plan(*(replace(NEWS, id=id, at=tuple(sorted(set(at)))) for id, at in each))
)


@given(plans, plans)
@settings(max_examples=150, deadline=None)
def test_the_difference_turns_the_old_plan_into_the_new_one(
    before: tuple[Occurrence, ...], after: tuple[Occurrence, ...]
) -> None:
    def starts(all: Sequence[Occurrence]) -> set[tuple[str, datetime]]:
        return {(one.broadcast, one.start) for one in all if one.end > WINDOW[0] and one.start < WINDOW[1]}

    found = between(before, after)
    lost = {(each.broadcast, each.was) for each in (*found.cancelled, *found.moved)}
    gained = {(each.broadcast, each.start) for each in (*found.added, *found.moved)}
    assert starts(before) - lost | gained == starts(after)
    assert all(each.was != each.start for each in found.moved)
