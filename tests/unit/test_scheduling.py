"""From configuration to what every node holds: nothing twice, nothing lost by an edit or a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import msgspec
import pytest

from broadcasts.guards import Guards
from broadcasts.model import File, IfLate, LateAction, Say
from controller.ports import AudioRefused, ConfigRefused, StoreError
from controller.services.changelog import REFUSED
from controller.wire.messages import MAX_DOCUMENT, Command, JournalEntry, PlaylistsDoc
from controller.wire.signing import verify
from tests.fakes import START
from tests.house import KEYS, NEWS, House, network

TODAY = "ban-tin@2026-11-23T17:00"
NODES = ["na-meo-01", "na-meo-02", "son-thuy-01"]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Started at 08:00 local time with one daily broadcast at 17:00."""
    house = await House.opened(NEWS)
    yield house
    await house.store.close()


def word(n: int, kind: str, at: datetime, occurrence: str = TODAY, **more: object) -> JournalEntry:
    return JournalEntry(log="a", n=n, at=at, kind=kind, playlist=occurrence, **more)  # type: ignore[arg-type]


async def test_every_node_gets_a_week_ahead_signed_and_retained(house: House) -> None:
    for node in NODES:
        (document,) = house.documents(node)
        assert [one.id[-16:] for one in document.playlists] == [f"2026-11-{day}T17:00" for day in range(23, 30)]
        assert document.playlists[0].start == datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
        assert (document.epoch, document.rev) == (1, 1)
        assert "all" in document.settings.zones
    assert all(one.retain and one.qos == 1 for one in house.bus.published)


async def test_the_ledger_has_a_row_for_every_node_before_anything_sounds(house: House) -> None:
    assert await house.states(TODAY) == dict.fromkeys(NODES, "published")


async def test_a_restart_with_nothing_changed_publishes_no_new_revision(house: House) -> None:
    again = await house.restarted()
    await again.started()
    assert again.dispatch.epoch == 2
    assert [one for node in NODES for one in again.documents(node)] == []
    assert again.dispatch.version("na-meo-01") == (1, 1)


async def test_after_a_restart_what_a_node_lacks_is_sent_under_the_new_epoch(house: House) -> None:
    """An order of the new epoch may reach the node first; then it would refuse the old epoch's document."""
    again = await house.restarted()
    await again.started()
    assert again.dispatch.wants("na-meo-01", (0, 0), born=True)
    await again.dispatch.send(["na-meo-01"])
    (document,) = again.documents("na-meo-01")
    assert (document.epoch, document.rev) == (2, 2)
    assert [one.id for one in document.playlists] == house.holds("na-meo-01")
    third = await again.restarted()
    await third.dispatch.start()
    assert third.dispatch.version("na-meo-01") == (2, 2), "what was sent is what is remembered"


async def test_a_node_that_holds_what_it_should_is_left_alone(house: House) -> None:
    assert not house.dispatch.wants("na-meo-01", (1, 1), born=True)


async def test_a_node_that_keeps_reporting_an_old_revision_is_not_flooded(house: House) -> None:
    assert not any(house.dispatch.wants("na-meo-01", (0, 0)) for _ in range(5))  # published a moment ago, on its way
    await house.clock.advance(31)
    assert not house.dispatch.wants("na-meo-01", (0, 0), born=True)  # the broker gives it what it keeps
    assert not house.dispatch.wants("na-meo-01", (0, 0))
    await house.clock.advance(31)
    assert house.dispatch.wants("na-meo-01", (0, 0))


async def test_a_node_that_connects_to_a_broker_that_was_away_is_sent_what_it_lacks(house: House) -> None:
    house.dispatch.note_held("na-meo-01", (1, 1))
    assert "na-meo-01" not in await house.dispatch.on_bus_up()
    assert house.dispatch.wants("na-meo-01", (0, 0), born=True), "the broker may have lost what it kept"


