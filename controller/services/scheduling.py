"""From configuration and orders of the moment to what every node holds: render, plan, write, publish, time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
import structlog

from broadcasts import typed
from broadcasts.difference import Difference, compare, held_by
from broadcasts.model import (
    Broadcast,
    LateAction,
    Occurrence,
    Playlist,
    Rendered,
    assets_of,
)
from broadcasts.recurrence import midnight_after
from broadcasts.timeline import (
    KEEP_AFTER_END,
    Ready,
    occurrences,
    of_playlist,
    per_node,
    still_needed,
)
from controller.domain import acceptance
from controller.domain.site import Settings
from controller.ports import (
    AudioRefused,
    AuditRow,
    Clock,
    ConfigRefused,
    Desired,
    Library,
    NowRow,
    Store,
    StoreError,
    Timer,
    Tx,
)
from controller.services import changelog
from controller.services.changes import Changes
from controller.services.dispatch import Dispatch
from controller.services.ledger import Ledger, record_plan
from controller.services.sounds import Prepared, Sounds

log = structlog.get_logger(__name__)

T = TypeVar("T")

VERDICT_AFTER = timedelta(seconds=10)
VERDICT_AGAIN = timedelta(minutes=1)
"""When the database could not take a verdict."""
JOURNAL_KEPT = timedelta(days=90)
LEDGER_KEPT = timedelta(days=3 * 365)
NODE_EVENTS_KEPT = timedelta(days=400)
"""A year's reports, and the month in which they are made."""
NONCES_KEPT = timedelta(days=2)
"""Longer than a page can be sent (links.NONCE_LIFE)."""
AWAY_AT_MOST = timedelta(days=30)
"""How far back a start looks for airings that ended while no controller was there."""
ARM_AHEAD = timedelta(hours=26)
"""Deadlines are armed this far ahead; the daily plan arms the next ones."""


class _NowDefinition(msgspec.Struct, frozen=True):
    """What is stored of an order of the moment: it needs neither its text nor its file again."""

    playlist: Playlist
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A plan that is committed: what it changed, and whose documents are new."""

    difference: Difference
    revisions: list[Desired]


@dataclass(frozen=True, slots=True)
class _Found:
    """What the database says before a plan. Only this controller's lock holder writes these."""

    stopped: frozenset[tuple[str, str]]
    ordered: Mapping[str, Occurrence]
    known: frozenset[str]

    @classmethod
    def by(cls, tx: Tx, window: tuple[datetime, datetime], now: datetime) -> _Found:
        return cls(
            stopped=frozenset(tx.stops(window[0])),
            ordered={row.id: occurrence_of(row) for row in tx.now_rows(now)},
            known=frozenset(row.id for row in tx.occurrences(*window)),
        )


