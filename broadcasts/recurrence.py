"""Rule -> instants: when a broadcast airs, by the site's wall clock.

A local time that the clock skips airs at the first instant after the gap; a local time that comes twice airs
once, at the first. Two times of one broadcast that fall on one instant air once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from broadcasts.model import Broadcast, Weekday


@dataclass(frozen=True, slots=True, order=True)
class Airing:
    """One instant of a rule: `start` is aware UTC, `local` the naive wall-clock time that was asked for."""

    start: datetime
    local: datetime


def airings(broadcast: Broadcast, zone: ZoneInfo, start: datetime, end: datetime) -> tuple[Airing, ...]:
    """All airings of `broadcast` that start in [start, end), in order, each instant once."""
    found: dict[datetime, Airing] = {}
    for airing in sorted((*_recurring(broadcast, zone, start, end), *_once(broadcast, zone))):
        if start <= airing.start < end:
            found.setdefault(airing.start, airing)
    return tuple(found.values())


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a naive local time; the first valid one for a skipped, the first for a repeated time."""
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    if early < late:  # inside a gap: fold 1 reads it with the offset after the change
        return _change_between(early, late, zone)
    return late


def _recurring(broadcast: Broadcast, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Airing]:
    for day in _days(broadcast, start.astimezone(zone).date(), end.astimezone(zone).date()):
        for at in broadcast.at:
            local = datetime.combine(day, at)
            yield Airing(instant(local, zone), local)


def _days(broadcast: Broadcast, first: date, last: date) -> Iterator[date]:
    # One day more on either side: a skipped hour at midnight moves an airing into the next day.
    day = max(first - timedelta(days=1), broadcast.first or date.min)
    last = min(last + timedelta(days=1), broadcast.last or date.max)
    while day <= last:
        if Weekday(day.weekday()) in broadcast.days:
            yield day
        day += timedelta(days=1)


def _once(broadcast: Broadcast, zone: ZoneInfo) -> Iterator[Airing]:
    for at in broadcast.once:
        yield Airing(at.astimezone(UTC), at.astimezone(zone).replace(tzinfo=None))


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
