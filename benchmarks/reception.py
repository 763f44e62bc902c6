"""One receiver of the intake benchmark, as a process of its own: `python -m benchmarks.reception KIND PORT NODES
EXPECT`. Prints JSON: messages, processor seconds of all its threads from the first message to the last, memory.

KIND: `paho-311`, `paho-5` (paho's own loop, an empty callback), `aiomqtt`, `bus` (our connection alone), `intake` (the
whole: decode, liveness, every rule of the shipped configuration, what changed written to SQLite). EXPECT 0: `intake`
until a line comes in, and every 5 s a line of figures.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import firehose
from broadcasts.model import Node
from controller.adapters.broker import CONTROLLER
from controller.adapters.clock import SystemClock
from controller.adapters.mqtt import MqttBus
from controller.adapters.store.sql import SqlStore
from controller.adapters.timer import ApsTimer
from controller.app import App
from controller.domain.site import Mqtt, Settings
from controller.ports import BusUp, Received
from controller.settings import load
from controller.wire.topics import Topics
from tests.house import built

PASSWORD = "benchmark"
ROOT = Path(__file__).parent.parent
UP = Topics().all_up
SUBSCRIBED_S = 0.5
"""By then the broker has taken the subscription that goes out with a connection."""


class Meter:
    """Processor time from the first message to the last."""

    def __init__(self, expect: int) -> None:
        self.expect = expect
        self.seen = 0
        self.first = self.last = 0.0

    def begin(self) -> None:
        if not self.seen:
            self.first, self.began = time.process_time(), time.monotonic()

    def add(self, count: int) -> bool:
        """Whether these were the last."""
        self.seen += count
        if self.seen < self.expect or not self.expect:
            return False
        self.last, self.ended = time.process_time(), time.monotonic()
        return True

    def tell(self) -> None:
        told = {"messages": self.seen, "cpu_s": self.last - self.first, "wall_s": self.ended - self.began}
        print(json.dumps({**told, "rss_mb": rss_mb()}), flush=True)


def rss_mb() -> float:
    """Memory of this process."""
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index("VmRSS:") + 1]) / 1024


def bare_paho(port: int, meter: Meter, protocol: int) -> None:
    """What paho takes to receive and do nothing."""
    done = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=CONTROLLER, protocol=protocol)
    client.username_pw_set(CONTROLLER, PASSWORD)

    def on_message(_client: Any, _data: Any, _message: Any) -> None:
        if meter.seen in (0, meter.expect - 1):
            meter.begin()
            if meter.add(1):
                done.set()
        else:
            meter.seen += 1

    def on_subscribe(*_: Any) -> None:
        print("ready", flush=True)

    client.on_message = on_message
    client.on_subscribe = on_subscribe
    client.on_connect = lambda client, *_: client.subscribe(UP, qos=1)
    client.connect("127.0.0.1", port, 60)
    client.loop_start()
    done.wait()
    client.loop_stop()


async def bare_aiomqtt(port: int, meter: Meter) -> None:
    """What aiomqtt takes to receive and do nothing."""
    access: dict[str, Any] = {"username": CONTROLLER, "password": PASSWORD, "identifier": CONTROLLER}
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, **access) as client:
        await client.subscribe(UP, qos=1)
        print("ready", flush=True)
        async for _ in client.messages:
            meter.begin()
            if meter.add(1):
                return


def _bus(port: int) -> MqttBus:
    mqtt = Mqtt("127.0.0.1", port, managed=False, username=CONTROLLER, password=PASSWORD)
    return MqttBus(mqtt, client_id=CONTROLLER, subscribe=UP, clock=SystemClock())


async def bus_alone(port: int, meter: Meter) -> None:
    """Our connection without what is behind it."""
    bus = _bus(port)
    await bus.start()
    async for batch in bus.events():
        if isinstance(batch[0], BusUp):
            await asyncio.sleep(SUBSCRIBED_S)
            print("ready", flush=True)
            continue
        meter.begin()
        if meter.add(len(batch)):
            break
    await bus.stop()


async def whole_intake(port: int, meter: Meter, nodes: int) -> None:
    """Everything that a heartbeat goes through in the service."""
    async with _app(port, nodes) as app:
        print("ready", flush=True)
        if not meter.expect:
            figures = asyncio.create_task(_tell_figures(meter))
            await asyncio.to_thread(sys.stdin.readline)
            figures.cancel()
            return
        await DONE.wait()
        view = app.monitoring.view()
        assert sum(one.liveness == "online" for one in view.values()) == nodes, "every heartbeat was taken"


async def _tell_figures(meter: Meter) -> None:
    while True:
        cpu, wall, seen = time.process_time(), time.monotonic(), meter.seen
        await asyncio.sleep(5)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        print(json.dumps({"messages": meter.seen - seen, "cpu": cpu / wall, "rss_mb": rss_mb()}), flush=True)


@asynccontextmanager
async def _app(port: int, nodes: int) -> AsyncIterator[App]:
    """The controller with the shipped rules and that many nodes, and nothing planned."""
    settings = settings_for(nodes)
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        store = SqlStore(f"sqlite:///{folder}/loa.db")
        await store.open()
        app = built(settings, store=store, clock=SystemClock(), bus=_bus(port), timer=ApsTimer())
        await app.start()
        work = asyncio.gather(app.monitoring.run(), app.alerting.run(), _take(app))
        await UP_AND_LISTENING.wait()
        await asyncio.sleep(SUBSCRIBED_S)
        try:
            yield app
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            await app.stop()


METER: list[Meter] = []
UP_AND_LISTENING, DONE = asyncio.Event(), asyncio.Event()


async def _take(app: App) -> None:
    meter = METER[0]
    async for batch in app.bus.events():
        if not isinstance(batch[0], BusUp):
            meter.begin()
        await app.intake.take(batch)
        if meter.add(sum(1 for event in batch if isinstance(event, Received))):
            DONE.set()
        UP_AND_LISTENING.set()


def settings_for(nodes: int) -> Settings:
    shipped = load(ROOT / "config")
    models = list(shipped.nodes.values())
    made: dict[str, Node] = {}
    for n in range(nodes):
        id = firehose.name(n)
        made[id] = replace(models[n % len(models)], id=id)
    zones = {}
    for zone in shipped.zones.values():
        members = tuple(id for id, node in made.items() if not zone.is_commune or node.commune == zone.id)
        zones[zone.id] = replace(zone, nodes=members if zone.is_commune or zone.id == "all" else ())
    return replace(shipped, nodes=made, zones=zones, broadcasts={}, guards={})


def receive(words: list[str]) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    kind, port, nodes, expect = words[0], *map(int, words[1:])
    meter = Meter(expect)
    METER.append(meter)
    match kind:
        case "paho-311":
            bare_paho(port, meter, paho.MQTTv311)
        case "paho-5":
            bare_paho(port, meter, paho.MQTTv5)
        case "aiomqtt":
            asyncio.run(bare_aiomqtt(port, meter))
        case "bus":
            asyncio.run(bus_alone(port, meter))
        case "intake":
            asyncio.run(whole_intake(port, meter, nodes))
    if meter.last:
        meter.tell()


if __name__ == "__main__":
    receive(sys.argv[1:])