class Scheduling:
    """Keeps the plan. `load` reads the configuration folder or raises ConfigRefused; it runs in a thread.

    `problems` are the lines about what is not on air as configured: a refused configuration (the last good one
    stays), audio that was refused, conflicts, guards.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        clock: Clock,
        timer: Timer,
        library: Library,
        dispatch: Dispatch,
        ledger: Ledger,
        changes: Changes,
        sounds: Sounds,
        load: Callable[[], Settings],
        on_settings: Sequence[Callable[[Settings], None]] = (),
        on_plan: Callable[[Sequence[Occurrence]], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.problems: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self._store = store
        self._clock = clock
        self._timer = timer
        self._library = library
        self._dispatch = dispatch
        self._ledger = ledger
        self._changes = changes
        self._sounds = sounds
        self._load = load
        self._on_settings = on_settings
        self._on_plan = on_plan
        self._ready: tuple[Ready, ...] = ()
        self._planned: tuple[Occurrence, ...] = ()
        self._unjudged: set[str] = set()
        """Airings whose verdict the database could not take."""
        self._in_effect = ""
        """Digest of the configuration that was planned last; another one than `settings` has if that plan failed."""
        self._left_out: tuple[str, ...] = ()
        """Problems of what is in effect: why a part of it was left out at the start."""
        self._foreseen: tuple[str, ...] = ()
        self._one_at_a_time = asyncio.Lock()
        self._rendered = asyncio.Event()

    # --- configuration -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Render and plan what the configuration says. Broadcasts whose audio is refused, that conflict or break a
        guard are left out, visibly."""
        async with self._one_at_a_time:
            (ready, refused), held = await self._prepare(self.settings)
            now = self._clock.now()
            self._ready, forbidden = await asyncio.to_thread(acceptance.acceptable, ready, self.settings, now)
            self._sounds.adopt(held)
            self.problems = self._left_out = refused + held.problems + forbidden
            self._rendered.set()
            await self._tell_overridden({}, "controller")
            await self._replan("controller started", changelog.MEANWHILE if self._dispatch.documents() else "")
        await self._daily()
        await self._end_what_ended()
        await self._judge_what_was_missed()

    async def reload(self, by: str = "file") -> Difference:
        """Take the configuration folder as it is now. ConfigRefused: nothing changed, `problems` say why."""
        try:
            settings = await asyncio.to_thread(self._load)
            if settings.digest == self.settings.digest and await self._in_effect_now():
                return self._unchanged()
            (ready, refused), held = await self._prepare(settings)
            forbidden = await asyncio.to_thread(acceptance.refused, ready, settings, self._clock.now())
            if problems := refused + held.problems + forbidden:
                raise ConfigRefused(problems)
        except ConfigRefused as error:
            await self._refused(error, by)
            raise
        async with self._one_at_a_time:
            before = self.settings.broadcasts
            self.settings, self._ready, self.problems, self._left_out = settings, ready, (), ()
            self._sounds.adopt(held)
            for take in self._on_settings:
                take(settings)
            plan = await self._replan("configuration changed", by)
            await self._tell_overridden(before, by)
        log.info("configuration in effect", by=by, **changelog.named(plan.difference))
        self._changes.notify("config", "air", "nodes", "incidents")
        return plan.difference

    async def _in_effect_now(self) -> bool:
        """Whether the settings are planned, once a plan under way is made: the first notice of a watched folder comes
        in the middle of the first one, and would have all of it made twice."""
        async with self._one_at_a_time:
            return self.settings.digest == self._in_effect

    async def _tell_overridden(self, before: Mapping[str, Broadcast], by: str) -> None:
        if passed := acceptance.overridden(self.settings.broadcasts, before):
            log.warning("guards are passed, with a reason", by=by, broadcasts=list(passed))
            await self._audit(by, "guard overridden", "\n".join(passed)[:4000])

    def _unchanged(self) -> Difference:
        self.problems = self._left_out
        self._changes.notify("config")
        return Difference()

    async def _refused(self, error: ConfigRefused, by: str) -> None:
        self.problems = error.problems
        log.error("configuration refused; the last good one stays on air", problems=list(error.problems))
        await self._audit(by, changelog.REFUSED, "\n".join(error.problems)[:4000])
        self._changes.notify("config")

    async def _prepare(self, settings: Settings) -> tuple[tuple[tuple[Ready, ...], tuple[str, ...]], Prepared]:
        """All the audio of a configuration: of its broadcasts, and what every node holds for an emergency."""
        return await asyncio.gather(self._render(settings), self._sounds.prepare(settings))

    async def _render(self, settings: Settings) -> tuple[tuple[Ready, ...], tuple[str, ...]]:
        """Every broadcast with its audio, and a line for each whose audio is refused."""
        broadcasts = list(settings.broadcasts.values())
        outcomes = await asyncio.gather(*(self._try_render(one) for one in broadcasts))
        ready, refused, warnings = [], [], []
        for broadcast, outcome in zip(broadcasts, outcomes, strict=True):
            if isinstance(outcome, str):
                refused.append(f"{broadcast.place}: broadcast '{broadcast.id}': {outcome}")
                continue
            nodes = settings.targets(broadcast.to, broadcast.exclude)
            ready.append(Ready(broadcast, outcome, nodes))
            warnings += [f"{broadcast.place}: broadcast '{broadcast.id}': {one}" for one in outcome.warnings]
        self.warnings = (*settings.warnings, *warnings)
        return tuple(ready), tuple(refused)

    async def _try_render(self, broadcast: Broadcast) -> Rendered | str:
        try:
            return await self._library.render(broadcast.play)
        except AudioRefused as error:
            return str(error)

    @property
    def planned(self) -> tuple[Occurrence, ...]:
        """What the nodes hold now, by start."""
        return self._planned

    async def amend(self, reason: str, change: Callable[[], Awaitable[T]]) -> T:
        """Run `change`, which writes orders to the store, then plan again; one at a time, after the first plan."""
        await self._rendered.wait()
        async with self._one_at_a_time:
            outcome = await change()
            await self._replan(reason)
        return outcome

    # --- the plan -------------------------------------------------------------------------------------------------

    async def _replan(self, reason: str, by: str = "") -> _Plan:
        """Plan the window, commit ledger and desired state together, then publish what changed. `by`: whoever
        changed the configuration; the audit trail keeps what that changes of the plan."""
        now = self._clock.now()
        async with self._dispatch.revising:
            plan, held = await self._commit_plan(reason, now, by)
            self._planned = held
            self._dispatch.adopt(plan.revisions)
        self._in_effect = self.settings.digest
        await self._ledger.published(await self._dispatch.send([row.node for row in plan.revisions]), now)
        self._arm(now)
        self._on_plan(held)
        log.info("planned", reason=reason, occurrences=len(held), **_counts(plan))
        self._changes.notify("air")
        return plan

    async def _commit_plan(self, reason: str, now: datetime, by: str) -> tuple[_Plan, tuple[Occurrence, ...]]:
        """What changed, and everything that nodes are to hold."""
        end = midnight_after(now, self.settings.site.zone, self.settings.site.horizon_days)
        window = (self._first_needed(now), end)
        found = await self._store.read(lambda tx: _Found.by(tx, window, now))
        wanted = self._wanted(found, window, now)
        held = tuple(one for one in wanted if still_needed(one.playlist, now))
        # Signed before the transaction: it takes milliseconds a node, and writers queue behind a transaction.
        revisions = await self._dispatch.revise(per_node(held, self.settings.nodes, found.stopped), window[1])

        difference = self._difference(held, now, window[1])
        detail = changelog.kept(difference, self.settings.broadcasts)

        def work(tx: Tx) -> None:
            tx.put_desired(revisions)
            if by and (difference or by != changelog.MEANWHILE):
                tx.audit(AuditRow(now, by, changelog.TAKEN, detail))
            record_plan(
                tx,
                wanted,
                window=window,
                stopped=found.stopped,
                source=lambda one: "now" if one.id in found.ordered else "config",
                now=now,
                reason=reason,
            )

        await self._store.transact(work)
        return _Plan(difference, revisions), held

    def _difference(self, held: tuple[Occurrence, ...], now: datetime, end: datetime) -> Difference:
        """What nodes are to play otherwise than before, as far ahead as was planned before."""
        before = self._planned or held_by(self._dispatch.documents())
        return compare(before, held, (now, min(end, self._dispatch.valid_until or end)), self.settings.site.zone)

    def _wanted(self, found: _Found, window: tuple[datetime, datetime], now: datetime) -> tuple[Occurrence, ...]:
        """What should be in the ledger: what the rules say, and what was ordered; nothing that never could begin."""
        planned = occurrences(self._ready, self.settings.site.zone, *window, self.settings.calendar)
        on_nodes = {one.id: one for one in held_by(self._dispatch.documents())}
        fresh = (_as_begun(one, on_nodes.get(one.id), now) for one in planned)
        # What was refused at our start was good when the nodes got it: they keep it until it is mended or removed.
        left_out = self.settings.broadcasts.keys() - {item.broadcast.id for item in self._ready}
        kept = (one for one in on_nodes.values() if one.broadcast in left_out)
        both = (*fresh, *kept, *found.ordered.values())
        return tuple(one for one in both if one.id in found.known or _can_still_sound(one.playlist, now))

    def _first_needed(self, now: datetime) -> datetime:
        """The earliest start of an airing that a node may still have to do with, as it is planned or as it is held."""
        longest = max((item.rendered.duration_ms for item in self._ready), default=0)
        latest = max((item.broadcast.if_late.within_s for item in self._ready), default=0)
        held = (one.start for one in held_by(self._dispatch.documents()) if still_needed(one.playlist, now))
        return min((now - timedelta(milliseconds=longest, seconds=latest) - KEEP_AFTER_END, *held))

    def _arm(self, now: datetime) -> None:
        for id in self._unjudged:  # the clock may have been set back since: it would be tried again hours from now
            self._timer.at(f"verdict:{id}", now + VERDICT_AGAIN, self._verdict(id))
        for one in self._planned:
            if one.start < now + ARM_AHEAD:
                self._timer.at(f"verdict:{one.id}", max(one.end + VERDICT_AFTER, now), self._verdict(one.id))

    def _verdict(self, occurrence: str) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            try:
                unknown = await self._ledger.verdict(occurrence)
            except StoreError as error:
                log.error("verdict not stored; trying again", occurrence=occurrence, reason=str(error))
                self._unjudged.add(occurrence)
                self._timer.at(f"verdict:{occurrence}", self._clock.now() + VERDICT_AGAIN, call)
                return
            self._unjudged.discard(occurrence)
            if unknown:
                log.warning("no word of an airing", occurrence=occurrence, nodes=[one.node for one in unknown][:20])

        return call

    async def _daily(self) -> None:
        """At every local midnight: plan one day further, and drop audio that nothing needs."""
        when = midnight_after(self._clock.now(), self.settings.site.zone) + timedelta(seconds=1)
        self._timer.at("daily-plan", when, self._new_day)

    async def _new_day(self) -> None:
        await self._daily()
        async with self._one_at_a_time:
            await self._replan("a new day")
            await self._look_ahead()
        await self._end_what_ended()
        dropped = await asyncio.to_thread(self._library.collect, self.needed_assets())
        await self._prune(lambda tx, before: tx.prune_journal(before), JOURNAL_KEPT)
        await self._prune(lambda tx, before: tx.prune_ledger(before), LEDGER_KEPT)
        await self._prune(lambda tx, before: tx.prune_selftests(before), LEDGER_KEPT)
        await self._prune(lambda tx, before: tx.prune_emergencies(before), LEDGER_KEPT)
        await self._prune(lambda tx, before: tx.prune_node_events(before), NODE_EVENTS_KEPT)
        await self._prune(lambda tx, before: tx.prune_maintenance_events(before), NODE_EVENTS_KEPT)
        await self._prune(lambda tx, before: tx.prune_used(before), NONCES_KEPT)
        log.info("cleaned", assets_dropped=dropped)

    async def _end_what_ended(self) -> None:
        """A node that died while it sounded, and nobody was there to judge it, would stay on air for ever. It may be
        about to tell: its journal has come when the verdict does."""
        now = self._clock.now()
        for id in await self._ledger.left_sounding(now - KEEP_AFTER_END):
            self._timer.at(f"verdict:{id}", now + VERDICT_AGAIN, self._verdict(id))

    async def _judge_what_was_missed(self) -> None:
        """What ended while no controller was there to time it, and is too long over to be planned again."""
        now = self._clock.now()
        for id in await self._ledger.unresolved(now - AWAY_AT_MOST, now):
            self._timer.at(f"verdict:{id}", now + VERDICT_AGAIN, self._verdict(id))

    async def _look_ahead(self) -> None:
        """A day that came into sight may hold what nobody foresaw. It stays on air; people have a month to mend it."""
        forbidden = await asyncio.to_thread(acceptance.refused, self._ready, self.settings, self._clock.now())
        self.warnings = (*(one for one in self.warnings if one not in self._foreseen), *forbidden)
        self._foreseen = forbidden
        if forbidden:
            log.warning("days ahead that need an edit", problems=list(forbidden))
            self._changes.notify("config")

    async def _prune(self, some: Callable[[Tx, datetime], int], kept: timedelta) -> None:
        """A little at a time, so that nothing waits long behind it."""
        before = self._clock.now() - kept
        while await self._store.transact(lambda tx: some(tx, before)):
            pass

    def needed_assets(self) -> set[str]:
        """SHA-256 of every asset that a playlist, a broadcast or an emergency needs."""
        tracks = [track for one in self._planned for track in one.playlist.tracks]
        tracks += [track for item in self._ready for track in item.rendered.tracks]
        return {asset.sha256 for track in tracks for asset in assets_of(track)} | self._sounds.needed()

    async def _audit(self, who: str, what: str, detail: str) -> None:
        row = AuditRow(self._clock.now(), who, what, detail)
        await self._store.transact(lambda tx: tx.audit(row))


def definition_of(one: Occurrence) -> str:
    """What NowRow.definition holds; `occurrence_of` reads it back."""
    return msgspec.json.encode(_NowDefinition(one.playlist, one.nodes)).decode()


def occurrence_of(row: NowRow) -> Occurrence:
    kept = typed.decode(row.definition, _NowDefinition)
    return of_playlist(kept.playlist, kept.nodes)


def _as_begun(planned: Occurrence, held: Occurrence | None, now: datetime) -> Occurrence:
    """An airing that has begun goes on as the nodes hold it, whatever an edit made of its content or its length."""
    return of_playlist(held.playlist, planned.nodes) if held and held.start <= now else planned


def _can_still_sound(playlist: Playlist, now: datetime) -> bool:
    """Whether an airing that no node has heard of yet can still begin."""
    late = playlist.if_late
    if late.do is LateAction.DROP:
        return playlist.start > now
    begin_by = playlist.start + timedelta(seconds=late.within_s)
    return min(begin_by, playlist.end) > now if late.do is LateAction.JOIN else begin_by > now


def _counts(plan: _Plan) -> Mapping[str, int]:
    return {
        **plan.difference.counts,
        "documents": len(plan.revisions),
    }
