"""The page and the API on what changed of the plan, and on who is not ready for air."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import msgspec

from broadcasts.difference import Change, Difference
from broadcasts.model import Occurrence
from controller.domain.preflight import Finding, Lack, PreflightRow
from controller.ports import AuditRow
from controller.services import changelog
from tests.district import District
from tests.house import NEWS
from tests.unit.test_difference import plan

SOON = "ban-tin@2026-11-23T08:10"


async def test_who_is_not_ready_stands_on_the_row_with_names_and_reasons(
    place: District, web: httpx.AsyncClient
) -> None:
    await place.planned(SOON, "Bản tin <b>", start=10, to=["na-meo"])
    findings = (Finding("na-meo-03", Lack.FAULT, "amplifier"), Finding("na-meo-04", Lack.OFFLINE))
    await place.store.transact(lambda tx: tx.put_preflight(PreflightRow(SOON, place.now, 5, findings)))
    html = (await web.get("/?lang=vi")).text
    assert "2 cụm loa chưa sẵn sàng" in html
    assert "Na Mèo 3, Na Mèo 4" in html
    assert "bộ khuếch đại không ra tiếng" in html
    assert "Bản tin <b>" not in html
    (waiting,) = (await web.get("/api/status")).json()["air"]["not_ready"]
    assert [each["node"] for each in waiting["preflight"]["not_ready"]] == ["na-meo-03", "na-meo-04"]


async def test_an_airing_that_was_looked_at_and_is_ready_says_so(place: District, web: httpx.AsyncClient) -> None:
    await place.planned(SOON, "Bản tin", start=10, to=["na-meo"])
    await place.store.transact(lambda tx: tx.put_preflight(PreflightRow(SOON, place.now, 5, ())))
    assert "Checked before air at 08:00" in (await web.get("/?lang=en")).text


async def test_the_last_change_is_on_the_page_in_both_languages_and_harmless(
    place: District, web: httpx.AsyncClient
) -> None:
    was = place.now + timedelta(hours=2)
    move = Change("ban-tin@1", "ban-tin", "<script>", start=was + timedelta(hours=1), was=was, to=5, what=("volume",))
    detail = changelog.kept(Difference(moved=(move,)), {"ban-tin": replace(NEWS, place="config/broadcasts.yaml:7")})
    await place.store.transact(lambda tx: tx.audit(AuditRow(place.now, "file", changelog.TAKEN, detail)))
    vi, en = [(await web.get(f"/?lang={language}")).text for language in ("vi", "en")]
    assert "Lần đổi lịch gần nhất" in vi
    assert "1 dời giờ" in vi
    assert "1 moved" in en
    assert "<script>" not in en.split('id="last-change"')[1].split("</details>")[0]
    (change,) = (await web.get("/api/changes")).json()["changes"]
    assert change["moved"][0]["place"] == "config/broadcasts.yaml:7"


async def test_the_plan_comes_whole_for_comparing(place: District, web: httpx.AsyncClient) -> None:
    place.scheduling.planned = plan(NEWS)
    answer = (await web.get("/api/plan")).json()
    assert msgspec.convert(answer, tuple[Occurrence, ...], strict=False) == plan(NEWS)


async def test_a_silly_limit_is_refused(web: httpx.AsyncClient) -> None:
    assert (await web.get("/api/changes?limit=0")).status_code == 422
