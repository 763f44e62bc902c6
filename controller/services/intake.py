"""Where everything from the broker comes in: decode, count, hand on. Nothing that arrives here stops anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby
from typing import Protocol

import structlog

from controller.domain import canary
from controller.domain.site import Settings
from controller.ports import BusDown, BusEvent, BusUp, Clock, Received, StoreError
from controller.services.changes import Changes
from controller.services.dispatch import Dispatch
from controller.services.ledger import Ledger
from controller.wire.messages import FaultReport, Heartbeat, Held, JournalEntry, Status, WireError, decode
from controller.wire.topics import Topics, Up

log = structlog.get_logger(__name__)

COMPLAIN_EVERY_S = 60.0


class Health(Protocol):
    """What intake hands to monitoring."""

    async def on_bus_up(self, mono: float) -> None: ...

    async def on_bus_down(self, reason: str, mono: float) -> None: ...

    async def on_status(self, node: str, status: Status, mono: float, retain: bool) -> None: ...

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat, float]]) -> None: ...

    async def on_fault(self, node: str, code: str, report: FaultReport | None, mono: float, retain: bool) -> None: ...

    async def on_journal(self, node: str, entry: JournalEntry, mono: float) -> None: ...


class Alarms(Protocol):
    """What intake hands to the emergencies; their journals they take from the ledger's transaction."""

    async def on_bus_up(self) -> None: ...

    async def on_birth(self, node: str) -> None: ...

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat]]) -> None:
        """Those of nodes on which something sounds."""


Arrived = tuple[Up, Received]


class Intake:
    """Routes batches of bus events. `counters` counts what came and what was refused, by kind."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
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
        self._complained: dict[str, float] = {}
        self._whole: dict[str, tuple[int, int]] = {}
        self.counters: Counter[str] = Counter()
        self.bus_problem = "not connected yet"
        self._handlers: dict[str, Callable[[list[Arrived]], Awaitable[None]]] = {
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
        """Handle a batch in order; neighbours of one kind together."""
        for kind, group in groupby(batch, key=self._kind):
            events = list(group)
            if kind == "heartbeat":
                await self._guarded(kind, len(events), self._heartbeats(events))
            elif kind == "bus":
                for event in events:
                    await self._bus(event)
            elif handler := self._handlers.get(kind):
                arrived = [one for one in map(self._arrived, events) if one]
                await self._guarded(kind, len(arrived), handler(arrived))

    def _kind(self, event: BusEvent) -> str:
        if not isinstance(event, Received):
            return "bus"
        if event.topic in self._beats:
            return "heartbeat"
        up = self._topics.parse_up(event.topic)
        if up is None:
            self._refuse("topic", event.topic[:80], "not a topic of the protocol")
            return ""
        if up.node not in self._settings.nodes and (up.node, up.kind) != (canary.NODE, "fault"):
            self._refuse("stranger", up.node, "not a node of this site")
            return ""
        self.counters[up.kind] += 1
        return up.kind

    def _arrived(self, event: BusEvent) -> Arrived | None:
        assert isinstance(event, Received)
        up = self._topics.parse_up(event.topic)
        return (up, event) if up else None

    async def _guarded(self, kind: str, messages: int, work: Awaitable[None]) -> None:
        try:
            await work
        except StoreError as error:
            # Nothing is lost: journals stay unacknowledged and come again, states come with the next heartbeat;
            # what health took in it keeps, and writes down later.
            self.counters["not-stored"] += messages
            log.error("not stored", kind=kind, messages=messages, reason=str(error))

    async def _bus(self, event: BusEvent) -> None:
        if isinstance(event, BusUp):
            self.bus_problem = ""
            await self._guarded("bus", 0, self._alarms.on_bus_up())
            await self._guarded("bus", 0, self._publish(self._dispatch.on_bus_up()))
            await self._guarded("bus", 0, self._health.on_bus_up(event.mono))
        elif isinstance(event, BusDown):
            self.bus_problem = event.reason
            await self._guarded("bus", 0, self._health.on_bus_down(event.reason, event.mono))
        self._changes.notify("status")

    async def _publish(self, sending: Awaitable[list[str]]) -> None:
        """Send, and write down to whom."""
        at = self._clock.now()
        if nodes := await sending:
            await self._ledger.published(nodes, at)

    async def _statuses(self, arrived: list[Arrived]) -> None:
        for up, message in arrived:
            try:
                status = decode(Status, message.payload)
            except WireError as error:
                self._refuse("undecodable", up.node, f"status: {error}")
                continue
            # Each by itself: a birth or a will comes only once.
            health = self._health.on_status(up.node, status, message.mono, message.retain)
            await self._guarded("status", 1, health)
            if status.reason == "birth" and not message.retain:
                await self._guarded("status", 0, self._alarms.on_birth(up.node))
                sending = self._dispatch.on_held(up.node, _version(status.playlists), fresh_connect=True)
                await self._guarded("status", 0, self._publish(sending))

    async def _heartbeats(self, events: Sequence[BusEvent]) -> None:
        self.counters["heartbeat"] += len(events)
        batch = list(self._decoded(events))
        await self._health.on_heartbeats(batch)
        if sounding := [(node, heartbeat) for node, heartbeat, _ in batch if heartbeat.playing]:
            await self._alarms.on_heartbeats(sounding)
        whole: dict[str, tuple[int, int]] = {}
        for node, heartbeat, _ in batch:
            held = heartbeat.playlists
            version = (held.epoch, held.rev)
            if not self._dispatch.note_held(node, version):
                await self._publish(self._dispatch.on_held(node, version))
            elif held.missing == 0 and version != self._whole.get(node):
                whole[node] = version
        if whole:  # once for each document: its newest, with all its audio
            await self._ledger.ready(whole.keys())
            self._whole |= whole

    def _decoded(self, events: Sequence[BusEvent]) -> Iterator[tuple[str, Heartbeat, float]]:
        for event in events:
            assert isinstance(event, Received)
            node = self._beats[event.topic]
            if event.retain:  # retained is never life
                self._refuse("retained", node, "heartbeat with the retain flag")
                continue
            try:
                yield node, decode(Heartbeat, event.payload), event.mono
            except WireError as error:
                self._refuse("undecodable", node, f"heartbeat: {error}")

    async def _journals(self, arrived: list[Arrived]) -> None:
        batch: list[tuple[str, JournalEntry]] = []
        for up, message in arrived:
            try:
                batch.append((up.node, decode(JournalEntry, message.payload)))
            except WireError as error:
                self._refuse("undecodable", up.node, f"journal: {error}")
        taken = await self._ledger.take(batch)
        # Acknowledged last, and told to health whether new or not: if we die in between, it all comes again.
        for node, entry in batch:
            await self._health.on_journal(node, entry, self._clock.monotonic())
        await self._dispatch.acknowledge(taken.upto)

    async def _faults(self, arrived: list[Arrived]) -> None:
        for up, message in arrived:
            try:
                report = decode(FaultReport, message.payload) if message.payload else None
            except WireError as error:
                self._refuse("undecodable", up.node, f"fault: {error}")
                continue
            # Each by itself: a report comes only once.
            health = self._health.on_fault(up.node, up.code, report, message.mono, message.retain)
            await self._guarded("fault", 1, health)

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