async def test_an_edit_reaches_only_the_nodes_it_concerns(house: House) -> None:
    await house.edited(NEWS, replace(NEWS, id="tiem-chung", to=("son-thuy",), at=(time(18, 0),)))
    assert len(house.documents("na-meo-01")) == 1
    assert house.documents("son-thuy-01")[-1].rev == 2
    assert "tiem-chung@2026-11-23T18:00" in house.holds("son-thuy-01")


async def test_a_moved_broadcast_is_cancelled_at_its_old_time_and_planned_at_the_new(house: House) -> None:
    await house.edited(replace(NEWS, at=(time(17, 30),)))
    assert set((await house.states(TODAY)).values()) == {"cancelled"}
    assert house.holds("na-meo-01")[0] == "ban-tin@2026-11-23T17:30"


async def test_what_was_taken_back_and_put_again_is_planned_again(house: House) -> None:
    await house.edited()
    await house.edited(NEWS)
    assert set((await house.states(TODAY)).values()) == {"published"}
    assert TODAY in house.holds("na-meo-01")


async def test_a_node_that_leaves_a_broadcast_hears_of_it_and_the_ledger_says_why(house: House) -> None:
    await house.edited(replace(NEWS, exclude=("na-meo-02",)))
    assert house.holds("na-meo-02") == []
    assert (await house.states(TODAY))["na-meo-02"] == "cancelled"
    events = await house.store.transact(lambda tx: tx.delivery_events(TODAY, "na-meo-02"))
    assert events[-1].reason == "configuration changed"


async def test_an_edit_never_airs_again_what_has_aired(house: House) -> None:
    await house.clock.advance(9.5 * 3600)
    await house.ledger.take([("na-meo-01", word(1, "completed", house.clock.now()))])
    await house.edited(replace(NEWS, title="Bản tin mới"))
    assert (await house.states(TODAY))["na-meo-01"] == "completed"


async def test_a_series_moved_to_a_later_time_after_it_has_aired_airs_then_and_what_has_aired_stays(
    house: House,
) -> None:
    """A new airing, shown as added (docs/operator.md); the old one is neither cancelled nor aired again."""
    await house.clock.advance(9.5 * 3600)  # 17:30
    await house.ledger.take([("na-meo-01", word(1, "completed", house.clock.now()))])
    await house.edited(replace(NEWS, at=(time(18, 30),)))
    assert (await house.states(TODAY))["na-meo-01"] == "completed"
    assert TODAY not in house.holds("na-meo-01")
    assert house.holds("na-meo-01")[0] == "ban-tin@2026-11-23T18:30"


async def test_what_sounds_and_is_taken_out_is_taken_from_the_nodes_at_once(house: House) -> None:
    """A node that no longer finds it in its document stops it: tests/unit/test_speaker.py."""
    await house.clock.advance(9 * 3600 + 2)
    assert TODAY in house.holds("na-meo-01")
    await house.edited()
    assert TODAY not in house.holds("na-meo-01")
    assert set((await house.states(TODAY)).values()) == {"cancelled"}


async def test_taking_a_broadcast_out_rewrites_nothing_that_is_over(house: House) -> None:
    await house.clock.advance(9 * 3600 + 60)
    await house.edited()
    row = await house.store.transact(lambda tx: tx.occurrence(TODAY))
    assert row is not None
    assert row.cancelled_at is None
    tomorrow = await house.store.transact(lambda tx: tx.occurrence("ban-tin@2026-11-24T17:00"))
    assert tomorrow is not None
    assert tomorrow.cancelled_at is not None


async def test_the_past_is_not_planned_when_a_broadcast_is_new(house: House) -> None:
    morning = replace(NEWS, id="sang", at=(time(5, 30),))
    await house.edited(NEWS, morning)
    assert await house.states("sang@2026-11-23T05:30") == {}
    assert house.holds("na-meo-01")[1] == "sang@2026-11-24T05:30"


async def test_what_is_on_air_stays_in_the_document_until_it_is_over(house: House) -> None:
    await house.clock.advance(9 * 3600 + 5)
    await house.edited(NEWS, replace(NEWS, id="khac", at=(time(20, 0),)))
    assert TODAY in house.holds("na-meo-01")


