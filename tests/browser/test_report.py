"""The month's report in a real Chromium: on a desk, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from controller.domain.delivery import DeliveryEvent, DeliveryState
from controller.domain.monthly import NodeEvent
from tests.browser.conftest import SCREENS, WIDTHS, Served
from tests.district import District


async def a_month(district: District) -> None:
    """All nodes were there for days; one was gone for five hours; one airing was missed in one commune."""
    days = timedelta(days=10)
    events = [NodeEvent(node, district.now - days, "online") for node in district.settings.nodes]
    gone = district.now - timedelta(hours=9)
    events += [NodeEvent("na-meo-03", gone, "offline"), NodeEvent("na-meo-03", gone + timedelta(hours=5), "online")]
    row = await district.planned("tin@1", "Bản tin", start=-60, minutes=15)
    told = [
        DeliveryEvent(row.id, node, at, state)
        for node in district.settings.nodes
        if not node.startswith("na-meo")
        for at, state in ((row.start, DeliveryState.SOUNDING), (row.end, DeliveryState.COMPLETED))
    ]

    def write(tx: object) -> None:
        tx.put_node_events(events)  # type: ignore[attr-defined]
        tx.put_delivery_events(told)  # type: ignore[attr-defined]

    await district.store.transact(write)


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, locale="vi-VN")
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def test_the_report_reads_on_every_screen_and_on_paper(served: Served, page: Page) -> None:
    served.do(a_month(served.district))
    page.goto(served.url + "/report")
    expect(page.get_by_role("heading", level=1)).to_have_text("Báo cáo tháng 2026-11")
    expect(page.get_by_role("row", name="Na Mèo")).to_contain_text("5 giờ")
    expect(page.get_by_role("row", name="Na Mèo")).to_contain_text("75")
    expect(page.get_by_role("row", name="Sơn Lư")).to_contain_text("100,00 %")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"
    SCREENS.mkdir(parents=True, exist_ok=True)
    width = page.evaluate("window.innerWidth")
    page.screenshot(path=SCREENS / f"report-{width}.png", full_page=True)
    page.emulate_media(media="print")
    expect(page.get_by_role("link", name="CSV")).to_be_hidden()
    page.screenshot(path=SCREENS / f"report-print-{width}.png", full_page=True)


def test_a_month_that_is_none_says_so(served: Served, page: Page) -> None:
    answer = page.goto(served.url + "/report?month=thang-11")
    assert answer is not None
    assert answer.status == 422
    assert "write it as 2026-11" in page.content()
