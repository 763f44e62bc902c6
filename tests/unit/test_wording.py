"""The texts: complete, in the right language, right in their times and units, readable on a phone."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import timedelta

import pytest

from controller.domain import wording
from controller.domain.faults import Severity, Text, Visit
from controller.domain.incidents import IncidentState
from controller.domain.wording import Due, Facts, Message
from tests.alerts_support import AMPLIFIER, FACTS, ZONE, incident
from tests.fakes import START

PAGE = "http://loa.example/"

FULL = replace(
    FACTS,
    hamlet="bản Che Lầu",
    pole="12",
    lat=20.30457,
    lon=104.9,
    keeper="Lò Văn Pánh",
    keeper_phone="0912 000 111",
    next_due=Due("Bản tin trưa", START + timedelta(hours=3)),
)

VIETNAMESE = """\
Na Mèo 03: hỏng tăng âm
Mức độ: nguy cấp
Từ: 07:59 ngày 23/11/2026 (40 giây trước)
Nơi: xã Na Mèo, bản Che Lầu, cột 12
Bản đồ: https://www.openstreetmap.org/?mlat=20.30457&mlon=104.90000
Người trông coi: Lò Văn Pánh, 0912 000 111

Đo được:
- điện áp ra tăng âm: 0,0 V
- tín hiệu vào: -12 dBFS

Việc cần làm (phải trèo cột): Thay mô-đun tăng âm, kiểm tra nguồn cấp.
An toàn: Cắt điện trước khi mở tủ.
Mang theo: mô-đun tăng âm 120 W

Sắp phát tại đây: “Bản tin trưa” lúc 11:00 ngày 23/11/2026

Sự cố số 1.
Nhận việc: loa ack 1
Sửa xong: loa repaired 1
Trang theo dõi: http://loa.example/#incident-1"""

ENGLISH = """\
Na Mèo 03: amplifier failed
Severity: critical
Since: 2026-11-23 07:59 (40 s ago)
Where: Na Mèo commune, bản Che Lầu, pole 12
Map: https://www.openstreetmap.org/?mlat=20.30457&mlon=104.90000
Keeper: Lò Văn Pánh, 0912 000 111

Measured:
- amplifier output: 0.0 V
- input signal: -12 dBFS

To do (climb): Swap the module, check its supply rail.
Safety: Switch off before opening.
Bring: 120 W amplifier module

Due here: “Bản tin trưa” at 2026-11-23 11:00

Incident 1.
Acknowledge: loa ack 1
When mended: loa repaired 1
Page: http://loa.example/#incident-1"""


def opened(facts: Facts = FULL, language: str = "vi", **changes: object) -> Message:
    return wording.opened(incident(**changes), facts, language, PAGE, START)  # type: ignore[arg-type]


def test_a_message_says_everything_a_technician_needs_in_vietnamese() -> None:
    assert opened() == Message("[Nguy cấp] Na Mèo 03: hỏng tăng âm", VIETNAMESE)


def test_a_message_says_the_same_in_english() -> None:
    assert opened(language="en") == Message("[Critical] Na Mèo 03: amplifier failed", ENGLISH)


def test_what_is_not_known_leaves_no_empty_line_or_label() -> None:
    bare = Facts(site="Quan Sơn", zone=ZONE, node="Na Mèo 03", rule=replace(AMPLIFIER, safety=None, parts=None))
    body = wording.opened(incident(evidence={}), bare, "vi", "", START).body
    for label in ("Nơi:", "Bản đồ:", "Người trông coi:", "Đo được:", "An toàn:", "Mang theo:", "Trang"):
        assert label not in body
    assert "\n\n\n" not in body
    assert "None" not in body


def test_a_recovery_says_how_long_it_lasted_and_asks_for_nothing() -> None:
    ended = incident(state=IncidentState.CLOSED, closed_at=START + timedelta(hours=2, minutes=14))
    message = wording.recovered(ended, FULL, "vi", PAGE, START + timedelta(hours=3))
    assert message.subject == "[Đã phục hồi] Na Mèo 03: hỏng tăng âm"
    assert "Đã phục hồi lúc 10:14 ngày 23/11/2026, sau 2 giờ 14 phút." in message.body
    assert "loa ack" not in message.body


@pytest.mark.parametrize(
    ("write", "vi", "en"),
    [
        (wording.opened, "[Nguy cấp] ", "[Critical] "),
        (wording.raised, "[Tăng lên nguy cấp] ", "[Now critical] "),
        (wording.reopened, "[Tái phát, nguy cấp] ", "[Again, critical] "),
        (wording.unverified, "[Chưa xác nhận sửa xong] ", "[Repair not verified] "),
        (wording.recovered, "[Đã phục hồi] ", "[Recovered] "),
    ],
)
def test_the_subject_begins_with_what_happened(write: object, vi: str, en: str) -> None:
    for language, tag in (("vi", vi), ("en", en)):
        message = write(incident(), FULL, language, PAGE, START)  # type: ignore[operator]
        assert message.subject.startswith(tag + "Na Mèo 03: ")