async def test_a_refused_audio_file_changes_nothing_on_air_and_is_told(house: House) -> None:
    bad = replace(NEWS, id="hong", play=(Say("im lặng"),), place="config/broadcasts.yaml:9:5")
    house.library.refused.add(bad.play[0])
    with pytest.raises(ConfigRefused):
        await house.edited(bad)
    assert house.scheduling.problems == ("config/broadcasts.yaml:9:5: broadcast 'hong': silent",)
    assert TODAY in house.holds("na-meo-01")
    assert len(house.documents("na-meo-01")) == 1


async def test_at_the_start_a_refused_broadcast_does_not_take_the_others_with_it() -> None:
    house = await House.opened()
    house.library.refused.add(File("/x.mp3"))
    house.configured = replace(
        house.configured, broadcasts={"ban-tin": NEWS, "hong": replace(NEWS, id="hong", play=(File("/x.mp3"),))}
    )
    again = await house.restarted()
    again.library.refused.add(File("/x.mp3"))
    await again.started()
    assert again.scheduling.problems == ("b:3: broadcast 'hong': silent",)
    assert TODAY in again.holds("na-meo-01")
    await again.scheduling.reload()
    assert again.scheduling.problems == ("b:3: broadcast 'hong': silent",), "looked at again it is as it was"
    await house.store.close()


async def test_a_look_at_the_folder_while_the_first_plan_is_made_makes_no_second_one_and_refuses_nothing() -> None:
    house = await House.opened()
    house.configured = replace(house.configured, broadcasts={"hong": replace(NEWS, id="hong", play=(File("/x.mp3"),))})
    again = await house.restarted()
    again.library.refused.add(File("/x.mp3"))
    await again.dispatch.start()
    await asyncio.gather(again.scheduling.start(), again.scheduling.reload())
    assert again.scheduling.problems == ("b:3: broadcast 'hong': silent",)
    assert await audit(again, REFUSED) == []
    await house.store.close()


async def test_midnight_brings_the_next_day_by_itself(house: House) -> None:
    await house.clock.advance(16 * 3600 + 2)
    await house.timer.run_due()
    assert house.holds("na-meo-01")[-1] == "ban-tin@2026-11-30T17:00"
    assert house.library.collected, "audio that nothing needs is dropped once a day"


async def test_a_verdict_refused_while_the_clock_was_ahead_is_not_put_off_until_that_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.clock.advance(9 * 3600 + 21)
    house.clock.wall += timedelta(hours=1)
    with monkeypatch.context() as broken:
        broken.setattr(house.store, "transact", _refuses)
        _, verdict = house.timer.jobs.pop(f"verdict:{TODAY}")
        await verdict()
    await house.edited(replace(NEWS, id="khac"))  # by that clock it is over for long, and it is planned no more
    house.clock.wall -= timedelta(hours=1)
    await house.edited(replace(NEWS, id="khac", title="Bản tin tối"))
    await house.clock.advance(61)
    await house.timer.run_due()
    assert await house.states(TODAY) == dict.fromkeys(NODES, "unknown")


async def test_no_word_by_the_deadline_is_unknown_and_a_later_word_still_counts(house: House) -> None:
    await house.clock.advance(9 * 3600)
    await house.ledger.take([("na-meo-01", word(1, "started", house.clock.now(), late_ms=2))])
    await house.clock.advance(10)
    await house.ledger.take([("na-meo-01", word(2, "completed", house.clock.now(), played_ms=10_000, level_db=-20.0))])
    await house.clock.advance(11)
    await house.timer.run_due()
    assert await house.states(TODAY) == {"na-meo-01": "completed", "na-meo-02": "unknown", "son-thuy-01": "unknown"}
    late = [
        word(1, "started", START + timedelta(hours=9)),
        word(2, "completed", START + timedelta(hours=9, seconds=10)),
    ]
    await house.ledger.take([("na-meo-02", one) for one in late])
    assert (await house.states(TODAY))["na-meo-02"] == "completed"


