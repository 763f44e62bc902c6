"""From an order for an emergency to the first sample on every node, over a programme on air; from its end to silence.

Real Mosquitto, controller and simulated nodes as processes: 60 nodes, or as many as LOA_BENCH_NODES says (1,000 takes
about five minutes, most of it enrolling and connecting). `after_order` is from the moment before the request to the
instant of the first sample by each node's clock, which on one machine is the same clock; `command line` begins with
the start of the process `loa emergency`, and `command_line_to_order` ends when the controller has the order.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import Report
from tests.e2e.network import ROOT, Network

NODES = int(os.environ.get("LOA_BENCH_NODES", "60"))
ROUNDS = 5
TYPED = 5


class Large(Network):
    """The shipped district with as many nodes as are asked for, spread over its communes."""

    def _configure(self) -> None:
        super()._configure()
        path = self.config / "nodes.yaml"
        shipped: dict[str, Any] = yaml.safe_load(path.read_text())
        models = shipped["nodes"]
        for n in range(len(models), self.nodes):
            like = models[n % len(models)]
            models.append({**like, "id": f"{like['commune']}-x{n:04d}", "name": f"{like['name']} {n}", "pole": f"X{n}"})
        path.write_text(yaml.safe_dump(shipped, allow_unicode=True))
        daily = {"id": "gio", "title": "Báo giờ", "to": ["all"], "at": "05:30", "play": [{"chime": "open"}]}
        (self.config / "broadcasts.yaml").write_text(yaml.safe_dump({"broadcasts": [daily]}, allow_unicode=True))

    async def until(self, condition: Any, *, within: float = 60, every: float = 0.05) -> Any:
        """Asked seldom: the answer for 1,000 nodes is work that what is measured would wait for."""
        return await super().until(condition, within=max(within, NODES / 2), every=max(every, NODES / 1000))


async def _programme(network: Network) -> None:
    """Something is on air on every node, for longer than this takes; a short text, so that 1,000 nodes have it soon."""
    local = (datetime.now(UTC) + timedelta(seconds=10 + NODES / 40, hours=7)).replace(microsecond=0, tzinfo=None)
    what = {"id": "nen", "title": "Nền", "to": ["all"], "once": f"{local:%Y-%m-%d %H:%M:%S}", "allow_conflict": True}
    play: list[dict[str, str]] = [{"say": "Bản tin thời tiết."}, {"pause": "10m"}]
    (network.config / "broadcasts").mkdir()
    (network.config / "broadcasts" / "nen.yaml").write_text(yaml.safe_dump({"broadcasts": [{**what, "play": play}]}))
    occurrence = f"nen@{local:%Y-%m-%dT%H:%M:%S}".removesuffix(":00")

    async def all_play() -> bool:
        nodes = (await network.control(do="list"))["nodes"]
        return all(node["playing"] == occurrence for node in nodes.values())

    await network.until(all_play, within=180, every=1.0)


async def _round(network: Network, report: _Figures, name: str, **message: str) -> None:
    """Begin, wait until every node sounds, end, wait until every node is silent."""
    began = time.time()
    order = await network.post("emergency", to=["all"], by="bench", **message)
    report.handed[name].append((time.time() - began) * 1000)
    started = await _all(network, order["id"], "started_at")
    report.started[name] += [(at - began) * 1000 for at in started]
    await asyncio.sleep(2)  # what the beginning has stirred up, journals and pages, is over
    began = time.time()
    await network.post(f"emergency/{order['id']}/end", by="bench")
    report.silent += [(at - began) * 1000 for at in await _all(network, order["id"], "ended_at")]
    await asyncio.sleep(2)


async def _all(network: Network, id: str, what: str) -> list[float]:
    async def found() -> list[float]:
        nodes = (await network.get(f"emergency/{id}"))["nodes"]
        at = [datetime.fromisoformat(node[what]).timestamp() for node in nodes if node[what]]
        return at if len(at) == network.nodes else []

    return await network.until(found, within=60, every=0.5)


async def _command_line(network: Network, report: _Figures) -> None:
    words = [sys.executable, "-m", "controller.cli", "--config", str(network.config)]
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        *words, "emergency", "thu-nghiem", "--to", "all", "--json", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    told = json.loads(output)
    id = told["id"]
    report.ordered.append((datetime.fromisoformat(told["ordered_at"]).timestamp() - began) * 1000)
    report.typed += [(at - began) * 1000 for at in await _all(network, id, "started_at")]
    await network.post(f"emergency/{id}/end", by="bench")
    await _all(network, id, "ended_at")


class _Figures:
    def __init__(self) -> None:
        self.handed: dict[str, list[float]] = {"held": [], "text": []}
        self.started: dict[str, list[float]] = {"held": [], "text": []}
        self.silent: list[float] = []
        self.typed: list[float] = []
        self.ordered: list[float] = []

    def write(self, report: Report) -> None:
        report.add("nodes", NODES, "nodes")
        for name, values in self.started.items():
            quantiles(report, f"{name}_order_to_first_sample", values)
            if self.handed[name]:
                report.spread(f"{name}_order_answered", self.handed[name], "ms")
        quantiles(report, "command_line_to_first_sample", self.typed)
        quantiles(report, "command_line_to_order", self.ordered)
        quantiles(report, "end_to_silence", self.silent)


def quantiles(report: Report, name: str, values: Sequence[float]) -> None:
    if not values:
        return
    ordered = sorted(values)
    for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        report.add(f"{name}_{label}", ordered[max(0, math.ceil(share * len(ordered)) - 1)], "ms")


async def _measure(figures: _Figures) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        async with Large(Path(name), nodes=NODES, listen=0) as network:
            await _programme(network)
            for _ in range(ROUNDS):
                await _round(network, figures, "held", sound="thu-nghiem")
            for _ in range(TYPED):
                await _command_line(network, figures)
            for n in range(2):
                now = f"{datetime.now(UTC):%H:%M:%S}"
                await _round(
                    network, figures, "text", text=f"Thử nghiệm lần {n + 1}, lúc {now}. Bà con không cần làm gì."
                )


def main() -> None:
    report, figures = Report("emergency"), _Figures()
    try:
        asyncio.run(_measure(figures))
    finally:
        figures.write(report)
        report.write()


if __name__ == "__main__":
    main()
