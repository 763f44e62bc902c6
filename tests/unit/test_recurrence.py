"""Rules become instants by the wall clock of the site."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from broadcasts.calendar import VIETNAM, Calendar, LunarStart
from broadcasts.model import Broadcast, Chime, DateRange, MonthDay, Repeat, Weekday
from broadcasts.recurrence import Skipped, airings, expand, instant, midnight_after
from broadcasts.timeline import occurrence_id

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


# --- calendar, skips, repetitions ----------------------------------------------------------------------------


def told(rule: Broadcast, first: str, last: str, zone: ZoneInfo = HANOI) -> list[str]:
    """Airings as their time, skipped ones with the reason."""
    window = (datetime.fromisoformat(first).replace(tzinfo=zone), datetime.fromisoformat(last).replace(tzinfo=zone))
    return [
        f"{one.local:%d.%m. %H:%M}" + (f" {one.reason}: {one.detail}" if isinstance(one, Skipped) else "")
        for one in expand(rule, zone, VIETNAM, *window)
    ]


MORNING = (time(6, 15),)


def test_full_moons_and_new_moons() -> None:
    rule = broadcast(at=MORNING, lunar=(MonthDay(1), MonthDay(15)))
    assert told(rule, "2027-01-01", "2027-03-10") == [
        f"{day} 06:15" for day in ("08.01.", "22.01.", "06.02.", "20.02.", "08.03.")
    ]


def test_a_feast_is_kept_in_the_ordinary_month_and_every_month_means_the_leap_one_too() -> None:
    """2025 had a leap sixth month, from 25 July."""
    year = ("2025-06-01", "2025-09-01")
    assert told(broadcast(at=MORNING, lunar=(MonthDay(1, 6),)), *year) == ["25.06. 06:15"]
    assert told(broadcast(at=MORNING, lunar=(MonthDay(1, 6, leap=True),)), *year) == ["25.07. 06:15"]
    assert told(broadcast(at=MORNING, lunar=(MonthDay(1),)), *year) == ["25.06. 06:15", "25.07. 06:15", "23.08. 06:15"]


def test_day_30_of_a_month_of_29_days_is_skipped_and_told() -> None:
    rule = broadcast(at=MORNING, lunar=(MonthDay(30, 12), MonthDay(1, 1)))
    assert told(rule, "2025-01-01", "2026-03-01") == [
        "29.01. 06:15",
        "29.01. 06:15 no such date: 30/12 âm lịch",
        "17.02. 06:15",
        "17.02. 06:15 no such date: 30/12 âm lịch",
    ]


def test_the_29th_of_february_is_skipped_and_told_in_a_common_year() -> None:
    rule = broadcast(at=MORNING, solar=(MonthDay(29, 2),))
    assert told(rule, "2027-01-01", "2028-12-31") == ["01.03. 06:15 no such date: 29/2/2027", "29.02. 06:15"]


def test_days_and_lunar_must_both_hold_lunar_and_solar_either() -> None:
    saturdays = frozenset({Weekday.SAT})
    assert told(
        broadcast(at=MORNING, lunar=(MonthDay(1), MonthDay(15)), days=saturdays), "2027-02-01", "2027-03-01"
    ) == [
        "06.02. 06:15",
        "20.02. 06:15",
    ]
    assert told(broadcast(at=MORNING, lunar=(MonthDay(1),), solar=(MonthDay(10),)), "2027-02-01", "2027-03-01") == [
        "06.02. 06:15",
        "10.02. 06:15",
    ]


def test_holidays_are_skipped_by_name_also_those_of_the_moon() -> None:
    rule = broadcast(at=MORNING, skip_holidays=True)
    assert told(rule, "2027-04-15", "2027-04-18") == [
        "15.04. 06:15",
        "16.04. 06:15 holiday: Ngày Giỗ Tổ Hùng Vương",
        "17.04. 06:15",
    ]


def test_a_skipped_range_takes_both_its_ends_and_once_too() -> None:
    rule = broadcast(
        at=MORNING,
        once=(datetime(2026, 12, 24, 2, 0, tzinfo=UTC),),
        skip=(DateRange(date(2026, 12, 24), date(2026, 12, 25)),),
    )
    assert told(rule, "2026-12-23", "2026-12-27") == [
        "23.12. 06:15",
        "24.12. 06:15 skipped: 2026-12-24..2026-12-25",
        "24.12. 09:00 skipped: 2026-12-24..2026-12-25",
        "25.12. 06:15 skipped: 2026-12-24..2026-12-25",
        "26.12. 06:15",
    ]


def test_once_airs_whatever_days_lunar_and_ends_say() -> None:
    rule = broadcast(
        at=MORNING,
        once=(datetime(2026, 12, 24, 2, 0, tzinfo=UTC),),
        days=frozenset({Weekday.SUN}),
        lunar=(MonthDay(1),),
        last=date(2026, 12, 1),
    )
    assert told(rule, "2026-12-02", "2026-12-31") == ["24.12. 09:00"]


def test_working_days_leave_out_holidays_and_take_in_a_saturday_that_is_worked_instead() -> None:
    rule = broadcast(at=MORNING, days=frozenset(), workdays=True)
    assert told(rule, "2026-08-21", "2026-08-25") == ["21.08. 06:15", "22.08. 06:15", "24.08. 06:15"]
    assert told(rule, "2026-08-29", "2026-09-01") == ["31.08. 06:15 holiday: Ngày nghỉ (thay cho ngày 22/08/2026)"]


def test_repetitions_follow_and_belong_to_the_date_of_the_first() -> None:
    late = broadcast(
        at=(time(23, 30),),
        repeat=Repeat(3, timedelta(minutes=30)),
        skip=(DateRange(date(2026, 11, 25), date(2026, 11, 25)),),
    )
    assert told(late, "2026-11-24", "2026-11-27") == [
        "24.11. 00:00",
        "24.11. 00:30",
        "24.11. 23:30",
        "25.11. 00:00",
        "25.11. 00:30",
        "25.11. 23:30 skipped: 2026-11-25",
        "26.11. 23:30",
    ]


def test_repetitions_count_elapsed_time_and_have_names_of_their_own_when_the_clock_goes_back() -> None:
    rule = broadcast(at=(time(2, 0),), repeat=Repeat(4, timedelta(minutes=30)))
    window = (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 22, tzinfo=UTC))
    found = airings(rule, BERLIN, VIETNAM, *window)
    assert [f"{one.start:%H:%M}" for one in found] == ["00:00", "00:30", "01:00", "01:30"]
    assert [occurrence_id("tin", one.local).partition("T")[2] for one in found] == [
        "02:00",
        "02:30",
        "02:00B",
        "02:30B",
    ]


def test_the_next_airing_of_a_rare_rule_is_found_without_going_through_the_whole_window() -> None:
    rule = broadcast(at=MORNING, lunar=(MonthDay(1),))
    far = expand(rule, HANOI, VIETNAM, datetime(2026, 11, 23, tzinfo=UTC), datetime(2098, 1, 1, tzinfo=UTC))
    assert f"{next(far).local:%Y-%m-%d}" == "2026-12-09"


def test_a_corrected_new_moon_moves_what_keeps_lunar_dates_and_makes_the_30th_exist() -> None:
    rule = broadcast(at=MORNING, lunar=(MonthDay(30, 12), MonthDay(1, 1)))
    window = (datetime(2027, 2, 1, tzinfo=HANOI), datetime(2027, 3, 1, tzinfo=HANOI))
    later = Calendar(moons={date(2027, 2, 6): LunarStart(date(2027, 2, 7), 1)})
    assert [one.local.day for one in airings(rule, HANOI, later, *window)] == [6, 7]
    assert [one.local.day for one in airings(rule, HANOI, VIETNAM, *window)] == [6]
