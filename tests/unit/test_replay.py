"""A recorded file through the rules: raised and cleared at its own times, whatever is wrong with lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from controller.commands.listen import _Reader
from controller.ports import Received
from controller.services.replay import Happening, Replay, parse
from controller.wire.messages import ClockState, Heartbeat, JournalEntry, Status, encode
from controller.wire.topics import Topics
from tests.health_support import GOOD, ZONE, district

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
TOPICS = Topics("loa/v1")
KEYS: dict[str, Ed25519PublicKey] = {}


def line(seconds: float, topic: str, message: Any, *, retain: bool = False) -> str:
    """As `loa listen --json` writes it."""
    received = Received(topic, encode(message) if message else b"", retain, 0.0)
    return _Reader(TOPICS, KEYS, ZONE).line(received, T0 + timedelta(seconds=seconds), as_json=True)


def beat(seconds: float, node: str = "c1-1", seq: int = 0, **metrics: Any) -> str:
    seq = seq or int(seconds) + 1
    message = Heartbeat("b", 1, seq, T0, clock=ClockState(True), metrics={**GOOD, **metrics})
    return line(seconds, TOPICS.heartbeat(node), message)


def replayed(*lines: str) -> list[Happening]:
    replay = Replay(district())
    return [each for text in lines if (record := parse(text)) for each in replay.feed(record)]


def told(happenings: list[Happening]) -> list[tuple[float, str, str]]:
    return [((each.at - T0).total_seconds(), each.what, each.code) for each in happenings]


def test_what_is_listened_to_is_raised_and_cleared_at_its_time() -> None:
    beats = [beat(at, mains_v=0 if 20 <= at < 60 else 221) for at in range(0, 200, 10)]
    found = replayed(*beats)
    assert told(found) == [(30, "raised", "mains-lost"), (120, "cleared", "mains-lost")]
    assert found[0].evidence["mains_v"] == 0
    assert found[0].since == T0 + timedelta(seconds=20)


def test_silence_in_the_record_is_silence() -> None:
    found = replayed(*[beat(at) for at in range(0, 60, 10)], *[beat(at) for at in range(300, 420, 10)])
    assert told(found) == [(110, "raised", "link"), (360, "cleared", "link")]


def test_a_pause_of_everybody_is_the_recorders() -> None:
    both = [beat(at, node) for at in (*range(0, 60, 10), *range(300, 420, 10)) for node in ("c1-1", "c1-2")]
    assert replayed(*both) == []


def test_the_end_of_the_record_is_nobodys_silence_and_a_clock_set_back_raises_nothing() -> None:
    assert replayed(*[beat(at) for at in range(0, 100, 10)], beat(-3600, seq=200)) == []


def test_self_tests_reports_and_births_are_heard() -> None:
    birth = Status(online=True, boot="b", conn=1, at=T0, reason="birth")
    rejected = JournalEntry("l", 1, T0, "playlists", result="rejected", reason="bad-signature")
    lines = [line(0, TOPICS.status("c1-1"), birth), beat(1), line(5, TOPICS.journal("c1-1"), rejected)]
    assert told(replayed(*lines)) == [(5, "raised", "security")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no message with"),
        (json.dumps({"at": "2026-11-23T01:00:00", "topic": "up/c1-1/heartbeat", "message": {}}), "no time zone"),
        (json.dumps({"at": "yesterday", "topic": "up/c1-1/heartbeat", "message": {}}), "no message with"),
        (json.dumps({"at": T0.isoformat(), "topic": "up/c1-1/status", "message": None, "verdict": "x"}), "undecodable"),
    ],
)
def test_a_broken_line_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_what_no_node_said_is_passed_over() -> None:
    assert parse(json.dumps({"at": T0.isoformat(), "topic": "dn/c1-1/command", "message": {}})) is None
