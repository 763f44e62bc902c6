"""What nodes' journals cost: entries taken in a second, from bytes to the ledger on the disk, with 10,000 nodes.

The real intake over SQLite in a file; entries come as the connection hands them over when the controller is behind:
of as many nodes as there are, in turn; the broker takes every answer at once. An announcement to all: its document
accepted, its audio fetched, started, completed. Five emergencies to all: started and ended by every node. A journal
that comes again although it is stored. Rates are by the processor's time, all threads, and by the clock on the wall.

LOA_BENCH_NODES says how many nodes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import structlog

from benchmarks import firehose
from benchmarks.reception import settings_for
from benchmarks.report import Report
from broadcasts.model import Broadcast, Say, assets_of
from controller.adapters.clock import SystemClock
from controller.adapters.store.sql import SqlStore
from controller.app import App
from controller.ports import Received
from controller.runtime import SELDOM, leave_alone_what_stays
from controller.services.emergencies import Manner, Message
from controller.wire.messages import JournalAck, JournalEntry, decode, encode
from controller.wire.topics import Topics
from tests.fakes import FakeBus, FakeClock
from tests.house import built

NODES = int(os.environ.get("LOA_BENCH_NODES", "10000"))
EMERGENCIES = 5
AT_ONCE = 1000
"""Events that the connection hands over together (controller/adapters/mqtt.py)."""
NEWS = Broadcast(
    id="tin", title="Bản tin", to=("all",), play=(Say("Chào bà con."),), at=(time_of_day(17),), place="b:1"
)
TOPICS = Topics()


class _Taking(FakeBus):
    """A broker that takes everything at once, and knows when all journals were acknowledged."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self._wanted = 0
        self._waits: set[str] = set()
        self.answered = asyncio.Event()
        """Every node's journal is acknowledged as far as was wanted."""

    def want(self, upto: int) -> None:
        self._wanted, self._waits = upto, {TOPICS.journal_ack(firehose.name(n)) for n in range(NODES)}
        self.answered.clear()

    async def publish(self, topic: str, payload: bytes, **_: Any) -> str:
        if topic in self._waits and decode(JournalAck, payload).upto >= self._wanted:
            self._waits.discard(topic)
            if not self._waits:
                self.answered.set()
        return ""


class _Journals:
    """What all nodes write, one entry after the other."""

    def __init__(self) -> None:
        self._n = 0
        self.topics = [TOPICS.journal(firehose.name(n)) for n in range(NODES)]

    def all_say(self, **what: Any) -> Iterator[Received]:
        self._n += 1
        payload = encode(JournalEntry("log", self._n, SystemClock().now(), **what))
        yield from (Received(topic, payload, False, time.monotonic()) for topic in self.topics)

    @property
    def written(self) -> int:
        return self._n


async def _fed(app: App, bus: _Taking, events: Sequence[Received], upto: int) -> tuple[float, float]:
    """Entries a second of processor time, and of the wall's, until every node is answered."""
    bus.want(upto)
    cpu, wall = time.process_time(), time.monotonic()
    for first in range(0, len(events), AT_ONCE):
        await app.intake.take(events[first : first + AT_ONCE])
    await bus.answered.wait()
    return len(events) / (time.process_time() - cpu), len(events) / (time.monotonic() - wall)


def _announcement(app: App, journals: _Journals) -> list[Received]:
    """Document accepted, audio there, begun, over."""
    one = app.scheduling.planned[0]
    epoch, rev = app.dispatch.version(one.nodes[0])
    asset = next(iter(assets_of(one.playlist.tracks[0])))
    return [
        *journals.all_say(kind="playlists", result="accepted", epoch=epoch, rev=rev),
        *journals.all_say(kind="prefetched", playlist=one.id, sha256=asset.sha256),
        *journals.all_say(kind="started", playlist=one.id, late_ms=12),
        *journals.all_say(kind="completed", playlist=one.id, played_ms=10_000, level_db=-20.5),
    ]


async def _alarms(app: App, journals: _Journals) -> list[Received]:
    """Each of them begun and ended by everybody."""
    said: list[Received] = []
    for n in range(EMERGENCIES):
        told = await app.emergencies.sound(Message(text=f"Lũ về, lần {n}."), ["all"], Manner())
        for result in ("started", "ended"):
            said += journals.all_say(kind="emergency", id=told["id"], rev=told["rev"], result=result)
    return said


async def _measure(report: Report, folder: Path) -> None:
    settings = replace(settings_for(NODES), broadcasts={NEWS.id: NEWS})
    store, bus, journals = SqlStore(f"sqlite:///{folder}/loa.db"), _Taking(), _Journals()
    await store.open()
    app = built(settings, store=store, clock=SystemClock(), bus=bus)
    await app.start()
    await app.scheduling.start()
    gc.set_threshold(*SELDOM)
    leave_alone_what_stays()
    work = asyncio.gather(app.monitoring.run(), app.intake.send(), app.intake.answer())
    report.add("nodes", NODES, "nodes")
    announcement = _announcement(app, journals)
    await _told(report, "announcement", app, bus, announcement, journals.written)
    await _told(report, "emergencies", app, bus, await _alarms(app, journals), journals.written)
    await _told(report, "known already", app, bus, announcement, journals.written)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    await store.close()


async def _told(report: Report, name: str, app: App, bus: _Taking, events: Sequence[Received], upto: int) -> None:
    by_cpu, by_wall = await _fed(app, bus, events, upto)
    report.add(f"{name}: journals_per_s", by_cpu, "/s and core")
    report.add(f"{name}: journals_per_s_on_the_wall", by_wall, "/s")


def main() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    report = Report("journals")
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
        asyncio.run(_measure(report, Path(folder)))
    report.write()


if __name__ == "__main__":
    main()
