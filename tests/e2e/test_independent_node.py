"""A node of another make, written from the protocol's page alone, on the real network beside ours."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import paho.mqtt.publish
import pytest
import pytest_asyncio
from msgspec.structs import replace

from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import generate_key, payload_of, sign
from tests.e2e.network import PASSWORD, Json, Network, reachable

FOLDER = Path(__file__).parent.parent.parent / "simulators" / "independent"
ME = "muong-min-01"
INTRUDER = "_intruder"
STEPS = ("accepted", "ready", "sounding", "completed")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
    pytest.mark.skipif(
        shutil.which("node") is None or not (FOLDER / "node_modules").is_dir(),
        reason="Node.js 18 or the packages of simulators/independent are not installed: scripts/setup test",
    ),
]


class Stranger(Network):
    """The shipped district with one node, which is none of ours."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, nodes=1, intruders=(INTRUDER,))
        self.home = folder / "stranger"

    async def start_nodes(self) -> None:
        self.home.mkdir(exist_ok=True)
        enrolment = self.folder / "enrolments" / f"{ME}.json"
        await self._spawn("nodes", ["node", str(FOLDER / "node.mjs"), str(enrolment), str(self.home)])
        await self.until(self.online, within=60)

    async def online(self) -> bool:
        return bool((await self.get("status"))["nodes"]["online"] == 1)

    def said(self, id: str) -> list[Json]:
        """What it did with `id`, as the node itself wrote it down."""
        lines = [json.loads(line) for line in (self.home / "heard.jsonl").read_text().splitlines()]
        return [line for line in lines if line["id"] == id]

    async def line(self, occurrence: str) -> Json | None:
        story = await self.airing(occurrence)
        return next((one for one in story["nodes"] if one["node"] == ME), None) if story else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stranger]:
    folder = reachable(tmp_path_factory.mktemp("independent"))
    async with Stranger(folder) as network:
        yield network


async def test_it_plays_an_announcement_on_time_and_the_as_run_has_its_journal(network: Stranger) -> None:
    occurrence, start = await network.queue("hop-dan", 10, "Kính mời bà con đến họp tại nhà văn hóa.")
    line = await network.until(lambda: _reached(network, occurrence, "completed"), within=90)
    told = [step["what"] for step in line["story"]]
    assert [each for each in told if each in STEPS] == list(STEPS)
    assert line["heard"] == "unverified", "it has no amplifier to measure behind"
    began = next(each for each in network.said(occurrence) if each["what"] == "sounds")
    assert abs(datetime.fromisoformat(began["at"]) - start) < timedelta(seconds=1)


async def test_it_obeys_an_emergency_and_its_end(network: Stranger) -> None:
    await network.until(lambda: _holds_sounds(network), within=90)
    order = await network.post("emergency", sound="thu-nghiem", to=["all"], by="hương")
    await network.until(lambda: _emergency(network, order["id"], "sounding"), within=20)
    await network.post(f"emergency/{order['id']}/update", times=9, by="hương")  # begins anew, and is told anew
    await network.until(lambda: _begun(network, [1, 2]), within=20)
    await network.post(f"emergency/{order['id']}/end", by="đình")
    await network.until(lambda: _emergency(network, order["id"], "ended"), within=20)
    assert network.said(f"!{order['id']}")[0]["what"] == "sounds"
    _intrude(network, "loa/v1/zones/all/emergency", b"")  # as the controller does when no node can hold it any more
    await network.post(f"nodes/{ME}/selftest")
    await network.until(lambda: _tested(network))
    entries = await network.stored(lambda tx: tx.journal(ME))
    assert not [each for each in entries if each.result == "rejected"], "an empty payload is no forgery"


async def test_it_obeys_orders(network: Stranger) -> None:
    await network.post(f"nodes/{ME}/selftest")

    async def answered() -> bool:
        entries = await network.stored(lambda tx: tx.journal(ME))
        return {("selftest", "passed"), ("command", "done")} <= {(each.kind, str(each.result)) for each in entries}

    await network.until(answered)


async def test_killed_while_it_plays_it_says_so_and_never_plays_it_again(network: Stranger) -> None:
    occurrence, _ = await network.queue("mat-dien", 8, "Tin này bị ngắt giữa chừng. " * 8)
    await network.until(lambda: _reached(network, occurrence, "sounding"), within=60)
    await network.end("nodes", signal.SIGKILL)
    await network.start_nodes()
    line = await network.until(lambda: _reached(network, occurrence, "failed"), within=60)
    assert line["reason"] == "restart"
    assert [each["what"] for each in network.said(occurrence)] == ["sounds"]


async def test_it_refuses_what_a_stranger_signed_and_says_so(network: Stranger) -> None:
    desired = await network.stored(lambda tx: tx.desired_of(ME))
    assert desired is not None
    ours = payload_of(PlaylistsDoc, desired.document)
    forged = sign(replace(ours, rev=ours.rev + 100, playlists=()), generate_key())
    _intrude(network, f"loa/v1/dn/{ME}/playlists", forged)
    incident = await network.incident(ME, "security")
    assert incident["severity"] == "critical"

    async def refused() -> list[str | None]:
        entries = await network.stored(lambda tx: tx.journal(ME))
        return [each.reason for each in entries if (each.kind, each.result) == ("playlists", "rejected")]

    assert await network.until(refused) == ["unknown-key"]
    nodes = [each for one in (await network.get("nodes"))["communes"] for each in one["nodes"] if each["id"] == ME]
    assert nodes[0]["held"]["rev"] == ours.rev, "the last good state is kept"


def _intrude(network: Stranger, topic: str, payload: bytes) -> None:
    """Publish as one who has stolen the broker's password, but not the signing key."""
    paho.mqtt.publish.single(
        topic,
        payload,
        qos=1,
        hostname="127.0.0.1",
        port=network.broker_port,
        client_id=INTRUDER,
        auth={"username": INTRUDER, "password": PASSWORD},
    )


async def _reached(network: Stranger, occurrence: str, state: str) -> Json | None:
    line = await network.line(occurrence)
    return line if line and line["state"] == state else None


async def _emergency(network: Stranger, id: str, state: str) -> bool:
    return bool((await network.get(f"emergency/{id}"))["counts"][state] >= 1)


async def _begun(network: Stranger, revisions: list[int]) -> bool:
    told = await network.stored(lambda tx: tx.journal(ME))
    begun = [each.rev or 0 for each in told if (each.kind, each.result) == ("emergency", "started")]
    return sorted(begun) == revisions


async def _tested(network: Stranger) -> bool:
    return "selftest" in {each.kind for each in await network.stored(lambda tx: tx.journal(ME))}


async def _holds_sounds(network: Stranger) -> bool:
    desired = await network.stored(lambda tx: tx.desired_of(ME))
    sounds = payload_of(PlaylistsDoc, desired.document).settings.emergency_sounds if desired else ()
    return len(sounds) >= 6 and all((network.home / "assets" / each.sha256).exists() for each in sounds)
