"""A whole plan before it is taken: what of it cannot be, why, and where else it would fit.

Nodes that hear the same broadcasts under the same guards sound the same; they are looked at once. What each of
these groups sounds, `arbitration` says; what may not be, `guards`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from broadcasts.arbitration import Bid, Interrupted, Missed, Performance, Piece, Waited, last_chance, perform
from broadcasts.guards import (
    AIRTIME,
    ALL_GUARDS,
    BIT,
    GAP,
    QUIET,
    Breach,
    Days,
    Guard,
    Guards,
    Limits,
    breaches,
    milliseconds,
    moment,
)
from broadcasts.model import Broadcast, Occurrence, Priority

DAY = 86_400_000
MINUTE = 60_000
SHOWN = 3
"""Nodes and airings that a line names; the rest is counted."""
MAX_SLOTS = 20
"""So many refusals are told where they would fit: whoever has more has one mistake many times."""
MAX_TRIES = 40
NEAR = 7
"""Days before and after that something which airs once may be moved to, if its own has no room."""


class Conflict(NamedTuple):
    """Two airings of one rank want the horn, and the later one cannot wait so long."""

    missed: Missed


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a broadcast cannot be taken as it is. `id`: its first airing that shows it; `more`: how many others do."""

    broadcast: str
    id: str
    nodes: tuple[str, ...]
    reason: str
    slot: datetime | None
    more: int = 0
    other: str = ""
    """The broadcast that it conflicts with."""

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Note:
    """What will happen to an airing on some nodes, though it may be: it waits, or gives way."""

    nodes: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Review:
    """What was found; `notes` by airing. Nothing refused: the plan may be taken."""

    refusals: tuple[Refusal, ...] = ()
    notes: Mapping[str, tuple[Note, ...]] = field(default_factory=dict)


def review(
    plan: Sequence[Occurrence],
    broadcasts: Mapping[str, Broadcast],
    guards: Callable[[str], Guards],
    zone: ZoneInfo,
    since: datetime,
) -> Review:
    """Look at `plan`, by start then id. `guards` of a node; what was over at `since` is not found fault with."""
    return _Reviewer(plan, broadcasts, guards, zone, milliseconds(since)).found() if plan else Review()


# --- who hears the same ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Group:
    """Nodes that sound the same: everything that is for these target `lists`, under these guards."""

    nodes: tuple[str, ...]
    lists: tuple[int, ...]
    guards: Guards
    limits: Limits


class _Today(NamedTuple):
    """Airings for one target list on one local day. Days with the same `pattern` have the same, at the same time."""

    pattern: int
    bids: list[Bid]


class _Heard:
    """Which target lists there are, and what is for each of them on each day."""

    def __init__(self, plan: Sequence[Occurrence], bids: Sequence[Bid], days: Days) -> None:
        self.lists: dict[tuple[str, ...], int] = {}
        self.of_broadcast: dict[str, int] = {}
        self.days: list[dict[int, _Today]] = []
        """Of each list, by number of the day."""
        airings = self._sorted_out(plan, bids)
        numbers = {broadcast: number for number, broadcast in enumerate(self.of_broadcast)}
        patterns: dict[tuple[int, ...], int] = {}
        for bids_of_list in airings:
            self.days.append(
                {
                    day: _Today(
                        patterns.setdefault(
                            tuple(
                                numbers[plan[bid.item].broadcast] * 2 * DAY + bid.start - days.midnights[day]
                                for bid in of_day
                            ),
                            len(patterns),
                        ),
                        of_day,
                    )
                    for day, of_day in _by_day(bids_of_list, days)
                }
            )

    def _sorted_out(self, plan: Sequence[Occurrence], bids: Sequence[Bid]) -> list[list[Bid]]:
        airings: list[list[Bid]] = []
        known = self.of_broadcast
        for one, bid in zip(plan, bids, strict=True):
            if one.broadcast not in known:  # hashing a list of a thousand nodes for each airing would be slow
                known[one.broadcast] = self.lists.setdefault(one.nodes, len(self.lists))
                if len(self.lists) > len(airings):
                    airings.append([])
            airings[known[one.broadcast]].append(bid)
        return airings

    def alike(self, guards: Callable[[str], Guards]) -> Iterator[tuple[tuple[int, ...], Guards, tuple[str, ...]]]:
        """Nodes with the same lists and guards."""
        lists_of: defaultdict[str, list[int]] = defaultdict(list)
        for nodes, number in self.lists.items():
            for node in nodes:
                lists_of[node].append(number)
        alike: defaultdict[tuple[tuple[int, ...], Guards], list[str]] = defaultdict(list)
        for node, lists in lists_of.items():
            alike[tuple(lists), guards(node)].append(node)
        for (numbers, held), found in alike.items():
            yield numbers, held, tuple(found)

    def bids(self, lists: Iterable[int], days: Iterable[int]) -> list[Bid]:
        """Everything for `lists` on `days`, by start then id."""
        known = [self.days[one] for one in lists]
        return sorted(bid for day in days for of_list in known if day in of_list for bid in of_list[day].bids)


