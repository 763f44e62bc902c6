"""A fleet against a real Mosquitto and a real media server: what a controller and a listener would notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import wave
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.wire.signing import generate_key
from simulators.audio import RATE
from simulators.fleet import Fleet
from tests.integration.agent_rig import (
    TOPICS,
    Rig,
    Samples,
    ask,
    noise,
    now,
    playlist,
    settings_with_sound,
)
from tests.integration.conftest import MediaServer, Mosquitto

NODE = "na-meo-01"
ON_TIME_S = 1.0
"""What counts as on time on a busy machine; a late joiner or a lost start is seconds off."""


@pytest.fixture
def rig(mosquitto: Mosquitto, media_server: MediaServer) -> Iterator[Rig]:
    rig = Rig(mosquitto, media_server)
    yield rig
    rig.close()


@contextlib.asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator[Fleet]:
    task = asyncio.create_task(fleet.run())
    try:
        yield fleet
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def fleet(rig: Rig, tmp_path: Path) -> AsyncIterator[Fleet]:
    """One node, listened to, connected and born."""
    async with running(Fleet([rig.enrol(NODE)], tmp_path, listen=1, control=tmp_path / "sock")) as fleet:
        await rig.until(lambda: rig.last(TOPICS.status(NODE)), "birth")
        yield fleet


def heard(folder: Path) -> tuple[datetime, Samples]:
    """Instant of sample 0, and the samples of a node's timeline."""
    start = datetime.fromisoformat(json.loads((folder / "heard.json").read_text())["start"])
    with wave.open(str(folder / "heard.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, RATE, 2)
        raw = file.readframes(file.getnframes())
    return start, np.frombuffer(raw, dtype="<i2").astype(float) / 32768


def find(timeline: Samples, clip: Samples) -> tuple[int, float]:
    """Where `clip` is in `timeline`, and the normalised correlation there."""
    size = 1 << (len(timeline) + len(clip)).bit_length()
    product = np.fft.rfft(timeline, size) * np.conj(np.fft.rfft(clip, size))
    at = int(np.argmax(np.fft.irfft(product, size)[: len(timeline)]))
    piece = timeline[at : at + len(clip)]
    reference = clip[: len(piece)]
    return at, float(piece @ reference / (np.linalg.norm(piece) * np.linalg.norm(reference) + 1e-12))


async def test_an_announcement_sounds_at_its_time_and_the_journal_tells_its_whole_story(
    rig: Rig, fleet: Fleet, tmp_path: Path
) -> None:
    clip = noise(2.0, 1)
    start = now() + timedelta(seconds=4)
    rig.publish_playlists(NODE, playlist("bulletin@1", start, rig.track(clip)))

    completed = (await rig.until(lambda: rig.said(NODE, "completed"), "completed"))[0]
    await rig.until(lambda: len(heard(tmp_path / NODE)[1]) / RATE > 6, "timeline written")

    assert rig.said(NODE, "playlists")[0]["result"] == "accepted"
    assert rig.said(NODE, "prefetched")[0]["playlist"] == "bulletin@1"
    started = rig.said(NODE, "started")[0]
    assert abs(started["late_ms"]) <= ON_TIME_S * 1000
    assert completed["played_ms"] == 2000
    assert -40 < completed["level_db"] < 0
    began, samples = heard(tmp_path / NODE)
    at, correlation = find(samples, clip)
    assert correlation > 0.95
    assert abs((began + timedelta(seconds=at / RATE) - start).total_seconds()) <= ON_TIME_S


async def test_a_dead_amplifier_is_silent_and_seen_at_once(rig: Rig, fleet: Fleet, tmp_path: Path) -> None:
    rig.publish_playlists(NODE, playlist("b@1", now() + timedelta(seconds=3), rig.track(noise(4.0, 2))))
    await rig.until(lambda: rig.said(NODE, "started"), "started")
    assert (await ask(tmp_path / "sock", do="inject", node=NODE, fault="amplifier"))["ok"]

    metrics = await rig.until(
        lambda: (rig.metrics(NODE).get("amp_pilot_db") or 0) < -60 and rig.metrics(NODE), "pilot lost"
    )
    assert metrics["amp_vrms"] < 0.5
    assert metrics["src_dbfs"] > -40
    completed = (await rig.until(lambda: rig.said(NODE, "completed"), "completed"))[0]
    assert completed["played_ms"] == 4000

    assert (await ask(tmp_path / "sock", do="mend", node=NODE))["mended"] == ["amplifier"]
    await rig.until(lambda: (rig.metrics(NODE).get("amp_pilot_db") or -99) > -40, "pilot back")


async def test_power_that_fails_drains_the_battery_kills_the_node_and_its_return_is_a_new_boot(
    rig: Rig, fleet: Fleet, tmp_path: Path
) -> None:
    rig.publish_playlists(NODE)
    first = rig.last(TOPICS.status(NODE))
    await ask(tmp_path / "sock", do="inject", node=NODE, fault="mains-lost", battery_wh=0.004)
    await rig.until(lambda: rig.metrics(NODE).get("mains_v") == 0.0, "mains lost told")
    dead = await rig.until(lambda: (last := rig.last(TOPICS.status(NODE))) and not last["online"] and last, "will")
    assert dead["reason"] == "will"
    assert (dead["boot"], dead["conn"]) == (first["boot"], first["conn"])
    await ask(tmp_path / "sock", do="mend", node=NODE)
    back = await rig.until(lambda: (last := rig.last(TOPICS.status(NODE))) and last["online"] and last, "birth")
    assert back["boot"] != first["boot"]
    assert back["playlists"] == {"epoch": 1, "rev": 1, "missing": 0}


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda rig, start: rig.playlists(NODE, key=generate_key(), rev=9), "unknown-key"),
        (lambda rig, start: rig.playlists("na-meo-02", rev=9), "wrong-audience"),
        (lambda rig, start: rig.playlists(NODE, rev=9, exp=int(now().timestamp()) - 5), "expired"),
        (lambda rig, start: rig.playlists(NODE, rev=9)[:-8] + b"AAAAAAAA", "bad-signature"),
        (lambda rig, start: rig.playlists(NODE, epoch=0, rev=9), "epoch"),
    ],
    ids=["forged", "wrong-audience", "expired", "altered", "replayed-epoch"],
)
async def test_what_must_not_be_obeyed_changes_nothing_and_raises_security(
    rig: Rig, fleet: Fleet, forge: Any, reason: str
) -> None:
    start = now() + timedelta(hours=1)
    rig.publish_playlists(NODE, playlist("good@1", start, rig.track(noise(0.5, 3))))
    await rig.until(lambda: rig.said(NODE, "playlists"), "accepted")

    rig.send(TOPICS.playlists(NODE), forge(rig, start), retain=True)

    await rig.until(lambda: len(rig.said(NODE, "playlists")) == 2, "rejected")
    rejected = rig.said(NODE, "playlists")[1]
    assert (rejected["result"], rejected["reason"]) == ("rejected", reason)
    security = await rig.until(lambda: rig.last(TOPICS.fault(NODE, "security")), "security raised")
    assert security["component"] == "identity"
    heartbeat = await rig.until(lambda: rig.last(TOPICS.heartbeat(NODE)), "heartbeat")
    assert heartbeat["playlists"]["rev"] == 1


