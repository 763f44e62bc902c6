"""Guards: when and how much a village may be talked to. Only emergencies pass them, and what has a reason to.

Four of them, per node: quiet hours; the length of a session, which is sound without a break; airtime a local day;
the least silence between two sessions. What passes a guard does not count in it either, and what is refused does
not count against what comes after it. Times are integers, milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from broadcasts.arbitration import Piece
from broadcasts.recurrence import instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
NEVER = 1 << 62


class Guard(StrEnum):
    """A guard by the name that the configuration has for it."""

    QUIET = "quiet-hours"
    SESSION = "session"
    AIRTIME = "daily-airtime"
    GAP = "gap"


QUIET, SESSION, AIRTIME, GAP = 1, 2, 4, 8
BIT = {Guard.QUIET: QUIET, Guard.SESSION: SESSION, Guard.AIRTIME: AIRTIME, Guard.GAP: GAP}
ALL_GUARDS = QUIET | SESSION | AIRTIME | GAP


@dataclass(frozen=True, slots=True)
class Span:
    """Local time of day, [begin, end); over midnight when `end` is not after `begin`."""

    begin: time
    end: time

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True, slots=True)
class Guards:
    """What holds for a node. None, or no span, is no limit."""

    quiet: tuple[Span, ...] = (Span(time(21), time(5)),)
    session: timedelta | None = timedelta(hours=1)
    airtime: timedelta | None = timedelta(hours=4)
    gap: timedelta | None = timedelta(seconds=10)

    @classmethod
    def none(cls) -> Guards:
        """Nothing is forbidden."""
        return cls(quiet=(), session=None, airtime=None, gap=None)


USUAL = Guards()
"""What holds where nobody says anything else."""


@dataclass(frozen=True, slots=True)
class GuardChange:
    """What a commune or zone says for itself, by guard; what is not there is left as it is."""

    quiet: tuple[Span, ...] | None = None
    """None: as it is; empty: no quiet hours."""
    limits: Mapping[Guard, timedelta | None] | None = None

    def over(self, base: Guards) -> Guards:
        limits = self.limits or {}
        return Guards(
            quiet=base.quiet if self.quiet is None else self.quiet,
            session=limits.get(Guard.SESSION, base.session),
            airtime=limits.get(Guard.AIRTIME, base.airtime),
            gap=limits.get(Guard.GAP, base.gap),
        )


def of_zones(base: Guards, changes: Sequence[GuardChange]) -> Guards:
    """Guards of a node in several zones that each say something: for every guard the strictest of them."""
    if not changes:
        return base
    spans = [change.quiet for change in changes if change.quiet is not None]
    quiet = base.quiet if not spans else tuple(dict.fromkeys(span for each in spans for span in each))
    session, airtime, gap = (
        [change.limits[guard] for change in changes if change.limits and guard in change.limits]
        for guard in (Guard.SESSION, Guard.AIRTIME, Guard.GAP)
    )
    return replace(
        base,
        quiet=quiet,
        session=_least(session) if session else base.session,
        airtime=_least(airtime) if airtime else base.airtime,
        gap=max((one for one in gap if one is not None), default=None) if gap else base.gap,
    )


def _least(limits: Iterable[timedelta | None]) -> timedelta | None:
    return min((one for one in limits if one is not None), default=None)


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970 of an aware time, cut off."""
    return (at - EPOCH) // MS


def moment(ms: int) -> datetime:
    """The aware UTC time of milliseconds since 1970."""
    return EPOCH + ms * MS


# --- a window of days ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Days:
    """Local days in a zone. `midnights`: the instants where they begin, then one that never comes."""

    zone: ZoneInfo
    first: date
    midnights: tuple[int, ...]

    @classmethod
    def between(cls, zone: ZoneInfo, begin: int, end: int) -> Days:
        """The days of [begin, end] with one before and some after: what queues may sound later than it was meant."""
        first = moment(begin).astimezone(zone).date() - timedelta(days=1)
        last = moment(end).astimezone(zone).date() + timedelta(days=3)
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        begins = (milliseconds(instant(datetime.combine(day, time()), zone)) for day in days)
        return cls(zone, first, (*begins, NEVER))

    def number(self, at: int) -> int:
        """Which of these days an instant is in."""
        return bisect_right(self.midnights, at) - 1

    def quiet(self, spans: Sequence[Span]) -> tuple[tuple[int, int], ...]:
        """Quiet hours of these days as [begin, end), apart from each other and in order."""
        found = sorted(
            (self._at(day, span.begin), self._at(day + (span.end <= span.begin), span.end))
            for span in spans
            for day in range(-1, len(self.midnights))
        )
        return tuple(_merged(found))

    def _at(self, day: int, at: time) -> int:
        return milliseconds(instant(datetime.combine(self.first + timedelta(days=day), at), self.zone))


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif begin < end:
            merged.append((begin, end))
    return merged


