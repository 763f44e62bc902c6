"""Ten thousand random rules against python-dateutil's rrule, in zones whose clocks jump, also at midnight.

rrule says which local times; which instants they are follows from UTC to local time alone, the other way round than
the code under test: the first instant at which the wall clock has reached that time.
"""

from __future__ import annotations

import random
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, MONTHLY, YEARLY, rrule, rruleset
from lunar_vn import convert_lunar_to_solar

from broadcasts.calendar import VIETNAM
from broadcasts.model import EVERY_DAY, Broadcast, Chime, DateRange, MonthDay, Repeat, Weekday
from broadcasts.recurrence import Airing, Skipped, SkipReason, airings, expand

SEEDS = 10
RULES = 1000
"""A seed."""

ZONES = [
    ZoneInfo(name)
    for name in (
        "Asia/Ho_Chi_Minh",
        "Europe/Berlin",
        "America/New_York",
        "America/Santiago",  # skips midnight
        "America/Havana",  # skips midnight, repeats it too
        "Asia/Beirut",  # skips midnight
        "Australia/Lord_Howe",  # half an hour
        "Africa/Casablanca",  # twice a year for Ramadan
        "Pacific/Apia",  # has no 30 December 2011
        "America/Nuuk",  # skips 22 or 23 o'clock
    )
]
DAY = timedelta(days=1)


def jumps(zone: ZoneInfo) -> list[date]:
    """Days on which the clock of `zone` was or will be changed."""
    noons = [datetime(2005, 1, 1, 12, tzinfo=UTC) + DAY * n for n in range(30 * 365)]
    offsets = [noon.astimezone(zone).utcoffset() for noon in noons]
    return [noon.date() for noon, (one, other) in zip(noons, pairwise(offsets), strict=False) if one != other]


JUMPS = {zone.key: jumps(zone) for zone in ZONES}


def some_rule(dice: random.Random, zone: ZoneInfo) -> tuple[Broadcast, datetime, datetime]:
    """A rule, and a window that holds a jump of the clock more often than not."""
    jump = dice.choice(JUMPS[zone.key] or [date(2026, 11, 23)])
    begin = jump - DAY * dice.randrange(20)
    start = datetime.combine(begin, time(dice.randrange(24), dice.randrange(60)), UTC)
    end = start + timedelta(hours=dice.randrange(1, 24 * 32))

    def some_day() -> date:
        return begin + DAY * dice.randrange(-3, 36)

    def some_time() -> time:
        return time(
            dice.choice((0, 0, 1, 2, 2, 3, 5, 17, 22, 23)), dice.choice((0, 0, 10, 30, 59)), dice.choice((0, 0, 7))
        )

    fields: dict[str, object] = {
        "at": tuple(sorted({some_time() for _ in range(dice.randrange(0, 4))})),
        "days": EVERY_DAY if dice.random() < 0.5 else frozenset(dice.sample(list(Weekday), dice.randrange(1, 7))),
        "first": some_day() if dice.random() < 0.3 else None,
        "last": some_day() if dice.random() < 0.3 else None,
        "solar": tuple({some_solar(dice) for _ in range(dice.randrange(1, 4))}) if dice.random() < 0.3 else (),
        "skip": tuple(DateRange(day, day + DAY * dice.randrange(3)) for day in [some_day()] if dice.random() < 0.5),
        "once": tuple(
            reached(datetime.combine(some_day(), some_time()), zone) for _ in range(dice.choice((0, 0, 0, 1, 3)))
        ),
    }
    if dice.random() < 0.3:
        fields["repeat"] = Repeat(dice.randrange(2, 6), timedelta(minutes=dice.choice((1, 30, 60, 350))))
    return Broadcast(id="tin", title="Tin", to=("all",), play=(Chime("open"),), **fields), start, end  # type: ignore[arg-type]


def some_solar(dice: random.Random) -> MonthDay:
    """Of a date that exists: rrule looks for 30 February until the year 9999."""
    month = dice.choice((None, *range(1, 13)))
    return MonthDay(dice.randrange(1, monthrange(2000, month)[1] + 1 if month else 32), month)


