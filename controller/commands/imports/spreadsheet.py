"""Announcements from a CSV file as Excel, LibreOffice or a person writes it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from controller.commands.imports.entries import Entry, Flaw, Found, Mistakes, Unreadable, folded, targets
from controller.commands.words import t

HEADERS: Mapping[str, tuple[str, ...]] = {
    "id": ("ma",),
    "title": ("tieu-de", "ten", "ten-chuong-trinh", "chuong-trinh"),
    "text": ("noi-dung", "loi-doc", "van-ban"),
    "file": ("tep", "tep-am-thanh", "am-thanh"),
    "to": ("noi-phat", "noi-nhan", "xa", "vung", "dia-ban"),
    "except": ("tru",),
    "date": ("ngay", "ngay-phat", "tu-ngay", "from"),
    "until": ("den-ngay", "den-het-ngay"),
    "time": ("gio", "gio-phat", "thoi-gian", "at"),
    "days": ("thu", "cac-thu", "ngay-trong-tuan"),
    "priority": ("uu-tien", "muc-uu-tien"),
    "volume": ("am-luong",),
    "voice": ("giong", "giong-doc"),
}
"""Columns, and what else they may be called; without case or accents."""

IGNORED = frozenset({"length-s", "occurrence", "broadcast", "nodes", "skipped", "notes", "stt", "ghi-chu"})
"""Columns that are no part of a broadcast: those of loa plan --format csv, and numbers and remarks of people."""

PRIORITIES = {"thuong": "normal", "uu-tien": "priority", "khan-cap": "emergency"}
DAYS = {
    "hang-ngay": "every day", "moi-ngay": "every day", "every-day": "every day", "ngay-thuong": "weekdays",
    "cuoi-tuan": "weekend", "thu-hai": "mon", "thu-ba": "tue", "thu-tu": "wed", "thu-nam": "thu", "thu-sau": "fri",
    "thu-bay": "sat", "chu-nhat": "sun", "t2": "mon", "t3": "tue", "t4": "wed", "t5": "thu", "t6": "fri", "t7": "sat",
    "cn": "sun", "2": "mon", "3": "tue", "4": "wed", "5": "thu", "6": "fri", "7": "sat",
}  # fmt: skip


def read(content: bytes, names: Mapping[str, str], to: list[str]) -> Found:
    """Broadcasts of a CSV file. `names`: folded names and ids of places -> ids; `to`: where no row says it."""
    text = _decoded(content)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    found = Found()
    try:
        columns = _columns(next(rows, []), found)
        for cells in rows:
            if any(cell.strip() for cell in cells):
                _take(dict(zip(columns, cells, strict=False)), rows.line_num, names, to, found)
    except csv.Error as error:
        raise Unreadable(t("line {line}: {error}", line=rows.line_num, error=error)) from None
    return found


def _decoded(content: bytes) -> str:
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(t("is not UTF-8; save it as 'CSV UTF-8'")) from None


def _delimiter(text: str) -> str:
    """Of the first line; Excel writes what the system's language has for a list."""
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _columns(header: list[str], found: Found) -> list[str]:
    known = {alias: name for name, aliases in HEADERS.items() for alias in (folded(name), *aliases)}
    columns = [known.get(folded(cell), "") for cell in header]
    unknown = [c for c, name in zip(header, columns, strict=True) if not name and folded(c) not in {"", *IGNORED}]
    found.notes += [Flaw(1, t("column '{name}' is not read", name=name)) for name in unknown]
    missing = [name for name in ("title", "time") if name not in columns]
    if missing:
        raise Unreadable(
            t("line 1: no column {names}; columns are {known}", names=", ".join(missing), known=", ".join(HEADERS))
        )
    return columns


