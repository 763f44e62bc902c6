"""Announcements from an iCalendar file (RFC 5545), as a calendar program exports it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from controller.commands.imports.entries import Entry, Flaw, Found, Mistakes, Unreadable, targets
from controller.commands.words import t

AHEAD = timedelta(days=366)
"""A rule that ours cannot express is listed, if it ends within this."""
MOST = 400

WEEKDAYS = {"MO": "mon", "TU": "tue", "WE": "wed", "TH": "thu", "FR": "fri", "SA": "sat", "SU": "sun"}


def read(content: bytes, names: Mapping[str, str], to: list[str], zone: ZoneInfo, now: datetime) -> Found:
    """Broadcasts of a calendar. `names`: folded names and ids of places -> ids; `to`: where no event says it;
    times become those of `zone`; what is over at `now` is left out."""
    from icalendar import Calendar

    try:
        calendars = Calendar.from_ical(content, multiple=True)
    except (ValueError, IndexError, KeyError) as error:
        raise Unreadable(t("is no iCalendar file: {error}", error=str(error)[:200])) from None
    lines = _lines(content)
    found = Found()
    events = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    for number, event in enumerate(events):
        _take(event, lines[number] if number < len(lines) else 0, _Where(names, to, zone, now), found)
    return found


def _lines(content: bytes) -> list[int]:
    """Where each event begins."""
    return [n for n, line in enumerate(content.splitlines(), 1) if line.strip().upper() == b"BEGIN:VEVENT"]


class _Where:
    """What reading an event needs to know."""

    def __init__(self, names: Mapping[str, str], to: list[str], zone: ZoneInfo, now: datetime) -> None:
        self.names = names
        self.to = to
        self.zone = zone
        self.now = now


def _take(event: Any, line: int, where: _Where, found: Found) -> None:
    title = str(event.get("SUMMARY", "")).strip()
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        found.notes.append(Flaw(line, t("'{title}' is cancelled and left out", title=title)))
        return
    wrong = Mistakes()
    schedule = wrong.unless(_schedule, event, where)
    if schedule is None and not wrong.told:
        found.notes.append(Flaw(line, t("'{title}' is over and left out", title=title)))
        return
    keys = _broadcast(event, title, where, wrong)
    found.flaws += [Flaw(line, f"'{title}': {message}" if title else message) for message in wrong.told]
    if not wrong.told:
        found.entries.append(Entry(line, {**keys, **(schedule or {})}))


def _broadcast(event: Any, title: str, where: _Where, wrong: Mistakes) -> dict[str, Any]:
    """One event as broadcasts.yaml writes it, but for its times; it is whole if nothing is wrong."""
    if not title:
        wrong.add(t("no title"))
    if "RECURRENCE-ID" in event:
        wrong.add(t("one instance of a series was changed by itself; write it by hand"))
    place = targets(str(event.get("LOCATION", "")), where.names, wrong) or list(where.to)
    if not place:
        wrong.add(t("no place in LOCATION; or say it for all events with --to"))
    text = str(event.get("DESCRIPTION", "")).strip()
    if not text:
        wrong.add(t("no text to speak in DESCRIPTION"))
    return {"title": " ".join(title.split()), "to": place, "play": [{"chime": "open"}, {"say": text}]}


# --- when ---------------------------------------------------------------------------------------------------


def _schedule(event: Any, where: _Where) -> dict[str, Any] | None:
    if "DTSTART" not in event:
        raise ValueError(t("no time"))
    start = event.decoded("DTSTART")
    if not isinstance(start, datetime):
        raise ValueError(t("lasts all day: no time to air at"))
    local = _local(start, where.zone)
    if "RRULE" not in event and "RDATE" not in event:
        return {"once": [_moment(local)]} if local > where.now else None
    rule = _rule(event, start, local, where)
    return rule if rule is not None else _listed(event, start, where)


def _local(at: datetime, zone: ZoneInfo) -> datetime:
    """A floating time is the site's own."""
    return at.replace(tzinfo=zone) if at.tzinfo is None else at.astimezone(zone)


def _moment(local: datetime) -> str:
    return f"{local:%Y-%m-%d %H:%M}" + (f":{local:%S}" if local.second else "")


