"""Rule -> instants: when a broadcast airs by the site's wall clock and calendar, and when it does not and why.

A local time that the clock skips airs at the first instant after the gap; a local time that comes twice airs
once, at the first. Two times of one broadcast that fall on one instant air once. `repeat` counts elapsed time from
the first airing and belongs to the date of that one, past midnight too. Skips are by the local date that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from heapq import heapify, heappop, heappush, merge
from itertools import groupby
from zoneinfo import ZoneInfo

from broadcasts.calendar import DAY, Calendar
from broadcasts.model import Broadcast, MonthDay, Weekday


class SkipReason(StrEnum):
    """Why a date of a rule has no airing."""

    HOLIDAY = "holiday"
    SKIPPED = "skipped"
    NO_SUCH_DATE = "no such date"


@dataclass(frozen=True, slots=True, order=True)
class Airing:
    """One instant of a rule: `start` is aware UTC, `local` the naive wall-clock time that was asked for."""

    start: datetime
    local: datetime


@dataclass(frozen=True, slots=True, order=True)
class Skipped:
    """A time of a rule without an airing. `detail`: the holiday's name, the entry of `skip`, or the date that does
    not exist, which then stands at the day after which it would have come."""

    start: datetime
    local: datetime
    reason: SkipReason
    detail: str


@dataclass(frozen=True, slots=True)
class _Out:
    """A date that is out."""

    reason: SkipReason
    detail: str


def expand(
    broadcast: Broadcast, zone: ZoneInfo, calendar: Calendar, start: datetime, end: datetime
) -> Iterator[Airing | Skipped]:
    """Everything of `broadcast` that starts in [start, end), by start, each instant once; lazily, so that the first
    one is cheap in a long window."""
    last: datetime | None = None
    told: set[tuple[datetime, SkipReason, str]] = set()
    for one in _ordered(broadcast, zone, calendar, start, end):
        if one.start >= end:
            return
        if one.start < start:
            continue
        if isinstance(one, Airing):
            if one.start != last:
                last = one.start
                yield one
        elif (what := (one.start, one.reason, one.detail)) not in told:
            told.add(what)
            yield one


def airings(
    broadcast: Broadcast, zone: ZoneInfo, calendar: Calendar, start: datetime, end: datetime
) -> tuple[Airing, ...]:
    """All airings of `broadcast` that start in [start, end), in order, each instant once."""
    return tuple(one for one in expand(broadcast, zone, calendar, start, end) if isinstance(one, Airing))


def dates(broadcast: Broadcast, calendar: Calendar, first: date, last: date) -> Iterator[date]:
    """The local dates from `first` to `last` that the recurring part of the rule airs on."""
    for day in _named(broadcast, calendar, max(first, broadcast.first or first), min(last, broadcast.last or last)):
        if None in _verdicts(broadcast, calendar, day):
            yield day


# --- from dates to instants ----------------------------------------------------------------------------------


def _ordered(
    broadcast: Broadcast, zone: ZoneInfo, calendar: Calendar, start: datetime, end: datetime
) -> Iterator[Airing | Skipped]:
    """By start. What a day holds waits until no later day can hold anything sooner."""
    reach = _reach(broadcast)
    waiting = [one for one in _once(broadcast, zone, calendar) if one[0] >= start - reach]
    heapify(waiting)
    # One day more on either side: a skipped hour at midnight moves an airing into the next day.
    first = (start - reach).astimezone(zone).date() - DAY
    last = end.astimezone(zone).date() + DAY
    first, last = max(first, broadcast.first or first), min(last, broadcast.last or last)
    for day in _named(broadcast, calendar, first, last) if broadcast.at else ():
        for verdict in _verdicts(broadcast, calendar, day):
            for at in broadcast.at:
                for one in _sounding(broadcast, zone, datetime.combine(day, at), verdict):
                    heappush(waiting, one)
        if waiting:
            tomorrow = instant(datetime.combine(day + DAY, time()), zone)
            while waiting and waiting[0][0] < tomorrow:
                yield heappop(waiting)[-1]
    while waiting:
        yield heappop(waiting)[-1]


_Waiting = tuple[datetime, bool, datetime, "Airing | Skipped"]
"""Start, whether it is skipped, local time; what sounds comes before what would have sounded at that instant."""


def _sounding(broadcast: Broadcast, zone: ZoneInfo, local: datetime, out: _Out | None) -> Iterator[_Waiting]:
    start = instant(local, zone)
    if out is not None:
        yield start, True, local, Skipped(start, local, out.reason, out.detail)
        return
    yield start, False, local, Airing(start, local)
    for number in range(1, broadcast.repeat.times):
        again = start + number * broadcast.repeat.every
        yield again, False, (wall := _wall_clock(again, zone)), Airing(again, wall)


def _once(broadcast: Broadcast, zone: ZoneInfo, calendar: Calendar) -> Iterator[_Waiting]:
    for at in broadcast.once:
        local = _wall_clock(at, zone)
        yield from _sounding(broadcast, zone, local, _taken_out(broadcast, calendar, local.date()))


def _reach(broadcast: Broadcast) -> timedelta:
    """How long after the first its last repetition begins."""
    return (broadcast.repeat.times - 1) * broadcast.repeat.every


def _wall_clock(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a naive local time; the first valid one for a skipped, the first for a repeated time.

    A `local` with fold=1 is the second of a repeated time, as `datetime` has it."""
    offset = _offset_all_day(local.date(), zone)
    if offset is not None:
        return local.replace(tzinfo=UTC, fold=0) - offset
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    if early < late:  # inside a gap: fold 1 reads it with the offset after the change
        return _change_between(early, late, zone)
    return early if local.fold else late