async def test_a_node_that_has_all_its_audio_is_ready_whatever_was_said_before_our_start(house: House) -> None:
    accepted = JournalEntry(log="a", n=1, at=START, kind="playlists", result="accepted", epoch=1, rev=1)
    await house.ledger.take([("na-meo-01", accepted)])
    assert (await house.states(TODAY))["na-meo-01"] == "accepted"
    await house.ledger.ready(["na-meo-01"])
    assert (await house.states(TODAY))["na-meo-01"] == "ready"


async def test_a_node_that_accepted_an_older_document_has_not_accepted_what_is_new(house: House) -> None:
    """Its journal waited while it was cut off, and an edit was made meanwhile."""
    await house.edited(NEWS, replace(NEWS, id="khac"))
    accepted = JournalEntry(log="a", n=1, at=START, kind="playlists", result="accepted", epoch=1, rev=1)
    await house.ledger.take([("na-meo-01", accepted)])
    assert (await house.states("khac@2026-11-23T17:00"))["na-meo-01"] == "published"
    await house.ledger.take([("na-meo-01", msgspec.structs.replace(accepted, n=2, rev=2))])
    assert (await house.states("khac@2026-11-23T17:00"))["na-meo-01"] == "accepted"


async def test_a_node_that_died_on_air_while_nobody_looked_is_not_on_air_for_ever(house: House) -> None:
    await house.clock.advance(9 * 3600)
    await house.ledger.take([("na-meo-01", word(1, "started", house.clock.now(), late_ms=2))])
    await house.clock.advance(12 * 3600)
    again = await house.restarted()
    await again.started()
    assert (await again.states(TODAY))["na-meo-01"] == "sounding"
    await house.clock.advance(61)
    await again.timer.run_due()
    assert (await again.states(TODAY))["na-meo-01"] == "unknown"


async def test_an_airing_that_passed_while_no_controller_was_there_is_judged_by_the_next_one(house: House) -> None:
    await house.clock.advance(14 * 3600)
    again = await house.restarted()
    await again.started()
    await house.clock.advance(61)
    await again.timer.run_due()
    assert await again.states(TODAY) == dict.fromkeys(NODES, "unknown")


async def test_an_airing_that_was_taken_back_and_put_back_is_played_whatever_a_node_says_of_the_first_edit(
    house: House,
) -> None:
    """Its word that it skips what was cancelled may come after the second edit; what it plays then is not lost."""
    await house.edited()
    await house.edited(NEWS)
    await house.ledger.take([("na-meo-01", word(1, "skipped", START, reason="cancelled"))])
    assert (await house.states(TODAY))["na-meo-01"] == "published"
    await house.ledger.take([("na-meo-01", word(2, "started", START + timedelta(hours=9), late_ms=1))])
    assert (await house.states(TODAY))["na-meo-01"] == "sounding"


async def test_an_edit_says_nothing_of_an_airing_that_is_over(house: House) -> None:
    """It was meant for these nodes, and what became of it there stays as it is known."""
    before = replace(NEWS, exclude=("son-thuy-01",))
    await house.edited(before)
    await house.clock.advance(9 * 3600 + 900)
    await house.timer.run_due()
    over = {"na-meo-01": "unknown", "na-meo-02": "unknown", "son-thuy-01": "cancelled"}
    assert await house.states(TODAY) == over
    await house.edited(replace(NEWS, exclude=("na-meo-02",)))
    assert await house.states(TODAY) == over


async def test_a_journal_that_comes_twice_counts_once(house: House) -> None:
    entry = word(1, "started", START + timedelta(hours=9), late_ms=1)
    first = await house.ledger.take([("na-meo-01", entry)])
    again = await house.ledger.take([("na-meo-01", entry)])
    assert (first.fresh, again.fresh) == (1, 0)
    assert again.upto == {("na-meo-01", "a"): 1}


async def test_a_gap_in_a_journal_is_not_acknowledged_over(house: House) -> None:
    taken = await house.ledger.take([("na-meo-01", word(n, "started", START)) for n in (1, 3)])
    assert taken.upto == {("na-meo-01", "a"): 1}


