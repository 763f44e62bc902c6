"""Ten minutes before air: who would stay silent is known, pushed again, and told once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.domain.delivery import DeliveryState
from controller.domain.escalation import AlertSettings, Channel, OutboxState, Person
from controller.domain.faults import FaultState, Severity
from controller.domain.incidents import Incident, IncidentState
from controller.domain.liveness import Liveness
from controller.domain.preflight import LOOKS, Lack, Standing, examine, next_look
from controller.services.healthmemory import FaultView, NodeView
from controller.services.preflight import Preflight
from controller.services.reporting import Reporting
from controller.wire.messages import Command, JournalEntry
from controller.wire.signing import verify
from tests.house import KEYS, NEWS, House

S = DeliveryState
TODAY = "ban-tin@2026-11-23T17:00"
AIR = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
NODES = ("na-meo-01", "na-meo-02", "son-thuy-01")

WELL = Standing("n", S.READY, Liveness.ONLINE, (1, 2), (1, 2), {"clock.synced": True, "clock.offset_ms": -12})


# --- the questions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("standing", "lacks"),
    [
        (WELL, []),
        (replace(WELL, metrics={}), []),
        (replace(WELL, liveness=Liveness.OFFLINE), [Lack.OFFLINE]),
        (replace(WELL, liveness=Liveness.SUSPECT), [Lack.OFFLINE]),
        (replace(WELL, liveness=Liveness.UNKNOWN, state=S.PUBLISHED), [Lack.OFFLINE]),
        (replace(WELL, held=(1, 1)), [Lack.DOCUMENT]),
        (replace(WELL, state=S.ACCEPTED), [Lack.AUDIO]),
        (replace(WELL, state=S.UNKNOWN), [Lack.AUDIO]),
        (replace(WELL, metrics={"clock.synced": False}), [Lack.CLOCK]),
        (replace(WELL, metrics={"clock.offset_ms": -2400}), [Lack.CLOCK]),
        (replace(WELL, metrics={"clock.offset_ms": 1900}), []),
        (replace(WELL, faults=("clock",)), [Lack.CLOCK]),
        (replace(WELL, faults=("amplifier", "line-open")), [Lack.FAULT, Lack.FAULT]),
        (replace(WELL, faults=("door", "signal", "battery-low")), []),
        (replace(WELL, faults=("storage",), state=S.ACCEPTED, held=(1, 1)), [Lack.FAULT, Lack.DOCUMENT]),
        (replace(WELL, state=S.SOUNDING, held=(1, 1)), []),
    ],
)
def test_what_a_node_lacks(standing: Standing, lacks: list[Lack]) -> None:
    assert [finding.lack for finding in examine(standing)] == lacks


def test_looks_follow_one_another_and_end_before_air() -> None:
    now, seen = AIR - timedelta(hours=1), []
    while (when := next_look(AIR, now)) is not None:
        seen.append(AIR - when)
        now = when
    assert tuple(seen) == LOOKS
    assert next_look(AIR, AIR - timedelta(seconds=30)) is None


# --- the looks ----------------------------------------------------------------------------------------------


class Health:
    """Every node is well, except for what a test says."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.ill: dict[str, dict[str, Any]] = {}

    def view(self) -> Mapping[str, NodeView]:
        return {node: self._view(node) for node in NODES}

    def _view(self, node: str) -> NodeView:
        epoch, rev = self.house.dispatch.version(node)
        now = self.house.clock.now()
        well = NodeView(node, Liveness.ONLINE, now, now, {}, (), "", epoch, rev, "1", "b", False)
        return replace(well, **self.ill.get(node, {}))

    def broken(self, node: str, code: str) -> None:
        fault = FaultView(code, Severity.CRITICAL, FaultState.OPEN, self.house.clock.now(), False)
        self.ill[node] = {"faults": (fault,)}


