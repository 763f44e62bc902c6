"""The controller falls behind with reading what nodes say: words that wait for us are nobody's silence, and whoever is
silent is found all the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from controller.adapters.store.sql import SqlStore
from controller.domain.hearing import RETOLD_S
from controller.ports import StoreError
from controller.services.emergencies import Manner, Message
from controller.wire.messages import Heartbeat, JournalEntry, Status, encode
from controller.wire.topics import Topics
from tests.fakes import FakeBus, FakeClock, settle
from tests.health_support import RULES, Busy, district, rule
from tests.house import built

NODES = district(4, 25).nodes
MUTE = "c1-1"
"""Beats, and never says what it does with an emergency."""


class Centre:
    """The whole controller, whose intake a test holds back; its nodes beat every ten seconds."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Busy(SqlStore("sqlite://"))
        self.bus = FakeBus(self.clock)
        settings = replace(district(4, 25), faults=(*RULES, rule("missed-broadcast", "service")))
        self.app = built(settings, store=self.store, clock=self.clock, bus=self.bus)
        self.topics = Topics(settings.site.mqtt.root)
        self._work: list[asyncio.Task[None]] = []
        self._reading: asyncio.Task[None] | None = None
        self.said: Counter[str] = Counter()
        self._seq = 0
        self.gone: set[str] = set()
        """Nodes that say nothing any more."""

    async def start(self) -> None:
        await self.store.inner.open()  # type: ignore[attr-defined]
        await self.app.start()
        app = self.app
        for work in (app.monitoring.run(), app.airings.run(), app.intake.answer()):
            self._work.append(asyncio.create_task(work))
        self.read()
        for node in NODES:
            self.bus.feed(self.topics.status(node), encode(Status(True, "b", 1, self.clock.now(), "birth")))
        await self.pass_time(100)

    async def stop(self) -> None:
        self.hold()
        for task in self._work:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.store.close()

    def read(self) -> None:
        self._reading = asyncio.create_task(self.app._take_in())

    def hold(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 10)):
            self._seq += 1
            beat = encode(Heartbeat("b", 1, self._seq, self.clock.now()))
            for node in NODES.keys() - self.gone:
                self.bus.feed(self.topics.heartbeat(node), beat)
            await self.quiet()
            await self.clock.advance(10)
        await self.quiet()

    async def quiet(self) -> None:
        reads = self._reading is not None and not self._reading.cancelled() and not self._reading.cancelling()
        while self.store.under_way or (reads and self.bus.oldest is not None):
            await asyncio.sleep(0.0002)
        await settle(20)

    def say(self, node: str, **what: str | int) -> None:
        self.said[node] += 1
        entry = JournalEntry("log", self.said[node], self.clock.now(), **what)  # type: ignore[arg-type]
        self.bus.feed(self.topics.journal(node), encode(entry))

    async def emergency(self) -> str:
        told = await self.app.emergencies.sound(Message(text="Lũ về."), ["c1", "c2", "c3", "c4"], Manner())
        return str(told["id"])

    def answer(self, emergency: str) -> None:
        for node in NODES.keys() - {MUTE}:
            self.say(node, kind="emergency", id=emergency, rev=1, result="started")

    async def found(self) -> set[tuple[str, str]]:
        rows = await self.store.transact(lambda tx: tx.open_incidents())
        return {(row.subject, row.cause) for row in rows}

    def liveness(self) -> set[str]:
        return {str(view.liveness) for view in self.app.monitoring.view().values()}

    async def red(self) -> list[str]:
        return [each.code for each in await self.app.watching.verdict()]


@pytest.fixture
async def centre() -> AsyncIterator[Centre]:
    centre = Centre()
    await centre.start()
    yield centre
    await centre.stop()


async def test_of_answers_that_wait_for_us_nobody_is_called_silent_until_they_are_read(centre: Centre) -> None:
    centre.hold()
    centre.answer(await centre.emergency())
    await centre.pass_time(200)
    assert (await centre.found(), centre.liveness()) == (set(), {"online"})
    assert await centre.red() == ["intake"]
    centre.read()
    await centre.pass_time(RETOLD_S + 60)
    assert (await centre.found(), centre.liveness()) == ({(MUTE, "missed-broadcast")}, {"online"})
    assert await centre.red() == []


async def test_what_nodes_hold_back_because_we_answer_late_is_no_silence_either(centre: Centre) -> None:
    emergency = await centre.emergency()
    centre.hold()
    await centre.pass_time(80)
    centre.read()
    await centre.pass_time(50)
    assert await centre.found() == set()
    centre.answer(emergency)
    await centre.pass_time(RETOLD_S + 60)
    assert await centre.found() == {(MUTE, "missed-broadcast")}


async def test_answers_that_the_database_refused_come_again(centre: Centre) -> None:
    emergency = await centre.emergency()
    centre.store.fail = _full
    for _ in range(2):
        centre.said.clear()
        centre.answer(emergency)
        await centre.pass_time(20)
    centre.store.fail = lambda: None
    await centre.pass_time(35)
    assert await centre.found() == set()
    centre.said.clear()
    centre.answer(emergency)
    await centre.pass_time(RETOLD_S + 60)
    assert await centre.found() == {(MUTE, "missed-broadcast")}


async def test_a_broker_that_goes_while_nodes_answer_makes_nobody_silent(centre: Centre) -> None:
    emergency = await centre.emergency()
    centre.bus.down()
    await centre.quiet()
    await centre.clock.advance(40)
    centre.bus.up()
    await centre.pass_time(50)
    assert await centre.found() == set()
    centre.answer(emergency)
    await centre.pass_time(RETOLD_S + 90)
    assert await centre.found() == {(MUTE, "missed-broadcast")}


async def test_whoever_falls_silent_while_we_are_behind_is_found(centre: Centre) -> None:
    centre.hold()
    centre.gone = {"c3-1", "c3-2"}
    await centre.pass_time(90)
    assert centre.liveness() == {"online"}
    centre.read()
    await centre.pass_time(60)
    assert await centre.found() == {("c3-1", "link"), ("c3-2", "link")}


def _full() -> None:
    raise StoreError("the disk is full")
