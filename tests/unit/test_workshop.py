"""Work orders between people and measurements, over the real monitoring and a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.photos import PhotoShelf
from controller.domain.escalation import AlertSettings, Channel, Person
from controller.domain.faults import Severity
from controller.domain.incidents import IncidentState
from controller.domain.workorders import OrderState, PhotoRefused, Step, WorkOrder
from controller.ports import StoreError
from controller.services.changes import Changes
from controller.services.workshop import AlreadyDone, Workshop
from tests.health_support import IN_TIME, LAN, Ward, district
from tests.pictures import picture

JPEG = picture()
SHORT, MENDED = {"line_z_ohm": 2.0}, {"line_z_ohm": 8.0}


def workshop(ward: Ward, folder: Path) -> Workshop:
    return Workshop(
        ward.settings,
        store=ward.store,
        clock=ward.clock,
        changes=Changes(),
        cases=ward.monitoring,
        photos=PhotoShelf(folder),
    )


async def broken_line(ward: Ward) -> int:
    await ward.all_born()
    await ward["c1-1"].beat(**SHORT)
    await ward.pass_time(30)
    (incident,) = await ward.open()
    return incident.id


async def order(ward: Ward, id: int) -> WorkOrder:
    found = await ward.store.transact(lambda tx: tx.work_order(id))
    assert found is not None
    return found


async def steps(ward: Ward, id: int) -> list[tuple[str, str]]:
    rows = await ward.store.transact(lambda tx: tx.work_order_events_of([id]))
    return [(row.step, row.state.value) for row in rows[id]]


async def test_a_word_that_measurements_confirm_is_a_verified_repair(tmp_path: Path) -> None:
    async with Ward() as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        await desk.act(id, Step.ACCEPTED, "lan")
        await desk.act(id, Step.BEGUN, "lan")
        await desk.act(id, Step.REPAIRED, "lan", note="nối lại dây", photos=[JPEG])
        assert ("c1-1", "selftest") in ward.ordered
        await ward["c1-1"].beat(**MENDED)
        await ward["c1-1"].selftest("passed", line_z_ohm=8.0)
        await ward.pass_time(120)
        assert await ward.open() == []
        assert (await order(ward, id)).state is OrderState.VERIFIED
        assert await steps(ward, id) == [
            ("opened", "open"),
            ("accepted", "accepted"),
            ("begun", "in-repair"),
            ("repaired", "repaired"),
            ("cleared", "verified"),
        ]


async def test_a_word_that_nothing_confirms_comes_back_and_can_be_said_again(tmp_path: Path) -> None:
    async with Ward() as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        await desk.act(id, Step.REPAIRED, "lan")
        await ward.pass_time(31 * 60)
        assert (await order(ward, id)).state is OrderState.NOT_VERIFIED
        assert [told for _, _, told in await ward.told()] == ["opened", "unverified"]
        await desk.act(id, Step.REPAIRED, "lan")
        assert (await order(ward, id)).state is OrderState.REPAIRED


async def test_good_for_a_moment_is_no_verdict_not_even_after_a_restart(tmp_path: Path) -> None:
    """Measured good and then bad again: the repair did not hold, and the supervisor hears so."""
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(amp_temp_c=80.0)
        await ward.pass_time(90)
        (incident,) = await ward.open()
        await workshop(ward, tmp_path).act(incident.id, Step.REPAIRED, "lan")
        await ward["c1-1"].beat(amp_temp_c=50.0)
        await ward.pass_time(60)
        assert [each.state for each in await ward.open()] == [IncidentState.RECOVERING]
        await ward.restart()
        await ward["c1-1"].beat(amp_temp_c=80.0)
        await ward.pass_time(32 * 60)
        assert (await order(ward, incident.id)).state is OrderState.NOT_VERIFIED
        assert [told for _, _, told in await ward.told()] == ["opened", "unverified"]


async def test_what_is_given_to_somebody_else_waits_to_be_accepted_again(tmp_path: Path) -> None:
    async with Ward() as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        await desk.act(id, Step.ACCEPTED, "lan")
        with pytest.raises(ValueError, match=r"did you mean lan\?"):
            await desk.assign(id, "lam", "head")
        await desk.assign(id, "lan", "head")
        assert ((await order(ward, id)).assignee, (await order(ward, id)).state) == ("lan", OrderState.OPEN)
        with pytest.raises(KeyError):
            await desk.assign(404, "lan", "head")


def shared(*people: str) -> Ward:
    """A ward in which only Lan is responsible; the others can be given something."""
    more = tuple(Person(id, id.title(), "vi", (Channel("smtp", f"{id}@x"),), technician=False) for id in people)
    return Ward(district(alerts=AlertSettings(people=(LAN, *more))))


async def heard(ward: Ward) -> list[tuple[str, str]]:
    return [(row.recipient, row.transition) for row in await ward.messages()]


async def test_who_is_given_a_repair_is_told_of_it_and_of_its_end(tmp_path: Path) -> None:
    async with shared("sua") as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        await desk.assign(id, "sua", "Hương")
        await desk.assign(id, "sua", "Hương")
        assert await heard(ward) == [("lan", "opened"), ("sua", "assigned")]
        told = (await ward.messages())[-1]
        assert told.subject.startswith("[Giao cho bạn] ")
        assert told.body.startswith("Hương giao cho bạn sửa sự cố này.\n")
        await desk.act(id, Step.REPAIRED, "sua")
        await ward["c1-1"].beat(**MENDED)
        await ward["c1-1"].selftest("passed", line_z_ohm=8.0)
        await ward.pass_time(120)
        assert sorted((await heard(ward))[2:]) == [("lan", "recovered"), ("sua", "recovered")]


async def test_who_has_a_repair_is_reminded_of_it_and_who_takes_it_themselves_is_not_told(tmp_path: Path) -> None:
    async with shared("sua", "minh") as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        await desk.assign(id, "minh", "minh")
        await desk.assign(id, "sua", "minh")
        await ward.pass_time(900)
        assert await heard(ward) == [
            ("lan", "opened"),
            ("sua", "assigned-2"),
            ("lan", "reminder"),
            ("sua", "reminder"),
        ]


async def test_a_form_that_is_sent_twice_does_nothing_twice(tmp_path: Path) -> None:
    async with Ward() as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        await desk.act(id, Step.ACCEPTED, "lan", once="form-1")
        with pytest.raises(AlreadyDone):
            await desk.act(id, Step.REPAIRED, "lan", once="form-1", photos=[JPEG])
        assert (await order(ward, id)).state is OrderState.ACCEPTED
        assert [each.state for each in await ward.open()] == [IncidentState.ACKNOWLEDGED]
        assert await ward.store.transact(lambda tx: tx.work_photos(id)) == []
        await desk.act(id, Step.BEGUN, "lan", once="form-2")
        assert (await order(ward, id)).state is OrderState.IN_REPAIR


async def test_a_refused_picture_leaves_nothing_said(tmp_path: Path) -> None:
    async with Ward() as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        with pytest.raises(PhotoRefused):
            await desk.act(id, Step.REPAIRED, "lan", photos=[JPEG, b"#!/bin/sh"])
        assert (await order(ward, id)).state is OrderState.OPEN
        assert list(tmp_path.iterdir()) == []


async def test_a_crash_leaves_incident_order_and_histories_agreeing(tmp_path: Path) -> None:
    async with Ward() as ward:
        id, desk = await broken_line(ward), workshop(ward, tmp_path)
        for committed in (False, True):
            ward.store.fail_at, ward.store.committed = ward.store.count + 1, committed
            with pytest.raises(StoreError):
                await desk.act(id, Step.ACCEPTED, "lan")
            (incident,) = await ward.open()
            kept = (await order(ward, id)).state
            assert (incident.state is IncidentState.ACKNOWLEDGED) == committed
            assert (kept is OrderState.ACCEPTED) == committed
            assert len(await steps(ward, id)) == 1 + committed
        await desk.act(id, Step.REPAIRED, "lan")
        assert (await order(ward, id)).state is OrderState.REPAIRED


async def test_an_order_of_something_that_grew_worse_is_due_sooner_and_open_again(tmp_path: Path) -> None:
    async with Ward(district(alerts=AlertSettings(people=(LAN,), escalation=IN_TIME))) as ward:
        await ward.all_born()
        await ward["c1-1"].beat(amp_temp_c=80.0)
        await ward.pass_time(90)
        (incident,) = await ward.open()
        await workshop(ward, tmp_path).act(incident.id, Step.ACCEPTED, "lan")
        before = await order(ward, incident.id)
        await ward["c1-1"].beat(amp_temp_c=95.0)
        await ward.pass_time(60)
        assert [each.severity for each in await ward.open()] == [Severity.CRITICAL]
        worse = await order(ward, incident.id)
        assert (worse.state, worse.due_at < before.due_at) == (OrderState.OPEN, True)
