"""How a written scalar becomes a value: one reader a kind, as pydantic types.

Every reader takes what `yaml_source` made (text as written, a list, a block or None) and raises ValueError
with a message that shows the value and, where it can, what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator

from broadcasts.model import EVERY_DAY, Weekday
from controller.settings.suggest import did_you_mean, shown, slug
from controller.settings.yaml_source import Text

E = TypeVar("E", bound=Enum)

MAX_LINE = 200
MAX_LIST = 1000
MAX_SCALAR = 100
"""Characters of a time, a number, an id: what is longer is no such thing."""

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_YAML_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "y", "n", "null"})


def scalar(value: Any, what: str) -> str:
    """The text of a single value; ValueError for a list, a block, nothing, or something endless."""
    if value is None:
        raise ValueError(f"{what} is missing after the ':' or '-'")
    if not isinstance(value, str):
        raise ValueError(f"{what} is wanted here, not {shown(value)}")
    if len(value) > MAX_SCALAR:
        raise ValueError(f"{shown(value)} is too long for {what}")
    return value


# --- words ---------------------------------------------------------------------------------------------------


def identifier(value: Any) -> str:
    """An id of the protocol: it becomes a part of topic names."""
    text = scalar(value, "an id")
    refuse_yaml_word(value)
    if _ID.fullmatch(text):
        return text
    rule = "ids are small letters a-z, digits and '-', at most 48, with a letter or digit first"
    meant = slug(text)
    raise ValueError(f"{shown(text)} is no id: {rule}" + (f" (did you mean '{meant}'?)" if meant else ""))


def refuse_yaml_word(value: Any) -> None:
    """Explain an id that other YAML readers would take for a truth value."""
    if isinstance(value, Text) and value.plain and value.lower() in _YAML_WORDS:
        raise ValueError(f'{shown(value)} without quotes is a yes/no value to YAML, not a name: write "{value}"')


def line(value: Any) -> str:
    """One line of text that is not blank."""
    return _prose(value, MAX_LINE).replace("\n", " ")


def prose(value: Any) -> str:
    """Text of several lines that is not blank."""
    return _prose(value, 10_000)


def _prose(value: Any, limit: int) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"text is wanted here, not {shown(value)}")
    text = (value or "").strip()
    if not text:
        raise ValueError("text is missing here")
    if len(text) > limit:
        raise ValueError(f"text of {len(text)} characters: at most {limit}")
    return text


def choice(kind: type[E], what: str) -> Callable[[Any], E]:
    """A reader for one of the words of an enumeration."""
    words = [str(member.value) for member in kind]

    def read(value: Any) -> E:
        return kind(one_of(value, words, what))

    return read


def one_of(value: Any, words: Iterable[str], what: str) -> str:
    """`value` if it is one of `words`; ValueError with the choice and the nearest word."""
    text, words = scalar(value, what), list(words)
    if text in words:
        return text
    raise ValueError(f"unknown {what} {shown(text)}: one of {', '.join(words)}{did_you_mean(text, words)}")


def flag(value: Any) -> bool:
    """yes or no."""
    text = scalar(value, "yes or no")
    if text in ("yes", "true"):
        return True
    if text in ("no", "false"):
        return False
    raise ValueError(f"{shown(text)} is neither yes nor no")


# --- numbers -------------------------------------------------------------------------------------------------


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A reader for a whole number in [low, high]."""

    def read(value: Any) -> int:
        text = scalar(value, "a whole number")
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", text):
            raise ValueError(f"{shown(text)} is no whole number from {low} to {high}")
        return int(_within(int(text), low, high, text))

    return read


def number(low: float, high: float) -> Callable[[Any], float]:
    """A reader for a decimal number in [low, high]."""

    def read(value: Any) -> float:
        text = scalar(value, "a number")
        if re.fullmatch(r"[+-]?[0-9]{1,12},[0-9]{1,12}", text):
            raise ValueError(f"{shown(text)} is no number: write {text.replace(',', '.')} with a point")
        if not re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", text):
            raise ValueError(f"{shown(text)} is no number from {low:g} to {high:g}")
        return _within(float(text), low, high, text)

    return read


