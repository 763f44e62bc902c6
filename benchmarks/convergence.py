"""From a saved file to the journal of every node saying that it has accepted the new playlists.

Real Mosquitto, controller and simulated nodes as processes: 60 nodes, or as many as LOA_BENCH_NODES says. The clock
starts when the file is closed and stops at the time that each node's own journal gives, which on one machine is the
same clock. The rendering of the new announcement is part of it.
"""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.emergency import NODES, Large
from benchmarks.report import Report
from controller.domain.delivery import DeliveryState
from controller.ports import Tx
from controller.wire.messages import JournalEntry
from tests.e2e.network import Network

ROUNDS = 5


async def _round(network: Network, number: int) -> list[float]:
    """Seconds from the save to each node's `accepted`."""
    nodes = await network.stored(lambda tx: list(tx.desired()))
    before = time.time()
    occurrence, _ = await network.queue(f"tin-{number}", 3600, f"Bản tin số {number + 1} của buổi chiều nay.")
    saved = (network.config / "broadcasts" / f"tin-{number}.yaml").stat().st_mtime
    assert saved >= before - 1

    def delivered(tx: Tx) -> int:
        return sum(one.state in (DeliveryState.ACCEPTED, DeliveryState.READY) for one in tx.deliveries(occurrence))

    def journaled(tx: Tx) -> list[float]:
        """By each node's own journal. The ledger alone would not do: a heartbeat that tells of all audio may be ahead
        of a journal entry, and is written down when it comes, up to ten seconds later."""
        return [at for node in nodes for at in _accepted(tx.journal(node, 10), saved)]

    async def all_of_them() -> list[float]:
        if await network.stored(delivered) < network.nodes:
            return []
        found = await network.stored(journaled)
        return [at - saved for at in found] if len(found) == network.nodes else []

    return await network.until(all_of_them, within=120, every=1.0)


def _accepted(newest: Sequence[JournalEntry], since: float) -> list[float]:
    """When the first document after `since` was accepted, if it was; `newest` are entries of one node, newest first."""
    told = [one.at.timestamp() for one in newest if one.kind == "playlists" and one.result == "accepted"]
    return sorted(at for at in told if at >= since)[:1]


async def _measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-") as name:
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        async with Large(Path(name), nodes=NODES, listen=0) as network:
            await asyncio.sleep(5)
            rounds = [await _round(network, number) for number in range(ROUNDS)]
    every = sorted(second for each in rounds for second in each)
    report.add("nodes", NODES, "nodes")
    report.spread("saved_to_accepted", every, "s")
    report.add("saved_to_accepted_p99", every[math.ceil(0.99 * len(every)) - 1], "s")
    report.spread("saved_to_last_node", [max(each) for each in rounds], "s")


def main() -> None:
    report = Report("convergence")
    asyncio.run(_measure(report))
    report.write()


if __name__ == "__main__":
    main()
