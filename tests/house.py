"""A small network and the planning half of the controller over fakes: what scheduling tests start from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import time
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from broadcasts.model import Broadcast, FileTrack, Item, Node, Pause, Rendered, Say, Zone
from controller.adapters.store.sql import SqlStore
from controller.app import App, build
from controller.domain.escalation import AlertSettings
from controller.domain.site import Settings, Site
from controller.ports import AudioRefused, Bus, Clock, Store
from controller.services.changes import Changes
from controller.services.dispatch import Dispatch
from controller.services.emergencies import Emergencies, record_answers
from controller.services.ledger import Ledger
from controller.services.orders import Orders
from controller.services.scheduling import Scheduling
from controller.services.sounds import Sounds
from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import key_from_seed, load_keys, verify
from tests.fakes import FakeBus, FakeClock, FakeTimer

KEY = key_from_seed(bytes(range(32)))
KEYS = load_keys((KEY.public_jwk,))
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
NEWS = Broadcast(
    id="ban-tin",
    title="Bản tin",
    to=("all",),
    play=(Say("Chào bà con."),),
    at=(time(17, 0),),
    place="b:3",
    allow_conflict=True,  # what tests queue beside it may be at its time
)


def built(settings: Settings, *, store: Store, clock: Clock, bus: Bus, **other: Any) -> App:
    """The controller as the service wires it; audio and deadlines are fakes if nothing else is given."""
    parts = {"timer": FakeTimer(clock), "library": FakeLibrary(), "notifiers": {}, "key": KEY, "load": lambda: settings}  # type: ignore[arg-type]
    return build(settings, store=store, clock=clock, bus=bus, **{**parts, **other})


def network(*broadcasts: Broadcast, digest: str = "1") -> Settings:
    """Two communes, na-meo with two nodes and son-thuy with one."""
    ids = {"na-meo-01": "na-meo", "na-meo-02": "na-meo", "son-thuy-01": "son-thuy"}
    nodes = {id: Node(id=id, name=id, commune=commune) for id, commune in ids.items()}
    zones = {
        "all": Zone("all", "Toàn huyện", tuple(ids)),
        "na-meo": Zone("na-meo", "Na Mèo", ("na-meo-01", "na-meo-02"), is_commune=True),
        "son-thuy": Zone("son-thuy", "Sơn Thủy", ("son-thuy-01",), is_commune=True),
    }
    return Settings(
        folder="/nowhere",
        site=Site("quan-son", "Quan Sơn", HANOI, "vi", data="/nowhere", store_url="sqlite://"),
        nodes=nodes,
        zones=zones,
        broadcasts={one.id: one for one in broadcasts},
        faults=(),
        alerts=AlertSettings(people=()),
        digest=digest,
    )


@dataclass
class FakeLibrary:
    """Renders anything to an asset named by what it says, ten seconds and its pauses long; refuses what a test says."""

    refused: set[Item] = field(default_factory=set)
    collected: list[set[str]] = field(default_factory=list)

    async def render(self, items: Sequence[Item]) -> Rendered:
        for index, item in enumerate(items):
            if item in self.refused:
                raise AudioRefused("silent", index)
        name = sha256(repr(tuple(items)).encode()).hexdigest()
        length = 10_000 + sum(item.duration_ms for item in items if isinstance(item, Pause))
        return Rendered((FileTrack(name, f"/media/{name}.opus", 1000, length),), length)

    def path(self, sha256: str) -> str | None:
        return None

    def collect(self, needed: Iterable[str]) -> int:
        self.collected.append(set(needed))
        return 0


class House:
    """Scheduling, dispatch, ledger and orders over one in-memory database, which survives `restarted`."""

    def __init__(self, settings: Settings, store: SqlStore, clock: FakeClock) -> None:
        self.configured = settings
        self.store = store
        self.clock = clock
        self.bus = FakeBus(clock)
        self.timer = FakeTimer(clock)
        self.library = FakeLibrary()
        self.changes = Changes()
        self.sounds = Sounds(self.library)
        self.dispatch = Dispatch(settings, store=store, bus=self.bus, clock=clock, key=KEY, sounds=self.sounds.on_nodes)
        self.ledger = Ledger(
            store=store,
            clock=clock,
            changes=self.changes,
            wanted=self.dispatch.wanted,
            version=self.dispatch.version,
            also=record_answers,
        )
        self.emergencies = Emergencies(
            settings,
            store=store,
            bus=self.bus,
            clock=clock,
            timer=self.timer,
            library=self.library,
            sounds=self.sounds,
            key=KEY,
            epoch=lambda: self.dispatch.epoch,
            changes=self.changes,
        )
        self.scheduling = Scheduling(
            settings,
            store=store,
            clock=clock,
            timer=self.timer,
            library=self.library,
            dispatch=self.dispatch,
            ledger=self.ledger,
            changes=self.changes,
            sounds=self.sounds,
            load=lambda: self.configured,
            on_settings=(self.dispatch.reload, self.emergencies.reload),
        )
        self.orders = Orders(
            scheduling=self.scheduling, store=store, clock=clock, library=self.library, dispatch=self.dispatch
        )

    @classmethod
    async def opened(cls, *broadcasts: Broadcast, clock: FakeClock | None = None) -> House:
        """Started and connected, with everything published."""
        store = SqlStore("sqlite://")
        await store.open()
        house = cls(network(*broadcasts), store, clock or FakeClock())
        await house.started()
        return house

    async def started(self) -> None:
        await self.dispatch.start()
        await self.emergencies.start()
        self.bus.up()
        await self.scheduling.start()

    async def restarted(self) -> House:
        """Another controller on the same database, as after a crash; not connected yet."""
        return House(self.configured, self.store, self.clock)

    async def edited(self, *broadcasts: Broadcast) -> None:
        """The operator saves another set of broadcasts and the controller takes it."""
        digest = str(int(self.configured.digest) + 1)
        self.configured = replace(network(*broadcasts), digest=digest)
        await self.scheduling.reload()

    def documents(self, node: str) -> list[PlaylistsDoc]:
        """Every document that `node` was sent, verified as a node would."""
        topic = f"loa/v1/dn/{node}/playlists"
        tokens = [one.payload for one in self.bus.published if one.topic == topic]
        return [verify(PlaylistsDoc, token, KEYS, audience=(node,), now=self.clock.now()) for token in tokens]

    def holds(self, node: str) -> list[str]:
        """Ids of what the newest document of `node` says it is to play."""
        return [one.id for one in self.documents(node)[-1].playlists]

    async def states(self, occurrence: str) -> dict[str, str]:
        rows = await self.store.transact(lambda tx: tx.deliveries(occurrence))
        return {row.node: str(row.state) for row in rows}


__all__ = ["KEY", "KEYS", "NEWS", "FakeLibrary", "House", "network"]