def _take(cells: Mapping[str, str], line: int, names: Mapping[str, str], to: list[str], found: Found) -> None:
    row = {name: value.strip() for name, value in cells.items() if name and value.strip()}
    wrong = Mistakes()
    keys = _broadcast(row, names, to, wrong)
    found.flaws += [Flaw(line, message) for message in wrong.told]
    if not wrong.told:
        found.entries.append(Entry(line, keys))


def _broadcast(row: Mapping[str, str], names: Mapping[str, str], to: list[str], wrong: Mistakes) -> dict[str, Any]:
    """One row as broadcasts.yaml writes it; it is whole if nothing is wrong."""
    keys: dict[str, Any] = {name: row[name] for name in ("id", "title") if name in row}
    keys["to"] = targets(row["to"], names, wrong) if "to" in row else list(to)
    if "title" not in row:
        wrong.add(t("no title"))
    if not keys["to"]:
        wrong.add(t("no place in 'to'; or say it for all rows with --to"))
    if "except" in row:
        keys["except"] = targets(row["except"], names, wrong)
    keys |= _schedule(row, wrong)
    if "priority" in row:
        keys["priority"] = PRIORITIES.get(folded(row["priority"]), row["priority"])
    if "volume" in row:
        keys["volume"] = wrong.unless(_whole, row["volume"])
    return {**keys, "play": _play(row, wrong)}


def _play(row: Mapping[str, str], wrong: Mistakes) -> list[dict[str, str]]:
    if ("text" in row) == ("file" in row):
        wrong.add(t("give either 'text' or 'file'"))
    if "file" in row:
        return [{"file": row["file"]}]
    voice = {"voice": row["voice"]} if "voice" in row else {}
    return [{"chime": "open"}, {"say": row.get("text", ""), **voice}]


def _schedule(row: Mapping[str, str], wrong: Mistakes) -> dict[str, Any]:
    times = wrong.all_of(_time, row.get("time", ""))
    if not row.get("time", "").strip(";, "):
        wrong.add(t("no time"))
    if "until" in row or "days" in row:
        return _series(row, times, wrong)
    if "date" not in row:
        wrong.add(t("no date; or give 'days' for a series"))
    dates = wrong.all_of(_date, row.get("date", ""))
    return {"once": sorted(f"{day} {at}" for day in dates for at in times)}


def _series(row: Mapping[str, str], times: list[str], wrong: Mistakes) -> dict[str, Any]:
    keys: dict[str, Any] = {"at": times}
    if "days" in row:
        days = [DAYS.get(folded(word), word.strip()) for word in re.split(r"[;,]", row["days"])]
        keys["days"] = days[0] if len(days) == 1 else days
    for name, column in (("from", "date"), ("until", "until")):
        if column in row:
            keys[name] = wrong.unless(_date, row[column])
    return keys


def _date(written: str) -> str:
    """`2026-11-25`, or as written here: `25/11/2026`, `25-11-2026`, `25.11.2026`."""
    word = written.strip()
    if match := re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", word):
        year, month, day = map(int, match.groups())
    elif match := re.fullmatch(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", word):
        day, month, year = map(int, match.groups())
    else:
        raise ValueError(t("'{text}' is not a date; write it as 2026-11-25 or 25/11/2026", text=word))
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise ValueError(t("there is no {text}", text=word)) from None


def _time(written: str) -> str:
    """`16:45`, `16h45`, `7h`, `07:30:00`, `7 giờ 30`."""
    word = written.strip().lower()
    match = re.fullmatch(r"(\d{1,2})\s*(?::|h|giờ|g)\s*(?:(\d{1,2})(?::(\d{2}))?\s*(?:phút|')?)?", word)
    if match is None:
        raise ValueError(t("'{text}' is not a time of day; write it as 16:45", text=written.strip()))
    hour, minute, second = (int(part or 0) for part in match.groups())
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(t("there is no {text}", text=written.strip()))
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _whole(written: str) -> int:
    try:
        return int(written.rstrip("% "))
    except ValueError:
        raise ValueError(t("'{text}' is not a whole number", text=written)) from None
