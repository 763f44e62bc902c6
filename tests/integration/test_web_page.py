"""The page as HTML: what it says, in which language, and that nothing in it can be turned against its reader."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from html.parser import HTMLParser

import httpx
import pytest

from broadcasts.model import Priority
from controller.domain.delivery import DeliveryState
from controller.domain.faults import Text
from controller.domain.liveness import Liveness
from controller.web.i18n import WORDS, accepted, choose
from controller.web.pages import PARTS
from controller.web.server import STATIC
from tests.district import AMPLIFIER, District, district

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
