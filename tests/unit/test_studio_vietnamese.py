"""What is heard when an announcement is written the way officials write."""

from __future__ import annotations

import unicodedata

import pytest

from broadcasts.studio.numerals import number, roman
from broadcasts.studio.shortenings import SHORTENINGS
from broadcasts.studio.vietnamese import doubts, expand


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "không"),
        (10, "mười"),
        (11, "mười một"),
        (15, "mười lăm"),
        (20, "hai mươi"),
        (21, "hai mươi mốt"),
        (24, "hai mươi tư"),
        (55, "năm mươi lăm"),
        (100, "một trăm"),
        (101, "một trăm linh một"),
        (105, "một trăm linh năm"),
        (115, "một trăm mười lăm"),
        (1_005, "một nghìn không trăm linh năm"),
        (2_026, "hai nghìn không trăm hai mươi sáu"),
        (10_000, "mười nghìn"),
        (1_000_000, "một triệu"),
        (1_250_000, "một triệu hai trăm năm mươi nghìn"),
        (3_000_000_015, "ba tỷ không trăm mười lăm"),
    ],
)
def test_numbers_are_read_as_people_count(value: int, words: str) -> None:
    assert number(value) == words


def test_roman_numerals_that_are_none_are_left_alone() -> None:
    assert [roman(text) for text in ("I", "IV", "IX", "XIV", "XXXIX", "IIII", "VX", "X V")] == [
        *(1, 4, 9, 14, 39),
        *(0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("UBND xã Na Mèo", "ủy ban nhân dân xã Na Mèo"),
        ("HTX, THCS và THPT", "hợp tác xã, trung học cơ sở và trung học phổ thông"),
        ("phòng COVID-19.", "phòng cô vít mười chín."),
        ("phòng COVID.", "phòng cô vít."),
        ("họp lúc 7h30", "họp lúc bảy giờ ba mươi phút"),
        ("họp lúc 7 giờ 30 phút", "họp lúc bảy giờ ba mươi phút"),
        ("họp lúc 19:05", "họp lúc mười chín giờ năm phút"),
        ("họp lúc 8h00", "họp lúc tám giờ"),
        ("từ 7h-9h30", "từ bảy giờ đến chín giờ ba mươi phút"),
        ("mã 25:70", "mã hai mươi lăm: bảy mươi"),
        ("gọi 0912345678", "gọi không chín một hai, ba bốn năm, sáu bảy tám"),
        ("gọi 0912.345.678", "gọi không chín một hai, ba bốn năm, sáu bảy tám"),
        ("+84 912 345 678", "cộng tám bốn, chín một hai, ba bốn năm, sáu bảy tám"),
        ("gọi 114", "gọi một một bốn"),
        ("tổng đài 1900 1234", "tổng đài một chín không không, một hai ba bốn"),
        ("1.250.000 đồng", "một triệu hai trăm năm mươi nghìn đồng"),
        ("1.250.000đ", "một triệu hai trăm năm mươi nghìn đồng"),
        ("38,5 độ", "ba mươi tám phẩy năm độ"),
        ("38,5°C", "ba mươi tám phẩy năm độ xê"),
        ("0,05", "không phẩy không năm"),
        ("-3°C", "âm ba độ xê"),
        ("85%", "tám mươi lăm phần trăm"),
        ("ngày 15/3", "ngày mười lăm tháng ba"),
        ("ngày 5/10/2026", "ngày năm tháng mười năm hai nghìn không trăm hai mươi sáu"),
        ("2026-11-25", "hai mươi lăm tháng mười một năm hai nghìn không trăm hai mươi sáu"),
        ("từ 10-15/3", "từ mười đến mười lăm tháng ba"),
        ("tháng 3/2026", "tháng ba năm hai nghìn không trăm hai mươi sáu"),
        ("ngày 45/3", "ngày bốn mươi lăm trên ba"),
        ("QL6", "quốc lộ sáu"),
        ("500m2 và 3 km", "năm trăm mét vuông và ba ki lô mét"),
        ("20-25 người", "hai mươi đến hai mươi lăm người"),
        ("Đại hội lần thứ XIV", "Đại hội lần thứ mười bốn"),
        ("lớp KTQD", "lớp ca tê quy dê"),
        ("THÔNG BÁO QUAN TRỌNG", "THÔNG BÁO QUAN TRỌNG"),
        ("Bà con (5 hộ) chú ý!", "Bà con (năm hộ) chú ý!"),
    ],
)
def test_what_engines_misread_is_written_out(written: str, said: str) -> None:
    assert expand(written) == said


def test_decomposed_text_keeps_its_tones() -> None:
    assert expand(unicodedata.normalize("NFD", "bản tin sáng")) == "bản tin sáng"


def test_signs_that_cannot_be_heard_are_dropped() -> None:
    assert expand("\ufeffKính\u200b thưa\x00 bà con\n\n  hết ") == "Kính thưa bà con\n\nhết"


@pytest.mark.parametrize("written", [*SHORTENINGS, "7h30 ngày 15/3/2026, gọi 0912345678, 1.250.000đ"])
def test_expanding_twice_changes_nothing(written: str) -> None:
    assert expand(expand(written)) == expand(written)


def test_no_digit_is_left_to_an_engine() -> None:
    text = "7h30 15/3 1.2.3 99999999999999 007 3/4/5 1,2,3 12:34:56 A1B2 ٣"
    assert not any(sign.isascii() and sign.isdigit() for sign in expand(text))


def test_a_long_text_without_diacritics_is_doubted() -> None:
    assert doubts("kinh thua ba con day la ban tin") == ("has no Vietnamese diacritics: every word will be misread",)


@pytest.mark.parametrize(
    "text", ["Kính thưa bà con đây là bản tin", "xin nghe", "1 2 3 4 5 6 7 8", "di dem day dua do đo"]
)
def test_good_and_short_texts_are_not_doubted(text: str) -> None:
    assert doubts(text) == ()
