"""calendar.yaml: what the site knows better than the tables of holidays and lunar months. The file may be missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

from broadcasts.calendar import VIETNAM, Calendar, LunarStart, nearest_moon
from broadcasts.model import DateRange
from controller.settings import values
from controller.settings.dates import Covered, Dates
from controller.settings.sheet import Sheet, Strict
from controller.settings.values import Flag, Line

LONGEST_HOLIDAY = 31
SATURDAY = 5
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class DayOffIn(Strict):
    date: Dates
    name: Line


class SwapIn(Strict):
    off: Covered
    work: Covered
    name: Line | None = None


class MoonIn(Strict):
    begins: Covered
    month: Annotated[int, BeforeValidator(values.whole(1, 12))]
    leap: Flag = False


class CalendarIn(Strict):
    add: tuple[Any, ...] = ()
    remove: tuple[Dates, ...] = ()
    swap: tuple[Any, ...] = ()
    lunar: tuple[Any, ...] = ()


def read(sheet: Sheet) -> tuple[Calendar, list[str]]:
    """The calendar with this file's corrections, and warnings about those that change nothing."""
    whole = sheet.read(CalendarIn, ())
    removed = frozenset(day for dates in (whole.remove if whole else ()) for day in _days(dates))
    added = dict(_days_off(sheet, removed))
    swaps = list(_swaps(sheet, added))
    added |= {swap.off: swap.name or f"Nghỉ, làm bù ngày {swap.work:%d/%m/%Y}" for swap in swaps}
    calendar = Calendar(added, removed, frozenset(swap.work for swap in swaps), _moons(sheet))
    _check_moons(sheet, calendar)
    return calendar, [
        f"{sheet.name}:{sheet.place(('remove',)).line}: {day} is no holiday anyway"
        for day in sorted(removed)
        if not VIETNAM.holiday(day)
    ]


def _days(dates: DateRange) -> Iterator[date]:
    return (dates.first + timedelta(days=number) for number in range((dates.last - dates.first).days + 1))


def _days_off(sheet: Sheet, removed: frozenset[date]) -> Iterator[tuple[date, str]]:
    seen: set[date] = set()
    for steps, _ in sheet.blocks("add"):
        given = sheet.read(DayOffIn, steps)
        if given is None:
            continue
        days = list(_days(given.date))
        where = (*steps, "date")
        if len(days) > LONGEST_HOLIDAY:
            sheet.problem(where, f"'{given.date}' is {len(days)} days: a holiday has at most {LONGEST_HOLIDAY}")
        elif twice := next((day for day in days if day in seen), None):
            sheet.problem(where, f"{twice} is added already")
        elif both := next((day for day in days if day in removed), None):
            sheet.problem(where, f"{both} is added here and removed under 'remove'")
        else:
            seen.update(days)
            yield from ((day, given.name) for day in days)


def _swaps(sheet: Sheet, added: dict[date, str]) -> Iterator[SwapIn]:
    off: set[date] = set()
    for steps, _ in sheet.blocks("swap"):
        given = sheet.read(SwapIn, steps)
        if given is None:
            continue
        if flaw := _swap_flaw(given, {*added, *off}):
            sheet.problem((*steps, flaw[0]), flaw[1])
        else:
            off.add(given.off)
            yield given


def _swap_flaw(given: SwapIn, taken: set[date]) -> tuple[str, str] | None:
    """The key and what is wrong with it."""
    if given.off.weekday() >= SATURDAY:
        return "off", f"{given.off} is a {_WEEKDAYS[given.off.weekday()]}: nobody works then anyway"
    if given.off in taken:
        return "off", f"{given.off} is off already"
    if given.work.weekday() < SATURDAY:
        return "work", f"{given.work} is a {_WEEKDAYS[given.work.weekday()]}: only a day of a weekend is worked instead"
    return None


def _moons(sheet: Sheet) -> dict[date, LunarStart]:
    moons: dict[date, LunarStart] = {}
    for steps, _ in sheet.blocks("lunar"):
        given = sheet.read(MoonIn, steps)
        if given is None:
            continue
        computed = nearest_moon(given.begins)
        if computed is None:
            sheet.problem((*steps, "begins"), f"no lunar month begins within two days of {given.begins}")
        elif computed in moons:
            sheet.problem((*steps, "begins"), f"this month is corrected already, to {moons[computed].start}")
        else:
            moons[computed] = LunarStart(given.begins, given.month, given.leap)
    return moons


def _check_moons(sheet: Sheet, calendar: Calendar) -> None:
    """A correction makes the month before it longer or shorter: both must still be months."""
    begun = {moon.start for moon in calendar.moons.values()}
    for steps, block in sheet.blocks("lunar"):
        try:
            begins = values.day(block.get("begins"))
        except ValueError:
            continue
        if begins not in begun:
            continue
        for month in (calendar.lunar_month(begins - timedelta(days=1)), calendar.lunar_month(begins)):
            if month.days not in (29, 30):
                sheet.problem((*steps, "begins"), f"the lunar month of {month.start} would have {month.days} days")