def _by_day(bids: Sequence[Bid], days: Days) -> Iterator[tuple[int, list[Bid]]]:
    first = 0
    while first < len(bids):
        day = days.number(bids[first].start)
        last = bisect_left(bids, days.midnights[day + 1], first, key=lambda bid: bid.start)
        yield day, list(bids[first:last])
        first = last


def _bids(plan: Sequence[Occurrence], broadcasts: Mapping[str, Broadcast]) -> list[Bid]:
    exempt = {id: _exempt(one) for id, one in broadcasts.items()}
    lengths: dict[str, tuple[int, int, bool]] = {}
    bids = []
    for number, one in enumerate(plan):
        start = milliseconds(one.start)
        if one.broadcast not in lengths:
            length = max(1, milliseconds(one.end) - start)
            late = one.playlist.if_late
            lengths[one.broadcast] = length, last_chance(0, length, late), late.do.value == "join"
        length, chance, joins = lengths[one.broadcast]
        bids.append(
            Bid(
                start,
                one.id,
                length,
                one.rank,
                start + chance,
                joins,
                one.playlist.if_interrupted,
                exempt[one.broadcast],
                number,
            )
        )
    return bids


def _exempt(broadcast: Broadcast) -> int:
    if broadcast.priority is Priority.EMERGENCY:
        return ALL_GUARDS
    return sum(BIT[Guard(name)] for name, _ in broadcast.override)


# --- the whole plan --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Finding:
    """One thing wrong with a broadcast, on one or more groups and days. `first`: the earliest."""

    first: Breach | Conflict
    guards: Guards
    airings: set[int] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Day:
    """What one local day sounds like for a group; `first` and `last` sound are ms after its midnight."""

    bids: Sequence[Bid]
    midnight: int
    first: int
    last: int
    performance: Performance
    breaches: Sequence[Breach]

    @classmethod
    def of(cls, bids: Sequence[Bid], group: _Group, midnight: int) -> _Day:
        performance = perform(bids)
        pieces = performance.pieces
        return cls(
            bids,
            midnight,
            pieces[0].begin - midnight,
            pieces[-1].end - midnight,
            performance,
            breaches(pieces, group.limits),
        )

    @property
    def eventful(self) -> bool:
        told = self.performance
        return bool(self.breaches or told.waited or told.interrupted or told.missed)

    def moved(self, bids: Sequence[Bid], midnight: int) -> tuple[Performance, list[Breach]]:
        """The events of this day on another one like it, whose `bids` these are."""
        by = midnight - self.midnight
        then = {old.item: new for old, new in zip(self.bids, bids, strict=True)}
        told = self.performance
        moved = Performance(
            waited=[Waited(then[a.item], then[b.item], at + by) for a, b, at in told.waited],
            interrupted=[Interrupted(then[a.item], then[b.item], at + by) for a, b, at in told.interrupted],
            missed=[Missed(then[a.item], then[b.item], conflict) for a, b, conflict in told.missed],
        )
        return moved, [
            Breach(guard, Piece(begin + by, end + by, then[bid.item]), amount)
            for guard, (begin, end, bid), amount in self.breaches
        ]


