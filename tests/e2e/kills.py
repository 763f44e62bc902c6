"""The kill harness: a controller that is killed at any instant, and an account of what nodes played all the same.

Real controller, database, Mosquitto and nodes. Airings follow each other every two seconds while the controller is
killed at random, often in the middle of taking an edit or an order; a subscriber writes down every message. The
account is made from the nodes' journals and from the ledger. Used by the tests and by `benchmarks.kills`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import time
import wave
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import yaml

from broadcasts.guards import Guard
from controller.adapters.broker import CONTROLLER, READERS
from controller.adapters.clock import SystemClock
from controller.adapters.credentials import hash_password
from controller.adapters.mqtt import MqttBus
from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import Delivery, DeliveryState, OccurrenceRow
from controller.domain.site import Mqtt
from controller.ports import BusUp, Received, Tx
from controller.wire.messages import Command, Emergency, JournalEntry, PlaylistsDoc, WireError, decode
from controller.wire.signing import payload_of
from controller.wire.topics import Topics
from tests.e2e.network import PASSWORD, Network
from tests.e2e.nursery import Nursery

T = TypeVar("T")
COMMUNES = ("na-meo", "son-thuy")
NODES = tuple(f"{commune}-0{n}" for commune in COMMUNES for n in (1, 2, 3))
TARGETS: dict[str, tuple[str, ...]] = {
    "all": NODES,
    **{commune: tuple(node for node in NODES if node.startswith(commune)) for commune in COMMUNES},
}
EVERY_S = 2
AHEAD = timedelta(seconds=9)
"""From the edit that brings an airing to its start: some lives of the controller, mostly."""
TOPICS = Topics()
SETTLE_S = 120.0
MOMENTS = {"starting": 25, "editing": 20, "publishing": 25, "intake": 15, "ordering": 15}
"""What a life of the controller ends in, and how often of a hundred."""


# --- the network --------------------------------------------------------------------------------------------


class District(Network):
    """Six nodes of two communes, a tone as the only audio, and controllers out of a nursery."""

    def __init__(self, folder: Path, nursery: Nursery, *, store_url: str = "") -> None:
        super().__init__(folder, nodes=len(NODES), listen=0)
        self.store_url = store_url or f"sqlite:///{self.data / 'loa.db'}"
        self._nursery = nursery
        self._pids: dict[str, int] = {}
        self.zone, self._offset = _a_zone_where_it_is_noon(datetime.now(UTC))

    async def stored(self, work: Callable[[Tx], T]) -> T:
        store = SqlStore(self.store_url, read_only=True)
        await store.open()
        try:
            return await store.read(work)
        finally:
            await store.close()

    async def start_broker(self) -> None:
        rows = await self.stored(lambda tx: tx.credentials())
        accounts = {row.node: row.password_hash for row in rows}
        ours = dict.fromkeys((CONTROLLER, READERS[0]), hash_password(PASSWORD))
        await self._broker.start({**accounts, **ours})

    @property
    def access(self) -> Mqtt:
        """How the account that reads everything gets in."""
        return Mqtt("127.0.0.1", self._ports[0], managed=False, username=READERS[0], password=PASSWORD)

    async def launch(self, name: str = "controller", *options: str) -> None:
        """Start a controller; returns at once."""
        words = ["--config", str(self.config), "run", *options]
        self._pids[name] = await self._nursery.start(words, self.folder / f"{name}.log")

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a controller that lives on, or is to live on."""
        os.kill(self._pids[name], number)

    async def answering(self) -> None:
        """The controller's page answers."""

        async def answers() -> bool:
            return bool(await self.get("status"))

        await self.until(answers)

    async def start_controller(self) -> None:
        await self.launch()
        await self.answering()

    async def end(self, name: str, number: signal.Signals) -> None:
        pid = self._pids.pop(name, None)
        if pid is None:
            await super().end(name, number)
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        await self._nursery.ended(pid)

    def written(self, at: datetime) -> str:
        """A time as the configuration has it."""
        return f"{at + self._offset:%Y-%m-%d %H:%M:%S}"

    def occurrence(self, broadcast: str, at: datetime) -> str:
        local = at + self._offset
        return f"{broadcast}@{local:%Y-%m-%dT%H:%M}" + (f":{local.second:02d}" if local.second else "")

    def save(self, broadcasts: list[dict[str, Any]]) -> None:
        """What an editor does: a new file in place of the old one."""
        draft = self.folder / "draft"
        draft.write_text(yaml.safe_dump({"broadcasts": broadcasts}, allow_unicode=True))
        draft.replace(self.config / "broadcasts.yaml")

    def _configure(self) -> None:
        super()._configure()
        site = yaml.safe_load((self.config / "site.yaml").read_text())
        site |= {"timezone": self.zone, "store": self.store_url, "heartbeat": "2s"}
        site["guards"] = {guard.value: "none" for guard in Guard}  # many short airings, close together
        self._replace("site.yaml", site)
        communes = [{"id": id, "name": id} for id in COMMUNES]
        nodes = [{"id": id, "name": id, "commune": id.rpartition("-")[0]} for id in NODES]
        self._replace("nodes.yaml", {"communes": communes, "nodes": nodes})
        alerts = yaml.safe_load((self.config / "alerts.yaml").read_text())
        alerts["people"] = [{**alerts["people"][0], "communes": list(COMMUNES)}]
        self._replace("alerts.yaml", {name: alerts[name] for name in ("page_url", "smtp", "people")})
        tone(self.config / "audio" / "tone.wav", seconds=0.8)
        self.save([later(self, "nen")])

    def _replace(self, name: str, content: dict[str, Any]) -> None:
        (self.config / name).write_text(yaml.safe_dump(content, allow_unicode=True))


