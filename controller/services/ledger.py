"""The ledger: what was planned, what nodes say became of it, and the verdict when they say nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from broadcasts.model import Occurrence, Playlist, assets_of
from controller.domain.delivery import (
    FINAL,
    PLAYING_WORDS,
    WAITING,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Event,
    OccurrenceRow,
    UnexpectedEvent,
    Word,
    advance,
    deadline_reason,
    journaled,
)
from controller.ports import AuditRow, Clock, Store, Tx
from controller.services.changes import Changes
from controller.wire.messages import JournalEntry

log = structlog.get_logger(__name__)

Wanted = Callable[[str], tuple[Playlist, ...]]
"""Node id -> the playlists it is to hold."""

Version = Callable[[str], tuple[int, int]]
"""Node id -> (epoch, rev) of the document that says so."""

Also = Callable[[Tx, Sequence[tuple[str, JournalEntry]]], bool]
"""What else takes in journal entries, in the transaction that stores them; whether they meant something to it."""


Log = tuple[str, str]
"""(node, log)."""

LOST_S = 300.0
"""A node sends what was not acknowledged again every minute at least."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a batch of journal entries: how far each log is stored, how many entries were new, and whether
    they meant something to what else takes them in (`beside`)."""

    upto: dict[tuple[str, str], int]
    fresh: int
    beside: bool = False


class Ledger:
    """Writes deliveries and their events. Every state change is a row with its time and reason."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        changes: Changes,
        wanted: Wanted,
        version: Version,
        also: Also | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes
        self._wanted = wanted
        self._version = version
        self._also = also
        self._gaps: dict[Log, tuple[int, float]] = {}
        """Logs with missing entries: how far they are stored, and since when (monotonic)."""
        self._fetched: dict[str, set[str]] = defaultdict(set)

    async def published(self, nodes: Collection[str], at: datetime) -> None:
        """The broker holds the documents of `nodes`. `at` is when they were handed to it: a node may have accepted
        its document before we hear that the broker has it, and the story is told in order."""
        if not nodes:
            return
        wanted = {(playlist.id, node) for node in nodes for playlist in self._wanted(node)}

        def work(tx: Tx) -> None:
            rows = tx.deliveries_of(sorted({id for id, _ in wanted}), sorted(nodes))
            _move(tx, [row for row in rows if (row.occurrence, row.node) in wanted], Event.PUBLISHED, at)

        await self._store.transact(work)

    async def ready(self, nodes: Collection[str]) -> None:
        """`nodes` say that they hold their newest documents and all their audio. Their journals say so asset by asset,
        but what they said of audio that several documents need may lie before our own start."""
        now = self._clock.now()
        wanted = {(playlist.id, node) for node in nodes for playlist in self._wanted(node)}
        ids = sorted({id for id, _ in wanted})

        def late(tx: Tx) -> list[Delivery]:
            rows = tx.deliveries_of(ids, sorted(nodes))
            return [row for row in rows if (row.occurrence, row.node) in wanted and row.state in _NOT_READY]

        if await self._store.read(late):
            await self._store.transact(lambda tx: _move(tx, late(tx), Event.READY, now))

    async def take(self, batch: Sequence[tuple[str, JournalEntry]]) -> Taken:
        """Store journal entries once each and move the deliveries that they tell of."""
        now = self._clock.now()

        def work(tx: Tx) -> Taken:
            fresh = tx.put_journals(batch, now)
            self._apply(tx, fresh)
            beside = self._also(tx, fresh) if self._also is not None else False
            return Taken(tx.journal_uptos({(node, entry.log) for node, entry in batch}), len(fresh), beside)

        taken = await self._store.transact(work)
        if taken.fresh:
            self._changes.notify("air", *(("emergencies",) if taken.beside else ()))
        if lost := self._lost(batch, taken.upto):
            return replace(taken, upto={**taken.upto, **await self._give_up(lost, now)})
        return taken

    def _lost(self, batch: Sequence[tuple[str, JournalEntry]], upto: Mapping[tuple[str, str], int]) -> list[Log]:
        """Logs of which entries have been missing for so long, while later ones came again and again, that their node
        has them no more: it dropped them when a controller had stored them, and this database is older than that."""
        mono, found = self._clock.monotonic(), []
        beyond = {(node, entry.log) for node, entry in batch if entry.n > upto[node, entry.log]}
        for log in upto:
            if log not in beyond:
                self._gaps.pop(log, None)
                continue
            stuck_at, since = self._gaps.get(log, (-1, mono))
            if stuck_at != upto[log]:
                self._gaps[log] = (upto[log], mono)
            elif mono - since >= LOST_S:
                found.append(log)
        return found

    async def _give_up(self, logs: Sequence[Log], now: datetime) -> dict[Log, int]:
        """Acknowledge what is there, or the node would send it for ever and nothing after it. How far each log is."""

        def work(tx: Tx) -> dict[Log, int]:
            for node, name in logs:
                if span := tx.skip_journal_gap(node, name):
                    said = f"{node}: entries {span[0]} to {span[1]} of log {name}"
                    tx.audit(AuditRow(now, "loa", "journal lost", said))
                    log.error("journal entries are lost; was an older database restored?", entries=said)
            return tx.journal_uptos(logs)

        for each in logs:
            self._gaps.pop(each, None)
        return await self._store.transact(work)

    async def verdict(self, occurrence: str) -> list[Delivery]:
        """The deadline of an occurrence has passed: what is not final is unknown. Returns those."""
        now = self._clock.now()

        def work(tx: Tx) -> list[Delivery]:
            left = [one for one in tx.deliveries(occurrence) if one.state not in FINAL | {DeliveryState.CANCELLED}]
            return _move(tx, left, Event.DEADLINE, now, deadline_reason)

        unknown = await self._store.transact(work)
        self._changes.notify("air")
        return unknown

    async def left_sounding(self, before: datetime) -> list[str]:
        """Ids of occurrences that ended before `before`, while some node never said that it ended them."""

        def work(tx: Tx) -> list[str]:
            rows = [tx.occurrence(id) for id in sorted({one.occurrence for one in tx.sounding()})]
            return [row.id for row in rows if row is not None and row.end < before]

        return await self._store.read(work)

    async def unresolved(self, since: datetime, before: datetime) -> list[str]:
        """Ids of occurrences that ended from `since` to `before` and that nobody has judged on every node."""
        return await self._store.read(lambda tx: tx.unresolved(since, before))

    def _apply(self, tx: Tx, entries: Sequence[tuple[str, JournalEntry]]) -> None:
        """Move the deliveries that `entries` tell of: read once, walk through the entries in order, write once."""
        told = [(node, entry, ids) for node, entry in entries if (ids := self._about(node, entry))]
        if not told:
            return
        touched = {(id, node) for node, _, ids in told for id in ids}
        rows = tx.deliveries_of(sorted({id for id, _ in touched}), sorted({node for _, node in touched}))
        known = {(row.occurrence, row.node): row for row in rows}
        moved: list[Delivery] = []
        for node, entry, ids in told:
            for id in ids:
                before = known.get((id, node))
                if before is None:
                    log.warning("journal tells of an airing that was never planned", node=node, occurrence=id)
                    continue
                after = _after(before, entry)
                if after is not before:
                    known[id, node] = after
                    moved.append(after)
        _write(tx, moved)

    def _about(self, node: str, entry: JournalEntry) -> list[str]:
        """Ids of the occurrences whose delivery `entry` may move."""
        if entry.kind == "playlists":
            newest = (entry.epoch, entry.rev) == self._version(node)  # an older one may lack what is wanted now
            return [one.id for one in self._wanted(node)] if newest and entry.result == "accepted" else []
        if entry.kind == "prefetched":
            return self._made_ready(node, entry)
        return [entry.playlist] if entry.kind in _EVENTS and entry.playlist is not None else []

    def _made_ready(self, node: str, entry: JournalEntry) -> list[str]:
        """Playlists of the node whose last missing asset this was."""
        if entry.sha256 is None:
            return []
        needed = [(one.id, _needed(one)) for one in self._wanted(node)]
        held = self._fetched[node] | {entry.sha256}
        # Only what is wanted is remembered: a node may claim to hold anything, for ever.
        wanted = {sha256 for _, assets in needed for sha256 in assets}
        self._fetched[node] = held = held & wanted
        return [id for id, assets in needed if entry.sha256 in assets and assets <= held]


