"""From rules to a plan that may be taken: occurrences, who gets the horn, guards; for a month, in one process.

`python -m benchmarks.planning` writes build/bench/planning.json: {figure: {"value", "unit"}}.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from random import Random
from zoneinfo import ZoneInfo

from benchmarks.report import Report
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


def district() -> list[tuple[str, ...]]:
    """Target lists: each hamlet, each commune, everywhere."""
    hamlets: dict[tuple[int, int], list[str]] = {}
    for number in range(NODES):
        home = (number % COMMUNES, number // COMMUNES % HAMLETS)
        hamlets.setdefault(home, []).append(f"xa-{home[0]:02}-{number:04}")
    communes = [
        tuple(sorted(node for (home, _), nodes in hamlets.items() if home == commune for node in nodes))
        for commune in range(COMMUNES)
    ]
    everywhere = tuple(sorted(node for nodes in hamlets.values() for node in nodes))
    return [*(tuple(sorted(nodes)) for nodes in hamlets.values()), *communes, everywhere]


def queued(count: int, targets: Sequence[tuple[str, ...]]) -> list[Ready]:
    """`count` daily broadcasts of 20 to 200 s between 05:30 and 20:00: half for a hamlet, the rest for more."""
    random = Random(1)
    hamlets = COMMUNES * HAMLETS
    ready = []
    for number in range(count):
        share = random.random()
        index = random.randrange(hamlets) if share < 0.5 else hamlets + random.randrange(COMMUNES)
        nodes = targets[-1] if share > 0.98 else targets[index]
        length = random.randrange(20_000, 200_000)
        broadcast = Broadcast(
            id=f"tin-{number:05}",
            title="Bản tin",
            to=("all",),
            play=(Say("Chào bà con."),),
            at=(time_of_day(random.randrange(6, 20), random.randrange(60)),),
            priority=Priority.PRIORITY if random.random() < 0.1 else Priority.NORMAL,
            level=random.choice(list(Level)),
            place=f"config/broadcasts.yaml:{number}",
        )
        track = FileTrack(f"{number:064}", f"/media/{number:064}.opus", 90_000, length)
        ready.append(Ready(broadcast, Rendered((track,), length), nodes))
    return ready


def planned(ready: Sequence[Ready]) -> tuple[int, Review]:
    """The month, checked; number of airings and what was found."""
    plan = occurrences(ready, HANOI, START, START + timedelta(days=DAYS))
    broadcasts = {one.broadcast.id: one.broadcast for one in ready}
    guards = Guards()
    return len(plan), review(plan, broadcasts, lambda _: guards, HANOI, START)


def timed(ready: Sequence[Ready]) -> tuple[float, int, Review]:
    gc.collect()
    begin = time.perf_counter()
    airings, found = planned(ready)
    return time.perf_counter() - begin, airings, found


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
        report.spread(f"{name}, {NODES} nodes", [seconds for seconds, _, _ in rounds], "s")
        report.add(f"{name}: airings", rounds[0][1], "")
        report.add(f"{name}: refusals", len(rounds[0][2].refusals), "")
        report.add(f"{name}: peak memory", peak_mb(ready), "MB")
        report.add(f"{name}: target", LIMIT_S[size], "s at most")
    report.write()


if __name__ == "__main__":
    main()