async def test_an_older_revision_is_refused_without_alarm_and_the_same_one_again_is_no_news(
    rig: Rig, fleet: Fleet
) -> None:
    old = rig.playlists(NODE, rev=3)
    held = rig.playlists(NODE, rev=4)
    rig.send(TOPICS.playlists(NODE), held, retain=True)
    await rig.until(lambda: rig.said(NODE, "playlists"), "accepted")
    rig.send(TOPICS.playlists(NODE), held, retain=True)
    rig.send(TOPICS.playlists(NODE), old, retain=True)
    await rig.until(lambda: len(rig.said(NODE, "playlists")) == 2, "older refused")
    assert [entry.get("reason") for entry in rig.said(NODE, "playlists")] == [None, "older"]
    assert rig.last(TOPICS.fault(NODE, "security")) is None


async def test_what_a_killed_broker_has_again_from_an_older_epoch_is_refused_without_alarm(
    rig: Rig, fleet: Fleet, tmp_path: Path
) -> None:
    rig.send(TOPICS.playlists(NODE), rig.playlists(NODE, epoch=3, rev=5), retain=True)
    await rig.until(lambda: rig.said(NODE, "playlists"), "accepted")
    await ask(tmp_path / "sock", do="kill", node=NODE)
    kept = rig.send(TOPICS.playlists(NODE), rig.playlists(NODE, epoch=2, rev=9), retain=True)
    await rig.until(kept.is_published, "the broker has it")
    await ask(tmp_path / "sock", do="start", node=NODE)
    await rig.until(lambda: len(rig.said(NODE, "playlists")) == 2, "refused")
    assert [entry.get("reason") for entry in rig.said(NODE, "playlists")] == [None, "epoch"]
    assert rig.last(TOPICS.fault(NODE, "security")) is None


