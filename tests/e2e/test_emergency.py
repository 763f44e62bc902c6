"""An emergency on a real network: over a programme on air, until its end, and never after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import numpy as np
import pytest
import pytest_asyncio

from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import payload_of
from tests.e2e.hearing import RATE, decoded, heard, match, recorded_until
from tests.e2e.network import Json, Network, reachable

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

NODES = 8
LISTENED = "muong-min-01"
AWAY = "muong-min-02"
LATE = "muong-min-03"
PROGRAMME = (
    "Bản tin thời tiết. Đêm nay vùng núi có mưa vừa, mưa to, có nơi mưa rất to và dông. "
    "Đề phòng lũ quét và sạt lở đất trên các sườn dốc. Nhiệt độ thấp nhất từ mười bảy đến mười chín độ. "
    "Ngày mai trời nhiều mây, có mưa rải rác, trưa chiều giảm mây trời hửng nắng. Gió đông bắc cấp hai, cấp ba. "
    "Bà con cần theo dõi các bản tin tiếp theo để chủ động trong sản xuất và sinh hoạt."
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    folder = reachable(tmp_path_factory.mktemp("emergency"))
    async with Network(folder, nodes=NODES, listen=1) as network:
        yield network


async def test_it_starts_over_a_programme_which_goes_on_at_its_own_volume_and_who_was_away_stays_silent(
    network: Network,
) -> None:
    await network.until(lambda: _hold_sounds(network))
    programme, start = await network.queue("thoi-tiet", 6, PROGRAMME)
    await network.until(lambda: _play(network, programme, NODES))
    rendered = decoded(await network.asset(programme, LISTENED))

    await network.control(do="kill", node=LATE)
    # air time is the thing under test: two seconds of it are compared with what comes after the emergency
    await asyncio.sleep(max(0.0, (start - datetime.now(UTC)).total_seconds() + 3))
    order = await network.post("emergency", sound="thu-nghiem", to=["all"], by="hương")
    told = await network.until(lambda: _told(network, order["id"], sounding=NODES - 1), within=15)
    assert {node["node"] for node in told["nodes"] if node["state"] == "sounding"} >= {LISTENED, AWAY}
    assert max(node["after_ms"] for node in told["nodes"] if node["after_ms"] is not None) < 3000, "EN 54-16"
    page = await network.part("overview")
    assert "KHẨN CẤP" in page
    assert "DIỄN TẬP" not in page
    await network.control(do="kill", node=AWAY)
    await network.post(f"emergency/{order['id']}/end", by="đình")
    told = await network.until(lambda: _told(network, order["id"], ended=NODES - 2), within=15)
    silent = max(datetime.fromisoformat(node["ended_at"]) for node in told["nodes"] if node["ended_at"])
    assert (silent - datetime.fromisoformat(told["ended_at"])).total_seconds() < 3
    await network.until(lambda: _play(network, programme, NODES - 2))
    assert "KHẨN CẤP" not in await network.part("overview")

    for node in (AWAY, LATE):
        await network.control(do="start", node=node)
        await network.until(lambda node=node: _heard_from(network, node))  # type: ignore[misc]
    lines = [each for each in (await network.get(f"why/{programme}"))["nodes"] if each["node"] == LISTENED]
    assert [step["what"] for step in lines[0]["story"]].count("interrupted") == 1
    await network.until(lambda: _completed(network, programme, LISTENED), within=60)
    assert await _sounded(network, AWAY, order["id"]) == ["started"], "before it was switched off, and not again"
    assert await _sounded(network, LATE, order["id"]) == []

    story = await network.get(f"why/{order['id']}?node={LISTENED}")
    assert [step["what"] for step in story["nodes"][0]["story"]] == ["ordered", "sounding", "ended", "ended"]
    over = datetime.now(UTC)
    await network.until(lambda: _recorded(network, over))
    _assert_same_loudness(network, rendered, start)


def _assert_same_loudness(network: Network, rendered: np.ndarray, start: datetime) -> None:
    """The last five seconds of the programme, which came after the emergency, are as loud as its first two."""
    first, last = rendered[: 2 * RATE], rendered[-5 * RATE :]
    recording = heard(network.folder / "nodes" / LISTENED, start, len(rendered) / RATE + 30)
    gains = []
    for part in (first, last):
        found = match(part, recording)
        assert found.correlation > 0.9
        at = round((found.offset_ms / 1000 + 1.0) * RATE)
        gains.append(float(np.linalg.norm(recording[at : at + len(part)]) / np.linalg.norm(part)))
    assert gains[1] == pytest.approx(gains[0], rel=0.1)


async def _hold_sounds(network: Network) -> bool:
    """Every node has the common sounds on its own disk."""
    desired = await network.stored(lambda tx: tx.desired_of(LISTENED))
    if desired is None:
        return False
    sounds = payload_of(PlaylistsDoc, desired.document).settings.emergency_sounds
    folders = [each / "assets" for each in (network.folder / "nodes").iterdir() if not each.name.startswith(".")]
    held = [(folder / sound.sha256).exists() for folder in folders for sound in sounds]
    return len(folders) == NODES and len(sounds) >= 6 and all(held)


async def _play(network: Network, id: str, count: int) -> bool:
    nodes = (await network.control(do="list"))["nodes"]
    return sum(node["playing"] == id for node in nodes.values()) == count


async def _told(network: Network, id: str, **counts: int) -> Json | None:
    data: Json = await network.get(f"emergency/{id}")
    return data if all(data["counts"][state] == number for state, number in counts.items()) else None


async def _heard_from(network: Network, node: str) -> bool:
    listed = (await network.control(do="list", node=node))["nodes"][node]
    nodes = [each for one in (await network.get("nodes"))["communes"] for each in one["nodes"] if each["id"] == node]
    return bool(listed["connected"] and nodes[0]["state"] == "online" and listed["journal_backlog"] == 0)


async def _recorded(network: Network, until: datetime) -> bool:
    return recorded_until(network.folder / "nodes" / LISTENED) > until


async def _sounded(network: Network, node: str, id: str) -> list[str | None]:
    """What the node's journal says of an emergency, in order."""
    entries = await network.stored(lambda tx: tx.journal(node))
    return [entry.result for entry in reversed(entries) if entry.kind == "emergency" and entry.id == id]


async def _completed(network: Network, occurrence: str, node: str) -> bool:
    lines = (await network.get(f"why/{occurrence}?node={node}"))["nodes"]
    return bool(lines[0]["state"] == "completed")
