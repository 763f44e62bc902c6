"""From a fault to the page and to people: how long it takes, and that it neither storms nor stops.

In real time: Mosquitto, a controller over 1,000 nodes that send heartbeats, somebody with the page open
(benchmarks/onlooker.py), a mail server and a webhook. Nodes report a critical fault of their own
(`up/NODE/fault/CODE`, no hold) at random instants, one a second: faster, on two cores, they would wait for each other.
On the page: the incident stands in what the page asked for after its event stream told it to. Told: the receiver has
taken the whole message, the shipped wait for a common cause (15 s) included. Every commune has a technician of its
own, so that the limit of messages a person gets plays no part; what was seen and told recovers.

By the clock port, over SQLite, with the shipped waits (15 s, 30 s): faults at 1,000 nodes; a channel that is down for
a day; nodes whose report, mains or connection come and go every 30 s for a day. In real time again: webhooks beside a
mail server that hangs and beside one that does not, in turns.

LOA_BENCH_NODES, LOA_BENCH_TRIALS (in real time: 60, in full 200), LOA_BENCH_CLOCK_TRIALS (800, in full 10,000) say how
much of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks import alerts_by_clock, firehose
from benchmarks.onlooker import Onlooker, stop
from benchmarks.report import Report, add_quantiles, size
from controller.adapters.broker import CONTROLLER
from controller.adapters.credentials import hash_password
from controller.demo.receivers import Alert
from controller.wire.messages import FaultReport, encode
from controller.wire.topics import Topics
from tests.e2e.network import PASSWORD, Network

NODES = size("NODES", 1000, 1000)
TRIALS = size("TRIALS", 60, 200)
CLOCK_TRIALS = size("CLOCK_TRIALS", 800, 10_000)
EACH = 5
"""Nodes of a commune."""
BETWEEN_S = 1.0
INTERVAL_S = 10.0
CODE = "emergency-sound"
VOICE = "_bench"
CHANNELS = ("webhook", "smtp")
NAME = re.compile(r"\bc\d{3}-\d\b")


class Quiet(Network):
    """Only controller, broker and receivers: one connection speaks for all nodes."""

    def __init__(self, folder: Path, nodes: int, host: str = "127.0.0.1") -> None:
        super().__init__(folder, nodes=nodes, intruders=(VOICE,), host=host)
        self.names = [f"c{n // EACH:03d}-{n % EACH}" for n in range(nodes)]
        self.told: dict[str, dict[str, float]] = {channel: {} for channel in CHANNELS}
        """When each channel's first message about a node had arrived, by `time.monotonic`."""

    def _take(self, alert: Alert) -> None:
        for node in NAME.findall(alert.subject + alert.body):
            self.told[alert.channel].setdefault(node, time.monotonic())

    async def start_broker(self) -> None:
        await self._broker.start(dict.fromkeys((CONTROLLER, VOICE), hash_password(PASSWORD)))

    async def start_controller(self) -> None:
        await self._spawn("controller", self._loa("run"))

        async def answers() -> bool:
            return bool((await self.get("status"))["broker"]["connected"])

        await self.until(answers, within=120, every=0.3)

    async def start_nodes(self) -> None:
        """None: see Voices."""

    async def _run(self, *words: str) -> None:
        """No enrolments: one connection that may say anything speaks for all."""

    def _configure(self) -> None:
        super()._configure()
        communes = sorted({name.partition("-")[0] for name in self.names})
        nodes = [{"id": name, "name": name, "commune": name.partition("-")[0]} for name in self.names]
        self._write("nodes.yaml", {"communes": [{"id": id, "name": id} for id in communes], "nodes": nodes})
        daily = {"id": "gio", "title": "Báo giờ", "to": ["all"], "at": "05:30", "play": [{"chime": "open"}]}
        self._write("broadcasts.yaml", {"broadcasts": [daily]})
        shipped = yaml.safe_load((self.config / "alerts.yaml").read_text())
        web, relay = shipped["people"][0]["channels"][0]["webhook"].rpartition("/")[0], "district.example"
        people = [
            {
                "id": f"of-{id}",
                "name": id,
                "language": "vi",
                "communes": [id],
                "channels": [{"webhook": f"{web}/of-{id}"}],
                "also": [{"smtp": f"of-{id}@{relay}"}],
            }
            for id in communes
        ]
        kept = {name: shipped[name] for name in ("page_url", "smtp", "wait")}
        self._write("alerts.yaml", {**kept, "people": people})

    def _write(self, name: str, content: dict[str, Any]) -> None:
        (self.config / name).write_text(yaml.safe_dump(content, allow_unicode=True))


