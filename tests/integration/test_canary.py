"""The canary over a real Mosquitto, a real database and a real HTTP server: out, back, and lost at each stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from controller.adapters.beacon import HttpBeacon
from controller.adapters.broker import CONTROLLER, Broker
from controller.adapters.clock import SystemClock
from controller.adapters.credentials import hash_password
from controller.adapters.mqtt import MqttBus
from controller.adapters.notify.webhook import WebhookNotifier
from controller.adapters.store.sql import SqlStore
from controller.app import App, Loopback
from controller.domain import canary
from controller.domain.canary import Stage
from controller.domain.escalation import AlertSettings, Channel, Person
from controller.domain.site import Mqtt
from controller.ports import NotifyError
from controller.web.api import CANARY_PATH
from controller.web.server import listen, serve_on, url_of
from controller.wire.topics import Topics
from tests.district import TOKEN
from tests.house import built, network

LAN = Person("lan", "Lan", "vi", (Channel("webhook", "http://127.0.0.1:9/lan"),))
EVERY_S = 120.0


class Pace(SystemClock):
    """Real time, twenty times as fast on both clocks: waits are short, order and network are real."""

    RATE = 20.0

    def __init__(self) -> None:
        self._start = super().now(), self.monotonic()

    def now(self) -> datetime:
        return self._start[0] + timedelta(seconds=self.monotonic() - self._start[1])

    def monotonic(self) -> float:
        return super().monotonic() * self.RATE

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.RATE)


@asynccontextmanager
async def running(folder: Path, dead_man: str = "", **notifiers: Any) -> AsyncIterator[App]:
    """A controller with everything real but its nodes. `dead_man`: the URL that it pings."""
    broker = Broker(folder / "broker", root="loa/v1")
    await broker.start({CONTROLLER: hash_password("c")})
    store = SqlStore(f"sqlite:///{folder}/loa.db")
    await store.open()
    mqtt = Mqtt(broker.host, broker.port, username=CONTROLLER, password="c")
    settings = network()
    watch = replace(settings.alerts.watch, canary_s=EVERY_S, dead_man_url=dead_man, dead_man_s=60)
    settings = replace(
        settings,
        alerts=AlertSettings(people=(LAN,), watch=watch),
        site=replace(settings.site, mqtt=mqtt, heartbeat_s=60),
    )
    clock = Pace()
    with listen("127.0.0.1", 0) as listening:
        url = url_of(listening) + CANARY_PATH
        app = built(
            settings,
            store=store,
            clock=clock,
            bus=MqttBus(mqtt, client_id=CONTROLLER, subscribe=Topics(mqtt.root).all_up, clock=clock),
            notifiers={"webhook": WebhookNotifier(SystemClock()), **notifiers},
            beacon=HttpBeacon(),
            loopback=Loopback(url, "secret"),
        )
        await app.start()
        parts = [asyncio.create_task(app.run()), asyncio.create_task(serve_on(app, TOKEN, listening))]
        try:
            yield app
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            await app.stop()
            await broker.stop()


async def flown(app: App, outcome: str, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while app.watching.canary.flights[outcome] < count:
            await asyncio.sleep(0.05)


async def test_it_comes_through_again_and_again_and_nobody_is_told_or_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        await flown(app, "passed", 3)
        assert app.watching.canary.lost is None
        incidents = await app.store.transact(lambda tx: tx.open_incidents())
        assert incidents == []
        assert (await app.reporting.incidents(all=True))["incidents"] == []
        left = await app.store.transact(lambda tx: [row for row in tx.outbox() if row.recipient != canary.RECIPIENT])
        assert left == []
        assert not [each for each in await app.watching.verdict() if each.code == "canary"]
        found = await app.store.transact(lambda tx: tx.incidents(app.clock.now() - timedelta(days=1), canary=True))
        assert len(found) == 1, "flights leave one incident and no numbers are used up"


class Refuses:
    """A sender that fails."""

    async def send(self, channel: Channel, message: Any) -> None:
        raise NotifyError("the receiver says no", permanent=True)


async def test_one_that_is_not_delivered_is_a_fault_of_the_centre_with_its_stage(tmp_path: Path) -> None:
    async with running(tmp_path, webhook=Refuses()) as app:
        await flown(app, "lost")
        assert app.watching.canary.lost is Stage.DELIVERY
        async with asyncio.timeout(20):
            while not (rows := await app.store.transact(lambda tx: tx.open_incidents())):
                await asyncio.sleep(0.05)
        assert [(row.subject, row.cause) for row in rows] == [("centre", "canary")]
        assert rows[0].evidence["stage"] == "delivery"
        assert "no" in str(rows[0].evidence["reason"])
        assert "canary" in {each.code for each in await app.watching.verdict()}


async def test_one_that_arrives_at_the_wrong_door_counts_as_lost(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        assert app.loopback is not None
        async with httpx.AsyncClient() as client:
            answer = await client.post(app.loopback.url, json={"transition": "opened", "evidence": {"run": "x"}})
        assert answer.status_code == 401, "only the controller's own signature is taken"


async def test_a_report_that_never_comes_in_is_lost_at_the_intake(tmp_path: Path) -> None:
    async with running(tmp_path) as app:

        async def swallow(batch: Any) -> None: ...

        app.intake._faults = swallow  # type: ignore[method-assign, assignment]
        app.intake._handlers["fault"] = swallow
        await flown(app, "lost")
        assert app.watching.canary.lost is Stage.INTAKE


async def test_turned_off_it_takes_its_fault_back(tmp_path: Path) -> None:
    async with running(tmp_path, webhook=Refuses()) as app:
        await flown(app, "lost")
        quiet = replace(app.settings.alerts, watch=replace(app.settings.alerts.watch, canary_s=0))
        app.watching.reload(replace(app.settings, alerts=quiet))
        async with asyncio.timeout(30):
            while app.watching.canary.lost is not None:
                await asyncio.sleep(0.05)
            while "canary" in {one.cause for one in await app.store.transact(lambda tx: tx.open_incidents())}:
                await asyncio.sleep(0.05)  # that nobody can be reached by a webhook that refuses is another one


@asynccontextmanager
async def outside() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A healthchecks-like service: its URL, and the requests that came."""
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ping/abc", came


async def counted(app: App, what: str, at_least: int) -> None:
    async with asyncio.timeout(60):
        while app.watching.pings[what] < at_least:
            await asyncio.sleep(0.05)


async def test_the_outside_is_called_once_the_canary_came_through(tmp_path: Path) -> None:
    async with outside() as (url, came), running(tmp_path, url) as app:
        await counted(app, "sent", 2)
        assert app.watching.canary.passed is not None
        assert set(came) == {b"GET /ping/abc HTTP/1.1\r\n"}


async def test_the_outside_is_not_called_while_the_canary_is_lost(tmp_path: Path) -> None:
    async with outside() as (url, came), running(tmp_path, url, webhook=Refuses()) as app:
        await counted(app, "withheld", 3)
        assert came == []


async def test_an_outside_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, "http://127.0.0.1:9/ping") as app:
        await counted(app, "failed", 2)
        assert app.watching.canary.lost is None
