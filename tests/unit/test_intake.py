"""A database in trouble: what comes only once is heard all the same, and nothing ends the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from controller.ports import BusDown, BusUp, Received, StoreError
from controller.services.intake import Intake
from controller.wire.messages import FaultReport, Heartbeat, Held, JournalEntry, Status, encode
from tests.house import NEWS, House

NODES = ("na-meo-01", "na-meo-02", "son-thuy-01")


class Health:
    """Hears everything; cannot write down what is in `refused`."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.refused: set[str] = set()

    def _take(self, what: str) -> None:
        self.heard.append(what)
        if what in self.refused:
            raise StoreError("the disk is full")

    async def on_bus_up(self, mono: float) -> None:
        self._take("up")

    async def on_bus_down(self, reason: str, mono: float) -> None:
        self._take("down")

    async def on_statuses(self, batch: Sequence[tuple[str, Status, float, bool]]) -> None:
        self.heard += [node for node, *_ in batch]
        if self.refused & set(self.heard):
            raise StoreError("the disk is full")

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat, float]]) -> None: ...

    async def on_fault(self, node: str, code: str, report: FaultReport | None, mono: float, retain: bool) -> None:
        self._take(node)

    async def on_journal(self, node: str, entry: JournalEntry, mono: float) -> None:
        self._take(f"{node} {entry.kind}") if entry.result == "rejected" else None


class NoEmergency:
    """Nothing is going on."""

    async def on_bus_up(self) -> None: ...

    async def on_birth(self, node: str) -> None: ...

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat]]) -> None: ...


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = await House.opened(NEWS)
    yield house
    await house.store.close()


def intake_of(house: House, health: Health) -> Intake:
    return Intake(
        house.configured,
        clock=house.clock,
        bus=house.bus,
        dispatch=house.dispatch,
        ledger=house.ledger,
        health=health,
        changes=house.changes,
        alarms=NoEmergency(),
    )


async def test_a_database_in_trouble_while_the_broker_returns_does_not_end_the_service(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = Health()
    health.refused = {"up", "down"}
    monkeypatch.setattr(house.store, "transact", _refuses)
    intake = intake_of(house, health)
    await intake.take([BusUp(1.0), BusDown("gone", 2.0)])
    assert health.heard == ["up", "down"], "health hears it although the documents' sending could not be stored"


async def _refuses(work: object) -> None:
    raise StoreError("the disk is full")


@pytest.mark.parametrize("kind", ["fault/clock", "status"])
async def test_what_one_node_reports_is_not_lost_because_anothers_could_not_be_stored(house: House, kind: str) -> None:
    health, now = Health(), house.clock.now()
    health.refused = {NODES[0]}
    said = FaultReport("clock", "clock", now) if kind != "status" else Status(False, "b", 1, now, "will")
    intake = intake_of(house, health)
    await intake.take([Received(f"loa/v1/up/{node}/{kind}", encode(said), False, 1.0) for node in NODES])
    assert tuple(health.heard) == NODES
    assert intake.counters["not-stored"] == (len(NODES) if kind == "status" else 1)


async def test_a_node_is_ready_with_the_next_heartbeat_if_the_first_could_not_be_stored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = NODES[0]
    epoch, rev = house.dispatch.version(node)
    intake = intake_of(house, Health())

    def beat(seq: int) -> Received:
        said = Heartbeat("b", 1, seq, house.clock.now(), playlists=Held(epoch, rev, 0))
        return Received(f"loa/v1/up/{node}/heartbeat", encode(said), False, 1.0)

    with monkeypatch.context() as broken:
        broken.setattr(house.store, "transact", _refuses)
        await intake.take([beat(1)])
    await intake.take([beat(2)])
    assert (await house.states("ban-tin@2026-11-23T17:00"))[node] == "ready"