class Voices:
    """The heartbeats of `names`, spread over the interval, and what a test makes them say."""

    def __init__(self, network: Quiet, names: Sequence[str]) -> None:
        self._names = names
        self._topics = Topics()
        self._connection: socket.socket = firehose.connected(network.broker_port, VOICE, PASSWORD, network.host)
        self._shapes = firehose.payloads()
        self._seq = 0

    async def beat_for_ever(self) -> None:
        began, at_once = time.monotonic(), max(1, len(self._names) // 100)
        while True:
            for place in range(0, len(self._names), at_once):
                self._seq += 1
                due = began + self._seq * INTERVAL_S * at_once / len(self._names)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                said = b'"seq":%d' % self._seq
                shape = self._shapes[self._seq % len(self._shapes)].replace(b'"seq":0', said)
                self._send((self._topics.heartbeat(name), shape) for name in self._names[place : place + at_once])

    def all_beat(self) -> None:
        """Everybody at once, to be known."""
        self._seq += 1
        shape = self._shapes[0].replace(b'"seq":0', b'"seq":%d' % self._seq)
        self._send((self._topics.heartbeat(name), shape) for name in self._names)

    def report(self, node: str) -> float:
        """A fault of its own at this node, now; returns when."""
        report = FaultReport(CODE, "storage", datetime.now(UTC))
        began = time.monotonic()
        self._send([(self._fault(node), encode(report))])
        return began

    def recover(self, node: str) -> None:
        """Its fault is over."""
        self._send([(self._fault(node), b"")])

    def _fault(self, node: str) -> str:
        return f"{self._topics.root}/up/{node}/fault/{CODE}"

    def _send(self, messages: Any) -> None:
        self._connection.sendall(b"".join(firehose.publish(topic.encode(), body) for topic, body in messages))

    def close(self) -> None:
        self._connection.close()


async def _in_real_time(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        async with Quiet(Path(name), NODES) as network:
            voices, onlooker = Voices(network, network.names), Onlooker(network.page)
            voices.all_beat()
            work = asyncio.gather(voices.beat_for_ever(), onlooker.watch())
            await asyncio.wait_for(onlooker.news.wait(), 60)
            began = await _trials(network, voices, onlooker)
            await stop(work)
            voices.close()
            _tell(report, network, onlooker, began)


async def _trials(network: Quiet, voices: Voices, onlooker: Onlooker) -> dict[str, float]:
    """When each fault was said; each in another commune until all have had one. What was seen and told recovers, so
    that the page does not grow with the measurement."""
    rng = random.Random(1)
    communes = len(network.names) // EACH
    began: dict[str, float] = {}
    open_: set[str] = set()

    def mend() -> bool:
        known = onlooker.incidents.keys() & network.told["webhook"].keys() & network.told["smtp"].keys()
        for node in open_ & known:
            voices.recover(node)
            open_.discard(node)
        return not open_

    async def all_mended() -> bool:
        return mend()

    for n in range(min(TRIALS, len(network.names))):
        node = network.names[n % communes * EACH + n // communes]
        began[node] = voices.report(node)
        open_.add(node)
        await asyncio.sleep(rng.expovariate(1 / BETWEEN_S))
        mend()
    await network.until(all_mended, within=60, every=0.5)
    return began


def _tell(report: Report, network: Quiet, onlooker: Onlooker, began: dict[str, float]) -> None:
    report.add("real_time_nodes", len(network.names), "nodes")
    report.add("real_time_trials", len(began), "")
    add_quantiles(report, "to_the_page", [onlooker.incidents[node] - at for node, at in began.items()])
    for channel, told in network.told.items():
        add_quantiles(report, f"to_{channel}", [told[node] - at for node, at in began.items()])


def main() -> None:
    report = Report("alerts")
    alerts_by_clock.quiet_log()
    if TRIALS:
        asyncio.run(_in_real_time(report))
    alerts_by_clock.measure(report, NODES, CLOCK_TRIALS)
    report.write()


if __name__ == "__main__":
    main()
