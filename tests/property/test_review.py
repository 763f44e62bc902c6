"""Who gets the horn and what breaks a guard, against models that go minute by minute and node by node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcasts.arbitration import Bid, Piece, last_chance, perform
from broadcasts.calendar import VIETNAM
from broadcasts.guards import (
    AIRTIME,
    ALL_GUARDS,
    BIT,
    GAP,
    QUIET,
    SESSION,
    Days,
    Guard,
    Guards,
    Limits,
    Span,
    breaches,
    milliseconds,
    moment,
)
from broadcasts.model import (
    Broadcast,
    FileTrack,
    IfLate,
    InterruptAction,
    LateAction,
    Level,
    Occurrence,
    Priority,
    Rendered,
    Say,
    Weekday,
)
from broadcasts.review import review
from broadcasts.timeline import Ready, occurrences

MINUTE = 60_000
HANOI, BERLIN = ZoneInfo("Asia/Ho_Chi_Minh"), ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 10, 24, 10, tzinfo=UTC)  # Berlin's clock goes back in the night after it
WINDOW = (BEGIN, BEGIN + timedelta(days=6))

lates = st.builds(IfLate, st.sampled_from(LateAction), st.integers(0, 90).map(lambda minutes: minutes * 60))


# --- the models ------------------------------------------------------------------------------------------------


@dataclass
class Job:
    bid: Bid
    done: int = 0
    begun: bool = False
    over: bool = False
    equals: set[int] = field(default_factory=set)


@dataclass
class Minutes:
    """What sounds in each minute, and what is never heard: {item: whether its own rank is why}."""

    sound: dict[int, Bid] = field(default_factory=dict)
    missed: dict[int, bool] = field(default_factory=dict)


def minute_by_minute(bids: Sequence[Bid]) -> Minutes:
    """A node that decides anew at every minute."""
    told, jobs, sounding = Minutes(), [Job(bid) for bid in bids], None
    now = min(bid.start for bid in bids) // MINUTE
    while not all(job.over for job in jobs):
        for job in jobs:
            if not job.over and not job.begun and now * MINUTE > job.bid.latest:
                job.over = True
                told.missed[job.bid.item] = bool(job.equals)
        wanting = [job for job in jobs if wants(job, now, sounding)]
        best = min(wanting, key=lambda job: turn(job, sounding), default=None)
        if sounding is not None and best is not sounding and not sounding.over:
            give_way(sounding)
        if best is not None:
            sound(best, sounding, now)
            told.sound[now] = best.bid
            for job in wanting:
                if not job.begun and job.bid.rank == best.bid.rank:
                    job.equals.add(best.bid.item)
        sounding = best
        now += 1
    return told


def wants(job: Job, now: int, sounding: Job | None) -> bool:
    joins_nothing = (
        job.begun
        and job is not sounding
        and job.bid.interrupted is InterruptAction.JOIN
        and now - job.bid.start // MINUTE >= job.bid.length // MINUTE
    )
    if joins_nothing:
        job.over = True
    return not job.over and job.bid.start <= now * MINUTE


def turn(job: Job, sounding: Job | None) -> tuple[int, bool, bool, int, str]:
    return -job.bid.rank, job is not sounding, not job.begun, job.bid.start, job.bid.id


def give_way(job: Job) -> None:
    job.over = job.bid.interrupted is InterruptAction.DROP
    if job.bid.interrupted is InterruptAction.RESTART:
        job.done = 0


def sound(job: Job, before: Job | None, now: int) -> None:
    joins = job.bid.interrupted is InterruptAction.JOIN if job.begun else job.bid.joins
    if job is not before and joins:
        job.done = now - job.bid.start // MINUTE
    job.begun = True
    job.done += 1
    job.over = job.done * MINUTE >= job.bid.length


def whole_runs(sound: Mapping[int, Bid]) -> Iterator[tuple[list[int], Bid]]:
    """Neighbouring minutes of one airing."""
    for (_, item), alike in groupby(enumerate(sorted(sound)), key=lambda at: (at[1] - at[0], sound[at[1]].item)):
        minutes = [minute for _, minute in alike]
        assert sound[minutes[0]].item == item
        yield minutes, sound[minutes[0]]


def runs(sound: Mapping[int, Bid], zone: ZoneInfo) -> Iterator[tuple[list[int], Bid]]:
    """The same, cut at local midnights."""
    for minutes, bid in whole_runs(sound):
        for _, of_day in groupby(minutes, key=lambda minute: moment(minute * MINUTE).astimezone(zone).date()):
            yield list(of_day), bid


def is_quiet(minute: int, spans: Sequence[Span], zone: ZoneInfo) -> bool:
    at = moment(minute * MINUTE).astimezone(zone).time()
    return any(
        span.begin <= at < span.end if span.begin < span.end else at >= span.begin or at < span.end for span in spans
    )


def broken(sound: Mapping[int, Bid], guards: Guards, zone: ZoneInfo) -> set[tuple[Guard, int]]:
    """Guards that airings break, from nothing but what sounds in which minute."""
    return {
        *((Guard.QUIET, bid.item) for minute, bid in sound.items() if breaks_silence(minute, bid, guards, zone)),
        *too_much_a_day(sound, guards, zone),
        *too_long_or_too_near(sound, guards),
    }


def breaks_silence(minute: int, bid: Bid, guards: Guards, zone: ZoneInfo) -> bool:
    return not bid.exempt & QUIET and is_quiet(minute, guards.quiet, zone)


def too_much_a_day(sound: Mapping[int, Bid], guards: Guards, zone: ZoneInfo) -> Iterator[tuple[Guard, int]]:
    used: dict[date, timedelta] = {}
    for minutes, bid in runs(sound, zone):
        day, length = moment(minutes[0] * MINUTE).astimezone(zone).date(), timedelta(minutes=len(minutes))
        if guards.airtime is None or bid.exempt & AIRTIME:
            continue
        if used.get(day, timedelta()) + length > guards.airtime:
            yield Guard.AIRTIME, bid.item
        else:
            used[day] = used.get(day, timedelta()) + length


def too_long_or_too_near(sound: Mapping[int, Bid], guards: Guards) -> Iterator[tuple[Guard, int]]:
    ended, before, session = None, None, 0
    for minutes, bid in whole_runs(sound):
        silence = None if ended is None else minutes[0] - ended - 1
        session = session if silence == 0 else 0
        near = guards.gap is not None and silence and timedelta(minutes=silence) < guards.gap
        if near and before is not None and not before.exempt & GAP and not bid.exempt & GAP:
            yield Guard.GAP, bid.item
        if guards.session is not None and not bid.exempt & SESSION:
            if timedelta(minutes=session + len(minutes)) > guards.session:
                yield Guard.SESSION, bid.item
            else:
                session += len(minutes)
        ended, before = minutes[-1], bid


# --- one node --------------------------------------------------------------------------------------------------


@st.composite
def contests(draw: st.DrawFn, spread: int = 300) -> list[Bid]:
    bids = []
    for item in range(draw(st.integers(1, 9))):
        start = milliseconds(BEGIN) + MINUTE * draw(st.integers(0, spread))
        length = MINUTE * draw(st.integers(1, 60))
        late = draw(lates)
        bids.append(
            Bid(
                start,
                f"tin-{item}",
                length,
                draw(st.sampled_from([10, 20, 110])),
                last_chance(start, length, late),
                late.do is LateAction.JOIN,
                draw(st.sampled_from(InterruptAction)),
                draw(st.sampled_from([0, 0, 0, QUIET, SESSION, AIRTIME, GAP, ALL_GUARDS])),
                item,
            )
        )
    return sorted(bids)


def minutes_of(pieces: Sequence[Piece]) -> dict[int, Bid]:
    return {minute: piece.bid for piece in pieces for minute in range(piece.begin // MINUTE, -(-piece.end // MINUTE))}


@given(contests())
@settings(max_examples=200, deadline=None)
def test_the_horn_goes_to_whom_a_node_gives_it_minute_by_minute(bids: list[Bid]) -> None:
    told, model = perform(bids), minute_by_minute(bids)
    assert minutes_of(told.pieces) == model.sound
    assert {missed.bid.item: missed.conflict for missed in told.missed} == model.missed
    assert all(a.end <= b.begin for a, b in zip(told.pieces, told.pieces[1:], strict=False))


@given(contests())
@settings(max_examples=200, deadline=None)
def test_equal_ranks_never_interrupt_each_other_and_none_is_lost_without_a_word(bids: list[Bid]) -> None:
    told = perform(bids)
    assert all(by.rank > bid.rank for bid, by, _ in told.interrupted)
    heard = {piece.bid.item for piece in told.pieces}
    assert heard | {missed.bid.item for missed in told.missed} == {bid.item for bid in bids}
    late = {bid.item: begins for bid, _, begins in told.waited}
    for item in heard:
        first = min(piece.begin for piece in told.pieces if piece.bid.item == item)
        assert first == late.get(item, bids[[bid.item for bid in bids].index(item)].start)


hours = st.sampled_from([0, 5, 8, 12, 17, 21]).map(time)
spans = st.builds(Span, hours, hours).filter(lambda span: span.begin != span.end)


def limit(*minutes: int) -> st.SearchStrategy[timedelta | None]:
    return st.sampled_from([None, *(timedelta(minutes=one) for one in minutes)])


guards_of_a_node = st.builds(
    Guards,
    quiet=st.lists(spans, max_size=2).map(tuple),
    session=limit(20, 45, 90),
    airtime=limit(30, 60, 120),
    gap=limit(1, 5, 30),
)


@given(contests(spread=3000), guards_of_a_node, st.sampled_from([HANOI, BERLIN]))
@settings(max_examples=200, deadline=None)
def test_guards_are_broken_where_counting_minutes_says_so(bids: list[Bid], guards: Guards, zone: ZoneInfo) -> None:
    pieces = perform(bids).pieces
    days = Days.between(zone, pieces[0].begin, pieces[-1].end)
    found = {(one.guard, one.piece.bid.item) for one in breaches(pieces, Limits.of(guards, days))}
    assert found == broken(minutes_of(pieces), guards, zone)


# --- a whole plan ----------------------------------------------------------------------------------------------

NODES = ("a", "b", "c", "d")
times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 20, 30]))


airs = st.one_of(
    st.sets(times, min_size=1, max_size=3).map(lambda found: {"at": tuple(found)}),
    st.builds(datetime.combine, st.sampled_from([date(2026, 10, 25), date(2026, 10, 26)]), times, st.just(HANOI)).map(
        lambda local: {"once": (local.astimezone(UTC),)}
    ),
)


@st.composite
def plans(draw: st.DrawFn) -> list[Ready]:
    ready = []
    for number in range(draw(st.integers(1, 7))):
        minutes = draw(st.integers(1, 50))
        broadcast = Broadcast(
            id=f"tin-{number}",
            title="Tin",
            to=("all",),
            play=(Say("Tin."),),
            **draw(airs),
            days=draw(st.sampled_from([frozenset(Weekday), frozenset({Weekday.MON, Weekday.TUE})])),
            priority=draw(st.sampled_from([Priority.NORMAL, Priority.NORMAL, Priority.PRIORITY, Priority.EMERGENCY])),
            level=draw(st.sampled_from([Level.COMMUNE, Level.DISTRICT])),
            if_late=draw(lates),
            if_interrupted=draw(st.sampled_from(InterruptAction)),
            allow_conflict=draw(st.sampled_from([False, False, True])),
            override=draw(st.sampled_from([(), (), *(((guard.value, "vì"),) for guard in Guard)])),
        )  # fmt: skip
        tracks = (FileTrack("0" * 64, "/media/x.opus", 1, minutes * MINUTE),)
        nodes = tuple(sorted(draw(st.sets(st.sampled_from(NODES), min_size=1))))
        ready.append(Ready(broadcast, Rendered(tracks, minutes * MINUTE), nodes))
    return ready


def asked(plan: Sequence[Occurrence], broadcasts: Mapping[str, Broadcast], node: str) -> list[Bid]:
    """What `plan` asks one node to sound."""
    bids = []
    for item, one in enumerate(plan):
        if node not in one.nodes:
            continue
        start, length = milliseconds(one.start), (one.end - one.start) // timedelta(milliseconds=1)
        late, broadcast = one.playlist.if_late, broadcasts[one.broadcast]
        emergency = broadcast.priority is Priority.EMERGENCY
        exempt = ALL_GUARDS if emergency else sum(BIT[Guard(name)] for name, _ in broadcast.override)
        joins, chance = late.do is LateAction.JOIN, last_chance(start, length, late)
        bids.append(Bid(start, one.id, length, one.rank, chance, joins, one.playlist.if_interrupted, exempt, item))
    return sorted(bids)


def wrong_on(
    plan: Sequence[Occurrence], broadcasts: Mapping[str, Broadcast], guards: Guards, node: str, zone: ZoneInfo
) -> set[tuple[str, str]]:
    """(reason, airing) of all that is wrong on one node, looked at by itself and as a whole."""
    bids = asked(plan, broadcasts, node)
    if not bids:
        return set()
    told = perform(bids)
    days = Days.between(zone, bids[0].start, max(piece.end for piece in told.pieces))
    found = {(one.guard.value, one.piece.bid.id) for one in breaches(told.pieces, Limits.of(guards, days))}
    for missed in told.missed:
        pair = (plan[missed.bid.item].broadcast, plan[missed.behind.item].broadcast)
        if missed.conflict and not any(broadcasts[one].allow_conflict for one in pair):
            found.add(("conflict", missed.bid.id))
    return found


@given(plans(), guards_of_a_node, guards_of_a_node, st.sampled_from([HANOI, BERLIN]))
@settings(max_examples=80, deadline=None)
def test_nodes_looked_at_together_and_days_looked_at_once_find_what_each_by_itself_finds(
    ready: list[Ready], usual: Guards, other: Guards, zone: ZoneInfo
) -> None:
    guards = dict.fromkeys(NODES, usual) | {"d": other}
    broadcasts = {one.broadcast.id: one.broadcast for one in ready}
    plan = occurrences(ready, zone, *WINDOW, VIETNAM)
    found = review(plan, broadcasts, guards.__getitem__, zone, BEGIN)
    alone = {node: wrong_on(plan, broadcasts, guards[node], node, zone) for node in NODES}
    everything = {each for found_there in alone.values() for each in found_there}
    assert {one.broadcast for one in found.refusals} == {id.partition("@")[0] for _, id in everything}
    assert {one.id for one in found.refusals} <= {id for _, id in everything}
    for one in found.refusals:
        assert all(any(id == one.id for _, id in alone[node]) for node in one.nodes)
    by_guard = {(reason, id.partition("@")[0]) for reason, id in everything if reason != "conflict"}
    assert len([one for one in found.refusals if not one.other]) == len(by_guard)
    assert sum(one.more + 1 for one in found.refusals if not one.other) == len(
        {(reason, id) for reason, id in everything if reason != "conflict"}
    )


@given(plans(), guards_of_a_node, guards_of_a_node)
@settings(max_examples=80, deadline=None)
def test_a_proposed_time_really_fits_and_makes_nothing_else_worse(
    ready: list[Ready], usual: Guards, other: Guards
) -> None:
    guards = dict.fromkeys(NODES, usual) | {"d": other}
    broadcasts = {one.broadcast.id: one.broadcast for one in ready}
    plan = occurrences(ready, HANOI, *WINDOW, VIETNAM)
    for refusal in review(plan, broadcasts, guards.__getitem__, HANOI, BEGIN).refusals:
        if refusal.slot is None:
            continue
        old = next(one for one in plan if one.id == refusal.id)
        assert refusal.slot >= BEGIN
        if broadcasts[refusal.broadcast].at:
            assert refusal.slot.date() == old.start.astimezone(HANOI).date()
        without = [one for one in plan if one is not old]
        moved = replace(old, start=refusal.slot, end=refusal.slot + (old.end - old.start))
        after = sorted([*without, moved], key=lambda one: (one.start, one.id))
        for node in old.nodes:
            was = wrong_on(without, broadcasts, guards[node], node, HANOI)
            assert wrong_on(after, broadcasts, guards[node], node, HANOI) <= was