def reached(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant, to the minute, at which the wall clock of `zone` shows `local` or more."""

    def shown(at: datetime) -> datetime:
        return at.astimezone(zone).replace(tzinfo=None, fold=0)

    naive = local.replace(tzinfo=UTC)
    near = {(naive + hours).astimezone(zone).utcoffset() for hours in (-DAY, timedelta(), DAY)}
    candidates = sorted(naive - offset for offset in near if offset is not None)
    exact = [one for one in candidates if shown(one) == local]
    if exact:
        return exact[0]
    at = candidates[0].replace(second=0)
    while shown(at) < local:
        at += timedelta(minutes=1)
    return at


def expected(rule: Broadcast, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    asked = rruleset()
    first = (start - 3 * DAY).date()
    last = (end + 3 * DAY).date()
    first, last = max(first, rule.first or first), min(last, rule.last or last)
    span = {"byweekday": [int(day) for day in rule.days], "until": datetime.combine(last, time.max)}
    for at in rule.at:
        begin = datetime.combine(first, at)
        for named in rule.solar:
            how = {"bymonth": named.month} if named.month else {}
            often = YEARLY if named.month else MONTHLY
            asked.rrule(rrule(often, dtstart=begin, bymonthday=named.day, **how, **span))  # type: ignore[arg-type]
        if not rule.solar:
            asked.rrule(rrule(DAILY, dtstart=begin, **span))  # type: ignore[arg-type]
    for skip in rule.skip:
        for number in range((skip.last - skip.first).days + 1):
            for at in rule.at:
                asked.exdate(datetime.combine(skip.first + DAY * number, at))
    begun = [reached(local, zone) for local in asked]
    once = {one for one in rule.once if not any(one.astimezone(zone).date() in skip for skip in rule.skip)}
    sounding = {one + rule.repeat.every * n for one in (*begun, *once) for n in range(rule.repeat.times)}
    return sorted(one for one in sounding if start <= one < end)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_rules_air_exactly_when_rrule_says(seed: int) -> None:
    dice, aired = random.Random(seed), 0
    for number in range(RULES):
        zone = dice.choice(ZONES)
        rule, start, end = some_rule(dice, zone)
        found = [one.start for one in airings(rule, zone, VIETNAM, start, end)]
        assert found == expected(rule, zone, start, end), f"rule {number} in {zone}: {rule} from {start} to {end}"
        aired += len(found)
    assert aired > RULES  # the rules are not so strange that nothing is tested


def test_a_window_in_two_parts_gives_what_the_whole_gives() -> None:
    """What is planned from midnight to midnight, day by day, is what is planned for a month: none lost, none twice."""
    dice = random.Random(1)
    for _ in range(500):
        zone = dice.choice(ZONES)
        rule, start, end = some_rule(dice, zone)
        middle = start + (end - start) * dice.random()
        parts = [*expand(rule, zone, VIETNAM, start, middle), *expand(rule, zone, VIETNAM, middle, end)]
        assert parts == list(expand(rule, zone, VIETNAM, start, end))


def test_skipping_moves_nothing_else() -> None:
    """What a rule airs without `skip` is what it airs with it and what it tells as skipped, repetitions apart."""
    dice = random.Random(2)
    for _ in range(500):
        zone = dice.choice(ZONES)
        rule, start, end = some_rule(dice, zone)
        plain = _replaced(rule, repeat=Repeat(), solar=())
        told = list(expand(plain, zone, VIETNAM, start, end))
        without = airings(_replaced(plain, skip=()), zone, VIETNAM, start, end)
        assert {one.start for one in told} == {one.start for one in without}
        assert all(any(one.local.date() in skip for skip in rule.skip) for one in told if isinstance(one, Skipped))
        assert [one.start for one in told] == sorted(one.start for one in told)


def _replaced(rule: Broadcast, **changes: object) -> Broadcast:
    fields = {name: getattr(rule, name) for name in Broadcast.__slots__}
    return Broadcast(**{**fields, **changes})


def test_lunar_rules_air_on_the_dates_that_the_lunar_calendar_converts_to() -> None:
    dice = random.Random(3)
    for _ in range(300):
        year = dice.randrange(2001, 2048)
        rule = MonthDay(dice.randrange(1, 31), dice.choice((None, *range(1, 13))), leap=False)
        if rule.month is not None and dice.random() < 0.3:
            rule = MonthDay(rule.day, rule.month, leap=True)
        series = Broadcast(id="ram", title="", to=("all",), play=(), at=(time(6, 15),), lunar=(rule,))
        start, end = (datetime(one, 1, 1, tzinfo=ZONES[0]) for one in (year, year + 2))
        told = list(expand(series, ZONES[0], VIETNAM, start, end))
        days = [one.local.date() for one in told if isinstance(one, Airing)]
        assert days == sorted(set(lunar_days(rule, year))), f"{rule} in {year}"
        assert all(one.reason is SkipReason.NO_SUCH_DATE and rule.day == 30 for one in told if isinstance(one, Skipped))


def lunar_days(rule: MonthDay, year: int) -> Iterator[date]:
    """From lunar to solar, month by month; the converter gives day 30 of a short month as the next month's first."""
    for lunar_year in (year - 1, year, year + 1):
        for month in (rule.month,) if rule.month else range(1, 13):
            for leap in (False, True) if rule.month is None else (rule.leap,):
                try:
                    day = convert_lunar_to_solar(rule.day, month, lunar_year, int(leap))
                    first = convert_lunar_to_solar(1, month, lunar_year, int(leap))
                except ValueError:
                    continue  # no such leap month
                real = VIETNAM.lunar_month(first)
                if leap != real.leap or (day - first).days >= real.days:
                    continue
                if year <= day.year < year + 2:
                    yield day