async def test_a_broken_download_goes_on_where_it_stopped(rig: Rig, fleet: Fleet) -> None:
    track = rig.track(noise(8.0, 4))
    rig.media.cut_at = 10_000
    rig.publish_playlists(NODE, playlist("b@1", now() + timedelta(seconds=60), track))
    await rig.until(lambda: rig.said(NODE, "prefetched"), "prefetched")
    asked = [ranged for path, ranged in rig.media.requests if track.sha256 in path]
    assert asked == [None, "bytes=10000-"]


async def test_without_a_broker_it_plays_on_time_and_tells_afterwards(rig: Rig, fleet: Fleet) -> None:
    start = now() + timedelta(seconds=5)
    rig.publish_playlists(NODE, playlist("b@1", start, rig.track(noise(1.0, 5))))
    await rig.until(lambda: rig.said(NODE, "prefetched"), "prefetched")
    rig.broker.kill()
    node = fleet.nodes[NODE]
    await rig.until(lambda: not node.link.connected, "connection lost")
    await rig.until(lambda: node.started and node.playing() is None, "played")
    rig.broker.start()
    started = (await rig.until(lambda: rig.said(NODE, "started"), "told afterwards", 30))[0]
    assert abs(started["late_ms"]) <= ON_TIME_S * 1000
    assert await rig.until(lambda: rig.said(NODE, "completed"), "completed told")


async def test_a_crash_in_the_middle_is_told_and_nothing_sounds_twice(rig: Rig, fleet: Fleet, tmp_path: Path) -> None:
    rig.publish_playlists(NODE, playlist("b@1", now() + timedelta(seconds=3), rig.track(noise(3.0, 6))))
    await rig.until(lambda: rig.said(NODE, "started"), "started")
    await ask(tmp_path / "sock", do="kill", node=NODE)
    await ask(tmp_path / "sock", do="start", node=NODE)
    failed = (await rig.until(lambda: rig.said(NODE, "failed"), "failed"))[0]
    assert (failed["playlist"], failed["reason"]) == ("b@1", "restart")
    await rig.until(lambda: rig.last(TOPICS.status(NODE))["online"], "back")
    await rig.until(lambda: rig.last(TOPICS.heartbeat(NODE)), "heartbeat")
    assert len(rig.said(NODE, "started")) == 1
    assert fleet.nodes[NODE].playing() is None


async def test_an_emergency_interrupts_within_a_second_and_the_playlist_goes_on_after_it(
    rig: Rig, fleet: Fleet
) -> None:
    siren = rig.track(noise(1.0, 7))
    bulletin = playlist("b@1", now() + timedelta(seconds=4), rig.track(noise(3.0, 8)))
    rig.publish_playlists(NODE, bulletin, settings=settings_with_sound("siren", siren))
    await rig.until(lambda: rig.said(NODE, "started"), "started")
    ordered = now()
    rig.emergency("na-meo", "flood-1", siren)
    rig.emergency("all", "flood-1", siren)

    await rig.until(lambda: rig.said(NODE, "resumed"), "resumed")
    told = rig.said(NODE, "emergency")
    assert [(entry["id"], entry["result"]) for entry in told] == [("flood-1", "started"), ("flood-1", "ended")]
    assert (datetime.fromisoformat(told[0]["at"]) - ordered).total_seconds() < 1.0
    assert rig.said(NODE, "interrupted")[0]["by"] == "flood-1"
    completed = (await rig.until(lambda: rig.said(NODE, "completed"), "completed"))[0]
    assert abs(completed["played_ms"] - 3000) <= 5


