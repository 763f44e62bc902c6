"""A district of twelve communes and sixty nodes with a real store, and a controller around it as the web room sees
one: what reporting, web and browser tests start from. Each helper writes rows as the services do."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from broadcasts.difference import Difference
from broadcasts.model import Item, Node, Occurrence, Priority, Rendered, Zone
from controller.adapters.credentials import hash_password
from controller.adapters.photos import PhotoShelf
from controller.adapters.store.sql import SqlStore
from controller.domain import incidents
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.escalation import AlertSettings, OutboxRow, OutboxState
from controller.domain.faults import FaultRule, Severity, Text, Visit
from controller.domain.incidents import Incident, IncidentEvent, IncidentState
from controller.domain.liveness import Liveness
from controller.domain.site import Settings, Site
from controller.domain.workorders import Step, taken
from controller.ports import ConfigRefused, Credential, FaultRow, NodeRow, Tx
from controller.services.canary import Canary
from controller.services.changes import Changes
from controller.services.gauges import Gauges
from controller.services.healthbook import keep_work, work_order_of
from controller.services.lifesign import LifeSign
from controller.services.links import Links
from controller.services.reporting import Reporting
from controller.services.watching import Watching
from controller.services.workshop import Workshop
from controller.web.server import create
from tests.fakes import FakeBus, FakeClock, FakeTimer

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")

COMMUNES = {
    "na-meo": ("Na Mèo", 20.385, 104.660),
    "son-thuy": ("Sơn Thủy", 20.330, 104.735),
    "son-dien": ("Sơn Điện", 20.290, 104.820),
    "son-lu": ("Sơn Lư", 20.255, 104.905),
    "tam-thanh": ("Tam Thanh", 20.215, 104.790),
    "tam-lu": ("Tam Lư", 20.200, 104.870),
    "trung-ha": ("Trung Hạ", 20.300, 105.030),
    "trung-thuong": ("Trung Thượng", 20.262, 104.980),
    "trung-tien": ("Trung Tiến", 20.335, 105.075),
    "trung-xuan": ("Trung Xuân", 20.372, 105.010),
    "muong-min": ("Mường Mìn", 20.350, 104.880),
    "quan-son": ("Thị trấn Quan Sơn", 20.240, 105.045),
}

AMPLIFIER = FaultRule(
    code="amplifier",
    component="amplifier",
    severity=Severity.CRITICAL,
    title=Text("Bộ khuếch đại không ra tiếng", "Amplifier gives no output"),
    advice=Text("Thay mô-đun khuếch đại, đo nguồn nuôi.", "Swap the module, check its supply rail."),
    raise_when="src_dbfs > -40 and amp_vrms < 0.5",
    visit=Visit.CLIMB,
    safety=Text("Ngắt điện trước khi mở hộp.", "Switch the power off before opening the box."),
    parts=Text("Mô-đun khuếch đại 60 W", "60 W amplifier module"),
)

AMP_EVIDENCE = {"src_dbfs": -18.25, "amp_vrms": 0.03, "mains_v": 221.4}

PASSWORD = "nhà-rông"

TOKEN = "a-token-of-the-test"


def reader(app: Any, **more: Any) -> httpx.AsyncClient:
    """A browser before the page of `app`, without a network between."""
    transport = httpx.ASGITransport(create(app, token=TOKEN))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", **more)


def district() -> Settings:
    """Twelve communes, five nodes each; ids like na-meo-01."""
    nodes = {node.id: node for id in COMMUNES for node in _nodes(id)}
    communes = {
        id: Zone(id, name, tuple(node for node in nodes if nodes[node].commune == id), is_commune=True)
        for id, (name, _, _) in COMMUNES.items()
    }
    return Settings(
        folder="/nowhere",
        site=Site("quan-son", "Huyện Quan Sơn", HANOI, "vi", data="/nowhere", store_url="sqlite://"),
        nodes=nodes,
        zones={"all": Zone("all", "Toàn huyện", tuple(nodes)), **communes},
        broadcasts={},
        faults=(AMPLIFIER,),
        alerts=AlertSettings(people=()),
        digest="1",
    )


def _nodes(commune: str) -> list[Node]:
    name, lat, lon = COMMUNES[commune]
    steps = ((0.0, 0.0), (0.012, 0.014), (-0.011, 0.012), (0.009, -0.015), (-0.012, -0.011))
    return [
        Node(
            id=f"{commune}-{n:02d}",
            name=f"{name} {n}",
            commune=commune,
            hamlet=f"Bản {('Cộc', 'Xiềng', 'Hậu', 'Na', 'Bôn')[n - 1]}",
            pole=f"{commune[:2].upper()}-{n}",
            lat=lat + north,
            lon=lon + east,
        )
        for n, (north, east) in enumerate(steps, 1)
    ]


# --- what the controller is, as the web room sees it --------------------------------------------------------


@dataclass
class Orders:
    """Takes every order down; refuses what a test tells it to."""

    given: list[tuple[Any, ...]] = field(default_factory=list)
    refuse: str = ""

    async def say(
        self, text: str, to: Sequence[str], voice: str, volume: int | None, by: str, override: str
    ) -> dict[str, Any]:
        return self._take("say", text, tuple(to), voice, volume, by, *filter(None, [override]))

    async def play(self, path: str, to: Sequence[str], volume: int | None, by: str, override: str) -> dict[str, Any]:
        return self._take("play", path, tuple(to), volume, by, *filter(None, [override]))

    async def stop_air(self, to: Sequence[str], by: str) -> dict[str, Any]:
        return self._take("stop", tuple(to), by)

    async def volume(self, percent: int, to: Sequence[str], by: str) -> dict[str, Any]:
        return self._take("volume", percent, tuple(to), by)

    def _take(self, *order: Any) -> dict[str, Any]:
        if self.refuse:
            raise ValueError(self.refuse)
        self.given.append(order)
        return {"occurrence": "now-1", "nodes": ["na-meo-01"]}


@dataclass
class Scheduling:
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    planned: tuple[Occurrence, ...] = ()

    async def reload(self, by: str) -> Difference:
        if self.refuse:
            raise ConfigRefused(self.refuse)
        return Difference()


@dataclass
class Emergencies:
    """Takes every order down; refuses what a test tells it to."""

    given: list[tuple[Any, ...]] = field(default_factory=list)
    refuse: Exception | None = None

    async def sound(self, message: Any, to: Sequence[str], manner: Any, *, drill: bool, by: str) -> dict[str, Any]:
        return self._take("sound", message, tuple(to), manner, drill, by)

    async def update(self, id: str, amendment: Any, by: str) -> dict[str, Any]:
        return self._take("update", id, amendment, by)

    async def end(self, id: str, by: str) -> dict[str, Any]:
        return self._take("end", id, by)

    def _take(self, *order: Any) -> dict[str, Any]:
        if self.refuse is not None:
            raise self.refuse
        self.given.append(order)
        return {"id": "lu-quet@1", "rev": 1}


@dataclass
class Dispatch:
    refuse: str = ""
    ordered: list[tuple[str, str]] = field(default_factory=list)
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)

    async def order(self, node: str, do: str) -> str:
        self.ordered.append((node, do))
        return self.refuse

    async def published_document(self, node: str, sha256: str) -> bytes | None:
        return self.documents.get((node, sha256))


class Monitoring:
    """Incidents change as the store says; nodes' states are those of the store."""

    def __init__(self, store: SqlStore, settings: Settings, clock: FakeClock) -> None:
        self.store = store
        self.settings = settings
        self.clock = clock

    async def acknowledge(self, id: int, by: str, note: str = "", also: Any = None) -> Incident:
        return await self._change(id, incidents.acknowledged, Step.ACCEPTED, by, note, also)

    async def begin(self, id: int, by: str, note: str = "", also: Any = None) -> Incident:
        return await self._change(id, incidents.begun, Step.BEGUN, by, note, also)

    async def repaired(self, id: int, by: str, note: str = "", also: Any = None) -> Incident:
        return await self._change(id, incidents.repaired, Step.REPAIRED, by, note, also)

    async def _change(self, id: int, act: Any, step: Step, by: str, note: str, also: Any) -> Incident:
        now = self.clock.now()

        def write(tx: Tx) -> Incident:
            row = tx.incident(id)
            if row is None:
                raise KeyError(f"no incident {id}")
            changed: Incident = act(row, by, now)
            tx.put_incident(changed)
            happened = {Step.ACCEPTED: "acknowledged", Step.BEGUN: "repair-begun"}.get(step, step.value)
            tx.put_incident_event(IncidentEvent(id, now, happened, note, by))
            keep_work(tx, taken(work_order_of(tx, changed, self.settings, now), step, by, now), step.value, now, by)
            if also is not None:
                also(tx)
            return changed

        return await self.store.transact(write)


