"""The page in a real Chromium: what an officer sees on a desk and on a phone, and that it stays true by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from broadcasts.model import Priority
from controller.domain.commissioning import Baseline, Selftest
from controller.domain.delivery import DeliveryState
from controller.domain.liveness import Liveness
from controller.ports import Tx
from tests.browser.conftest import Open, Served
from tests.district import District


async def a_busy_morning(district: District) -> None:
    """Something on air, something to come, one broken amplifier and one commune without power."""
    await district.heard_from()
    await district.heard_from("son-lu-02", state=Liveness.SUSPECT, ago_s=44)
    elsewhere = [id for id in district.settings.zones if id not in ("all", "trung-xuan")]
    await district.planned("sang@1", "Bản tin sáng", start=-4, minutes=15, state=DeliveryState.SOUNDING, to=elsewhere)
    await district.planned(
        "tiem@1",
        "Lịch tiêm chủng mở rộng cho trẻ em dưới 5 tuổi",
        start=385,
        to=["na-meo", "son-thuy"],
        priority=Priority.PRIORITY,
    )
    await district.planned("chieu@1", "Bản tin chiều", start=540)
    await district.planned(
        "ve-sinh@1",
        "Thông báo vệ sinh đường làng ngõ xóm",
        start=1200,
        to=["tam-thanh", "tam-lu", "trung-ha", "trung-thuong", "na-meo"],
        state=DeliveryState.ACCEPTED,
    )
    await district.broken("na-meo-03")
    await district.powerless("trung-xuan")


# --- looking at it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["desktop", "phone"])
@pytest.mark.parametrize(("language", "scheme"), [("vi", "light"), ("en", "dark")])
def test_a_busy_morning_fits_the_screen_in_both_languages(
    served: Served, open_page: Open, screens: Path, size: str, language: str, scheme: str
) -> None:
    served.do(a_busy_morning(served.district))
    page = open_page(f"/?lang={language}", size=size, color_scheme=scheme)
    assert page.locator("html").get_attribute("lang") == language
    expect(page.locator("#incident-count")).to_have_text("2")
    expect(page.locator("#online-count")).to_contain_text("54")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    page.screenshot(path=screens / f"busy-{size}-{language}-{scheme}.png", full_page=True)


def test_a_quiet_day_is_calm(served: Served, open_page: Open, screens: Path) -> None:
    served.do(served.district.heard_from())
    page = open_page()
    expect(page.locator("#part-incidents")).to_contain_text("Không có sự cố nào đang mở.")
    page.screenshot(path=screens / "quiet-desktop-vi.png")


def test_banners_say_that_the_broker_is_gone_and_the_configuration_wrong(
    served: Served, open_page: Open, screens: Path
) -> None:
    served.do(a_busy_morning(served.district))
    page = open_page(size="phone")
    expect(page.locator("#broker-down")).to_have_count(0)

    async def goes_wrong(district: District) -> None:
        district.bus.down()
        district.scheduling.problems = ("config/broadcasts.yaml:12:9: unknown zone 'na-meoo' (did you mean 'na-meo'?)",)
        district.changes.notify("config")

    served.do(goes_wrong(served.district))
    expect(page.locator("#broker-down")).to_be_visible()
    expect(page.locator("#config-bad")).to_contain_text("config/broadcasts.yaml:12:9")
    page.screenshot(path=screens / "banners-phone-vi.png")


def test_the_language_is_chosen_with_one_click_and_kept(served: Served, open_page: Open) -> None:
    page = open_page(locale="vi-VN")
    expect(page.locator("#part-incidents h2")).to_have_text("Sự cố")
    page.get_by_role("link", name="English").click()
    expect(page.locator("#part-incidents h2")).to_have_text("Incidents")
    page.goto(served.url + "/", wait_until="domcontentloaded")
    expect(page.locator("#part-incidents h2")).to_have_text("Incidents")


def test_a_browser_that_speaks_english_gets_english(served: Served, open_page: Open) -> None:
    expect(open_page(locale="en-GB").locator("#part-incidents h2")).to_have_text("Incidents")


def test_without_script_the_page_still_tells_the_state(served: Served, browser: Browser) -> None:
    served.do(a_busy_morning(served.district))
    context = browser.new_context(java_script_enabled=False, locale="vi-VN")
    page = context.new_page()
    page.goto(served.url, wait_until="domcontentloaded")
    expect(page.locator("#incident-1")).to_contain_text("Bộ khuếch đại không ra tiếng")
    expect(page.locator(".banner", has_text="JavaScript")).to_be_visible()
    context.close()


# --- it stays true by itself --------------------------------------------------------------------------------


def test_an_incident_appears_and_goes_without_a_reload(served: Served, open_page: Open) -> None:
    served.do(served.district.heard_from())
    page = open_page()
    page.evaluate("window.sameDocument = true")
    incident = served.do(served.district.broken("na-meo-03", minutes_ago=0))
    card = page.locator(f"#incident-{incident.id}")
    expect(card).to_contain_text("Bộ khuếch đại không ra tiếng")
    expect(page.locator("#node-na-meo-03")).to_contain_text("Bộ khuếch đại không ra tiếng")
    expect(page.locator("#incident-count")).to_have_text("1")
    served.do(served.district.closed(incident))
    expect(card).to_have_count(0)
    expect(page.locator("#incident-count")).to_have_text("0")
    assert page.evaluate("window.sameDocument") is True


def test_a_broadcast_goes_on_air_without_a_reload(served: Served, open_page: Open) -> None:
    served.do(served.district.heard_from())
    page = open_page()
    expect(page.locator("#part-air")).to_contain_text("Không có chương trình nào đang phát.")
    served.do(served.district.planned("sang@1", "Bản tin sáng", start=0, to=["na-meo"], state=DeliveryState.SOUNDING))
    expect(page.locator("#part-air")).to_contain_text("5/5 cụm loa đang phát")
    expect(page.locator("#node-na-meo-01 .plays")).to_contain_text("Bản tin sáng")
    expect(page.locator("#node-son-lu-01 .plays")).to_have_text("")


def test_a_node_that_goes_silent_changes_on_list_and_map(served: Served, open_page: Open) -> None:
    served.do(served.district.heard_from())
    page = open_page()
    served.do(served.district.heard_from("na-meo-01", state=Liveness.OFFLINE, ago_s=70))
    expect(page.locator("#node-na-meo-01 .why")).to_have_text("Mất liên lạc")
    expect(page.locator('.spot.offline[href="#node-na-meo-01"]')).to_have_count(1)
    expect(page.locator("#commune-na-meo summary").first).to_contain_text("4/5 trực tuyến")


def test_an_update_keeps_the_readers_place_and_what_is_unfolded(served: Served, open_page: Open) -> None:
    served.do(a_busy_morning(served.district))
    page = open_page()
    row = page.locator("#node-quan-son-05")
    row.locator("summary").click()
    expect(row.locator(".facts")).to_be_visible()
    page.locator("#incident-1 summary").focus()
    page.locator("#incident-1 summary").press("Enter")
    row.scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#node-quan-son-05 .name').mark = 'same element'")
    before = page.evaluate("scrollY")
    assert before > 0
    served.do(served.district.heard_from("na-meo-01", state=Liveness.OFFLINE, ago_s=70))
    expect(page.locator("#node-na-meo-01 .why")).to_have_text("Mất liên lạc")
    served.do(served.district.closed_by_id(1))
    expect(page.locator("#incident-1")).to_have_count(0)
    expect(row.locator(".facts")).to_be_visible()
    assert page.evaluate("document.querySelector('#node-quan-son-05 .name').mark") == "same element"
    assert row.is_visible()


def test_a_folded_incident_stays_folded_when_it_changes(served: Served, open_page: Open) -> None:
    incident = served.do(served.district.broken("na-meo-03"))
    page = open_page()
    card = page.locator(f"#incident-{incident.id}")
    card.locator("summary").click()
    expect(card.locator(".advice").first).to_be_hidden()
    served.do(served.district.monitoring.acknowledge(incident.id, "Hà Văn Thịnh"))
    served.do(notify(served.district, "incidents"))
    expect(card.locator(".state-acknowledged")).to_have_count(1)
    expect(card.locator(".advice").first).to_be_hidden()


async def notify(district: District, *topics: str) -> None:
    district.changes.notify(*topics)


def test_a_lost_connection_is_said_and_what_was_missed_is_made_up_for(
    served: Served, open_page: Open, screens: Path
) -> None:
    served.do(served.district.heard_from())
    page = open_page()
    page.evaluate("window.sameDocument = true")
    served.stop()
    connection = page.locator("#connection")
    expect(connection).to_have_attribute("data-state", "lost")
    expect(connection).to_have_text("Mất kết nối")
    expect(page.locator("#lost-note")).to_be_visible()
    expect(page.locator("#lost-note")).to_have_text("Mất kết nối: số liệu trên trang là của lúc 08:00:00")
    page.screenshot(path=screens / "lost-desktop-vi.png")
    served.do(served.district.broken("na-meo-03", minutes_ago=0))
    served.start()
    expect(connection).to_have_attribute("data-state", "live")
    expect(page.locator("#lost-note")).to_be_hidden()
    expect(page.locator("#incident-1")).to_contain_text("Bộ khuếch đại không ra tiếng")
    assert page.evaluate("window.sameDocument") is True


def test_times_move_on_while_nothing_happens(served: Served, open_page: Open) -> None:
    served.do(a_busy_morning(served.district))
    page = open_page()
    seen = page.locator("#node-na-meo-01 .seen time")
    first = seen.inner_text()
    expect(seen).not_to_have_text(first)
    clock = page.locator("#wall").inner_text()
    expect(page.locator("#wall")).not_to_have_text(clock)


# --- many nodes, and one in full ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_node_is_found_by_typing_and_opens_with_the_trend_of_its_self_tests(
    served: Served, open_page: Open, screens: Path, size: str
) -> None:
    async def tested(district: District) -> None:
        base = Baseline("tam-lu-04", district.at(-20_000), "Hùng", "", 1, {"line_z_ohm": 8.0})
        tests = [
            Selftest("tam-lu-04", district.at(-1440 * n), n > 1, {"line_z_ohm": 8 + 9 / n}, {"speaker line": said})
            for n, said in enumerate(("failed", *["passed"] * 9), 1)
        ]

        def write(tx: Tx) -> None:
            tx.put_selftests(tests)
            tx.new_baseline(base)

        await district.store.transact(write)

    served.do(a_busy_morning(served.district))
    served.do(tested(served.district))
    page = open_page(size=size)
    page.get_by_role("searchbox").fill("tam lu 4")
    expect(page.locator(".node")).to_have_count(1)
    page.locator("#node-tam-lu-04 > details > summary").click()
    expect(page.locator("#node-tam-lu-04 .facts")).to_be_visible()
    measure = page.locator("#node-tam-lu-04 .measure")
    expect(measure.locator("polyline")).to_have_count(1)
    expect(measure.locator("line.base")).to_have_count(1)
    measure.locator("summary").click()
    expect(measure.locator("ol li")).to_have_count(11)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    page.locator("#nodes").screenshot(path=screens / f"node-{size}-vi.png")
    served.do(served.district.heard_from("tam-lu-04", state=Liveness.OFFLINE, ago_s=70))
    expect(page.locator("#node-tam-lu-04 .why")).to_have_text("Mất liên lạc")
    expect(page.locator("#node-tam-lu-04 .facts")).to_contain_text("Mất liên lạc")
    assert weak_texts(page) == []
    page.reload(wait_until="domcontentloaded")
    expect(page.locator(".node")).to_have_count(1)


# --- on a phone, with a keyboard ----------------------------------------------------------------------------


def test_on_a_phone_communes_where_all_is_well_are_one_line_each(
    served: Served, open_page: Open, screens: Path
) -> None:
    served.do(a_busy_morning(served.district))
    page = open_page(size="phone")
    expect(page.locator("#node-son-thuy-01")).to_be_hidden()
    expect(page.locator("#commune-son-thuy .strip")).to_be_visible()
    expect(page.locator("#node-trung-xuan-01")).to_be_visible()
    expect(page.locator("#node-na-meo-03")).to_contain_text("Bộ khuếch đại không ra tiếng")
    page.locator("#commune-son-thuy summary").first.click()
    expect(page.locator("#node-son-thuy-01")).to_be_visible()
    page.locator("#part-nodes").screenshot(path=screens / "nodes-phone-vi.png")


def test_on_a_phone_an_address_that_looks_for_nodes_shows_them(served: Served, open_page: Open) -> None:
    served.do(served.district.heard_from())
    page = open_page("/?q=son+thuy+2", size="phone")
    expect(page.locator("#node-son-thuy-02")).to_be_visible()
    expect(page.locator(".node")).to_have_count(1)
    page.goto(f"{served.url}/?q=son+thuy+2#node-na-meo-01", wait_until="domcontentloaded")
    expect(page.locator("#node-na-meo-01 .facts")).to_be_visible()


def test_an_address_of_a_node_unfolds_it(served: Served, open_page: Open) -> None:
    served.do(served.district.heard_from())
    page = open_page("/#node-son-thuy-02", size="phone")
    expect(page.locator("#node-son-thuy-02 .facts")).to_be_visible()
    page.locator('.spot[href="#node-na-meo-01"]').click()
    expect(page.locator("#node-na-meo-01 .facts")).to_be_visible()


def test_the_page_can_be_read_with_a_keyboard_alone(served: Served, open_page: Open) -> None:
    served.do(a_busy_morning(served.district))
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    row = page.locator("#node-na-meo-01 summary")
    row.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#node-na-meo-01 .facts")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_enough_from_what_is_behind_it(served: Served, open_page: Open, scheme: str) -> None:
    served.do(a_busy_morning(served.district))
    page = open_page(color_scheme=scheme)
    assert weak_texts(page) == []


def weak_texts(page: Page) -> list[str]:
    """Texts whose contrast to a plain background is under WCAG AA, with the ratio."""
    found: list[str] = page.evaluate(CONTRAST)
    return found


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = rgba(getComputedStyle(each).backgroundColor);
      if (color[3] > 250) return color;
    }
    return [255, 255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest("svg, .sr, .explained, .cancelled")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(rgba(style.color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) weak.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(weak)];
}"""
