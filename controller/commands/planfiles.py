"""The plan as files for other programs: CSV for spreadsheets, iCalendar (RFC 5545) for calendars."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from controller.commands.words import t

if TYPE_CHECKING:
    from icalendar import Event

    from controller.domain.site import Settings

COLUMNS = (
    "date", "time", "length_s", "title", "broadcast", "occurrence", "to", "except", "nodes", "priority", "skipped",
    "notes",
)  # fmt: skip
"""Of the CSV; an import knows those of them that it can use by the same names."""

BOM = "\ufeff"
"""Without it Excel takes UTF-8 for something else, and Vietnamese is unreadable."""


def as_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows of the plan, UTF-8 with BOM, CRLF, lists separated by `;`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(_cells(row) for row in rows)
    return (BOM + text.getvalue()).encode()


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    start = datetime.fromisoformat(row["start"])
    end = datetime.fromisoformat(row["end"]) if row["end"] else None
    return {
        "date": start.date().isoformat(),
        "time": f"{start:%H:%M:%S}" if start.second else f"{start:%H:%M}",
        "length_s": round((end - start).total_seconds(), 1) if end else "",
        "title": row["title"],
        "broadcast": row["broadcast"],
        "occurrence": row["occurrence"] or "",
        "to": ";".join(row["to"]),
        "except": ";".join(row["except"]),
        "nodes": len(row["nodes"]),
        "priority": row["priority"],
        "skipped": _why(row),
        "notes": " ".join(note["text"] for note in row["notes"]),
    }


def _why(row: Mapping[str, Any]) -> str:
    skipped = row["skipped"]
    return f"{skipped['reason']}: {skipped['detail']}" if skipped else ""


def as_ical(rows: Sequence[Mapping[str, Any]], settings: Settings, now: datetime) -> bytes:
    """Rows of the plan as one calendar in UTC. A skipped airing is a cancelled event with the reason."""
    from icalendar import Calendar

    calendar = Calendar()
    calendar.add("prodid", "-//Loa//loa plan//VI")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", settings.site.name)
    calendar.add("x-wr-timezone", settings.site.zone.key)
    for row in rows:
        calendar.add_component(_event(row, settings, now))
    return bytes(calendar.to_ical())


def _event(row: Mapping[str, Any], settings: Settings, now: datetime) -> Event:
    from icalendar import Event

    from broadcasts.timeline import occurrence_id

    start = datetime.fromisoformat(row["start"])
    event = Event()
    event.add(
        "uid", f"{row['occurrence'] or occurrence_id(row['broadcast'], start.replace(tzinfo=None))}@{settings.site.id}"
    )
    event.add("dtstamp", now.astimezone(UTC).replace(microsecond=0))
    event.add("dtstart", start.astimezone(UTC))
    if row["end"]:  # later than the start, says RFC 5545, and its times have no parts of a second
        lasts = datetime.fromisoformat(row["end"]) - start
        event.add("dtend", start.astimezone(UTC) + timedelta(seconds=max(1, math.ceil(lasts.total_seconds()))))
    event.add("summary", row["title"])
    event.add("location", ", ".join(row["to"]))
    event.add("description", _description(row, settings))
    event.add("status", "CANCELLED" if row["skipped"] else "CONFIRMED")
    event.add("categories", [row["priority"]])
    event.add("transp", "TRANSPARENT")
    return event


def _description(row: Mapping[str, Any], settings: Settings) -> str:
    names = [_name(settings, target) for target in row["to"]]
    lines = [t("To: {names} ({count} nodes)", names=", ".join(names), count=len(row["nodes"]))]
    if row["except"]:
        lines.append(t("Except: {names}", names=", ".join(_name(settings, target) for target in row["except"])))
    if row["skipped"]:
        lines.append(t("Skipped: {reason}", reason=_why(row)))
    lines += [note["text"] for note in row["notes"]]
    return "\n".join([*lines, f"loa why {row['occurrence']}" if row["occurrence"] else ""]).strip()


def _name(settings: Settings, target: str) -> str:
    if target in settings.zones:
        return settings.zones[target].name
    return settings.nodes[target].name if target in settings.nodes else target
