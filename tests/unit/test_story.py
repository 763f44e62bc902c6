"""loa why: from the rule in a file to the sound on a node, in order, in both languages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from controller.domain.faults import Severity
from controller.domain.incidents import Incident, IncidentState
from controller.domain.preflight import Finding, Lack, PreflightRow
from controller.services.reporting import Reporting
from controller.wire.messages import JournalEntry
from tests.house import NEWS, House

TODAY = "ban-tin@2026-11-23T17:00"
AIR = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
NODE = "na-meo-01"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = await House.opened(NEWS)
    yield house
    await house.store.close()


async def told(house: House, occurrence: str = TODAY, node: str | None = NODE) -> list[Any]:
    report = Reporting(house.configured, store=house.store, clock=house.clock)
    story = (await report.why(occurrence, node))["nodes"][0]["story"]
    assert [step["at"] for step in story] == sorted(step["at"] for step in story)
    return list(story)


async def says(house: House, language: str = "en", occurrence: str = TODAY) -> list[str]:
    return [step["text"][language] for step in await told(house, occurrence)]


def word(n: int, kind: str, at: datetime, **more: Any) -> tuple[str, JournalEntry]:
    return NODE, JournalEntry(log="a", n=n, at=at, kind=kind, playlist=TODAY, **more)  # type: ignore[arg-type]


async def test_a_good_airing_is_told_from_the_rule_to_the_measured_level(house: House) -> None:
    start = house.clock.now()
    assets = [track.sha256 for track in house.dispatch.wanted(NODE)[0].tracks]  # type: ignore[union-attr]
    await house.ledger.take(
        [
            (
                NODE,
                JournalEntry(
                    log="a", n=1, at=start + timedelta(seconds=1), kind="playlists", result="accepted", epoch=1, rev=1
                ),
            ),
            (NODE, JournalEntry(log="a", n=2, at=start + timedelta(seconds=5), kind="prefetched", sha256=assets[0])),
        ]
    )
    looked = PreflightRow(TODAY, AIR - timedelta(minutes=10), 3, ())
    await house.store.transact(lambda tx: tx.put_preflight(looked))
    await house.clock.advance((AIR - start).total_seconds() + 20)
    await house.ledger.take(
        [
            word(3, "started", AIR, late_ms=1300),
            word(4, "interrupted", AIR + timedelta(seconds=3), by="say@2026-11-23T17:00:02"),
            word(5, "resumed", AIR + timedelta(seconds=9)),
            word(6, "completed", AIR + timedelta(seconds=16), played_ms=10_000, level_db=78.25),
        ]
    )
    assert await says(house) == [
        "Planned: as b:3 says",
        "Sent to the node",
        "Accepted by the node (revision 1.1)",
        "Audio is on the node",
        "Checked before air: ready",
        "Started (1.3 s late)",
        "Interrupted by another broadcast (by say@2026-11-23T17:00:02)",
        "Went on",
        "Completed (10.0 s, level 78.2 dB)",
    ]
    assert (await says(house, "vi"))[-1] == "Phát xong (10,0 s, mức 78,2 dB)"


async def test_a_node_that_had_all_audio_before_it_said_that_it_holds_the_document_has_accepted_it_all_the_same(
    house: House,
) -> None:
    start = house.clock.now()
    (asset,) = [track.sha256 for track in house.dispatch.wanted(NODE)[0].tracks]  # type: ignore[union-attr]
    fetched = JournalEntry(log="a", n=1, at=start + timedelta(seconds=1), kind="prefetched", sha256=asset)
    held = JournalEntry("a", 2, start + timedelta(seconds=2), "playlists", result="accepted", epoch=1, rev=1)
    await house.ledger.take([(NODE, fetched), (NODE, held)])
    assert (await says(house))[:4] == [
        "Planned: as b:3 says",
        "Sent to the node",
        "Audio is on the node",
        "Accepted by the node (revision 1.1)",
    ]


async def test_an_edit_is_told_with_who_made_it_and_what_it_changed(house: House) -> None:
    await house.clock.advance(60)
    await house.edited(replace(NEWS, at=(time(18, 0),), volume=90))
    moved = "ban-tin@2026-11-23T18:00"
    assert "The configuration changed (file): moved (volume)" in await says(house, occurrence=moved)
    [edit] = [step for step in await told(house, moved) if step["what"] == "edited"]
    assert (edit["was"], edit["place"]) == ("2026-11-23T10:00:00.000Z", "b:3")


async def test_a_cancelled_airing_says_by_what_in_both_languages(house: House) -> None:
    await house.edited()
    last = (await told(house))[-1]
    assert last["reason_text"] == {"vi": "cấu hình thay đổi", "en": "configuration changed"}
    report = Reporting(house.configured, store=house.store, clock=house.clock)
    assert (await report.why(TODAY))["rule"]["place"] == ""


async def test_silence_says_what_was_known_last_in_both_languages(house: House) -> None:
    await house.clock.advance((AIR - house.clock.now()).total_seconds() + 60)
    await house.ledger.verdict(TODAY)
    last = (await told(house))[-1]
    assert last["reason_text"] == {
        "vi": "tới hạn vẫn không có tin; biết gần nhất: đã gửi lịch tới cụm loa",
        "en": "no word by the deadline; last known: sent to the node",
    }


async def test_what_it_lacked_before_air_is_told_on_the_node_that_lacked_it(house: House) -> None:
    looked = PreflightRow(TODAY, AIR - timedelta(minutes=9), 3, (Finding(NODE, Lack.AUDIO),), house.clock.now())
    await house.store.transact(lambda tx: tx.put_preflight(looked))
    assert "Checked before air: has not fetched all audio" in await says(house)
    other = await told(house, node="na-meo-02")
    assert "Checked before air: ready" in [step["text"]["en"] for step in other]


async def test_a_controller_or_broker_that_was_away_around_air_is_in_the_story(house: House) -> None:
    await house.clock.advance((AIR - house.clock.now()).total_seconds() - 300)
    now = house.clock.now()
    lost = Incident(
        0, "centre", "centre", "", "broker", "broker", Severity.CRITICAL, IncidentState.OPEN, now, now, announced=True
    )
    await house.store.transact(lambda tx: tx.new_incident(lost))
    again = await house.restarted()
    await again.started()
    said = await says(again)
    assert "Incident 1: MQTT broker lost" in said
    assert "The controller (re)started" in said


async def test_an_order_of_the_moment_is_told_with_who_gave_it(house: House) -> None:
    order = await house.orders.say("Họp dân.", ["na-meo"], by="hương")
    said = await says(house, "vi", order["occurrence"])
    assert "Đã lên lịch: lệnh phát ngay của người vận hành" in said
    assert "hương ra lệnh: now say to na-meo: Họp dân." in said
