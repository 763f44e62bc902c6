"""The wire is what docs/protocol.md says: examples written by hand, checked byte for byte both ways."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct

from broadcasts.model import FileTrack, IfLate, InterruptAction, LateAction, PauseTrack, Playlist, Priority, StreamTrack
from controller.wire.messages import (
    MAX_PAYLOAD,
    ClockState,
    Command,
    ControllerStatus,
    Emergency,
    EmergencySound,
    FaultReport,
    Heartbeat,
    Held,
    JournalAck,
    JournalEntry,
    NodeSettings,
    Playing,
    PlaylistsDoc,
    Repeat,
    Status,
    decode,
    encode,
)
from controller.wire.signing import key_from_seed, load_keys, sign, verify

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "protocol.md"
KEY = key_from_seed(bytes(range(32)))
SOUND = "aa2d1c3b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff001"
NEWS = "4f2d1c3b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff001"
AIRING = "ban-tin-sang@2026-11-24T05:30"
HELD = Held(epoch=7, rev=42, missing=0)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=UTC)


def entry(n: int, when: str, **fields: object) -> JournalEntry:
    return JournalEntry(log="9f2c", n=n, at=at(when), **fields)  # type: ignore[arg-type]


BIRTH = Status(True, "b7c1", 3, at("23T22:29:58.120"), "birth", "loa-sim-1", "1.4.0", HELD)
CLAIMS = {"iss": "huyen-quan-son", "iat": 1795463940, "epoch": 7}
PLAYLIST = Playlist(
    id=AIRING,
    broadcast="ban-tin-sang",
    title="Bản tin sáng",
    priority=Priority.NORMAL,
    rank=20,
    start=at("23T22:30:00"),
    end=at("23T23:00:32.500"),
    if_late=IfLate(LateAction.JOIN, 600),
    if_interrupted=InterruptAction.RESUME,
    volume=70,
    tracks=(
        FileTrack(NEWS, f"/media/{NEWS}.opus", 91234, 30500),
        PauseTrack(2000),
        StreamTrack("https://radio.example.invalid/vov1.m3u8", 1800000),
    ),
)

EXAMPLES: dict[str, Struct] = {
    "status-birth": BIRTH,
    "status-will": Status(False, "b7c1", 3, at("23T22:29:58.120"), "will", "loa-sim-1", "1.4.0", HELD),
    "heartbeat": Heartbeat(
        boot="b7c1",
        conn=3,
        seq=1234,
        at=at("23T22:30:12.300"),
        uptime_s=86400,
        clock=ClockState(True, -12.0),
        playlists=HELD,
        playing=Playing(AIRING, 0, 12300, 70),
        metrics={
            "mains_v": 221.4,
            "batt_v": 13.1,
            "amp_temp_c": 41.2,
            "amp_vrms": 12.3,
            "line_z_ohm": 7.9,
            "rsrp_dbm": -87,
            "disk_free_pct": 61,
            "door": False,
            "spd_ok": True,
        },
    ),
    "heartbeat-idle": Heartbeat(boot="b7c1", conn=3, seq=1, at=at("23T20:00:00"), uptime_s=4),
    "journal-playlists": entry(811, "23T20:00:01.002", kind="playlists", result="accepted", epoch=7, rev=42),
    "journal-rejected": entry(812, "23T20:00:02", kind="playlists", result="rejected", reason="bad-signature"),
    "journal-prefetched": entry(813, "23T20:00:09.500", kind="prefetched", playlist=AIRING, sha256=NEWS),
    "journal-started": entry(814, "23T22:30:00.003", kind="started", playlist=AIRING, late_ms=3),
    "journal-completed": entry(
        815, "23T23:00:32.503", kind="completed", playlist=AIRING, played_ms=1832500, level_db=-21.5
    ),
    "journal-selftest": entry(
        816,
        "23T23:00:00",
        kind="selftest",
        result="passed",
        id="selftest-1a2b3c",
        results={"amp_pilot_db": -30.2, "line_z_ohm": 7.9},
        parts={"amplifier": "passed", "horn": "skipped"},
    ),
    "fault": FaultReport("security", "identity", at("23T20:00:02"), "critical", {"reason": "bad-signature"}),
    "journal-ack": JournalAck("9f2c", 815),
    "controller-status": ControllerStatus(True, 7, at("23T19:59:00")),
    "playlists": PlaylistsDoc(
        **CLAIMS,
        aud="na-meo-01",
        exp=1796058000,
        rev=42,
        valid_until=at("30T17:00:00"),
        settings=NodeSettings(("all", "na-meo"), 85, 10, (EmergencySound("flood", SOUND, f"/media/{SOUND}.opus"),)),
        playlists=(PLAYLIST,),
    ),
    "command": Command(
        **CLAIMS, aud="na-meo-01", exp=1795463970, id="selftest-1a2b3c", do="selftest", not_after=at("23T19:59:30")
    ),
    "emergency": Emergency(
        **CLAIMS,
        aud="zone:na-meo",
        exp=1795464540,
        id="lu-quet-1",
        rev=1,
        active=True,
        not_after=at("23T20:09:00"),
        volume=100,
        repeat=Repeat(3, 5000),
        tracks=(FileTrack(SOUND, f"/media/{SOUND}.opus", 60211, 19000),),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_we_write_is_the_golden_example(name: str) -> None:
    assert encode(EXAMPLES[name]).decode() == (GOLDEN / f"{name}.json").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_we_read_from_the_golden_example_is_what_was_meant(name: str) -> None:
    expected = EXAMPLES[name]
    assert decode(type(expected), (GOLDEN / f"{name}.json").read_bytes(), limit=MAX_PAYLOAD) == expected


@pytest.mark.parametrize("name", ["playlists", "command", "emergency"])
def test_signed_examples_are_the_documented_tokens_and_verify(name: str) -> None:
    message = EXAMPLES[name]
    token = (GOLDEN / f"{name}.jws").read_bytes()
    assert sign(message, KEY) == token  # type: ignore[arg-type]
    now = at("23T19:59:10")
    audience = ("na-meo-01", "zone:na-meo")
    assert verify(type(message), token, load_keys((KEY.public_jwk,)), audience=audience, now=now) == message  # type: ignore[type-var]


def test_no_golden_example_is_left_unchecked() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(EXAMPLES)


@pytest.mark.parametrize("name", [*EXAMPLES, "command.jws"])
def test_the_document_shows_every_golden_example_to_the_letter(name: str) -> None:
    file = GOLDEN / (name if "." in name else f"{name}.json")
    assert file.read_text() in DOCUMENT.read_text()


def test_unknown_fields_are_ignored_so_that_newer_nodes_can_say_more() -> None:
    more = b'{"log":"9f2c","upto":815,"since":"later"}'
    assert decode(JournalAck, more) == JournalAck("9f2c", 815)
