"""What receiving costs: heartbeats fully evaluated per second and core, beside bare reception of the same messages.

Real Mosquitto; a firehose in a process of its own; each receiver in a process of its own, whose processor time from the
first message to the last is what counts, so that a busy machine shifts little. In turns, so that all see the same
machine: paho with an empty callback (its own loop), aiomqtt, `mosquitto_sub` if it is installed, our connection alone,
and the whole intake: decoding, liveness, every rule of the shipped configuration. Then 100,000 nodes at one heartbeat
in 30 s, in one process.

LOA_BENCH_NODES, LOA_BENCH_MESSAGES, LOA_BENCH_ROUNDS, LOA_BENCH_FLEET, LOA_BENCH_SECONDS say how much of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.firehose import payloads
from benchmarks.reception import PASSWORD, UP
from benchmarks.report import Report
from controller.adapters.broker import CONTROLLER, Broker
from controller.adapters.credentials import hash_password

NODES = int(os.environ.get("LOA_BENCH_NODES", "1000"))
MESSAGES = int(os.environ.get("LOA_BENCH_MESSAGES", "60000"))
ROUNDS = int(os.environ.get("LOA_BENCH_ROUNDS", "3"))
FLEET = int(os.environ.get("LOA_BENCH_FLEET", "100000"))
SECONDS = float(os.environ.get("LOA_BENCH_SECONDS", "60"))
INTERVAL_S = 30
FIREHOSE = "_firehose"
KINDS = ("paho-311", "paho-5", "aiomqtt", "mosquitto_sub", "bus", "intake")
TITLES: Mapping[str, str] = {
    "paho-311": "paho_mqtt311_empty_callback",
    "paho-5": "paho_mqtt5_empty_callback",
    "aiomqtt": "aiomqtt_empty_loop",
    "mosquitto_sub": "mosquitto_sub_to_nowhere",
    "bus": "our_connection_alone",
    "intake": "fully_evaluated",
}


def _module(name: str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit(f"{process.args} ended without a word")
    return line


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _receive(kind: str, port: int) -> float:
    """Messages per second and core."""
    rounds = MESSAGES // NODES
    if kind == "mosquitto_sub":
        return _mosquitto_sub(port, rounds)
    source = _module("firehose", port, FIREHOSE, PASSWORD, NODES, rounds, 0)
    receiver = _module("reception", kind, port, NODES, NODES * rounds)
    try:
        assert _line(source) == "ready"
        assert _line(receiver) == "ready"
        _say(source)
        told = json.loads(_line(receiver))
    finally:
        _end(source, receiver)
    return float(told["messages"] / told["cpu_s"])


def _mosquitto_sub(port: int, rounds: int) -> float:
    source = _module("firehose", port, FIREHOSE, PASSWORD, NODES, rounds, 0)
    words = ["-p", port, "-u", CONTROLLER, "-P", PASSWORD, "-i", CONTROLLER, "-V", 5, "-t", UP, "-C", NODES * rounds]
    try:
        assert _line(source) == "ready"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        receiver = subprocess.Popen(["mosquitto_sub", *map(str, words)], stdout=subprocess.DEVNULL)
        asyncio.run(asyncio.sleep(0.5))  # it says nothing when it has subscribed
        _say(source)
        receiver.wait(60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    finally:
        _end(source)
    return NODES * rounds / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _steady(port: int) -> dict[str, Any]:
    """The fleet at its usual pace, once everybody has been heard."""
    receiver = _module("reception", "intake", port, FLEET, 0)
    rounds = 1 + int(SECONDS // INTERVAL_S) + 1
    source = _module("firehose", port, FIREHOSE, PASSWORD, FLEET, rounds, FLEET / INTERVAL_S)
    lines: list[dict[str, Any]] = []
    try:
        assert _line(receiver) == "ready"
        assert _line(source) == "ready"
        _say(source)
        while sum(line["messages"] for line in lines) < FLEET:  # everybody's first is dearer
            lines.append(json.loads(_line(receiver)))
        first = max(line["cpu"] for line in lines)
        lines = [json.loads(_line(receiver)) for _ in range(int(SECONDS // 5))]
    finally:
        _end(source, receiver)
    seen = sum(line["messages"] for line in lines)
    return {
        "share": statistics.mean(line["cpu"] for line in lines),
        "most": max(line["cpu"] for line in lines),
        "first": first,
        "rate": seen / (5 * len(lines)),
        "rss_mb": max(line["rss_mb"] for line in lines),
    }


def _measure(report: Report, port: int) -> None:
    found: dict[str, list[float]] = defaultdict(list)
    kinds = [kind for kind in KINDS if kind != "mosquitto_sub" or shutil.which(kind)]
    for _ in range(ROUNDS):
        for kind in kinds:
            found[kind].append(_receive(kind, port))
    report.add("bytes_per_heartbeat", len(payloads()[0]), "bytes")
    for kind in kinds:
        report.spread(TITLES[kind], found[kind], "/s and core")
    for kind in ("paho-311", "paho-5"):
        ratio = statistics.median(found["intake"]) / statistics.median(found[kind])
        report.add(f"evaluated_to_{TITLES[kind]}", ratio, "")
    if FLEET:
        steady = _steady(port)
        report.add("fleet_nodes", FLEET, "nodes")
        report.add("fleet_rate", steady["rate"], "/s")
        report.add("fleet_core_share", 100 * steady["share"], "%")
        report.add("fleet_core_share_worst_5s", 100 * steady["most"], "%")
        report.add("fleet_core_share_first_heartbeats_worst_5s", 100 * steady["first"], "%")
        report.add("fleet_memory", steady["rss_mb"], "MB")


async def _with_broker(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-bench-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # the broker, which gives up root's rights, must reach its part
        broker = Broker(Path(name) / "broker", root="loa/v1", controllers=(CONTROLLER, FIREHOSE))
        await broker.start(dict.fromkeys((CONTROLLER, FIREHOSE), hash_password(PASSWORD)))
        try:
            await asyncio.to_thread(_measure, report, broker.port)
        finally:
            await broker.stop()


def main() -> None:
    report = Report("intake")
    asyncio.run(_with_broker(report))
    report.write()


if __name__ == "__main__":
    main()
