"""What is written down of maintenance windows, and what is read out of it again."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.hush import Hush, HushKind
from controller.domain.maintenance import MaintenanceEvent, changes, windows
from controller.domain.monthly import Window
from tests.fakes import START
from tests.health_support import ZONE

COMMUNES = {"a-1": "a", "a-2": "a", "b-1": "b"}
HOUR = timedelta(hours=1)


def window(begin: float, end: float, **where: tuple[str, ...]) -> Hush:
    return Hush(HushKind.MAINTENANCE, START + begin * HOUR, START + end * HOUR, "x", **where)  # type: ignore[arg-type]


def lived(*looks: tuple[float, tuple[Hush, ...]]) -> list[MaintenanceEvent]:
    """The events that come of looking at these hours at what alerts.yaml said then."""
    found: list[MaintenanceEvent] = []
    for hour, hushes in looks:
        now = START + hour * HOUR
        newest = {event.node: event.until for event in found}
        known = {node: until for node, until in newest.items() if until > now}
        found += changes(known, hushes, COMMUNES, now, ZONE)
    return sorted(found, key=lambda event: (event.node, event.at))


def told(events: list[MaintenanceEvent], end: datetime = START + 99 * HOUR) -> list[tuple[str, float, float]]:
    return [(each.node, (each.start - START) / HOUR, (each.end - START) / HOUR) for each in windows(events, end)]


def test_a_window_is_written_down_once_and_ends_by_itself() -> None:
    one = (window(1, 3, communes=("a",)),)
    events = lived((0, one), (1, one), (2, one), (3, one), (9, one))
    assert len(events) == 2
    assert told(events) == [("a-1", 1, 3), ("a-2", 1, 3)]


def test_one_that_is_deleted_ends_there_and_then_and_is_not_forgotten() -> None:
    one = (window(1, 9, nodes=("b-1",)),)
    assert told(lived((1, one), (4, ()), (20, ()))) == [("b-1", 1, 4)]


def test_windows_that_meet_or_change_are_one_stretch() -> None:
    one, longer, next_one = window(1, 3, nodes=("b-1",)), window(1, 5, nodes=("b-1",)), window(5, 6, communes=("b",))
    events = lived((1, (one,)), (2, (longer,)), (5, (longer, next_one)), (7, ()))
    assert told(events) == [("b-1", 1, 2), ("b-1", 2, 5), ("b-1", 5, 6)]


def test_one_of_everything_is_every_nodes_and_one_of_some_faults_is_nobodys() -> None:
    events = lived((1, (window(1, 2), window(1, 9, codes=("fan",)))))
    assert told(events) == [(node, 1, 2) for node in COMMUNES]


def test_a_report_ends_where_its_month_does() -> None:
    one = (window(1, 9, nodes=("b-1",)),)
    assert told(lived((1, one)), START + 4 * HOUR) == [("b-1", 1, 4)]


spans = st.tuples(st.integers(0, 40), st.integers(1, 20), st.sampled_from([("a",), ("b",), ("a", "b")]))


@given(st.lists(spans, max_size=4), st.lists(st.integers(0, 60), max_size=3))
def test_what_is_read_is_what_was_in_force_hour_by_hour(
    declared: list[tuple[int, int, tuple[str, ...]]], crashes: list[int]
) -> None:
    """Looked at at each edge, and after crashes, which remember nothing but what was written."""
    hushes = tuple(window(begin, begin + long, communes=where) for begin, long, where in declared)
    edges = {hour for begin, long, _ in declared for hour in (begin, begin + long)}
    events = lived(*((hour, hushes) for hour in sorted({*edges, *crashes})))
    found: list[Window] = windows(events, START + 99 * HOUR)
    for hour in range(61):
        at = START + (hour + 0.5) * HOUR
        for node, commune in COMMUNES.items():
            expected = any(hush.active(at, ZONE) and commune in hush.communes for hush in hushes)
            assert expected == any(each.node == node and each.start <= at < each.end for each in found)
