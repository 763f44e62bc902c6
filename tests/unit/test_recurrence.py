"""Rules become instants by the wall clock of the site."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from broadcasts.calendar import VIETNAM
from broadcasts.model import Broadcast, Chime, Weekday
from broadcasts.recurrence import airings, instant, midnight_after

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
BERLIN = ZoneInfo("Europe/Berlin")


def broadcast(**changes: object) -> Broadcast:
    fields: dict[str, object] = {"id": "tin", "title": "Tin", "to": ("all",), "play": (Chime("open"),)}
    return Broadcast(**{**fields, **changes})  # type: ignore[arg-type]


def starts(rule: Broadcast, first: str, last: str, zone: ZoneInfo = HANOI) -> list[str]:
    window = (datetime.fromisoformat(first).replace(tzinfo=zone), datetime.fromisoformat(last).replace(tzinfo=zone))
    return [f"{one.start.astimezone(zone):%a %d.%m. %H:%M}" for one in airings(rule, zone, VIETNAM, *window)]


def test_two_times_a_day_on_weekdays_only() -> None:
    rule = broadcast(at=(time(17, 0), time(5, 30)), days=frozenset({Weekday.FRI, Weekday.MON}))
    assert starts(rule, "2026-11-26", "2026-12-01") == [
        "Fri 27.11. 05:30",
        "Fri 27.11. 17:00",
        "Mon 30.11. 05:30",
        "Mon 30.11. 17:00",
    ]


def test_first_and_last_day_are_both_inside() -> None:
    rule = broadcast(at=(time(5, 30),), first=date(2026, 11, 24), last=date(2026, 11, 25))
    assert starts(rule, "2026-11-01", "2026-12-31") == ["Tue 24.11. 05:30", "Wed 25.11. 05:30"]


def test_an_airing_early_in_the_local_day_is_not_lost_to_the_utc_date() -> None:
    rule = broadcast(at=(time(0, 5), time(23, 55)))
    assert starts(rule, "2026-11-24", "2026-11-25") == ["Tue 24.11. 00:05", "Tue 24.11. 23:55"]


def test_the_end_of_the_window_belongs_to_the_next_window() -> None:
    rule = broadcast(at=(time(0, 0),))
    assert starts(rule, "2026-11-24", "2026-11-25") == ["Tue 24.11. 00:00"]


def test_once_airs_beside_the_recurring_rule_and_not_twice_at_one_instant() -> None:
    rule = broadcast(
        at=(time(5, 30),), once=(datetime(2026, 11, 23, 22, 30, tzinfo=UTC), datetime(2026, 11, 24, 9, 45, tzinfo=UTC))
    )
    assert starts(rule, "2026-11-24", "2026-11-25") == ["Tue 24.11. 05:30", "Tue 24.11. 16:45"]


@pytest.mark.parametrize(
    ("local", "zone", "utc"),
    [
        ("2026-03-29 02:30", "Europe/Berlin", "2026-03-29 01:00"),  # skipped hour: first valid instant
        ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25 00:30"),  # repeated hour: the first of the two
        ("2026-09-06 00:00", "America/Santiago", "2026-09-06 04:00"),  # midnight itself is skipped
        ("2026-10-04 02:10", "Australia/Lord_Howe", "2026-10-03 15:30"),  # a change of half an hour
        ("2026-11-24 05:30", "Asia/Ho_Chi_Minh", "2026-11-23 22:30"),
    ],
)
def test_skipped_and_repeated_hours(local: str, zone: str, utc: str) -> None:
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert instant(datetime.fromisoformat(local), ZoneInfo(zone)) == expected


def test_two_times_inside_a_skipped_hour_air_once() -> None:
    rule = broadcast(at=(time(2, 10), time(2, 50)))
    assert starts(rule, "2026-03-29", "2026-03-30", BERLIN) == ["Sun 29.03. 03:00"]


def test_a_day_at_the_change_of_the_clock_has_each_airing_once() -> None:
    rule = broadcast(at=(time(2, 30),))
    assert starts(rule, "2026-10-24", "2026-10-27", BERLIN) == [
        "Sat 24.10. 02:30",
        "Sun 25.10. 02:30",
        "Mon 26.10. 02:30",
    ]


def test_midnight_is_the_sites_midnight() -> None:
    now = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)  # 01:00 on the 24th in Hanoi
    assert midnight_after(now, HANOI) == datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