def _within(value: float, low: float, high: float, text: str) -> float:
    if not low <= value <= high:
        raise ValueError(f"{shown(text)} is not from {low:g} to {high:g}")
    return value


# --- time ----------------------------------------------------------------------------------------------------

_DURATION = re.compile(
    r"(?:(?P<days>\d{1,4})d)?(?:(?P<hours>\d{1,5})h)?(?:(?P<minutes>\d{1,6})m(?!s))?"
    r"(?:(?P<seconds>\d{1,8}(?:\.\d{1,3})?)s)?(?:(?P<milliseconds>\d{1,9})ms)?",
    re.ASCII,
)


def duration(low: str, high: str) -> Callable[[Any], timedelta]:
    """A reader for a length of time like 10m, 2s, 1h30m, 500ms, between two others."""
    least, most = _length(low) or timedelta(), _length(high) or timedelta.max

    def read(value: Any) -> timedelta:
        text = scalar(value, "a length of time")
        length = _length(text)
        if length is None:
            hint = _meant_duration(text, least, most)
            raise ValueError(f"{shown(text)} is no length of time like 2s, 10m or 1h30m{hint}")
        if not least <= length <= most:
            raise ValueError(f"{shown(text)} is not from {low} to {high}")
        return length

    return read


def _length(text: str) -> timedelta | None:
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    return timedelta(**{unit: float(amount) for unit, amount in match.groupdict().items() if amount})


def _meant_duration(text: str, least: timedelta, most: timedelta) -> str:
    if colon := re.fullmatch(r"([0-9]{1,3}):([0-9]{2})", text):
        return f" (did you mean '{int(colon[1])}m{int(colon[2])}s'?)"
    spaced = re.fullmatch(
        r"([0-9.]{1,6}) ?(s|sec|seconds?|m|min|minutes?|h|hours?|days?|giây|phút|giờ|ngày)?", text.lower()
    )
    if spaced is None:
        return ""
    units = [_UNITS.get(spaced[2], spaced[2][0])] if spaced[2] else ["s", "m", "h", "d"]
    lengths = [(f"{spaced[1]}{unit}", _length(f"{spaced[1]}{unit}")) for unit in units]
    fitting = [f"'{name}'" for name, length in lengths if length is not None and least <= length <= most]
    return f" (did you mean {' or '.join(fitting)}?)" if fitting else ""


_UNITS = {"giây": "s", "phút": "m", "giờ": "h", "ngày": "d"}

_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")


def time_of_day(value: Any) -> time:
    """HH:MM or HH:MM:SS on a 24-hour clock."""
    text = scalar(value, "a time of day")
    if match := _TIME.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            return time(hour, minute, second)
    raise ValueError(f"{shown(text)} is no time of day from 00:00 to 23:59{_meant_time(text)}")


def _meant_time(text: str) -> str:
    loose = re.fullmatch(r"([0-9]{1,2})\s?(?:[:.hHgG]|giờ)?\s?([0-9]{2})?\s?(?:phút|p)?\s?([AaPp][Mm])?", text.strip())
    if text == "24:00":
        return " (did you mean '00:00' of the next day?)"
    if not loose:
        return ""
    hour, minute, half = int(loose[1]), int(loose[2] or 0), (loose[3] or "").lower()
    hour = hour % 12 + (12 if half == "pm" else 0) if half else hour
    return f" (did you mean '{hour:02}:{minute:02}'?)" if hour < 24 and minute < 60 else ""


def day(value: Any) -> date:
    """YYYY-MM-DD."""
    text = scalar(value, "a date")
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return _existing(text)
    raise ValueError(f"{shown(text)} is no date like 2026-11-25{_meant_date(text)}")


def _existing(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is no date: the calendar has no such day") from None


def _meant_date(text: str) -> str:
    """Vietnamese order: day, month, year."""
    if match := re.fullmatch(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})", text):
        return _if_exists(int(match[3]), int(match[2]), int(match[1]))
    if match := re.fullmatch(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})", text):
        return _if_exists(int(match[1]), int(match[2]), int(match[3]))
    return ""


def _if_exists(year: int, month: int, day: int) -> str:
    try:
        return f" (did you mean '{date(year, month, day)}'?)"
    except ValueError:
        return ""


