"""Lunar dates, holidays and working days are those of Viet Nam; what a site corrects counts."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from broadcasts.calendar import VIETNAM, Calendar, LunarStart, nearest_moon

# Tết of each year as it was or is announced in Viet Nam. In 2007 and 2030 China's is a day later.
ANNOUNCED = """
    2000-02-05 2001-01-24 2002-02-12 2003-02-01 2004-01-22 2005-02-09 2006-01-29 2007-02-17 2008-02-07 2009-01-26
    2010-02-14 2011-02-03 2012-01-23 2013-02-10 2014-01-31 2015-02-19 2016-02-08 2017-01-28 2018-02-16 2019-02-05
    2020-01-25 2021-02-12 2022-02-01 2023-01-22 2024-02-10 2025-01-29 2026-02-17 2027-02-06 2028-01-26 2029-02-13
    2030-02-02 2031-01-23 2032-02-11 2033-01-31 2034-02-19 2035-02-08 2036-01-28 2037-02-15 2038-02-04 2039-01-24
    2040-02-12 2041-02-01 2042-01-22 2043-02-10 2044-01-30 2045-02-17 2046-02-06 2047-01-26 2048-02-14 2049-02-02
    2050-01-23
"""
TET = ANNOUNCED.split()

# Lunar year: the month that comes twice. No other year from 2000 to 2050 has one.
LEAP_MONTHS = {
    2001: 4, 2004: 2, 2006: 7, 2009: 5, 2012: 4, 2014: 9, 2017: 6, 2020: 4, 2023: 2, 2025: 6, 2028: 5, 2031: 3,
    2033: 11, 2036: 6, 2039: 5, 2042: 2, 2044: 7, 2047: 5, 2050: 3,
}  # fmt: skip

FEASTS = {
    "2023-04-29": "10/3",  # Giỗ Tổ
    "2024-04-18": "10/3",
    "2025-04-07": "10/3",
    "2026-04-26": "10/3",
    "2023-09-29": "15/8",  # Trung thu
    "2024-09-17": "15/8",
    "2025-10-06": "15/8",
    "2026-09-25": "15/8",
    "2025-07-25": "1/6n",
    "2026-11-23": "15/10",
}

OF_2027 = {
    "2027-01-01": "Tết Dương lịch",
    "2027-02-04": "29 Tết",
    "2027-02-05": "Giao thừa Tết Nguyên Đán",
    "2027-02-06": "Tết Nguyên Đán",
    "2027-04-16": "Ngày Giỗ Tổ Hùng Vương",
    "2027-05-03": "Ngày Quốc tế Lao động (nghỉ bù)",
    "2027-09-02": "Quốc khánh",
    "2027-12-25": "",
    "2027-11-20": "",
}


def on(text: str) -> date:
    return date.fromisoformat(text)


def lunar(day: date, calendar: Calendar = VIETNAM) -> str:
    month = calendar.lunar_month(day)
    return f"{(day - month.start).days + 1}/{month.number}{'n' if month.leap else ''}"


@pytest.mark.parametrize("tet", TET)
def test_tet_is_the_first_of_the_first_month_and_a_holiday_of_that_name(tet: str) -> None:
    assert lunar(on(tet)) == "1/1"
    assert VIETNAM.holiday(on(tet)) == "Tết Nguyên Đán"
    assert lunar(on(tet) - timedelta(days=1)) in ("29/12", "30/12")


def test_leap_months_are_where_they_are_and_nowhere_else() -> None:
    found: dict[int, int] = {}
    day = on("2000-02-05")
    while day < on("2051-02-11"):
        month = VIETNAM.lunar_month(day)
        if month.leap:
            found[max(int(tet[:4]) for tet in TET if on(tet) <= day)] = month.number
        day = month.start + timedelta(days=month.days)
    assert found == LEAP_MONTHS


@pytest.mark.parametrize(("day", "meant"), FEASTS.items())
def test_known_feasts(day: str, meant: str) -> None:
    assert lunar(on(day)) == meant


def test_months_follow_each_other_without_a_gap_and_have_29_or_30_days() -> None:
    month = VIETNAM.lunar_month(on("1999-12-31"))
    while month.start.year < 2052:
        after = VIETNAM.lunar_month(month.start + timedelta(days=month.days))
        assert after.start == month.start + timedelta(days=month.days)
        assert month.days in (29, 30)
        month = after


@pytest.mark.parametrize(("day", "name"), OF_2027.items())
def test_holidays_have_their_vietnamese_names_whatever_the_machine_speaks(day: str, name: str) -> None:
    assert VIETNAM.holiday(on(day)) == name


def test_a_decreed_swap_is_a_day_off_and_a_saturday_worked() -> None:
    assert VIETNAM.holiday(on("2026-08-31")) == "Ngày nghỉ (thay cho ngày 22/08/2026)"
    assert VIETNAM.is_workday(on("2026-08-22"))
    assert not VIETNAM.is_workday(on("2026-08-29"))
    assert not VIETNAM.is_workday(on("2026-08-31"))


def test_a_saturday_worked_for_a_day_of_the_next_year_counts() -> None:
    assert VIETNAM.is_workday(on("2014-12-27"))  # for 2 January 2015


def test_outside_of_the_tables_nothing_is_a_holiday_and_lunar_dates_are_refused() -> None:
    assert VIETNAM.holiday(on("2150-01-01")) == ""
    with pytest.raises(ValueError, match="2150"):
        VIETNAM.lunar_month(on("2150-01-01"))


# --- corrections ---------------------------------------------------------------------------------------------

CORRECTED = Calendar(
    added={on("2027-03-20"): "Lễ hội", on("2027-04-29"): "Nghỉ"},
    removed=frozenset({on("2027-05-03")}),
    worked=frozenset({on("2027-05-08")}),
)


def test_corrections_add_remove_and_swap() -> None:
    assert CORRECTED.holiday(on("2027-03-20")) == "Lễ hội"
    assert CORRECTED.holiday(on("2027-05-03")) == ""
    assert CORRECTED.is_workday(on("2027-05-03"))
    assert not CORRECTED.is_workday(on("2027-04-29"))
    assert CORRECTED.is_workday(on("2027-05-08"))
    assert CORRECTED.holiday(on("2027-02-06")) == "Tết Nguyên Đán"


def test_an_added_day_is_a_holiday_though_it_is_removed_from_the_table_too() -> None:
    both = Calendar(added={on("2027-05-03"): "Hội"}, removed=frozenset({on("2027-05-03")}))
    assert both.holiday(on("2027-05-03")) == "Hội"


@pytest.mark.parametrize(("begins", "before", "first", "after"), [
    ("2027-02-07", "30/12", "1/1", "2/1"),  # a day later than computed
    ("2027-02-05", "28/12", "1/1", "2/1"),  # a day earlier: the month before loses one
])  # fmt: skip
def test_a_lunar_month_moves_and_the_one_before_it_gets_longer_or_shorter(
    begins: str, before: str, first: str, after: str
) -> None:
    moved = Calendar(moons={on("2027-02-06"): LunarStart(on(begins), 1)})
    days = [on(begins) + timedelta(days=number) for number in (-1, 0, 1)]
    assert [lunar(day, moved) for day in days] == [before, first, after]
    following = VIETNAM.lunar_month(on("2027-03-15")).start
    assert lunar(following, moved) == "1/2"


def test_a_month_can_be_made_the_leap_one() -> None:
    start = VIETNAM.lunar_month(on("2027-03-15")).start
    moved = Calendar(moons={start: LunarStart(start, 1, leap=True)})
    assert lunar(start, moved) == "1/1n"


def test_the_nearest_new_moon_is_found_on_either_side_and_no_further_than_two_days() -> None:
    assert nearest_moon(on("2027-02-04")) == nearest_moon(on("2027-02-08")) == on("2027-02-06")
    assert nearest_moon(on("2027-02-03")) is None
    assert nearest_moon(on("2027-02-09")) is None
