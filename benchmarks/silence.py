"""Nodes that die: how long until the page says offline.

Real Mosquitto and controller over 1,000 nodes. Some die: processes of ten nodes (benchmarks/some_nodes.py), each node
with its own connection (keepalive 20 s), heartbeats (every 10 s) and moment of them. They are killed (the broker sends
their wills at once), killed without having left a will, stopped with SIGSTOP (connections stay until the broker gives
them up), or cut off: the cable from their network namespace carries nothing any more (tests/e2e/wire.py). One process
dies every 5 s: a controller that has 400 deaths to write down at once is another measure. Two nodes of a commune die
at most: more would be the commune's own. All others live. On the page: the nodes are offline in what the
page asked for after its event stream told it to (benchmarks/onlooker.py).

LOA_BENCH_DYING says how many die each way (30; in full 100, the most there is room for).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alerts import EACH, VOICE, Quiet, Voices
from benchmarks.onlooker import Onlooker, stop
from benchmarks.report import Report, add_quantiles, size
from controller.adapters.broker import CONTROLLER
from controller.adapters.credentials import hash_password
from controller.adapters.process import bound
from tests.e2e.network import PASSWORD, ROOT
from tests.e2e.wire import Wire, missing

NODES = 1000
DYING = size("DYING", 30, 100)
TOGETHER = 10
INTERVAL_S = 10.0
BETWEEN_S = 5.0
PATIENCE_S = 120.0
WAYS = ("killed", "killed_without_will", "stopped", "cut_off")


@dataclass(frozen=True)
class Group:
    """Nodes that share a process, and how they die."""

    way: str
    nodes: Sequence[str]
    process: asyncio.subprocess.Process
    cable: Wire | None = None

    def die(self) -> None:
        if self.cable is not None:
            self.cable.cut = True
        else:
            self.process.send_signal(signal.SIGSTOP if self.way == "stopped" else signal.SIGKILL)


class Hospital(Quiet):
    """Those that die have processes, those that live one voice. `reason`: why no cable can be cut here, or empty."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.ways = tuple(way for way in WAYS if way != "cut_off" or not reason)
        self.centre = "127.0.0.1" if reason else f"10.213.{os.getpid() % 250}.1"
        super().__init__(folder, nodes=NODES, host=self.centre)
        places = [f"c{commune:03d}-{place}" for place in (0, 1) for commune in range(NODES // EACH)]
        self.dying = {way: places[n :: len(WAYS)][:DYING] for n, way in enumerate(self.ways)}
        self.groups: list[Group] = []
        self._cables = ExitStack()

    async def __aenter__(self) -> Hospital:
        if "cut_off" in self.ways:
            self._found_centre()
        await super().__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for group in self.groups:
            if group.process.returncode is None:
                group.process.kill()
                await group.process.wait()
        await super().__aexit__(*exc)
        self._cables.close()

    def _found_centre(self) -> None:
        """An address of this machine that can be reached from the namespaces."""
        subprocess.run(["ip", "addr", "add", f"{self.centre}/32", "dev", "lo"], check=True)
        away = ["ip", "addr", "del", f"{self.centre}/32", "dev", "lo"]
        self._cables.callback(subprocess.run, away, check=False)

    def _cable(self) -> Wire:
        n = len(self.groups)
        inside = f"{self.centre.removesuffix('.1')}.{10 + n}"
        return self._cables.enter_context(
            Wire(f"lb{os.getpid() % 10000}{n}", inside=inside, centre=self.centre, seed=n)
        )

    async def start_broker(self) -> None:
        users = (CONTROLLER, VOICE, *(node for nodes in self.dying.values() for node in nodes))
        await self._broker.start(dict.fromkeys(users, hash_password(PASSWORD)))

    async def start_nodes(self) -> None:
        for way, nodes in self.dying.items():
            for first in range(0, len(nodes), TOGETHER):
                await self._start(way, nodes[first : first + TOGETHER])

    async def _start(self, way: str, nodes: Sequence[str]) -> None:
        will = "none" if way == "killed_without_will" else "will"
        words = [self.centre, self.broker_port, PASSWORD, INTERVAL_S, will, *nodes]
        command = [sys.executable, "-m", "benchmarks.some_nodes", *map(str, words)]
        cable = self._cable() if way == "cut_off" else None
        if cable is not None:
            command = cable.command(command)
        process = await asyncio.create_subprocess_exec(*bound(command), cwd=ROOT)
        self.groups.append(Group(way, nodes, process, cable))

    async def all_online(self) -> bool:
        return bool((await self.get("status"))["nodes"]["online"] == NODES)


async def _measure(report: Report) -> None:
    reason = missing()
    if reason:
        print(f"cut_off is left out: {reason}", flush=True)
    with tempfile.TemporaryDirectory(prefix="loa-bench-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        async with Hospital(Path(name), reason) as network:
            dying = {node for nodes in network.dying.values() for node in nodes}
            living = Voices(network, [node for node in network.names if node not in dying])
            onlooker = Onlooker(network.page)
            work = asyncio.gather(living.beat_for_ever(), onlooker.watch())
            await network.until(network.all_online, within=120, every=1)
            await asyncio.sleep(2 * INTERVAL_S + 5)  # the grace after the broker connection
            onlooker.offline.clear()
            died = await _die(network)
            await _seen(onlooker, died)
            await stop(work)
            living.close()
            _tell(report, network, onlooker, died)


async def _die(network: Hospital) -> dict[str, float]:
    """When each of them died: group after group, in random order and at random moments."""
    rng = random.Random(1)
    died: dict[str, float] = {}
    for group in rng.sample(network.groups, len(network.groups)):
        await asyncio.sleep(rng.uniform(0, 2 * BETWEEN_S))
        group.die()
        died |= dict.fromkeys(group.nodes, time.monotonic())
    return died


async def _seen(onlooker: Onlooker, died: dict[str, float]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while died.keys() - onlooker.offline.keys():
                onlooker.news.clear()
                await onlooker.news.wait()


def _tell(report: Report, network: Hospital, onlooker: Onlooker, died: dict[str, float]) -> None:
    report.add("nodes", NODES, "")
    for way, nodes in network.dying.items():
        took = [onlooker.offline[node] - died[node] for node in nodes if node in onlooker.offline]
        report.add(f"{way}: died", len(nodes), "nodes")
        report.add(f"{way}: not seen", len(nodes) - len(took), "nodes")
        if took:
            add_quantiles(report, f"{way}_to_offline_on_the_page", took)
    report.add("alive_but_offline", len(onlooker.offline.keys() - died.keys()), "nodes")


def main() -> None:
    report = Report("silence")
    asyncio.run(_measure(report))
    report.write()


if __name__ == "__main__":
    main()