async def test_saying_something_now_reaches_its_zone_within_seconds(house: House) -> None:
    order = await house.orders.say("Họp dân lúc 19 giờ.", ["na-meo"], by="an")
    start = datetime.fromisoformat(order["start"])
    assert timedelta(0) < start - house.clock.now() <= timedelta(seconds=6)
    assert house.holds("na-meo-02")[0] == order["occurrence"]
    assert order["occurrence"] not in house.holds("son-thuy-01")
    audits = await house.store.transact(lambda tx: tx.audits())
    assert (audits[0].who, audits[0].what) == ("an", "now")


async def test_two_orders_in_one_second_are_two_airings(house: House) -> None:
    first = await house.orders.say("Một.", ["na-meo"])
    second = await house.orders.say("Hai.", ["na-meo"])
    assert first["occurrence"] != second["occurrence"]
    assert {first["occurrence"], second["occurrence"]} <= set(house.holds("na-meo-01"))


async def test_an_order_of_the_moment_survives_a_restart_and_an_edit(house: House) -> None:
    order = await house.orders.play("/srv/le-ram.wav", ["son-thuy-01"])
    again = await house.restarted()
    again.library.refused.add(File("/srv/le-ram.wav"))  # the file may be gone by now
    await again.started()
    await again.edited(NEWS, replace(NEWS, id="khac"))
    assert order["occurrence"] in again.holds("son-thuy-01")


async def test_an_order_for_nobody_or_with_bad_audio_says_so_and_leaves_no_trace(house: House) -> None:
    with pytest.raises(ValueError, match="unknown commune, zone or node 'na-meoo'"):
        await house.orders.say("Chào.", ["na-meoo"])
    house.library.refused.add(File("/tmp/im.wav"))
    with pytest.raises(AudioRefused, match="silent"):
        await house.orders.play("/tmp/im.wav", ["na-meo"])
    assert len(house.documents("na-meo-01")) == 1


async def test_stop_silences_what_sounds_and_it_stays_silent(house: House) -> None:
    order = await house.orders.say("Dài.", ["all"])
    await house.clock.advance(6)
    stopped = await house.orders.stop_air(["na-meo"], by="an")
    assert stopped["stopped"] == [order["occurrence"]]
    assert order["occurrence"] not in house.holds("na-meo-01")
    assert order["occurrence"] in house.holds("son-thuy-01")
    assert TODAY in house.holds("na-meo-01"), "what is not on air now is not touched"
    commands = [one for one in house.bus.published if one.topic.endswith("na-meo-01/command")]
    command = verify(Command, commands[-1].payload, KEYS, audience=("na-meo-01",), now=house.clock.now())
    assert (command.do, commands[-1].retain, commands[-1].expiry_s) == ("stop", False, 30)
    again = await house.restarted()
    await again.started()
    assert order["occurrence"] not in [one.id for one in again.dispatch.wanted("na-meo-01")]


async def test_a_broker_that_is_away_gets_the_plan_when_it_returns(house: House) -> None:
    house.bus.down()
    await house.edited(NEWS, replace(NEWS, id="khac"))
    assert (await house.states("khac@2026-11-23T17:00"))["na-meo-01"] == "planned"
    house.bus.up()
    sent = await house.dispatch.send(await house.dispatch.on_bus_up())
    await house.ledger.published(sent, house.clock.now())
    assert "khac@2026-11-23T17:00" in house.holds("na-meo-01")
    assert (await house.states("khac@2026-11-23T17:00"))["na-meo-01"] == "published"


async def test_a_joinable_airing_that_is_running_is_planned_at_a_first_start(house: House) -> None:
    long = replace(NEWS, id="dang-phat", at=(time(7, 59, 55),), if_late=IfLate(LateAction.JOIN, 600))
    await house.edited(NEWS, long, replace(long, id="bo-lo", if_late=IfLate(LateAction.DROP, 600)))
    assert "dang-phat@2026-11-23T07:59:55" in house.holds("na-meo-01")
    assert "bo-lo@2026-11-23T07:59:55" not in house.holds("na-meo-01")


