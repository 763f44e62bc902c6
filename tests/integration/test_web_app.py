"""The page over the real controller, wired as the service wires it: from a message of a node to what people read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from controller.adapters.store.sql import SqlStore
from controller.app import App
from controller.domain.site import Settings
from controller.wire.messages import FaultReport, Heartbeat, JournalEntry, Status, encode
from controller.wire.topics import Topics
from tests.district import AMPLIFIER, TOKEN, reader
from tests.fakes import FakeBus, FakeClock, settle
from tests.house import NEWS, built, network

NODE = "na-meo-01"
TOPICS = Topics()


@asynccontextmanager
async def controller(settings: Settings) -> AsyncIterator[tuple[App, FakeBus, httpx.AsyncClient]]:
    """The running controller, its broker, and a reader of its page."""
    clock, store = FakeClock(), SqlStore("sqlite://")
    await store.open()
    bus = FakeBus(clock)
    app = built(settings, store=store, clock=clock, bus=bus)
    await app.start()
    running = asyncio.create_task(app.run())
    try:
        async with reader(app) as web:
            yield app, bus, web
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await app.stop()


async def heard(app: App, bus: FakeBus, seq: int, **metrics: float) -> None:
    now = bus.clock.now()
    bus.feed(TOPICS.heartbeat(NODE), encode(Heartbeat(boot="b", conn=1, seq=seq, at=now, metrics=dict(metrics))))
    await settled(app)


async def settled(app: App) -> None:
    """Until everything that was fed is taken in and written down: transactions run in order, so one of our own
    ends after those that were asked for before it, and what follows from one is asked for in the next round."""
    for _ in range(8):
        await settle()
        await app.store.transact(lambda tx: None)


async def test_a_birth_and_a_heartbeat_make_a_node_online_with_its_measurements() -> None:
    async with controller(network(NEWS)) as (app, bus, web):
        now = bus.clock.now()
        bus.feed(TOPICS.status(NODE), encode(Status(online=True, boot="b", conn=1, at=now, reason="birth")), True)
        await heard(app, bus, 1, mains_v=221.0)
        [node, *_] = (await web.get("/api/nodes")).json()["communes"][0]["nodes"]
        assert node["state"] == "online"
        assert node["metrics"]["mains_v"] == 221.0
        assert "Trực tuyến" in (await web.get("/part/nodes")).text


async def test_a_dead_amplifier_is_an_incident_on_the_page_as_soon_as_it_is_held_for_its_time() -> None:
    rule = replace(AMPLIFIER, reported=True, raise_when="")
    async with controller(replace(network(NEWS), faults=(rule,))) as (app, bus, web):
        now = bus.clock.now()
        bus.feed(TOPICS.status(NODE), encode(Status(online=True, boot="b", conn=1, at=now, reason="birth")), True)
        await heard(app, bus, 1)
        report = FaultReport("amplifier", "amplifier", now, "critical", {"amp_vrms": 0.0})
        bus.feed(TOPICS.fault(NODE, "amplifier"), encode(report), True)
        await settled(app)
        [incident] = (await web.get("/api/incidents")).json()["incidents"]
        assert (incident["subject"], incident["cause"], incident["severity"]) == (NODE, "amplifier", "critical")
        assert "Bộ khuếch đại không ra tiếng" in (await web.get("/part/incidents")).text
        taken = await web.post(
            f"/api/incidents/{incident['id']}/ack", json={"by": "Thịnh"}, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        assert taken.json()["acknowledged_by"] == "Thịnh"


async def test_an_order_to_speak_is_on_the_page_and_its_story_can_be_asked_for() -> None:
    async with controller(network(NEWS)) as (app, bus, web):
        await settled(app)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        said = await web.post("/api/say", json={"text": "Chào bà con", "to": ["na-meo"]}, headers=bearer)
        assert said.status_code == 200, said.text
        occurrence = said.json()["occurrence"]
        await settled(app)
        await bus.clock.advance(5)
        started = JournalEntry("l", 1, bus.clock.now(), "started", playlist=occurrence, late_ms=3)
        bus.feed(TOPICS.journal(NODE), encode(started))
        await settled(app)
        [on_air] = (await web.get("/api/air")).json()["on_air"]
        assert (on_air["title"], on_air["sounding"]) == ("Chào bà con", [NODE])
        story = (await web.get(f"/api/why/{occurrence}?node={NODE}")).json()["nodes"][0]["story"]
        assert story[-1]["what"] == "sounding"
        assert story[-1]["late_ms"] == 3


async def test_a_broken_message_is_a_figure_and_nothing_else() -> None:
    async with controller(network(NEWS)) as (app, bus, web):
        bus.feed(TOPICS.heartbeat(NODE), b"\xff\x00 not json")
        await settled(app)
        assert 'loa_intake_total{what="' in (await web.get("/metrics")).text
        assert (await web.get("/health")).status_code == 200
