"""One cause, one message: what befalls many nodes at once."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from controller.domain.incidents import IncidentState
from controller.services import healthbook
from tests.health_support import LAN, Ward, district


async def cut_power(ward: Ward, commune: str) -> None:
    for speaker in ward.commune(commune):
        await speaker.beat(mains_v=0.0, batt_v=12.6)


async def kill(ward: Ward, *communes: str) -> None:
    for commune in communes:
        for speaker in ward.commune(commune):
            speaker.alive = False


async def test_a_power_cut_of_a_commune_is_one_incident_and_one_message_to_its_end() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await cut_power(ward, "c1")
        await ward.pass_time(60)
        (incident,) = await ward.open()
        assert (incident.scope, incident.subject, incident.cause) == ("commune", "c1", "power")
        assert incident.nodes == ("c1-1", "c1-2", "c1-3", "c1-4", "c1-5")
        assert await ward.told() == [("c1", "power", "opened")]
        for speaker in ward.commune("c1"):
            speaker.metrics["batt_v"] = 10.5
        await ward.pass_time(300)
        for speaker in ward.commune("c1"):
            await speaker.farewell()
            await ward.pass_time(200)
        await ward.pass_time(4000)
        assert [each.cause for each in await ward.open()] == ["power"]
        assert len(await ward.open(top=False)) == 16, "each node's own incidents are filed under it"
        assert len(await ward.told()) == 1
        for speaker in ward.commune("c1"):
            speaker.metrics |= {"mains_v": 220.0, "batt_v": 13.0}
            await speaker.reboot("b2")
        await ward.pass_time(1200)
        assert await ward.open(top=False) == []
        assert await ward.told() == [("c1", "power", "opened"), ("c1", "power", "recovered")]


async def test_a_network_loss_of_a_commune_is_one_message() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await kill(ward, "c2")
        await ward.pass_time(2000)
        assert await ward.told() == [("c2", "network", "opened")]
        for speaker in ward.commune("c2"):
            speaker.alive = True
        await ward.pass_time(300)
        assert await ward.told() == [("c2", "network", "opened"), ("c2", "network", "recovered")]


async def test_the_middle_of_what_failed_is_on_the_map() -> None:
    site = district()
    placed = {
        id: replace(node, lat=20 + n / 10, lon=104.5) if node.commune == "c1" else node
        for n, (id, node) in enumerate(site.nodes.items())
    }
    async with Ward(replace(site, nodes=placed)) as ward:
        await ward.all_born()
        await cut_power(ward, "c1")
        await ward.pass_time(60)
        (told,) = await ward.messages()
        assert "mlat=20.20000&mlon=104.50000" in told.body


async def test_nodes_that_died_on_battery_are_a_power_cut() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for speaker in list(ward.commune("c1"))[:3]:
            await speaker.beat(mains_v=0.0)
        await kill(ward, "c1")
        for speaker in ward.commune("c1"):
            await speaker.farewell()
        await ward.pass_time(600)
        assert await ward.told() == [("c1", "power", "opened")]


async def test_two_of_five_are_two_faults_of_their_own() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for id in ("c1-1", "c1-2"):
            await ward[id].beat(mains_v=0.0)
        await ward.pass_time(120)
        assert sorted(await ward.told()) == [("c1-1", "mains-lost", "opened"), ("c1-2", "mains-lost", "opened")]


async def test_three_that_failed_far_apart_in_time_share_no_cause() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for id in ("c1-1", "c1-2", "c1-3"):
            await ward[id].beat(mains_v=0.0)
            await ward.pass_time(130)
        assert [each.scope for each in await ward.open()] == ["node", "node", "node"]


async def test_a_parent_found_late_takes_over_what_was_not_sent_and_repeats_nothing() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(mains_v=0.0)
        await ward.pass_time(60)
        assert await ward.told() == [("c1-1", "mains-lost", "opened")]
        await ward["c1-2"].beat(mains_v=0.0)
        await ward.pass_time(20)
        await ward["c1-3"].beat(mains_v=0.0)
        await ward.pass_time(60)
        assert await ward.told() == [("c1-1", "mains-lost", "opened"), ("c1", "power", "opened")]
        assert [each.cause for each in await ward.open()] == ["power"]
        for speaker in ward.commune("c1"):
            speaker.metrics["mains_v"] = 220.0
        await ward.pass_time(120)
        assert sorted((await ward.told())[2:]) == [("c1", "power", "recovered"), ("c1-1", "mains-lost", "recovered")]


async def test_the_one_node_left_dark_after_a_power_cut_gets_its_own_message() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await cut_power(ward, "c1")
        await ward.pass_time(600)
        for id in ("c1-1", "c1-2", "c1-3", "c1-4"):
            ward[id].metrics["mains_v"] = 220.0
        await ward.pass_time(600)
        assert [(each.subject, each.cause) for each in await ward.open()] == [("c1-5", "mains-lost")]
        assert await ward.told() == [
            ("c1", "power", "opened"),
            ("c1", "power", "recovered"),
            ("c1-5", "mains-lost", "opened"),
        ]


async def test_half_of_everything_silent_is_a_fault_of_the_centre() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await kill(ward, "c1", "c2")
        await ward.pass_time(2000)
        assert await ward.told() == [("centre", "centre", "opened")]
        assert [each.cause for each in await ward.open()] == ["centre"]


async def test_a_feeder_through_two_communes_is_one_power_cut() -> None:
    settings = district(6)
    nodes = {
        id: node if node.commune not in ("c1", "c2") else type(node)(id, id, node.commune, feeder="371")
        for id, node in settings.nodes.items()
    }
    async with Ward(district(6, nodes=nodes)) as ward:
        await ward.all_born()
        for commune in ("c1", "c2"):
            await cut_power(ward, commune)
        await ward.pass_time(120)
        assert await ward.told() == [("371", "power", "opened")]


async def test_only_the_people_of_the_communes_on_a_feeder_hear_of_it_also_of_those_not_hit_yet() -> None:
    settings = district(6)
    nodes = {
        id: node if node.commune not in ("c1", "c2", "c3") else type(node)(id, id, node.commune, feeder="371")
        for id, node in settings.nodes.items()
    }
    people = tuple(replace(LAN, id=commune, communes=frozenset({commune})) for commune in settings.zones)
    alerts = replace(settings.alerts, people=people)
    async with Ward(district(6, nodes=nodes, alerts=alerts)) as ward:
        await ward.all_born()
        for commune in ("c1", "c2"):
            await cut_power(ward, commune)
        await ward.pass_time(120)
        messages = await ward.messages()
        assert [row.recipient for row in messages] == ["c1", "c2", "c3"]
        assert "\nNơi: xã C1, xã C2\nGồm 10 cụm loa: c1-1 (C1), c1-2 (C1)" in messages[0].body
        (order,) = await ward.store.transact(lambda tx: tx.work_orders(live=True))
        assert order.assignee == "c1"


async def test_mains_lost_explains_battery_and_silence_of_one_node() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(mains_v=0.0)
        await ward.pass_time(120)
        ward["c1-1"].metrics["batt_v"] = 10.0
        await ward.pass_time(300)
        await ward["c1-1"].farewell()
        await ward.pass_time(2000)
        assert await ward.told() == [("c1-1", "mains-lost", "opened")]
        assert {each.cause for each in await ward.open(top=False)} == {"mains-lost", "battery-low", "link"}


async def test_a_node_that_died_right_after_its_mains_is_told_of() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(mains_v=0.0)
        await ward.pass_time(15, step=5)
        await ward["c1-1"].farewell()
        await ward.pass_time(600)
        assert await ward.told() == [("c1-1", "mains-lost", "opened")]


async def test_the_order_of_reports_makes_no_difference() -> None:
    for seed in range(3):
        async with Ward() as ward:
            await ward.all_born()
            speakers = list(ward.commune("c1"))
            random.Random(seed).shuffle(speakers)
            for speaker in speakers:
                await speaker.beat(mains_v=0.0)
                await ward.wait(seed)
            await ward.pass_time(300)
            assert await ward.told() == [("c1", "power", "opened")]


async def test_an_area_incident_survives_a_restart_without_a_word() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await cut_power(ward, "c1")
        await kill(ward, "c2")
        await ward.pass_time(600)
        before = await ward.told()
        assert len(before) == 2
        await ward.restart(down_s=300)
        await ward.pass_time(900)
        assert await ward.told() == before
        assert [each.state for each in await ward.open()] == [IncidentState.OPEN, IncidentState.OPEN]


async def test_what_is_left_of_a_flapping_outage_does_not_keep_the_controller_busy() -> None:
    """The commune's incident stays open because it flaps, while one node still has what befell them all."""
    async with Ward() as ward:
        await ward.all_born()
        for _ in range(3):
            await cut_power(ward, "c1")
            await ward.pass_time(60)
            for speaker in list(ward.commune("c1"))[1:]:
                await speaker.beat(mains_v=221.0, batt_v=13.1)
            await ward.pass_time(300)
        (commune,) = [each for each in await ward.open() if each.scope == "commune"]
        assert commune.flapping
        before = ward.store.count
        ward.store.fail = lambda: _at_most(ward, before + 50)
        await ward.pass_time(600)
        assert ward.store.count - before < 50


def _at_most(ward: Ward, count: int) -> None:
    assert ward.store.count <= count, "it writes without end"


async def test_faults_of_many_nodes_at_once_read_the_plan_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message says what was due next: read for each of a thousand, the plan kept the database for minutes."""
    read: list[Any] = []
    coming = healthbook._coming

    def counted(*of: Any) -> Any:
        read.append(of)
        return coming(*of)

    monkeypatch.setattr(healthbook, "_coming", counted)
    async with Ward(district(communes=8)) as ward:
        await ward.all_born()
        await ward.plan_broadcast(list(ward.settings.nodes), 3600)
        for node in ward.settings.nodes:
            await ward[node].fault("clock")
        read.clear()
        await ward.pass_time(40)
        assert len(await ward.told()) == 40
        assert len(read) <= 2