class _Reviewer:
    def __init__(
        self,
        plan: Sequence[Occurrence],
        broadcasts: Mapping[str, Broadcast],
        guards: Callable[[str], Guards],
        zone: ZoneInfo,
        since: int,
    ) -> None:
        self._plan = plan
        self._broadcasts = broadcasts
        self._zone = zone
        self._since = since
        bids = _bids(plan, broadcasts)
        self._days = Days.between(zone, bids[0].start, max(bid.start + bid.length for bid in bids))
        self._heard = _Heard(plan, bids, self._days)
        self._groups_of: defaultdict[int, list[_Group]] = defaultdict(list)
        self._findings: dict[tuple[str, ...], _Finding] = {}
        self._notes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._look(guards)

    def found(self) -> Review:
        ordered = sorted(self._findings.items(), key=lambda item: (_bid_of(item[1].first).start, item[0]))
        refusals = [self._refusal(key, finding, n < MAX_SLOTS) for n, (key, finding) in enumerate(ordered)]
        notes: defaultdict[str, tuple[Note, ...]] = defaultdict(tuple)
        for (id, text), nodes in self._notes.items():
            notes[id] += (Note(tuple(sorted(nodes)), text),)
        return Review(tuple(refusals), dict(notes))

    def _look(self, guards: Callable[[str], Guards]) -> None:
        limits: dict[Guards, Limits] = {}
        for lists, held, nodes in self._heard.alike(guards):
            if held not in limits:
                limits[held] = Limits.of(held, self._days)
            group = _Group(nodes, lists, held, limits[held])
            for one in lists:
                self._groups_of[one].append(group)
            self._look_at(group)

    def _look_at(self, group: _Group) -> None:
        """Day by day, and a day like one before is not looked at again; as one where days run into each other."""
        numbers = sorted({day for one in group.lists for day in self._heard.days[one]})
        seen: dict[Hashable, _Day] = {}
        alike: list[tuple[int, _Day]] = []
        for number in numbers:
            key = self._likeness(group, number)
            if key not in seen:
                seen[key] = _Day.of(self._heard.bids(group.lists, [number]), group, self._days.midnights[number])
            alike.append((number, seen[key]))
        if not self._apart(alike, group.limits.gap):
            alike = [(numbers[0], _Day.of(self._heard.bids(group.lists, numbers), group, 0))]
            self._take(alike[0][1].performance, alike[0][1].breaches, group)
            return
        for number, day in alike:
            if day.eventful:
                self._take(*day.moved(self._heard.bids(group.lists, [number]), self._days.midnights[number]), group)

    def _likeness(self, group: _Group, number: int) -> Hashable:
        """Two days with the same sound the same, and their guards are at the same times."""
        patterns = tuple(days[number].pattern if number in days else -1 for days in map(self._of_list, group.lists))
        return patterns, group.limits.shape(number)

    def _of_list(self, one: int) -> Mapping[int, _Today]:
        return self._heard.days[one]

    def _apart(self, days: Sequence[tuple[int, _Day]], gap: int) -> bool:
        """Whether each day is over, also for the guards, before the next begins."""
        midnights = self._days.midnights
        ends = [midnights[number] + day.last for number, day in days]
        begins = [midnights[number] + day.first for number, day in days]
        over = all(end < midnights[number + 1] for end, (number, _) in zip(ends, days, strict=True))
        return over and all(begin - end >= max(gap, 1) for end, begin in zip(ends, begins[1:], strict=False))

    def _take(self, performance: Performance, broken: Iterable[Breach], group: _Group) -> None:
        for breach in broken:
            self._find((breach.guard.value, self._broadcast(breach.piece.bid)), breach, group)
        for missed in performance.missed:
            pair = tuple(sorted((self._broadcast(missed.bid), self._broadcast(missed.behind))))
            if missed.conflict and not any(self._broadcasts[one].allow_conflict for one in pair):
                self._find(("conflict", *pair), Conflict(missed), group)
            else:
                self._note(missed.bid, _left_out(missed), group)
        self._note_turns(performance, group)

    def _note_turns(self, performance: Performance, group: _Group) -> None:
        for waited in performance.waited:
            self._note(waited.bid, _late(waited, self._zone), group)
        for interrupted in performance.interrupted:
            self._note(interrupted.bid, _gave_way(interrupted, self._zone), group)

    def _broadcast(self, bid: Bid) -> str:
        return self._plan[bid.item].broadcast

    def _find(self, key: tuple[str, ...], what: Breach | Conflict, group: _Group) -> None:
        bid = _bid_of(what)
        if bid.start + bid.length <= self._since:
            return
        finding = self._findings.setdefault(key, _Finding(what, group.guards))
        if bid.start < _bid_of(finding.first).start:
            finding.first, finding.guards, finding.nodes = what, group.guards, set()
        finding.airings.add(bid.item)
        if bid.item == _bid_of(finding.first).item:
            finding.nodes.update(group.nodes)

    def _note(self, bid: Bid, text: str, group: _Group) -> None:
        self._notes[bid.id, text].extend(group.nodes)

    # --- saying it -------------------------------------------------------------------------------------------------

    def _refusal(self, key: tuple[str, ...], finding: _Finding, with_slot: bool) -> Refusal:
        bid = _bid_of(finding.first)
        broadcast, nodes = self._broadcast(bid), tuple(sorted(finding.nodes))
        slot = self._slot(bid) if with_slot else None
        more = len(finding.airings) - 1
        parts = [
            f"{bid.id} {_wrong(finding.first, finding.guards, self._zone)} on {_some(nodes)}",
            f" (and {more} more airing{'s' if more > 1 else ''})" if more else "",
            self._way_out(bid, slot) if with_slot else "",
        ]
        other = next((one for one in key[1:] if one != broadcast), broadcast) if key[0] == "conflict" else ""
        return Refusal(broadcast, bid.id, nodes, "".join(parts), slot and slot.astimezone(self._zone), more, other)

    def _way_out(self, bid: Bid, slot: datetime | None) -> str:
        day = _day(bid.start, self._zone)
        if slot is None:
            return f"; no time on {day} fits" + (f" or within {NEAR} days of it" if self._airs_once(bid) else "")
        local = slot.astimezone(self._zone)
        if local.date().isoformat() == day:
            return f"; the nearest time that fits on {day} is {local:%H:%M}"
        return f"; no time on {day} fits, the nearest that does is {local:%Y-%m-%d %H:%M}"

    def _airs_once(self, bid: Bid) -> bool:
        """Whether another day would do: a series has its days for a reason, and the next is like this one."""
        return not self._broadcasts[self._broadcast(bid)].at

    def _slot(self, bid: Bid) -> datetime | None:
        """When the whole of it would fit: on its own day, else, if it airs once, as near to it as there is a time."""
        groups = self._groups_of[self._heard.of_broadcast[self._broadcast(bid)]]
        day = self._days.number(bid.start)
        found = self._nearest(bid, groups, range(day, day + 1))
        if found is None and self._airs_once(bid):
            found = self._nearest(bid, groups, range(max(0, day - NEAR), day + NEAR + 1))
        return None if found is None else moment(found)

    def _nearest(self, bid: Bid, groups: Sequence[_Group], days: range) -> int | None:
        """Of these days, the nearest whole minute to the start of `bid` that fits on all groups."""
        places: dict[int, list[_Place]] = {}
        tries = 0
        for at in self._minutes(bid.start, days):
            day = self._days.number(at)
            if day not in places:
                around = range(day - 1, day + 2)
                made = [_Place.of(group, self._heard.bids(group.lists, around), bid, at) for group in groups]
                places[day] = [] if any(place.full for place in made) else made
            if places[day] and all(place.may_fit(at) for place in places[day]):
                if all(place.fits(at) for place in places[day]):
                    return at
                tries += 1
                if tries == MAX_TRIES:
                    return None
        return None

    def _minutes(self, start: int, days: range) -> Iterator[int]:
        """Whole minutes of these local days from `start` outwards, none before the plan is looked at."""
        midnights = self._days.midnights
        first = max(midnights[days.start], self._since)
        last = midnights[min(days.stop, len(midnights) - 2)]  # the last one never comes
        before, after = start // MINUTE, -(-start // MINUTE)
        for away in range(len(days) * DAY // MINUTE + 61):
            for minute in (after + away, before - away):
                if first <= minute * MINUTE < last and minute * MINUTE != start:
                    yield minute * MINUTE


@dataclass(frozen=True, slots=True)
class _Place:
    """A day on one group of nodes without an airing: is there room for it?"""

    bid: Bid
    limits: Limits
    others: Sequence[Bid]
    sound: Sequence[Piece]
    wrong: frozenset[tuple[str, int]]
    used: int
    """Airtime of the day."""

    @classmethod
    def of(cls, group: _Group, near: Iterable[Bid], bid: Bid, at: int) -> _Place:
        others = [one for one in near if one.item != bid.item]
        performance = perform(others)
        return cls(
            bid,
            group.limits,
            others,
            performance.pieces,
            _wrongs(performance, group.limits),
            _airtime(performance.pieces, group.limits.midnights, at),
        )

    @property
    def full(self) -> bool:
        """Whether that day has no airtime left for it, at whatever time."""
        return not self.bid.exempt & AIRTIME and self.used + self.bid.length > self.limits.airtime

    def may_fit(self, at: int) -> bool:
        """Quickly: whether it is worth trying."""
        end, limits, exempt = at + self.bid.length, self.limits, self.bid.exempt
        after = bisect_right(self.sound, at, key=lambda piece: piece.begin)
        before_end = self.sound[after - 1].end if after else -DAY
        after_begin = self.sound[after].begin if after < len(self.sound) else end + DAY
        if before_end > at or after_begin < end:
            return False
        if not exempt & GAP and (0 < at - before_end < limits.gap or 0 < after_begin - end < limits.gap):
            return False
        quiet = bisect_right(limits.quiet, (end - 1, end)) - 1
        return bool(exempt & QUIET) or quiet < 0 or limits.quiet[quiet][1] <= at

    def fits(self, at: int) -> bool:
        """It sounds there in one piece, breaks nothing, and nothing else is worse off than without it."""
        moved = self.bid._replace(start=at, latest=at + self.bid.latest - self.bid.start)
        performance = perform(sorted((*self.others, moved)))
        own = [piece for piece in performance.pieces if piece.bid.item == moved.item]
        whole = [(piece.begin, piece.end) for piece in own] == [(at, at + moved.length)]
        return whole and _wrongs(performance, self.limits) <= self.wrong


def _wrongs(performance: Performance, limits: Limits) -> frozenset[tuple[str, int]]:
    found = {(breach.guard.value, breach.piece.bid.item) for breach in breaches(performance.pieces, limits)}
    return frozenset(found | {("conflict", missed.bid.item) for missed in performance.missed})


def _airtime(pieces: Sequence[Piece], midnights: Sequence[int], at: int) -> int:
    """What the local day of `at` has of sound that counts."""
    day = bisect_right(midnights, at) - 1
    begin, end = midnights[day], midnights[day + 1]
    counted = (piece for piece in pieces if not piece.bid.exempt & AIRTIME)
    return sum(max(0, min(piece.end, end) - max(piece.begin, begin)) for piece in counted)


# --- words -----------------------------------------------------------------------------------------------------


def _bid_of(what: Breach | Conflict) -> Bid:
    return what.piece.bid if isinstance(what, Breach) else what.missed.bid


def _wrong(what: Breach | Conflict, guards: Guards, zone: ZoneInfo) -> str:
    if isinstance(what, Conflict):
        bid, behind = what.missed.bid, what.missed.behind
        return (
            f"conflicts with {behind.id}, which has the same rank ({bid.rank}) and the horn then: "
            f"it could begin until {_clock(bid.latest, zone)} and finds no silence"
        )
    begin, end = _clock(what.piece.begin, zone), _clock(_whole_second(what.piece.end), zone)
    match what.guard:
        case Guard.QUIET:
            return f"sounds from {begin} to {end}, within quiet hours ({', '.join(map(str, guards.quiet))})"
        case Guard.SESSION:
            return f"makes a session of {length_of(what.amount)}; {_limit(guards.session)} is allowed (session)"
        case Guard.AIRTIME:
            return f"makes {length_of(what.amount)} on that day; {_limit(guards.airtime)} is allowed (daily-airtime)"
        case Guard.GAP:
            return f"begins {length_of(what.amount)} after what sounds before; {_limit(guards.gap)} is required (gap)"


def _limit(limit: timedelta | None) -> str:
    return length_of(int((limit or timedelta()) / timedelta(milliseconds=1)))


def length_of(ms: int) -> str:
    """A length of time as people write it in the configuration: 1h4m20s."""
    seconds, rest = divmod(ms, 1000)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    tail = seconds % 60 + rest / 1000
    return "".join(parts) + (f"{tail:g}s" if tail or not any(parts) else "")


def _late(waited: Waited, zone: ZoneInfo) -> str:
    late = waited.begins - waited.bid.start
    lost = f", without its first {length_of(late)}" if waited.bid.joins else ""
    return f"waits for {waited.behind.id} and begins at {_clock(waited.begins, zone)}{lost}"


def _gave_way(interrupted: Interrupted, zone: ZoneInfo) -> str:
    goes_on = f"then: {interrupted.bid.interrupted.value}"
    return f"is interrupted by {interrupted.by.id} at {_clock(interrupted.at, zone)}, {goes_on}"


def _left_out(missed: Missed) -> str:
    why = "which has the same rank (a conflict that is allowed)" if missed.conflict else "which has a higher rank"
    return f"is not heard: {missed.behind.id}, {why}, has the horn too long"


def _clock(ms: int, zone: ZoneInfo) -> str:
    at = moment(ms).astimezone(zone)
    return f"{at:%H:%M:%S}" if ms % MINUTE else f"{at:%H:%M}"


def _whole_second(ms: int) -> int:
    """Rounded up: what sounds for less than a second does not end when it begins."""
    return -(-ms // 1000) * 1000


def _day(ms: int, zone: ZoneInfo) -> str:
    return f"{moment(ms).astimezone(zone):%Y-%m-%d}"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def lines(refusals: Iterable[Refusal], broadcasts: Mapping[str, Broadcast]) -> tuple[str, ...]:
    """Refusals as problems of the configuration, with the place of the broadcast."""
    return tuple(f"{broadcasts[one.broadcast].place}: broadcast '{one.broadcast}': {one}" for one in refusals)
