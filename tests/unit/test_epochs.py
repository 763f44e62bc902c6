"""A database that was restored from an old backup: its nodes know a later epoch, and refuse it until it is raised."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from controller.domain import centre
from controller.domain.metrics import METRICS
from controller.ports import Received
from controller.services.epochs import BELIEVABLE, MARGIN, Epochs
from controller.services.intake import Intake
from controller.wire.messages import FaultReport, Heartbeat, Held, JournalEntry, PlaylistsDoc, Status, encode
from controller.wire.signing import payload_of
from tests.house import NEWS, House
from tests.unit.test_intake import Health, NoEmergency, intake_of

AHEAD, ABREAST = "na-meo-01", "na-meo-02"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = await House.opened(NEWS)
    yield house
    await house.store.close()


def epochs_of(house: House) -> Epochs:
    return Epochs(house.dispatch, NoEmergency(), house.ledger, house.clock)


async def beat(intake: Intake, house: House, node: str, epoch: int, rev: int = 5) -> None:
    said = Heartbeat("b", 1, 1, house.clock.now(), playlists=Held(epoch, rev, 0))
    await intake.take([Received(f"loa/v1/up/{node}/heartbeat", encode(said), False, 1.0)])


async def test_a_node_that_knows_a_later_epoch_is_a_fault_of_the_centre_with_advice(house: House) -> None:
    health = Health()
    intake, epochs = intake_of(house, health), epochs_of(house)
    await beat(intake, house, ABREAST, house.dispatch.epoch)
    assert epochs.trouble() is None
    await beat(intake, house, AHEAD, 9)
    assert epochs.trouble() == {"epoch": 1, "nodes_epoch": 9, "nodes_ahead": 1}
    assert epochs.trouble().keys() <= METRICS.keys(), "they have names for people"  # type: ignore[union-attr]
    rule = centre.RULES[centre.EPOCH]
    assert "loa epoch --raise" in rule.advice.vi
    assert "loa epoch --raise" in rule.advice.en
    await beat(intake, house, AHEAD, 1)
    assert epochs.trouble() is None, "it obeys again"


async def test_a_retained_birth_is_enough_to_know(house: House) -> None:
    born = Status(True, "b", 1, house.clock.now(), "birth", playlists=Held(9, 5, 0))
    await intake_of(house, Health()).take([Received(f"loa/v1/up/{AHEAD}/status", encode(born), True, 1.0)])
    assert dict(house.dispatch.ahead) == {AHEAD: 9}


async def test_what_a_node_refuses_for_our_old_epoch_is_no_forgery_and_everything_else_is(house: House) -> None:
    health, now = Health(), house.clock.now()
    intake = intake_of(house, health)

    async def refuses(node: str, reason: str) -> None:
        report = FaultReport("security", "identity", now, evidence={"reason": reason})
        entry = JournalEntry(log=node, n=1, at=now, kind="playlists", result="rejected", reason=reason)
        await intake.take([Received(f"loa/v1/up/{node}/fault/security", encode(report), False, 1.0)])
        await intake.take([Received(f"loa/v1/up/{node}/journal", encode(entry), False, 1.0)])

    await beat(intake, house, AHEAD, 9)
    await refuses(AHEAD, "epoch")
    assert health.heard == []
    await refuses(AHEAD, "bad-signature")
    await refuses(ABREAST, "epoch")
    both = [each for node in (AHEAD, ABREAST) for each in (node, f"{node} playlists")]
    assert health.heard == both, "an old document that somebody sends again is an offence"


async def test_raised_above_all_nodes_everything_is_sent_again_under_the_new_epoch(house: House) -> None:
    intake, epochs = intake_of(house, Health()), epochs_of(house)
    house.bus.up()
    await beat(intake, house, AHEAD, 9)
    house.bus.published.clear()
    told = await epochs.overtake("huong")
    assert (told["was"], told["epoch"], told["ahead"]) == (1, 9 + MARGIN + 1, {})
    sent = [one for one in house.bus.published if one.topic == f"loa/v1/dn/{AHEAD}/playlists"]
    document = payload_of(PlaylistsDoc, sent[-1].payload)
    assert (document.epoch, document.epoch > 9) == (told["epoch"], True)
    assert await house.store.transact(lambda tx: tx.epoch()) == told["epoch"]
    assert [row.who for row in await house.store.transact(lambda tx: tx.audits(5, ["epoch raised"]))] == ["huong"]
    await house.dispatch.start()
    assert house.dispatch.epoch == told["epoch"] + 1, "the next start goes on from there"


async def test_refusals_from_before_that_are_told_again_after_it_are_no_forgery_either(house: House) -> None:
    health, now = Health(), house.clock.now()
    intake, epochs = intake_of(house, health), epochs_of(house)
    house.bus.up()
    await beat(intake, house, AHEAD, 9)
    await epochs.overtake("huong")
    entry = JournalEntry(log="l", n=1, at=now, kind="playlists", result="rejected", reason="epoch")
    told = Received(f"loa/v1/up/{AHEAD}/journal", encode(entry), False, 1.0)
    await intake.take([told])
    assert health.heard == []
    await house.clock.advance(901)
    await intake.take([told])
    assert health.heard == [f"{AHEAD} playlists"]


async def test_entries_that_a_node_dropped_because_a_later_database_had_them_hold_up_nothing_for_ever(
    house: House,
) -> None:
    """1 to 3 are stored; 4 to 6 were acknowledged by the controller whose database is gone."""
    log = (AHEAD, "l")

    def entries(*numbers: int) -> list[tuple[str, JournalEntry]]:
        return [(AHEAD, JournalEntry(log="l", n=n, at=house.clock.now(), kind="emergency")) for n in numbers]

    assert (await house.ledger.take(entries(1, 2, 3))).upto == {log: 3}
    for _ in range(5):
        assert (await house.ledger.take(entries(7, 8))).upto == {log: 3}, "they may be on their way"
        await house.clock.advance(60)
    assert (await house.ledger.take(entries(7, 8))).upto == {log: 8}
    (row,) = await house.store.transact(lambda tx: tx.audits(5, ["journal lost"]))
    assert row.detail == f"{AHEAD}: entries 4 to 6 of log l"
    assert (await house.ledger.take(entries(9))).upto == {log: 9}
    assert await house.store.transact(lambda tx: tx.journal_backlog()) == 0


async def test_entries_that_come_late_are_not_given_up(house: House) -> None:
    def entry(n: int) -> tuple[str, JournalEntry]:
        return AHEAD, JournalEntry(log="l", n=n, at=house.clock.now(), kind="emergency")

    for n in (2, 4, 6, 8):
        await house.ledger.take([entry(n)])
        await house.clock.advance(200)
        assert (await house.ledger.take([entry(n - 1)])).upto == {(AHEAD, "l"): n}
    assert await house.store.transact(lambda tx: tx.audits(5, ["journal lost"])) == []


async def test_there_is_nothing_to_raise_without_cause_and_no_node_uses_up_the_numbers(house: House) -> None:
    intake, epochs = intake_of(house, Health()), epochs_of(house)
    with pytest.raises(ValueError, match="no node knows"):
        await epochs.overtake("huong")
    await beat(intake, house, AHEAD, 2**53 - 1)
    with pytest.raises(ValueError, match=f"{AHEAD} says"):
        await epochs.overtake("huong")
    assert house.dispatch.epoch < BELIEVABLE