@dataclass
class Epochs:
    """No node is ahead."""

    def told(self) -> dict[str, Any]:
        return {"epoch": 1, "highest": None, "ahead": {}}

    async def overtake(self, by: str) -> dict[str, Any]:
        raise ValueError("no node knows of a later epoch than ours, which is 1")


@dataclass
class Intake:
    counters: Counter[str] = field(default_factory=Counter)


class Shelf:
    """Assets in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        (self.folder / f"{name}.opus").write_bytes(content)
        return name

    def path(self, sha256: str) -> str | None:
        file = self.folder / f"{sha256}.opus"
        return str(file) if file.exists() else None

    async def render(self, items: Sequence[Item]) -> Rendered:
        raise AssertionError("the web room renders nothing")

    def collect(self, needed: Iterable[str]) -> int:
        raise AssertionError("the web room deletes nothing")


def watching(district: District) -> Watching:
    """What watches the controller; it does not run."""
    shared: Any = {"clock": district.clock, "store": district.store}
    unheard = Mute()
    canary = Canary(
        district.settings,
        **shared,
        bus=district.bus,
        complain=unheard.centre,
        came_in=str,
        receives=False,
    )
    return Watching(
        district.settings,
        **shared,
        bus=district.bus,
        timer=FakeTimer(district.clock),
        monitoring=unheard,
        canary=canary,
        life_sign=LifeSign(district.settings, **shared, on_outbox=lambda: None),
    )


class Mute:
    """Whoever is told of the centre's faults, and says nothing."""

    def centre(self, *told: Any) -> None: ...


