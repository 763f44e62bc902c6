"""Announcements from spreadsheets and calendars: all of it, or a reason with its line, and nothing before a yes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller import cli
from controller.commands.base import Failure
from controller.commands.imports import calendar, spreadsheet
from controller.commands.imports.entries import Found, Unreadable, finished, slug
from controller.commands.planfiles import as_ical
from tests.house import HANOI, NEWS, network
from tests.unit.test_planfiles import row

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
NAMES = {
    "na-meo": "na-meo",
    "xa-na-meo": "na-meo",
    "son-thuy": "son-thuy",
    "toan-huyen": "all",
    "son-thuy-01": "son-thuy-01",
}
ROOT = Path(__file__).parent.parent.parent


def rows(text: str, to: Sequence[str] = ()) -> Found:
    return spreadsheet.read(text.encode(), NAMES, list(to))


def keys(found: Found) -> list[dict[str, Any]]:
    assert found.flaws == []
    return [dict(entry.keys) for entry in finished(found.entries, ())]


# --- CSV ----------------------------------------------------------------------------------------------------


def test_a_row_with_english_headers_is_a_broadcast() -> None:
    (one,) = keys(rows("title,text,to,date,time\nTiêm chủng,Mời bà con.,na-meo;son-thuy,2026-11-25,16:45\n"))
    assert one == {
        "id": "tiem-chung",
        "title": "Tiêm chủng",
        "to": ["na-meo", "son-thuy"],
        "once": ["2026-11-25 16:45"],
        "play": [{"chime": "open"}, {"say": "Mời bà con."}],
    }


def test_what_excel_in_vietnam_saves_is_read() -> None:
    """Semicolons, a byte order mark, Vietnamese headers, names of places, dates and times as people write them."""
    text = (
        "STT;Tiêu đề;Nội dung;Nơi phát;Ngày phát;Giờ;Ưu tiên\r\n"
        "1;Họp dân;Mời, bà con;Xã Na Mèo;5/12/2026;7h30;ưu tiên\r\n"
    )
    (one,) = keys(spreadsheet.read(b"\xef\xbb\xbf" + text.encode(), NAMES, []))
    assert (one["to"], one["once"], one["priority"]) == (["na-meo"], ["2026-12-05 07:30"], "priority")
    assert one["play"][1] == {"say": "Mời, bà con"}


def test_utf_16_of_older_excel_is_read() -> None:
    text = "title\ttext\tto\tdate\ttime\nTin\tMời bà con\tna-meo\t25/11/2026\t16h\n"
    (one,) = keys(spreadsheet.read(text.encode("utf-16"), NAMES, []))
    assert one["once"] == ["2026-11-25 16:00"]


def test_a_series_has_days_and_an_end() -> None:
    (one,) = keys(
        rows(
            "title,file,to,from,until,days,time\n"
            "Tin,audio/a.mp3,toàn huyện,1/12/2026,31/12/2026,thứ hai;CN,5:30;17:00\n"
        )
    )
    assert {name: one[name] for name in ("to", "at", "days", "from", "until", "play")} == {
        "to": ["all"],
        "at": ["05:30", "17:00"],
        "days": ["mon", "sun"],
        "from": "2026-12-01",
        "until": "2026-12-31",
        "play": [{"file": "audio/a.mp3"}],
    }


def test_rows_that_differ_in_nothing_but_the_date_are_one_broadcast() -> None:
    text = (
        "title,text,to,date,time\nTin,Mời.,na-meo,2026-11-26,7:00\n"
        "Tin,Mời.,na-meo,2026-11-25,7:00\nTin,Khác.,na-meo,2026-11-25,9:00\n"
    )
    first, second = keys(rows(text))
    assert (first["id"], first["once"]) == ("tin", ["2026-11-25 07:00", "2026-11-26 07:00"])
    assert second["id"] == "tin-2"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",Mời.,na-meo,2026-11-25,7:00", "no title"),
        ("Tin,,na-meo,2026-11-25,7:00", "give either 'text' or 'file'"),
        ("Tin,Mời.,,2026-11-25,7:00", "no place"),
        ("Tin,Mời.,na-meo,,7:00", "no date"),
        ("Tin,Mời.,na-meo,2026-11-25,", "no time"),
        ("Tin,Mời.,na-meo,25 tháng 11,7:00", "'25 tháng 11' is not a date"),
        ("Tin,Mời.,na-meo,31/11/2026,7:00", "there is no 31/11/2026"),
        ("Tin,Mời.,na-meo,11/25/2026,7:00", "there is no 11/25/2026"),
        ("Tin,Mời.,na-meo,2026-11-25,sáng", "'sáng' is not a time of day"),
        ("Tin,Mời.,na-meo,2026-11-25,25:00", "there is no 25:00"),
    ],
)
def test_a_row_that_cannot_be_one_is_told_with_its_line(line: str, message: str) -> None:
    found = rows(f"title,text,to,date,time\nA,B,na-meo,2026-11-25,6:00\n{line}\n")
    assert len(found.entries) == 1
    [flaw] = found.flaws
    assert flaw.line == 3
    assert flaw.message.startswith(message)


def test_all_that_is_wrong_with_a_row_is_told_at_once() -> None:
    text = (
        "title,text,to,date,time,volume\n,,na-meoo,25 tháng 11; 31/11/2026,sáng;25:00,to\nTin,Mời.,,2026-11-25,7:00,\n"
    )
    assert [(flaw.line, flaw.message.split(";")[0]) for flaw in rows(text).flaws] == [
        (2, "unknown zone 'na-meoo' (did you mean 'na-meo'?)"),
        (2, "no title"),
        (2, "'sáng' is not a time of day"),
        (2, "there is no 25:00"),
        (2, "'25 tháng 11' is not a date"),
        (2, "there is no 31/11/2026"),
        (2, "'to' is not a whole number"),
        (2, "give either 'text' or 'file'"),
        (3, "no place in 'to'"),
    ]


def test_all_that_is_wrong_with_an_event_is_told_at_once() -> None:
    body = "DTSTART;VALUE=DATE:20261125\r\nRECURRENCE-ID:20261124T053000"
    text = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\n{body}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    found = calendar.read(text.encode(), NAMES, [], HANOI, NOW)
    assert [flaw.message.split(";")[0] for flaw in found.flaws] == [
        "lasts all day: no time to air at",
        "no title",
        "one instance of a series was changed by itself",
        "no place in LOCATION",
        "no text to speak in DESCRIPTION",
    ]


def test_a_file_without_the_columns_or_in_another_encoding_is_refused_whole() -> None:
    with pytest.raises(Unreadable, match="no column title, time"):
        rows("a,b\n1,2\n")
    with pytest.raises(Unreadable, match="UTF-8"):
        spreadsheet.read("title,time\nH\xf4m nay,7:00\n".encode("latin-1"), NAMES, [])


def test_an_unknown_column_is_said() -> None:
    assert "volum" in rows("title,time,text,volum\n").notes[0].message


def test_ids_are_names_that_people_recognise() -> None:
    assert slug("Bản tin sáng: Đường bản!") == "ban-tin-sang-duong-ban"
    assert slug("***") == "thong-bao"


# --- iCalendar ----------------------------------------------------------------------------------------------


def events(*bodies: str, to: Sequence[str] = ("all",)) -> Found:
    inner = "".join(
        f"BEGIN:VEVENT\r\nUID:{n}\r\nDESCRIPTION:Mời bà con.\r\n{body}\r\nEND:VEVENT\r\n"
        for n, body in enumerate(bodies)
    )
    text = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{inner}END:VCALENDAR\r\n"
    return calendar.read(text.encode(), NAMES, list(to), HANOI, NOW)


def schedule(body: str) -> dict[str, Any]:
    (one,) = keys(events(f"SUMMARY:Tin\r\n{body.strip()}"))
    return {name: value for name, value in one.items() if name not in ("id", "title", "to", "play")}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("DTSTART:20261125T164500", {"once": ["2026-11-25 16:45"]}),
        ("DTSTART:20261125T094500Z", {"once": ["2026-11-25 16:45"]}),
        ("DTSTART;TZID=Europe/Paris:20261125T104500", {"once": ["2026-11-25 16:45"]}),
        (
            "DTSTART:20261125T053000\r\nRRULE:FREQ=DAILY",
            {"at": ["05:30"], "days": "every day", "from": "2026-11-25"},
        ),
        (
            "DTSTART;TZID=Asia/Ho_Chi_Minh:20261125T053000\r\nRRULE:FREQ=WEEKLY;BYDAY=FR,WE;UNTIL=20261231T165959Z",
            {"at": ["05:30"], "days": ["wed", "fri"], "from": "2026-11-25", "until": "2026-12-30"},
        ),
        (
            "DTSTART:20261125T053000\r\nRRULE:FREQ=WEEKLY;COUNT=3",
            {"at": ["05:30"], "days": ["wed"], "from": "2026-11-25", "until": "2026-12-09"},
        ),
        (
            "DTSTART:20261125T053000\r\nRRULE:FREQ=DAILY\r\nEXDATE:20261127T053000,20261128T053000",
            {"at": ["05:30"], "days": "every day", "from": "2026-11-25", "skip": ["2026-11-27", "2026-11-28"]},
        ),
        (
            "DTSTART:20261125T053000\r\nRRULE:FREQ=MONTHLY;COUNT=3",
            {"once": ["2026-11-25 05:30", "2026-12-25 05:30", "2027-01-25 05:30"]},
        ),
        (
            "DTSTART:20261125T053000\r\nRRULE:FREQ=DAILY;INTERVAL=2;COUNT=2\r\nRDATE:20261226T053000",
            {"once": ["2026-11-25 05:30", "2026-11-27 05:30", "2026-12-26 05:30"]},
        ),
        (
            "DTSTART;TZID=Europe/Paris:20270326T120000\r\nRRULE:FREQ=DAILY;COUNT=3",
            {"once": ["2027-03-26 18:00", "2027-03-27 18:00", "2027-03-28 17:00"]},
        ),
    ],
)
def test_when_an_event_is_becomes_a_rule_of_ours_or_a_list(body: str, expected: dict[str, Any]) -> None:
    assert schedule(body) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("SUMMARY:Tin\r\nDTSTART;VALUE=DATE:20261125", "'Tin': lasts all day"),
        (
            "SUMMARY:Tin\r\nDTSTART:20261125T053000\r\nRRULE:FREQ=MONTHLY",
            "'Tin': the rule FREQ=MONTHLY is none of ours",
        ),
        ("SUMMARY:Tin\r\nDTSTART:20261125T053000\r\nRECURRENCE-ID:20261124T053000", "'Tin': one instance of a series"),
        ("DTSTART:20261125T053000", "no title"),
        ("SUMMARY:Tin", "'Tin': no time"),
    ],
)
def test_an_event_that_cannot_be_one_is_told_with_its_line(body: str, message: str) -> None:
    found = events("SUMMARY:A\r\nDTSTART:20261125T053000", body)
    assert len(found.entries) == 1
    [flaw] = found.flaws
    assert flaw.line == 10
    assert flaw.message.startswith(message)


def test_what_is_cancelled_or_over_is_left_out_and_said() -> None:
    found = events("SUMMARY:A\r\nDTSTART:20261125T053000\r\nSTATUS:CANCELLED", "SUMMARY:B\r\nDTSTART:20251125T053000")
    assert found.entries == found.flaws == []
    assert [note.message for note in found.notes] == ["'A' is cancelled and left out", "'B' is over and left out"]


def test_our_own_calendar_comes_back_with_the_same_times_and_places() -> None:
    again = row(
        start="2026-11-25T17:00:00+07:00", end="2026-11-25T17:12:30+07:00", occurrence="ban-tin@2026-11-25T17:00"
    )
    found = calendar.read(as_ical([row(), again], network(NEWS), NOW), NAMES, [], HANOI, NOW)
    assert [each["once"] for each in keys(found)] == [["2026-11-24 17:00"], ["2026-11-25 17:00"]]
    assert keys(found)[0]["to"] == ["na-meo", "son-thuy-01"]


def test_something_else_is_refused_whole() -> None:
    with pytest.raises(Unreadable):
        calendar.read(b"<html>", NAMES, [], HANOI, NOW)


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "broadcasts.yaml").write_text("broadcasts: []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOA_LANG", "en")
    return tmp_path / "config"


def loa_import(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(cli.app, ["import", *arguments])
    failure = ended.exception
    status = failure.status if isinstance(failure, Failure) else ended.exit_code
    return status, ended.output + (str(failure) if failure else "")


ONE = "title,text,to,date,time\nTiêm chủng,Mời bà con đi tiêm.,na-meo,2099-11-25,16:45\n"


def test_nothing_is_written_before_a_yes_and_the_whole_after_it(config: Path) -> None:
    Path("a.csv").write_text(ONE)
    status, said = loa_import("a.csv")
    assert (status, "--yes" in said) == (1, True)
    assert not (config / "broadcasts").exists()
    status, said = loa_import("a.csv", "--yes")
    assert status == 0, said
    written = (config / "broadcasts" / "a.yaml").read_text()
    assert written.startswith("# Written by: loa import a.csv")
    assert "id: tiem-chung" in written
    assert [path.name for path in (config / "broadcasts").iterdir()] == ["a.yaml"]


def test_the_difference_is_shown_before(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = datetime.now(UTC).astimezone(HANOI).date().toordinal() + 1
    day = datetime.fromordinal(tomorrow).date().isoformat()
    Path("a.csv").write_text(ONE.replace("2099-11-25", day))
    _, said = loa_import("a.csv")
    assert "1 added" in said
    assert f"tiem-chung@{day}T16:45" in said


def test_a_problem_that_only_the_configuration_knows_is_told_with_the_line_of_the_spreadsheet(config: Path) -> None:
    Path("a.csv").write_text(ONE + "Họp,Mời bà con họp.,na-meoo,2099-11-26,7:00\n")
    status, said = loa_import("a.csv", "--yes")
    assert status == 1
    assert "a.csv:3: unknown zone 'na-meoo' (did you mean 'na-meo'?)" in said
    assert not (config / "broadcasts").exists()


def test_bad_rows_stop_all_unless_they_are_to_be_left_out(config: Path) -> None:
    Path("a.csv").write_text(ONE + "Họp,,na-meo,2099-11-26,7:00\n")
    status, said = loa_import("a.csv", "--yes")
    assert (status, "a.csv:3: give either" in said) == (1, True)
    status, said = loa_import("a.csv", "--yes", "--partial")
    assert status == 0, said


def test_what_a_person_wrote_is_not_overwritten_and_an_import_is(config: Path) -> None:
    Path("a.csv").write_text(ONE)
    (config / "broadcasts").mkdir()
    (config / "broadcasts" / "a.yaml").write_text("broadcasts: []\n")
    assert loa_import("a.csv", "--yes")[0] == 1
    assert loa_import("a.csv", "--yes", "--into", "config/broadcasts/b.yaml")[0] == 0
    Path("a.csv").write_text(ONE.replace("16:45", "17:15"))
    status, said = loa_import("a.csv", "--yes", "--into", "config/broadcasts/b.yaml")
    assert status == 0, said
    assert "17:15" in (config / "broadcasts" / "b.yaml").read_text()


def test_a_file_outside_the_folder_is_refused(config: Path) -> None:
    Path("a.csv").write_text(ONE)
    assert loa_import("a.csv", "--yes", "--into", "elsewhere.yaml")[0] == 2
