"""A large fleet on this machine: how fast it is there, what it costs while nothing happens, an announcement, an
emergency, the return of a broker.

Real Mosquitto, controller and simulated nodes as processes, heartbeat every 30 s: 100 nodes, or as many as
LOA_BENCH_NODES says (10,000 takes about twenty minutes and writes fleet_large.json). Times of starts are by the nodes'
clocks, which on one machine are the same clock.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.bare import fan_out
from benchmarks.emergency import Large, quantiles
from benchmarks.report import Report
from controller.adapters.broker import CONTROLLER
from controller.adapters.store.sql import SqlStore
from simulators.fleet import read_enrolments
from tests.e2e.network import PASSWORD, Json

NODES = int(os.environ.get("LOA_BENCH_NODES", "100"))
IDLE_S = 40.0
LARGE = NODES >= 5000
"""Written down beside the other, whose figures it does not replace."""
WATCH_S = 330.0 if LARGE else 65.0
"""How long after a return for alarms: beyond the grace of two heartbeats; with many nodes until people would have been
told of one that was thought lost."""
ROUNDS = 5
ORDERS = 100
AWAY_S = 5.0
NO_FALSE_ALARM = ("centre-clock", "canary")
"""What is true of the machine it runs on, and the incident by which the controller tests itself."""
TICKS = os.sysconf("SC_CLK_TCK")


class Fleet(Large):
    """The large network with a slow heartbeat, whose broker is measured before anybody else is there."""

    def __init__(self, folder: Path, report: Report) -> None:
        super().__init__(folder, nodes=NODES, listen=0)
        self._report = report
        self.asked_at = 0.0

    def _configure(self) -> None:
        super()._configure()
        path = self.config / "site.yaml"
        site = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**site, "heartbeat": "30s"}, allow_unicode=True))
        # Whether this machine's clock is right is no question here; people would be told of it in the middle of it.
        path = self.config / "alerts.yaml"
        until = datetime.now(UTC) + timedelta(days=1)
        silence = {"codes": ["centre-clock"], "until": f"{until:%Y-%m-%d %H:%M}", "reason": "benchmark"}
        alerts = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**alerts, "silences": [silence]}, allow_unicode=True))

    async def start_controller(self) -> None:
        enrolments = await asyncio.to_thread(read_enrolments, self.folder / "enrolments")
        quantiles(self._report, "bare_fan_out", await fan_out(enrolments, (CONTROLLER, PASSWORD), ROUNDS))
        began = time.monotonic()
        await super().start_controller()
        self._report.add("controller_ready", time.monotonic() - began, "s")

    async def summary(self) -> Json:
        found: Json = (await self.control(do="summary"))["summary"]
        return found

    async def all_connected(self) -> Json:
        async def found() -> Json | None:
            summary = await self.summary()
            return summary if summary["connected"] == NODES else None

        summary = await self.until(found, every=0.5)
        assert summary is not None
        return summary

    async def heartbeats(self) -> int:
        """How many the controller has taken in."""
        async with httpx.AsyncClient(timeout=30) as client:
            text = (await client.get(f"{self.page}/metrics")).text
        found = re.search(r'^loa_intake_total\{what="heartbeat"\} (\S+)', text, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def spent(self, name: str) -> float:
        """Processor seconds of a process so far."""
        fields = Path(f"/proc/{self.pid(name)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self, name: str) -> float:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid(name)}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0


async def _there(network: Fleet, report: Report) -> None:
    summary = await network.all_connected()
    report.add("all_connected", summary["connect_s"], "s")
    report.add("connections_peak", summary["peak_per_s"], "1/s")


async def _idle(network: Fleet, report: Report) -> None:
    """What it costs while nothing happens, and whether every heartbeat that was sent was taken in."""
    began = time.monotonic()

    async def all_there() -> bool:
        summary = await network.summary()
        return bool(summary["missing"] == 0 and summary["journal_waiting"] == 0)

    await network.until(all_there, within=600, every=1.0)
    report.add("all_have_their_audio_after", time.monotonic() - began, "s")
    before = {name: network.spent(name) for name in ("controller", "nodes")}
    await asyncio.sleep(IDLE_S)
    for name, spent in before.items():
        report.add(f"{name}_core_share", (network.spent(name) - spent) / IDLE_S * 100, "%")
        report.add(f"{name}_memory", network.memory_mb(name), "MB")
    sent = (await network.summary())["heartbeats"]
    await asyncio.sleep(2)  # what was on its way then has come in
    report.add("heartbeats_sent", sent, "")
    taken = await network.heartbeats()
    report.add("heartbeats_lost", max(0, sent - taken), "")
    report.add("heartbeats_lost_or_under_way", (await network.summary())["heartbeats"] - taken, "")


async def _started(network: Fleet, occurrence: str) -> Json:
    async def found() -> Json | None:
        summary = await network.summary()
        return summary if (summary["occurrence"], summary["started"]) == (occurrence, NODES) else None

    summary = await network.until(found, within=180, every=1.0)
    assert summary is not None
    return summary


async def _announcement(network: Fleet, report: Report) -> None:
    occurrence, _ = await network.queue("tin", 45 + NODES / 100, "Bản tin buổi chiều.")
    skew = (await _started(network, occurrence))["skew_ms"]
    for name in ("p50", "p99", "max"):
        report.add(f"announcement_skew_{name}", skew[name], "ms")
    # Nodes begin by their own clocks what they hold: what one begins after another is this one process's turns.
    report.add("announcement_skew_max_per_node", skew["max"] / NODES * 1000, "us")

    async def recorded() -> bool:
        story = await network.airing(occurrence)
        return story is not None and sum(line["heard"] in ("heard", "sounding") for line in story["nodes"]) == NODES

    began = time.monotonic()
    await network.until(recorded, within=180, every=2.0)
    report.add("announcement_starts_recorded_after", time.monotonic() - began, "s")


async def _return(network: Fleet, report: Report) -> None:
    """The broker dies and comes back: who storms it, and who is alarmed."""
    before = await network.summary()
    incidents, alerts = await _causes(network), len(network.alerts)
    network.kill_broker()
    await asyncio.sleep(AWAY_S)
    await network.start_broker()
    back_at = time.monotonic()
    after = await network.all_connected()
    report.add("return_all_back", time.monotonic() - back_at, "s")
    report.add("return_connections", after["connections"] - before["connections"], "")
    report.add("return_connections_peak", after["peak_per_s"], "1/s")
    await asyncio.sleep(WATCH_S)
    found = await _causes(network)
    report.add("return_false_incidents", (found - incidents).total(), "")
    report.add("false_incidents_of_the_whole_run", found.total(), "")
    for cause, count in found.items():
        print(f"incidents of the whole run: {cause}: {count}", flush=True)
    told = network.alerts[alerts:]
    report.add("return_messages", len(told), "")
    for _, alert in told:
        print("told:", alert.subject, flush=True)


async def _causes(network: Fleet) -> Counter[str]:
    """All incidents of this run, those that are over or filed under another one too, by scope and cause."""
    store = SqlStore(f"sqlite:///{network.data / 'loa.db'}", read_only=True)
    await store.open()
    found = await store.read(lambda tx: tx.incidents(datetime.now(UTC) - timedelta(days=1)))
    await store.close()
    return Counter(f"{one.cause} of a {one.scope}" for one in found if one.cause not in NO_FALSE_ALARM)


async def _emergency(network: Fleet, report: Report) -> None:
    answered: list[float] = []
    taken: dict[str, list[float]] = {"p50": [], "p99": [], "max": []}
    for _ in range(ROUNDS):
        began = time.time()
        order: Any = await network.post("emergency", to=["all"], by="bench", sound="thu-nghiem")
        answered.append((time.time() - began) * 1000)
        summary = await _started(network, order["id"])
        for name, values in taken.items():
            values.append((summary["first"] - began) * 1000 + summary["skew_ms"][name])
        await network.post(f"emergency/{order['id']}/end", by="bench")
        await asyncio.sleep(5 + NODES / 1000)
    report.spread("emergency_order_answered", answered, "ms")
    for name, values in taken.items():
        report.spread(f"emergency_to_first_sample_{name}", values, "ms")


async def _handed(network: Fleet, report: Report) -> None:
    """From an order's being stored until it has left for the broker, while all nodes sound the last one."""
    order: Any = await network.post("emergency", to=["all"], by="bench", sound="thu-nghiem", times=100)
    await _started(network, order["id"])
    left: list[float] = []
    for n in range(ORDERS):
        changed = await network.post(f"emergency/{order['id']}/update", by="bench", volume=90 + n % 2)
        left.append(changed["handed_ms"])
        await asyncio.sleep(NODES / 10_000)
    quantiles(report, "emergency_accepted_to_broker", left)
    await network.post(f"emergency/{order['id']}/end", by="bench")
    await asyncio.sleep(5 + NODES / 1000)


async def _measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        async with Fleet(Path(name), report) as network:
            for part in (_there, _idle, _announcement, _emergency, _handed, _return):
                await part(network, report)


def main() -> None:
    report = Report("fleet_large" if LARGE else "fleet")
    report.add("nodes", NODES, "nodes")
    try:
        asyncio.run(_measure(report))
    finally:
        report.write()


if __name__ == "__main__":
    main()
