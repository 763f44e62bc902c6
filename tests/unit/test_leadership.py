"""One controller leads; one that was stopped, cut off or suspended does nothing when it wakes up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from controller.adapters.store.sql import SqlStore
from controller.domain.lease import FENCE_S, LOOK_S, RENEW_S, TTL_S
from controller.ports import Store, StoreError, Tx
from controller.services.leadership import Candidate, Deposed, FencedStore, Leadership, SharedAccount
from tests.fakes import FakeClock, settle

T = TypeVar("T")


class Shaky:
    """The shared database, which one controller may be cut off from."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        if self.away:
            raise StoreError("no route to the database", permanent=False)
        return await self._store.transact(work, ahead=ahead)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._store.read(work)

    async def close(self) -> None:
        await self._store.close()


class Two:
    """Controllers a and b on one database and one clock."""

    def __init__(self, store: Store) -> None:
        self.clock = FakeClock()
        self.store = store
        self.line = Shaky(store)
        self.a = self.candidate("a", self.line)
        self.b = self.candidate("b", store)

    @classmethod
    async def opened(cls) -> Two:
        store = SqlStore("sqlite://")
        await store.open()
        return cls(store)

    def candidate(self, name: str, store: Store, dead: tuple[str, ...] = (), account: str = "") -> Leadership:
        me = Candidate(f"{name}-1", name, f"http://{name}", account)
        return Leadership(me, store=store, clock=self.clock, uptime=self.clock.monotonic, dead=dead)

    async def pass_time(self, seconds: float) -> None:
        """In steps shorter than anything that waits, letting the store's thread answer in between."""
        for _ in range(int(seconds * 2)):
            await self.clock.advance(0.5)
            await self.store.transact(lambda tx: None)
            await settle()


async def test_the_second_waits_and_knows_where_the_first_is() -> None:
    two = await Two.opened()
    assert await two.a.win()
    assert not await two.b.win()
    assert two.b.leader == two.a.me
    assert two.a.refusal() == ""
    assert "does not lead" in two.b.refusal()


async def test_as_long_as_the_leader_renews_nobody_else_ever_leads() -> None:
    two = await Two.opened()
    await two.a.win()
    tasks = [asyncio.create_task(two.a.keep()), asyncio.create_task(two.b.wait(lambda: None))]
    for _ in range(20):
        await two.pass_time(RENEW_S)
        assert two.a.refusal() == ""
        assert two.b.refusal() != ""
    for task in tasks:
        task.cancel()


async def test_a_killed_leader_is_followed_and_the_follower_is_written_down() -> None:
    two = await Two.opened()
    await two.a.win()
    waiting = asyncio.create_task(two.b.wait(lambda: None))
    await two.pass_time(TTL_S - LOOK_S)
    assert not waiting.done()
    await two.pass_time(2 * LOOK_S)
    assert waiting.done()
    assert two.b.leader == two.b.me


async def test_a_leader_that_steps_down_is_followed_at_the_next_look() -> None:
    two = await Two.opened()
    await two.a.win()
    assert not await two.b.win()
    await two.a.release()
    assert await two.b.win()
    assert two.a.refusal() != ""


async def test_a_leader_cut_off_from_the_database_stops_publishing_before_the_other_leads() -> None:
    two = await Two.opened()
    await two.a.win()
    tasks = [asyncio.create_task(two.a.keep()), asyncio.create_task(two.b.wait(lambda: None))]
    two.line.away = True
    for _ in range(80):
        await two.pass_time(0.5)
        assert two.a.refusal() or two.b.refusal(), "two lead"
    assert two.b.refusal() == "" or tasks[1].done()
    two.line.away = False
    await two.pass_time(2)
    assert tasks[0].done()
    assert two.a.lost
    assert two.a.leader == two.b.me


async def test_a_leader_that_wakes_up_is_fenced_before_it_looks_at_anything() -> None:
    """SIGSTOP, a suspended machine: nothing ran in between, and the clock went on."""
    two = await Two.opened()
    await two.a.win()
    two.clock.mono += FENCE_S
    assert two.a.refusal() != ""


async def test_nobody_led_meanwhile_so_a_leader_that_wakes_up_goes_on() -> None:
    two = await Two.opened()
    await two.a.win()
    keeping = asyncio.create_task(two.a.keep())
    await two.pass_time(1)
    two.clock.mono += 3600
    await two.pass_time(RENEW_S + 1)
    assert two.a.refusal() == ""
    keeping.cancel()


async def test_what_a_deposed_leader_was_about_to_write_is_not_written() -> None:
    two = await Two.opened()
    await two.a.win()
    store = FencedStore(two.store, two.a)
    await store.transact(lambda tx: tx.note("plan", "of a"))
    await two.store.transact(lambda tx: tx.drop_lease(two.a.me.holder))
    await two.b.win()
    with pytest.raises(Deposed):
        await store.transact(lambda tx: tx.note("plan", "of a, late"))
    assert await two.store.transact(lambda tx: tx.noted("plan")) == "of a"
    assert two.a.lost
    assert two.a.refusal() != ""


async def test_a_restart_of_the_same_instance_does_not_wait_for_its_dead_self() -> None:
    two = await Two.opened()
    await two.a.win()
    again = two.candidate("again", two.store, dead=("a-1",))
    assert await again.win()


async def test_two_controllers_with_one_broker_account_are_refused_and_told() -> None:
    two = await Two.opened()
    await two.candidate("x", two.store, account="_controller").win()
    with pytest.raises(SharedAccount, match=r"'x' at http://x .* account '_controller'"):
        await two.candidate("y", two.store, account="_controller").win()
