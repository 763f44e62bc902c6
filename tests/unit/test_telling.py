"""Who is told when nobody answers, what silences keep back, and what is said when they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import Any

import pytest

from controller.domain.duty import Shift
from controller.domain.escalation import AlertSettings, Channel, Person
from controller.domain.faults import Severity
from controller.domain.hush import Hush, HushKind
from controller.ports import ReachRow
from tests.health_support import RULES, Ward, district

BROKEN = {"src_dbfs": -20.0, "amp_vrms": 0.1, "amp_pilot_db": -90.0}


def somebody(id: str, **more: Any) -> Person:
    return Person(id, id.title(), "vi", (Channel("smtp", f"{id}@example.org"),), **more)


LAN = somebody("lan")
TUAN, HOA = somebody("tuan", technician=False), somebody("hoa", technician=False)
ROTA = {"district": (Shift(("tuan",)),), "manager": (Shift(("hoa",)),)}


def staffed(**changes: Any) -> Ward:
    alerts = replace(AlertSettings(people=(LAN, TUAN, HOA), on_call=ROTA), **changes)
    return Ward(replace(district(1, 1), alerts=alerts))


async def broken(ward: Ward) -> None:
    await ward.all_born()
    await ward["c1-1"].beat(**BROKEN)
    await ward.pass_time(30)


async def heard(ward: Ward) -> list[tuple[str, str]]:
    return [(row.recipient, row.transition) for row in await ward.messages()]


OPENED = ("lan", "opened")
LADDER = [OPENED, ("lan", "reminder"), ("tuan", "escalated"), ("hoa", "escalated-2")]


async def test_what_nobody_takes_climbs_to_the_district_and_the_manager() -> None:
    async with staffed() as ward:
        await broken(ward)
        seen = [await heard(ward)]
        for seconds in (900, 900, 5400):
            await ward.pass_time(seconds, step=30)
            seen.append(await heard(ward))
        assert seen == [LADDER[:1], LADDER[:2], LADDER[:3], LADDER]
        texts = {row.transition: row for row in await ward.messages()}
        assert texts["reminder"].subject.startswith("[Nhắc lần 1]")
        assert texts["escalated"].body.startswith("Chưa ai nhận việc sau 30 phút.\nĐã báo cho: Lan.")


async def test_a_restart_climbs_no_step_twice_and_forgets_none() -> None:
    async with staffed() as ward:
        await broken(ward)
        for _ in range(9):
            await ward.restart(down_s=0)
            await ward.pass_time(800, step=30)
        assert await heard(ward) == LADDER


async def test_who_takes_it_is_left_alone_until_the_repair_is_overdue_and_then_reminded_daily() -> None:
    async with staffed() as ward:
        await broken(ward)
        await ward.monitoring.acknowledge(1, "lan")
        await ward.pass_time(4 * 3600 - 120, step=30)
        assert await heard(ward) == [OPENED]
        await ward.pass_time(180, step=30)
        assert (await heard(ward))[1:] == [("lan", "overdue"), ("tuan", "overdue")]
        await ward.pass_time(24 * 3600, step=34)
        assert (await heard(ward))[3:] == [("lan", "overdue-2"), ("tuan", "overdue-2")]


async def test_everybody_who_was_told_hears_the_end_and_nobody_else() -> None:
    async with staffed() as ward:
        await broken(ward)
        await ward.pass_time(1900, step=30)
        ward["c1-1"].metrics |= {"src_dbfs": -20.0, "amp_vrms": 12.0, "amp_pilot_db": -30.0}
        await ward["c1-1"].selftest("passed", amp_vrms=12.0, src_dbfs=-20.0)
        await ward.pass_time(120, step=30)
        assert (await heard(ward))[3:] == [("lan", "recovered"), ("tuan", "recovered")]


# --- silences ---------------------------------------------------------------------------------------------------


def silence(ward: Ward, seconds: float) -> Hush:
    now = ward.clock.now()
    return Hush(HushKind.SILENCE, now, now + timedelta(seconds=seconds), "thay cột", "an", nodes=("c1-1",))


async def mended(ward: Ward) -> None:
    ward["c1-1"].metrics |= {"src_dbfs": -20.0, "amp_vrms": 12.0, "amp_pilot_db": -30.0}
    await ward["c1-1"].selftest("passed", amp_vrms=12.0, src_dbfs=-20.0)
    await ward.pass_time(120, step=30)


async def test_what_began_and_ended_in_silence_is_never_told() -> None:
    async with staffed() as ward:
        await ward.all_born()
        await ward.monitoring.hush(silence(ward, 3600))
        await ward["c1-1"].beat(**BROKEN)
        await ward.pass_time(600, step=30)
        (incident,) = await ward.open()
        await mended(ward)
        await ward.pass_time(3600, step=30)
        assert (incident.cause, await heard(ward)) == ("amplifier", [])


@pytest.mark.parametrize("restart", [False, True])
async def test_what_stands_when_a_silence_ends_is_told_then(restart: bool) -> None:
    async with staffed() as ward:
        await ward.all_born()
        await ward.monitoring.hush(silence(ward, 3600))
        await ward["c1-1"].beat(**BROKEN)
        await ward.pass_time(3000, step=30)
        assert await heard(ward) == []
        if restart:
            await ward.restart()
        await ward.pass_time(700, step=30)
        assert await heard(ward) == [OPENED]


@pytest.mark.parametrize("restart", [False, True])
async def test_the_end_of_what_was_told_before_a_silence_is_told_after_it(restart: bool) -> None:
    async with staffed() as ward:
        await broken(ward)
        kept = await ward.monitoring.hush(silence(ward, 30 * 24 * 3600))
        await mended(ward)
        await ward.pass_time(3600, step=30)
        assert (await ward.open(), await heard(ward)) == ([], [OPENED])
        if restart:
            await ward.restart()
            await ward.pass_time(60, step=30)
        await ward.monitoring.end_hush(kept.id, "an")
        await ward.pass_time(30)
        assert await heard(ward) == [OPENED, ("lan", "recovered")]
        await ward.restart()
        await ward.pass_time(60)
        assert len(await heard(ward)) == 2


async def test_nobody_is_reminded_in_a_silence_and_the_climb_goes_on_after_it() -> None:
    async with staffed() as ward:
        await broken(ward)
        await ward.monitoring.hush(silence(ward, 3600))
        await ward.pass_time(3590, step=30)
        assert await heard(ward) == [OPENED]
        await ward.pass_time(920, step=30)
        assert await heard(ward) == LADDER[:2]


async def test_a_silence_that_is_over_cannot_be_ended() -> None:
    async with staffed() as ward:
        kept = await ward.monitoring.hush(silence(ward, 60))
        await ward.wait(61)
        with pytest.raises(KeyError, match="no silence 1 that goes on"):
            await ward.monitoring.end_hush(kept.id, "an")


# --- people -----------------------------------------------------------------------------------------------------


async def test_a_person_whose_channels_all_refuse_is_a_fault_that_goes_one_level_up() -> None:
    async with staffed() as ward:
        await ward.all_born()
        now = ward.clock.now()
        await ward.store.transact(lambda tx: tx.put_reach(ReachRow("lan", "smtp:lan@example.org", False, now)))
        ward.monitoring.look_again()
        await ward.pass_time(60)
        (incident,) = await ward.open()
        (row,) = await ward.messages()
        assert (incident.subject, incident.cause) == ("centre", "unreachable-person:lan")
        assert (row.recipient, row.transition) == ("tuan", "opened")
        assert "(Lan)" in row.body
        await ward.store.transact(lambda tx: tx.put_reach(ReachRow("lan", "smtp:lan@example.org", True, now)))
        ward.monitoring.look_again()
        await ward.pass_time(30)
        assert await ward.open() == []


async def test_a_gap_in_the_rota_is_told_when_it_comes_and_ends_with_it() -> None:
    start, end = time(9), time(8)  # START is 08:00: the shift that began yesterday ends at once
    rota = {**ROTA, "district": (Shift(("tuan",), start=start, end=end),)}
    async with staffed(on_call=rota) as ward:
        await ward.all_born()
        await ward.pass_time(60)
        (incident,) = await ward.open()
        assert incident.cause == "empty-rota:district"
        assert await heard(ward) == [("hoa", "opened")]
        await ward.pass_time(3600, step=30)
        assert await ward.open() == []
        assert (await heard(ward))[-1] == ("hoa", "recovered")


async def test_a_small_fault_of_the_night_waits_for_the_morning_and_its_reminders_too() -> None:
    rules = tuple(replace(rule, severity=Severity.MINOR) if rule.code == "amplifier" else rule for rule in RULES)
    alerts = AlertSettings(people=(LAN, TUAN, HOA), on_call=ROTA)
    async with Ward(replace(district(1, 1), alerts=alerts, faults=rules)) as ward:
        ward.clock.step_wall(14 * 3600)  # 22:00
        await broken(ward)
        await ward.pass_time(30)
        (row,) = await ward.messages()
        assert row.due_at.astimezone(ward.settings.site.zone).time() == time(6, 30)
        assert row.held
        await ward.pass_time(8 * 3600, step=34)
        assert await heard(ward) == [OPENED]