def _rule(event: Any, start: datetime, local: datetime, where: _Where) -> dict[str, Any] | None:
    """The recurrence in our own words: at some time, on some days, from, until, without some dates."""
    rules = event["RRULE"] if isinstance(event.get("RRULE"), list) else [event.get("RRULE")]
    if len(rules) != 1 or rules[0] is None or "RDATE" in event or not _same_clock(start, local, where.zone):
        return None
    parts = {name.upper(): value for name, value in rules[0].items()}
    days = _days(parts, local)
    if (
        days is None
        or parts.get("INTERVAL", [1]) != [1]
        or parts.keys() - {"FREQ", "INTERVAL", "BYDAY", "UNTIL", "COUNT", "WKST"}
    ):
        return None
    keys: dict[str, Any] = {"at": [_moment(local)[11:]], "days": days, "from": local.date().isoformat()}
    if "COUNT" in parts or "UNTIL" in parts:
        last = max(_instances(event, start, MOST * 10), default=None)
        if last is None:
            return None
        keys["until"] = _local(last, where.zone).date().isoformat()
        if _local(last, where.zone) <= where.now:
            return None
    skip = sorted({_local(at, where.zone).date().isoformat() for at in _excluded(event)})
    return {**keys, "skip": skip} if skip else keys


def _days(parts: Mapping[str, Any], local: datetime) -> Any:
    """`days` of a daily or weekly rule; None for another one."""
    frequency = parts["FREQ"][0].upper()
    by_day = [str(day).upper() for day in parts.get("BYDAY", [])]
    if frequency not in ("DAILY", "WEEKLY") or any(day not in WEEKDAYS for day in by_day):
        return None
    if by_day:
        return [WEEKDAYS[day] for day in WEEKDAYS if day in by_day]
    return "every day" if frequency == "DAILY" else [list(WEEKDAYS.values())[local.weekday()]]


def _same_clock(start: datetime, local: datetime, zone: ZoneInfo) -> bool:
    """Whether days and times of the event are those of the site: floating, the same zone, or one always as far off."""
    if start.tzinfo is None or str(start.tzinfo) == zone.key:
        return True
    year = [datetime(local.year, month, 1, tzinfo=UTC) for month in range(1, 13)]
    apart = {(at.astimezone(zone).utcoffset(), at.astimezone(start.tzinfo).utcoffset()) for at in year}
    return len(apart) == 1 and start.date() == local.date()


def _listed(event: Any, start: datetime, where: _Where) -> dict[str, Any] | None:
    """Every instance by itself. ValueError when there is no end to them."""
    rule = event.get("RRULE")
    said = rule.to_ical().decode() if rule is not None and not isinstance(rule, list) else "RDATE"
    found = [_local(at, where.zone) for at in _instances(event, start, MOST * 10)]
    coming = sorted({at for at in found if at > where.now})
    if len(coming) > MOST or any(at > where.now + AHEAD for at in coming):
        raise ValueError(t("the rule {rule} is none of ours, and too long to list; give it an end", rule=said))
    return {"once": [_moment(at) for at in coming]} if coming else None


def _instances(event: Any, start: datetime, most: int) -> list[datetime]:
    """The first instances of a series, without those taken out."""
    from dateutil.rrule import rruleset, rrulestr

    both: Any = rruleset()
    try:
        for rule in event["RRULE"] if isinstance(event.get("RRULE"), list) else [event.get("RRULE")]:
            if rule is not None:
                both.rrule(rrulestr(_aware(rule, start), dtstart=start))
    except (ValueError, TypeError) as error:
        raise ValueError(t("its rule cannot be read: {error}", error=error)) from None
    if event.get("RRULE") is None:
        both.rdate(start)
    for at in _dates(event, "RDATE"):
        both.rdate(at)
    for at in _excluded(event):
        both.exdate(at)
    return list(islice(both, most))


def _aware(rule: Any, start: datetime) -> str:
    """The rule with its end as exact as its beginning, which is how dateutil wants it."""
    changed = type(rule)(rule)
    ends = changed.get("UNTIL")
    if ends:
        until = ends[0] if isinstance(ends, list) else ends
        if not isinstance(until, datetime):
            until = datetime(until.year, until.month, until.day, 23, 59, 59, tzinfo=start.tzinfo)
        if start.tzinfo is None:
            changed["UNTIL"] = [until.replace(tzinfo=None)]
        else:
            changed["UNTIL"] = [(until if until.tzinfo else until.replace(tzinfo=start.tzinfo)).astimezone(UTC)]
    return str(changed.to_ical().decode())


def _excluded(event: Any) -> list[datetime]:
    return _dates(event, "EXDATE")


def _dates(event: Any, name: str) -> list[datetime]:
    """All date-times of a property that may stand several times."""
    given = event.get(name)
    lists = given if isinstance(given, list) else [given] if given is not None else []
    return [each.dt for one in lists for each in one.dts if isinstance(each.dt, datetime)]
