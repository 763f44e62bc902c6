"""What the store does in a second: journal intake, outbox, ledger; on SQLite in a file, as in service.

`python -m benchmarks.store` writes build/bench/store.json: {figure: {"value", "unit"}}.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from benchmarks.report import Report
from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState
from controller.domain.escalation import OutboxRow, OutboxState
from controller.ports import Tx
from controller.wire.messages import JournalEntry

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
LEASE = timedelta(seconds=90)
ROUNDS = 5

Measure = Callable[[SqlStore, int], Awaitable[float]]
"""Store, round -> figure."""


async def journal_in_batches(store: SqlStore, round: int) -> float:
    """200 nodes' entries, 200 to a transaction, as a reconnect brings them; rows a second."""
    batches = [
        [(f"node-{n}", JournalEntry(log=f"log-{round}", n=i, at=T0, kind="started", late_ms=3)) for n in range(200)]
        for i in range(1, 26)
    ]
    return 200 * 25 / await _timed(lambda: _each(store, [lambda tx, b=b: tx.put_journals(b, T0) for b in batches]))


async def journal_one_by_one(store: SqlStore, round: int) -> float:
    """One entry to a transaction, each on the disk before the next; rows a second."""
    entries = [JournalEntry(log=f"single-{round}", n=n, at=T0, kind="started") for n in range(1, 201)]
    works = [lambda tx, e=e: tx.put_journal("node-1", e, T0) for e in entries]
    return 200 / await _timed(lambda: _each(store, works))


async def outbox_cycle(store: SqlStore, round: int) -> float:
    """Messages from enqueue to sent, claim and outcome in transactions of their own; messages a second."""
    channel = f"smtp:{round}@example.invalid"

    def enqueue(tx: Tx) -> None:
        for n in range(100):
            tx.enqueue(OutboxRow(n, "opened", f"dinh-{round}", channel, T0, T0, "Loa câm", "x" * 800))

    async def deliver() -> None:
        await store.transact(enqueue)
        while due := await store.transact(lambda tx: tx.due_outbox(channel, T0)):
            for row in due:
                await store.transact(lambda tx, id=row.id: tx.claim(id, T0 + LEASE, T0))
                await store.transact(lambda tx, id=row.id: tx.finish(id, OutboxState.SENT, T0))

    return 100 / await _timed(deliver)


async def ledger_of_a_week(store: SqlStore, round: int) -> float:
    """10,000 deliveries with their events in one transaction; milliseconds."""
    state = list(DeliveryState)[round % 4]
    rows = [Delivery(f"tin@{n // 60}", f"node-{n % 60}", state, T0) for n in range(10_000)]

    def write(tx: Tx) -> None:
        tx.put_deliveries(rows)
        tx.put_delivery_events(DeliveryEvent(row.occurrence, row.node, T0, state) for row in rows)

    return 1000 * await _timed(lambda: store.transact(write))


async def ledger_read(store: SqlStore, round: int) -> float:
    """Those 10,000 deliveries read back; milliseconds."""
    ids = [f"tin@{n}" for n in range(167)]
    return 1000 * await _timed(lambda: store.read(lambda tx: tx.deliveries_of(ids)))


FIGURES: dict[str, tuple[Measure, str]] = {
    "journal_batched": (journal_in_batches, "rows/s"),
    "journal_single": (journal_one_by_one, "rows/s"),
    "outbox_cycle": (outbox_cycle, "messages/s"),
    "ledger_write_10000": (ledger_of_a_week, "ms"),
    "ledger_read_10000": (ledger_read, "ms"),
}


async def _each(store: SqlStore, works: list[Callable[[Tx], object]]) -> None:
    for work in works:
        await store.transact(work)


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start


async def measure(url: str, report: Report) -> None:
    """The median of the rounds, for every figure."""
    store = SqlStore(url)
    await store.open()
    for name, (figure, unit) in FIGURES.items():
        report.spread(name, [await figure(store, round) for round in range(ROUNDS)], unit)
    await store.close()


def main() -> None:
    report = Report("store")
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        asyncio.run(measure(f"sqlite:///{folder}/loa.db", report))
    report.write()


if __name__ == "__main__":
    main()
