"""Where everything from the broker comes in: decode, count, hand on. Nothing that arrives here stops anything."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import structlog

from controller.domain import canary
from controller.domain.hearing import Hearing
from controller.domain.site import Settings
from controller.ports import BusDown, BusEvent, BusUp, Clock, Received, StoreError
from controller.services.batches import BARRIER, gathered
from controller.services.changes import Changes
from controller.services.dispatch import Dispatch
from controller.services.ledger import Ledger, Taken
from controller.wire.messages import FaultReport, Heartbeat, Held, JournalEntry, Status, WireError, decode
from controller.wire.topics import Topics, Up

log = structlog.get_logger(__name__)

SECURITY = "security"
COMPLAIN_EVERY_S = 60.0
ANSWERED_AT_ONCE = 250
"""Nodes whose journals are acknowledged together."""

M = TypeVar("M", Status, Heartbeat, JournalEntry)


class Health(Protocol):
    """What intake hands to monitoring."""

    async def on_bus_up(self, mono: float) -> None: ...

    async def on_bus_down(self, reason: str, mono: float) -> None: ...

    async def on_statuses(self, batch: Sequence[tuple[str, Status, float, bool]]) -> None: ...

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat, float]]) -> None: ...

    async def on_fault(self, node: str, code: str, report: FaultReport | None, mono: float, retain: bool) -> None: ...

    async def on_journal(self, node: str, entry: JournalEntry, mono: float) -> None: ...


class Waiting(Protocol):
    """What intake asks of the broker connection."""

    @property
    def oldest(self) -> float | None:
        """When the first event came that is not handed over; None if none waits."""


class Alarms(Protocol):
    """What intake hands to the emergencies; their journals they take from the ledger's transaction."""

    async def on_bus_up(self) -> None: ...

    async def on_birth(self, node: str) -> None: ...

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat]]) -> None:
        """Those of nodes on which something sounds."""


Said = tuple[str, str, BusEvent]
"""Who, the code of a fault, what."""