async def test_orders_are_carried_out_once_and_answered(rig: Rig, fleet: Fleet, tmp_path: Path) -> None:
    rig.command(NODE, "selftest", "c1")
    rig.command(NODE, "selftest", "c1")
    passed = (await rig.until(lambda: rig.said(NODE, "selftest"), "selftest"))[0]
    assert passed["result"] == "passed"
    await ask(tmp_path / "sock", do="inject", node=NODE, fault="line-open")
    rig.command(NODE, "selftest", "c2")
    rig.command(NODE, "volume", "c3", volume="loud")
    rejected = await rig.until(lambda: [e for e in rig.said(NODE, "command") if e["result"] == "rejected"], "c3")
    assert rejected[0]["id"] == "c3"
    assert [entry["result"] for entry in rig.said(NODE, "selftest")] == ["passed", "failed"]
    assert [entry["id"] for entry in rig.said(NODE, "command")] == ["c1", "c2", "c3"]


async def test_what_the_controller_has_not_stored_comes_again_and_once_stored_never(rig: Rig, fleet: Fleet) -> None:
    rig.acknowledging = False
    rig.publish_playlists(NODE)
    entry = (await rig.until(lambda: rig.said(NODE, "playlists"), "first time"))[0]
    rig.heard.clear()

    def asked() -> list[dict[str, Any]]:
        rig.acknowledge(NODE, entry["log"], 0)  # as a controller that has come back without it does
        return rig.said(NODE, "playlists")

    again = (await rig.until(asked, "again"))[0]
    assert again == entry
    rig.acknowledge(NODE, entry["log"], entry["n"])
    await rig.until(lambda: fleet.nodes[NODE].journal.backlog == 0, "acknowledged")


async def test_a_hung_player_goes_silent_while_its_connection_lives(rig: Rig, fleet: Fleet, tmp_path: Path) -> None:
    rig.publish_playlists(NODE)
    await rig.until(lambda: rig.last(TOPICS.heartbeat(NODE)), "heartbeat")
    await ask(tmp_path / "sock", do="freeze", node=NODE, on=True)
    rig.heard.clear()
    rig.command(NODE, "ping", "p1")
    listing = (await ask(tmp_path / "sock", do="list"))["nodes"][NODE]
    assert listing["connected"]
    await asyncio.sleep(1.5)
    assert rig.heard == []
    await ask(tmp_path / "sock", do="freeze", node=NODE, on=False)
    await rig.until(lambda: rig.last(TOPICS.heartbeat(NODE)), "heartbeat again")


async def test_a_mistyped_request_is_answered_with_a_suggestion(fleet: Fleet, tmp_path: Path) -> None:
    sock = tmp_path / "sock"
    assert "did you mean 'amplifier'" in (await ask(sock, do="inject", node=NODE, fault="amplifire"))["error"]
    assert "did you mean 'na-meo-01'" in (await ask(sock, do="kill", node="na-meo-1"))["error"]
    assert "did you mean 'inject'" in (await ask(sock, do="injekt", node=NODE))["error"]


async def test_leaving_says_goodbye_so_that_nobody_takes_it_for_a_fault(rig: Rig, tmp_path: Path) -> None:
    async with running(Fleet([rig.enrol(NODE)], tmp_path)):
        await rig.until(lambda: rig.last(TOPICS.status(NODE)), "birth")
    status = await rig.until(lambda: (last := rig.last(TOPICS.status(NODE))) and not last["online"] and last, "bye")
    assert status["reason"] == "bye"


async def test_sixty_nodes_start_together(rig: Rig, tmp_path: Path) -> None:
    names = [f"node-{n:02}" for n in range(60)]
    async with running(Fleet([rig.enrol(name) for name in names], tmp_path)) as fleet:
        await rig.until(lambda: all(node.link.connected for node in fleet.nodes.values()), "all connected")
        track = rig.track(noise(1.0, 9))
        start = now() + timedelta(seconds=8)
        for name in names:
            rig.publish_playlists(name, playlist("b@1", start, track))
        entries = await rig.until(
            lambda: len(found := [e for name in names for e in rig.said(name, "started")]) == 60 and found,
            "all started",
            30,
        )
    at = [datetime.fromisoformat(entry["at"]) for entry in entries]
    assert (max(at) - min(at)).total_seconds() <= ON_TIME_S  # how closely: benchmarks/main_job.py
    assert max(entry["late_ms"] for entry in entries) <= ON_TIME_S * 1000
