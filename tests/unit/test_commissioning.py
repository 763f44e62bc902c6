"""Baselines: what was measured when a node was put into service, and what a rule may compare with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.commands.state import sparkline
from controller.domain.commissioning import Baseline, Selftest, as_metrics, baseline, compared, measured
from controller.domain.faults import FaultState, Text
from controller.domain.metrics import METRICS, Metric, Model, base_name, known
from controller.ports import Tx
from tests.health_support import LINE_OPEN, Ward, district, rule

AT = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEST = Selftest(
    "c1-1", AT, True, {"line_z_ohm": 8.0, "batt_r_mohm": 24, "mains_v": 220.0, "mic_pilot_ok": True}, {}, id=4
)


def took(hours: float, **values: float) -> Baseline:
    return Baseline("c1-1", AT + hours * HOUR, "Lan", "", 1, values)


@pytest.mark.parametrize(
    ("metric", "base"),
    [("line_z_ohm", "line_z_base_ohm"), ("solar_w", "solar_base_w"), ("flow", "flow_base")],
)
def test_a_baseline_is_called_as_its_metric_with_base_before_the_unit(metric: str, base: str) -> None:
    assert base_name(metric) == base


def test_a_declared_metric_with_a_baseline_has_a_name_for_it_too() -> None:
    metrics = known({"solar_w": Metric(Text("pin mặt trời", "solar panel"), "W", baseline=True)})
    assert metrics["solar_base_w"].label.en == "solar panel at commissioning"
    assert metrics["line_z_base_ohm"] == METRICS["line_z_base_ohm"]


def test_only_what_has_a_baseline_is_written_down() -> None:
    assert measured(TEST, METRICS) == {"batt_r_mohm": 24.0, "line_z_ohm": 8.0}


def test_a_test_that_measured_nothing_of_the_kind_commissions_nothing() -> None:
    with pytest.raises(ValueError, match="measured nothing"):
        baseline(replace(TEST, results={"mains_v": 220.0}), METRICS, by="Lan", note="", at=AT)


def test_commissioning_again_replaces_what_it_measured_and_leaves_the_rest() -> None:
    history = [took(2, line_z_ohm=7.0), took(1, line_z_ohm=8.0, mic_spl_db=96.0)]
    assert as_metrics(history) == {"line_z_base_ohm": 7.0, "mic_spl_base_db": 96.0}


def test_what_is_outside_the_range_of_its_model_is_shown_beside_what_was_before() -> None:
    shown = compared(TEST, METRICS, Model({"line_z_ohm": (55.0, 70.0)}), [took(0, line_z_ohm=60.0)])
    assert [(each.metric, each.fits, each.expected, each.before) for each in shown] == [
        ("batt_r_mohm", True, None, None),
        ("line_z_ohm", False, (55.0, 70.0), 60.0),
    ]


def test_a_flat_line_is_flat_and_a_rising_one_rises() -> None:
    assert (sparkline([5, 5]), sparkline([1, 8])) == ("▄▄", "▁█")


# --- as monitoring uses it ------------------------------------------------------------------------------------


async def commissioned(ward: Ward, **results: float) -> None:
    def write(tx: Tx) -> int:
        tx.put_selftests([replace(TEST, results=results)])
        return tx.selftests("c1-1")[0].id

    await ward.monitoring.commission("c1-1", await ward.store.transact(write), "Lan")


def line_state(ward: Ward) -> list[FaultState]:
    return [fault.state for fault in ward.monitoring.view()["c1-1"].faults if fault.code == "line-open"]


async def test_what_a_node_claims_to_remember_does_not_override_what_a_person_accepted() -> None:
    async with Ward() as ward:
        node = ward.speakers["c1-1"]
        await node.birth()
        await commissioned(ward, line_z_ohm=8.0)
        for _ in range(2):  # a cut line, and a node that believes it always was so
            await node.beat(line_z_ohm=400.0, line_z_base_ohm=400.0)
        assert line_state(ward) == [FaultState.OPEN]
        await ward.restart()
        await node.birth()
        await node.beat()
        assert line_state(ward) == [FaultState.OPEN], "it is remembered"


async def test_without_a_baseline_nothing_is_raised_and_the_rule_says_what_it_needs() -> None:
    async with Ward() as ward:
        node = ward.speakers["c1-1"]
        del node.metrics["line_z_base_ohm"]
        await node.birth()
        for _ in range(3):
            await node.beat(line_z_ohm=400.0)
        assert line_state(ward) == []
        assert ward.monitoring.unmeasured("c1-1")["line-open"] == ("line_z_base_ohm",)
        await commissioned(ward, line_z_ohm=400.0)
        assert "line-open" not in ward.monitoring.unmeasured("c1-1")


async def test_a_baseline_of_a_metric_that_was_declared_is_seen_by_its_rule() -> None:
    panel = rule("panel", "power", raise_when="solar_w < 0.5 * solar_base_w", raise_tests=1, clear_tests=1)
    metrics = known({"solar_w": Metric(Text("pin", "panel"), "W", baseline=True)})
    async with Ward(district(faults=(panel, LINE_OPEN), metrics=metrics)) as ward:
        node = ward.speakers["c1-1"]
        await node.birth()
        await commissioned(ward, solar_w=80.0)
        await node.beat(solar_w=20.0)
        assert [fault.code for fault in ward.monitoring.view()["c1-1"].faults] == ["panel"]


async def test_the_test_of_another_node_commissions_nothing() -> None:
    async with Ward() as ward:
        await ward.store.transact(lambda tx: tx.put_selftests([TEST]))
        with pytest.raises(KeyError, match="has no self-test 1"):
            await ward.monitoring.commission("c1-2", 1, "Lan")