@lru_cache(maxsize=2**14)
def _offset_all_day(day: date, zone: ZoneInfo) -> timedelta | None:
    """The offset from UTC that holds from midnight to midnight; None on a day with a change."""
    if day == date.max:
        return None
    ends = (datetime.combine(day, time(), zone), datetime.combine(day + DAY, time(), zone))
    offsets = {one.replace(fold=fold).utcoffset() for one in ends for fold in (0, 1)}
    return offsets.pop() if len(offsets) == 1 else None


def _change_between(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """The first whole second in (early, late] with the offset that holds at `late`."""
    after = late.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        if middle <= early:
            break
        if middle.astimezone(zone).utcoffset() == after:
            late = middle
        else:
            early = middle
    return late


def midnight_after(now: datetime, zone: ZoneInfo, days: int = 1) -> datetime:
    """UTC instant of the local midnight that begins the day `days` after today."""
    day = now.astimezone(zone).date() + timedelta(days=days)
    return instant(datetime.combine(day, time()), zone)


# --- which dates ---------------------------------------------------------------------------------------------


def _named(broadcast: Broadcast, calendar: Calendar, first: date, last: date) -> Iterator[date]:
    """The dates from `first` to `last` that `_verdicts` may have something to say about, in order."""
    if not (broadcast.lunar or broadcast.solar):
        yield from _days(first, last)
        return
    lunar, solar = _lunar_days(broadcast.lunar, calendar, first, last), _solar_days(broadcast.solar, first, last)
    for day, _ in groupby(merge(lunar, solar)):
        if first <= day <= last:
            yield day


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + number * DAY


def _lunar_days(rules: tuple[MonthDay, ...], calendar: Calendar, first: date, last: date) -> Iterator[date]:
    """Those of every lunar month whatever its number, and its first, where what the one before lacks is told."""
    numbers = sorted({1, *(rule.day for rule in rules)})
    start = calendar.lunar_month(first).start if rules else date.max
    while start <= last:
        month = calendar.lunar_month(start)
        yield from (start + (number - 1) * DAY for number in numbers if number <= month.days)
        start += month.days * DAY


def _solar_days(rules: tuple[MonthDay, ...], first: date, last: date) -> Iterator[date]:
    """The same of every month."""
    numbers = sorted({1, *(rule.day for rule in rules)})
    start = first.replace(day=1) if rules else date.max
    while start <= last:
        after = (start + 31 * DAY).replace(day=1)
        yield from (start + (number - 1) * DAY for number in numbers if start + (number - 1) * DAY < after)
        start = after


def _verdicts(broadcast: Broadcast, calendar: Calendar, day: date) -> Iterable[_Out | None]:
    """What the recurring part of the rule says of `day`: None for an airing, why not for one that is taken out;
    nothing for a day that it does not name. A date that does not exist is told on the day after."""
    if not (broadcast.lunar or broadcast.solar):
        return _wanted(broadcast, calendar, day)
    named = _in_lunar(broadcast.lunar, calendar, day) or _in_solar(broadcast.solar, day)
    missing = [*_missing_lunar(broadcast.lunar, calendar, day), *_missing_solar(broadcast.solar, day)]
    verdicts = list(_wanted(broadcast, calendar, day)) if named else []
    return [*verdicts, *(_Out(SkipReason.NO_SUCH_DATE, one) for one in missing)]


def _wanted(broadcast: Broadcast, calendar: Calendar, day: date) -> Iterable[_Out | None]:
    if day.weekday() in broadcast.days or (broadcast.workdays and calendar.is_workday(day)):
        return (_taken_out(broadcast, calendar, day),)
    if broadcast.workdays and day.weekday() <= Weekday.FRI:
        return (_Out(SkipReason.HOLIDAY, calendar.holiday(day)),)
    return ()


def _taken_out(broadcast: Broadcast, calendar: Calendar, day: date) -> _Out | None:
    for entry in broadcast.skip:
        if day in entry:
            return _Out(SkipReason.SKIPPED, str(entry))
    if broadcast.skip_holidays and (name := calendar.holiday(day)):
        return _Out(SkipReason.HOLIDAY, name)
    return None


def _in_lunar(rules: tuple[MonthDay, ...], calendar: Calendar, day: date) -> bool:
    if not rules:
        return False
    month = calendar.lunar_month(day)
    number = (day - month.start).days + 1
    return any(rule.day == number and rule.names(month.number, leap=month.leap) for rule in rules)


def _in_solar(rules: tuple[MonthDay, ...], day: date) -> bool:
    return any(rule.day == day.day and rule.names(day.month) for rule in rules)


def _missing_lunar(rules: tuple[MonthDay, ...], calendar: Calendar, day: date) -> Iterator[str]:
    """Dates that the lunar month which ended yesterday had not."""
    if not any(rule.day == 30 for rule in rules) or calendar.lunar_month(day).start != day:
        return
    ended = calendar.lunar_month(day - DAY)
    for rule in rules:
        if rule.day > ended.days and rule.names(ended.number, leap=ended.leap):
            yield f"{rule.day}/{ended.number}{'n' if ended.leap else ''} âm lịch"


def _missing_solar(rules: tuple[MonthDay, ...], day: date) -> Iterator[str]:
    if day.day != 1:
        return
    ended = day - DAY
    for rule in rules:
        if rule.day > ended.day and rule.names(ended.month):
            yield f"{rule.day}/{ended.month}/{ended.year}"