class District:
    """The controller of the district, with hands to make things happen in it."""

    def __init__(self, store: SqlStore, folder: Path, settings: Settings | None = None) -> None:
        self.settings = settings or district()
        self.store = store
        self.clock = FakeClock()
        self.bus = FakeBus(self.clock)
        self.bus.up()
        self.library = Shelf(folder)
        self.changes = Changes()
        self.scheduling = Scheduling()
        self.orders = Orders()
        self.emergencies = Emergencies()
        self.dispatch = Dispatch()
        self.monitoring = Monitoring(store, self.settings, self.clock)
        self.links = Links(bytes(range(32)))
        self.workshop = Workshop(
            self.settings,
            store=store,
            clock=self.clock,
            changes=self.changes,
            cases=self.monitoring,
            photos=PhotoShelf(folder / "photos"),
        )
        self.intake = Intake()
        self.loopback = None
        self.gauges = Gauges()
        self.epochs = Epochs()
        self.watching = watching(self)
        self.reporting = Reporting(self.settings, store=store, clock=self.clock, scheduling=self.scheduling)

    @classmethod
    async def opened(cls, folder: Path) -> District:
        store = SqlStore("sqlite://")
        await store.open()
        return cls(store, folder)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def at(self, minutes: float) -> datetime:
        """An instant `minutes` from now."""
        return self.now + timedelta(minutes=minutes)

    async def heard_from(self, *nodes: str, state: Liveness = Liveness.ONLINE, ago_s: float = 4) -> None:
        """These nodes (all, if none is named) were last heard of `ago_s` ago and are in `state`."""
        seen = self.now - timedelta(seconds=ago_s)
        metrics = {"mains_v": 221.4, "batt_v": 13.1, "amp_temp_c": 41.2, "rsrp_dbm": -87}
        rows = [
            NodeRow(id, state.value, self.at(-90), seen_at=seen, held_epoch=1, held_rev=7, metrics=metrics)
            for id in nodes or self.settings.nodes
        ]
        await self.store.transact(lambda tx: tx.put_nodes(rows))
        self.changes.notify("nodes")

    async def planned(
        self,
        id: str,
        title: str,
        *,
        start: float,
        minutes: float = 10,
        to: Iterable[str] = ("all",),
        state: DeliveryState = DeliveryState.READY,
        priority: Priority = Priority.NORMAL,
    ) -> OccurrenceRow:
        """An occurrence `start` minutes from now, with every delivery in `state`."""
        row = OccurrenceRow(
            id, id.split("@")[0], title, self.at(start), self.at(start + minutes), priority, 20, "config", self.at(-600)
        )
        started = row.start + timedelta(milliseconds=12) if state is DeliveryState.SOUNDING else None
        deliveries = [Delivery(id, node, state, self.now, started_at=started) for node in self.settings.targets(to)]

        def work(tx: Any) -> None:
            tx.put_occurrences([row])
            tx.put_deliveries(deliveries)

        await self.store.transact(work)
        self.changes.notify("air")
        return row

    async def told(
        self, occurrence: str, node: str, *steps: tuple[datetime, DeliveryState], final: Delivery | None = None
    ) -> None:
        """Write a delivery's history, and its final row."""
        events = [DeliveryEvent(occurrence, node, at, state) for at, state in steps]

        def work(tx: Any) -> None:
            tx.put_delivery_events(events)
            if final is not None:
                tx.put_deliveries([final])

        await self.store.transact(work)
        self.changes.notify("air")

    async def broken(self, node: str, *, minutes_ago: float = 3, sent: int = 1) -> Incident:
        """The amplifier of `node` fails: an open fault and its incident."""
        since = self.at(-minutes_ago)
        fault = FaultRow(node, "amplifier", "open", since, "critical", AMP_EVIDENCE)
        incident = Incident(
            id=0,
            scope="node",
            subject=node,
            commune=self.settings.nodes[node].commune,
            cause="amplifier",
            component="amplifier",
            severity=Severity.CRITICAL,
            state=IncidentState.OPEN,
            opened_at=since,
            updated_at=since,
            announced=True,
            evidence=AMP_EVIDENCE,
        )
        return await self._opened(incident, [fault], sent)

    async def powerless(self, commune: str, *, minutes_ago: float = 8) -> Incident:
        """The commune's mains fail: all its nodes are gone, one incident."""
        nodes = self.settings.zones[commune].nodes
        await self.heard_from(*nodes, state=Liveness.OFFLINE, ago_s=minutes_ago * 60)
        since = self.at(-minutes_ago)
        incident = Incident(
            id=0,
            scope="commune",
            subject=commune,
            commune=commune,
            cause="power",
            component="power",
            severity=Severity.MAJOR,
            state=IncidentState.ACKNOWLEDGED,
            opened_at=since,
            updated_at=since,
            announced=True,
            acknowledged_by="Hà Văn Thịnh",
            nodes=nodes,
        )
        return await self._opened(incident, [], 1)

    async def closed(self, incident: Incident) -> None:
        """Measurements are good again: the incident is over."""
        row = replace(incident, state=IncidentState.CLOSED, closed_at=self.now, updated_at=self.now)
        fault = FaultRow(incident.subject, incident.cause, "ok", self.now, incident.severity.value, {})

        def work(tx: Any) -> None:
            tx.put_incident(row)
            tx.put_faults([fault])

        await self.store.transact(work)
        self.changes.notify("incidents", "nodes")

    async def closed_by_id(self, id: int) -> None:
        incident = await self.store.transact(lambda tx: tx.incident(id))
        assert incident is not None
        await self.closed(incident)

    async def _opened(self, incident: Incident, faults: Sequence[FaultRow], sent: int) -> Incident:
        def work(tx: Any) -> Incident:
            tx.put_faults(faults)
            opened: Incident = tx.new_incident(incident)
            for n in range(sent):
                tx.enqueue(self._message(opened, n))
                row = tx.outbox(opened.id)[0]
                tx.claim(row.id, self.at(2), self.now)
                tx.finish(row.id, OutboxState.SENT, self.now)
            return opened

        opened = await self.store.transact(work)
        self.changes.notify("incidents", "nodes")
        return opened

    def _message(self, incident: Incident, n: int) -> OutboxRow:
        return OutboxRow(
            incident=incident.id,
            transition="opened",
            recipient=f"ky-thuat-{n}",
            channel="webhook:http://127.0.0.1/x",
            due_at=self.now,
            created_at=self.now,
            subject="s",
            body="b",
        )

    async def enrolled(self, node: str, password: str = PASSWORD) -> None:
        row = Credential(node, hash_password(password), self.now)
        await self.store.transact(lambda tx: tx.put_credential(row))


__all__ = ["AMPLIFIER", "COMMUNES", "PASSWORD", "TOKEN", "District", "district"]
