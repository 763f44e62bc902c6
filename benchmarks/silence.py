"""A node that dies: how long until the page says offline.

Real Mosquitto and controller; every node a process of its own with one MQTT connection (keepalive 20 s, a heartbeat
every 10 s). Some are killed (the broker sends their will at once), some are stopped with SIGSTOP (their connection
stays until the broker gives it up). All at once, at random instants of their heartbeats; about two minutes.

LOA_BENCH_NODES says how many die each way (10).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.alerts import EACH, VOICE, Quiet, _quantiles
from benchmarks.report import Report
from controller.adapters.broker import CONTROLLER
from controller.adapters.credentials import hash_password
from controller.adapters.process import bound
from tests.e2e.network import PASSWORD, ROOT

DYING = int(os.environ.get("LOA_BENCH_NODES", "10"))
INTERVAL_S = 10.0
WAYS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}


class Hospital(Quiet):
    """A process for each node; as many again stay alive, so that no commune is out."""

    async def __aenter__(self) -> Hospital:
        await super().__aenter__()
        return self

    async def start_broker(self) -> None:
        users = (CONTROLLER, VOICE, *self.names)
        await self._broker.start(dict.fromkeys(users, hash_password(PASSWORD)))

    async def start_nodes(self) -> None:
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        for name in self.names:
            words = ["127.0.0.1", self.broker_port, name, PASSWORD, name, INTERVAL_S]
            command = bound([sys.executable, "-m", "benchmarks.one_node", *map(str, words)])
            self.processes[name] = await asyncio.create_subprocess_exec(*command, cwd=ROOT)

        async def online() -> bool:
            return len(await self.states("online")) == len(self.names)

        await self.until(online, within=120, every=1)

    async def states(self, wanted: str) -> set[str]:
        communes = (await self.get("nodes"))["communes"]
        return {node["id"] for commune in communes for node in commune["nodes"] if node["state"] == wanted}

    async def end_nodes(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        async with Hospital(Path(name), DYING * EACH) as network:
            try:
                await _die(network, report)
            finally:
                await network.end_nodes()


async def _die(network: Hospital, report: Report) -> None:
    await asyncio.sleep(2 * INTERVAL_S + 5)  # the grace after the broker connection
    rng = random.Random(1)
    died: dict[str, tuple[str, float]] = {}
    for commune in range(DYING):  # two of five: fewer than what makes it the commune's own
        for place, (way, number) in enumerate(WAYS.items()):
            node = network.names[commune * EACH + place]
            await asyncio.sleep(rng.uniform(0, INTERVAL_S / DYING))
            network.processes[node].send_signal(number)
            died[node] = (way, time.monotonic())
    seen: dict[str, float] = {}
    end = time.monotonic() + 120
    while died.keys() - seen.keys() and time.monotonic() < end:
        for node in await network.states("offline"):
            seen.setdefault(node, time.monotonic())
        await asyncio.sleep(0.1)
    for way in WAYS:
        took = [seen[node] - at for node, (how, at) in died.items() if how == way and node in seen]
        report.add(f"{way}: found", len(took), f"of {DYING}")
        if took:
            _quantiles(report, f"{way}_to_offline_on_the_page", took)
    report.add("alive_but_offline", len(seen.keys() - died.keys()), "nodes")


def main() -> None:
    report = Report("silence")
    asyncio.run(_measure(report))
    report.write()


if __name__ == "__main__":
    main()
