"""Who is on call: shifts past midnight, holidays above weeks, gaps, and a zone that changes its clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.duty import Shift, changes, gaps, next_change, on_call

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS, WEEKEND = frozenset(range(5)), frozenset({5, 6})
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def when(text: str, zone: ZoneInfo = HANOI) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def who(shifts: list[Shift], text: str) -> tuple[str, ...]:
    return on_call(shifts, when(text), HANOI)


def test_a_shift_begins_at_its_first_minute_and_ends_before_its_last() -> None:
    shifts = [Shift(("tuan",), start=time(7), end=time(19))]
    found = [who(shifts, f"2026-11-23 {at}") for at in ("06:59", "07:00", "18:59", "19:00")]
    assert found == [(), ("tuan",), ("tuan",), ()]


def test_a_shift_past_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """2026-11-27 is a Friday."""
    shifts = [Shift(("tuan",), WEEKDAYS, time(19), time(7))]
    assert [who(shifts, f"2026-11-{at}") for at in ("27 23:00", "28 06:59", "28 07:00", "28 23:00")] == [
        ("tuan",),
        ("tuan",),
        (),
        (),
    ]
    assert who(shifts, "2026-11-30 03:00") == (), "nobody's of a Sunday"


def test_one_without_times_is_all_day_and_all_night() -> None:
    assert {who([Shift(("hoa",))], f"2026-11-23 {hour:02}:00") for hour in range(24)} == {("hoa",)}


def test_a_shift_with_dates_stands_above_the_weekly_ones_while_it_lasts() -> None:
    tet = Shift(("hung",), first=date(2027, 2, 5), last=date(2027, 2, 12))
    half = Shift(("lan",), start=time(8), end=time(12), first=date(2027, 3, 1))
    shifts = [Shift(("tuan",)), tet, half]
    assert [who(shifts, f"2027-02-{day} 12:00") for day in ("04", "05", "12", "13")] == [
        ("tuan",),
        ("hung",),
        ("hung",),
        ("tuan",),
    ]
    assert [who(shifts, f"2027-03-01 {at}") for at in ("07:59", "08:00", "12:00")] == [("tuan",), ("lan",), ("tuan",)]


def test_several_are_told_in_the_order_of_the_shifts_and_nobody_twice() -> None:
    assert who([Shift(("a", "b")), Shift(("b", "c"))], "2026-11-23 12:00") == ("a", "b", "c")


def test_what_lies_in_no_shift_is_a_gap() -> None:
    shifts = [Shift(("tuan",), WEEKDAYS), Shift(("hoa",), WEEKEND, time(8), time(8, 30))]
    found = gaps(shifts, when("2026-11-27 12:00"), HANOI)
    assert [(begin.astimezone(HANOI).isoformat(), end - begin) for begin, end in found] == [
        ("2026-11-28T00:00:00+07:00", timedelta(hours=8)),
        ("2026-11-28T08:30:00+07:00", timedelta(hours=23.5)),
        ("2026-11-29T08:30:00+07:00", timedelta(hours=15.5)),
    ]
    assert gaps([Shift(("tuan",))], when("2026-11-27 12:00"), HANOI) == []
    ((begin, end),) = gaps([], when("2026-11-27 12:00"), HANOI)
    assert end - begin == 7 * DAY


def test_the_next_change_is_the_first_of_all_roles() -> None:
    rota = {
        "district": [Shift(("a",), start=time(7), end=time(19))],
        "manager": [Shift(("b",), start=time(6), end=time(5))],
    }
    assert next_change(rota, when("2026-11-23 03:00"), HANOI) == when("2026-11-23 05:00")
    assert next_change({}, when("2026-11-23 03:00"), HANOI) is None
    assert next_change({"x": [Shift(("a",), first=date(2030, 1, 1))]}, when("2026-11-23 03:00"), HANOI) is None


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_where_clocks_change_the_shift_keeps_the_time_on_the_wall(day: str) -> None:
    shifts = [Shift(("a",), start=time(7), end=time(19)), Shift(("b",), start=time(19), end=time(7))]
    found = [on_call(shifts, when(f"{day} {at}", BERLIN), BERLIN) for at in ("06:59", "07:00", "19:00")]
    assert found == [("b",), ("a",), ("b",)]
    assert gaps(shifts, when(f"{day} 00:00", BERLIN), BERLIN) == []


times = st.integers(0, 47).map(lambda half: time(half // 2, 30 * (half % 2)))
dates = st.integers(0, 12).map(lambda days: date(2026, 11, 20) + days * DAY)
shifts = st.builds(
    Shift,
    who=st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map(tuple),
    days=st.none() | st.frozensets(st.integers(0, 6), min_size=1),
    start=times,
    end=times,
    first=st.none() | dates,
)
instants = st.integers(0, 8 * 24 * 60).map(lambda minutes: datetime(2026, 11, 22, tzinfo=UTC) + minutes * MINUTE)


@given(st.lists(shifts, max_size=4), instants, st.sampled_from([HANOI, BERLIN]))
def test_nothing_changes_between_two_changes(rota: list[Shift], at: datetime, zone: ZoneInfo) -> None:
    upcoming = next_change({"x": rota}, at, zone)
    until = min(upcoming or at + 7 * DAY, at + 7 * DAY)
    step = max(MINUTE, (until - at) / 40)
    moment = at
    while moment < until:
        assert on_call(rota, moment, zone) == on_call(rota, at, zone)
        moment += step
    assert all(edge > at for edge in changes(rota, at, zone))


@given(st.lists(shifts, max_size=4), instants, st.integers(0, 7 * 24 * 60 - 1))
def test_a_gap_is_when_nobody_is_on_call_and_nothing_else(rota: list[Shift], at: datetime, minutes: int) -> None:
    moment = at + minutes * MINUTE
    is_gap = any(begin <= moment < end for begin, end in gaps(rota, at, HANOI))
    assert is_gap == (on_call(rota, moment, HANOI) == ())