def test_a_subject_fits_a_phone_and_stays_one_line() -> None:
    long = replace(AMPLIFIER, title=Text("Đường dây loa bị đứt\nhoặc chạm đất ở nhiều nơi trên tuyến", "x"))
    subject = opened(replace(FULL, node="Cụm loa trung tâm xã Na Mèo", rule=long)).subject
    assert len(subject) == 70
    assert subject.endswith("…")
    assert "\n" not in subject


def test_diacritics_leave_composed_so_that_no_phone_tears_them_apart() -> None:
    torn = unicodedata.normalize("NFD", "Hỏng tăng âm")
    message = opened(replace(FULL, rule=replace(AMPLIFIER, title=Text(torn, ""))))
    assert message.subject.endswith("hỏng tăng âm")
    assert unicodedata.is_normalized("NFC", message.body)


def test_a_commune_without_power_names_its_nodes_and_says_to_call_the_utility_first() -> None:
    facts = replace(FULL, node="", rule=None, children=("Na Mèo 01", "Na Mèo 02"), keeper="", keeper_phone="")
    message = opened(facts, scope="commune", subject="na-meo", cause="power", severity=Severity.MAJOR)
    assert message.subject == "[Lớn] Xã Na Mèo: mất điện cả khu vực"
    assert "Gồm 2 cụm loa: Na Mèo 01, Na Mèo 02" in message.body
    assert "gọi điện lực" in message.body


def test_a_fault_of_sixty_nodes_is_not_a_wall_of_names() -> None:
    facts = Facts(site="Quan Sơn", zone=ZONE, children=tuple(f"Cụm {n}" for n in range(1, 61)))
    body = wording.opened(incident(scope="centre", cause="centre", commune=""), facts, "vi", PAGE, START).body
    assert "Gồm 60 cụm loa: Cụm 1, " in body
    assert body.count("Cụm ") == 12


def test_a_commune_whose_name_says_what_it_is_is_not_called_so_twice() -> None:
    facts = replace(FULL, node="", commune="Thị trấn Sơn Lư", rule=None)
    assert opened(facts, scope="commune", cause="network").subject == (
        "[Nguy cấp] Thị trấn Sơn Lư: mất mạng cả khu vực"
    )


@pytest.mark.parametrize(
    ("node", "language", "place"),
    [
        ("UBND xã", "vi", "Na Mèo, UBND xã"),
        ("UBND xã", "en", "Na Mèo, UBND xã"),
        ("Nhà văn hóa Na Mèo", "vi", "Nhà văn hóa Na Mèo"),
    ],
)
def test_a_node_whose_name_many_communes_have_is_told_with_its_commune(node: str, language: str, place: str) -> None:
    message = opened(replace(FULL, node=node, commune="Xã Na Mèo"), language)
    assert f"] {place}: " in message.subject
    assert message.body.startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("commune", "vi", "en"),
    [
        ("Xã Na Mèo", "xã Na Mèo", "Na Mèo commune"),
        ("Na Mèo", "xã Na Mèo", "Na Mèo commune"),
        ("Thị trấn Mường Sơn", "thị trấn Mường Sơn", "Mường Sơn town"),
    ],
)
def test_a_commune_is_called_what_it_is(commune: str, vi: str, en: str) -> None:
    facts = replace(FULL, commune=commune)
    assert f"Nơi: {vi}, bản Che Lầu, cột 12" in opened(facts).body
    assert f"Where: {en}, bản Che Lầu, pole 12" in opened(facts, "en").body


def test_what_several_communes_share_is_named() -> None:
    facts = Facts(site="Quan Sơn", zone=ZONE, commune="Xã Na Mèo")
    message = wording.opened(incident(scope="feeder", subject="371-NM", cause="power"), facts, "vi", "", START)
    assert message.subject == "[Nguy cấp] Đường điện 371-NM: mất điện cả khu vực"


def test_a_fault_that_comes_and_goes_or_comes_back_is_told_as_such() -> None:
    body = opened(flapping=True, repeat_of=7).body
    assert "Lỗi lúc có lúc không" in body
    assert "xem sự cố số 7" in body


