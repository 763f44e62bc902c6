"""Fault rules over time: holds, tests, latches, what is not measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.domain.faults import TABLE, FaultRule, FaultState, Finding, Severity, after
from controller.domain.liveness import NEVER
from controller.domain.watches import Passed, Report, Watches, checks_for
from tests.health_support import (
    AMP_HOT,
    AMPLIFIER,
    BATTERY_LOW,
    CLOCK,
    LINE_OPEN,
    LINE_SHORT,
    MAINS_LOST,
    RULES,
    SECURITY,
    rule,
)

AT = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
GAP = 35.0
PASSED = Passed({}, whole=True)


def watches(*rules: FaultRule) -> Watches:
    made = Watches(checks_for(rules, "loa-sim-1"), GAP)
    made.settle_reports(0)
    return made


def state(of: Watches, code: str) -> FaultState:
    watch = of.bad.get(code)
    return FaultState.OK if watch is None else watch.state


def feed(to: Watches, *measured: tuple[float, dict[str, Any]]) -> None:
    for mono, metrics in measured:
        to.measure(metrics, mono, AT + timedelta(seconds=mono))


def every_ten(start: float, end: float, **metrics: Any) -> list[tuple[float, dict[str, Any]]]:
    return [(start + 10 * n, metrics) for n in range(int((end - start) / 10) + 1)]


@pytest.mark.parametrize("before", FaultState)
@pytest.mark.parametrize("finding", Finding)
def test_what_is_not_in_the_table_is_an_error(before: FaultState, finding: Finding) -> None:
    if (before, finding) in TABLE:
        assert after(before, finding) is TABLE[before, finding]
    else:
        with pytest.raises(ValueError, match="cannot come while"):
            after(before, finding)


def test_a_hold_ends_at_its_own_time_and_not_at_the_next_heartbeat() -> None:
    of = watches(MAINS_LOST)
    feed(of, (3, {"mains_v": 0}))
    assert of.deadline() == 13
    assert not of.due(12.9)
    assert of.due(13)
    assert state(of, "mains-lost") is FaultState.OPEN
    assert of.deadline() == NEVER


def test_a_dip_shorter_than_the_hold_opens_nothing() -> None:
    of = watches(MAINS_LOST)
    feed(of, (0, {"mains_v": 0}), (9, {"mains_v": 95}))
    assert state(of, "mains-lost") is FaultState.OK
    assert of.deadline() == NEVER


def test_between_raise_and_clear_nothing_clears() -> None:
    of = watches(MAINS_LOST)
    feed(of, *every_ten(0, 10, mains_v=0), *every_ten(20, 300, mains_v=95))
    assert state(of, "mains-lost") is FaultState.OPEN
    feed(of, *every_ten(310, 360, mains_v=220))
    assert state(of, "mains-lost") is FaultState.CLEARING
    feed(of, (361, {"mains_v": 99}), *every_ten(371, 421, mains_v=220))
    assert state(of, "mains-lost") is FaultState.CLEARING, "the hold began anew"
    feed(of, (431, {"mains_v": 220}))
    assert state(of, "mains-lost") is FaultState.OK


@pytest.mark.parametrize("missing", [{}, {"mains_v": None}, {"mains_v": "n/a"}])
def test_what_is_not_measured_neither_opens_nor_closes(missing: dict[str, Any]) -> None:
    of = watches(MAINS_LOST)
    feed(of, (0, {"mains_v": 0}), (5, missing))
    assert of.deadline() == NEVER
    feed(of, *[(mono, missing) for mono, _ in every_ten(15, 100)])
    assert state(of, "mains-lost") is FaultState.SUSPECT
    feed(of, *every_ten(110, 120, mains_v=0), (130, {"mains_v": 220}), (140, missing))
    assert of.deadline() == NEVER
    feed(of, *[(mono, missing) for mono, _ in every_ten(150, 1000)])
    assert state(of, "mains-lost") is FaultState.CLEARING


def test_silence_ends_no_hold() -> None:
    of = watches(BATTERY_LOW)
    feed(of, (0, {"batt_v": 11.0}))
    assert of.deadline() == NEVER, "a hold of 60 s needs more than one measurement"
    feed(of, *every_ten(10, 40, batt_v=11.0))
    assert of.deadline() == 60
    feed(of, (100, {"batt_v": 11.0}))
    assert state(of, "battery-low") is FaultState.SUSPECT, "for a minute nobody measured"
    feed(of, *every_ten(110, 160, batt_v=11.0))
    assert state(of, "battery-low") is FaultState.OPEN


def test_severity_rises_after_the_same_hold_and_never_falls() -> None:
    of = watches(BATTERY_LOW)
    feed(of, *every_ten(0, 60, batt_v=11.5))
    assert of.bad["battery-low"].severity is Severity.MAJOR
    feed(of, *every_ten(70, 120, batt_v=10.5), (125, {"batt_v": 11.0}), *every_ten(130, 180, batt_v=10.5))
    assert of.bad["battery-low"].severity is Severity.MAJOR
    assert of.due(190)
    assert of.bad["battery-low"].severity is Severity.CRITICAL
    feed(of, *every_ten(200, 400, batt_v=11.5))
    assert of.bad["battery-low"].severity is Severity.CRITICAL


def test_what_is_critical_from_the_start_opens_critical() -> None:
    of = watches(AMP_HOT)
    feed(of, *every_ten(0, 30, amp_temp_c=95))
    assert (state(of, "amp-hot"), of.bad["amp-hot"].severity) == (FaultState.OPEN, Severity.CRITICAL)


def test_tests_are_counted_however_far_apart_and_missing_ones_do_not_count() -> None:
    of = watches(LINE_OPEN)
    open_line, good = {"line_z_ohm": 90.0, "line_z_base_ohm": 8.0}, {"line_z_ohm": 8.0, "line_z_base_ohm": 8.0}
    feed(of, (0, open_line), (10, {"mains_v": 220}), (80_000, {"line_z_ohm": 90.0}))
    assert state(of, "line-open") is FaultState.SUSPECT
    feed(of, (86_400, open_line))
    assert state(of, "line-open") is FaultState.OPEN
    feed(of, (90_000, good), (100_000, good))
    assert state(of, "line-open") is FaultState.OPEN, "no self-test has passed"
    of.passed_selftest(PASSED, good, 170_000, AT + timedelta(days=2))
    assert state(of, "line-open") is FaultState.CLEARING
    feed(of, (260_000, good))
    assert state(of, "line-open") is FaultState.OK


def test_a_good_test_between_two_bad_ones_starts_the_count_anew() -> None:
    of = watches(LINE_OPEN)
    bad, good = {"line_z_ohm": 90.0, "line_z_base_ohm": 8.0}, {"line_z_ohm": 8.0, "line_z_base_ohm": 8.0}
    feed(of, (0, bad), (10, good), (20, bad))
    assert state(of, "line-open") is FaultState.SUSPECT


def test_a_bad_measurement_after_a_passed_selftest_latches_again() -> None:
    of = watches(AMPLIFIER)
    bad = {"amp_pilot_db": -90.0, "src_dbfs": -96.0, "amp_vrms": 0.0}
    good = {"amp_pilot_db": -30.0, "src_dbfs": -96.0, "amp_vrms": 0.0}
    feed(of, (0, bad), (10, bad))
    of.passed_selftest(PASSED, good, 20, AT + timedelta(seconds=20))
    feed(of, (25, bad), (30, good))
    assert (state(of, "amplifier"), of.bad["amplifier"].latched) == (FaultState.OPEN, True)


def test_a_person_releases_what_waits_for_a_person_and_takes_it_back() -> None:
    of = watches(LINE_SHORT)
    bad, good = {"line_z_ohm": 1.0, "line_z_base_ohm": 8.0}, {"line_z_ohm": 8.0, "line_z_base_ohm": 8.0}
    feed(of, (0, bad), (10, good))
    of.set_repaired("line-short", True)
    of.set_repaired("line-short", False)
    feed(of, (20, good))
    assert state(of, "line-short") is FaultState.OPEN
    of.set_repaired("line-short", True)
    feed(of, (30, good))
    assert state(of, "line-short") is FaultState.OK


def test_a_nodes_own_report_opens_and_its_retraction_closes() -> None:
    of = watches(CLOCK)
    assert of.report("clock", Report(Severity.CRITICAL, {"offset_ms": 9000}), 0)
    assert (of.bad["clock"].severity, of.bad["clock"].evidence) == (Severity.CRITICAL, {"offset_ms": 9000})
    assert not of.report("clock", Report(None, {"offset_ms": 9000}), 5)
    assert of.retract("clock", 10)
    assert state(of, "clock") is FaultState.OK
    with pytest.raises(KeyError):
        of.report("no-such", Report(None, {}), 0)


def test_reports_are_doubted_after_a_reconnect_until_they_had_time_to_come_again() -> None:
    of = watches(CLOCK, SECURITY)
    of.report("clock", Report(None, {}), 0)
    of.report("security", Report(None, {}), 0)
    of.doubt_reports()
    feed(of, *every_ten(10, 100))
    of.report("security", Report(None, {}), 100)
    assert {code: state(of, code) for code in ("clock", "security")} == {
        "clock": FaultState.OPEN,
        "security": FaultState.OPEN,
    }
    assert of.settle_reports(120)
    assert state(of, "clock") is FaultState.OK
    assert state(of, "security") is FaultState.OPEN


def test_a_reported_fault_that_a_restart_remembers_is_not_closed_before_reports_can_have_come() -> None:
    of = Watches(checks_for([CLOCK], "m"), GAP)
    of.restore("clock", FaultState.OPEN, Severity.MAJOR, 0, 100)
    of.doubt_reports()
    feed(of, *every_ten(100, 200))
    assert state(of, "clock") is FaultState.OPEN
    of.settle_reports(200)
    feed(of, (210, {}))
    assert state(of, "clock") is FaultState.OK


def test_a_rule_is_for_its_models_only() -> None:
    other = replace(MAINS_LOST, models=frozenset({"other"}))
    assert checks_for([other], "loa-sim-1") == {}
    assert len(checks_for([other], "other")) == 1


def test_new_rules_judge_what_old_ones_found() -> None:
    of = watches(MAINS_LOST, CLOCK)
    feed(of, *every_ten(0, 10, mains_v=85))
    of.use(checks_for([replace(MAINS_LOST, raise_when="mains_v < 50", clear_when="mains_v > 60")], "m"))
    feed(of, *every_ten(20, 80, mains_v=85))
    assert state(of, "mains-lost") is FaultState.OK
    of.use(())
    assert of.bad == {}


def test_a_technicians_own_rule_for_a_metric_nobody_heard_of_works() -> None:
    of = watches(rule("nest", "horn", raise_when="stork_n >= 1 and not relocated"))
    feed(of, (0, {"stork_n": 2, "relocated": False}))
    assert of.bad["nest"].evidence == {"relocated": False, "stork_n": 2}


def test_every_rule_at_once_keeps_to_itself() -> None:
    of = watches(*RULES)
    feed(of, *every_ten(0, 100, mains_v=0, batt_v=11.0, amp_temp_c=40))
    assert {code for code, _ in of.bad.items()} == {"mains-lost", "battery-low"}


def test_a_number_beyond_all_measure_is_unknown_and_ends_nothing() -> None:
    of = watches(rule("drop", "power", raise_when="mains_v - batt_v > 1"))
    feed(of, (0, {"mains_v": 10**400, "batt_v": 5}))
    assert of.bad == {}


# --- parts, steps, models that measure less ------------------------------------------------------------------


def test_a_mended_part_closes_though_another_failed_the_same_selftest() -> None:
    of = watches(AMPLIFIER, LINE_OPEN)
    dead = {"amp_pilot_db": -90.0, "line_z_ohm": 90.0, "line_z_base_ohm": 8.0}
    swapped = {"amp_pilot_db": -30.0, "line_z_ohm": 90.0, "line_z_base_ohm": 8.0}
    feed(of, *every_ten(0, 20, **dead))
    parts = Passed({"amplifier": True, "speaker line": False}, whole=False)
    feed(of, (30, swapped))
    of.passed_selftest(parts, swapped, 30, AT + timedelta(seconds=31))
    feed(of, *every_ten(40, 100, **swapped))
    assert (state(of, "amplifier"), state(of, "line-open")) == (FaultState.OK, FaultState.OPEN)


def test_a_part_that_was_skipped_is_not_released_by_the_whole() -> None:
    of = watches(AMPLIFIER)
    bad, good = {"amp_pilot_db": -90.0}, {"amp_pilot_db": -30.0}
    feed(of, (0, bad), (10, bad), (20, good))
    of.passed_selftest(Passed({"amplifier": False}, whole=True), good, 30, AT + timedelta(seconds=30))
    assert of.bad["amplifier"].latched


def test_a_selftest_between_raise_and_clear_releases_nothing() -> None:
    of = watches(LINE_OPEN)
    half = {"line_z_ohm": 12.0, "line_z_base_ohm": 8.0}
    feed(of, *every_ten(0, 20, line_z_ohm=90.0, line_z_base_ohm=8.0), (30, half))
    of.passed_selftest(PASSED, half, 40, AT + timedelta(seconds=40))
    assert of.bad["line-open"].latched


SIGNAL = rule(
    "signal",
    "network",
    Severity.MINOR,
    raise_when="rsrp_dbm <= -100 or sinr_db < 0",
    clear_when="rsrp_dbm > -97 and sinr_db > 2",
    major_when="assets_missing > 0",
    hold_open_s=60,
    hold_clear_s=60,
)


def test_a_minor_fault_becomes_major_after_its_hold_and_stays_so() -> None:
    of = watches(SIGNAL)
    feed(of, *every_ten(0, 60, rsrp_dbm=-110, assets_missing=0))
    assert of.bad["signal"].severity is Severity.MINOR
    feed(of, *every_ten(70, 120, rsrp_dbm=-110, assets_missing=3))
    assert of.bad["signal"].severity is Severity.MINOR
    assert of.deadline() == 130
    of.due(130)
    assert of.bad["signal"].severity is Severity.MAJOR
    feed(of, *every_ten(140, 300, rsrp_dbm=-110, assets_missing=0))
    assert of.bad["signal"].severity is Severity.MAJOR


def test_a_model_that_never_sends_a_metric_can_still_be_mended() -> None:
    of = watches(SIGNAL)
    feed(of, *every_ten(0, 60, rsrp_dbm=-110), *every_ten(70, 130, rsrp_dbm=-80))
    assert state(of, "signal") is FaultState.OK


def test_what_was_measured_while_bad_must_be_measured_good() -> None:
    of = watches(SIGNAL)
    feed(of, *every_ten(0, 60, rsrp_dbm=-110, sinr_db=-3.0), (70, {"rsrp_dbm": -110}))
    feed(of, *every_ten(80, 500, rsrp_dbm=-80))
    assert state(of, "signal") is FaultState.OPEN
