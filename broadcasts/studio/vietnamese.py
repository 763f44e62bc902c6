"""Vietnamese text as it is to be spoken: dates, times, numbers, abbreviations in words.

espeak-ng reads 15 as "ten years", 1.250.000 and 38,5 wrongly, and UBND as English; other engines have gaps of
their own. So the studio hands every engine plain words, in NFC (NFD loses the tones).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from broadcasts.studio.numerals import digits, number, roman
from broadcasts.studio.shortenings import LETTERS, SHORTENINGS, UNITS

_LONG_WORDS = 6


def expand(text: str) -> str:
    """`text` in NFC, with everything in it written out as it is said. Once expanded, it stays as it is."""
    said = "".join(" " if _is_unspeakable(sign) else sign for sign in unicodedata.normalize("NFC", text))
    for pattern, words in _RULES:
        said = pattern.sub(words, said)
    return "\n".join(_SPACE_BEFORE.sub("", " ".join(line.split())) for line in said.splitlines()).strip()


def doubts(text: str) -> tuple[str, ...]:
    """What an operator should know about `text` before it is spoken."""
    words = [word for word in text.split() if any(sign.isalpha() for sign in word)]
    marks = unicodedata.normalize("NFD", text)
    marked = any(unicodedata.combining(sign) or sign in "đĐ" for sign in marks)
    if len(words) < _LONG_WORDS or marked:
        return ()
    return ("has no Vietnamese diacritics: every word will be misread",)


def _is_unspeakable(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs") and sign != "\n"


# --- how each is said -----------------------------------------------------------------------------------------


def _shortening(found: re.Match[str]) -> str:
    return f" {SHORTENINGS[found[0]]} "


def _spelled(found: re.Match[str]) -> str:
    return " ".join(LETTERS[letter] for letter in found[0])


def _iso_date(found: re.Match[str]) -> str:
    return f"{int(found[3])}/{int(found[2])}/{found[1]}"


def _date(found: re.Match[str]) -> str:
    parts = found.groupdict(default="")
    day, month = int(parts["day"]), int(parts["month"])
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return found[0]
    first = f"{number(int(parts['first']))} đến " if parts["first"] else ""
    year = f" năm {number(int(parts['year']))}" if parts.get("year") else ""
    return f"{parts.get('before', '')}{first}{number(day)} tháng {number(month)}{year}"


def _month(found: re.Match[str]) -> str:
    return f"{found[1]}{number(int(found[2]))} năm {number(int(found[3]))}"


def _time(found: re.Match[str]) -> str:
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if hour > 24 or minute > 59:
        return found[0]
    return f"{number(hour)} giờ {number(minute)} phút" if minute else f"{number(hour)} giờ"


def _phone(found: re.Match[str]) -> str:
    groups = re.split(r"[ .-]", found[0].removeprefix("+"))
    if len(groups) == 1 and len(groups[0]) == 10:
        groups = [groups[0][:4], groups[0][4:7], groups[0][7:]]
    said = ", ".join(digits(group) for group in groups)
    return f"cộng {said}" if found[0].startswith("+") else said


def _called(found: re.Match[str]) -> str:
    return f"{found[1]}{digits(found[2])}"


def _unit(found: re.Match[str]) -> str:
    return f"{found[1]} {UNITS[found[2]]}"


def _roman(found: re.Match[str]) -> str:
    value = roman(found[2])
    return f"{found[1]}{number(value)}" if value else found[0]


def _number(found: re.Match[str]) -> str:
    said = _figures(found["whole"].replace(".", ""))
    fraction = found["fraction"] or ""
    if fraction:
        said += f" phẩy {digits(fraction) if len(fraction) > 2 else _figures(fraction)}"
    return f" {said} "


def _figures(text: str) -> str:
    """A number; digits one by one where it is a code (leading zero) or too long to follow."""
    code = len(text) > 12 or (len(text) > 1 and text.startswith("0"))
    return digits(text) if code else number(int(text))


# --- when: from top to bottom, each rule sees what the ones above it left -------------------------------------


def _one_of(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_SPACE_BEFORE = re.compile(r" +(?=[,.;:!?)])|(?<=\() +")
_FREE = r"(?<![\d])(?<!\d[./,-])"
_ENDED = r"(?![./-]?\d)"
_DAY = r"(?:(?P<first>\d{1,2}) ?[-–] ?)?(?P<day>\d{1,2})"
_BEFORE_A_DATE = r"(?i:ngày|hôm nay,?|đến|từ|trước|sau|hạn|sáng|trưa|chiều|tối|đêm|mùng|mồng|rằm) +"
_BEFORE_A_CODE = r"(?i:gọi|tổng đài|đường dây nóng|điện thoại|số máy|hotline)(?: +số)?:? +"
_BEFORE_ROMAN = r"(?i:lần thứ|thứ|khóa|khoá|quý|kỳ|đại hội|đại hội đảng|thế kỷ|nhóm|cấp|phần|chương) +"
_HOUR = r"(?P<hour>\d{1,2})"
_A_TIME = r"\d{1,2} ?(?:h|g|:|giờ)"

_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(rf"(?<!\w)(?:{_one_of(SHORTENINGS)})(?![^\W\d])"), _shortening),
    (re.compile(rf"{_FREE}(\d{{4}})-(\d\d)-(\d\d){_ENDED}"), _iso_date),
    (re.compile(rf"{_FREE}{_DAY}[/.-](?P<month>\d{{1,2}})[/.-](?P<year>\d{{4}}){_ENDED}"), _date),
    (re.compile(rf"(?P<before>\b{_BEFORE_A_DATE}){_DAY}/(?P<month>\d{{1,2}}){_ENDED}"), _date),
    (re.compile(rf"((?i:tháng) +)(\d{{1,2}})/(\d{{4}}){_ENDED}"), _month),
    (re.compile(rf"{_FREE}(?:\+84|0)(?:[ .-]?\d){{8,10}}(?![.,-]?\d)"), _phone),
    (re.compile(rf"{_FREE}1[89]00(?:[ .-]?\d){{4,6}}(?![.,-]?\d)"), _phone),
    (re.compile(rf"(\b{_BEFORE_A_CODE})(\d{{3,}})(?![.,]?\d)"), _called),
    (re.compile(r"(?<=\d) ?/ ?(?=\d)"), lambda _: " trên "),
    (re.compile(rf"({_A_TIME} ?\d{{0,2}}) ?[-–] ?(?={_A_TIME})"), lambda found: f"{found[1]} đến "),
    (re.compile(rf"{_FREE}{_HOUR} ?(?:[hg:]|giờ) ?(?P<minute>\d\d)(?:'|p\b| phút\b)?(?![\d:])"), _time),
    (re.compile(rf"{_FREE}{_HOUR} ?h(?P<minute>)\b"), _time),
    (re.compile(r"(?<![\w.,])[-−](?=\d+(?:,\d+)? ?(?:°|độ|oC))"), lambda _: "âm "),
    (re.compile(rf"(\d) ?({_one_of(UNITS)})(?![^\W\d])"), _unit),
    (re.compile(r"(?<!\w)[Kk]m(?!\w)"), lambda _: "ki lô mét"),
    (re.compile(rf"(\b{_BEFORE_ROMAN})([IVX]+)\b"), _roman),
    (re.compile(r"(?<=\d) ?[-–] ?(?=\d)"), lambda _: " đến "),
    (re.compile(rf"(?<![^\W\d])[{''.join(LETTERS)}]{{2,6}}(?![^\W\d])"), _spelled),
    (re.compile(r"(?P<whole>\d{1,3}(?:\.\d{3})+(?!\d)|\d+)(?:[,.](?P<fraction>\d+))?"), _number),
)
