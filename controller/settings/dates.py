"""How written dates become values: ranges, what `skip` holds, days of lunar and solar months."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

from broadcasts.calendar import FIRST, LAST
from broadcasts.model import DateRange, MonthDay
from controller.settings.suggest import did_you_mean, shown, slug
from controller.settings.values import day, scalar
from controller.settings.values import moment as local_moment

HOLIDAYS = "holidays"
LONGEST = 3660
"""Days of a range."""
_LONGEST_SOLAR = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_LEAP_WORDS = frozenset({"n", "nhuan", "leap"})


def date_range(value: Any) -> DateRange:
    """A date, or two with `..` between: both are inside."""
    text = scalar(value, "a date")
    first, dots, last = text.partition("..")
    if not dots:
        _refuse_other_dashes(text)
        return DateRange(covered(first), covered(first))
    between = DateRange(covered(first.strip()), covered(last.strip()))
    if between.first > between.last:
        hint = f" (did you mean '{between.last}..{between.first}'?)"
        raise ValueError(f"{shown(text)} ends before it begins{hint}")
    if (between.last - between.first).days >= LONGEST:
        raise ValueError(f"{shown(text)} is longer than ten years")
    return between


def _refuse_other_dashes(text: str) -> None:
    between = re.fullmatch(
        r"([0-9]{4}-[0-9]{2}-[0-9]{2})\s*(?:\.+|-|–|—|…|to|until|đến|:|/)\s*([0-9]{4}-[0-9]{2}-[0-9]{2})", text
    )
    if between:
        raise ValueError(f"{shown(text)} is no range of dates (did you mean '{between[1]}..{between[2]}'?)")


def covered(value: Any) -> date:
    """A date in the years that the calendar knows."""
    return _in_the_tables(day(value))


def _in_the_tables(found: date) -> date:
    if not FIRST <= found <= LAST:
        raise ValueError(f"'{found}' is not from {FIRST.year} to {LAST.year}")
    return found


def moment(value: Any) -> datetime:
    """A naive local date and time in the years that the calendar knows."""
    found = local_moment(value)
    _in_the_tables(found.date())
    return found


def skipped(value: Any) -> DateRange | str:
    """An entry of `skip`: a date, a range, or the word `holidays`."""
    text = scalar(value, "a date, a range of dates or 'holidays'")
    if text == HOLIDAYS:
        return text
    if re.match(r"[0-9]", text):
        return date_range(value)
    vietnamese = slug(text) in ("ngay-le", "le", "nghi-le", "ngay-nghi-le")
    hint = f" (did you mean '{HOLIDAYS}'?)" if vietnamese else did_you_mean(text, [HOLIDAYS])
    raise ValueError(f"{shown(text)} is no date, no range like 2027-02-05..2027-02-12, and not 'holidays'{hint}")


def lunar(value: Any) -> MonthDay:
    """`15/1`, `15/*`, `15/6n`: a day of a lunar month, of every one, of the leap month."""
    text = scalar(value, "a lunar date")
    found = _month_day(text, "lunar date like 15/1, 1/* or 15/6n")
    if not 1 <= found.day <= 30:
        raise ValueError(f"{shown(text)} is no lunar date: a lunar month has 29 or 30 days")
    return found


def solar(value: Any) -> MonthDay:
    """`2/9`, `1/*`: a day of a month, of every month, year by year."""
    text = scalar(value, "a date of every year")
    found = _month_day(text, "date of every year like 2/9 or 1/*")
    if found.leap:
        raise ValueError(f"{shown(text)}: only lunar months can be leap months")
    longest = _LONGEST_SOLAR.get(found.month or 1, 31)
    if not 1 <= found.day <= longest:
        raise ValueError(f"{shown(text)} is no date of any year: that month has at most {longest} days")
    return found


def _month_day(text: str, what: str) -> MonthDay:
    match = re.fullmatch(r"([0-9]{1,2})/(?:([0-9]{1,2})(n?)|\*)", text)
    if match is None:
        raise ValueError(f"{shown(text)} is no {what}{_meant_month_day(text)}")
    month = int(match[2]) if match[2] else None
    if month is not None and not 1 <= month <= 12:
        raise ValueError(f"{shown(text)} is no {what}: months are 1 to 12, and the day comes first")
    return MonthDay(int(match[1]), month, bool(match[3]))


def _meant_month_day(text: str) -> str:
    loose = re.fullmatch(r"([0-9]{1,2})\s*[/.-]\s*([0-9]{1,2}|\*)\s*(.*)", text.strip())
    if loose is None:
        return ""
    word = slug(loose[3])
    if word and word not in _LEAP_WORDS:
        return ""
    return f" (did you mean '{int(loose[1])}/{loose[2].lstrip('0')}{'n' if word else ''}'?)"


Covered = Annotated[date, BeforeValidator(covered)]
Moment = Annotated[datetime, BeforeValidator(moment)]
Dates = Annotated[DateRange, BeforeValidator(date_range)]
Skip = Annotated[DateRange | str, BeforeValidator(skipped)]
Lunar = Annotated[MonthDay, BeforeValidator(lunar)]
Solar = Annotated[MonthDay, BeforeValidator(solar)]
