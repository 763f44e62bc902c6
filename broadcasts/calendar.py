"""Which day is what: Vietnamese lunar dates, public holidays, working days, and what a site corrects of them.

Lunar months begin with the new moon at UTC+7 (`lunar-vn`); holidays are those of the Labour Code with the days off
and the swapped working days that were decreed (`holidays`). The government announces swaps a year at a time, after
the libraries were written: corrections are a part of the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache

FIRST, LAST = date(1901, 1, 1), date(2099, 12, 31)
"""What the tables cover. Outside, `lunar_month` raises ValueError and no day is a holiday."""

MARGIN = timedelta(days=366)
"""A plan keeps so far from either end: rules look at the months around."""

SATURDAY = 5
DAY = timedelta(days=1)
NEAR = timedelta(days=2)
"""A corrected month begins at most so far from the computed one."""


@dataclass(frozen=True, slots=True)
class LunarMonth:
    """`start` is its first day, `days` 29 or 30. A leap month bears the `number` of the month before it."""

    start: date
    days: int
    number: int
    leap: bool = False


@dataclass(frozen=True, slots=True)
class LunarStart:
    """A correction: lunar month `number` begins on the day `start`."""

    start: date
    number: int
    leap: bool = False


@dataclass(frozen=True, slots=True)
class Calendar:
    """The calendar of Viet Nam with a site's corrections; without any as it stands.

    `added`: more days off, with their names. `removed`: days that are none. `worked`: days of a weekend that are
    worked in exchange for another. `moons`: corrected months by the start that is computed for them.
    """

    added: Mapping[date, str] = field(default_factory=dict)
    removed: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    moons: Mapping[date, LunarStart] = field(default_factory=dict)

    def holiday(self, day: date) -> str:
        """The Vietnamese name of the day off that `day` is; empty if it is none."""
        if day in self.added:
            return self.added[day]
        return "" if day in self.removed else _official(day.year).get(day, "")

    def is_workday(self, day: date) -> bool:
        """Monday to Friday without holidays, and days of a weekend that are worked for another day."""
        if day in self.added:
            return False
        if day.weekday() >= SATURDAY:
            return day in self.worked or day in _worked_weekends(day.year)
        return not self.holiday(day)

    def lunar_month(self, day: date) -> LunarMonth:
        """The lunar month that `day` is in; the day of the month is `day - month.start + 1`."""
        month = computed_month(day)
        if not self.moons:
            return month
        before = computed_month(month.start - DAY)
        after = _following(month)
        around = [self._right(one) for one in (before, month, after, _following(after))]
        at = max(number for number, one in enumerate(around[:-1]) if one.start <= day)
        return replace(around[at], days=(around[at + 1].start - around[at].start).days)

    def _right(self, month: LunarMonth) -> LunarMonth:
        moon = self.moons.get(month.start)
        return LunarMonth(moon.start, month.days, moon.number, moon.leap) if moon else month


VIETNAM = Calendar()
"""Without corrections."""


def nearest_moon(day: date) -> date | None:
    """The computed start of a lunar month within two days of `day`."""
    month = computed_month(day)
    starts = (month.start, _following(month).start)
    return next((start for start in starts if abs(start - day) <= NEAR), None)


@lru_cache(maxsize=2**15)
def computed_month(day: date) -> LunarMonth:
    """The lunar month of `day`, without corrections. ValueError for a year that the tables do not cover."""
    from lunar_vn import solar_to_lunar

    lunar = solar_to_lunar(day)
    start = day - timedelta(days=lunar.day - 1)
    days = 30 if solar_to_lunar(start + timedelta(days=29)).day == 30 else 29
    return LunarMonth(start, days, lunar.month, lunar.leap)


def _following(month: LunarMonth) -> LunarMonth:
    return computed_month(month.start + timedelta(days=month.days))


@lru_cache(maxsize=256)
def _official(year: int) -> Mapping[date, str]:
    if not FIRST.year <= year <= LAST.year:
        return {}
    from holidays import country_holidays  # takes longer to import than all commands that need no calendar

    return dict(country_holidays("VN", years=year, language="vi"))


@lru_cache(maxsize=256)
def _worked_weekends(year: int) -> frozenset[date]:
    """Days of a weekend in `year` that were worked. A swap is listed in the year of the day off, which may be the
    one before or after."""
    from holidays import country_holidays

    years = [one for one in (year - 1, year, year + 1) if FIRST.year <= one <= LAST.year]
    days = country_holidays("VN", years=years, language="vi").weekend_workdays
    return frozenset(day for day in days if day.year == year)
