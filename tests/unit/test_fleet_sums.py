"""What a fleet says of itself: how fast it may connect, and how processes add up to one fleet."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from simulators.pace import Pace
from simulators.summary import Summary, added


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200).map(sorted), st.sampled_from([1.0, 50.0, 250.0]))
def test_no_second_sees_more_connections_begin_than_allowed(asked: list[float], per_s: float) -> None:
    pace = Pace(per_s)
    begun = [at + pace.wait_s(at) for at in asked]
    for start in begun:
        within = sum(start <= at < start + 1 - 1e-6 for at in begun)
        assert within <= per_s + 1e-6


def test_a_single_node_that_comes_back_waits_for_nobody() -> None:
    pace = Pace(250)
    assert [pace.wait_s(at) for at in (10.0, 12.0, 100.0)] == [0.0, 0.0, 0.0]


def test_the_busiest_second_is_told() -> None:
    pace = Pace(250)
    for at in (1.0, 1.4, 1.9, 2.0):
        pace.came_up(at)
    assert (pace.peak_per_s, pace.connections, pace.last_up) == (3, 4, 2.0)


def part(occurrence: str, starts: tuple[float, ...], **more: int) -> Summary:
    counts = {"connected": 1, "without_power": 0, "playing": 1, "missing": 0, "journal_waiting": 2, "broken": 0, **more}
    first, last = min(starts, default=0.0), max(starts, default=0.0)
    return Summary(nodes=3, occurrence=occurrence, started=len(starts), first=first, last=last, starts=starts, **counts)


def test_the_skew_of_two_processes_is_from_the_first_of_one_to_the_last_of_the_other() -> None:
    both = added([part("a", (10.0, 10.01)), part("a", (10.05, 10.2))])
    assert (both.nodes, both.connected, both.started) == (6, 2, 4)
    assert round(both.skew_ms or 0) == 200
    assert both.plain()["skew_ms"] == {"p50": 10.0, "p99": 200.0, "max": 200.0}


def test_a_process_that_began_nothing_yet_is_not_the_first_to_begin() -> None:
    both = added([part("", ()), part("a", (10.0, 10.1)), part("b", (5.0,))])
    assert (both.occurrence, both.first) == ("a", 10.0)


def test_before_anything_sounded_there_is_no_skew() -> None:
    both = added([part("", ()), part("", ())])
    assert both.skew_ms is None
    assert both.plain()["skew_ms"] is None


def test_what_is_added_up_has_no_more_digits_than_its_parts() -> None:
    halves = [msgspec.structs.replace(part("", ()), cpu_s=seconds) for seconds in (0.8, 0.9)]
    assert added(halves).plain()["cpu_s"] == 1.7