def test_a_fault_of_the_centre_is_called_so() -> None:
    facts = Facts(site="Quan Sơn", zone=ZONE)
    message = wording.opened(incident(scope="centre", cause="centre", commune=""), facts, "vi", PAGE, START)
    assert message.subject == "[Nguy cấp] Trung tâm: phần lớn cụm loa mất liên lạc cùng lúc"
    assert "Nơi: Quan Sơn" in message.body


def test_an_unknown_cause_and_metric_are_shown_by_their_names_and_not_swallowed() -> None:
    facts = replace(FULL, rule=None)
    message = opened(facts, cause="wind", evidence={"wind_ms": 31.257, "shaken": True, "mode": "storm"})
    assert message.subject == "[Nguy cấp] Na Mèo 03: wind"
    assert "- wind_ms: 31,26" in message.body
    assert "- shaken: có" in message.body
    assert "- mode: storm" in message.body


@pytest.mark.parametrize("language", ["vi", "en"])
def test_a_measured_zero_and_a_no_are_shown(language: str) -> None:
    body = opened(language=language, evidence={"fan_rpm": 0, "spd_ok": False, "chg_a": 0.0}).body
    shown = {
        "vi": ["- tốc độ quạt: 0 vòng/phút", "- chống sét: không", "- dòng nạp: 0,0 A"],
        "en": ["- fan speed: 0 rpm", "- surge protector: no", "- charging current: 0.0 A"],
    }
    for line in shown[language]:
        assert line in body


def test_an_office_job_says_that_nobody_has_to_travel() -> None:
    body = opened(replace(FULL, rule=replace(AMPLIFIER, visit=Visit.OFFICE))).body
    assert "Việc cần làm (làm tại văn phòng, không phải đi):" in body


def test_a_broadcast_that_is_on_air_is_not_called_due() -> None:
    facts = replace(FULL, next_due=Due("Bản tin trưa", START - timedelta(minutes=2)))
    assert "Đang phát dở: “Bản tin trưa” (07:58 ngày 23/11/2026)" in opened(facts).body


@pytest.mark.parametrize(
    ("length", "vi", "en"),
    [
        (timedelta(0), "0 giây", "0 s"),
        (timedelta(seconds=-5), "0 giây", "0 s"),
        (timedelta(seconds=59), "59 giây", "59 s"),
        (timedelta(seconds=60), "1 phút", "1 min"),
        (timedelta(seconds=61), "1 phút 1 giây", "1 min 1 s"),
        (timedelta(hours=2), "2 giờ", "2 h"),
        (timedelta(hours=2, seconds=30), "2 giờ", "2 h"),
        (timedelta(days=3, hours=4, minutes=9), "3 ngày 4 giờ", "3 d 4 h"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(length: timedelta, vi: str, en: str) -> None:
    assert (wording.duration(length, "vi"), wording.duration(length, "en")) == (vi, en)


def test_an_acronym_keeps_its_capitals_in_the_middle_of_a_line() -> None:
    assert wording.lower_first("SIM hết tiền") == "SIM hết tiền"
    assert wording.lower_first("Đứt đường dây") == "đứt đường dây"
    assert wording.lower_first("") == ""


def test_one_message_for_several_keeps_the_newest_first_and_the_old_texts() -> None:
    both = wording.combined(Message("[Đã phục hồi] A", "xong"), ["hỏng lúc 8 giờ"], "vi")
    assert both == Message("[Đã phục hồi] A", "xong\n\n--- Tin trước đó chưa gửi được ---\nhỏng lúc 8 giờ")


def test_what_is_of_no_incident_has_no_number_in_a_digest() -> None:
    told = wording.digest([(0, "[Hoạt động] Mường Sơn: hệ thống đang hoạt động", "")], "vi", "http://loa.example")
    assert "\n- [Hoạt động] Mường Sơn: hệ thống đang hoạt động\n" in told.body


def test_an_area_has_the_middle_of_what_failed_on_the_map() -> None:
    facts = replace(FULL, node="", lat=20.3, lon=104.9)
    told = opened(facts, scope="commune", subject="na-meo", cause="power")
    assert "\nBản đồ (giữa khu vực): https://www.openstreetmap.org/?mlat=20.30000&mlon=104.90000\n" in told.body


def test_a_digest_names_every_incident() -> None:
    link = "http://loa.example/o/abc"
    entries = [(4, "[Nguy cấp] A: hỏng", link), (5, "[Đã phục hồi] B: hỏng", "")]
    told = wording.digest(entries, "vi", "http://loa.example")
    assert told.subject == "[Tổng hợp] 2 tin báo sự cố, có 1 nguy cấp"
    assert f"- số 4: [Nguy cấp] A: hỏng\n  {link}\n- số 5: [Đã phục hồi] B: hỏng" in told.body
    assert "http://loa.example" in told.body