async def test_a_document_too_long_for_mqtt_is_named_and_fetched(house: House) -> None:
    all_day = tuple(time(hour, minute) for hour in range(5, 21) for minute in range(0, 60, 6))
    await house.edited(NEWS, replace(NEWS, id="day-dac", at=all_day))
    document = house.documents("na-meo-01")[-1]
    assert document.ref is not None
    assert document.playlists == ()
    whole = house.dispatch.document("na-meo-01", document.ref.sha256)
    assert whole is not None
    found = verify(PlaylistsDoc, whole, KEYS, audience=("na-meo-01",), now=house.clock.now(), limit=MAX_DOCUMENT)
    assert (found.epoch, found.rev) == (document.epoch, document.rev)
    assert len(found.playlists) > 900
    assert house.dispatch.document("na-meo-02", document.ref.sha256) is None, "each node has its own"
    standby = (await house.restarted()).dispatch
    assert standby.document("na-meo-01", document.ref.sha256) is None
    assert await standby.published_document("na-meo-01", document.ref.sha256) == whole
    assert await standby.published_document("na-meo-02", document.ref.sha256) is None, "each node has its own"


async def test_a_plan_and_a_renewal_at_the_same_time_never_share_a_revision(house: House) -> None:
    """A node takes the first of two documents of one revision and ignores the second: its plan would be lost."""
    house.configured = replace(network(NEWS, replace(NEWS, id="khac")), digest="2")
    for turns in range(8):
        again = House(house.configured, house.store, house.clock)
        await again.dispatch.start()
        again.bus.up()
        planning = asyncio.create_task(again.scheduling.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.gather(planning, again.dispatch.send(NODES))
        sent = again.documents("na-meo-01")
        assert len({one.rev for one in sent}) == len({one.playlists for one in sent}), f"after {turns} turns"
        assert again.holds("na-meo-01") == [one.id for one in again.dispatch.wanted("na-meo-01")]
        house.configured = replace(network(NEWS, replace(NEWS, id=f"khac-{turns}")), digest="2")


async def test_a_configuration_that_could_not_be_planned_is_taken_when_it_is_saved_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(house.store, "transact", _refuses)
        with pytest.raises(StoreError):
            await house.edited(NEWS, replace(NEWS, id="khac"))
    await house.scheduling.reload()
    assert "khac@2026-11-23T17:00" in house.holds("na-meo-01")


async def _refuses(work: object) -> None:
    raise StoreError("the disk is full")


# --- conflicts and guards ----------------------------------------------------------------------------------------

NIGHT = replace(NEWS, id="dem", at=(time(22, 30),), place="config/broadcasts.yaml:9:5", allow_conflict=False)


async def audit(house: House, what: str) -> list[str]:
    rows = await house.store.transact(lambda tx: tx.audits(what=[what]))
    return [row.detail for row in rows]


async def test_an_edit_that_would_sound_at_night_is_refused_with_a_time_that_fits_and_changes_nothing(
    house: House,
) -> None:
    with pytest.raises(ConfigRefused):
        await house.edited(NEWS, NIGHT)
    (problem,) = house.scheduling.problems
    assert problem.startswith("config/broadcasts.yaml:9:5: broadcast 'dem': dem@2026-11-23T22:30 sounds from 22:30")
    assert problem.endswith("the nearest time that fits on 2026-11-23 is 20:59")
    assert house.holds("na-meo-01")[0] == TODAY


async def test_two_of_one_rank_at_one_time_are_refused_with_both_names(house: House) -> None:
    with pytest.raises(ConfigRefused, match=r"b@2026-11-23T10:00 conflicts with a@2026-11-23T10:00, .* on na-meo-01"):
        await house.edited(*(replace(NEWS, id=id, at=(time(10, 0),), allow_conflict=False) for id in ("a", "b")))


async def test_a_start_leaves_out_what_breaks_a_guard_and_says_so() -> None:
    house = await House.opened(NEWS, NIGHT)
    assert {id.partition("@")[0] for id in house.holds("na-meo-01")} == {"ban-tin"}
    assert ["quiet hours" in one for one in house.scheduling.problems] == [True]
    await house.store.close()


async def test_a_guard_is_passed_with_a_reason_that_is_kept(house: House) -> None:
    await house.edited(NEWS, replace(NIGHT, override=(("quiet-hours", "Đêm giao thừa"),)))
    assert "dem@2026-11-23T22:30" in house.holds("na-meo-01")
    assert await audit(house, "guard overridden") == ["dem: quiet-hours: Đêm giao thừa"]


async def test_a_day_that_comes_into_sight_with_a_conflict_is_told_and_cancels_nothing(house: House) -> None:
    once = datetime(2026, 12, 23, 10, 0, tzinfo=UTC)  # beyond the 30 days that were looked at
    late = replace(NEWS, id="mot-lan", at=(), once=(once,), allow_conflict=False)
    await house.edited(replace(NEWS, allow_conflict=False), late)
    assert house.scheduling.warnings == ()
    await house.clock.advance(86_400)
    await house.timer.run_due()
    assert ["conflicts with" in one for one in house.scheduling.warnings] == [True]
    assert "ban-tin@2026-11-24T17:00" in house.holds("na-meo-01")


async def test_at_night_an_order_of_the_moment_needs_a_reason(house: House) -> None:
    await house.clock.advance(14 * 3600)  # 22:00
    with pytest.raises(ValueError, match="quiet hours on na-meo-01 until 05:00; if it must be now, give a reason"):
        await house.orders.say("Chào.", ["na-meo"])
    order = await house.orders.say("Lũ về.", ["na-meo"], by="an", override="nước lên")
    assert order["occurrence"] in house.holds("na-meo-01")
    (kept,) = await audit(house, "now")
    assert kept.startswith("say to na-meo: Lũ về. (there are quiet hours")
    assert kept.endswith("overridden: nước lên)")


async def test_an_order_of_the_moment_keeps_to_session_and_airtime_too(house: House) -> None:
    """Ten seconds each; the gap is a matter of the plan."""

    def limits(**more: timedelta) -> None:
        site = replace(house.scheduling.settings.site, guards=replace(Guards.none(), **more))
        house.scheduling.settings = replace(house.scheduling.settings, site=site)

    limits(session=timedelta(seconds=8))
    with pytest.raises(ValueError, match=r"it lasts 10s; 8s is allowed on na-meo-01 \(session\); if it must be now"):
        await house.orders.say("Chào.", ["na-meo"])
    limits(airtime=timedelta(seconds=15), gap=timedelta(hours=1))
    first = await house.orders.say("Chào.", ["na-meo"])
    await house.clock.advance(20)
    done = word(1, "completed", house.clock.now(), first["occurrence"], played_ms=10_000)
    await house.ledger.take([("na-meo-01", done)])
    with pytest.raises(ValueError, match="na-meo-01 has sounded 10s today and would make 20s; 15s is allowed"):
        await house.orders.say("Chào.", ["na-meo"])
    assert (await house.orders.say("Chào.", ["na-meo"], override="mất nước"))["occurrence"]
    assert (await audit(house, "now"))[0].endswith("overridden: mất nước)")


async def test_a_restart_with_audio_that_has_gone_bad_takes_nothing_off_the_nodes(house: House) -> None:
    again = await house.restarted()
    again.library.refused.add(NEWS.play[0])
    await again.started()
    assert again.scheduling.problems == ("b:3: broadcast 'ban-tin': silent",)
    assert TODAY in [one.id for one in again.dispatch.wanted("na-meo-01")]
    assert set((await again.states(TODAY)).values()) == {"published"}


async def test_an_edit_of_what_sounds_lets_it_go_on_as_it_began(house: House) -> None:
    await house.clock.advance(9 * 3600 + 5)
    sounding = house.documents("na-meo-01")[-1].playlists[0]
    await house.edited(replace(NEWS, play=(Say("Chào bà con, tin đã sửa."),), if_late=IfLate(LateAction.DROP, 1)))
    held = house.documents("na-meo-01")[-1].playlists
    assert held[0] == sounding
    assert held[1].tracks != sounding.tracks, "tomorrow it is the new one"