def later(district: District, id: str, title: str = "") -> dict[str, Any]:
    """A broadcast of tomorrow: to be edited, never to be heard."""
    return {
        "id": id,
        "title": title or id,
        "to": ["all"],
        "once": district.written(datetime.now(UTC) + timedelta(days=1)),
        "play": [{"file": "audio/tone.wav"}],
    }


def _a_zone_where_it_is_noon(now: datetime) -> tuple[str, timedelta]:
    """Quiet hours are not what is tested here, whatever the time is."""
    hours = 12 - now.hour
    return f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT", timedelta(hours=hours)


def tone(path: Path, seconds: float, rate: int = 24_000) -> None:
    """A file of audio: a tone that begins and ends at once."""
    samples = np.sin(2 * np.pi * 660 * np.arange(int(rate * seconds)) / rate) * 12_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


# --- what is written down -----------------------------------------------------------------------------------


@dataclass
class Notes:
    """What passed the broker, in the broker's order. `documents` and `orders` begin with the node they are for."""

    documents: list[tuple[str, bytes]] = field(default_factory=list)
    orders: list[tuple[str, int]] = field(default_factory=list)
    journal: dict[tuple[str, str, int], JournalEntry] = field(default_factory=dict)
    malformed: list[str] = field(default_factory=list)
    beats: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Node -> when each of its heartbeats came (monotonic)."""
    alarms: list[tuple[float, Emergency]] = field(default_factory=list)
    """When each state of an emergency was published (monotonic), once for each zone."""

    def take(self, message: Received) -> None:
        up = TOPICS.parse_up(message.topic)
        if up is not None and up.kind == "heartbeat":
            self.beats[up.node].append(message.mono)
        elif up is not None and up.kind == "journal":
            try:
                entry = decode(JournalEntry, message.payload)
            except WireError as error:
                self.malformed.append(f"{up.node}: {error}: {message.payload.decode(errors='replace')}")
                return
            self.journal[up.node, entry.log, entry.n] = entry
        elif message.retain:
            return  # at a connect the broker tells again what it holds, or held before it was killed
        elif message.topic.endswith("/playlists"):
            self.documents.append((message.topic.split("/")[-2], message.payload))
        elif message.topic.endswith("/command"):
            self.orders.append((message.topic.split("/")[-2], payload_of(Command, message.payload).epoch))
        elif message.topic.endswith("/emergency") and message.payload:
            self.alarms.append((message.mono, payload_of(Emergency, message.payload)))

    def told(self, kind: str) -> Counter[tuple[str, str]]:
        """How often each node said `kind` of each occurrence; a repeated message is one word."""
        entries = ((node, entry) for (node, _, _), entry in self.journal.items() if entry.kind == kind)
        return Counter((entry.playlist or "", node) for node, entry in entries)


class Recorder(Notes):
    """Writes down everything that passes the broker."""

    def __init__(self, access: Mqtt) -> None:
        super().__init__()
        self._bus = MqttBus(access, client_id=access.username, subscribe="loa/v1/#", clock=SystemClock())
        self._up = asyncio.Event()

    async def __aenter__(self) -> Recorder:
        await self._bus.start()
        self._task = asyncio.create_task(self._listen(), name="recorder")
        async with asyncio.timeout(10):
            await self._up.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._bus.stop()
        await self._task

    async def _listen(self) -> None:
        async for batch in self._bus.events():
            for event in batch:
                match event:
                    case BusUp():
                        self._up.set()
                    case Received():
                        self.take(event)


@dataclass
class Account:
    """What must all be empty, and how much it was made from."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    missing_rows: list[str] = field(default_factory=list)
    stuck_rows: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    refused_by_nodes: list[str] = field(default_factory=list)
    airings: int = 0
    plays: int = 0
    documents: int = 0
    epochs: int = 0
    kills: int = 0
    kills_by_moment: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> dict[str, list[str]]:
        """The lists that are not empty."""
        return {name: rows for name, rows in vars(self).items() if isinstance(rows, list) and rows}


