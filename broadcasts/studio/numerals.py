"""Numbers as Vietnamese say them."""

from __future__ import annotations

import re

_DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
_GROUPS = ("", "nghìn", "triệu")
_BILLION = 1_000_000_000
_ROMAN = re.compile(r"(X{0,3})(IX|IV|V?I{0,3})")
_ROMAN_UNITS = {"": 0, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9}


def number(value: int) -> str:
    """A whole number, 0 or more, in words: 15 is "mười lăm", 105 "một trăm linh năm"."""
    if value >= _BILLION:
        rest = value % _BILLION
        return f"{number(value // _BILLION)} tỷ" + (f" {_below_billion(rest, inner=True)}" if rest else "")
    return _below_billion(value, inner=False) if value else _DIGITS[0]


def digits(text: str) -> str:
    """Digits one by one, as a telephone number is said."""
    return " ".join(_DIGITS[int(digit)] for digit in text)


def roman(text: str) -> int:
    """Value of a Roman numeral from I to XXXIX; 0 if it is none."""
    found = _ROMAN.fullmatch(text)
    return 10 * len(found[1]) + _ROMAN_UNITS[found[2]] if found else 0


def _below_billion(value: int, *, inner: bool) -> str:
    """`inner`: something was said before it, so that empty hundreds are to be heard ("không trăm")."""
    words: list[str] = []
    for power in (2, 1, 0):
        group = value // 1000**power % 1000
        if group:
            words.append(f"{_hundreds(group, inner=inner or bool(words))} {_GROUPS[power]}".strip())
    return " ".join(words)


def _hundreds(value: int, *, inner: bool) -> str:
    hundreds, rest = divmod(value, 100)
    if not hundreds and not inner:
        return _tens(rest)
    said = f"{_DIGITS[hundreds]} trăm"
    if not rest:
        return said
    return f"{said} {_tens(rest)}" if rest >= 10 else f"{said} linh {_DIGITS[rest]}"


def _tens(value: int) -> str:
    tens, unit = divmod(value, 10)
    if not tens:
        return _DIGITS[unit]
    said = "mười" if tens == 1 else f"{_DIGITS[tens]} mươi"
    if not unit:
        return said
    after = {1: "mốt", 4: "tư", 5: "lăm"} if tens > 1 else {5: "lăm"}
    return f"{said} {after.get(unit, _DIGITS[unit])}"
