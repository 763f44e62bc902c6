"""A week of air for a whole district: edits, orders, power cuts, lost connections, bad clocks, missing audio and a
controller that dies, all at random; afterwards the ledger is held against what microphones beside the horns heard.

`LOA_AIR_SEED=17 pytest tests/property/test_week_of_air.py` plays one week again, `LOA_AIR_WEEKS=20` plays more of them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest

from broadcasts.guards import Guards
from broadcasts.model import Broadcast, IfLate, InterruptAction, LateAction, Node, Pause, Priority, Say, Zone
from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import FINAL, ON_AIR, Delivery, DeliveryState, OccurrenceRow
from controller.domain.site import Settings
from controller.ports import ConfigRefused
from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import payload_of
from controller.wire.topics import Topics
from simulators.speaker import Moment
from tests.air import AirNode, Heard
from tests.fakes import START, FakeClock, Published
from tests.house import HANOI, KEYS, House, network

HOUR, DAY = 3600.0, 86400.0
ROUNDING_MS = 5
TOPICS = Topics("loa/v1")

WEEKS = [(int(os.environ["LOA_AIR_SEED"]), 200, 7)] if "LOA_AIR_SEED" in os.environ else []
WEEKS = WEEKS or [(seed, 200, 7) for seed in range(1, 1 + int(os.environ.get("LOA_AIR_WEEKS", "1")))]


def district(nodes: int) -> Settings:
    """Communes of ten nodes."""
    ids = {f"n{index:03}": f"c{index // 10:02}" for index in range(nodes)}
    communes = sorted(set(ids.values()))
    zones = {"all": Zone("all", "all", tuple(ids))}
    zones |= {one: Zone(one, one, tuple(id for id in ids if ids[id] == one), is_commune=True) for one in communes}
    plain = network()
    site = replace(plain.site, horizon_days=2, guards=Guards.none())
    return replace(plain, site=site, zones=zones, nodes={id: Node(id=id, name=id, commune=ids[id]) for id in ids})


class Week:
    """The air of one week. Everything happens at its own instant of `clock`; nothing waits."""

    def __init__(self, seed: int, nodes: int, days: int) -> None:
        self.rng = random.Random(seed)
        self.days = days
        self.clock = FakeClock()
        self.store = SqlStore("sqlite://")
        self.settings = district(nodes)
        self.retained: dict[str, Published] = {}
        self.published: set[tuple[str, str]] = set()
        self.silenced: dict[tuple[str, str], datetime] = {}
        self.complaints: list[str] = []
        self.newest: dict[str, tuple[int, int]] = {}
        self._agenda: list[tuple[float, int, Callable[[], Awaitable[None] | None]]] = []
        self._order = itertools.count()
        self._names = itertools.count()
        self.nodes = {id: self._node(id) for id in self.settings.nodes}
        self.never_on = set(self.rng.sample(sorted(self.nodes), 2))
        self.house: House | None = None
        self.broker = True
        self.last_good: dict[str, Broadcast] = {}
        self.happened: Counter[str] = Counter()

    def _node(self, id: str) -> AirNode:
        return AirNode(id, KEYS, self.rng, self._moment, self.later, lambda sha256: self._document(id, sha256))

    def _document(self, node: str, sha256: str) -> bytes | None:
        return self.house.dispatch.document(node, sha256) if self.house else None

    # --- time -------------------------------------------------------------------------------------------------

    def _moment(self) -> Moment:
        return Moment(self.clock.wall, self.clock.mono)

    def later(self, mono: float, call: Callable[[], Awaitable[None] | None]) -> None:
        heapq.heappush(self._agenda, (max(mono, self.clock.mono), next(self._order), call))

    def soon(self, seconds: float, call: Callable[[], Awaitable[None] | None]) -> None:
        self.later(self.clock.mono + seconds, call)

    def _next_job(self) -> float:
        jobs = self.house.timer.jobs.values() if self.house else ()
        return min((1000.0 + (when - START).total_seconds() for when, _ in jobs), default=float("inf"))

    async def until(self, mono: float) -> None:
        """Let everything happen up to `mono`."""
        while (due := min(self._agenda[0][0] if self._agenda else mono, self._next_job())) <= mono:
            self._move(max(due, self.clock.mono))
            if self.house:
                await self.house.timer.run_due()
            while self._agenda and self._agenda[0][0] <= self.clock.mono:
                call = heapq.heappop(self._agenda)[2]
                if (doing := call()) is not None:
                    await doing
            self._carry()
            if not self._agenda:
                break
        self._move(mono)

    def _move(self, mono: float) -> None:
        self.clock.mono = mono
        self.clock.wall = START + timedelta(seconds=mono - 1000.0)

    # --- the broker -------------------------------------------------------------------------------------------

    def _carry(self) -> None:
        """Hand over what the controller published."""
        while self.house and self.house.bus.published:
            batch, self.house.bus.published = self.house.bus.published, []
            # in an order of its own: a controller may publish to nodes in any, and a seed must replay
            for one in sorted(batch, key=lambda one: one.topic.split("/")[3]):
                self._deliver(one)

    def _deliver(self, one: Published) -> None:
        _, _, way, name, *kind = one.topic.split("/")
        if way != "dn":
            return
        node = self.nodes[name]
        if kind == ["playlists"]:
            self.retained[name] = one
            self._note_version(name, one.payload)
        if node.connected:
            self._hear(node, kind[0], one.payload)

    def _hear(self, node: AirNode, kind: str, payload: bytes) -> None:
        if kind == "playlists":
            node.on_playlists(payload)
        elif kind == "command":
            node.on_command(payload)
        elif self.rng.random() < 0.95:  # an acknowledgement may be lost: its entries come again
            node.on_ack(payload)

    def _note_version(self, node: str, token: bytes) -> None:
        document = payload_of(PlaylistsDoc, token)
        version = (document.epoch, document.rev)
        if version < self.newest.get(node, (0, 0)):
            self.complaints.append(f"revision of {node} went back from {self.newest[node]} to {version}")
        self.newest[node] = version
        held = self.house.dispatch.wanted(node) if self.house else ()
        now = self.clock.now()
        may_begin = (one for one in held if one.end + timedelta(seconds=one.if_late.within_s) > now)
        self.published |= {(one.id, node) for one in may_begin}

    # --- nodes and the controller talk ------------------------------------------------------------------------

    async def connect(self, node: AirNode) -> None:
        if not (node.powered and self.broker):
            return
        node.connected = True
        if node.id in self.retained:
            node.on_playlists(self.retained[node.id].payload)
        node.fetch()
        await self._report(node, fresh=True)

    async def _report(self, node: AirNode, *, fresh: bool = False) -> None:
        """A birth or a heartbeat."""
        if self.house and node.connected:
            at = self.clock.now()
            held = (node.holding.epoch, node.holding.rev)
            if self.house.dispatch.wants(node.id, held, born=fresh):
                await self._send([node.id], at)

    async def heartbeats(self) -> None:
        for node in self.nodes.values():
            node.fetch()
            await self._report(node)
        self.soon(HOUR / 2, self.heartbeats)

    async def journals(self) -> None:
        """Whoever is connected sends what is not acknowledged, as far as it comes."""
        self.soon(self.rng.choice((1, 10, 60, 300)), self.journals)
        await self.deliver_journals()

    async def deliver_journals(self) -> int:
        batch = []
        for node in self.nodes.values() if self.house and self.broker else ():
            if node.connected and (waiting := node.to_send()):
                some = waiting if self.rng.random() < 0.9 else waiting[: self.rng.randint(1, len(waiting))]
                batch += [(node.id, entry) for entry in some]
        if batch and self.house:
            taken = await self.house.ledger.take(batch)
            await self.house.dispatch.acknowledge(taken.upto)
            self._carry()
        return len(batch)

    # --- the controller ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """A controller on the database as it is: the first, or one after a crash."""
        self.house = house = House(self.settings, self.store, self.clock)
        await house.dispatch.start()
        await house.emergencies.start()
        if self.broker:
            house.bus.up()
        await house.scheduling.start()
        await self._bus_up()

    async def _bus_up(self) -> None:
        if self.house and self.broker:
            at = self.clock.now()
            await self._send(await self.house.dispatch.on_bus_up(), at)

    async def _send(self, nodes: list[str], at: datetime) -> None:
        assert self.house is not None
        if sent := await self.house.dispatch.send(nodes):
            await self.house.ledger.published(sent, at)

    async def crash(self) -> None:
        """The controller is gone for seconds or for hours; the network goes on without it."""
        self.happened["controller restarted"] += 1
        assert self.house is not None
        self._carry()
        down = self.rng.choice((3, 60, HOUR / 2, 4 * HOUR))
        self.house = None
        self.soon(down, self.start)

    async def broker_falls(self) -> None:
        self.happened["broker fell"] += 1
        self._carry()
        self.broker = False
        if self.house:
            self.house.bus.down()
        for node in self.nodes.values():
            node.connected = False
        self.soon(self.rng.choice((20, 600, 3 * HOUR)), self.broker_rises)

    async def broker_rises(self) -> None:
        self.broker = True
        if self.house:
            self.house.bus.up()
            await self._bus_up()
        for node in self.nodes.values():
            self.soon(self.rng.randint(1, 30), lambda node=node: self.connect(node))  # type: ignore[misc]

    # --- what befalls nodes -----------------------------------------------------------------------------------

    def power_cut(self, node: AirNode) -> None:
        node.power_off()

        async def back() -> None:
            if not node.powered:
                node.synced = self.rng.random() < 0.7
                node.power_on()
                self.soon(self.rng.randint(5, 120), lambda: node.set_clock(timedelta(0), synced=True))
                self.soon(self.rng.randint(1, 60), lambda: self.connect(node))

        self.soon(self._outage(), back)

    def link_lost(self, node: AirNode) -> None:
        node.connected = False
        self.soon(self._outage(), lambda: self.connect(node))

    def clock_lost(self, node: AirNode) -> None:
        off = self.rng.choice((0, 0, -2 * HOUR, -20, 90))
        node.set_clock(timedelta(seconds=off), synced=False)
        self.soon(self._outage(), lambda: node.set_clock(timedelta(0), synced=True))

    def media_lost(self, node: AirNode) -> None:
        node.media = False
        self.soon(self._outage(), lambda: setattr(node, "media", True))

    def card_fails(self, node: AirNode) -> None:
        node.card_reads = False
        self.soon(HOUR, lambda: setattr(node, "card_reads", True))

    def _outage(self) -> float:
        return self.rng.choice((2, 15, 90, 600, HOUR, 6 * HOUR, 30 * HOUR)) * self.rng.uniform(0.5, 1.5)

    # --- what operators do ------------------------------------------------------------------------------------

    def broadcast(self) -> Broadcast:
        """Anything that may be queued, at times of the day when people are awake."""
        rng = self.rng
        zones = [zone for zone in self.settings.zones if zone != "all"]
        to = ("all",) if rng.random() < 0.4 else tuple(rng.sample(zones, min(len(zones), rng.randint(1, 4))))
        times = {time(rng.randint(5, 20), rng.randrange(0, 60, 5)) for _ in range(rng.choice((1, 1, 2)))}
        return Broadcast(
            id=f"b{next(self._names)}",
            title="Bản tin",
            to=to,
            play=(Say(f"{rng.random()}"), Pause(rng.randrange(0, 420_000, 1000))),
            at=tuple(sorted(times)),
            priority=rng.choice((Priority.NORMAL, Priority.NORMAL, Priority.PRIORITY)),
            if_late=IfLate(rng.choice(list(LateAction)), rng.choice((30, 600, 1800))),
            if_interrupted=rng.choice(list(InterruptAction)),
            place="b:1",
            allow_conflict=True,
        )

    def _in_a_moment(self) -> time:
        """A minute that comes soon, or has just passed."""
        at = (self.clock.now() + timedelta(minutes=self.rng.randint(-2, 20))).astimezone(HANOI)
        return time(at.hour, at.minute)

    def _changed(self) -> dict[str, Broadcast]:
        """The broadcasts after one edit of some kind."""
        rng, after = self.rng, dict(self.last_good)
        kind = rng.choice(("add", "move", "remove", "retarget", "retitle", "remake")) if after else "add"
        self.happened[kind] += 1
        if kind == "add":
            fresh = self.broadcast()
            return after | {fresh.id: replace(fresh, at=(*fresh.at, self._in_a_moment()))}
        one, other = rng.choice(list(after.values())), self.broadcast()
        if kind == "remove":
            del after[one.id]
            return after
        edits = {
            "move": {"at": (self._in_a_moment(), *one.at[1:])},
            "retarget": {"to": other.to},
            "retitle": {"title": f"Bản tin {rng.random()}"},
            "remake": {"play": other.play, "priority": other.priority, "if_interrupted": other.if_interrupted},
        }
        return after | {one.id: replace(one, **edits[kind])}  # type: ignore[arg-type]

    async def edit(self) -> None:
        """One edit; often it is taken back soon afterwards."""
        before = self.last_good
        await self.save(self._changed())
        if self.rng.random() < 0.4:
            self.happened["undo"] += 1
            self.soon(self.rng.choice((1, 5, 30, 300)), lambda: self.save(before))

    async def save(self, broadcasts: dict[str, Broadcast]) -> None:
        digest = str(int(self.settings.digest) + 1)
        self.settings = replace(self.settings, broadcasts=broadcasts, digest=digest)
        self.last_good = broadcasts
        if self.house:
            self.house.configured = self.settings
            try:
                await self.house.scheduling.reload()
            except ConfigRefused as error:
                self.complaints.append(f"refused: {error.problems}")

    async def order(self) -> None:
        """Something is said now, or silence is ordered; often the one right after the other."""
        zone = self.rng.choice(list(self.settings.zones))
        if self.rng.random() < 0.3:
            await self.stop(zone)
        elif self.house:
            self.happened["say"] += 1
            await self.house.orders.say("Chào bà con.", [zone], by="test", override="test")
            self.soon(self.rng.choice((0.2, 1, 3, 10, HOUR)), lambda: self.stop(zone))

    async def stop(self, zone: str) -> None:
        """Silence: of what it names, nothing may begin any more on a node that is connected."""
        if self.house:
            self.happened["stop"] += 1
            stopped = (await self.house.orders.stop_air([zone], by="test"))["stopped"]
            nodes = [one for one in self.settings.targets([zone]) if self.nodes[one].connected]
            self.silenced |= {(id, node): self.clock.now() for id in stopped for node in nodes}

    # --- a week -----------------------------------------------------------------------------------------------

    async def live(self) -> None:
        await self.store.open()
        await self.start()
        for node in self.nodes.values():
            if node.id not in self.never_on:
                node.power_on()
                await self.connect(node)
        first = [self.broadcast() for _ in range(5)]
        await self.save({one.id: one for one in first})
        self._draw()
        await self.journals()
        await self.heartbeats()
        end = 1000.0 + self.days * DAY
        await self.until(end)
        await self._mend(end)

    def _draw(self) -> None:
        """What befalls whom and when."""
        rng = self.rng
        awake = sorted(set(self.nodes) - self.never_on)
        befalls = (
            (self.power_cut, 0.5),
            (self.link_lost, 0.7),
            (self.clock_lost, 0.15),
            (self.media_lost, 0.15),
            (self.card_fails, 0.05),
        )
        for what, a_day in befalls:
            for _ in range(int(a_day * self.days * len(awake))):
                node = self.nodes[rng.choice(awake)]
                self.later(self._some_time(), lambda what=what, node=node: self._befall(what, node))  # type: ignore[misc]
        for call, a_day in ((self.edit, 6), (self.order, 3), (self._crash_if_up, 1.5), (self._fall_if_up, 0.5)):
            for _ in range(int(a_day * self.days)):
                self.later(self._some_time(), call)

    def _some_time(self) -> float:
        """Any instant before the last hours."""
        return 1000.0 + self.rng.uniform(60, self.days * DAY - HOUR)

    def _befall(self, what: Callable[[AirNode], None], node: AirNode) -> None:
        if node.powered:
            self.happened[what.__name__] += 1
            what(node)

    async def _crash_if_up(self) -> None:
        if self.house:
            await self.crash()

    async def _fall_if_up(self) -> None:
        if self.broker:
            await self.broker_falls()

    async def _mend(self, end: float) -> None:
        """Everything is repaired, everybody reconnects, and every journal is delivered."""
        await self.until(end + 5 * HOUR)
        for node in self.nodes.values():
            if node.id not in self.never_on:
                if not node.powered:
                    node.power_on()
                node.set_clock(timedelta(0), synced=True)
                node.media = node.card_reads = True
                await self.connect(node)
        await self.until(end + 7 * HOUR)
        while await self.deliver_journals():
            pass


# --- the ledger against the microphones -----------------------------------------------------------------------


class Audit:
    """Every line of the ledger, held against what was heard and against the nodes' own words."""

    def __init__(self, week: Week, occurrences: list[OccurrenceRow], deliveries: list[Delivery]) -> None:
        self.week = week
        self.occurrences = {row.id: row for row in occurrences}
        self.deliveries = {(row.occurrence, row.node): row for row in deliveries}
        self.found = [*week.complaints]
        self.outcomes: Counter[str] = Counter()

    def run(self) -> None:
        now = self.week.clock.now()
        for node in self.week.nodes.values():
            self.found += node.microphone.complaints
            self.found += [one for one in node.refusals if "expired" not in one]
            heard = {(id, node.id) for id in node.microphone.heard}
            self.found += [f"heard, but not in the ledger: {key}" for key in heard - self.deliveries.keys()]
        self.found += [f"sent, but not in the ledger: {key}" for key in self.week.published - self.deliveries.keys()]
        for (id, name), at in self.week.silenced.items():
            sounded = self.week.nodes[name].microphone.heard.get(id)
            if sounded and sounded.began > at + timedelta(seconds=1):
                self.found.append(f"{id} was stopped on {name} at {at}, and began at {sounded.began}")
        for row in self.deliveries.values():
            if (wrong := self._wrong(row, now)) is not None:
                self.found.append(f"{row}: {wrong}")

    def _wrong(self, row: Delivery, now: datetime) -> str | None:
        node = self.week.nodes[row.node]
        heard = node.microphone.heard.get(row.occurrence)
        told = node.told.get(row.occurrence)
        self.outcomes[f"{row.state}{'' if not told else f' ({told.reason or told.kind})'}"] += 1
        over = self.occurrences[row.occurrence].end + timedelta(hours=1) < now
        if heard is not None and not heard.dead and not over:
            return None if row.state in ON_AIR | {DeliveryState.UNKNOWN} else "it sounds at this very moment"
        if heard is not None:
            return _wrong_of_heard(row, heard)
        if row.started_at is not None or row.state is DeliveryState.COMPLETED:
            return "was never heard"
        if told is not None and row.state is not DeliveryState.CANCELLED:
            echo = told.reason == "cancelled" and row.state not in FINAL  # of an edit that was taken back
            if not echo:
                return None if (str(row.state), row.reason) == (told.kind, told.reason) else f"the node said {told}"
        if row.state in (DeliveryState.UNKNOWN, DeliveryState.CANCELLED):
            return None if row.reason else "no reason given"
        return "nothing came of it, and nobody says so" if over else None


