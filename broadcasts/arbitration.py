"""Who holds the horn: the rank of a broadcast, and what one node really sounds when several airings want it.

Priority class first, then the level that ordered it, then the site's own table. A higher rank interrupts a lower
one, which goes on by its `if_interrupted`; equal ranks queue: the later one begins when the earlier has ended, if
that is still within its `if_late`. These are the rules that nodes follow; times here are integers, milliseconds
since 1970 in UTC, because a plan of a month is half a million of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from broadcasts.model import IfLate, InterruptAction, LateAction, Level, Priority

_CLASS = {Priority.NORMAL: 0, Priority.PRIORITY: 100, Priority.EMERGENCY: 200}
_LEVEL = {Level.COMMUNE: 10, Level.DISTRICT: 20, Level.PROVINCE: 30, Level.NATIONAL: 40}

STANDING_MAX = 9
"""The most that the site's table adds: never so much that it outranks the next level."""
ON_TIME_MS = 2000
"""A start this late still counts as on time, also for `if_late: drop`."""


def rank(priority: Priority, level: Level, standing: int = 0) -> int:
    """Rank of a broadcast, 10 to 249. `standing`: what the site's table adds within the level, 0 to 9."""
    return _CLASS[priority] + _LEVEL[level] + standing


class Bid(NamedTuple):
    """One airing that wants the horn of a node. `latest`: after this it does not begin any more."""

    start: int
    id: str
    length: int
    rank: int
    latest: int
    joins: bool
    """A late beginning sounds what is left, not the whole."""
    interrupted: InterruptAction
    exempt: int = 0
    """Guards that this airing passes, as bits; see `broadcasts.guards`."""
    item: int = 0
    """The caller's number of the airing."""


class Piece(NamedTuple):
    """An unbroken stretch of sound of one airing, [begin, end)."""

    begin: int
    end: int
    bid: Bid


class Waited(NamedTuple):
    """`bid` begins late, at `begins`, because `behind` had the horn."""

    bid: Bid
    behind: Bid
    begins: int


class Interrupted(NamedTuple):
    """`bid` gives way to `by` at an instant."""

    bid: Bid
    by: Bid
    at: int


class Missed(NamedTuple):
    """`bid` is never heard. `conflict`: an airing of its own rank had the horn, so neither is in the right."""

    bid: Bid
    behind: Bid
    conflict: bool


@dataclass(slots=True)
class Performance:
    """What one node sounds, in order of time, and what came in the way of what."""

    pieces: list[Piece] = field(default_factory=list)
    waited: list[Waited] = field(default_factory=list)
    interrupted: list[Interrupted] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)


def last_chance(start: int, length: int, late: IfLate) -> int:
    """Until when an airing may begin, inclusive. What joins and has nothing left does not begin."""
    within = 0 if late.do is LateAction.DROP else late.within_s * 1000
    latest = start + max(ON_TIME_MS, within)
    return min(latest, start + length - 1) if late.do is LateAction.JOIN else latest


def perform(bids: Sequence[Bid]) -> Performance:
    """What a node sounds of `bids`, which are ordered by start, then id."""
    result = Performance()
    pieces, count, index = result.pieces, len(bids), 0
    while index < count:
        bid = bids[index]
        end = bid.start + bid.length
        if index + 1 == count or bids[index + 1].start >= end:  # nearly always: nobody else wants the horn
            pieces.append(Piece(bid.start, end, bid))
            index += 1
        else:
            index = _Contest(bids, index, result).run()
    return result


@dataclass(slots=True)
class _Job:
    """An airing in a contest. `position`: ms of it that are behind it."""

    bid: Bid
    position: int = 0
    began: bool = False
    behind: Bid | None = None
    """Who had the horn first while this waited; `equal`: the first of its own rank."""
    equal: Bid | None = None

    def order(self, sounding: _Job | None) -> tuple[int, int, int, str]:
        """The highest rank first; among equals who has the horn, who had it, who is due first."""
        seniority = 0 if self is sounding else 1 if self.began else 2
        return -self.bid.rank, seniority, self.bid.start, self.bid.id

    def is_over(self, now: int) -> bool:
        """Nothing of it will sound any more."""
        if not self.began:
            return now > self.bid.latest
        return self.bid.interrupted is InterruptAction.JOIN and now - self.bid.start >= self.bid.length

    def begin(self, now: int) -> None:
        joins = self.bid.interrupted is InterruptAction.JOIN if self.began else self.bid.joins
        if joins:
            self.position = now - self.bid.start
        self.began = True


class _Contest:
    """The horn from the first of several airings that overlap until it is free and nobody waits."""

    def __init__(self, bids: Sequence[Bid], index: int, result: Performance) -> None:
        self._bids = bids
        self._index = index
        self._result = result
        self._live: list[_Job] = []
        """Waiting or held."""
        self._sounding: _Job | None = None
        self._since = 0

    def run(self) -> int:
        """Until the horn is free; the index of the first bid after that."""
        now = self._bids[self._index].start
        while True:
            self._arrive(now)
            self._give_up(now)
            self._give_horn(now)
            if self._sounding is None:
                return self._index
            self._note_blocked(self._sounding)
            now = self._next(self._sounding)

    def _arrive(self, now: int) -> None:
        while self._index < len(self._bids) and self._bids[self._index].start <= now:
            self._live.append(_Job(self._bids[self._index]))
            self._index += 1

    def _give_up(self, now: int) -> None:
        for job in [job for job in self._live if job.is_over(now)]:
            self._live.remove(job)
            if not job.began and job.behind is not None:
                self._result.missed.append(Missed(job.bid, job.equal or job.behind, job.equal is not None))

    def _give_horn(self, now: int) -> None:
        candidates = [*self._live, *([self._sounding] if self._sounding else [])]
        if not candidates:
            return
        best = min(candidates, key=lambda job: job.order(self._sounding))
        if best is self._sounding:
            return
        if self._sounding is not None:
            self._interrupt(self._sounding, best, now)
        self._live.remove(best)
        if best.behind is not None and not best.began:
            self._result.waited.append(Waited(best.bid, best.equal or best.behind, now))
        best.begin(now)
        self._sounding, self._since = best, now

    def _interrupt(self, job: _Job, by: _Job, now: int) -> None:
        self._close_piece(job, now)
        self._result.interrupted.append(Interrupted(job.bid, by.bid, now))
        if job.bid.interrupted is InterruptAction.DROP:
            return
        job.position = 0 if job.bid.interrupted is InterruptAction.RESTART else job.position + now - self._since
        self._live.append(job)

    def _note_blocked(self, sounding: _Job) -> None:
        for job in self._live:
            if not job.began:
                job.behind = job.behind or sounding.bid
                if job.bid.rank == sounding.bid.rank:
                    job.equal = job.equal or sounding.bid

    def _next(self, sounding: _Job) -> int:
        """When something happens next; the sounding one is over if that is its end."""
        end = self._since + sounding.bid.length - sounding.position
        if self._index < len(self._bids) and self._bids[self._index].start < end:
            return self._bids[self._index].start
        self._close_piece(sounding, end)
        self._sounding = None
        return end

    def _close_piece(self, job: _Job, end: int) -> None:
        self._result.pieces.append(Piece(self._since, end, job.bid))
