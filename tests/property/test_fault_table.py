"""The whole shipped fault table under random measurements: what nobody measured opens and closes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.expressions import parse
from controller.domain.faults import CONFIRMED, Latch
from controller.domain.watches import Report, Watches, checks_for
from controller.settings import load

RULES = load(Path("config")).faults
CHECKS = checks_for(RULES, "loa-sim-1")
NAMES = sorted({name for rule in RULES if rule.raise_when for name in parse(rule.raise_when).names})
REPORTED = sorted(rule.code for rule in RULES if rule.reported)
AT = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
GAP = 35.0

VALUES = st.one_of(st.none(), st.booleans(), st.sampled_from(["ready", "locked"]), st.floats(-200, 3000))
MEASURED = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12)
STREAM = st.lists(st.tuples(st.floats(0.1, 7200), MEASURED), max_size=12)


def fed(stream: list[tuple[float, dict[str, Any]]], clock: list[int] | None = None) -> tuple[Watches, float]:
    made, mono = Watches(CHECKS, GAP), 0.0
    made.settle_reports(0)
    for number, (after, metrics) in enumerate(stream):
        mono += after
        made.due(mono)
        step = timedelta(hours=clock[number % len(clock)]) if clock else timedelta()
        made.measure(metrics, mono, AT + timedelta(seconds=mono) + step)
    return made, mono


def confirmed(of: Watches) -> dict[str, str]:
    return {code: watch.severity.value for code, watch in of.bad.items() if watch.state in CONFIRMED}


@given(STREAM, st.lists(st.floats(0.1, 100_000), max_size=8))
def test_once_nothing_is_measured_nothing_opens_and_nothing_closes(
    stream: list[tuple[float, dict[str, Any]]], pauses: list[float]
) -> None:
    of, mono = fed(stream)
    of.measure(dict.fromkeys(NAMES), mono, AT)
    before = confirmed(of)
    for pause in pauses:
        mono += pause
        of.due(mono)
        of.measure(dict.fromkeys(NAMES), mono, AT)
        assert confirmed(of) == before


@given(STREAM)
def test_what_is_open_was_really_measured_bad(stream: list[tuple[float, dict[str, Any]]]) -> None:
    of, _ = fed(stream)
    for code in confirmed(of):
        raises = CHECKS[code].raises
        assert raises is not None
        assert any(raises(metrics) for _, metrics in stream)


@given(STREAM, st.lists(st.integers(-1, 1), min_size=1, max_size=6))
def test_a_clock_that_steps_an_hour_changes_nothing(
    stream: list[tuple[float, dict[str, Any]]], steps: list[int]
) -> None:
    assert confirmed(fed(stream)[0]) == confirmed(fed(stream, steps)[0])


@given(st.permutations(REPORTED), st.permutations(REPORTED))
def test_reports_in_any_order_and_repeated_come_to_the_same(one: list[str], other: list[str]) -> None:
    def told(order: list[str]) -> dict[str, str]:
        of = Watches(CHECKS, GAP)
        of.settle_reports(0)
        for code in [*order, *order[:2]]:
            of.report(code, Report(None, {}), 1.0)
        of.due(1e6)
        return confirmed(of)

    assert told(one) == told(other)


@given(STREAM)
def test_what_a_person_must_release_no_measurement_ends(stream: list[tuple[float, dict[str, Any]]]) -> None:
    of, mono = fed(stream)
    latched = {code for code in confirmed(of) if CHECKS[code].rule.latch is Latch.PERSON}
    for _ in range(3):
        mono += 30
        of.measure(dict.fromkeys(NAMES, 100.0), mono, AT)
        of.due(mono)
    assert latched <= confirmed(of).keys()
