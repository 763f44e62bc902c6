"""From what nodes say to what people are told, one node at a time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from controller.domain.escalation import AlertSettings
from controller.domain.faults import FaultState, Severity
from controller.domain.incidents import IncidentState
from controller.domain.liveness import Liveness
from controller.ports import StoreError
from tests.health_support import IN_TIME, LAN, RULES, Ward, district

BROKEN = {"src_dbfs": -20.0, "amp_vrms": 0.1, "amp_pilot_db": -90.0}
IDLE = {"src_dbfs": -96.0, "amp_vrms": 0.0, "amp_pilot_db": -30.0}


async def break_amplifier(ward: Ward, node: str = "c1-1") -> None:
    """... and wait until it has been told."""
    await ward[node].beat(**BROKEN)
    await ward.pass_time(30)


async def test_an_amplifier_fault_is_an_incident_and_one_message() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(**BROKEN)
        await ward.wait(9.9)
        assert await ward.open() == []
        await ward.wait(0.1)
        (incident,) = await ward.open()
        assert (incident.subject, incident.cause, incident.announced) == ("c1-1", "amplifier", False)
        assert incident.evidence == BROKEN
        assert await ward.told() == []
        await ward.pass_time(15, step=5)
        assert await ward.told() == [("c1-1", "amplifier", "opened")]
        assert ward.woken == 1


async def test_a_repaired_amplifier_closes_after_a_passed_selftest_and_its_hold() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await break_amplifier(ward)
        ward["c1-1"].metrics |= IDLE
        await ward.pass_time(600)
        (incident,) = await ward.open()
        assert incident.state is IncidentState.OPEN, "idle and quiet is no proof of a repair"
        await ward["c1-1"].selftest("passed", amp_vrms=12.0, src_dbfs=-20.0)
        assert (await ward.open())[0].state is IncidentState.RECOVERING
        await ward.pass_time(60)
        assert await ward.open() == []
        assert await ward.told() == [("c1-1", "amplifier", "opened"), ("c1-1", "amplifier", "recovered")]


async def test_a_failed_selftest_or_an_old_one_closes_nothing() -> None:
    async with Ward() as ward:
        await ward.all_born()
        before = ward.clock.wall
        await break_amplifier(ward)
        ward["c1-1"].metrics |= IDLE
        await ward.beat_all()
        await ward["c1-1"].selftest("failed", amp_vrms=0.1, src_dbfs=-20.0)
        now, ward.clock.wall = ward.clock.wall, before
        await ward["c1-1"].selftest("passed", amp_vrms=12.0, src_dbfs=-20.0)
        ward.clock.wall = now
        await ward.pass_time(300)
        assert [each.state for each in await ward.open()] == [IncidentState.OPEN]


async def test_what_clears_before_its_message_is_never_told() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(mains_v=0.0)
        await ward.pass_time(20)
        assert len(await ward.open()) == 1
        ward["c1-1"].metrics["mains_v"] = 220.0
        await ward.pass_time(120)
        assert await ward.open() == []
        assert await ward.told() == []


async def test_a_silent_node_is_pinged_shown_offline_and_told_in_time() -> None:
    async with Ward() as ward:
        await ward.all_born()
        ward["c1-1"].alive = False
        await ward.pass_time(34)
        assert ward.ordered == []
        await ward.pass_time(1, step=1)
        assert ward.ordered == [("c1-1", "ping")]
        assert ward.monitoring.view()["c1-1"].liveness is Liveness.SUSPECT
        await ward.pass_time(25, step=5)
        assert ward.monitoring.view()["c1-1"].liveness is Liveness.OFFLINE
        (incident,) = await ward.open()
        assert (incident.cause, incident.severity, incident.announced) == ("link", Severity.MAJOR, False)
        assert incident.evidence == {"mains_v": 221.0, "batt_v": 13.1}
        await ward.pass_time(235, step=5)
        assert await ward.told() == []
        await ward.pass_time(5, step=5)
        assert await ward.told() == [("c1-1", "link", "opened")]


async def test_a_node_that_returns_is_back_after_a_minute_and_told_so() -> None:
    async with Ward() as ward:
        await ward.all_born()
        ward["c1-1"].alive = False
        await ward.pass_time(400)
        ward["c1-1"].alive = True
        await ward.pass_time(60)
        assert ward.monitoring.view()["c1-1"].liveness is Liveness.OFFLINE
        await ward.pass_time(10)
        assert ward.monitoring.view()["c1-1"].liveness is Liveness.ONLINE
        assert await ward.told() == [("c1-1", "link", "opened"), ("c1-1", "link", "recovered")]


async def test_five_lost_heartbeats_in_a_row_tell_nobody() -> None:
    async with Ward() as ward:
        await ward.all_born()
        ward["c1-1"].alive = False
        await ward.pass_time(70)
        ward["c1-1"].alive = True
        await ward.pass_time(600)
        assert await ward.told() == []
        assert await ward.open() == []


async def test_a_dead_node_with_a_broadcast_due_is_told_at_90_s_as_critical() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward.plan_broadcast(["c1-1"], in_s=20 * 60)
        ward.order_answer = "nobody is subscribed"
        await ward["c1-1"].farewell()
        await ward.pass_time(85, step=5)
        assert await ward.told() == []
        await ward.pass_time(5, step=5)
        assert await ward.told() == [("c1-1", "link", "opened")]
        assert [each.severity for each in await ward.open()] == [Severity.CRITICAL]


async def test_a_node_that_answers_the_ping_is_not_told_before_300_s() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward.plan_broadcast(["c1-1"], in_s=20 * 60)
        await ward["c1-1"].farewell()
        await ward.wait(3)
        await ward["c1-1"].journal("command", id="x", result="done")
        await ward.pass_time(290, step=5)
        assert await ward.told() == []
        await ward.pass_time(10, step=5)
        assert await ward.told() == [("c1-1", "link", "opened")]


async def test_a_will_of_an_old_connection_is_ignored() -> None:
    async with Ward() as ward:
        await ward.all_born()
        speaker = ward["c1-1"]
        speaker.conn = 2
        await speaker.birth()
        speaker.conn = 1
        await speaker.farewell()
        speaker.conn = 2
        assert ward.monitoring.view()["c1-1"].liveness is Liveness.ONLINE


async def test_a_restart_with_an_unchanged_world_sends_nothing() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await break_amplifier(ward, "c1-1")
        ward["c2-1"].alive = False
        await ward["c3-1"].fault("clock")
        await ward.pass_time(400)
        before = await ward.told()
        assert len(before) == 3
        for down in (0, 5, 100, 4000):
            await ward.restart(down_s=down)
            await ward["c3-1"].fault("clock")
            await ward.pass_time(600)
        assert await ward.told() == before
        assert len(await ward.open()) == 3


async def test_what_changed_while_the_controller_was_down_is_told_once() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await break_amplifier(ward)
        await ward["c3-1"].fault("clock")
        await ward.pass_time(60)
        before = await ward.told()
        await ward.end()
        await ward.clock.advance(100)
        await ward.begin()
        ward["c1-1"].metrics |= IDLE
        await ward.pass_time(60)
        assert (await ward.told())[len(before) :] == [("c3-1", "clock", "recovered")]


async def test_a_dead_broker_makes_no_node_offline_but_is_told_itself() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward.monitoring.on_bus_down("gone", ward.clock.monotonic())
        await ward.wait(55)
        assert await ward.open() == []
        await ward.wait(5)
        (incident,) = await ward.open()
        assert (incident.scope, incident.cause) == ("centre", "broker")
        await ward.wait(3600)
        assert all(view.liveness is Liveness.ONLINE for view in ward.monitoring.view().values())
        await ward.monitoring.on_bus_up(ward.clock.monotonic())
        await ward.pass_time(600)
        assert await ward.told() == [("centre", "broker", "opened"), ("centre", "broker", "recovered")]


async def test_a_short_loss_of_the_broker_tells_nobody() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for _ in range(5):
            await ward.monitoring.on_bus_down("gone", ward.clock.monotonic())
            await ward.wait(50)
            await ward.monitoring.on_bus_up(ward.clock.monotonic())
            await ward.wait(15)
            await ward.beat_all()
        assert await ward.incidents() == []


async def test_a_wall_clock_step_changes_nothing() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await break_amplifier(ward)
        before = await ward.told()
        for step in (3600, -7200, 3600):
            ward.clock.step_wall(step)
            await ward.pass_time(120)
        assert await ward.told() == before
        assert len(await ward.incidents()) == 1


async def test_a_rise_of_severity_is_told_and_cancels_the_acknowledgement() -> None:
    async with Ward() as ward:
        await ward.all_born()
        ward["c1-1"].metrics["amp_temp_c"] = 80.0
        await ward.pass_time(90)
        (incident,) = await ward.open()
        await ward.monitoring.acknowledge(incident.id, "lan")
        assert (await ward.open())[0].state is IncidentState.ACKNOWLEDGED
        ward["c1-1"].metrics["amp_temp_c"] = 95.0
        await ward.pass_time(60)
        (incident,) = await ward.open()
        assert (incident.severity, incident.state) == (Severity.CRITICAL, IncidentState.OPEN)
        assert await ward.told() == [("c1-1", "amp-hot", "opened"), ("c1-1", "amp-hot", "severity")]


async def test_a_relapse_within_30_minutes_reopens_the_same_incident() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for mains in (0.0, 220.0, 0.0):
            ward["c1-1"].metrics["mains_v"] = mains
            await ward.pass_time(600)
        (incident,) = await ward.incidents()
        assert incident.state is IncidentState.OPEN
        assert [transition for _, _, transition in await ward.told()] == ["opened", "recovered", "reopened"]


async def test_a_repeat_within_7_days_is_a_new_incident_linked_to_the_old_one() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for mains, seconds in ((0.0, 600), (220.0, 2400), (0.0, 600)):
            ward["c1-1"].metrics["mains_v"] = mains
            await ward.pass_time(seconds)
        first, second = await ward.incidents()
        assert second.repeat_of == first.id


async def test_a_flapping_fault_sends_few_messages_and_stays_open() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for _ in range(24):
            ward["c1-1"].metrics["mains_v"] = 0.0
            await ward.pass_time(150)
            ward["c1-1"].metrics["mains_v"] = 220.0
            await ward.pass_time(150)
        (incident,) = await ward.incidents()
        assert incident.flapping
        assert len(await ward.told()) <= 4
        await ward.pass_time(3600)
        (incident,) = await ward.incidents()
        assert (incident.state, incident.flapping) == (IncidentState.CLOSED, False)
        assert (await ward.told())[-1][2].startswith("recovered")
        assert len(await ward.told()) <= 5


async def test_repaired_is_only_proposed_and_orders_a_selftest() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await break_amplifier(ward)
        (incident,) = await ward.open()
        repaired = await ward.monitoring.repaired(incident.id, "lan", "đã thay")
        await ward.quiet()
        assert repaired.state is IncidentState.REPAIRED
        assert ward.ordered == [("c1-1", "selftest")]
        await ward.pass_time(31 * 60)
        assert [each.state for each in await ward.open()] == [IncidentState.ACKNOWLEDGED]
        assert (await ward.told())[-1] == ("c1-1", "amplifier", "unverified")


async def test_a_latch_that_needs_a_person_opens_only_by_a_persons_word_and_good_measurements() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(line_z_ohm=2.0)
        await ward["c1-1"].beat(line_z_ohm=8.0)
        await ward.pass_time(600)
        (incident,) = await ward.open()
        assert incident.cause == "line-short"
        await ward.monitoring.repaired(incident.id, "lan", "")
        await ward.pass_time(10)
        assert await ward.open() == []
        assert (await ward.told())[-1][2] == "recovered"


async def test_a_refused_playlist_is_a_security_incident_until_a_person_says_otherwise() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for harmless in ("older", "epoch", "expired", "unreachable", "storage"):
            await ward["c1-1"].journal("playlists", result="rejected", reason=harmless)
            await ward.pass_time(30)
            assert await ward.open() == [], harmless
        await ward["c1-1"].journal("playlists", result="rejected", reason="bad-signature")
        await ward["c1-1"].fault("security", reason="bad-signature")
        await ward.pass_time(600)
        (incident,) = await ward.open()
        assert (incident.cause, incident.evidence) == ("security", {"reason": "bad-signature"})
        await ward["c1-1"].fault("security", raised=False)
        await ward.pass_time(600)
        assert len(await ward.open()) == 1
        await ward.monitoring.repaired(incident.id, "lan", "khóa mới")
        await ward.pass_time(30)
        assert await ward.open() == []
        assert [transition for _, _, transition in await ward.told()] == ["opened", "recovered"]


async def test_faults_of_a_silent_node_are_stale_and_not_resolved() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(amp_temp_c=80.0)
        await ward.pass_time(90)
        ward["c1-1"].alive = False
        await ward.pass_time(3600)
        everything = {each.cause: each for each in await ward.open(top=False)}
        assert everything["amp-hot"].stale
        assert everything["amp-hot"].parent == everything["link"].id, "silence hides what nobody measures"
        ward["c1-1"].alive = True
        ward["c1-1"].metrics["amp_temp_c"] = 40.0
        await ward.pass_time(600)
        assert await ward.open() == []
        assert sorted(await ward.told()) == [
            ("c1-1", "amp-hot", "opened"),
            ("c1-1", "amp-hot", "recovered"),
            ("c1-1", "link", "opened"),
            ("c1-1", "link", "recovered"),
        ]


async def test_three_boots_in_a_day_are_a_fault() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for boot in ("b2", "b3", "b4"):
            await ward["c1-1"].reboot(boot)
            await ward.pass_time(60)
        assert [each.cause for each in await ward.open()] == ["reboots"]
        assert ward.monitoring.view()["c1-1"].metrics["boots_24h"] == 3


async def test_what_the_database_refused_is_written_when_it_works_again() -> None:
    async with Ward() as ward:
        await ward.all_born()

        def full() -> None:
            raise StoreError("disk full")

        ward.store.fail = full
        with pytest.raises(StoreError):
            await ward["c1-1"].reboot("b2")
        with pytest.raises(StoreError):
            await ward["c1-1"].beat(**BROKEN)
        await ward.wait(20)
        ward.store.fail = lambda: None
        await ward.wait(30)
        assert await ward.told() == [("c1-1", "amplifier", "opened")]


@pytest.mark.parametrize("n", range(1, 5))
async def test_a_commit_whose_answer_was_lost_doubles_nothing(n: int) -> None:
    async with Ward() as ward:
        await ward.all_born()
        ward.store.fail_at, ward.store.committed = ward.store.count + n, True
        ward["c1-1"].metrics["mains_v"] = 0.0
        for mains in (0.0, 220.0):
            ward["c1-1"].metrics["mains_v"] = mains
            for _ in range(15):
                with suppress(StoreError):
                    await ward.pass_time(10)
        assert ward.store.count > ward.store.fail_at
        assert await ward.told() == [("c1-1", "mains-lost", "opened"), ("c1-1", "mains-lost", "recovered")]
        assert len(await ward.incidents()) == 1


async def test_a_node_or_rule_that_is_no_longer_configured_takes_its_incidents_with_it() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await break_amplifier(ward, "c1-1")
        await break_amplifier(ward, "c2-1")
        rules = tuple(rule for rule in RULES if rule.code != "amplifier")
        nodes = {id: node for id, node in ward.settings.nodes.items() if id != "c2-1"}
        ward.monitoring.reload(replace(ward.settings, nodes=nodes))
        await ward.pass_time(10)
        assert [each.subject for each in await ward.open()] == ["c1-1"]
        ward.monitoring.reload(replace(ward.settings, faults=rules))
        await ward.pass_time(10)
        assert await ward.open() == []


async def test_strangers_and_unknown_codes_are_counted_and_stop_nothing() -> None:
    async with Ward() as ward:
        await ward.all_born()
        stranger = replace(district(4).nodes["c4-1"])
        ward.speakers[stranger.id] = type(ward["c1-1"])(ward, stranger.id)
        await ward[stranger.id].birth()
        await ward[stranger.id].beat()
        await ward["c1-1"].fault("no-such-thing")
        assert ward.monitoring.ignored == {"unknown node": 2, "no rule for this fault": 1}
        assert stranger.id not in ward.monitoring.view()


async def test_the_view_says_what_is_known_of_a_node() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await break_amplifier(ward)
        view = ward.monitoring.view()["c1-1"]
        (fault,) = view.faults
        assert (fault.code, fault.severity, fault.state, fault.latched) == (
            "amplifier",
            Severity.CRITICAL,
            FaultState.OPEN,
            True,
        )
        assert view.seen_at == ward.clock.wall
        assert (view.boot, view.metrics["batt_v"], view.metrics["clock.synced"]) == ("b1", 13.1, True)


async def test_a_persons_word_that_proved_untrue_counts_no_more() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(line_z_ohm=2.0)
        await ward.pass_time(30)
        (incident,) = await ward.open()
        await ward.monitoring.repaired(incident.id, "lan", "")
        await ward.pass_time(31 * 60)
        ward["c1-1"].metrics["line_z_ohm"] = 8.0
        await ward.pass_time(60)
        assert [each.state for each in await ward.open()] == [IncidentState.ACKNOWLEDGED]


async def test_a_controller_that_stood_still_does_not_blame_the_nodes() -> None:
    """Stopped by the system for minutes: what nodes sent meanwhile is still in the queue when it wakes."""
    async with Ward() as ward:
        await ward.all_born()
        ward.clock._move_to(ward.clock.mono + 300)
        await ward.wait(0)
        await ward.wait(1)
        assert {view.liveness for view in ward.monitoring.view().values()} == {Liveness.ONLINE}
        await ward.pass_time(600)
        assert await ward.incidents() == []


async def test_a_will_that_comes_late_delays_no_verdict() -> None:
    """The broker gives a silent connection up after its keepalive: the will then tells what was due long ago."""
    async with Ward() as ward:
        await ward.all_born()
        ward["c1-1"].alive = ward["c2-1"].alive = False
        await ward.pass_time(45, step=5)
        await ward["c1-1"].farewell()
        await ward.quiet()
        assert ward.monitoring.view()["c1-1"].liveness is Liveness.OFFLINE
        await ward.pass_time(15, step=5)
        assert ward.monitoring.view()["c2-1"].liveness is Liveness.OFFLINE


async def test_an_idle_network_writes_nothing() -> None:
    async with Ward() as ward:
        await ward.all_born()
        count = ward.store.count
        await ward.pass_time(500)
        assert ward.store.count == count


async def test_acknowledging_what_is_not_open_says_so() -> None:
    async with Ward() as ward:
        with pytest.raises(KeyError, match="no open incident 7"):
            await ward.monitoring.acknowledge(7, "lan")


async def test_a_work_order_says_who_and_until_when_and_ends_with_the_incident() -> None:
    async with Ward(district(alerts=AlertSettings(people=(LAN,), escalation=IN_TIME))) as ward:
        await ward.all_born()
        await break_amplifier(ward)
        (order,) = await ward.store.transact(lambda tx: tx.work_orders())
        (incident,) = await ward.open()
        assert (order.assignee, order.due_at) == ("lan", incident.opened_at + timedelta(hours=4))
        await ward["c1-1"].selftest("passed")
        ward["c1-1"].metrics |= IDLE
        await ward.pass_time(90)
        (order,) = await ward.store.transact(lambda tx: tx.work_orders())
        assert (order.state, order.closed_at) == ("closed", (await ward.incidents())[0].closed_at)
