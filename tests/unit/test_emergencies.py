"""Emergencies: at once, everywhere they are meant for, until they end; and nothing of them after that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from broadcasts.model import Say, assets_of
from controller.adapters.store.sql import SqlStore
from controller.domain.emergencies import Confirmed, confirmed
from controller.domain.site import HeldSound, Settings
from controller.ports import AudioRefused, ConfigRefused
from controller.services.emergencies import Amendment, Manner, Message
from controller.wire.messages import Emergency, Heartbeat, JournalEntry, Playing
from controller.wire.signing import Refused, verify
from tests.fakes import FakeClock
from tests.house import KEYS, NEWS, House, network

TEXT = Message(text="Nước lũ đang về. Rời nhà ngay!")
FLOOD = Message(sound="lu-quet")
TEN_MINUTES = Manner()


def site() -> Settings:
    plain = network(NEWS)
    held = HeldSound("lu-quet", Say("Lũ quét!", "vi"), "site.yaml:9")
    return replace(plain, site=replace(plain.site, emergency_sounds=(held,)))


async def opened() -> House:
    store = SqlStore("sqlite://")
    await store.open()
    house = House(site(), store, FakeClock())
    await house.started()
    return house


@dataclass
class Broker:
    """What a broker makes of what was published: one retained state a zone, gone when it expires."""

    kept: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    seen: int = 0

    def state(self, house: House, zone: str) -> Emergency | None:
        """What a node that subscribes now is given, judged as a node judges it."""
        for one in house.bus.published[self.seen :]:
            if one.retain:
                until = house.clock.monotonic() + one.expiry_s if one.expiry_s is not None else float("inf")
                self.kept[one.topic] = (one.payload, until)
        self.seen = len(house.bus.published)
        token, until = self.kept.get(f"loa/v1/zones/{zone}/emergency", (b"", 0.0))
        if not token or until <= house.clock.monotonic():
            return None
        try:
            return verify(Emergency, token, KEYS, audience=(f"zone:{zone}",), now=house.clock.now())
        except Refused as refused:
            if refused.reason != "expired":
                raise
            return None


def said(house: House, zone: str) -> list[Emergency]:
    """Every state that was published for `zone`, whether kept or not."""
    topic = f"loa/v1/zones/{zone}/emergency"
    tokens = [one.payload for one in house.bus.published if one.topic == topic and one.payload]
    return [verify(Emergency, token, KEYS, audience=(f"zone:{zone}",), now=house.clock.now()) for token in tokens]


async def journaled(house: House, node: str, n: int, kind: str, **told: object) -> None:
    entry = JournalEntry(log="l", n=n, at=house.clock.now(), kind=kind, **told)
    await house.ledger.take([(node, entry)])


async def states(house: House, id: str, plays: frozenset[str] = frozenset()) -> dict[str, str]:
    row = await house.store.read(lambda tx: tx.emergency(id))
    answers = {one.node: one for one in await house.store.read(lambda tx: tx.answers([id]))}
    now = house.clock.now()
    return {node: confirmed(row, answers.get(node), now, plays=node in plays).value for node in row.nodes}


# --- beginning and ending -----------------------------------------------------------------------------------


async def test_an_order_is_signed_for_its_zone_and_kept_by_the_broker_no_longer_than_it_is_in_force() -> None:
    house = await opened()
    done = await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES, by="hương")
    state = Broker().state(house, "na-meo")
    assert state is not None
    assert (state.id, state.rev, state.active, state.drill, state.volume) == (done["id"], 1, True, False, 100)
    assert (state.repeat.times, state.repeat.gap_ms) == (3, 5000)
    assert state.not_after == house.clock.now() + timedelta(minutes=10)
    assert house.bus.published[-1].expiry_s == 600
    assert done["nodes"] == ["na-meo-01", "na-meo-02"]
    assert done["unpublished"] == {}


async def test_two_zones_get_one_emergency_under_one_id() -> None:
    house = await opened()
    done = await house.emergencies.sound(TEXT, ["na-meo", "son-thuy", "na-meo"], TEN_MINUTES)
    broker = Broker()
    ids = {state.id for zone in ("na-meo", "son-thuy") if (state := broker.state(house, zone))}
    assert ids == {done["id"]}
    assert done["nodes"] == ["na-meo-01", "na-meo-02", "son-thuy-01"]
    assert broker.state(house, "all") is None


async def test_its_end_is_a_newer_revision_kept_as_long_as_anybody_could_still_begin_it() -> None:
    house, broker = await opened(), Broker()
    done = await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES)
    await house.clock.advance(60)
    await house.emergencies.end(done["id"], by="đình")
    state = broker.state(house, "na-meo")
    assert state is not None
    assert (state.rev, state.active) == (2, False)
    await house.clock.advance(530)
    await house.timer.run_due()
    assert broker.state(house, "na-meo") is not None, "a node that was away for nine minutes learns of the end"
    await house.clock.advance(20)
    await house.timer.run_due()
    assert broker.state(house, "na-meo") is None
    assert house.bus.published[-1].payload == b""
    assert house.emergencies.current == {}
    with pytest.raises(KeyError):
        await house.emergencies.end(done["id"])


async def test_it_expires_by_itself_and_is_then_over() -> None:
    house, broker = await opened(), Broker()
    done = await house.emergencies.sound(TEXT, ["na-meo"], Manner(life=timedelta(minutes=1)))
    await house.clock.advance(61)
    await house.timer.run_due()
    assert broker.state(house, "na-meo") is None
    row = await house.store.read(lambda tx: tx.emergency(done["id"]))
    assert (row.state.value, row.rev, row.cleared) == ("expired", 1, True)


async def test_an_end_cannot_be_ended_and_an_unknown_one_names_those_that_go_on() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    with pytest.raises(KeyError, match=f"active: {done['id']}"):
        await house.emergencies.end("lu-quat")
    await house.emergencies.end("lu-quet")  # the beginning of its id is enough while one is meant
    with pytest.raises(ValueError, match="is over since"):
        await house.emergencies.end(done["id"])


async def test_who_ordered_and_who_ended_is_in_the_audit_trail() -> None:
    house = await opened()
    done = await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES, drill=True, by="hương")
    await house.emergencies.end(done["id"], by="đình")
    rows = await house.store.read(lambda tx: tx.audits())
    assert [(row.who, row.what) for row in rows][:2] == [("đình", "emergency ended"), ("hương", "drill ordered")]
    assert done["id"] in rows[0].detail


async def test_two_in_one_second_are_two() -> None:
    house = await opened()
    first = await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES)
    second = await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES)
    assert first["id"] != second["id"]
    assert Broker().state(house, "na-meo").id == second["id"]


# --- what cannot be ordered -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "why"),
    [
        (["na-meo-01"], "one node; its zones: all, na-meo"),
        (["na-meoo"], r"did you mean 'na-meo'\?"),
        ([], "no node in nothing"),
    ],
)
async def test_a_place_without_an_emergency_topic_is_refused_with_what_to_do(to: list[str], why: str) -> None:
    house = await opened()
    before = len(house.bus.published)
    with pytest.raises(ValueError, match=why):
        await house.emergencies.sound(TEXT, to, TEN_MINUTES)
    assert len(house.bus.published) == before


async def test_a_misspelt_sound_is_not_read_out_as_a_word() -> None:
    house = await opened()
    with pytest.raises(ValueError, match=r"did you mean 'lu-quet'\?"):
        await house.emergencies.sound(Message(sound="lu-qet"), ["all"], TEN_MINUTES)
    with pytest.raises(ValueError, match="say what"):
        await house.emergencies.sound(Message(text=" "), ["all"], TEN_MINUTES)


# --- sounds that nodes hold -----------------------------------------------------------------------------------


async def test_every_node_holds_the_common_sounds_ahead_and_an_emergency_uses_just_those() -> None:
    house = await opened()
    held = {sound.name: sound.sha256 for sound in house.documents("son-thuy-01")[-1].settings.emergency_sounds}
    assert set(held) == {"lu-quet", "lu-quet-dien-tap"}
    for drill, name in ((False, "lu-quet"), (True, "lu-quet-dien-tap")):
        await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES, drill=drill)
        (track,) = said(house, "na-meo")[-1].tracks
        assert [asset.sha256 for asset in assets_of(track)] == [held[name]]


async def test_what_nodes_hold_and_what_sounds_now_is_not_collected() -> None:
    house = await opened()
    held = {sound.sha256 for sound in house.documents("son-thuy-01")[-1].settings.emergency_sounds}
    done = await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES)
    (track,) = said(house, "na-meo")[-1].tracks
    assert held | {track.sha256} <= house.scheduling.needed_assets()
    await house.emergencies.end(done["id"])
    await house.clock.advance(601)
    await house.timer.run_due()
    assert track.sha256 not in house.scheduling.needed_assets()
    assert held <= house.scheduling.needed_assets()


# --- changes ------------------------------------------------------------------------------------------------


async def test_other_words_are_a_newer_revision_that_every_node_must_answer_anew() -> None:
    house, broker = await opened(), Broker()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await journaled(house, "na-meo-01", 1, "emergency", id=done["id"], rev=1, result="started")
    assert (await states(house, done["id"]))["na-meo-01"] == "sounding"
    await house.emergencies.update(done["id"], Amendment(message=TEXT))
    state = broker.state(house, "na-meo")
    assert (state.id, state.rev) == (done["id"], 2)
    assert (await states(house, done["id"]))["na-meo-01"] == "waiting"


async def test_louder_or_longer_does_not_ask_the_nodes_again() -> None:
    house, broker = await opened(), Broker()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await journaled(house, "na-meo-01", 1, "emergency", id=done["id"], rev=1, result="started")
    await house.clock.advance(300)
    await house.emergencies.update(done["id"], Amendment(volume=60, life=timedelta(minutes=20)))
    state = broker.state(house, "na-meo")
    assert (state.rev, state.volume, state.not_after) == (2, 60, house.clock.now() + timedelta(minutes=20))
    assert (await states(house, done["id"]))["na-meo-01"] == "sounding"


async def test_a_shorter_life_is_told_even_to_those_who_were_away_when_it_was_longer() -> None:
    house, broker = await opened(), Broker()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await house.emergencies.update(done["id"], Amendment(life=timedelta(minutes=1)))
    await house.clock.advance(120)
    await house.timer.run_due()
    state = broker.state(house, "na-meo")
    assert state is not None, "a node that holds revision 1 would go on for eight minutes"
    assert (state.rev, state.not_after < house.clock.now()) == (2, True)


# --- several at a time ----------------------------------------------------------------------------------------


async def test_after_the_end_of_the_later_one_late_joiners_learn_of_the_earlier_that_goes_on() -> None:
    house, broker = await opened(), Broker()
    first = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await house.clock.advance(5)
    second = await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES)
    assert broker.state(house, "na-meo").id == second["id"]
    await house.emergencies.end(second["id"])
    assert broker.state(house, "na-meo").id == first["id"]
    ends = [(one.id, one.rev) for one in said(house, "na-meo") if not one.active]
    assert ends == [(second["id"], 2)], "those who are there hear of the end"
    assert broker.state(house, "na-meo").iat < said(house, "na-meo")[1].iat, "nodes rank them by when they were ordered"


async def test_a_node_that_comes_back_is_told_what_the_broker_cannot_keep() -> None:
    house = await opened()
    first = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await house.emergencies.sound(TEXT, ["na-meo"], TEN_MINUTES)
    before = len(said(house, "na-meo"))
    await house.emergencies.on_birth("na-meo-02")
    assert first["id"] in {one.id for one in said(house, "na-meo")[before:]}
    before = len(said(house, "na-meo"))
    for _ in range(100):
        await house.emergencies.on_birth("na-meo-02")
    assert len(said(house, "na-meo")) == before, "a hundred births are not a hundred messages to everybody"
    await house.clock.advance(3)
    await house.timer.run_due()
    assert first["id"] in {one.id for one in said(house, "na-meo")[before:]}


async def test_a_node_that_still_sounds_what_is_over_is_told_again() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await house.emergencies.end(done["id"])
    before = len(said(house, "na-meo"))
    playing = Heartbeat(boot="b", conn=1, seq=1, at=house.clock.now(), playing=Playing(done["id"]))
    await house.emergencies.on_heartbeats([("na-meo-01", playing)])
    assert [(one.rev, one.active) for one in said(house, "na-meo")[before:]] == [(2, False)]


# --- what breaks ----------------------------------------------------------------------------------------------


async def test_without_a_broker_it_is_written_down_and_goes_out_when_there_is_one() -> None:
    house, broker = await opened(), Broker()
    house.bus.down()
    done = await house.emergencies.sound(FLOOD, ["na-meo", "son-thuy"], TEN_MINUTES)
    assert done["unpublished"] == {"na-meo": "not connected", "son-thuy": "not connected"}
    house.bus.up()
    await house.emergencies.on_bus_up()
    assert broker.state(house, "na-meo").id == done["id"]
    assert broker.state(house, "son-thuy").id == done["id"]


async def test_a_broker_that_forgot_the_end_or_brought_the_beginning_back_is_told_again() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await house.emergencies.end(done["id"])
    broker = Broker(seen=len(house.bus.published))
    await house.emergencies.on_bus_up()
    assert broker.state(house, "na-meo").active is False


async def test_a_controller_that_was_killed_goes_on_with_what_is_active_under_its_new_epoch() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    epoch = said(house, "na-meo")[-1].epoch
    again = await house.restarted()
    await again.started()
    await again.emergencies.on_bus_up()
    state = Broker().state(again, "na-meo")
    assert (state.id, state.rev, state.active, state.epoch) == (done["id"], 1, True, epoch + 1)
    await again.emergencies.end(done["id"])
    assert said(again, "na-meo")[-1].rev == 2


async def test_what_ran_out_while_the_controller_was_down_does_not_come_back() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await house.clock.advance(3600)
    again = await house.restarted()
    await again.started()
    await again.timer.run_due()
    await again.emergencies.on_bus_up()
    assert Broker().state(again, "na-meo") is None
    row = await again.store.read(lambda tx: tx.emergency(done["id"]))
    assert (row.state.value, row.cleared) == ("expired", True)


async def test_a_broker_that_does_not_take_the_clearing_is_asked_again() -> None:
    house = await opened()
    await house.emergencies.sound(FLOOD, ["na-meo"], Manner(life=timedelta(minutes=1)))
    house.bus.down()
    await house.clock.advance(61)
    await house.timer.run_due()
    assert len(house.emergencies.current) == 1
    house.bus.up()
    await house.clock.advance(6)
    await house.timer.run_due()
    assert house.bus.published[-1].payload == b""
    assert house.emergencies.current == {}


# --- what nodes answer ------------------------------------------------------------------------------------------


async def test_each_node_sounds_refuses_with_its_reason_or_does_not_answer() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["all"], TEN_MINUTES)
    assert set((await states(house, done["id"])).values()) == {"waiting"}
    await journaled(house, "na-meo-01", 1, "emergency", id=done["id"], rev=1, result="started")
    await journaled(house, "na-meo-02", 1, "emergency", result="rejected", reason="epoch")
    await house.clock.advance(11)
    assert await states(house, done["id"]) == {
        "na-meo-01": "sounding",
        "na-meo-02": "refused",
        "son-thuy-01": "no-answer",
    }
    assert (await states(house, done["id"], frozenset({"son-thuy-01"})))["son-thuy-01"] == Confirmed.SOUNDING
    answers = await house.store.read(lambda tx: tx.answers([done["id"]]))
    assert [(one.node, one.reason) for one in answers if one.reason] == [("na-meo-02", "epoch")]


async def test_a_forgery_refused_meanwhile_does_not_hide_that_the_true_one_sounds() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await journaled(house, "na-meo-01", 1, "emergency", id=done["id"], rev=1, result="started")
    await journaled(house, "na-meo-01", 2, "emergency", result="rejected", reason="bad-signature")
    assert (await states(house, done["id"]))["na-meo-01"] == "sounding"
    await journaled(house, "na-meo-01", 3, "emergency", id=done["id"], rev=1, result="ended")
    assert (await states(house, done["id"]))["na-meo-01"] == "ended"


async def test_a_node_whose_player_breaks_says_so() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await journaled(house, "na-meo-01", 1, "failed", playlist=done["id"], reason="unreadable: the card")
    assert (await states(house, done["id"]))["na-meo-01"] == "refused"


async def test_the_same_journal_entry_again_changes_nothing() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    started = JournalEntry("l", 1, house.clock.now(), "emergency", id=done["id"], rev=1, result="started")
    ended = JournalEntry("l", 2, house.clock.now(), "emergency", id=done["id"], rev=1, result="ended")
    for batch in ([started], [ended], [started, ended], [started]):
        await house.ledger.take([("na-meo-01", one) for one in batch])
    assert (await states(house, done["id"]))["na-meo-01"] == "ended"


async def test_a_journal_that_comes_days_later_still_finds_its_emergency() -> None:
    house = await opened()
    done = await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    await house.clock.advance(3 * 86400)
    await house.timer.run_due()
    await journaled(house, "na-meo-02", 1, "emergency", id=done["id"], rev=1, result="started")
    assert (await states(house, done["id"]))["na-meo-02"] == "sounding"


# --- held sounds and the configuration --------------------------------------------------------------------------


async def test_a_held_sound_that_cannot_be_rendered_is_told_and_an_edit_with_one_is_refused() -> None:
    house = await opened()
    bad = Say("Sơ tán!", "vi")
    house.library.refused.add(bad)
    before = len(house.documents("na-meo-01"))
    held = (*house.configured.site.emergency_sounds, HeldSound("so-tan", bad, "site.yaml:12"))
    house.configured = replace(house.configured, digest="2", site=replace(house.configured.site, emergency_sounds=held))
    with pytest.raises(ConfigRefused, match=r"site\.yaml:12: emergency sound 'so-tan': "):
        await house.scheduling.reload()
    assert len(house.documents("na-meo-01")) == before
    house.library.refused.clear()
    await house.scheduling.reload()
    names = [sound.name for sound in house.documents("na-meo-01")[-1].settings.emergency_sounds]
    assert names == ["lu-quet", "lu-quet-dien-tap", "so-tan", "so-tan-dien-tap"]
    await house.emergencies.sound(Message(sound="so-tan"), ["all"], TEN_MINUTES)


async def test_a_start_with_a_sound_that_cannot_be_rendered_still_has_the_others() -> None:
    store = SqlStore("sqlite://")
    await store.open()
    house = House(site(), store, FakeClock())
    house.library.refused.add(Say("Lũ quét!", "vi"))
    await house.started()
    assert [line for line in house.scheduling.problems if "emergency sound 'lu-quet'" in line]
    assert house.documents("na-meo-01")[-1].settings.emergency_sounds == ()
    with pytest.raises(AudioRefused):
        await house.emergencies.sound(FLOOD, ["na-meo"], TEN_MINUTES)
    assert said(house, "na-meo") == []
