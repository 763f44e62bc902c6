"""Names of figures are a promise, and the shipped dashboard and rules ask only for what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from controller.ports import NotifyError, Outgoing
from controller.services.gauges import Gauges, MeasuredNotifier
from tests.alerts_support import Receiver, hook
from tests.district import District, reader

ROOT = Path(__file__).parents[2]
NAMES = {
    "loa_broker_connected", "loa_canary_duration_seconds", "loa_canary_flights_total", "loa_canary_ok",
    "loa_config_problems", "loa_db_transaction_seconds", "loa_dead_man_pings_total", "loa_deliveries_today",
    "loa_epoch", "loa_event_loop_lag_seconds", "loa_heartbeats_received_total", "loa_incident_causes",
    "loa_incidents_open", "loa_intake_behind_seconds", "loa_intake_lag_seconds", "loa_intake_total",
    "loa_journal_backlog", "loa_leader", "loa_messages_dropped_total", "loa_nodes", "loa_notifications_total",
    "loa_occurrences_today", "loa_on_air", "loa_outbox", "loa_outbox_oldest_due_seconds", "loa_publish_seconds",
    "loa_up",
}  # fmt: skip
"""Never rename one: dashboards and rules of other people ask for them."""


async def scraped(folder: Path) -> dict[str, list[tuple[dict[str, str], float]]]:
    district = await District.opened(folder)
    await district.heard_from()
    await district.broken("na-meo-03")
    await district.planned("ban-tin@1", "Bản tin", start=5)
    district.intake.counters.update({"heartbeat": 7, "stranger": 2})
    district.gauges.transactions.add(0.02)
    district.gauges.messages["smtp", "sent"] += 1
    async with reader(district) as web:
        text = (await web.get("/metrics")).text
    await district.store.close()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def plain(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


async def test_the_names_are_exactly_these(tmp_path: Path) -> None:
    assert {plain(name) for name in await scraped(tmp_path)} == NAMES


async def test_the_figures_are_those_of_the_moment(tmp_path: Path) -> None:
    found = await scraped(tmp_path)
    assert ({"severity": "critical", "cause": "amplifier"}, 1.0) in found["loa_incident_causes"]
    assert found["loa_heartbeats_received_total"] == [({}, 7.0)]
    assert found["loa_messages_dropped_total"] == [({}, 2.0)]
    assert ({"state": "ready"}, 60.0) in found["loa_deliveries_today"]
    assert ({"le": "0.05"}, 1.0) in found["loa_db_transaction_seconds_bucket"]
    assert ({"le": "0.01"}, 0.0) in found["loa_db_transaction_seconds_bucket"]
    assert found["loa_notifications_total"] == [({"kind": "smtp", "outcome": "sent"}, 1.0)]
    assert found["loa_up"] == [({}, 1.0)]


def test_every_name_is_documented() -> None:
    text = (ROOT / "docs/maintainer.md").read_text(encoding="utf-8")
    assert [name for name in sorted(NAMES) if f"`{name}" not in text] == []


def dashboard() -> dict[str, object]:
    loaded = json.loads((ROOT / "docs/grafana/loa.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:  # type: ignore[attr-defined]
        yield from (target["expr"] for target in panel["targets"])
    rules = yaml.safe_load((ROOT / "docs/grafana/alerts.yaml").read_text(encoding="utf-8"))
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])


@pytest.mark.parametrize("expression", list(expressions()))
async def test_dashboard_and_rules_ask_only_for_names_and_labels_that_exist(expression: str, tmp_path: Path) -> None:
    found = await scraped(tmp_path)
    asked = set(re.findall(r"loa_\w+", expression))
    assert asked
    known = set(found) | {"loa_canary_flights_total", "loa_dead_man_pings_total"}
    assert asked <= known
    labels = {label for name in asked for sample, _ in found.get(name, []) for label in sample}
    by = {each.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for each in group.split(",")}
    assert by <= labels | {"instance"}


def test_the_dashboard_has_what_grafana_wants_of_one() -> None:
    board = dashboard()
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= board.keys()
    panels = board["panels"]
    assert isinstance(panels, list)
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert {"title", "type", "gridPos", "targets", "datasource"} <= panel.keys()
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


async def test_messages_are_counted_by_channel_and_outcome() -> None:
    gauges, receiver = Gauges(), Receiver()
    sender = MeasuredNotifier(receiver, gauges)
    message = Outgoing("k", "s", "b", {})
    await sender.send(hook(), message)
    for permanent in (True, False):
        receiver.answer = lambda _, permanent=permanent: NotifyError("no", permanent=permanent)  # type: ignore[misc]
        with pytest.raises(NotifyError):
            await sender.send(hook(), message)
    assert gauges.messages == {("webhook", "sent"): 1, ("webhook", "refused"): 1, ("webhook", "failed"): 1}
