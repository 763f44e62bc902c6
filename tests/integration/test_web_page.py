"""The page as HTML: what it says, in which language, and that nothing in it can be turned against its reader."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from datetime import time
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from broadcasts.model import Priority, Zone
from controller.domain.delivery import DeliveryState
from controller.domain.duty import Shift
from controller.domain.escalation import AlertSettings, Channel, Person
from controller.domain.faults import Text
from controller.domain.liveness import Liveness
from controller.domain.workorders import Step
from controller.web.i18n import WORDS, accepted, choose
from controller.web.pages import PARTS
from controller.web.server import STATIC, create
from tests.district import AMPLIFIER, TOKEN, District, district
from tests.pictures import picture

EVIL = "<img src=x onerror=alert(1)>\"'{{7*7}}"


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


async def everything_happens(place: District) -> None:
    await place.heard_from()
    await place.heard_from("son-lu-02", state=Liveness.SUSPECT)
    await place.planned("ban-tin@1", "Bản tin sáng", start=-4, state=DeliveryState.SOUNDING, to=["na-meo", "son-lu"])
    await place.planned("tiem@1", "Lịch tiêm chủng", start=60, to=["na-meo"], priority=Priority.PRIORITY)
    gone = await place.planned("huy@1", "Bị hủy", start=90)
    row = replace(gone, cancelled_at=place.now, reason="đổi lịch")
    await place.store.transact(lambda tx: tx.put_occurrences([row]))
    await place.planned("mai@1", "Ngày mai", start=20 * 60)
    await place.broken("na-meo-03")
    await place.powerless("trung-xuan")


# --- what it says -------------------------------------------------------------------------------------------


async def test_the_page_tells_the_whole_state_without_any_script(web: httpx.AsyncClient, place: District) -> None:
    await everything_happens(place)
    text = Tags((await web.get("/")).text).text
    for said in ("Bản tin sáng", "Lịch tiêm chủng", "Na Mèo 3", "Bộ khuếch đại không ra tiếng", "Mất liên lạc"):
        assert said in text
    for said in ("Thay mô-đun khuếch đại", "Mô-đun khuếch đại 60 W", "Hà Văn Thịnh", "Bị hủy", "đổi lịch"):
        assert said in text
    assert text.count("Đang phát:") == 10, "the ten nodes that sound say so"


async def test_a_quiet_district_says_so_instead_of_showing_nothing(web: httpx.AsyncClient) -> None:
    text = Tags((await web.get("/")).text).text
    assert "Không có sự cố nào đang mở." in text
    assert "Không có chương trình nào đang phát." in text
    assert "Không có chương trình nào trong 24 giờ tới." in text


async def test_a_district_without_nodes_has_a_page_too(web: httpx.AsyncClient, place: District) -> None:
    place.settings = replace(place.settings, nodes={}, zones={})
    place.reporting.reload(place.settings)
    assert "config/nodes.yaml" in (await web.get("/")).text


async def test_nodes_without_coordinates_are_listed_though_not_drawn(web: httpx.AsyncClient, place: District) -> None:
    nodes = {id: replace(node, lat=None, lon=None) for id, node in place.settings.nodes.items()}
    place.reporting.reload(replace(place.settings, nodes=nodes))
    html = (await web.get("/part/nodes")).text
    assert 'class="card map"' not in html
    assert 'id="node-na-meo-01"' in html


async def test_ten_thousand_nodes_are_a_small_page_with_all_communes_on_it(tmp_path: Path) -> None:
    one = next(iter(district().nodes.values()))
    nodes = {f"x-{n}": replace(one, id=f"x-{n}", name=f"Cụm {n}", commune=f"xa-{n // 100}") for n in range(10_000)}
    communes = {
        f"xa-{c}": Zone(f"xa-{c}", f"Xã {c}", tuple(f"x-{c * 100 + n}" for n in range(100)), is_commune=True)
        for c in range(100)
    }
    place = await District.opened(tmp_path)
    place.reporting.reload(replace(place.settings, nodes=nodes, zones=communes))
    place.settings = replace(place.settings, nodes=nodes, zones=communes)
    transport = httpx.ASGITransport(create(place, token=TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as web:
        first, last = (await web.get("/part/nodes")).text, (await web.get("/part/nodes?page=100")).text
        assert len(first.encode()) < 200_000
        assert (first.count('class="node '), 'id="node-x-99"' in first, 'id="node-x-9999"' in last) == (100, True, True)
        assert first.count('data-find=\'{"commune"') == 100
        assert "9901–10000 trong 10000 cụm loa" in Tags(last).text
        some = (await web.get("/part/nodes?q=cum+4242&state=unknown&commune=xa-42")).text
        assert (some.count('class="node '), 'id="node-x-4242"' in some) == (1, True)
        assert "Không có cụm loa nào như vậy." in (await web.get("/part/nodes?q=zzz&page=-1&state=x")).text
    await place.store.close()


async def test_one_node_in_full_names_what_is_not_measured_and_a_ghost_is_404(
    web: httpx.AsyncClient, place: District
) -> None:
    await place.heard_from()
    assert "Điện lưới" in Tags((await web.get("/node/na-meo-01")).text).text
    assert (await web.get("/node/ghost")).status_code == 404


async def test_the_page_says_who_is_told_of_each_commune_and_until_when(
    web: httpx.AsyncClient, place: District
) -> None:
    def person(id: str, *communes: str, technician: bool = True) -> Person:
        return Person(id, id.title(), "vi", (Channel("smtp", f"{id}@x"),), frozenset(communes), technician=technician)

    people = (person("hung", "na-meo", "son-lu"), person("lan"), person("tuan", technician=False))
    rota = {"district": (Shift(("tuan",), end=time(17)),), "manager": ()}
    place.reporting.reload(replace(place.settings, alerts=AlertSettings(people=people, on_call=rota)))
    text = squeezed(Tags((await web.get("/part/people")).text).text)
    assert "Na Mèo, Sơn Lư Hung Lan" in text
    assert "Trực huyện Tuan đến 17:00" in text
    assert "Quản lý trực không có ai" in text


async def test_a_picture_of_a_repair_is_on_its_card_and_only_there(web: httpx.AsyncClient, place: District) -> None:
    incident, other = await place.broken("na-meo-03"), await place.broken("na-meo-04")
    await place.workshop.act(incident.id, Step.ACCEPTED, "lan", photos=[picture(size=(1600, 800))])
    html = (await web.get("/part/incidents")).text
    sources = re.findall(r'src="(/incidents/\d+/photos/[0-9a-f]{64}\?small=1)"', html)
    assert len(sources) == 1
    small, whole = await web.get(sources[0]), await web.get(sources[0].partition("?")[0])
    assert (small.headers["content-type"], len(small.content) < len(whole.content)) == ("image/jpeg", True)
    assert (await web.get(sources[0].replace(f"/{incident.id}/", f"/{other.id}/"))).status_code == 404


async def test_an_overdue_repair_is_marked(web: httpx.AsyncClient, place: District) -> None:
    incident = await place.broken("na-meo-03", minutes_ago=5 * 60)
    await place.workshop.act(incident.id, Step.ACCEPTED, "lan")
    assert 'class="chip overdue">Quá hạn' in (await web.get("/part/incidents")).text


async def test_a_lost_broker_and_a_bad_configuration_are_banners(web: httpx.AsyncClient, place: District) -> None:
    assert 'role="alert"' not in (await web.get("/part/overview")).text
    place.bus.down()
    place.scheduling.problems = ("config/broadcasts.yaml:12:9: unknown zone 'na-meoo' (did you mean 'na-meo'?)",)
    text = Tags((await web.get("/part/overview")).text).text
    assert "Mất kết nối máy chủ MQTT" in text
    assert "config/broadcasts.yaml:12:9: unknown zone 'na-meoo' (did you mean 'na-meo'?)" in text


async def test_the_address_in_a_technicians_message_finds_its_incident(web: httpx.AsyncClient, place: District) -> None:
    incident = await place.broken("na-meo-03")
    assert f'id="incident-{incident.id}"' in (await web.get("/")).text


async def test_each_part_alone_is_what_the_page_shows(web: httpx.AsyncClient, place: District) -> None:
    await everything_happens(place)
    page = squeezed((await web.get("/")).text)
    for name in PARTS:
        assert squeezed((await web.get(f"/part/{name}")).text) in page, name
    assert (await web.get("/part/nothing")).status_code == 404


def squeezed(html: str) -> str:
    return " ".join(html.split())


async def test_what_an_incident_explains_is_told_inside_it_not_beside_it(
    web: httpx.AsyncClient, place: District
) -> None:
    cause = await place.powerless("trung-xuan")
    child = await place.broken("trung-xuan-01")
    await place.store.transact(lambda tx: tx.put_incident(replace(child, parent=cause.id)))
    html = (await web.get("/part/incidents")).text
    assert html.count("<article") == 1
    assert f'<li id="incident-{child.id}">' in html
    assert "Kéo theo 1 sự cố" in html
    await place.closed(cause)
    assert (
        f'<article class="card incident critical" id="incident-{child.id}">' in (await web.get("/part/incidents")).text
    )


async def test_a_page_over_4g_is_a_tenth_of_its_size(web: httpx.AsyncClient, place: District) -> None:
    await everything_happens(place)
    async with web.stream("GET", "/part/nodes") as answer:
        sent = sum([len(chunk) async for chunk in answer.aiter_raw()])
    plain = await web.get("/part/nodes", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert sent * 10 < len(plain.content)


async def test_no_part_asks_to_be_cached(web: httpx.AsyncClient) -> None:
    for path in ("/", *(f"/part/{name}" for name in PARTS)):
        assert (await web.get(path)).headers["cache-control"] == "no-store"


# --- in which language --------------------------------------------------------------------------------------


async def test_english_is_asked_for_kept_and_given_up_again(web: httpx.AsyncClient) -> None:
    assert '<html lang="vi">' in (await web.get("/")).text
    assert '<html lang="en">' in (await web.get("/?lang=en")).text
    assert '<html lang="en">' in (await web.get("/")).text
    assert '<html lang="vi">' in (await web.get("/?lang=vi")).text
    assert '<html lang="vi">' in (await web.get("/", headers={"Accept-Language": "en"})).text


async def test_the_whole_page_is_in_one_language(web: httpx.AsyncClient, place: District) -> None:
    await everything_happens(place)
    place.bus.down()
    english = Tags((await web.get("/?lang=en")).text).text
    for key, (vi, en) in WORDS.items():
        if "{" not in vi and len(vi) > 12 and vi != en:
            assert vi not in english, key
    assert "Amplifier gives no output" in english


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("en-GB,en;q=0.9", "en"),
        ("fr, en;q=0.4, vi;q=0.8", "vi"),
        ("vi-VN", "vi"),
        ("en;q=0", None),
        ("fr", None),
        ("", None),
        (";;,,q=", None),
        ("en;q=much", None),
    ],
)
def test_the_browsers_wish_is_understood(header: str, language: str | None) -> None:
    assert accepted(header) == language


def test_an_unknown_wish_falls_back_to_the_sites_language() -> None:
    assert choose("xx", "<script>", "fr", "en") == "en"
    assert choose(None, None, None, "fr") == "vi"


def test_every_text_is_there_in_both_languages_with_the_same_gaps() -> None:
    for key, (vi, en) in WORDS.items():
        assert vi, key
        assert en, key
        gaps = [sorted(name for _, name, _, _ in string.Formatter().parse(text) if name) for text in (vi, en)]
        assert gaps[0] == gaps[1], key


# --- nothing can be turned against its reader ---------------------------------------------------------------


async def test_names_from_outside_never_become_markup(web: httpx.AsyncClient, place: District) -> None:
    base = district()
    nodes = {id: replace(node, name=EVIL, hamlet=EVIL, pole=EVIL) for id, node in base.nodes.items()}
    zones = {id: replace(zone, name=EVIL) for id, zone in base.zones.items()}
    rule = replace(AMPLIFIER, title=Text(EVIL, EVIL), advice=Text(EVIL, EVIL), parts=Text(EVIL, EVIL))
    site = replace(base.site, name=EVIL)
    place.settings = replace(base, nodes=nodes, zones=zones, faults=(rule,), site=site)
    place.reporting.reload(place.settings)
    place.scheduling.problems = (EVIL,)
    await place.planned(f"{EVIL}@1", EVIL, start=-1, state=DeliveryState.SOUNDING)
    await place.planned(f"{EVIL}@2", EVIL, start=10)
    await place.broken("na-meo-03")
    for path in ("/", *(f"/part/{name}" for name in PARTS)):
        html = (await web.get(path)).text
        tags = Tags(html)
        assert not [tag for tag, _ in tags.found if tag == "img"], path
        assert not [attrs for _, attrs in tags.found if any(name.startswith("on") for name in attrs)], path
        assert "49" not in re.sub(r"\d{3,}", "", tags.text), "a template inside a name was run"
        assert EVIL in tags.text, path


async def test_nothing_is_loaded_from_anywhere_else_nor_inline(web: httpx.AsyncClient, place: District) -> None:
    await everything_happens(place)
    answer = await web.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    for tag, attributes in Tags(answer.text).found:
        assert "style" not in attributes, tag
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/static/")
        for name in ("src", "href", "action"):
            assert attributes.get(name, "/")[0] in "/#", (tag, attributes)


async def test_everything_the_page_loads_is_there(web: httpx.AsyncClient) -> None:
    page = Tags((await web.get("/")).text)
    wanted = [attributes.get("src") or attributes.get("href", "") for _, attributes in page.found]
    for path in {path for path in wanted if path.startswith("/static/")}:
        answer = await web.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_is_vendored_brings_its_licence() -> None:
    assert "Permission to use, copy, modify" in (STATIC / "htmx-LICENSE.txt").read_text()


async def test_the_static_folder_gives_nothing_but_itself(web: httpx.AsyncClient) -> None:
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/", "/static/..%2fserver.py"):
        assert (await web.get(path)).status_code in (404, 405)
