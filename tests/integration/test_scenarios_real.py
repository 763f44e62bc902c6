"""A scenario in real time: its steps reach the nodes in whichever process they are, and each is said once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.rehearsal import real, scenario

FILE = """\
story: A gust.
starts: 2026-09-07 19:50
lasts: 1m
network: {nodes: 4}
steps:
  - {at: 0s, battery: 6, to: x01}
  - {at: 0s, break: amp-hot, with: {celsius: 90}, to: [x01-01, x01-02]}
  - {at: 0s, acknowledge: {subject: x01-01, cause: amp-hot}}
  - {at: 0s, mend: everything, to: x01-02}
expect: {}
"""


class Process:
    """A control socket with some nodes."""

    def __init__(self, *nodes: str) -> None:
        self.nodes = nodes
        self.orders: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        answer: dict[str, Any] = {"ok": True}
        if order["do"] == "list":
            answer["nodes"] = {node: {"connected": True} for node in self.nodes}
        else:
            self.orders.append(order)
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


@asynccontextmanager
async def listening(folder: Path, **processes: Process) -> AsyncIterator[list[Path]]:
    servers = [await asyncio.start_unix_server(one.serve, str(folder / name)) for name, one in processes.items()]
    try:
        yield [folder / name for name in processes]
    finally:
        for server in servers:
            server.close()


async def test_steps_reach_every_process_and_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOA_LANG", "en")
    (tmp_path / "gust.yaml").write_text(FILE)
    gust = scenario.load(str(tmp_path / "gust.yaml"))
    one, two = Process("x01-01", "x01-03"), Process("x01-02", "x01-04")
    said: list[str] = []
    told: list[tuple[str, ...]] = []
    async with listening(tmp_path, one=one, two=two) as controls:
        homes = await real.everybody_there(controls, 4)
        await real.perform(gust, homes, lambda *words: told.append(words), said.append)
    assert said == [
        "0:00:00  battery 6 Wh: x01",
        "0:00:00  break amp-hot: x01-01, x01-02",
        "0:00:00  acknowledge amp-hot: x01-01 (kt-x01)",
        "0:00:00  mend everything: x01-02",
    ]
    assert told == [("x01-01", "amp-hot", "ack", "kt-x01")]
    assert [(order["do"], order["node"]) for order in one.orders] == [
        ("battery", "x01-01"),
        ("battery", "x01-03"),
        ("inject", "x01-01"),
    ]
    assert one.orders[-1] == {"do": "inject", "node": "x01-01", "fault": "amp-hot", "celsius": 90}
    assert two.orders[-1] == {"do": "mend", "node": "x01-02"}