class Flight:
    """A house with its preflight; it is 08:00, the news is at 17:00."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.health = Health(house)
        self.woken = 0
        people = (
            Person(
                "an",
                "An",
                "vi",
                (Channel("smtp", "an@x"),),
                frozenset({"na-meo"}),
                also=(Channel("webhook", "http://an"),),
            ),
            Person("binh", "Bình", "en", (Channel("smtp", "binh@x"),), frozenset({"son-thuy"})),
        )
        self.settings = replace(house.configured, alerts=AlertSettings(people=people))
        self.preflight = Preflight(
            self.settings,
            store=house.store,
            clock=house.clock,
            timer=house.timer,
            health=self.health,
            dispatch=house.dispatch,
            changes=house.changes,
            on_outbox=self.wake,
        )
        self.preflight.arm(house.scheduling.planned)

    def wake(self) -> None:
        self.woken += 1

    async def ready(self, *nodes: str) -> None:
        await self.house.ledger.ready(nodes)

    async def at(self, before: timedelta) -> None:
        """Let time pass until `before` air, with every job that is due on the way."""
        target = AIR - before
        while True:
            due = [job[0] for job in self.house.timer.jobs.values() if job[0] <= target]
            now = self.house.clock.now()
            step = min((one for one in due if one > now), default=target)
            await self.house.clock.advance((step - now).total_seconds())
            await self.house.timer.run_due()
            if step >= target:
                return

    async def coming(self) -> dict[str, Any]:
        report = Reporting(self.settings, store=self.house.store, clock=self.house.clock)
        return next(each for each in (await report.air())["next"] if each["occurrence"] == TODAY)

    async def messages(self) -> list[Any]:
        return sorted(await self.house.store.transact(lambda tx: tx.outbox()), key=lambda row: row.id)


@pytest.fixture
async def flight() -> AsyncIterator[Flight]:
    house = await House.opened(NEWS)
    yield Flight(house)
    await house.store.close()


async def test_before_its_time_nothing_is_said(flight: Flight) -> None:
    await flight.at(timedelta(minutes=11))
    assert (await flight.coming())["preflight"] is None


async def test_when_all_are_ready_that_is_shown_and_nobody_is_told(flight: Flight) -> None:
    await flight.ready(*NODES)
    await flight.at(timedelta(seconds=30))
    looked = (await flight.coming())["preflight"]
    assert (looked["nodes"], looked["not_ready"]) == (3, [])
    assert await flight.messages() == []


async def test_what_is_lacking_is_listed_by_name_with_its_reason(flight: Flight) -> None:
    await flight.ready("na-meo-01", "na-meo-02")
    flight.health.broken("na-meo-02", "amplifier")
    await flight.at(timedelta(minutes=10))
    looked = (await flight.coming())["preflight"]
    assert [(each["node"], [lack["code"] for lack in each["lacks"]]) for each in looked["not_ready"]] == [
        ("na-meo-02", ["fault"]),
        ("son-thuy-01", ["audio"]),
    ]
    assert looked["not_ready"][1]["lacks"][0]["text"]["vi"] == "chưa tải đủ âm thanh"


async def test_a_node_without_the_newest_document_gets_it_again(flight: Flight) -> None:
    await flight.ready(*NODES)
    flight.health.ill["na-meo-02"] = {"held_rev": 0}
    before = len(flight.house.documents("na-meo-02"))
    await flight.at(timedelta(minutes=10))
    assert len(flight.house.documents("na-meo-02")) == before + 1
    assert len(flight.house.documents("na-meo-01")) == 1


async def test_a_node_whose_audio_was_never_heard_of_is_asked_for_its_journal(flight: Flight) -> None:
    await flight.ready("na-meo-01", "na-meo-02")
    await flight.at(timedelta(minutes=10))
    (sent,) = [one for one in flight.house.bus.published if one.topic == "loa/v1/dn/son-thuy-01/command"]
    order = verify(Command, sent.payload, KEYS, audience=("son-thuy-01",), now=flight.house.clock.now())
    assert order.do == "log"


async def test_what_the_push_mends_within_a_minute_is_told_to_nobody(flight: Flight) -> None:
    await flight.at(timedelta(minutes=10))
    assert len((await flight.coming())["preflight"]["not_ready"]) == 3
    await flight.ready(*NODES)
    await flight.at(timedelta(seconds=30))
    assert await flight.messages() == []
    assert (await flight.coming())["preflight"]["not_ready"] == []


async def test_each_person_is_told_once_of_their_own_nodes_only(flight: Flight) -> None:
    await flight.ready("na-meo-02")
    await flight.at(timedelta(seconds=30))
    rows = await flight.messages()
    assert [(row.recipient, row.channel) for row in rows] == [
        ("an", "smtp:an@x"),
        ("an", "webhook:http://an"),
        ("binh", "smtp:binh@x"),
    ]
    assert rows[0].subject == "[Chưa sẵn sàng] Bản tin 17:00: 1 cụm loa"
    assert "na-meo-01" in rows[0].body
    assert "son-thuy-01" not in rows[0].body
    assert rows[2].subject == "[Not ready] Bản tin 17:00: 1 node(s)"
    assert f"loa why {TODAY}" in rows[2].body
    assert flight.woken == 1


async def test_what_breaks_after_the_first_looks_is_told_too(flight: Flight) -> None:
    await flight.ready(*NODES)
    await flight.at(timedelta(minutes=7))
    flight.health.broken("na-meo-01", "line-open")
    await flight.at(timedelta(seconds=30))
    assert {row.recipient for row in await flight.messages()} == {"an"}


async def test_a_node_of_which_people_were_told_already_brings_no_second_message(flight: Flight) -> None:
    await flight.ready(*NODES)
    flight.health.ill["na-meo-01"] = {"liveness": Liveness.OFFLINE}
    now = flight.house.clock.now()
    known = Incident(
        0,
        "node",
        "na-meo-01",
        "na-meo",
        "link",
        "network",
        Severity.MAJOR,
        IncidentState.OPEN,
        now,
        now,
        announced=True,
    )
    await flight.house.store.transact(lambda tx: tx.new_incident(known))
    await flight.at(timedelta(seconds=30))
    assert await flight.messages() == []
    assert [each["node"] for each in (await flight.coming())["preflight"]["not_ready"]] == ["na-meo-01"]


async def test_nobody_to_tell_is_seen_as_a_dead_message(flight: Flight) -> None:
    flight.preflight.reload(replace(flight.settings, alerts=AlertSettings(people=())))
    await flight.at(timedelta(seconds=30))
    assert [row.state for row in await flight.messages()] == [OutboxState.DEAD]


async def test_a_cancelled_airing_is_not_looked_at(flight: Flight) -> None:
    await flight.house.edited()
    await flight.at(timedelta(seconds=30))
    assert await flight.messages() == []
    assert (await flight.house.store.transact(lambda tx: tx.preflights([TODAY]))) == {}


async def test_a_restart_between_two_looks_tells_nobody_twice(flight: Flight) -> None:
    await flight.at(timedelta(minutes=8))
    told = len(await flight.messages())
    again = Flight(flight.house)
    await again.at(timedelta(seconds=30))
    assert len(await flight.messages()) == told == 3


async def test_an_order_of_the_moment_is_looked_at_by_nobody(flight: Flight) -> None:
    await flight.house.orders.say("Chào bà con", ["all"])
    flight.preflight.arm(flight.house.scheduling.planned)
    names = [name for name in flight.house.timer.jobs if name.startswith("preflight:")]
    assert names
    assert all("say@" not in name for name in names)


async def test_the_word_of_a_node_that_came_late_counts_at_the_next_look(flight: Flight) -> None:
    await flight.ready("na-meo-01", "na-meo-02")
    await flight.at(timedelta(minutes=10))
    assets = [track.sha256 for one in flight.house.dispatch.wanted("son-thuy-01") for track in one.tracks]  # type: ignore[union-attr]
    entry = JournalEntry(log="a", n=1, at=flight.house.clock.now(), kind="prefetched", sha256=assets[0])
    await flight.house.ledger.take([("son-thuy-01", entry)])
    await flight.at(timedelta(minutes=9))
    assert (await flight.coming())["preflight"]["not_ready"] == []