_NOT_READY = WAITING - {DeliveryState.READY}


def _needed(playlist: Playlist) -> set[str]:
    return {asset.sha256 for track in playlist.tracks for asset in assets_of(track)}


_EVENTS = {
    "playlists": Event.ACCEPTED,
    "prefetched": Event.READY,
    **{event.value: event for event in PLAYING_WORDS},
}
"""What a journal entry of a kind means for a delivery."""


def _after(before: Delivery, entry: JournalEntry) -> Delivery:
    """`before` after what `entry` says; itself if that changes nothing."""
    event = _EVENTS[entry.kind]
    try:
        if event not in PLAYING_WORDS:
            return advance(before, event, entry.at)
        return journaled(before, _word(event, entry))
    except UnexpectedEvent as error:
        if event in PLAYING_WORDS:  # documents speak of what is over, too; the player should not
            log.warning("journal out of order", node=before.node, detail=str(error))
        return before


def _word(event: Event, entry: JournalEntry) -> Word:
    return Word(
        event=event,
        at=entry.at,
        reason=entry.reason or entry.by or "",
        late_ms=entry.late_ms,
        played_ms=entry.played_ms,
        level_db=entry.level_db,
    )


def _move(
    tx: Tx,
    deliveries: Iterable[Delivery],
    event: Event,
    at: datetime,
    reason: Callable[[Delivery], str] = lambda _: "",
) -> list[Delivery]:
    """Apply `event` where the table has it, write what changed, and return that."""
    moved = []
    for before in deliveries:
        try:
            after = advance(before, event, at, reason(before))
        except UnexpectedEvent:
            continue  # it is over already; documents and deadlines speak of the past too
        if after is not before:
            moved.append(after)
    _write(tx, moved)
    return moved