def _wrong_of_heard(row: Delivery, heard: Heard) -> str | None:
    if row.state not in (DeliveryState.COMPLETED, DeliveryState.FAILED):
        return f"it was heard: {heard}"
    if row.started_at is None or abs((row.started_at - heard.began).total_seconds()) > ROUNDING_MS / 1000:
        return f"it began at {heard.began}"
    if row.reason != "restart" and abs((row.played_ms or 0) - heard.played_ms) > ROUNDING_MS * len(heard.stretches):
        return f"it was heard for {heard.played_ms} ms"
    whole = heard.reached_ms >= heard.length_ms - ROUNDING_MS
    if row.state is DeliveryState.COMPLETED and not whole and not heard.joins:
        return "it broke off"
    return (
        "it was heard to its end" if row.state is DeliveryState.FAILED and whole and row.reason != "restart" else None
    )


async def played(seed: int, nodes: int, days: int) -> tuple[Week, Audit]:
    week = Week(seed, nodes, days)
    await week.live()
    window = (START - timedelta(days=2), START + timedelta(days=days + 4))
    rows = await week.store.read(lambda tx: tx.occurrences(*window))
    deliveries = await week.store.read(lambda tx: tx.deliveries_of([row.id for row in rows]))
    audit = Audit(week, rows, deliveries)
    audit.run()
    await week.store.close()
    return week, audit


@pytest.mark.parametrize(("seed", "nodes", "days"), WEEKS)
def test_after_a_week_of_edits_faults_and_restarts_the_ledger_says_what_was_heard(
    seed: int, nodes: int, days: int
) -> None:
    week, audit = asyncio.run(played(seed, nodes, days))
    print(f"seed {seed}: {dict(week.happened)} -> {dict(audit.outcomes)}")
    shown = "\n".join(audit.found[:20])
    assert not audit.found, f"LOA_AIR_SEED={seed} plays it again; {len(audit.found)} wrong, the first:\n{shown}"
    states = {outcome.split()[0] for outcome in audit.outcomes}
    assert {"completed", "failed", "skipped", "unknown", "cancelled"} <= states, "a week in which too little happened"
