"""Dates, holidays and repetitions as operators write them."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from broadcasts.calendar import VIETNAM
from broadcasts.model import EVERY_DAY, DateRange, MonthDay, Repeat, Weekday
from broadcasts.recurrence import airings
from controller.settings import load
from tests.unit.test_settings import GOOD, with_broadcast


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOOD, tmp_path / "config"))


def test_skip_takes_dates_ranges_and_holidays(config: Path) -> None:
    broadcast = with_broadcast(config, "skip: [holidays, 2026-12-25, 2027-02-05..2027-02-12]").broadcasts["x"]
    christmas = date(2026, 12, 25)
    assert broadcast.skip == (
        DateRange(christmas, christmas),
        DateRange(date(2027, 2, 5), date(2027, 2, 12)),
    )
    assert broadcast.skip_holidays
    assert not with_broadcast(config, "skip: 2026-12-25").broadcasts["x"].skip_holidays


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('lunar: ["15/1", 15/7]', {"lunar": (MonthDay(15, 1), MonthDay(15, 7))}),
        ("lunar: 1/*", {"lunar": (MonthDay(1),)}),
        ("lunar: [15/6n]", {"lunar": (MonthDay(15, 6, leap=True),)}),
        ("lunar: 05/05", {"lunar": (MonthDay(5, 5),)}),
        ("solar: [2/9, 29/2, 31/*]", {"solar": (MonthDay(2, 9), MonthDay(29, 2), MonthDay(31))}),
        ("repeat: {times: 3, every: 30m}", {"repeat": Repeat(3, timedelta(minutes=30))}),
        ("days: workdays", {"workdays": True, "days": frozenset()}),
        ("days: [workdays, sun]", {"workdays": True, "days": frozenset({Weekday.SUN})}),
        ("volume: 50", {"workdays": False, "days": EVERY_DAY, "repeat": Repeat(), "skip": (), "lunar": ()}),
    ],
)
def test_rules_are_what_they_say(written: str, meant: dict[str, object], config: Path) -> None:
    broadcast = with_broadcast(config, written).broadcasts["x"]
    assert {name: getattr(broadcast, name) for name in meant} == meant


def test_skip_and_repeat_are_for_once_too(config: Path) -> None:
    keys = "once: [2026-12-24 16:45, 2026-12-25 16:45]\nskip: 2026-12-25\nrepeat: {times: 2, every: 15m}"
    settings = with_broadcast(config, keys)
    window = (datetime(2026, 12, 1, tzinfo=settings.site.zone), datetime(2027, 1, 1, tzinfo=settings.site.zone))
    found = airings(settings.broadcasts["x"], settings.site.zone, settings.calendar, *window)
    assert [f"{one.local:%d %H:%M}" for one in found] == ["24 16:45", "24 17:00"]


def test_the_calendar_file_corrects_the_calendar(config: Path) -> None:
    calendar = load(config).calendar
    assert calendar.holiday(date(2027, 3, 1)) == calendar.holiday(date(2027, 3, 2)) == "Lễ hội Mường"
    assert calendar.holiday(date(2027, 5, 3)) == ""
    assert calendar.holiday(date(2027, 4, 29)) == "Nghỉ, làm bù ngày 08/05/2027"
    assert calendar.is_workday(date(2027, 5, 8))
    assert calendar.lunar_month(date(2027, 2, 6)).number == 1


def test_without_the_calendar_file_the_calendar_is_that_of_viet_nam(config: Path) -> None:
    (config / "calendar.yaml").unlink()
    assert load(config).calendar == VIETNAM


def test_a_calendar_without_entries_is_fine(config: Path) -> None:
    (config / "calendar.yaml").write_text("add: []\nremove: []\nswap: []\nlunar: []\n")
    assert load(config).calendar == VIETNAM


def test_a_new_calendar_file_is_a_change(config: Path) -> None:
    before = load(config).digest
    (config / "calendar.yaml").write_text("remove: [2027-05-03]\n")
    assert load(config).digest != before


def test_removing_what_is_no_holiday_is_a_warning_so_that_newer_tables_break_nothing(config: Path) -> None:
    (config / "calendar.yaml").write_text("remove: [2027-05-03, 2027-06-10]\n")
    assert load(config).warnings == (f"{config}/calendar.yaml:1: 2027-06-10 is no holiday anyway",)


def test_rules_are_judged_by_the_corrected_calendar(config: Path) -> None:
    """With Labour Day's day in lieu removed, 3 May 2027 is a day to sound on."""
    (config / "calendar.yaml").write_text("remove: [2027-05-03]\n")
    only = "from: 2027-05-01\nuntil: 2027-05-03\nskip: holidays\ndays: mon"
    assert with_broadcast(config, only).broadcasts["x"].skip_holidays