def of_documents(account: Account, documents: Sequence[tuple[str, bytes]]) -> None:
    """Judge documents (node, JWS) in the order in which they were published."""
    newest: dict[str, tuple[int, int]] = {}
    said: dict[tuple[str, int, int], str] = {}
    for node, token in documents:
        document = payload_of(PlaylistsDoc, token)
        version = (document.epoch, document.rev)
        if version < newest.get(node, (0, 0)):
            account.backwards.append(f"{node}: {version} after {newest[node]}")
        newest[node] = max(version, newest.get(node, (0, 0)))
        digest = hashlib.sha256(token).hexdigest()
        if said.setdefault((node, *version), digest) != digest:
            account.contradictions.append(f"{node}: two documents are {version}")
        account.epochs = max(account.epochs, document.epoch)
    account.documents = len(documents)


def of_orders(account: Account, orders: Sequence[tuple[str, int]]) -> None:
    """Judge orders (node, epoch) likewise: who leads no more orders nothing."""
    newest = 0
    for node, epoch in orders:
        if epoch < newest:
            account.backwards.append(f"{node}: an order of epoch {epoch} after one of {newest}")
        newest = max(newest, epoch)


# --- killing ------------------------------------------------------------------------------------------------


class Programme:
    """Airings that never end: what the operator saves, and what has to be heard."""

    def __init__(self, district: District, recorder: Recorder, rng: random.Random) -> None:
        self._district = district
        self._recorder = recorder
        self._rng = rng
        self._next = datetime.now(UTC).replace(microsecond=0) + AHEAD
        self._made = 0
        self._queued: dict[str, dict[str, Any]] = {}
        self._extra: list[dict[str, Any]] = []
        self.expected: dict[str, tuple[str, ...]] = {}
        self.running = True

    async def edit_for_ever(self) -> None:
        """New airings as their time comes near, and what was heard everywhere is taken out."""
        while self.running:
            self.extend()
            await asyncio.sleep(self._rng.uniform(0.3, 1.5))

    def extend(self) -> None:
        horizon = datetime.now(UTC) + AHEAD
        if self._next > horizon:
            return
        while self._next <= horizon:
            self._add(self._next)
            self._next += timedelta(seconds=EVERY_S)
        heard = self._recorder.told("completed")
        for occurrence in [id for id in self._queued if all(heard[id, node] for node in self.expected[id])]:
            del self._queued[occurrence]
        self.save()

    def disturb(self) -> None:
        """An edit that changes nothing that is heard, and the documents of all nodes."""
        self._made += 1
        self._extra = [later(self._district, f"mai-{self._made}")] if self._rng.random() < 0.7 else []
        for one in self._queued.values():
            if self._rng.random() < 0.2:
                one["title"] = f"{one['id']} sửa lần {self._made}"
        self.save()

    def save(self) -> None:
        self._district.save([later(self._district, "nen"), *self._extra, *self._queued.values()])

    async def say(self) -> None:
        """An order of the moment. Only one that was answered is certain to be carried out."""
        commune = self._rng.choice(COMMUNES)
        with suppress(httpx.HTTPError, OSError, AssertionError):
            answer = await self._district.post("play", path=str(self._tone), to=[commune])
            self.expected[answer["occurrence"]] = tuple(answer["nodes"])

    @property
    def _tone(self) -> Path:
        return self._district.config / "audio" / "tone.wav"

    def _add(self, at: datetime) -> None:
        self._made += 1
        id, to = f"tin-{self._made}", self._rng.choice(sorted(TARGETS))
        occurrence = self._district.occurrence(id, at)
        self._queued[occurrence] = {
            "id": id,
            "title": id,
            "to": [to],
            "once": self._district.written(at),
            "if_late": {"do": "restart", "within": "15m"},
            "if_interrupted": "resume",
            "play": [{"file": "audio/tone.wav"}],
        }
        self.expected[occurrence] = TARGETS[to]


