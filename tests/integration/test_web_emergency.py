"""An emergency over HTTP and on the page, over the real controller as it is wired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from broadcasts.model import Say
from controller.domain.site import HeldSound, Settings
from controller.wire.messages import JournalEntry, encode
from tests.district import TOKEN
from tests.house import NEWS, network
from tests.integration.test_web_app import NODE, TOPICS, controller, settled

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def site() -> Settings:
    plain = network(NEWS)
    return replace(plain, site=replace(plain.site, emergency_sounds=(HeldSound("lu-quet", Say("Lũ quét!")),)))


async def post(web: httpx.AsyncClient, path: str, **body: Any) -> Any:
    answer = await web.post(f"/api/emergency{path}", json=body, headers=BEARER)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_emergency_shouts_on_the_page_until_its_end_and_is_in_the_log_afterwards() -> None:
    async with controller(site()) as (app, bus, web):
        await settled(app)
        assert "KHẨN CẤP" not in (await web.get("/part/overview")).text
        order = await post(web, "", sound="lu-quet", to=["na-meo"], by="<b>hương</b>")
        at = bus.clock.now()
        bus.feed(
            TOPICS.journal(NODE), encode(JournalEntry("l", 1, at, "emergency", id=order["id"], rev=1, result="started"))
        )
        await settled(app)
        page = (await web.get("/part/overview")).text
        assert 'class="emergency"' in page
        assert "KHẨN CẤP" in page
        assert "<b>hương</b>" not in page
        told = (await web.get(f"/api/emergency/{order['id']}")).json()
        assert {node["node"]: node["state"] for node in told["nodes"]} == {NODE: "sounding", "na-meo-02": "waiting"}
        await bus.clock.advance(11)
        told = (await web.get("/api/emergency")).json()["active"][0]
        assert told["counts"] == {"sounding": 1, "ended": 0, "refused": 0, "waiting": 0, "no-answer": 1}
        assert "na-meo-02" in (await web.get("/part/overview")).text, "who does not sound is named"

        await post(web, f"/{order['id']}/end")
        assert "KHẨN CẤP" not in (await web.get("/part/overview")).text
        logged = (await web.get("/api/log")).json()["occurrences"]
        line = next(each for each in logged if each["occurrence"] == order["id"])
        assert (line["title"], line["counts"]["sounding"], line["counts"]["unknown"]) == ("KHẨN CẤP: Lũ quét!", 1, 1)
        story = (await web.get(f"/api/why/{order['id']}?node={NODE}")).json()["nodes"][0]["story"]
        assert [step["what"] for step in story] == ["ordered", "sounding", "ended"]
        assert (await web.get("/api/emergency")).json()["recent"][0]["ended_by"] == "api"


async def test_a_drill_is_called_one_everywhere() -> None:
    async with controller(site()) as (app, _, web):
        await settled(app)
        order = await post(web, "", text="Nước lũ đang về.", to=["all"], drill=True)
        page = (await web.get("/part/overview?lang=en")).text
        assert "DIỄN TẬP" in page
        assert "KHẨN CẤP" not in page
        assert (await web.get(f"/api/why/{order['id']}")).json()["title"].startswith("DIỄN TẬP: ")


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("", {"text": "Chạy ngay", "to": ["na-meo-01"]}, 422, "one node"),
        ("", {"text": "Chạy ngay", "sound": "lu-quet", "to": ["all"]}, 422, "one of a text, a file"),
        ("", {"text": "Chạy ngay", "to": ["all"], "drlil": True}, 422, "drlil"),
        ("", {"path": "coi.mp3", "to": ["all"]}, 422, "absolute"),
        ("/none/end", {}, 404, "no emergency 'none'"),
        ("/none/update", {"volume": 50}, 404, "no emergency 'none'"),
    ],
)
async def test_what_cannot_be_ordered_says_why_and_nothing_sounds(
    path: str, body: dict[str, Any], status: int, why: str
) -> None:
    async with controller(site()) as (app, bus, web):
        await settled(app)
        answer = await web.post(f"/api/emergency{path}", json=body, headers=BEARER)
        assert (answer.status_code, why in answer.json()["error"]) == (status, True), answer.text
        assert [one for one in bus.published if "/zones/" in one.topic] == []


async def test_the_volume_of_what_sounds_is_ordered_of_every_node_and_no_louder_than_the_site_allows() -> None:
    async with controller(replace(site(), site=replace(site().site, volume_max=80))) as (app, bus, web):
        await settled(app)
        turned = await web.post("/api/volume", json={"volume": 60, "to": ["na-meo"]}, headers=BEARER)
        assert turned.json() == {"nodes": ["na-meo-01", "na-meo-02"], "volume": 60, "unreachable": {}}
        assert {one.topic for one in bus.published if one.topic.endswith("/command")} == {
            TOPICS.command("na-meo-01"),
            TOPICS.command("na-meo-02"),
        }
        loud = await web.post("/api/volume", json={"volume": 90, "to": ["na-meo"]}, headers=BEARER)
        assert (loud.status_code, "volume_max of 80" in loud.json()["error"]) == (422, True)
