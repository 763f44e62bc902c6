"""How the controller grows with its nodes: first plan, restart, processor per heartbeat, memory, database a day.

100 to 100,000 nodes, each size in a process of its own with the shipped fault rules, SQLite in a file and two
broadcasts a day to all; the day's journals (accepted, fetched, started, completed) and heartbeats come in as fast as
they are taken. Times are the processor's. The exponents are fitted over all sizes: 1 is in proportion.
LOA_BENCH_SIZES says which sizes, as "100,1000".

`python -m benchmarks.growth` writes build/bench/growth.json.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from datetime import time as time_of_day
from pathlib import Path
from typing import Any, TypeVar

import structlog

from benchmarks import firehose
from benchmarks.reception import rss_mb, settings_for
from benchmarks.report import Report
from broadcasts.model import Broadcast, Occurrence, Say, assets_of
from controller.adapters.store.sql import SqlStore
from controller.app import App
from controller.ports import Clock
from controller.runtime import SELDOM
from controller.wire.messages import ClockState, Heartbeat, Held, JournalEntry
from simulators.parts import IDLE, Parts
from tests.fakes import FakeBus, FakeClock
from tests.house import built

SIZES = tuple(int(word) for word in os.environ.get("LOA_BENCH_SIZES", "100,1000,10000,100000").split(","))
AT_ONCE = 500
BEATS = 2
DAILY = tuple(
    Broadcast(id=id, title=id, to=("all",), play=(Say(f"Bản tin {id}."),), at=(time_of_day(hour, 30),), place="b:1")
    for id, hour in (("sang", 5), ("chieu", 17))
)
T = TypeVar("T")


def main() -> None:
    if sys.argv[1:2] == ["--size"]:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        gc.set_threshold(*SELDOM)
        print(json.dumps(asyncio.run(_measured(int(sys.argv[2]), Path(sys.argv[3])))))
        return
    found = {size: _of_size(size) for size in SIZES}
    report = Report("growth")
    for title, unit in _TITLES.items():
        points = [(float(size), told[title]) for size, told in found.items()]
        for size, value in points:
            report.add(f"{title}, {size:,.0f} nodes", value, unit)
        if len(points) > 1:
            report.curve(title, points, unit, "nodes")
    least, most = min(found), max(found)
    report.add("database per node and day", 1000 * found[most]["database"] / most, "kB")
    if least < most:
        more = found[most]["memory"] - found[least]["memory"]
        report.add("memory per node", 1000 * more / (most - least), "kB")
    report.write()


_TITLES: Mapping[str, str] = {
    "first plan": "s",
    "restart": "s",
    "memory": "MB",
    "heartbeat": "us",
    "database": "MB a day",
}


def _of_size(size: int) -> dict[str, float]:
    """A first life with its day, then a second one on the same database."""
    with tempfile.TemporaryDirectory(prefix="loa-growth-") as folder:
        first, second = (_child(size, folder) for _ in range(2))
    return {**first, "restart": second["first plan"]}


def _child(size: int, folder: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.growth", "--size", str(size), folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{size} nodes: {told}", flush=True)
    return told


async def _measured(size: int, folder: Path) -> dict[str, float]:
    """One life of a controller: its start, and a day if it is the first."""
    file = folder / "loa.db"
    fresh = not file.exists()
    store = SqlStore(f"sqlite:///{file}")
    await store.open()
    app = _app(size, store)
    began = time.process_time()
    await app.start()
    await app.scheduling.start()
    told = {"first plan": time.process_time() - began, "heartbeat": await _heartbeats(app, size)}
    if fresh:
        before = _size_mb(file)
        await _day(app)
        told["database"] = _size_mb(file) - before
    told["memory"] = rss_mb()
    await store.close()
    return told


def _app(size: int, store: SqlStore) -> App:
    settings = replace(settings_for(size), broadcasts={one.id: one for one in DAILY})
    clock = _Standing()
    bus = _Nowhere(clock)
    return built(settings, store=store, clock=clock, bus=bus)


class _Standing(FakeClock):
    """The real time of day; nothing waits for it."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))


class _Nowhere(FakeBus):
    """Takes what is published and keeps none of it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)

    async def publish(self, *_: Any, **__: Any) -> str:
        return ""


async def _heartbeats(app: App, size: int) -> float:
    """Processor microseconds of one, evaluated by all rules."""
    await app.monitoring.on_bus_up(app.clock.monotonic())
    shape = Parts("benchmark").metrics(IDLE)
    began = time.process_time()
    for seq in range(BEATS):
        beat = Heartbeat("b1", 1, seq, app.clock.now(), 1000 + seq, ClockState(True, 1.0), Held(), None, shape)
        for names in _batches([firehose.name(n) for n in range(size)]):
            await app.monitoring.on_heartbeats([(name, beat, app.clock.monotonic()) for name in names])
    return (time.process_time() - began) / (BEATS * size) * 1e6


async def _day(app: App) -> None:
    """What every node says of the first two airings."""
    for round, one in enumerate(app.scheduling.planned[: len(DAILY)]):
        for names in _batches(one.nodes):
            await app.ledger.take([(name, entry) for name in names for entry in _said(one, round, app.clock)])


def _said(one: Occurrence, round: int, clock: Clock) -> Iterator[JournalEntry]:
    now, first = clock.now(), 1 + 4 * round
    asset = next(iter(assets_of(one.playlist.tracks[0])))
    yield JournalEntry("log", first, now, "playlists", result="accepted", epoch=1, rev=1)
    yield JournalEntry("log", first + 1, now, "prefetched", playlist=one.id, sha256=asset.sha256)
    yield JournalEntry("log", first + 2, now, "started", playlist=one.id, late_ms=12)
    yield JournalEntry("log", first + 3, now, "completed", playlist=one.id, played_ms=10_000, level_db=-20.5)


def _batches(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE))


def _size_mb(file: Path) -> float:
    """With what SQLite has not yet moved out of its log."""
    return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*")) / 1e6


if __name__ == "__main__":
    main()
