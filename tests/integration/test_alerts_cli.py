"""`loa alerts ...` as somebody at a terminal meets it: real receivers, a real controller behind a real HTTP server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_rig import NODE, Rig, configuration, loa, running
from tests.receivers import HttpReceiver, MailServer

PERSON = "lan"


def people(*channels: dict[str, str], also: tuple[dict[str, str], ...] = ()) -> list[dict[str, Any]]:
    lan = {"id": PERSON, "name": "Lường Thị Lan", "phone": "0900 000 111", "channels": list(channels)}
    return [{**lan, "also": list(also)} if also else lan]


def relay(port: int) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "sender": "loa@muong-son.example", "tls": "none"}


def told_to(folder: Path, staff: list[dict[str, Any]], port: int = 1, **more: Any) -> Path:
    alone: dict[str, Any] = {"on_call": {}, "escalation": {"steps": []}, "maintenance": [], "silences": []}
    return configuration(folder, people=staff, smtp=relay(port), **{**alone, **more})


# --- test -------------------------------------------------------------------------------------------------------


async def test_a_test_message_goes_over_every_channel_and_says_that_it_is_one(tmp_path: Path) -> None:
    async with MailServer() as mails:
        with HttpReceiver() as hooks:
            hooks.answer = lambda request: (200, {})
            apprise = hooks.url.replace("http://", "json://").replace("/hook", "/token-of-lan")
            staff = people({"webhook": hooks.url}, {"apprise": apprise}, also=({"smtp": "lan@example.org"},))
            ended = await loa(told_to(tmp_path, staff, mails.port), "alerts", "test", PERSON)
        assert (ended.status, ended.output.count("✓"), ended.output.count("✗")) == (0, 3, 0)
        (mail,) = mails.mails
        assert (mail["To"], "Lường Thị Lan" in str(mail.get_content())) == ("lan@example.org", True)
        assert [request.path for request in hooks.requests] == ["/hook", "/token-of-lan"]
        assert "token-of-lan" not in ended.output


async def test_a_channel_that_refuses_is_named_with_the_receivers_words(tmp_path: Path) -> None:
    async with MailServer() as mails:
        mails.rcpt = "550 no such user"
        with HttpReceiver() as hooks:
            staff = people({"smtp": "lan@example.org"}, {"webhook": hooks.url})
            config = told_to(tmp_path, staff, mails.port)
            ended = await loa(config, "alerts", "test", PERSON)
            as_json = await loa(config, "alerts", "test", PERSON, "--json")
            only = await loa(config, "alerts", "test", PERSON, "--channel", "webhook", "--json")
    assert (ended.status, ended.output.count("✓"), ended.output.count("✗")) == (1, 1, 1)
    assert "550 no such user" in ended.output
    errors = {each["channel"].split()[0]: each["error"] for each in as_json.json["channels"]}
    assert (as_json.status, errors["webhook"], "550" in errors["smtp"]) == (1, "", True)
    assert (only.status, len(only.json["channels"])) == (0, 1)


async def test_nobody_listening_is_a_failure_and_not_a_crash(tmp_path: Path) -> None:
    staff = people({"webhook": "http://127.0.0.1:9/lan"}, {"apprise": "json://127.0.0.1:9/lan"})
    ended = await loa(told_to(tmp_path, staff), "alerts", "test", PERSON)
    assert (ended.status, ended.output.count("✗")) == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["test", "la"], 2, "unknown person 'la': one of lan"),
        (["test", PERSON, "--channel", "sms"], 1, "lan has no such channel"),
        (["who", "na-meo-1"], 2, "'na-meo-1' is no node and no commune (did you mean 'na-meo-01'?)"),
        (["who", NODE, "--at", "tomorrow"], 2, "'tomorrow' is no date and time like 2026-12-05 22:00"),
        (["who", NODE, "--severity", "bad"], 2, "unknown severity 'bad'"),
        (["silence", NODE, "--for", "2h"], 2, "say where or --code"),
        (["silence", "--for", "2h", "--reason", "x"], 2, "say where or --code"),
        (["silence", NODE, "--for", "2h", "--until", "2026-12-05 22:00", "--reason", "x"], 2, "say where or --code"),
        (["silence", NODE, "--for", "2h", "--reason", "x"], 3, "no controller is running"),
        (["end", "1"], 3, "no controller is running"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line_with_its_status(
    tmp_path: Path, arguments: list[str], status: int, says: str
) -> None:
    ended = await loa(told_to(tmp_path, people({"smtp": "lan@example.org"})), "alerts", *arguments)
    assert (ended.status, says in ended.output) == (status, True), ended.output


# --- who, check -------------------------------------------------------------------------------------------------


async def test_who_is_told_when_is_the_ladder_with_names_and_numbers(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    asked = ("alerts", "who", NODE, "--at", "2026-12-05 22:00")
    ended, as_json = await loa(config, *asked), await loa(config, *asked, "--json")
    assert ended.status == 0
    assert [line.split("  ")[0].strip()[-8:] for line in ended.output.splitlines() if line.strip()][:3] == [
        "22:00:00",
        "22:15:00",
        "22:30:00",
    ]
    assert "Lò Văn Hùng 0900 000 101" in ended.output
    words = [(word["what"], word["role"]) for word in as_json.json]
    assert words == [
        ("opened", ""),
        ("reminder", ""),
        ("escalated", "district"),
        ("escalated", "manager"),
        ("overdue", ""),
    ]
    assert as_json.json[0]["people"] == ["lo-van-hung"]
    assert all(word["people"] for word in as_json.json)


async def test_a_small_fault_of_the_night_is_told_in_the_morning(tmp_path: Path) -> None:
    asked = ("alerts", "who", "na-meo", "--at", "2026-12-05 22:00", "--severity", "minor", "--json")
    ended = await loa(configuration(tmp_path), *asked)
    assert ended.json[0]["at"].startswith("2026-12-05T23:30:00")  # UTC


async def test_check_finds_gaps_in_the_rota_and_is_content_without_them(tmp_path: Path) -> None:
    staff = people({"smtp": "lan@example.org"})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = configuration(tmp_path / "a")
    night = {"district": [{"who": PERSON, "from": "18:00", "until": "06:00"}]}
    gaps = configuration(
        tmp_path / "b", people=staff, on_call=night, escalation={"steps": [{"after": "30m", "tell": "district"}]}
    )
    ended = await loa(whole, "alerts", "check")
    assert (ended.status, ended.output.strip()) == (0, "Everybody can be told at any time.")
    ended = await loa(gaps, "alerts", "check", "--json")
    assert ended.status == 1
    assert len(ended.json) in (7, 8)
    assert all(line.startswith("district: nobody from ") for line in ended.json)


# --- silences ---------------------------------------------------------------------------------------------------


async def silences(rig: Rig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await rig.loa("alerts", "silences", "--json")).json["silences"]
    return found


async def test_a_silence_is_made_seen_and_ended_and_who_did_it_is_on_record(tmp_path: Path) -> None:
    async with running(told_to(tmp_path, people({"smtp": "lan@example.org"}))) as rig:
        assert "No silences." in (await rig.loa("alerts", "silences")).output
        why = ("--reason", "chờ quạt mới", "--by", "an")
        made = await rig.loa("alerts", "silence", NODE, "son-thuy", "--code", "fan", "--for", "3h30m", *why)
        assert (made.status, made.output.startswith("Silence 1: until ")) == (0, True)
        (one,) = await silences(rig)
        assert (one["id"], one["nodes"], one["communes"], one["codes"]) == (1, [NODE], ["son-thuy"], ["fan"])
        assert (one["by"], one["reason"]) == ("an", "chờ quạt mới")
        lasts = datetime.fromisoformat(one["until"]) - datetime.now(UTC)
        assert timedelta(hours=3, minutes=29) < lasts <= timedelta(hours=3, minutes=30)
        assert f"{NODE} son-thuy fan: chờ quạt mới (an)" in (await rig.loa("alerts", "silences")).output
        ended = await rig.loa("alerts", "end", "1", "--by", "an")
        assert (ended.status, ended.output.strip(), await silences(rig)) == (0, "Silence 1 has ended.", [])
        again = await rig.loa("alerts", "end", "1")
        assert (again.status, "no silence 1" in again.output) == (1, True)
        audits = await rig.app.store.transact(lambda tx: [(row.who, row.what) for row in tx.audits()])
        assert {("an", "silence"), ("an", "silence ended")} <= set(audits)


async def test_silences_are_read_from_the_database_while_no_controller_runs(tmp_path: Path) -> None:
    config = told_to(tmp_path, people({"smtp": "lan@example.org"}))
    async with running(config) as rig:
        await rig.loa("alerts", "silence", NODE, "--until", "2036-12-05 22:00", "--reason", "x", "--by", "an")
    ended = await loa(config, "alerts", "silences", "--json")
    assert [each["until"] for each in ended.json["silences"]] == ["2036-12-05T15:00:00.000Z"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["na-mo-01", "--for", "1h"], "no node, commune or fault is called 'na-mo-01'"),
        (["--code", "fam", "--for", "1h"], "no node, commune or fault is called 'fam'"),
        ([NODE, "--until", "2020-01-01 00:00"], "'until' is in the past"),
    ],
)
async def test_a_silence_of_what_there_is_not_is_refused(tmp_path: Path, arguments: list[str], says: str) -> None:
    async with running(told_to(tmp_path, people({"smtp": "lan@example.org"}))) as rig:
        ended = await rig.loa("alerts", "silence", *arguments, "--reason", "x")
        assert (ended.status, says in ended.output) == (1, True), ended.output
        assert await silences(rig) == []


# --- the same over HTTP -----------------------------------------------------------------------------------------

SILENCE = "/api/alerts/silences"


def hush(**changes: Any) -> dict[str, Any]:
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    return {"places": [NODE], "until": until, "reason": "x", "by": "an", **changes}


async def test_programs_make_and_end_silences_with_the_token_only(tmp_path: Path) -> None:
    async with running(told_to(tmp_path, people({"smtp": "lan@example.org"}))) as rig:
        stranger = {"Authorization": "Bearer wrong"}
        assert (await rig.web.post(SILENCE, json=hush(), headers=stranger)).status_code == 401
        made = await rig.web.post(SILENCE, json=hush())
        assert (made.status_code, made.json()["id"], made.json()["nodes"]) == (200, 1, [NODE])
        assert (await rig.web.post(f"{SILENCE}/1/end", json={"by": "an"}, headers=stranger)).status_code == 401
        answers = [(await rig.web.post(f"{SILENCE}/{id}/end", json={"by": "an"})).status_code for id in (1, 1, 7)]
        assert answers == [200, 404, 404]


@pytest.mark.parametrize(
    "wrong",
    [
        {"places": []},
        {"places": ["nowhere"]},
        {"codes": ["nothing"]},
        {"until": "2020-01-01T00:00:00+07:00"},
        {"until": "2036-01-01T00:00:00"},
        {"until": "soon"},
        {"reason": ""},
        {"reason": "x" * 1001},
        {"weekly": True},
    ],
)
async def test_a_silence_with_a_mistake_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async with running(told_to(tmp_path, people({"smtp": "lan@example.org"}))) as rig:
        answer = await rig.web.post(SILENCE, json=hush(**wrong))
        assert (answer.status_code, bool(answer.json()["error"])) == (422, True)
        assert (await rig.web.get("/api/alerts")).json()["silences"] == []
