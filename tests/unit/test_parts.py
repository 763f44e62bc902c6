"""Physics of a node: what breaks is seen where it would be seen, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.domain.expressions import parse
from simulators.parts import CUTOFF_V, FAULTS, IDLE, Load, Parts, UnknownFault

SPEECH = Load(src_dbfs=-21.0)
RELAY = Load(src_dbfs=-21.0, relaying=True, streaming=True)
RULES: list[dict[str, Any]] = [
    rule
    for rule in yaml.safe_load(Path("config/faults.yaml").read_text(encoding="utf-8"))["faults"]
    if rule.get("raise")
]
MEASURED = sorted({str(rule["code"]) for rule in RULES} & FAULTS.keys() - {"reboots", "clock"})
"""Codes that a node's own measurements raise; reboots are counted by the controller, the clock is
the whole node's."""


def settled(code: str | None, load: Load = SPEECH, **args: Any) -> dict[str, Any]:
    """Metrics (self-test results among them) five minutes after a fault was put into a new node."""
    parts = Parts("na-meo-01")
    parts.advance(0.0, load)
    if code is not None:
        parts.inject(code, args)
    for minute in range(1, 6):
        parts.advance(minute * 60.0, load)
    return {**parts.metrics(load), **parts.selftest().results}


def raised(metrics: dict[str, Any]) -> set[str]:
    """Codes of the shipped fault table that these metrics raise."""
    return {str(rule["code"]) for rule in RULES if parse(rule["raise"]).evaluate(metrics) is True}


def cleared(code: str, metrics: dict[str, Any]) -> bool:
    rule = next(rule for rule in RULES if rule["code"] == code)
    if "clear" in rule:
        return parse(rule["clear"]).evaluate(metrics) is True
    return parse(rule["raise"]).evaluate(metrics) is False


# --- the fault table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [IDLE, SPEECH], ids=["idle", "playing"])
def test_a_healthy_node_raises_nothing(load: Load) -> None:
    for number in range(60):
        parts = Parts(f"node-{number}")
        parts.advance(0.0, load)
        parts.advance(3600.0, load)
        assert raised({**parts.metrics(load), **parts.selftest().results}) == set()


@pytest.mark.parametrize("code", MEASURED)
def test_every_fault_raises_its_own_code_and_no_other(code: str) -> None:
    load = {"unscheduled-sound": IDLE, "relay": RELAY}.get(code, SPEECH)
    assert raised(settled(code, load)) == {code}


@pytest.mark.parametrize("code", MEASURED)
def test_mending_clears_it(code: str) -> None:
    parts = Parts("na-meo-01")
    parts.advance(0.0)
    load = RELAY if code == "relay" else IDLE
    parts.inject(code)
    parts.advance(60.0, load)
    assert parts.mend(code) == [code]
    parts.advance(600.0, load)
    assert cleared(code, {**parts.metrics(load), **parts.selftest().results})


def test_the_whole_table_can_be_put_in() -> None:
    table = {str(rule["code"]) for rule in yaml.safe_load(Path("config/faults.yaml").read_text())["faults"]}
    assert table <= FAULTS.keys()


def test_a_worse_argument_makes_it_critical() -> None:
    assert settled("battery-low", volts=3.2)["batt_v"] < 10.8
    assert settled("amp-hot", celsius=95)["amp_temp_c"] >= 90


# --- amplifier and line -----------------------------------------------------------------------------------------


def test_a_dead_amplifier_has_signal_in_and_nothing_out() -> None:
    metrics = settled("amplifier")
    assert metrics["src_dbfs"] == -21.0
    assert metrics["amp_vrms"] < 0.5
    assert metrics["amp_pilot_db"] < -60


@pytest.mark.parametrize("code", ["amplifier", "line-open", "line-short"])
def test_nothing_is_heard_when_the_way_to_the_horn_is_broken(code: str) -> None:
    parts = Parts("x")
    parts.inject(code)
    assert parts.acoustic_gain() == 0.0


