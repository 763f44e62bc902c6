"""One cause is one message, whatever order its nodes are heard in; and how many messages one person gets at most.

Monitoring and outbox over SQLite, time by the clock port. A commune of 40 nodes falls silent, then 20 communes behind
one uplink (of 45 with 4 nodes each), the nodes in random order, some with wills and some without: how many messages
each of two recipients gets. Then a storm: a hundred nodes, each with a fault of its own at a random moment of half an
hour, half of them mended at another, all told to one person, with the shipped limit and reminders: how many messages
arrive in any 10 minutes, copies counted too.

LOA_BENCH_ORDERS says how many random orders of each (10; in full 100).
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from benchmarks.alerts_by_clock import Whole, run, told_to_one
from benchmarks.report import Report, size
from controller.domain.escalation import Escalation
from controller.domain.outbox import Policy
from tests.health_support import Busy
from tests.property.test_one_cause import PEOPLE, fall_silent, network

ORDERS = size("ORDERS", 10, 100)
STORM_NODES = 100
STORM_S = 1800.0
WINDOW_S = 600.0


async def _told(communes: int, each: int, uplinked: int, down: Sequence[str], every_s: float, seed: int) -> list[int]:
    """How many messages each recipient gets when the nodes `down` fall silent in a random order."""
    rng = random.Random(seed)
    async with network(communes, each, uplinked=uplinked) as ward:
        await ward.all_born()
        await fall_silent(ward, rng.sample(down, len(down)), every_s, rng.randint(1, 5))
        await ward.pass_time(1200, step=10)
        got = Counter(row.recipient for row in await ward.messages())
    return [got[person.id] for person in PEOPLE]


async def _storm(store: Busy) -> dict[str, list[float]]:
    """When one person got a message, by channel."""
    ward = Whole(told_to_one(STORM_NODES // 5, 5, Escalation()), store, Policy())
    await ward.begin()
    await ward.all_born()
    rng = random.Random(1)
    acts = [(rng.uniform(0, STORM_S), id, True) for id in ward.speakers]
    acts += [(at + rng.uniform(60, STORM_S), id, False) for at, id, _ in acts[::2]]
    began = ward.clock.monotonic()
    for at, id, raised in sorted(acts):
        await ward.wait(max(0.0, began + at - ward.clock.monotonic()))
        await ward.beat_all()
        await ward[id].fault("clock", raised=raised)
    await ward.pass_time(7200, step=20)
    await ward.end()
    return {kind: post.times for kind, post in ward.posts.items()}


def most_within(times: Sequence[float], window_s: float) -> int:
    """The most of `times`, which ascend, in any stretch of `window_s`."""
    return max((n + 1 - bisect_left(times, at - window_s, hi=n) for n, at in enumerate(times)), default=0)


def main() -> None:
    report = Report("one_cause")
    commune = [f"c1-{n}" for n in range(1, 41)]
    uplink = [f"c{c}-{n}" for c in range(1, 21) for n in range(1, 5)]
    for label, communes, each, uplinked, down, every_s in (
        ("commune_of_40", 3, 40, 0, commune, 0.5),
        ("20_communes_on_one_uplink", 45, 4, 20, uplink, 0.1),
    ):
        told = [asyncio.run(_told(communes, each, uplinked, down, every_s, seed)) for seed in range(ORDERS)]
        counts = [count for each_order in told for count in each_order]
        report.add(f"{label}: random orders", ORDERS, "")
        report.add(f"{label}: most messages to one", max(counts), "messages")
        report.add(f"{label}: fewest messages to one", min(counts), "messages")
    storm = run(lambda store: _storm(Busy(store)))
    for kind, name in (("webhook", "own channel"), ("smtp", "copies")):
        report.add(f"storm: messages on {name}", len(storm[kind]), "")
    every = sorted(at for times in storm.values() for at in times)
    report.add("storm: most in 10 min", most_within(every, WINDOW_S), "messages")
    report.write()


if __name__ == "__main__":
    main()