def moment(value: Any) -> datetime:
    """A naive local `YYYY-MM-DD HH:MM[:SS]`."""
    text = scalar(value, "a date and time")
    date_text, _, time_text = text.replace("T", " ", 1).partition(" ")
    if not time_text:
        raise ValueError(f"{shown(text)} is no date and time like 2026-11-25 16:45")
    return datetime.combine(day(date_text), time_of_day(time_text.strip()))


_DAY_GROUPS = {
    "every day": EVERY_DAY,
    "weekdays": frozenset(Weekday) - {Weekday.SAT, Weekday.SUN},
    "weekend": frozenset({Weekday.SAT, Weekday.SUN}),
}
_DAYS = {**{one.name.lower(): frozenset({one}) for one in Weekday}, **_DAY_GROUPS}
_VIETNAMESE_DAYS = {"t2": "mon", "t3": "tue", "t4": "wed", "t5": "thu", "t6": "fri", "t7": "sat", "cn": "sun"}


WORKDAYS = "workdays"


def weekdays(value: Any) -> frozenset[Weekday] | None:
    """One word for a day or a group of days; None for `workdays`, which only a calendar knows."""
    text = scalar(value, "a day")
    if text == WORKDAYS:
        return None
    if text in _DAYS:
        return _DAYS[text]
    meant = _VIETNAMESE_DAYS.get(text.lower()) or next((d for d in _DAYS if text.lower().startswith(d)), None)
    hint = f" (did you mean '{meant}'?)" if meant else did_you_mean(text, (*_DAYS, WORKDAYS))
    raise ValueError(f"unknown day {shown(text)}: one of {', '.join((*_DAYS, WORKDAYS))}{hint}")


# --- addresses -----------------------------------------------------------------------------------------------


def url(*schemes: str) -> Callable[[Any], str]:
    """A reader for an address with a host and one of `schemes`."""

    def read(value: Any) -> str:
        text = line(value)
        if reason := _url_flaw(text, schemes):
            raise ValueError(f"{shown(text)} is no address like {schemes[0]}://host/path: {reason}")
        return text

    return read


def _url_flaw(text: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in schemes:
        return f"it must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if not parts.hostname or port == 0:
        return "a host is missing" if not parts.hostname else "port 0 is none"
    return "a space is in it" if re.search(r"\s", text) else ""


def mail_address(value: Any) -> str:
    """name@host."""
    text = line(value)
    if re.fullmatch(r"[^\s@<>,;\"]{1,64}@[A-Za-z0-9.-]{1,190}", text):
        return text
    raise ValueError(f"{shown(text)} is no mail address like name@example.vn")


def one_or_many(value: Any) -> Any:
    """A single value where a list may stand."""
    if value is None:
        raise ValueError("a value or a list is missing here")
    if isinstance(value, list) and not value:
        raise ValueError("an empty list: write at least one value")
    if isinstance(value, list) and len(value) > MAX_LIST:
        raise ValueError(f"a list of {len(value)} values: at most {MAX_LIST}")
    return value if isinstance(value, list) else [value]


T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(one_or_many)]
"""A list, or a single value in its place."""


def phone(value: Any) -> str:
    """A phone number, written as people write it."""
    text = line(value)
    if re.fullmatch(r"\+?[0-9][0-9 .-]{2,19}", text):
        return text
    raise ValueError(f"{shown(text)} is no phone number")


Id = Annotated[str, BeforeValidator(identifier)]
Line = Annotated[str, BeforeValidator(line)]
Prose = Annotated[str, BeforeValidator(prose)]
Flag = Annotated[bool, BeforeValidator(flag)]
TimeOfDay = Annotated[time, BeforeValidator(time_of_day)]
Day = Annotated[date, BeforeValidator(day)]
WebAddress = Annotated[str, BeforeValidator(url("http", "https"))]
Phone = Annotated[str, BeforeValidator(phone)]
MailAddress = Annotated[str, BeforeValidator(mail_address)]
Volume = Annotated[int, BeforeValidator(whole(1, 100))]
Port = Annotated[int, BeforeValidator(whole(1, 65535))]
AnyPort = Annotated[int, BeforeValidator(whole(0, 65535))]
