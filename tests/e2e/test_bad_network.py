"""Nodes behind cables of their own, in network namespaces: one loses and delays, the other is cut."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from tests.e2e.network import Json, Network, reachable
from tests.e2e.wire import Weather, Wire, missing

POOR = ("muong-min-01", "muong-min-02")
REMOTE = ("na-meo-01", "na-meo-02")
REASON = missing()

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(REASON), reason=REASON),
]


class Wired(Network):
    """The shipped district with two pairs of nodes, each pair behind a cable."""

    def __init__(self, folder: Path) -> None:
        self.centre = f"10.213.{os.getpid() % 250}.1"
        super().__init__(folder, nodes=4, listen=0, host=self.centre)
        place = self.centre.removesuffix(".1")
        self.poor = Wire(f"lp{os.getpid() % 10000}", inside=f"{place}.11", centre=self.centre, seed=1)
        self.remote = Wire(f"lr{os.getpid() % 10000}", inside=f"{place}.12", centre=self.centre, seed=2)
        self._cables = ExitStack()

    async def __aenter__(self) -> Network:
        subprocess.run(["ip", "addr", "add", f"{self.centre}/32", "dev", "lo"], check=True)
        self._cables.callback(subprocess.run, ["ip", "addr", "del", f"{self.centre}/32", "dev", "lo"], check=False)
        self._cables.enter_context(self.poor)
        self._cables.enter_context(self.remote)
        return await super().__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        await self.end("remote", signal.SIGTERM)
        await super().__aexit__(*exc)
        self._cables.close()

    def _configure(self) -> None:
        super()._configure()
        path = self.config / "site.yaml"
        site = yaml.safe_load(path.read_text())
        site["heartbeat"] = "5s"
        path.write_text(yaml.safe_dump(site, allow_unicode=True))

    async def start_nodes(self) -> None:
        await self._fleet("nodes", self.poor, POOR)
        await self._fleet("remote", self.remote, REMOTE)

        async def online() -> bool:
            return bool((await self.get("status"))["nodes"]["online"] == 4)

        await self.until(online, within=90)

    async def _fleet(self, name: str, wire: Wire, nodes: tuple[str, ...]) -> None:
        files = self.folder / f"enrolments-{name}"
        files.mkdir()
        for node in nodes:
            (files / f"{node}.json").write_text((self.folder / "enrolments" / f"{node}.json").read_text())
        command = [sys.executable, "-m", "simulators", "--enrolments", str(files)]
        command += ["--folder", str(self.folder / f"of-{name}"), "--control", str(self.folder / f"ctl-{name}")]
        await self._spawn(name, wire.command(command))

    async def started(self) -> dict[str, dict[str, datetime]]:
        """When the nodes behind the poor cable began what."""
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "ctl-nodes"), limit=2**20)
        writer.write(b'{"do": "list"}\n')
        nodes = json.loads(await reader.readline())["nodes"]
        writer.close()
        return {
            id: {what: datetime.fromisoformat(at) for what, at in node["started"].items()} for id, node in nodes.items()
        }

    async def states(self, nodes: tuple[str, ...]) -> set[str]:
        communes = (await self.get("nodes"))["communes"]
        return {each["state"] for commune in communes for each in commune["nodes"] if each["id"] in nodes}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Wired]:
    folder = reachable(tmp_path_factory.mktemp("wired"))
    async with Wired(folder) as network:
        assert isinstance(network, Wired)
        yield network


async def test_on_time_through_loss_and_delay_and_back_by_itself_after_a_cut(network: Wired) -> None:
    """Both cables at once, because each takes its time."""
    network.poor.weather = Weather(loss=0.2, delay_s=0.3)
    await asyncio.gather(_heard_on_time(network), _cut_and_mended(network))
    assert network.poor.lost > 0, "a cable that lost nothing proves nothing"


async def _heard_on_time(network: Wired) -> None:
    occurrence, start = await network.queue("qua-song-yeu", 45, "Tin này đến nơi qua sóng yếu.")
    lines = await network.until(lambda: _completed(network, occurrence), within=120, every=0.5)
    assert {line["heard"] for line in lines} == {"heard"}
    began = await network.started()
    for node in POOR:
        assert abs(began[node][occurrence] - start) < timedelta(seconds=1), node


async def _completed(network: Wired, occurrence: str) -> list[Json]:
    story = await network.airing(occurrence)
    lines = [line for line in story["nodes"] if line["node"] in POOR] if story else []
    return lines if len(lines) == len(POOR) and all(line["state"] == "completed" for line in lines) else []


async def _cut_and_mended(network: Wired) -> None:
    network.remote.cut = True
    await network.until(lambda: _all(network, REMOTE, "offline"), within=90, every=0.5)
    network.remote.cut = False
    await network.until(lambda: _all(network, REMOTE, "online"), within=150, every=0.5)
    # waited for: where a fifth is lost each way, a connection stands still for half a minute now and then
    await network.until(lambda: _all(network, POOR, "online"), every=0.5)


async def _all(network: Wired, nodes: tuple[str, ...], state: str) -> bool:
    return await network.states(nodes) == {state}
