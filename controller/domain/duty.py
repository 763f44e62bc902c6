"""Who is on call: shifts of named roles, in the site's own time. Pure.

A shift begins on each of its days at `start` and lasts until `end`, past midnight when `end` is not later. Shifts
with dates stand above those without: while one of them covers an instant, the weekly ones say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

LOOK_AHEAD_DAYS = 8
"""A week and what is left of today: weekly shifts show all their gaps in it."""


@dataclass(frozen=True, slots=True)
class Shift:
    """`who` (ids of people) from `start` to `end` on `days` (0 is Monday; None: every day), between the dates
    `first` and `last` if there are any. A shift belongs to the day on which it begins."""

    who: tuple[str, ...]
    days: frozenset[int] | None = None
    start: time = time(0)
    end: time = time(0)
    first: date | None = None
    last: date | None = None

    @property
    def dated(self) -> bool:
        return self.first is not None

    def begins_on(self, day: date) -> bool:
        if self.first is not None and not self.first <= day <= (self.last or self.first):
            return False
        return self.days is None or day.weekday() in self.days

    def on(self, day: date) -> tuple[datetime, datetime]:
        """Begin and end of the shift that begins on `day`: naive local times."""
        begin, end = datetime.combine(day, self.start), datetime.combine(day, self.end)
        return begin, end if end > begin else end + timedelta(days=1)

    def covers(self, local: datetime) -> bool:
        """Whether it is on at the naive local time `local`."""
        for day in (local.date(), local.date() - timedelta(days=1)):
            begin, end = self.on(day)
            if self.begins_on(day) and begin <= local < end:
                return True
        return False


Rota = Mapping[str, Sequence[Shift]]
"""Role -> its shifts."""


def on_call(shifts: Sequence[Shift], at: datetime, zone: ZoneInfo) -> tuple[str, ...]:
    """Ids of the people who are on call at `at` (aware), in the order of the shifts; empty if nobody is."""
    local = at.astimezone(zone).replace(tzinfo=None)
    on = [shift for shift in shifts if shift.covers(local)]
    chosen = [shift for shift in on if shift.dated] or on
    return tuple(dict.fromkeys(person for shift in chosen for person in shift.who))


def changes(shifts: Sequence[Shift], at: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants of the coming eight days at which a shift begins or ends, in order, each after `at`."""
    today = at.astimezone(zone).date()
    edges = {
        edge.replace(tzinfo=zone).astimezone(UTC)
        for shift in shifts
        for days in range(-1, LOOK_AHEAD_DAYS)
        if shift.begins_on(day := today + timedelta(days=days))
        for edge in shift.on(day)
    }
    return iter(sorted(edge for edge in edges if edge > at))


def until(shifts: Sequence[Shift], at: datetime, zone: ZoneInfo) -> datetime | None:
    """When others than those of `at` are on call; None if not within eight days."""
    now = set(on_call(shifts, at, zone))
    return next((edge for edge in changes(shifts, at, zone) if set(on_call(shifts, edge, zone)) != now), None)


def next_change(rota: Rota, at: datetime, zone: ZoneInfo) -> datetime | None:
    """When somebody's shift begins or ends next; None if not within eight days."""
    return min((first for shifts in rota.values() if (first := next(changes(shifts, at, zone), None))), default=None)


def gaps(shifts: Sequence[Shift], at: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """When nobody is on call in the week after `at`: (begin, end)."""
    end = at + timedelta(days=7)
    edges = [at, *(edge for edge in changes(shifts, at, zone) if edge < end), end]
    found: list[tuple[datetime, datetime]] = []
    for begin, until in pairwise(edges):
        if on_call(shifts, begin, zone):
            continue
        if found and found[-1][1] == begin:
            found[-1] = (found[-1][0], until)
        else:
            found.append((begin, until))
    return found
