"""The page behind a link, on a technician's phone, without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from controller.domain.escalation import AlertSettings, OutboxRow, Person
from controller.domain.workorders import Step, moved
from controller.services.healthbook import keep_work
from controller.services.links import Ticket
from tests.browser.conftest import SCREENS, Served
from tests.district import District

HUNG = Person("hung", "Lò Văn Hùng", "vi", ())
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63606060f80f0001040100"
    "5fe5c34b0000000049454e44ae426082"
)


async def a_link(district: District) -> str:
    """The amplifier of Na Mèo 3 fails, and Hùng is told."""
    node = replace(district.settings.nodes["na-meo-03"], keeper="Lò Văn Sơn", keeper_phone="0900 000 002")
    settings = replace(
        district.settings,
        nodes={**district.settings.nodes, node.id: node},
        alerts=AlertSettings(people=(HUNG,)),
    )
    district.settings = settings
    district.reporting.reload(settings)
    district.workshop.reload(settings)
    district.monitoring.settings = settings
    incident = await district.broken("na-meo-03", sent=0)
    row = OutboxRow(incident.id, "opened", HUNG.id, "smtp:x", district.now, district.now, "s", "b")
    await district.store.transact(lambda tx: tx.enqueue(row))
    return f"/o/{district.links.token(Ticket(incident.id, 'opened', HUNG.id))}"


async def measured(district: District, id: int, step: Step) -> None:
    """What measurements make of the order."""

    def write(tx: object) -> None:
        order = tx.work_order(id)  # type: ignore[attr-defined]
        keep_work(tx, moved(order, step, district.now), step.value, district.now)  # type: ignore[arg-type]

    await district.store.transact(write)
    if step is Step.CLEARED:
        await district.closed_by_id(id)


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, locale="vi-VN", java_script_enabled=False, has_touch=True
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def _shot(page: Page, name: str) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"order-{name}.png", full_page=True)


def test_from_the_message_to_the_verdict_on_a_phone(served: Served, phone: Page, tmp_path: Path) -> None:
    link = served.do(a_link(served.district))
    phone.goto(served.url + link)
    _shot(phone, "open")
    assert phone.locator("html").get_attribute("lang") == "vi"
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out"
    for button in phone.locator(".big-button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 48, "a thumb in a glove must hit it"
    expect(phone.get_by_role("link", name="Gọi 0900 000 002")).to_have_attribute("href", "tel:0900000002")
    expect(phone.get_by_text("Ngắt điện trước khi mở hộp.")).to_be_visible()

    phone.get_by_role("button", name="Tôi nhận việc").click()
    expect(phone.get_by_text("Đã ghi nhận. Cảm ơn!")).to_be_visible()
    expect(phone.get_by_role("button", name="Tôi nhận việc")).to_have_count(0)
    phone.get_by_role("button", name="Bắt đầu sửa").click()
    _shot(phone, "in-repair")

    picture = tmp_path / "tang-am.png"
    picture.write_bytes(PIXEL)
    phone.get_by_label("Ghi chú").fill("Thay mô-đun tăng âm")
    phone.get_by_label("Ảnh").set_input_files(picture)
    phone.get_by_role("button", name="Đã sửa xong").click()
    expect(phone.get_by_text("Đang đo lại…")).to_be_visible()
    expect(phone.get_by_text("Thay mô-đun tăng âm")).to_be_visible()
    expect(phone.locator("figure img")).to_have_count(1)
    _shot(phone, "measuring")

    served.do(measured(served.district, 1, Step.UNVERIFIED))
    phone.goto(served.url + link)
    expect(phone.get_by_text("Đo lại chưa đạt").first).to_be_visible()
    _shot(phone, "not-verified")
    phone.get_by_role("button", name="Đã sửa xong").click()
    served.do(measured(served.district, 1, Step.CLEARED))
    phone.goto(served.url + link)
    expect(phone.get_by_text("Đo lại đạt: đã sửa xong")).to_be_visible()
    expect(phone.locator("form")).to_have_count(0)
    _shot(phone, "verified")


def test_going_back_and_tapping_again_does_nothing_twice(served: Served, phone: Page) -> None:
    link = served.do(a_link(served.district))
    phone.goto(served.url + link)
    phone.get_by_role("button", name="Tôi nhận việc").click()
    expect(phone.get_by_text("Đã ghi nhận. Cảm ơn!")).to_be_visible()
    phone.go_back()
    events = served.do(served.district.store.transact(lambda tx: len(tx.incident_events(1))))
    if phone.get_by_role("button", name="Tôi nhận việc").count():  # kept by the browser: the nonce is the used one
        phone.get_by_role("button", name="Tôi nhận việc").click()
        expect(phone.get_by_text("không ghi thêm lần nữa")).to_be_visible()
    assert served.do(served.district.store.transact(lambda tx: len(tx.incident_events(1)))) == events