def _write(tx: Tx, moved: Sequence[Delivery]) -> None:
    """The newest state of each delivery, and every step on the way to it as an event."""
    newest = {(one.occurrence, one.node): one for one in moved}
    tx.put_deliveries(newest.values())
    tx.put_delivery_events(DeliveryEvent(one.occurrence, one.node, one.at, one.state, one.reason) for one in moved)


def record_plan(
    tx: Tx,
    wanted: Sequence[Occurrence],
    *,
    window: tuple[datetime, datetime],
    stopped: Collection[tuple[str, str]],
    source: Callable[[Occurrence], str],
    now: datetime,
    reason: str,
) -> None:
    """Bring the ledger to `wanted`: new occurrences and deliveries in, the ones no longer wanted cancelled.

    What is over stays as it is. `reason` is written with every cancellation.
    """
    known = {row.id: row for row in tx.occurrences(*window)}
    ids = {one.id for one in wanted}
    gone = [row for row in known.values() if row.id not in ids and row.cancelled_at is None and row.end > now]
    tx.put_occurrences(_row(one, known.get(one.id), source(one), now) for one in wanted)
    tx.put_occurrences(_cancelled(row, now, reason) for row in gone)
    _plan_deliveries(tx, wanted, stopped, now, reason)
    _move(tx, tx.deliveries_of([row.id for row in gone]), Event.CANCELLED, now, lambda _: reason)


def _plan_deliveries(
    tx: Tx, wanted: Sequence[Occurrence], stopped: Collection[tuple[str, str]], now: datetime, reason: str
) -> None:
    """An edit says nothing of what is over: it neither takes it back nor was it meant for a node that is new."""
    target = {(one.id, node) for one in wanted for node in one.nodes} - set(stopped)
    ended = {one.id for one in wanted if one.end <= now}
    over = {one.id for one in wanted if one.end + timedelta(seconds=one.playlist.if_late.within_s) <= now}
    known = {(row.occurrence, row.node): row for row in tx.deliveries_of([one.id for one in wanted])}
    fresh = [
        Delivery(id, node, DeliveryState.PLANNED, now) for id, node in sorted(target - known.keys()) if id not in over
    ]
    _write(tx, fresh)
    back = [row for key, row in known.items() if key in target and row.state is DeliveryState.CANCELLED]
    _move(tx, [row for row in back if row.occurrence not in over], Event.PLANNED_AGAIN, now)
    gone = [row for key, row in known.items() if key not in target and (row.occurrence not in ended or key in stopped)]
    _move(tx, gone, Event.CANCELLED, now, lambda row: _why_gone(row, stopped, reason))


def _why_gone(row: Delivery, stopped: Collection[tuple[str, str]], reason: str) -> str:
    return "stopped by an operator" if (row.occurrence, row.node) in stopped else reason


def _row(one: Occurrence, known: OccurrenceRow | None, source: str, now: datetime) -> OccurrenceRow:
    return OccurrenceRow(
        id=one.id,
        broadcast=one.broadcast,
        title=one.title,
        start=one.start,
        end=one.end,
        priority=one.priority,
        rank=one.rank,
        source=source,
        planned_at=known.planned_at if known else now,
    )


def _cancelled(row: OccurrenceRow, now: datetime, reason: str) -> OccurrenceRow:
    return replace(row, cancelled_at=now, reason=reason)


__all__ = ["Ledger", "Taken", "record_plan"]