def test_a_cut_line_takes_no_power_but_has_its_voltage() -> None:
    metrics = settled("line-open")
    assert metrics["load_w"] < 1
    assert metrics["amp_vrms"] > 1


def test_the_level_follows_the_volume_and_falls_with_the_amplifier() -> None:
    parts = Parts("x")
    assert parts.level_db(Load(-20)) == pytest.approx(-20)
    assert parts.level_db(Load(-26)) == pytest.approx(-26)
    parts.inject("amplifier")
    assert parts.level_db(Load(-20)) < -60


@pytest.mark.parametrize(
    "code", ["amplifier", "line-open", "line-short", "horn", "horn-silent", "earth-fault", "battery-aged"]
)
def test_a_self_test_fails_on_what_it_tests(code: str) -> None:
    parts = Parts("x")
    assert parts.selftest().passed
    parts.inject(code)
    assert not parts.selftest().passed
    parts.mend()
    assert parts.selftest().passed


# --- power ------------------------------------------------------------------------------------------------------


def discharge(parts: Parts, load: Load, *, step_s: float = 10.0, limit_s: float = 1e6) -> list[float]:
    """Voltages until the node dies."""
    volts, now = [], 0.0
    parts.advance(now, load)
    while parts.powered(load) and now < limit_s:
        now += step_s
        parts.advance(now, load)
        volts.append(parts.battery_volts(load))
    return volts


def test_without_mains_the_voltage_decays_until_the_node_dies() -> None:
    parts = Parts("x", battery_wh=1.0)
    parts.inject("mains-lost")
    volts = discharge(parts, IDLE)
    assert volts == sorted(volts, reverse=True)
    assert volts[0] > 12
    assert volts[-1] <= CUTOFF_V
    assert len(volts) * 10 == pytest.approx(1.0 / 8.0 * 3600, rel=0.1)


def test_playing_drains_it_faster() -> None:
    idle, playing = Parts("x", battery_wh=1.0), Parts("x", battery_wh=1.0)
    for parts in (idle, playing):
        parts.inject("mains-lost")
    assert len(discharge(playing, Load(-10))) < len(discharge(idle, IDLE))


def test_mains_charge_it_again() -> None:
    parts = Parts("x", battery_wh=1.0)
    parts.inject("mains-lost")
    discharge(parts, IDLE)
    parts.mend("mains-lost")
    assert parts.powered()
    empty = parts.charge
    parts.advance(1e5)
    assert parts.charge > empty


def test_what_is_switched_off_drains_nothing() -> None:
    parts = Parts("x")
    parts.inject("mains-lost")
    parts.advance(0.0)
    parts.advance(36_000.0, running=False)
    assert parts.charge == 1.0


# --- control ----------------------------------------------------------------------------------------------------


def test_two_nodes_of_one_name_measure_alike_and_of_two_names_do_not() -> None:
    assert Parts("a").metrics(IDLE) == Parts("a").metrics(IDLE)
    assert Parts("a").metrics(IDLE) != Parts("b").metrics(IDLE)


@pytest.mark.parametrize(
    ("code", "args", "message"),
    [
        ("amplifire", {}, r"unknown fault 'amplifire' \(did you mean 'amplifier'\?\)"),
        ("mains-high", {"volt": 270}, r"takes no 'volt' \(did you mean 'volts'\?\)"),
        ("mains-high", {"volts": "many"}, r"'volts' of fault 'mains-high' is wanted as a number, not 'many'"),
        ("amp-hot", {"celsius": True}, r"'celsius' of fault 'amp-hot' is wanted as a number, not True"),
        ("link", {"silent": 5}, r"'silent' of fault 'link' is wanted as yes or no, not 5"),
        ("sim", {"days": None}, r"'days' of fault 'sim' is wanted as a number, not None"),
    ],
)
def test_a_mistake_is_explained(code: str, args: dict[str, Any], message: str) -> None:
    parts = Parts("x")
    with pytest.raises(UnknownFault, match=message):
        parts.inject(code, args)
    assert parts.faults == {}
