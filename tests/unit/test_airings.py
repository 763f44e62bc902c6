"""What was due is held against the ledger: by the running loop, with the real monitoring and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from broadcasts.model import Occurrence, Playlist, Priority
from controller.domain.delivery import Delivery, DeliveryState, OccurrenceRow
from controller.domain.emergencies import Answer, AnswerState, EmergencyRow, EmergencyState
from controller.services.airings import Airings
from tests.fakes import START
from tests.health_support import NEVER, RULES, Ward, district, rule

MISSED = rule("missed-broadcast", "service")
LENGTH = timedelta(minutes=10)
NODE = "c1-1"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


class Air:
    """A ward whose airings are watched. `tell` is what the node's journal has brought into the ledger."""

    def __init__(self, ward: Ward) -> None:
        self.ward = ward
        self._task: asyncio.Task[None] | None = None
        self.begin()

    def begin(self) -> None:
        clock, self.read_to = self.ward.clock, NEVER
        """Up to when (monotonic) what nodes said is in the ledger."""
        self.airings = Airings(
            store=self.ward.store,
            clock=clock,
            health=self.ward.monitoring,
            upto=lambda: min(self.read_to, clock.monotonic()),
        )
        self._task = asyncio.create_task(self.airings.run())

    async def end(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def plan(self, id: str, start: datetime, *nodes: str, rank: int = 20) -> Occurrence:
        """In the ledger, and looked at when it is due."""
        row = OccurrenceRow(id, id, "Bản tin", start, start + LENGTH, Priority.NORMAL, rank, "config", START)

        def write(tx: Any) -> None:
            tx.put_occurrences([row])
            tx.put_deliveries([Delivery(id, node, DeliveryState.READY, START) for node in nodes])

        await self.ward.store.transact(write)
        playlist: Any = Playlist
        occurrence = Occurrence(id, id, "Bản tin", Priority.NORMAL, rank, start, row.end, nodes, playlist)
        self.airings.arm([occurrence])
        return occurrence

    async def tell(self, id: str, state: DeliveryState, node: str = NODE, **what: Any) -> None:
        one = Delivery(id, node, state, self.ward.clock.now(), **what)
        await self.ward.store.transact(lambda tx: tx.put_deliveries([one]))
        self.airings.told(id)

    async def played(self, id: str, share: float = 1, late_ms: int = 3, node: str = NODE) -> None:
        length = int(share * LENGTH.total_seconds() * 1000)
        begun = self.ward.clock.now() - LENGTH
        await self.tell(
            id, DeliveryState.COMPLETED, node, started_at=begun, late_ms=late_ms, played_ms=length, level_db=-20.0
        )

    async def found(self) -> dict[str, dict[str, Any]]:
        """Nodes whose last airing was not as it should be, with the evidence."""
        await self.ward.quiet()
        opens = await self.ward.open()
        return {each.subject: dict(each.evidence) for each in opens if each.cause == "missed-broadcast"}


@pytest.fixture
async def air() -> AsyncIterator[Air]:
    async with on_air() as found:
        yield found


@asynccontextmanager
async def on_air() -> AsyncIterator[Air]:
    async with Ward(replace(district(1, 2), faults=(*RULES, MISSED))) as ward:
        found = Air(ward)
        await ward.all_born()
        yield found
        await found.end()


async def test_what_has_not_begun_a_minute_after_its_time_was_missed(air: Air) -> None:
    await air.plan("tin", at(5), NODE, "c1-2")
    await air.ward.pass_time(270 + 55)
    assert await air.found() == {}
    await air.tell("tin", DeliveryState.SOUNDING, "c1-2", started_at=at(5), late_ms=3)
    await air.ward.pass_time(60)
    assert await air.found() == {NODE: {"airing": "Bản tin", "missed": True}}


async def test_the_next_good_one_ends_it(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await air.plan("nhac", at(20), NODE)
    await air.ward.pass_time(600)
    assert list(await air.found()) == [NODE]
    await air.ward.pass_time(1260)
    await air.played("nhac")
    await air.ward.pass_time(60)
    assert await air.found() == {}


@pytest.mark.parametrize(
    ("said", "evidence"),
    [
        ({"share": 1.0}, None),
        ({"share": 0.4}, {"airing": "Bản tin", "played_pct": 40}),
        ({"share": 1.0, "late_ms": 9000}, {"airing": "Bản tin", "late_s": 9}),
    ],
)
async def test_a_journal_that_comes_is_judged_at_the_next_look(air: Air, said: Any, evidence: Any) -> None:
    await air.plan("tin", at(1), NODE)
    await air.tell("tin", DeliveryState.SOUNDING, started_at=at(1), late_ms=3)
    await air.ward.pass_time(635)
    await air.played("tin", **said)
    await air.ward.pass_time(40)
    assert (await air.found()).get(NODE) == evidence


async def test_of_a_node_that_is_away_nothing_is_said_until_it_is_back_and_has_told_nothing(air: Air) -> None:
    speaker = air.ward[NODE]
    await speaker.farewell()
    await air.plan("tin", at(5), NODE)
    await air.ward.pass_time(3 * 3600, step=30)
    assert await air.found() == {}
    speaker.conn += 1
    await speaker.birth()
    await air.ward.pass_time(500, step=10)
    assert await air.found() == {}
    await air.ward.pass_time(400, step=10)
    assert list(await air.found()) == [NODE]


async def test_one_that_comes_back_and_has_played_it_all_is_well(air: Air) -> None:
    speaker = air.ward[NODE]
    await speaker.farewell()
    await air.plan("tin", at(5), NODE)
    await air.ward.pass_time(3600, step=30)
    speaker.conn += 1
    await speaker.birth()
    await air.played("tin")
    await air.ward.pass_time(1500, step=30)
    assert await air.found() == {}


async def test_what_we_read_late_is_judged_when_it_is_read_and_not_only_at_the_end(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await air.ward.pass_time(270)
    air.read_to = air.ward.clock.mono + 59
    await air.ward.pass_time(240)
    assert await air.found() == {}
    air.read_to = NEVER
    await air.ward.pass_time(60)
    assert air.ward.clock.now() < at(15), "it is still on air"
    assert list(await air.found()) == [NODE]


@pytest.mark.parametrize("down_s", [120, 3600])
async def test_what_was_due_while_no_controller_ran_is_looked_at_first(air: Air, down_s: float) -> None:
    await air.plan("tin", at(5), NODE)
    await air.ward.pass_time(200)
    await air.end()
    await air.ward.restart(down_s)
    air.begin()
    await air.ward.pass_time(1500, step=30)
    assert list(await air.found()) == [NODE]


async def test_a_store_in_trouble_delays_the_verdict_and_ends_nothing(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await air.ward.pass_time(325)
    air.ward.store.fail_at = air.ward.store.count + 1
    await air.airings._guarded(air.airings.look)
    air.ward.store.fail_at = NEVER
    await air.ward.pass_time(90)
    assert list(await air.found()) == [NODE]


async def test_what_gave_way_to_a_higher_one_is_no_fault(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await air.plan("khan", at(4), NODE, rank=40)
    await air.ward.pass_time(300)
    await air.tell("khan", DeliveryState.SOUNDING, started_at=at(4), late_ms=3)
    await air.ward.pass_time(600)
    await air.played("tin", share=0.5, late_ms=200_000)
    await air.played("khan")
    await air.ward.pass_time(90)
    assert await air.found() == {}


def flood(begin: float, until: float, **changes: Any) -> EmergencyRow:
    row = EmergencyRow(
        "lu@1", 1, 1, "Lũ", ("c1",), (NODE,), False, 100, 3, 0, (), EmergencyState.ACTIVE, at(begin), "Lan", at(begin),
        at(until), at(60),
    )  # fmt: skip
    return replace(row, **changes)


async def alarm(air: Air, row: EmergencyRow) -> None:
    """Ordered, and it sounds on the node."""

    def write(tx: Any) -> None:
        tx.put_emergency(row)
        tx.put_answers([Answer(row.id, NODE, 1, AnswerState.SOUNDING, row.ordered_at)])

    await air.ward.store.transact(write)


async def test_nobody_is_told_of_what_has_not_begun_while_an_emergency_sounds(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await alarm(air, flood(4, 34))
    await air.ward.pass_time(34 * 60, step=10)
    assert await air.found() == {}
    await air.tell("tin", DeliveryState.SKIPPED, reason="preempted")
    await air.ward.pass_time(600, step=10)
    assert await air.found() == {}


async def test_what_has_not_begun_though_the_emergency_was_ended_was_missed(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await alarm(air, flood(4, 34, state=EmergencyState.ENDED, changed_at=at(6)))
    await air.ward.pass_time(390)
    assert await air.found() == {}
    await air.ward.pass_time(540, step=10)
    assert list(await air.found()) == [NODE]


async def test_what_an_emergency_holds_over_its_end_is_not_cut_short_and_what_waits_for_it_is_not_missed(
    air: Air,
) -> None:
    await air.plan("tin", at(20), NODE)
    await air.plan("nhac", at(30), NODE)
    await air.ward.pass_time(1200)
    await air.tell("tin", DeliveryState.SOUNDING, started_at=at(20), late_ms=3)
    await air.ward.pass_time(120)
    await air.tell("tin", DeliveryState.INTERRUPTED, started_at=at(20), late_ms=3)
    await alarm(air, flood(22, 32))
    await air.ward.pass_time(1140, step=10)
    assert await air.found() == {}
    await air.played("tin")  # resumed at 32, over at 41
    await air.tell("nhac", DeliveryState.SOUNDING, started_at=at(41), late_ms=660_000)
    await air.ward.pass_time(600, step=10)
    await air.played("nhac", late_ms=660_000)
    await air.ward.pass_time(90)
    assert await air.found() == {}


async def test_what_an_emergency_cut_yesterday_is_no_fault_for_a_controller_that_starts(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await alarm(air, flood(4, 14))
    await air.ward.pass_time(15 * 60, step=10)
    await air.played("tin", share=0.1, late_ms=540_000)
    await air.ward.pass_time(5 * 3600, step=60)
    await air.end()
    await air.ward.restart(60)
    air.begin()
    await air.ward.pass_time(1500, step=30)
    assert await air.found() == {}


async def test_a_player_that_ran_over_by_a_moment_excuses_nothing(air: Air) -> None:
    await air.plan("tin", at(5), NODE)
    await air.plan("nhac", at(15), NODE)
    await air.ward.pass_time(870.5)
    await air.played("tin")
    await air.ward.pass_time(40)
    await air.tell("nhac", DeliveryState.SOUNDING, started_at=at(15.5), late_ms=30_000)
    await air.ward.pass_time(600)
    assert await air.found() == {}, "the whole of it sounds, thirty seconds late"
    await air.played("nhac", late_ms=30_000)
    await air.ward.pass_time(90)
    assert await air.found() == {NODE: {"airing": "Bản tin", "late_s": 30}}


# --- whether something may sound -----------------------------------------------------------------------------------


async def test_before_the_first_plan_nobody_can_tell_whether_something_may_sound(air: Air) -> None:
    assert air.airings.expects(NODE, at(0), "") is None
    assert not air.airings.free(NODE, at(0), at(10))


async def test_a_node_may_sound_around_its_airings_only(air: Air) -> None:
    await air.plan("tin", at(30), NODE)
    expects, free = air.airings.expects, air.airings.free
    assert [expects(NODE, at(minute), "") for minute in (29, 29.9, 35, 40.9, 42)] == [False, True, True, True, False]
    assert not expects("c1-2", at(35), "")
    assert (expects(NODE, at(35), "tin"), expects(NODE, at(35), "never heard of")) == (True, None)
    assert [free(NODE, at(a), at(b)) for a, b in ((0, 29), (29, 31), (41.5, 50), (20, 60))] == [
        True,
        False,
        True,
        False,
    ]


async def test_in_an_emergency_anything_may_sound_there(air: Air) -> None:
    await air.plan("tin", at(500), NODE)
    row = EmergencyRow(
        "lu@1", 1, 1, "Lũ", ("c1",), (NODE,), False, 100, 3, 0, (), EmergencyState.ACTIVE, at(0), "Lan", at(0), at(10),
        at(60),
    )  # fmt: skip
    await air.ward.store.transact(lambda tx: tx.put_emergency(row))
    assert not air.airings.expects(NODE, at(1), "")
    await air.ward.pass_time(31)
    assert (air.airings.expects(NODE, at(2), ""), air.airings.expects(NODE, at(2), "lu@1")) == (True, True)
    assert not air.airings.expects("c1-2", at(2), "")
    assert not air.airings.free(NODE, at(2), at(3))


async def test_an_emergency_that_a_node_in_contact_does_not_answer_is_told(air: Air) -> None:
    await air.ward.pass_time(60)
    row = EmergencyRow(
        "lu@1", 1, 1, "Lũ", ("c1",), (NODE,), False, 100, 3, 0, (), EmergencyState.ACTIVE, at(1), "Lan", at(1), at(10),
        at(60),
    )  # fmt: skip
    await air.ward.store.transact(lambda tx: tx.put_emergency(row))
    await air.ward.pass_time(120)
    assert await air.found() == {NODE: {"airing": "Lũ", "missed": True}}
