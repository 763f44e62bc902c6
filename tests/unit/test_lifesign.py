"""The morning's life sign: once a day to those who want it, in their language, with numbers that are true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import AlertSettings, Channel, OutboxRow, Person
from controller.domain.liveness import Liveness
from controller.domain.watching import WatchSettings
from controller.ports import NodeRow
from controller.services.lifesign import LifeSign
from tests.district import District, district
from tests.fakes import FakeClock, settle

LAN = Person("lan", "Lan", "vi", (Channel("webhook", "http://127.0.0.1:9/lan"),))
JO = Person("jo", "Jo", "en", (Channel("smtp", "jo@example.org"), Channel("webhook", "http://127.0.0.1:9/jo")))
HUNG = Person("hung", "Hùng", "vi", (Channel("smtp", "hung@example.org"),))
EVENING = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)  # 21:00 in Hanoi


class Morning:
    """A life sign service over a store that outlives it."""

    def __init__(self, store: SqlStore, to: tuple[str, ...] = ("lan", "jo")) -> None:
        watch = WatchSettings(life_sign_to=to)
        self.clock = FakeClock(EVENING)
        self.store = store
        self.settings = replace(district(), alerts=AlertSettings(people=(LAN, JO, HUNG), watch=watch))
        self.woken = 0

    async def live(self, hours: float, step_s: float = 900) -> None:
        """Run a new one for so long, then end it."""
        service = LifeSign(self.settings, clock=self.clock, store=self.store, on_outbox=self._wake)
        task = asyncio.create_task(service.run())
        for _ in range(int(hours * 3600 / step_s)):
            await self.clock.advance(step_s)
            await self.store.transact(lambda tx: None)
            await settle()
            await self.store.transact(lambda tx: None)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def _wake(self) -> None:
        self.woken += 1

    async def rows(self) -> list[OutboxRow]:
        return sorted(await self.store.transact(lambda tx: tx.outbox()), key=lambda row: row.id)


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    opened = SqlStore("sqlite://")
    await opened.open()
    yield opened
    await opened.close()


async def test_those_who_want_it_get_it_at_half_past_six_on_every_channel_in_their_language(store: SqlStore) -> None:
    morning = Morning(store)
    await morning.live(9.25)
    assert await morning.rows() == [], "not before 06:30"
    await morning.live(1)
    rows = await morning.rows()
    assert [(row.recipient, row.channel.partition(":")[0]) for row in rows] == [
        ("lan", "webhook"),
        ("jo", "smtp"),
        ("jo", "webhook"),
    ]
    assert morning.woken == 1
    assert "hệ thống đang hoạt động, 0 sự cố đang mở" in rows[0].subject
    assert "the system is alive, 0 faults open" in rows[1].subject


async def test_restarts_send_none_twice_and_the_next_day_has_its_own(store: SqlStore) -> None:
    morning = Morning(store, ("lan",))
    await morning.live(10)
    for _ in range(5):
        await morning.live(1)
    assert len(await morning.rows()) == 1
    await morning.live(24)
    assert [row.transition for row in await morning.rows()] == ["life-sign-2026-11-27", "life-sign-2026-11-28"]


async def test_a_controller_that_was_down_sends_it_late_in_the_morning_and_not_in_the_evening(store: SqlStore) -> None:
    morning = Morning(store, ("lan",))
    await morning.clock.advance(13 * 3600)
    await morning.live(1)
    assert len(await morning.rows()) == 1
    await morning.clock.advance(32 * 3600)
    await morning.live(1)
    assert len(await morning.rows()) == 1


async def test_nobody_wants_it_nobody_gets_it(store: SqlStore) -> None:
    morning = Morning(store, ())
    await morning.live(24)
    assert await morning.rows() == []


async def test_its_numbers_are_those_of_the_database(store: SqlStore, tmp_path: object) -> None:
    morning = Morning(store, ("jo",))
    house = District(store, tmp_path, morning.settings)  # type: ignore[arg-type]
    house.clock.wall = EVENING
    await house.broken("na-meo-03")
    silent = NodeRow("na-meo-01", Liveness.OFFLINE.value, EVENING)
    await store.transact(lambda tx: tx.put_nodes([silent]))
    await house.planned("ban-tin@1", "Bản tin sáng", start=(timedelta(hours=10)).total_seconds() / 60)
    await morning.live(10)
    body = next(row.body for row in await morning.rows() if row.incident == 0)
    assert "Open faults: 1 (1 critical, 0 major, 0 minor)" in body
    assert "Nodes without contact: 1 of 60" in body
    assert "- 07:00 Bản tin sáng" in body