# --- what breaks a guard ---------------------------------------------------------------------------------------


class Breach(NamedTuple):
    """A stretch of sound that breaks a guard. `amount`: ms of session, of airtime that day, or of silence."""

    guard: Guard
    piece: Piece
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """Guards of a node in milliseconds, over some days."""

    quiet: tuple[tuple[int, int], ...]
    midnights: tuple[int, ...]
    session: int
    airtime: int
    gap: int

    def shape(self, day: int) -> Hashable:
        """How long a day is, and when in it the quiet hours are: days of one shape are guarded alike."""
        midnight, after = self.midnights[day], self.midnights[day + 1]
        at = bisect_right(self.quiet, (midnight, midnight)) - 1
        near = self.quiet[max(at, 0) : bisect_right(self.quiet, (after, after))]
        inside = tuple((max(begin, midnight) - midnight, min(end, after) - midnight) for begin, end in near)
        return after - midnight, inside

    @classmethod
    def of(cls, guards: Guards, days: Days) -> Limits:
        return cls(
            days.quiet(guards.quiet),
            days.midnights,
            NEVER if guards.session is None else guards.session // MS,
            NEVER if guards.airtime is None else guards.airtime // MS,
            0 if guards.gap is None else guards.gap // MS,
        )


def breaches(pieces: Sequence[Piece], limits: Limits) -> list[Breach]:
    """What of `pieces`, all that one node sounds in order of time, breaks a guard. They lie within the days."""
    return [*_by_the_clock(pieces, limits), *_by_the_silence(pieces, limits)]


def _by_the_clock(pieces: Sequence[Piece], limits: Limits) -> list[Breach]:
    """Quiet hours and airtime a day."""
    found: list[Breach] = []
    quiet, midnights, most = limits.quiet, limits.midnights, limits.airtime
    at, day, used, spans = 0, 0, 0, len(quiet)
    for piece in pieces:
        begin, end, bid = piece
        while at < spans and quiet[at][1] <= begin:
            at += 1
        if at < spans and quiet[at][0] < end and not bid.exempt & QUIET:
            found.append(Breach(Guard.QUIET, piece))
        if bid.exempt & AIRTIME:
            continue
        while begin < end:
            while midnights[day + 1] <= begin:
                day, used = day + 1, 0
            part = min(end, midnights[day + 1])
            used += part - begin
            if used > most:
                found.append(Breach(Guard.AIRTIME, piece, used))
                used -= part - begin
            begin = part
    return found


def _by_the_silence(pieces: Sequence[Piece], limits: Limits) -> list[Breach]:
    """Length of a session and the silence before it. A session goes on as long as anything sounds."""
    found: list[Breach] = []
    ended, session, ordinary = -NEVER, 0, False
    for piece in pieces:
        begin, end, bid = piece
        silence = begin - ended
        if silence > 0:
            session = 0
            if silence < limits.gap and ordinary and not bid.exempt & GAP:
                found.append(Breach(Guard.GAP, piece, silence))
        if not bid.exempt & SESSION:
            session += end - begin
            if session > limits.session:
                found.append(Breach(Guard.SESSION, piece, session))
                session -= end - begin
        ended, ordinary = end, not bid.exempt & GAP
    return found


def quiet_at(guards: Guards, zone: ZoneInfo, begin: datetime, end: datetime) -> datetime | None:
    """When the quiet hours end that [begin, end) falls into; None when it falls into none."""
    first, last = milliseconds(begin), milliseconds(end)
    for start, stop in Days.between(zone, first, last).quiet(guards.quiet):
        if start < last and first < stop:
            return moment(stop)
    return None
