"""The month's report of 40 nodes with 10 airings a day, each told of by six events, from a database in a file.

`python -m benchmarks.monthreport` writes build/bench/monthreport.json. LOA_BENCH_NODES says how many nodes.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.report import Report, size
from broadcasts.model import Priority
from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.monthly import NodeEvent
from controller.domain.site import Settings
from controller.ports import Tx
from controller.services.reporting import Reporting
from tests.district import district
from tests.fakes import FakeClock

NODES = size("NODES", 40, 200)
DAYS, AIRINGS, LENGTH_S = 30, 10, 600
START = datetime(2026, 10, 31, 17, tzinfo=UTC)
STORY = {
    DeliveryState.PLANNED: -7 * 86400,
    DeliveryState.PUBLISHED: -7 * 86400 + 1,
    DeliveryState.ACCEPTED: -7 * 86400 + 2,
    DeliveryState.READY: -7 * 86400 + 60,
    DeliveryState.SOUNDING: 0,
    DeliveryState.COMPLETED: LENGTH_S,
}
"""What becomes of a delivery, and how many seconds after its start."""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        took_s, minutes = asyncio.run(_measured(Path(folder)))
    report = Report("monthreport")
    report.add(f"the report of a month, {NODES} nodes, {AIRINGS} airings a day", took_s, "s")
    report.add("minutes of air in it", minutes, "min")
    report.write()


async def _measured(folder: Path) -> tuple[float, float]:
    settings, store = _network(), SqlStore(f"sqlite:///{folder / 'loa.db'}")
    await store.open()
    for day in range(DAYS):
        await store.transact(lambda tx, day=day: _day(tx, tuple(settings.nodes), day))  # type: ignore[misc]
    reporting = Reporting(settings, store=store, clock=FakeClock(START + timedelta(days=DAYS)))
    begun = time.perf_counter()
    told = await reporting.month("2026-11")
    took_s = time.perf_counter() - begun
    await store.close()
    return took_s, told["total"]["air_planned_s"] / 60


def _network() -> Settings:
    site = district()
    every = list(site.nodes.values())
    nodes = [replace(every[n % len(every)], id=f"node-{n}") for n in range(NODES)]
    return replace(site, nodes={node.id: node for node in nodes})


def _day(tx: Tx, nodes: tuple[str, ...], day: int) -> None:
    for n in range(AIRINGS):
        start = START + timedelta(days=day, hours=2 * n + 1)
        id, end = f"b{n}@{day}", start + timedelta(seconds=LENGTH_S)
        tx.put_occurrences([OccurrenceRow(id, f"b{n}", "t", start, end, Priority.NORMAL, 20, "config", start)])
        done = DeliveryState.COMPLETED
        tx.put_deliveries(Delivery(id, node, done, end, started_at=start, played_ms=LENGTH_S * 1000) for node in nodes)
        tx.put_delivery_events(
            DeliveryEvent(id, node, start + timedelta(seconds=after), state)
            for node in nodes
            for state, after in STORY.items()
        )
    tx.put_node_events(NodeEvent(node, START + timedelta(days=day), "online") for node in nodes)


if __name__ == "__main__":
    main()