class Killer:
    """Starts controllers and kills them at moments that hurt."""

    def __init__(self, district: District, programme: Programme, recorder: Recorder, rng: random.Random) -> None:
        self._district = district
        self._programme = programme
        self._recorder = recorder
        self._rng = rng
        self._starting_s = 1.5
        self.moments: Counter[str] = Counter()

    async def kill(self, times: int) -> None:
        """Of `times` lives of the controller each ends by SIGKILL; the last one stays dead."""
        for _ in range(times):
            await self._district.launch()
            moment = self._rng.choices(tuple(MOMENTS), tuple(MOMENTS.values()))[0]
            doing = await self._live_until(moment)
            await self._district.end("controller", signal.SIGKILL)
            await asyncio.gather(*doing)
            self.moments[moment] += 1

    async def _live_until(self, moment: str) -> list[asyncio.Task[None]]:
        if moment == "starting":
            await asyncio.sleep(self._rng.uniform(0, self._starting_s))
            return []
        began = time.monotonic()
        await self._district.answering()
        self._starting_s = 0.9 * self._starting_s + 0.1 * (time.monotonic() - began)
        match moment:
            case "editing":
                self._programme.disturb()
                await asyncio.sleep(0.4)  # the watcher of files waits that long for an editor to finish
            case "publishing":
                self._programme.disturb()
                await self._next(self._recorder.documents)
                await asyncio.sleep(self._rng.uniform(0, 0.05))
                return []
            case "intake":
                await self._next(self._recorder.journal)
                await asyncio.sleep(self._rng.uniform(0, 0.05))
                return []
            case "ordering":
                order = asyncio.create_task(self._programme.say())
                await asyncio.sleep(self._rng.uniform(0, 1.2))
                return [order]
        await asyncio.sleep(self._rng.uniform(0, 1.2))
        return []

    async def _next(self, messages: Sized) -> None:
        """Until one more has passed the broker; a life in which none does is long enough too."""
        before, patience = len(messages), time.monotonic() + 5
        while len(messages) == before and time.monotonic() < patience:
            await asyncio.sleep(0.002)


async def account_of(
    folder: Path, kills: int, *, seed: int, store_url: str = "", tell: Callable[[int], None] = lambda _: None
) -> Account:
    """Kill the controller `kills` times in a network in `folder`, let it live, and account for everything."""
    rng = random.Random(seed)
    async with (
        Nursery() as nursery,
        District(folder, nursery, store_url=store_url) as district,
        Recorder(district.access) as recorder,
    ):
        programme = Programme(district, recorder, rng)
        editing = asyncio.create_task(programme.edit_for_ever(), name="operator")
        killer = Killer(district, programme, recorder, rng)
        await district.end("controller", signal.SIGKILL)
        for done in range(0, kills, 10):
            await killer.kill(min(10, kills - done))
            tell(min(kills, done + 10))
        programme.running = False
        await editing
        await district.start_controller()
        account = await settled(lambda: account_now(district, recorder, programme.expected))
        return replace(account, kills=kills, kills_by_moment=killer.moments)


async def settled(accounting: Callable[[], Awaitable[Account]]) -> Account:
    """The account once nothing is missing in it, or after SETTLE_S as it is then."""
    patience = time.monotonic() + SETTLE_S
    while True:
        account = await accounting()
        if not (account.lost or account.missing_rows or account.stuck_rows) or time.monotonic() > patience:
            return account
        await asyncio.sleep(0.5)


async def account_now(district: District, recorder: Recorder, expected: Mapping[str, tuple[str, ...]]) -> Account:
    """What was recorded and is stored, held against what should have been heard: occurrence -> nodes."""
    account = Account(airings=len(expected))
    of_documents(account, recorder.documents)
    of_orders(account, recorder.orders)
    started = recorder.told("started")
    wanted = {(id, node) for id, nodes in expected.items() for node in nodes}
    account.plays = started.total()
    account.lost = [f"{id} on {node}" for id, node in sorted(wanted - started.keys())]
    account.doubled = [f"{id} on {node}: {count} times" for (id, node), count in started.items() if count > 1]
    account.refused_by_nodes = [
        f"{node}: {entry.reason} {entry.epoch}.{entry.rev}"
        for (node, _, _), entry in recorder.journal.items()
        if entry.result == "rejected"
    ]
    rows, deliveries = await district.stored(lambda tx: _ledger(tx, sorted(expected)))
    account.missing_rows = [f"{id}: no such row" for id in expected if id not in rows]
    account.missing_rows += [f"{id} on {node}: no such row" for id, node in sorted(wanted - deliveries.keys())]
    account.stuck_rows = [
        f"{id} on {node}: {row.state} {row.reason}"
        for (id, node), row in sorted(deliveries.items())
        if row.state is not DeliveryState.COMPLETED
    ]
    return account


def _ledger(tx: Tx, ids: list[str]) -> tuple[dict[str, OccurrenceRow], dict[tuple[str, str], Delivery]]:
    rows = {id: row for id in ids if (row := tx.occurrence(id))}
    return rows, {(row.occurrence, row.node): row for row in tx.deliveries_of(ids)}