class Intake:
    """Routes batches of bus events. `counters` counts what came and what was refused, by kind."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        bus: Waiting,
        dispatch: Dispatch,
        ledger: Ledger,
        health: Health,
        changes: Changes,
        alarms: Alarms,
    ) -> None:
        self._topics = Topics(settings.site.mqtt.root)
        self._clock = clock
        self._dispatch = dispatch
        self._ledger = ledger
        self._health = health
        self._alarms = alarms
        self._changes = changes
        self._bus = bus
        self._hearing = Hearing()
        self._oldest: float | None = None
        """When the oldest event came that is being taken in."""
        self._complained: dict[str, float] = {}
        self._whole: dict[str, tuple[int, int]] = {}
        self._owed: set[str] = set()
        self._owing = asyncio.Event()
        self._stored: dict[tuple[str, str], int] = {}
        """(node, log) -> up to where it is stored, of those that have not been told yet."""
        self._storing = asyncio.Event()
        self.counters: Counter[str] = Counter()
        self.bus_problem = "not connected yet"
        self._handlers: dict[str, Callable[[list[Said]], Awaitable[None]]] = {
            BARRIER: self._connection,
            "heartbeat": self._heartbeats,
            "status": self._statuses,
            "journal": self._journals,
            "fault": self._faults,
        }
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        self._settings = settings
        self._beats = {self._topics.heartbeat(node): node for node in settings.nodes}
        """Node by topic: heartbeats are most of what comes, and are not taken apart one by one."""

    async def take(self, batch: Sequence[BusEvent]) -> None:
        """Handle a batch: all of one kind together, each node's own in order."""
        self._oldest = min((event.mono for event in batch), default=self._clock.monotonic())
        self._hearing.take(self._oldest, self._clock.monotonic())
        try:
            for kind, said in gathered(self._sorted(batch)):
                if handler := self._handlers.get(kind):
                    await self._guarded(kind, len(said), handler(said))
        finally:
            self._oldest = None

    def upto(self) -> float:
        """Everything that nodes had to tell by then (monotonic) is in the ledger."""
        return self._hearing.upto(self._waits_from, self._clock.monotonic())

    def lag_s(self) -> float:
        """How long ago the oldest came that is not taken in yet."""
        waits_from = self._waits_from
        return 0.0 if waits_from is None else max(0.0, self._clock.monotonic() - waits_from)

    @property
    def _waits_from(self) -> float | None:
        return self._oldest if self._oldest is not None else self._bus.oldest

    async def send(self) -> None:
        """Send to nodes what they lack; until cancelled. Beside `take`: a broker that is busy with ten thousand
        documents must not keep us from hearing."""
        while True:
            await self._owing.wait()
            self._owing.clear()
            await self.send_owed()

    async def answer(self) -> None:
        """Acknowledge what is stored; until cancelled. Beside `take`: while the broker takes a thousand answers the
        next thousand entries are stored, and a node that wrote meanwhile is answered once for all of it."""
        while True:
            await self._storing.wait()
            self._storing.clear()
            while self._stored:
                await self.answer_some()

    async def answer_some(self) -> None:
        """Those that have waited longest: orders to nodes find their turn between them."""
        some = {log: self._stored.pop(log) for log in list(self._stored)[:ANSWERED_AT_ONCE]}
        await self._dispatch.acknowledge(some)

    async def send_owed(self) -> None:
        """Send what is owed by now, and write down to whom."""
        owed, self._owed = sorted(self._owed), set()
        if owed:
            await self._guarded("playlists", 0, self._publish(owed))

    async def _publish(self, nodes: Sequence[str]) -> None:
        at = self._clock.now()
        if sent := await self._dispatch.send(nodes):
            await self._ledger.published(sent, at)

    def _owe(self, nodes: Iterable[str]) -> None:
        self._owed.update(nodes)
        if self._owed:
            self._owing.set()

    def _sorted(self, batch: Sequence[BusEvent]) -> Iterator[tuple[str, str, Said]]:
        """(kind, sender, what); what is of no kind is counted and left out."""
        for event in batch:
            if not isinstance(event, Received):
                yield BARRIER, "", ("", "", event)
            elif node := self._beats.get(event.topic):
                yield "heartbeat", node, (node, "", event)
            elif up := self._known(event.topic):
                self.counters[up.kind] += 1
                yield up.kind, up.node, (up.node, up.code, event)

    def _known(self, topic: str) -> Up | None:
        up = self._topics.parse_up(topic)
        if up is None:
            self._refuse("topic", topic[:80], "not a topic of the protocol")
        elif up.node not in self._settings.nodes and (up.node, up.kind) != (canary.NODE, "fault"):
            self._refuse("stranger", up.node, "not a node of this site")
        else:
            return up
        return None

    async def _guarded(self, kind: str, messages: int, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreError as error:
            # Nothing is lost: journals stay unacknowledged and come again, states come with the next heartbeat;
            # what health took in it keeps, and writes down later.
            self.counters["not-stored"] += messages
            log.error("not stored", kind=kind, messages=messages, reason=str(error))

    async def _connection(self, said: list[Said]) -> None:
        for _, _, event in said:
            if isinstance(event, BusUp):
                self.bus_problem = ""
                await self._guarded("bus", 0, self._alarms.on_bus_up())
                self._owe(await self._dispatch.on_bus_up())
                await self._guarded("bus", 0, self._health.on_bus_up(event.mono))
            elif isinstance(event, BusDown):
                self.bus_problem = event.reason
                await self._guarded("bus", 0, self._health.on_bus_down(event.reason, event.mono))
        self._changes.notify("status")

    async def _statuses(self, said: list[Said]) -> None:
        batch = [(node, status, each.mono, each.retain) for node, _, status, each in self._decoded(Status, said)]
        # What health cannot write down it keeps: a birth or a will comes only once.
        await self._guarded("status", len(batch), self._health.on_statuses(batch))
        for node, status, _, retain in batch:
            self._dispatch.note_epoch(node, status.playlists.epoch)
            if status.reason == "birth" and not retain:
                await self._guarded("status", 0, self._alarms.on_birth(node))
                if self._dispatch.wants(node, _version(status.playlists), born=True):
                    self._owe([node])

    async def _heartbeats(self, said: list[Said]) -> None:
        self.counters["heartbeat"] += len(said)
        batch = [(node, heartbeat, each.mono) for node, _, heartbeat, each in self._alive(said)]
        await self._health.on_heartbeats(batch)
        if sounding := [(node, heartbeat) for node, heartbeat, _ in batch if heartbeat.playing]:
            await self._alarms.on_heartbeats(sounding)
        whole: dict[str, tuple[int, int]] = {}
        for node, heartbeat, _ in batch:
            held = heartbeat.playlists
            version = (held.epoch, held.rev)
            if self._dispatch.wants(node, version):
                self._owe([node])
            elif held.missing == 0 and version != self._whole.get(node) and version == self._dispatch.version(node):
                whole[node] = version
        if whole:  # once for each document: its newest, with all its audio
            await self._ledger.ready(whole.keys())
            self._whole |= whole

    def _alive(self, said: list[Said]) -> Iterator[tuple[str, str, Heartbeat, Received]]:
        for one in self._decoded(Heartbeat, said):
            if one[3].retain:  # retained is never life
                self._refuse("retained", one[0], "heartbeat with the retain flag")
            else:
                yield one

    def _decoded(self, type: type[M], said: list[Said]) -> Iterator[tuple[str, str, M, Received]]:
        """(node, code, message, as it came); what cannot be decoded is counted and left out."""
        for node, code, event in said:
            assert isinstance(event, Received)
            try:
                yield node, code, decode(type, event.payload), event
            except WireError as error:
                self._refuse("undecodable", node, f"{type.__name__.lower()}: {error}")

    async def _journals(self, said: list[Said]) -> None:
        batch = [(node, entry) for node, _, entry, _ in self._decoded(JournalEntry, said)]
        taken = await self._written(batch)
        # Answered last, and told to health whether new or not: if we die in between, it all comes again.
        for node, entry in batch:
            if entry.result == "rejected" and self._is_too_old_for(node, entry.reason):
                continue
            await self._health.on_journal(node, entry, self._clock.monotonic())
        self._stored |= taken.upto
        self._storing.set()

    async def _written(self, batch: Sequence[tuple[str, JournalEntry]]) -> Taken:
        came = self._clock.monotonic() if self._oldest is None else self._oldest
        try:
            return await self._ledger.take(batch)
        except StoreError:
            self._hearing.refused(came, self._clock.monotonic())
            raise

    async def _faults(self, said: list[Said]) -> None:
        for node, code, event in said:
            assert isinstance(event, Received)
            try:
                report = decode(FaultReport, event.payload) if event.payload else None
            except WireError as error:
                self._refuse("undecodable", node, f"fault: {error}")
                continue
            # Each by itself: a report comes only once.
            if report and report.code == SECURITY and self._is_too_old_for(node, report.evidence.get("reason")):
                continue
            health = self._health.on_fault(node, code, report, event.mono, event.retain)
            await self._guarded("fault", 1, health)

    def _is_too_old_for(self, node: str, reason: object) -> bool:
        """Whether what `node` refused was refused because our own database is an old one: one fault of the centre
        (domain/centre.py), and no forgery at each node."""
        return reason == "epoch" and self._dispatch.refuses_us(node)

    def _refuse(self, counter: str, who: str, why: str) -> None:
        """Count, and say so once per sender and minute."""
        self.counters[counter] += 1
        now = self._clock.monotonic()
        if now - self._complained.get(who, -COMPLAIN_EVERY_S) < COMPLAIN_EVERY_S:
            return
        if len(self._complained) > 10_000:  # a flood of made-up names must not grow memory
            self._complained.clear()
        self._complained[who] = now
        log.warning("message refused", kind=counter, sender=who, reason=why[:200])


def _version(held: Held) -> tuple[int, int]:
    return held.epoch, held.rev
