"""The page behind a link as programs meet it: what changes something, what does not, and for whom."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from controller.domain.escalation import AlertSettings, OutboxRow, Person
from controller.domain.incidents import Incident
from controller.services.links import Ticket
from tests.district import District, district, reader
from tests.pictures import picture

HUNG = Person("hung", "Lò Văn Hùng", "vi", ())
SUA = Person("sua", "Sùng A Sủa", "en", ())
JPEG = picture()


@pytest.fixture
async def quan_son(tmp_path: Path) -> AsyncIterator[District]:
    settings = district()
    node = replace(settings.nodes["na-meo-03"], keeper="Lò Văn Sơn", keeper_phone="0900 000 002")
    settings = replace(settings, nodes={**settings.nodes, node.id: node}, alerts=AlertSettings(people=(HUNG, SUA)))
    opened = await District.opened(tmp_path)
    opened = District(opened.store, tmp_path, settings)
    yield opened
    await opened.store.close()


@pytest.fixture
async def web(quan_son: District) -> AsyncIterator[httpx.AsyncClient]:
    async with reader(quan_son) as client:
        yield client


async def told(district: District, *people: Person, transition: str = "opened") -> tuple[Incident, list[str]]:
    """A broken amplifier, and the paths of the links that people got."""
    incident = await district.broken("na-meo-03", sent=0)
    return incident, [await tell(district, incident, person, transition) for person in people]


async def tell(district: District, incident: Incident, person: Person, transition: str) -> str:
    at = district.now
    row = OutboxRow(incident.id, transition, person.id, "smtp:x", at, at, "s", "b")
    await district.store.transact(lambda tx: tx.enqueue(row))
    return f"/o/{district.links.token(Ticket(incident.id, transition, person.id))}"


def nonce_of(page: httpx.Response) -> str:
    found = re.search(r'name="nonce" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


async def state(district: District, incident: Incident) -> str:
    order = await district.store.transact(lambda tx: tx.work_order(incident.id))
    return order.state.value if order else "none"


async def changes(district: District) -> int:
    return len(await district.store.transact(lambda tx: tx.audits()))


async def test_whatever_only_looks_changes_nothing(web: httpx.AsyncClient, quan_son: District) -> None:
    """A mail scanner fetches every link of a message, as often as it likes."""
    incident, [path] = await told(quan_son, HUNG)
    for method in ("GET", "HEAD", "OPTIONS"):
        for query in ("", "?do=ack", "?done", "?note", "?do=repaired&nonce=x"):
            await web.request(method, path + query)
    assert await state(quan_son, incident) == "none"
    stored = await quan_son.store.transact(lambda tx: tx.incident(incident.id))
    assert stored is not None
    assert stored.state.value == "open"


async def test_a_technician_takes_it_begins_and_says_that_it_is_mended(
    web: httpx.AsyncClient, quan_son: District
) -> None:
    incident, [path] = await told(quan_son, HUNG)
    page = await web.get(path)
    for text in ("Tôi nhận việc", "Bộ khuếch đại không ra tiếng", "tel:0900000002", "mlat=20.37", "Ngắt điện", "60 W"):
        assert text in page.text
    for do, then in {"ack": "accepted", "begin": "in-repair", "repaired": "repaired"}.items():
        sent = await web.post(path, data={"do": do, "nonce": nonce_of(page), "text": f"tin {do}"})
        assert (sent.status_code, sent.headers["location"]) == (303, f"{path}?done")
        assert await state(quan_son, incident) == then
        page = await web.get(path)
    assert "Đang đo lại…" in page.text
    assert 'http-equiv="refresh"' in page.text
    assert "tin repaired" in page.text
    events = await quan_son.store.transact(lambda tx: tx.incident_events(incident.id))
    assert {event.by for event in events} == {"hung"}


async def test_a_form_that_is_sent_twice_is_one_word(web: httpx.AsyncClient, quan_son: District) -> None:
    incident, [path] = await told(quan_son, HUNG)
    nonce = nonce_of(await web.get(path))
    assert (await web.post(path, data={"do": "ack", "nonce": nonce})).headers["location"] == f"{path}?done"
    before = await changes(quan_son)
    again = await web.post(path, data={"do": "repaired", "nonce": nonce})
    assert again.headers["location"] == f"{path}?again"
    assert (await state(quan_son, incident), await changes(quan_son)) == ("accepted", before)


async def test_another_sites_form_and_another_links_nonce_do_nothing(
    web: httpx.AsyncClient, quan_son: District
) -> None:
    incident, [path, other] = await told(quan_son, HUNG, SUA)
    for nonce in ("", "1.2.3", nonce_of(await web.get(other))):
        refused = await web.post(path, data={"do": "ack", "nonce": nonce, "text": "đã đến nơi"})
        assert refused.status_code == 409
        assert "đã đến nơi" in refused.text, "what was typed is not lost"
    assert await state(quan_son, incident) == "none"


async def test_a_link_that_is_not_genuine_shows_nothing(web: httpx.AsyncClient, quan_son: District) -> None:
    _, [path] = await told(quan_son, HUNG)
    for wrong in (path[:-3] + "AAA", "/o/x", "/o/a.b", "/o/" + "A" * 2000, "/o/%00.%FF"):
        answer = await web.get(wrong)
        assert answer.status_code == 404
        assert "khuếch đại" not in answer.text
    answers = [(await web.get("/o/guess.guess")).status_code for _ in range(40)]
    assert answers[-1] == 429
    assert (await web.get(path)).status_code == 200, "who has a genuine one is not kept out by others' guesses"


async def test_a_link_is_not_a_way_to_hammer(web: httpx.AsyncClient, quan_son: District) -> None:
    _, [path] = await told(quan_son, HUNG)
    answers = [(await web.post(path, data={"do": "ack", "nonce": "x"})).status_code for _ in range(21)]
    assert (answers[0], answers[-1]) == (409, 429)


async def test_a_superseded_link_shows_and_does_nothing(web: httpx.AsyncClient, quan_son: District) -> None:
    incident, [path] = await told(quan_son, HUNG)
    nonce = nonce_of(await web.get(path))
    newer = await tell(quan_son, incident, HUNG, "severity")
    assert (await web.post(path, data={"do": "ack", "nonce": nonce})).status_code == 409
    page = await web.get(path)
    assert "tin mới nhất" in page.text
    assert "<form" not in page.text
    assert await state(quan_son, incident) == "none"
    assert "<form" in (await web.get(newer)).text


async def test_a_link_expires_days_after_its_incident(web: httpx.AsyncClient, quan_son: District) -> None:
    incident, [path] = await told(quan_son, HUNG)
    await quan_son.closed(incident)
    page = await web.get(path)
    assert (page.status_code, "<form" in page.text, "Đã phục hồi" in page.text) == (200, False, True)
    await quan_son.clock.advance(8 * 24 * 3600)
    assert (await web.get(path)).status_code == 410


async def test_everybody_reads_it_in_their_own_language(web: httpx.AsyncClient, quan_son: District) -> None:
    _, [_path, english] = await told(quan_son, HUNG, SUA)
    page = await web.get(english, headers={"Accept-Language": "vi"})
    assert 'lang="en"' in page.text
    assert "I take it" in page.text


async def test_pictures_go_with_the_word_and_are_shown_behind_its_link_only(
    web: httpx.AsyncClient, quan_son: District
) -> None:
    _, [path] = await told(quan_son, HUNG)
    nonce = nonce_of(await web.get(path))
    files = [("photo", ("a.html", JPEG, "text/html")), ("photo", ("", b"", "application/octet-stream"))]
    sent = await web.post(path, data={"do": "note", "nonce": nonce}, files=files)
    assert sent.status_code == 303
    found = re.search(r'src="([^"]+/photos/[0-9a-f]{64})"', (await web.get(path)).text)
    assert found
    shown = await web.get(found[1])
    assert (shown.content[:3], shown.headers["content-type"]) == (JPEG[:3], "image/jpeg")
    assert "sandbox" in shown.headers["content-security-policy"]
    _, [elsewhere] = await told(quan_son, SUA)
    assert (await web.get(f"{elsewhere}/photos/{found[1].rpartition('/')[2]}")).status_code == 404


async def test_a_file_that_is_no_picture_leaves_nothing_written_and_the_text_in_place(
    web: httpx.AsyncClient, quan_son: District
) -> None:
    incident, [path] = await told(quan_son, HUNG)
    nonce = nonce_of(await web.get(path))
    files = {"photo": ("a.jpg", b"<svg onload=alert(1)>", "image/jpeg")}
    data = {"do": "repaired", "nonce": nonce, "text": "<b>thay cầu chì</b>"}
    answer = await web.post(path, data=data, files=files)
    assert answer.status_code == 422
    assert "không phải ảnh" in answer.text
    assert "&lt;b&gt;thay cầu chì&lt;/b&gt;" in answer.text
    assert await state(quan_son, incident) == "none"
    many = [("photo", (f"{n}.jpg", JPEG + bytes([n]), "image/jpeg")) for n in range(5)]
    assert (await web.post(path, data={"do": "note", "nonce": nonce}, files=many)).status_code == 413


async def test_the_page_keeps_its_address_to_itself(web: httpx.AsyncClient, quan_son: District) -> None:
    _, [path] = await told(quan_son, HUNG)
    headers = (await web.get(path)).headers
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
