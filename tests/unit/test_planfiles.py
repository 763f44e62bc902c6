"""The plan in other programs: it opens, says the same, and keeps its identity."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from controller.commands.planfiles import COLUMNS, as_csv, as_ical
from tests.house import NEWS, network

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
SITE = network(NEWS)


def row(**more: Any) -> dict[str, Any]:
    return {
        "occurrence": "ban-tin@2026-11-24T17:00",
        "broadcast": "ban-tin",
        "title": "Bản tin",
        "start": "2026-11-24T17:00:00+07:00",
        "end": "2026-11-24T17:12:30+07:00",
        "priority": "normal",
        "to": ["na-meo", "son-thuy-01"],
        "except": [],
        "nodes": ["na-meo-01", "na-meo-02", "son-thuy-01"],
        "skipped": None,
        "notes": [],
        **more,
    }


SKIPPED = row(occurrence=None, end=None, skipped={"reason": "holiday", "detail": "Quốc khánh"})


def test_a_calendar_program_finds_identity_time_place_and_state() -> None:
    calendar = Calendar.from_ical(as_ical([row(), SKIPPED], SITE, NOW))
    event, skipped = calendar.walk("VEVENT")
    assert event["UID"] == "ban-tin@2026-11-24T17:00@quan-son"
    assert event.decoded("DTSTART") == datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
    assert event.decoded("DTEND") == datetime(2026, 11, 24, 10, 12, 30, tzinfo=UTC)
    assert (event["SUMMARY"], event["STATUS"]) == ("Bản tin", "CONFIRMED")
    assert "Na Mèo" in event["DESCRIPTION"]
    assert skipped["UID"] == "ban-tin@2026-11-24T17:00@quan-son"
    assert skipped["STATUS"] == "CANCELLED"
    assert "Quốc khánh" in skipped["DESCRIPTION"]
    assert calendar["X-WR-TIMEZONE"] == "Asia/Ho_Chi_Minh"


def test_every_event_ends_after_it_begins_or_has_no_end() -> None:
    """RFC 5545, 3.8.2.2; its times are whole seconds, and a chime may be shorter."""
    start = "2026-11-24T17:00:30+07:00"
    short = row(start=start, end="2026-11-24T17:00:30.900000+07:00", occurrence="ban-tin@2026-11-24T17:00:30")
    first, half, skipped = Calendar.from_ical(as_ical([short, row(), {**SKIPPED, "start": start}], SITE, NOW)).walk(
        "VEVENT"
    )
    assert first.decoded("DTEND") - first.decoded("DTSTART") == timedelta(seconds=1)
    assert half.decoded("DTEND") > half.decoded("DTSTART")
    assert "DTEND" not in skipped
    assert skipped["UID"] == first["UID"], "as the airing would have been called"


def test_an_identity_outlives_the_next_export() -> None:
    first, later = (as_ical([row(title=title)], SITE, NOW) for title in ("Bản tin", "Bản tin chiều"))
    uids = [Calendar.from_ical(each).walk("VEVENT")[0]["UID"] for each in (first, later)]
    assert uids[0] == uids[1]


def test_lines_are_short_and_end_as_the_standard_wants() -> None:
    long = as_ical([row(title="Thông báo về việc tiêm chủng mở rộng cho trẻ em dưới năm tuổi " * 5)], SITE, NOW)
    lines = long.split(b"\r\n")
    assert lines[-1] == b""
    assert max(map(len, lines)) <= 75
    assert b"\n" not in long.replace(b"\r\n", b"")


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_title_survives_the_calendar_file(title: str) -> None:
    (event,) = Calendar.from_ical(as_ical([row(title=title)], SITE, NOW)).walk("VEVENT")
    assert str(event["SUMMARY"]) == title


def test_a_spreadsheet_reads_vietnamese_and_lists() -> None:
    written = as_csv([row(title='Tin; "nóng", hôm nay'), SKIPPED])
    assert written.startswith(b"\xef\xbb\xbf")
    first, second = csv.DictReader(io.StringIO(written.decode("utf-8-sig"), newline=""))
    assert tuple(first) == COLUMNS
    assert first["title"] == 'Tin; "nóng", hôm nay'
    assert (first["date"], first["time"], first["length_s"], first["to"]) == (
        "2026-11-24",
        "17:00",
        "750.0",
        "na-meo;son-thuy-01",
    )
    assert second["skipped"] == "holiday: Quốc khánh"
