"""The month's report from what monitoring really writes, over a real store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from controller.adapters.photos import PhotoShelf
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState
from controller.domain.hush import Hush, HushKind
from controller.domain.workorders import Step
from controller.ports import StoreError, Tx
from controller.services.changes import Changes
from controller.services.monthreport import bounds
from controller.services.readmodels import Plain
from controller.services.reporting import Reporting
from controller.services.workshop import Workshop
from controller.web.report import as_csv
from tests.fakes import FakeClock
from tests.health_support import ZONE, Ward, district


async def report(ward: Ward, commune: str = "") -> Plain:
    reporting = Reporting(ward.settings, store=ward.store.inner, clock=ward.clock)
    return await reporting.month(f"{ward.clock.now().astimezone(ZONE):%Y-%m}", commune)


async def liveness(ward: Ward, node: str) -> list[str]:
    month = timedelta(days=40)
    rows = await ward.store.transact(lambda tx: tx.node_events(ward.clock.wall - month, ward.clock.wall + month))
    return [row.liveness for row in rows if row.node == node]


async def test_an_outage_of_an_hour_is_an_hour_and_counts_for_its_commune() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward.pass_time(3600)
        ward["c1-1"].alive = False
        await ward.pass_time(3600)
        ward["c1-1"].alive = True
        await ward.pass_time(3600)
        data = await report(ward)
        assert data["total"]["nodes"] == 15
        assert data["total"]["down_s"] == pytest.approx(3600, abs=70)
        downs = {row["id"]: row["down_s"] for row in data["communes"]}
        assert (downs["c2"], downs["c1"] > 0) == (0, True)
        assert await liveness(ward, "c1-1") == ["online", "suspect", "offline", "online"]
        assert (await report(ward, "c2"))["total"]["availability"] == 1.0


async def test_what_the_controller_did_not_hear_is_unknown_not_down() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward.pass_time(600)
        before = (await report(ward))["total"]
        await ward.restart(down_s=1800)
        await ward.all_born()
        await ward.monitoring.on_bus_down("gone", ward.clock.monotonic())
        await ward.wait(600)
        await ward.monitoring.on_bus_up(ward.clock.monotonic())
        await ward.pass_time(600)
        total = (await report(ward))["total"]
        assert total["down_s"] == 0
        # it may have ceased to listen right after it last wrote something down, ten minutes ago at most
        lost = (total["unknown_s"] - before["unknown_s"]) / 15
        assert 2400 <= lost <= 2400 + 610


async def test_a_transaction_that_failed_loses_no_change() -> None:
    async with Ward() as ward:
        await ward.all_born()
        ward.store.fail_at = ward.store.count + 1
        with pytest.raises(StoreError):
            await ward["c1-1"].farewell()
        await ward.wait(10)
        assert await liveness(ward, "c1-1") == ["online", "suspect"]


async def test_repairs_are_counted_from_what_people_said_and_measurements_decided(tmp_path: Path) -> None:
    async with Ward() as ward:
        await ward.all_born()
        desk = Workshop(
            ward.settings,
            store=ward.store,
            clock=ward.clock,
            changes=Changes(),
            cases=ward.monitoring,
            photos=PhotoShelf(tmp_path),
        )
        await ward["c1-1"].beat(amp_temp_c=80.0)
        await ward.pass_time(90)
        (incident,) = await ward.open()
        await ward.pass_time(600)
        await desk.act(incident.id, Step.ACCEPTED, "lan")
        await desk.act(incident.id, Step.REPAIRED, "lan")
        await ward.pass_time(31 * 60)
        await desk.act(incident.id, Step.REPAIRED, "lan")
        await ward["c1-1"].beat(amp_temp_c=50.0)
        await ward.pass_time(400)
        assert await ward.open() == []
        total = (await report(ward))["total"]
        assert (total["told"], total["acknowledged"], total["mended"]) == (1, 1, 1)
        assert (total["verified"], total["unverified"], total["verified_share"]) == (1, 1, 0.5)
        assert total["mtta_s"] == pytest.approx(630, abs=60)
        assert total["mttr_s"] == pytest.approx(90 + 600 + 1860 + 300, abs=120)


async def test_an_outage_under_maintenance_is_no_outage() -> None:
    clock = FakeClock()
    begin = clock.now() - timedelta(days=7) + timedelta(minutes=10)
    weekly = Hush(HushKind.MAINTENANCE, begin, begin + timedelta(hours=2), "thay tủ", communes=("c1",), weekly=True)
    some = Hush(HushKind.MAINTENANCE, begin, begin + timedelta(days=30), "chỉ pin", codes=("battery-low",))
    settings = district()
    settings = replace(settings, alerts=replace(settings.alerts, hushes=(weekly, some)))
    async with Ward(settings, clock=clock) as ward:
        await ward.all_born()
        await ward.pass_time(700)
        ward["c1-1"].alive = ward["c2-1"].alive = False
        await ward.pass_time(3600)
        downs = {row["id"]: (row["down_s"] > 0, row["maintenance_s"] > 0) for row in (await report(ward))["communes"]}
        assert downs == {"c1": (False, True), "c2": (True, False), "c3": (False, False)}


async def test_a_window_that_is_deleted_from_the_file_counts_until_then() -> None:
    clock = FakeClock()
    begin = clock.now() + timedelta(minutes=10)
    window = Hush(HushKind.MAINTENANCE, begin, begin + timedelta(hours=2), "thay tủ", communes=("c1",))
    without = district()
    async with Ward(replace(without, alerts=replace(without.alerts, hushes=(window,))), clock=clock) as ward:
        await ward.all_born()
        await ward.pass_time(1800, step=30)
        ward.settings = without
        await ward.restart(600)
        await ward.pass_time(1800, step=30)
        (c1, *others) = (await report(ward))["communes"]
        assert c1["maintenance_s"] == pytest.approx(5 * (1800 + 30 - 600 + 600), abs=5 * 40)
        assert {row["maintenance_s"] for row in others} == {0}


async def test_minutes_of_air_missed() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward.plan_broadcast(["c1-1", "c1-2", "c2-1"], in_s=60)
        start = ward.clock.now() + timedelta(seconds=60)

        def heard(tx: Tx) -> None:
            steps = [(0, DeliveryState.SOUNDING), (300, DeliveryState.COMPLETED)]
            events = [DeliveryEvent("b@60", "c1-1", start + timedelta(seconds=s), state) for s, state in steps]
            cut = [(0, DeliveryState.SOUNDING), (120, DeliveryState.FAILED)]
            events += [DeliveryEvent("b@60", "c1-2", start + timedelta(seconds=s), state) for s, state in cut]
            events += [DeliveryEvent("b@60", "c2-1", start + timedelta(seconds=400), DeliveryState.UNKNOWN)]
            tx.put_delivery_events(events)
            tx.put_deliveries([Delivery("b@60", "c1-1", DeliveryState.COMPLETED, start)])

        await ward.store.transact(heard)
        await ward.pass_time(600)
        data = await report(ward)
        assert (data["total"]["air_planned_s"], data["total"]["air_missed_s"]) == (900, 180 + 300)
        assert {row["id"]: row["air_missed_s"] for row in data["communes"]}["c2"] == 300


async def test_the_spreadsheet_has_the_same_figures() -> None:
    async with Ward() as ward:
        await ward.all_born()
        data = await report(ward)
        lines = as_csv(data).splitlines()
        assert lines[0].startswith("group,id,name,availability,mtta_s,mttr_s,verified_share,nodes,up_s")
        assert [line.split(",")[0] for line in lines[1:]] == ["total", "commune", "commune", "commune", "model"]
        assert lines[1].split(",")[3] == str(data["total"]["availability"])


def test_a_month_is_local_and_ends_where_the_next_begins() -> None:
    start, end = bounds("2026-12", ZoneInfo("Asia/Ho_Chi_Minh"))
    assert start.astimezone(UTC) == datetime(2026, 11, 30, 17, tzinfo=UTC)
    assert end.astimezone(UTC) == datetime(2026, 12, 31, 17, tzinfo=UTC)
    for wrong in ("2026-13", "november", "", "2026-11-01"):
        with pytest.raises(ValueError, match="write it as 2026-11"):
            bounds(wrong, ZoneInfo("Asia/Ho_Chi_Minh"))
