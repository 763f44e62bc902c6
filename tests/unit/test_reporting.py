"""The read models that the page, the API and the command line share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller.domain.delivery import Delivery, DeliveryState
from controller.domain.escalation import OutboxState
from controller.domain.incidents import IncidentState
from controller.domain.liveness import Liveness
from controller.ports import FaultRow, NodeRow, Tx
from controller.services.reporting import Reporting, UnknownOccurrence
from tests.district import District

S = DeliveryState
AIRING = "ban-tin@2026-11-23T08:00"


@pytest.fixture
async def district(tmp_path: Path) -> AsyncIterator[District]:
    opened = await District.opened(tmp_path)
    yield opened
    await opened.store.close()


def node_of(nodes: dict[str, Any], id: str) -> dict[str, Any]:
    return next(node for commune in nodes["communes"] for node in commune["nodes"] if node["id"] == id)


async def test_a_node_nobody_heard_of_is_unknown_and_never_offline(district: District) -> None:
    nodes = await district.reporting.nodes()
    assert {node["state"] for commune in nodes["communes"] for node in commune["nodes"]} == {"unknown"}
    assert node_of(nodes, "na-meo-01")["seen_at"] is None


async def test_every_commune_and_node_is_named_with_its_state_faults_and_place(district: District) -> None:
    await district.heard_from()
    await district.heard_from("son-lu-02", state=Liveness.SUSPECT)
    await district.broken("na-meo-03")
    nodes = await district.reporting.nodes()
    assert len(nodes["communes"]) == 12
    assert nodes["communes"][0]["counts"] == {"total": 5, "online": 5, "suspect": 0, "offline": 0, "unknown": 0}
    assert nodes["communes"][0]["faulty"] == 1
    broken = node_of(nodes, "na-meo-03")
    assert [(fault["code"], fault["title"]["en"]) for fault in broken["faults"]] == [
        ("amplifier", "Amplifier gives no output")
    ]
    assert broken["place"]["hamlet"] == "Bản Hậu"
    assert node_of(nodes, "son-lu-02")["state"] == "suspect"


async def test_a_suspicion_within_its_hold_time_is_not_shown_as_a_fault(district: District) -> None:
    row = FaultRow("na-meo-01", "amplifier", "suspect", district.now, "critical", {})
    await district.store.transact(lambda tx: tx.put_faults([row]))
    assert node_of(await district.reporting.nodes(), "na-meo-01")["faults"] == []


async def test_what_runs_knows_better_than_what_is_stored(district: District) -> None:
    await district.heard_from()
    now = SimpleNamespace(
        liveness=Liveness.OFFLINE,
        since=district.now,
        seen_at=district.at(-6),
        metrics={"mains_v": 0.0},
        firmware="2.1",
        held_epoch=3,
        held_rev=9,
    )
    monitoring = SimpleNamespace(view=lambda: {"na-meo-01": now})
    live = Reporting(district.settings, store=district.store, clock=district.clock, monitoring=monitoring)
    nodes = await live.nodes()
    assert node_of(nodes, "na-meo-01")["state"] == "offline"
    assert node_of(nodes, "na-meo-01")["held"] == {"epoch": 3, "rev": 9}
    assert node_of(nodes, "na-meo-02")["state"] == "online"


async def test_a_node_that_left_the_configuration_is_not_shown(district: District) -> None:
    ghost = NodeRow("ghost-01", "online", district.now)
    await district.store.transact(lambda tx: tx.put_nodes([ghost]))
    assert (await district.reporting.status())["nodes"]["total"] == 60


async def test_status_counts_causes_not_what_they_explain(district: District) -> None:
    cause = await district.powerless("trung-xuan")
    child = await district.broken("trung-xuan-01")
    await district.store.transact(lambda tx: tx.put_incident(replace(child, parent=cause.id)))
    status = await district.reporting.status()
    assert status["incidents"] == {"open": 1, "explained": 1, "critical": 0, "major": 1, "minor": 0}


async def test_status_carries_the_problems_of_the_last_configuration(district: District) -> None:
    district.scheduling.problems = ("config/nodes.yaml:3:1: duplicate key 'id'",)
    status = await district.reporting.status()
    assert status["config"]["problems"] == ["config/nodes.yaml:3:1: duplicate key 'id'"]


async def test_status_carries_what_was_only_warned_of_audio_and_guards_too(district: District) -> None:
    district.scheduling.warnings = ("config/broadcasts.yaml:4:5: broadcast 'tin': a little of it is clipped",)
    status = await district.reporting.status()
    assert status["config"]["warnings"] == list(district.scheduling.warnings)


async def test_an_incident_says_what_to_do_what_to_bring_and_what_was_measured(district: District) -> None:
    await district.broken("na-meo-03", sent=2)
    [incident] = (await district.reporting.incidents())["incidents"]
    assert incident["subject_name"] == "Na Mèo 3"
    assert incident["place"]["pole"] == "NA-3"
    assert incident["advice"]["vi"].startswith("Thay mô-đun")
    assert incident["parts"]["en"] == "60 W amplifier module"
    assert incident["visit"]["kind"] == "climb"
    assert incident["messages"]["sent"] == incident["messages"]["total"] == 2
    measured = {each["metric"]: each["text"] for each in incident["evidence"]}
    assert measured["amp_vrms"] == {"vi": "0,0 V", "en": "0.0 V"}


async def test_a_fault_of_the_people_is_listed_by_what_it_is_and_whose_it_is(district: District) -> None:
    incident = await district.broken("na-meo-03")
    listed = {"empty-rota:tinh": {}, "unreachable-person:lan": {"who": "Lường Thị Lan"}}
    for cause, evidence in listed.items():
        row = replace(incident, scope="centre", subject="centre", commune="", cause=cause, evidence=evidence)
        await district.store.transact(lambda tx, row=row: tx.put_incident(row))
        [found] = (await district.reporting.incidents())["incidents"]
        assert found["title"]["en"] in ("Nobody is on call (tinh)", "A person cannot be reached (Lường Thị Lan)")
        assert found["advice"]


async def test_who_heard_of_it_within_a_digest_has_heard_of_it(district: District) -> None:
    incident = await district.broken("na-meo-03", sent=1)

    def gathered(tx: Tx) -> None:
        (sent,) = tx.outbox(incident.id)
        tx.enqueue(replace(sent, transition="reminder", recipient="lan", state=OutboxState.PENDING))
        tx.finish(tx.outbox(incident.id)[0].id, OutboxState.MERGED, district.now, error="told with another")

    await district.store.transact(gathered)
    (told,) = (await district.reporting.incidents())["incidents"]
    assert told["told"] == ["ky-thuat-0", "lan"]
    assert (told["messages"]["sent"], told["messages"]["digested"], told["messages"]["waiting"]) == (1, 1, 0)


async def test_a_cause_without_a_rule_still_has_a_name_and_advice(district: District) -> None:
    await district.powerless("trung-xuan")
    [incident] = (await district.reporting.incidents())["incidents"]
    assert incident["subject_name"] == "Trung Xuân"
    assert incident["title"]["en"].lower() == "area power cut"
    assert incident["advice"]["en"]
    assert len(incident["nodes"]) == 5


async def test_the_worst_incident_comes_first_and_what_it_explains_last(district: District) -> None:
    major = await district.powerless("trung-xuan", minutes_ago=30)
    child = await district.broken("trung-xuan-01", minutes_ago=20)
    await district.store.transact(lambda tx: tx.put_incident(replace(child, parent=major.id)))
    critical = await district.broken("na-meo-01", minutes_ago=1)
    listed = [each["id"] for each in (await district.reporting.incidents())["incidents"]]
    assert listed == [critical.id, major.id, child.id]


async def test_closed_incidents_are_listed_only_when_all_are_asked_for(district: District) -> None:
    incident = await district.broken("na-meo-03")
    closed = replace(incident, state=IncidentState.CLOSED, closed_at=district.now, updated_at=district.now)
    await district.store.transact(lambda tx: tx.put_incident(closed))
    assert (await district.reporting.incidents())["incidents"] == []
    [listed] = (await district.reporting.incidents(all=True))["incidents"]
    assert listed["closed_at"] is not None


async def test_on_air_says_where_it_sounds_since_when_and_how_far_it_is(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-5, minutes=20, to=["na-meo", "son-thuy"], state=S.SOUNDING)
    await district.told(AIRING, "na-meo-01", final=Delivery(AIRING, "na-meo-01", S.UNKNOWN, district.now))
    [on_air] = (await district.reporting.air())["on_air"]
    assert on_air["progress"] == 0.25
    assert len(on_air["sounding"]) == 9
    assert [(each["name"], each["nodes"], each["of"]) for each in on_air["heard_in"]["communes"]] == [
        ("Na Mèo", 4, 5),
        ("Sơn Thủy", 5, 5),
    ]
    assert on_air["started_at"] == "2026-11-23T00:55:00.012Z"


async def test_what_is_due_but_silent_is_on_air_with_no_node_sounding(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-1, state=S.ACCEPTED)
    [on_air] = (await district.reporting.air())["on_air"]
    assert on_air["sounding"] == []
    assert on_air["expected"]["everywhere"]


async def test_what_sounds_past_its_planned_end_is_still_on_air(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-20, minutes=10, to=["na-meo-01"], state=S.SOUNDING)
    [on_air] = (await district.reporting.air())["on_air"]
    assert on_air["progress"] == 1.0


async def test_a_cancelled_occurrence_is_shown_as_cancelled_and_never_as_next(district: District) -> None:
    row = await district.planned(AIRING, "Bản tin", start=30)
    await district.planned("sau@1", "Sau", start=60)
    gone = replace(row, cancelled_at=district.now, reason="removed from the configuration")
    await district.store.transact(lambda tx: tx.put_occurrences([gone]))
    air = await district.reporting.air()
    assert [each["cancelled_at"] is None for each in air["next"]] == [False, True]
    assert (await district.reporting.status())["air"]["next"]["title"] == "Sau"


async def test_the_next_24_hours_say_how_many_nodes_hold_the_audio(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=30, to=["na-meo"], state=S.ACCEPTED)
    await district.told(AIRING, "na-meo-01", final=Delivery(AIRING, "na-meo-01", S.READY, district.now))
    await district.planned("mai@1", "Mai", start=24 * 60 + 1)
    [coming] = (await district.reporting.air())["next"]
    assert (coming["ready"], coming["accepted"], coming["to"]["nodes"]) == (1, 5, 5)


async def test_the_log_tells_heard_from_unverified_from_unknown(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-30, to=["na-meo"], state=S.ACCEPTED)
    completed = Delivery(AIRING, "na-meo-01", S.COMPLETED, district.now, played_ms=600_000, level_db=-14.0)
    await district.told(AIRING, "na-meo-01", final=completed)
    await district.told(AIRING, "na-meo-02", final=replace(completed, node="na-meo-02", level_db=None))
    failed = Delivery(AIRING, "na-meo-03", S.FAILED, district.now, reason="missing-audio")
    await district.told(AIRING, "na-meo-03", final=failed)
    [row] = (await district.reporting.log(date(2026, 11, 23)))["occurrences"]
    found = {node["node"]: node["heard"] for node in row["nodes"]}
    assert found["na-meo-01"] == "heard"
    assert found["na-meo-02"] == "unverified"
    assert found["na-meo-03"] == "failed"
    assert found["na-meo-04"] == "unknown"
    assert (row["counts"]["heard"], row["counts"]["failed"], row["counts"]["unknown"]) == (1, 1, 2)


async def test_what_an_operator_stopped_has_not_failed(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-30, to=["na-meo-01"])
    stopped = Delivery(AIRING, "na-meo-01", S.FAILED, district.at(-25), reason="cancelled", played_ms=300_000)
    await district.told(AIRING, "na-meo-01", (district.at(-25), S.FAILED), final=stopped)
    [row] = (await district.reporting.log(date(2026, 11, 23)))["occurrences"]
    assert (row["nodes"][0]["heard"], row["counts"]["stopped"], row["counts"]["failed"]) == ("stopped", 1, 0)


async def test_the_log_of_a_day_is_the_local_day(district: District) -> None:
    # 01:00 UTC is 08:00 in Hà Nội; 17:30 UTC belongs to the next local day
    await district.planned("toi@1", "Tối", start=15 * 60 + 59)
    await district.planned("dem@1", "Đêm", start=16 * 60)
    today = await district.reporting.log(date(2026, 11, 23))
    tomorrow = await district.reporting.log(date(2026, 11, 24))
    assert [row["title"] for row in today["occurrences"]] == ["Tối"]
    assert [row["title"] for row in tomorrow["occurrences"]] == ["Đêm"]


async def test_before_the_end_no_word_is_pending_and_after_it_unknown(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-5, minutes=5.1, to=["na-meo-01"], state=S.ACCEPTED)
    [row] = (await district.reporting.log(date(2026, 11, 23)))["occurrences"]
    assert row["counts"]["pending"] == 1
    await district.clock.advance(17)
    [row] = (await district.reporting.log(date(2026, 11, 23)))["occurrences"]
    assert row["counts"]["unknown"] == 1


async def test_why_tells_the_whole_story_in_order_with_who_knows_it(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-30, to=["na-meo-03"])
    incident = await district.broken("na-meo-03", minutes_ago=40)
    steps = [(district.at(minute), state) for minute, state in WAY]
    completed = Delivery(
        AIRING, "na-meo-03", S.COMPLETED, district.at(-20), started_at=district.at(-30), late_ms=12, played_ms=600_000
    )
    await district.told(AIRING, "na-meo-03", *steps, final=completed)
    why = await district.reporting.why(AIRING, "na-meo-03")
    story = why["nodes"][0]["story"]
    assert [each["what"] for each in story] == [
        *("planned", "published", "accepted", "ready", "incident", "sounding", "completed")
    ]
    assert [each["source"] for each in story] == [*("controller",) * 2, "node", "node", "controller", "node", "node"]
    assert story[4]["incident"] == incident.id
    assert story[5]["late_ms"] == 12
    assert story[6]["level_db"] is None
    assert why["nodes"][0]["heard"] == "unverified"


WAY = ((-500, S.PUBLISHED), (-499, S.ACCEPTED), (-498, S.READY), (-30, S.SOUNDING), (-20, S.COMPLETED))


async def test_why_of_a_skipped_airing_gives_the_reason_in_both_languages(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-30, to=["na-meo-03"])
    skipped = Delivery(AIRING, "na-meo-03", S.SKIPPED, district.at(-30), reason="missing-audio")
    await district.store.transact(lambda tx: tx.put_deliveries([skipped]))
    why = await district.reporting.why(AIRING)
    assert why["nodes"][0]["reason"] == "missing-audio"
    assert why["nodes"][0]["reason_text"] == {"vi": "thiếu tệp âm thanh", "en": "audio missing"}


async def test_why_suggests_the_occurrence_that_was_meant(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-30, to=["na-meo-03"])
    with pytest.raises(UnknownOccurrence, match=r"did you mean ban-tin@2026-11-23T08:00\?"):
        await district.reporting.why("ban-tin@2026-11-23T0800")


async def test_why_refuses_a_node_that_was_never_meant(district: District) -> None:
    await district.planned(AIRING, "Bản tin", start=-30, to=["na-meo-03"])
    with pytest.raises(KeyError, match="never meant for son-lu-01"):
        await district.reporting.why(AIRING, "son-lu-01")


async def test_everything_is_json_with_times_that_carry_their_zone(district: District) -> None:
    await district.heard_from()
    await district.planned(AIRING, "Bản tin", start=-5, state=S.SOUNDING)
    await district.broken("na-meo-03")
    report = district.reporting
    whole = [await report.status(), await report.nodes(), await report.incidents(all=True), await report.air()]
    whole += [await report.log(date(2026, 11, 23)), await report.why(AIRING)]
    assert json.loads(json.dumps(whole)) == whole
    assert datetime.fromisoformat(whole[0]["now"]) == datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
    assert datetime.fromisoformat(whole[0]["now"]).utcoffset() == timedelta(0)


async def test_a_reload_speaks_of_the_new_configuration(district: District) -> None:
    smaller = replace(district.settings, nodes={"na-meo-01": district.settings.nodes["na-meo-01"]}, zones={})
    district.reporting.reload(smaller)
    assert (await district.reporting.status())["nodes"]["total"] == 1
