"""A refusal names the nearest time that would do, on another day too where another day would do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from broadcasts.calendar import VIETNAM
from broadcasts.guards import Guards, Span
from broadcasts.model import Broadcast, FileTrack, Rendered, Say
from broadcasts.review import review
from broadcasts.timeline import Ready, occurrences
from tests.house import HANOI

BEGIN = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)  # 08:00
NIGHT = Span(time(21), time(5))
HOUR = timedelta(hours=1)
NEWS = Broadcast(id="tin", title="Tin", to=("all",), play=(Say("Tin."),), at=(time(6), time(10)))
ONE = replace(NEWS, id="hop", at=(), once=(datetime(2026, 11, 24, 10, 0, tzinfo=UTC),))  # 17:00


def refused(guards: Guards, *airs: tuple[Broadcast, int]) -> list[str]:
    """What is refused of these broadcasts, of so many minutes each, on one node within a week."""
    ready = [
        Ready(one, Rendered((FileTrack("0" * 64, "/media/x.opus", 1, minutes * 60_000),), minutes * 60_000), ("a",))
        for one, minutes in airs
    ]
    plan = occurrences(ready, HANOI, BEGIN, BEGIN + timedelta(days=7), VIETNAM)
    broadcasts = {one.id: one for one, _ in airs}
    return [one.reason for one in review(plan, broadcasts, lambda _: guards, HANOI, BEGIN).refusals]


def test_a_day_without_airtime_left_names_the_nearest_day_that_has_some() -> None:
    long = replace(NEWS, id="le", once=(datetime(2026, 11, 24, 8, 0, tzinfo=UTC),), at=())
    limits = Guards(quiet=(NIGHT,), session=None, airtime=2 * HOUR, gap=None)
    (said,) = refused(limits, (NEWS, 20), (long, 70), (ONE, 30))
    assert said.startswith("hop@2026-11-24T17:00 makes 2h20m on that day; 2h is allowed")
    assert said.endswith("; no time on 2026-11-24 fits, the nearest that does is 2026-11-25 05:00")


def test_its_own_day_is_named_first() -> None:
    (said,) = refused(Guards(quiet=(NIGHT,)), (replace(ONE, once=(datetime(2026, 11, 24, 15, 0, tzinfo=UTC),)), 20))
    assert said.endswith("; the nearest time that fits on 2026-11-24 is 20:40")


def test_a_series_is_told_of_its_own_day_only_since_the_next_is_like_it() -> None:
    limits = Guards(quiet=(NIGHT,), session=None, airtime=HOUR, gap=None)
    (said,) = refused(limits, (NEWS, 40))
    assert said.endswith("; no time on 2026-11-24 fits")


def test_what_fits_nowhere_is_told_so() -> None:
    (said,) = refused(Guards(quiet=(NIGHT,), session=HOUR, airtime=None, gap=None), (ONE, 90))
    assert said.startswith("hop@2026-11-24T17:00 makes a session of 1h30m; 1h is allowed (session)")
    assert said.endswith("; no time on 2026-11-24 fits or within 7 days of it")
