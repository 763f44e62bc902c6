"""The JSON API as programs meet it, over ASGI, on a real store."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from controller.ports import StoreError
from tests.district import TOKEN, District
from tests.pictures import picture

ORDERS = {
    "/api/say": {"text": "Chào bà con", "to": ["na-meo"]},
    "/api/play": {"path": "/audio/nhac.mp3", "to": ["na-meo"]},
    "/api/stop": {"to": ["all"]},
    "/api/volume": {"volume": 60, "to": ["all"]},
    "/api/emergency": {"sound": "lu-quet", "to": ["na-meo"]},
    "/api/emergency/lu-quet@1/update": {"volume": 80},
    "/api/emergency/lu-quet@1/end": {},
    "/api/incidents/1/ack": {"by": "Thịnh"},
    "/api/incidents/1/begin": {"by": "Thịnh"},
    "/api/incidents/1/repaired": {"by": "Thịnh", "note": "thay mô-đun"},
    "/api/incidents/1/note": {"by": "Thịnh", "note": "cần thang"},
    "/api/incidents/1/assign": {"by": "Thịnh", "to": "lan"},
    "/api/incidents/1/photos": {},
    "/api/nodes/na-meo-01/selftest": None,
    "/api/epoch": {},
    "/api/reload": None,
}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


# --- who may ask --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ORDERS)
@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ÿ"]
)
async def test_nobody_makes_the_horns_speak_without_the_token(
    web: httpx.AsyncClient, place: District, path: str, given: str
) -> None:
    await place.broken("na-meo-03")
    headers = {"Authorization": given.encode("latin-1")} if given else {}
    answer = await web.post(path, json=ORDERS[path], headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"error": "this needs the controller's token"}
    assert place.orders.given == []
    assert place.emergencies.given == []
    assert place.dispatch.ordered == []
    [incident] = (await web.get("/api/incidents")).json()["incidents"]
    assert incident["state"] == "open"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[", "localhost.x"]
)
async def test_a_rebound_name_is_refused_before_anything_is_read(web: httpx.AsyncClient, host: str) -> None:
    answer = await web.get("/api/status", headers={"Host": host})
    assert answer.status_code == 421
    assert "site" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9999", "[::1]:8080", "192.168.1.20", "LOCALHOST"])
async def test_addresses_and_our_own_names_are_answered(web: httpx.AsyncClient, host: str) -> None:
    assert (await web.get("/api/status", headers={"Host": host})).status_code == 200


async def test_an_error_names_itself_in_json_with_its_status(web: httpx.AsyncClient) -> None:
    for path, status in {"/api/nothing": 404, "/api/log?date=gestern": 422, "/api/why/none": 404}.items():
        answer = await web.get(path)
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]
    assert (await web.get("/api/say")).status_code == 405


# --- reading ------------------------------------------------------------------------------------------------


async def test_status_says_whether_the_broker_is_there(web: httpx.AsyncClient, place: District) -> None:
    assert (await web.get("/api/status")).json()["broker"] == {"connected": True}
    place.bus.down()
    assert (await web.get("/api/status")).json()["broker"] == {"connected": False}


async def test_the_reading_endpoints_give_what_reporting_gives(web: httpx.AsyncClient, place: District) -> None:
    await place.heard_from()
    await place.planned("ban-tin@2026-11-23T08:00", "Bản tin", start=-30)
    await place.broken("na-meo-03")
    report = place.reporting
    assert (await web.get("/api/nodes")).json() == await report.nodes()
    assert (await web.get("/api/communes")).json() == await report.communes()
    assert (await web.get("/api/incidents?all=1")).json() == await report.incidents(all=True)
    assert (await web.get("/api/air")).json() == await report.air()
    today = (await web.get("/api/log")).json()
    assert today["date"] == "2026-11-23"
    assert [row["title"] for row in today["occurrences"]] == ["Bản tin"]
    why = (await web.get("/api/why/ban-tin@2026-11-23T08:00?node=na-meo-01")).json()
    assert [each["node"] for each in why["nodes"]] == ["na-meo-01"]


async def test_nodes_come_a_page_at_a_time_and_can_be_looked_for(web: httpx.AsyncClient, place: District) -> None:
    await place.heard_from()
    await place.broken("na-meo-03")
    seen, offset = list[str](), 0
    while offset is not None:
        page = (await web.get(f"/api/nodes?limit=7&offset={offset}")).json()
        seen += [node["id"] for commune in page["communes"] for node in commune["nodes"]]
        offset = page["next"]
    assert seen == list(place.settings.nodes)
    (commune,) = (await web.get("/api/nodes?q=na+meo&state=trouble")).json()["communes"]
    assert (commune["counts"]["total"], [node["id"] for node in commune["nodes"]]) == (5, ["na-meo-03"])
    for wrong in ("state=broken", "limit=5000", "offset=-1"):
        assert (await web.get(f"/api/nodes?{wrong}")).status_code == 422


async def test_an_unknown_occurrence_is_404_with_a_suggestion(web: httpx.AsyncClient, place: District) -> None:
    await place.planned("ban-tin@2026-11-23T08:00", "Bản tin", start=-30)
    answer = await web.get("/api/why/ban-tin@2026-11-23T08:30")
    assert answer.status_code == 404
    assert "did you mean ban-tin@2026-11-23T08:00" in answer.json()["error"]


# --- ordering -----------------------------------------------------------------------------------------------


async def test_orders_arrive_as_they_were_given(web: httpx.AsyncClient, place: District) -> None:
    say = {"text": "Chào bà con", "to": ["na-meo"], "voice": "vi", "volume": 80, "by": "hương"}
    assert (await web.post("/api/say", json=say, headers=BEARER)).json()["occurrence"] == "now-1"
    await web.post("/api/play", json={"path": "/a.mp3", "to": ["all"]}, headers=BEARER)
    await web.post("/api/stop", json={"to": ["all"], "by": "hương"}, headers=BEARER)
    assert place.orders.given == [
        ("say", "Chào bà con", ("na-meo",), "vi", 80, "hương"),
        ("play", "/a.mp3", ("all",), None, "api"),
        ("stop", ("all",), "hương"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"text": "x"},
        {"text": "", "to": ["all"]},
        {"text": "x", "to": []},
        {"text": "x", "to": "all"},
        {"text": "x", "to": ["all"], "volume": 101},
        {"text": "x", "to": ["all"], "volum": 50},
        {"text": "x" * 5001, "to": ["all"]},
        [],
        "say",
    ],
)
async def test_an_order_with_a_mistake_is_refused_and_says_where(
    web: httpx.AsyncClient, place: District, body: Any
) -> None:
    answer = await web.post("/api/say", json=body, headers=BEARER)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert place.orders.given == []


async def test_a_huge_body_is_cut_off_not_read(web: httpx.AsyncClient, place: District) -> None:
    answer = await web.post("/api/say", content=b" " * 70_000, headers={**BEARER, "Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_what_cannot_be_aired_is_422_with_the_reason(web: httpx.AsyncClient, place: District) -> None:
    place.orders.refuse = "unknown commune, zone or node 'na-meoo'"
    answer = await web.post("/api/say", json=ORDERS["/api/say"], headers=BEARER)
    assert answer.status_code == 422
    assert answer.json() == {"error": "unknown commune, zone or node 'na-meoo'"}


async def test_acknowledging_says_who_took_it(web: httpx.AsyncClient, place: District) -> None:
    incident = await place.broken("na-meo-03")
    answer = await web.post(f"/api/incidents/{incident.id}/ack", json={"by": "Hà Thịnh"}, headers=BEARER)
    said = answer.json()
    assert (said["ok"], said["id"], said["state"]) == (True, incident.id, "acknowledged")
    assert (said["acknowledged_by"], said["work_order"]["state"]) == ("Hà Thịnh", "accepted")


async def test_an_incident_that_is_not_there_is_404_and_a_closed_one_409(
    web: httpx.AsyncClient, place: District
) -> None:
    assert (await web.post("/api/incidents/9/ack", json={}, headers=BEARER)).status_code == 404
    incident = await place.broken("na-meo-03")
    await place.closed(incident)
    answer = await web.post(f"/api/incidents/{incident.id}/repaired", json={"by": "x"}, headers=BEARER)
    assert answer.status_code == 409
    assert "closed" in answer.json()["error"]


async def test_a_selftest_that_does_not_reach_the_node_says_why(web: httpx.AsyncClient, place: District) -> None:
    assert (await web.post("/api/nodes/na-meo-01/selftest", headers=BEARER)).json()["ok"] is True
    place.dispatch.refuse = "nobody is subscribed"
    answer = await web.post("/api/nodes/na-meo-01/selftest", headers=BEARER)
    assert (answer.status_code, answer.json()) == (503, {"error": "nobody is subscribed"})
    assert (await web.post("/api/nodes/ghost/selftest", headers=BEARER)).status_code == 404
    assert place.dispatch.ordered == [("na-meo-01", "selftest")] * 2


async def test_a_refused_configuration_answers_with_all_its_problems(web: httpx.AsyncClient, place: District) -> None:
    assert (await web.post("/api/reload", headers=BEARER)).json()["difference"]["added"] == []
    place.scheduling.refuse = ("config/a.yaml:1:1: one", "config/a.yaml:2:1: two")
    answer = await web.post("/api/reload", headers=BEARER)
    assert answer.status_code == 422
    assert answer.json()["error"].splitlines() == ["config/a.yaml:1:1: one", "config/a.yaml:2:1: two"]


# --- watching -----------------------------------------------------------------------------------------------


async def test_health_is_503_with_the_reason_while_the_broker_is_away(web: httpx.AsyncClient, place: District) -> None:
    assert (await web.get("/health")).json() == {"ok": True, "reasons": [], "standby": False, "warnings": []}
    place.bus.down()
    assert (await web.get("/health")).status_code == 200, "a moment without a broker is none of its business"
    await place.clock.advance(61)
    answer = await web.get("/health")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [{"code": "broker", "text": "broker: not connected for 61 s"}]


async def test_a_bad_configuration_warns_but_is_no_reason_to_restart(web: httpx.AsyncClient, place: District) -> None:
    place.scheduling.problems = ("config/a.yaml:1:1: wrong",)
    answer = await web.get("/health")
    assert answer.status_code == 200
    assert answer.json()["warnings"] == ["configuration: config/a.yaml:1:1: wrong"]


async def test_a_database_that_is_gone_is_503_everywhere_and_says_so(web: httpx.AsyncClient, place: District) -> None:
    await place.store.close()
    answer = await web.get("/health")
    assert answer.status_code == 503
    assert answer.json()["reasons"][0]["code"] == "database"
    with pytest.raises(StoreError):
        await place.reporting.status()
    page = await web.get("/api/status")
    assert page.status_code == 503
    assert page.json()["error"].startswith("database: ")


async def test_metrics_are_the_figures_of_the_moment(web: httpx.AsyncClient, place: District) -> None:
    await place.heard_from()
    await place.broken("na-meo-03")
    place.intake.counters["heartbeat undecodable"] = 3
    text = (await web.get("/metrics")).text
    assert 'loa_nodes{state="online"} 60.0' in text
    assert 'loa_incidents_open{severity="critical"} 1.0' in text
    assert 'loa_intake_total{what="heartbeat undecodable"} 3.0' in text
    assert "loa_broker_connected 1.0" in text
    assert (await web.get("/metrics")).text == text


# --- work orders --------------------------------------------------------------------------------------------

PNG = picture("PNG")


async def test_an_order_goes_its_way_over_the_api(web: httpx.AsyncClient, place: District) -> None:
    incident = await place.broken("na-meo-03")
    for step, state in {"ack": "accepted", "begin": "in-repair", "repaired": "repaired"}.items():
        path = f"/api/incidents/{incident.id}/{step}"
        answer = await web.post(path, json={"by": "lan", "note": step}, headers=BEARER)
        assert answer.json()["work_order"]["state"] == state
    assert (await web.get("/api/orders?person=lan")).json()["orders"][0]["id"] == incident.id
    assert (await web.get("/api/orders?person=nobody")).json()["orders"] == []
    assert (await web.get("/api/orders?overdue=1")).json()["orders"] == [], "it is being measured: nobody is late"
    one = (await web.get(f"/api/orders/{incident.id}")).json()
    assert [(each["reason"], each["by"]) for each in one["history"][-3:]] == [
        ("ack", "lan"),
        ("begin", "lan"),
        ("repaired", "lan"),
    ]


async def test_a_picture_is_taken_for_what_its_bytes_are_and_shown_to_nobody_else(
    web: httpx.AsyncClient, place: District
) -> None:
    incident, other = await place.broken("na-meo-03"), await place.broken("na-meo-04")
    path = f"/api/incidents/{incident.id}/photos"
    answer = await web.post(f"{path}?by=lan", content=PNG, headers={**BEARER, "Content-Type": "text/html"})
    [photo] = answer.json()["photos"]
    shown = await web.get(f"{path}/{photo['sha256']}", headers=BEARER)
    assert (photo["type"], photo["size"], photo["by"]) == ("image/png", len(shown.content), "lan")
    assert (shown.content[:4], shown.headers["content-type"]) == (PNG[:4], "image/png")
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert (await web.get(f"{path}/{photo['sha256']}")).status_code == 401
    elsewhere = f"/api/incidents/{other.id}/photos/{photo['sha256']}"
    assert (await web.get(elsewhere, headers=BEARER)).status_code == 404


async def test_what_is_no_picture_or_one_too_many_is_refused(web: httpx.AsyncClient, place: District) -> None:
    incident = await place.broken("na-meo-03")
    path = f"/api/incidents/{incident.id}/photos"
    answer = await web.post(path, content=b"<script>", headers={**BEARER, "Content-Type": "image/png"})
    assert (answer.status_code, "no picture" in answer.json()["error"]) == (409, True)
    assert (await web.post(path, content=PNG + bytes(11_000_000), headers=BEARER)).status_code == 413
    for n in range(12):
        assert (await web.post(path, content=picture("PNG", n), headers=BEARER)).status_code == 200
    assert (await web.post(path, content=picture("PNG", 13), headers=BEARER)).status_code == 409
    assert (await web.post(path, content=picture("PNG", 3), headers=BEARER)).status_code == 200, "it has that one"


async def test_an_order_is_given_to_people_that_there_are(web: httpx.AsyncClient, place: District) -> None:
    incident = await place.broken("na-meo-03")
    answer = await web.post(f"/api/incidents/{incident.id}/assign", json={"to": "lan"}, headers=BEARER)
    assert answer.status_code == 409
    assert "nobody in alerts.yaml is called 'lan'" in answer.json()["error"]
