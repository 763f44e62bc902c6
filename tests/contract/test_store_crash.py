"""A controller killed at any instant: what it was told is stored is stored, and nothing is half there."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy import text

from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import Delivery, DeliveryState
from controller.domain.escalation import OutboxRow
from controller.ports import Tx
from controller.wire.messages import JournalEntry

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
KILLS = 25
SEED = 20261123


def work(tx: Tx) -> int:
    """One transaction through five tables; its number is the epoch it raised."""
    n = tx.raise_epoch()
    tx.put_journals([("na-meo-01", JournalEntry(log="log-1", n=n, at=T0, kind="started"))], T0)
    tx.put_deliveries([Delivery(f"tin@{n}", f"node-{m}", DeliveryState.SOUNDING, T0) for m in range(3)])
    tx.enqueue(OutboxRow(n, "opened", "dinh", "smtp:a@example.invalid", T0, T0, "s", "b" * 2000))
    tx.note("last", str(n))
    return n


def found(tx: Tx) -> tuple[int, int, int, int, int]:
    """The number of transactions, as each table tells it."""
    deliveries = tx.sounding()
    assert len(deliveries) % 3 == 0
    rows = tx.outbox(limit=1_000_000)
    upto = tx.journal_upto("na-meo-01", "log-1")
    assert len(tx.journal("na-meo-01", limit=1_000_000)) == upto
    return tx.epoch(), upto, len(deliveries) // 3, len(rows), int(tx.noted("last") or 0)


def child(url: str, told: Connection) -> None:
    async def run() -> None:
        store = SqlStore(url)
        await store.open()
        while True:
            told.send(await store.transact(work))

    asyncio.run(run())


async def look(url: str) -> tuple[int, int, int, int, int]:
    store = SqlStore(url, read_only=True)
    await store.open()
    try:
        return await store.transact(found)
    finally:
        await store.close()


def test_what_was_acknowledged_survives_sigkill_and_nothing_is_half_there(shared_url: str) -> None:
    chance = random.Random(SEED)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["controller.adapters.store.sql"])
    for _ in range(KILLS):
        acknowledged = _run_and_kill(context, shared_url, after=chance.randint(1, 12))
        tables = asyncio.run(look(shared_url))
        assert len(set(tables)) == 1, f"half a transaction: {tables}"
        assert acknowledged <= tables[0], f"{acknowledged} was acknowledged, {tables[0]} is there"


def _run_and_kill(context: multiprocessing.context.ForkServerContext, url: str, after: int) -> int:
    """Kill a writer at any instant after `after` acknowledgements; the last one it gave."""
    ours, theirs = context.Pipe(duplex=False)
    writer = context.Process(target=child, args=(url, theirs))
    writer.start()
    theirs.close()
    acknowledged = 0
    with ours:
        for _ in range(after):
            assert ours.poll(30), "the writer says nothing"
            acknowledged = ours.recv()
        writer.kill()
        writer.join()
        try:
            while True:
                acknowledged = ours.recv()
        except EOFError:
            return acknowledged


async def test_a_power_cut_is_provided_for(tmp_path: Path) -> None:
    """Not to be tried here; SQLite keeps its promise in WAL mode only with synchronous = FULL (2)."""
    store = SqlStore(f"sqlite:///{tmp_path}/loa.db")
    await store.open()

    def settings(tx: Tx) -> tuple[object, object]:
        asked = ("journal_mode", "synchronous")
        mode, synchronous = (tx.conn.execute(text(f"PRAGMA {name}")).scalar_one() for name in asked)
        return mode, synchronous

    assert await store.transact(settings) == ("wal", 2)
    await store.close()


async def test_an_old_log_of_a_killed_controller_does_not_grow_for_ever(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/loa.db")
    await store.open()
    for n in range(40):
        await store.transact(lambda tx, n=n: tx.note(f"{n % 3}", "x" * 500_000))
    size = (tmp_path / "loa.db-wal").stat().st_size
    await store.close()
    assert size < 8_000_000
