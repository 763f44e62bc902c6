"""From rules to a plan that may be taken: occurrences, who gets the horn, guards; for a month, in one process.

`python -m benchmarks.planning` writes build/bench/planning.json: {figure: {"value", "unit"}}.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from random import Random
from zoneinfo import ZoneInfo

from benchmarks.report import Report
from broadcasts.calendar import VIETNAM
from broadcasts.guards import Guards
from broadcasts.model import Broadcast, FileTrack, Level, Priority, Rendered, Say
from broadcasts.review import Review, review
from broadcasts.timeline import Ready, occurrences

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
START = datetime(2026, 11, 22, 17, tzinfo=UTC)
NODES, COMMUNES, HAMLETS = 1000, 12, 4
SIZES = (1000, 10_000)
DAYS = 30
LIMIT_S = {1000: 1.0, 10_000: 10.0}
ROUNDS = 3


FIRST_MINUTE, LAST_MINUTE = 5 * 60 + 30, 20 * 60 + 30


@dataclass(frozen=True)
class Area:
    """A hamlet, a commune or all: its nodes, and the hamlets whose minutes it takes."""

    nodes: tuple[str, ...]
    hamlets: tuple[int, ...]


def district() -> list[Area]:
    """Hamlets first, then communes, then everywhere."""
    members: list[list[str]] = [[] for _ in range(COMMUNES * HAMLETS)]
    for number in range(NODES):
        members[number % len(members)].append(f"node-{number:04}")
    hamlets = [Area(tuple(nodes), (number,)) for number, nodes in enumerate(members)]
    communes = [_together(hamlets[first : first + HAMLETS]) for first in range(0, len(hamlets), HAMLETS)]
    return [*hamlets, *communes, _together(hamlets)]


def _together(areas: Sequence[Area]) -> Area:
    nodes = sorted(node for area in areas for node in area.nodes)
    return Area(tuple(nodes), tuple(hamlet for area in areas for hamlet in area.hamlets))


def queued(count: int, areas: Sequence[Area]) -> list[Ready]:
    """`count` daily broadcasts of 20 to 40 s as a district would queue them: nine of ten for a hamlet, one for a
    commune, a few for all, each in a minute of its own there. One in a hundred is of priority, and at any time."""
    random = Random(1)
    free = [set(range(FIRST_MINUTE, LAST_MINUTE)) for _ in range(COMMUNES * HAMLETS)]
    wanted = [_somewhere(random, areas) for _ in range(count)]
    ready = []
    for number, area in enumerate(sorted(wanted, key=lambda area: -len(area.hamlets))):
        urgent = number % 100 == 99
        minutes = set.intersection(*(free[hamlet] for hamlet in area.hamlets))
        minute = random.randrange(FIRST_MINUTE, LAST_MINUTE) if urgent else random.choice(sorted(minutes))
        for hamlet in () if urgent else area.hamlets:
            free[hamlet].discard(minute)
        ready.append(_daily(number, minute, random.randrange(20_000, 40_000), area, urgent))
    return ready


def _somewhere(random: Random, areas: Sequence[Area]) -> Area:
    share, hamlets = random.random(), COMMUNES * HAMLETS
    index = random.randrange(hamlets) if share < 0.9 else hamlets + random.randrange(COMMUNES)
    return areas[-1] if share > 0.998 else areas[index]


def _daily(number: int, minute: int, length: int, area: Area, urgent: bool) -> Ready:
    broadcast = Broadcast(
        id=f"tin-{number:05}",
        title="Bản tin",
        to=("all",),
        play=(Say("Chào bà con."),),
        at=(time_of_day(minute // 60, minute % 60),),
        priority=Priority.PRIORITY if urgent else Priority.NORMAL,
        level=list(Level)[number % 4],
        place=f"config/broadcasts.yaml:{number}",
    )
    track = FileTrack(f"{number:064}", f"/media/{number:064}.opus", 90_000, length)
    return Ready(broadcast, Rendered((track,), length), area.nodes)


def planned(ready: Sequence[Ready]) -> tuple[int, Review]:
    """The month, checked; number of airings and what was found."""
    plan = occurrences(ready, HANOI, START, START + timedelta(days=DAYS), VIETNAM)
    broadcasts = {one.broadcast.id: one.broadcast for one in ready}
    guards = Guards()
    return len(plan), review(plan, broadcasts, lambda _: guards, HANOI, START)


def timed(ready: Sequence[Ready]) -> tuple[float, float, int, Review]:
    """Seconds by the clock and of the processor: they differ by what else the machine was busy with."""
    gc.collect()
    begin, busy = time.perf_counter(), time.process_time()
    airings, found = planned(ready)
    return time.perf_counter() - begin, time.process_time() - busy, airings, found


def peak_mb(ready: Sequence[Ready]) -> float:
    """Most memory that planning held at once, MB."""
    gc.collect()
    tracemalloc.start()
    planned(ready)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    report = Report("planning")
    targets = district()
    for size in SIZES:
        ready = queued(size, targets)
        rounds = [timed(ready) for _ in range(ROUNDS)]
        name = f"{size} broadcasts x {DAYS} days"
        report.spread(f"{name}, {NODES} nodes", [seconds for seconds, *_ in rounds], "s")
        report.spread(f"{name}: processor", [busy for _, busy, *_ in rounds], "s")
        _, _, airings, found = rounds[0]
        report.add(f"{name}: airings", airings, "")
        report.add(f"{name}: refusals", len(found.refusals), "")
        report.add(f"{name}: peak memory", peak_mb(ready), "MB")
        report.add(f"{name}: target", LIMIT_S[size], "s at most")
    report.write()


if __name__ == "__main__":
    main()
