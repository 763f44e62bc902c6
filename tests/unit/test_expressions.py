"""The language of fault rules: what it says, what it refuses and where."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.domain.expressions import ExpressionError, parse

METRICS = {
    "mains_v": 221.4,
    "batt_v": 11.5,
    "src_dbfs": -20,
    "amp_vrms": 0.1,
    "sim_state": "ready",
    "spd_ok": False,
    "door": 1,
    "clock.offset_ms": -700.0,
    "clock.synced": True,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("mains_v < 90", False),
        ("mains_v > 90", True),
        ("batt_v < 11.8", True),
        ("90 > batt_v", True),
        ("src_dbfs > -40 and amp_vrms < 0.5", True),
        ("abs(clock.offset_ms) > 500", True),
        ("not clock.synced", False),
        ("clock.synced == true", True),
        ("not spd_ok", True),
        ("door", True),
        ("sim_state != 'ready'", False),
        ('sim_state == "ready"', True),
        ("batt_v * 2 + 1 > 24", False),
        ("batt_v - 1.5 == 10", True),
        ("10 - 2 - 3 == 5", True),
        ("-batt_v < 0", True),
        ("batt_v / 2 < 6", True),
        ("2 * (1 + 2) == 6", True),
        ("1 + 2 * 3 == 7", True),
        ("not (mains_v < 90 or batt_v < 11)", True),
        ("true or false and false", True),
        ("not false and true", True),
        ("mains_v < 2.5e2", True),
    ],
)
def test_says_what_it_means(text: str, truth: bool) -> None:
    assert parse(text).evaluate(METRICS) is truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("fan_rpm == 0", None),
        ("not fan_rpm == 0", None),
        ("nothing < 3", None),
        ("fan_rpm == 0 and batt_v > 100", False),
        ("batt_v > 100 and fan_rpm == 0", False),
        ("fan_rpm == 0 and batt_v < 100", None),
        ("fan_rpm == 0 or batt_v < 100", True),
        ("batt_v < 100 or fan_rpm == 0", True),
        ("fan_rpm == 0 or batt_v > 100", None),
        ("abs(fan_rpm) > 1", None),
        ("fan_rpm + 1 > 1", None),
        ("-fan_rpm < 1", None),
    ],
)
def test_what_is_not_measured_is_unknown_and_not_false(text: str, truth: bool | None) -> None:
    assert parse(text).evaluate(METRICS) is truth


@pytest.mark.parametrize(
    "text",
    [
        "sim_state > 3",
        "sim_state != 3",
        "mains_v == 'on'",
        "mains_v / 0 > 1",
        "batt_v",
        "sim_state",
        "abs(sim_state) > 1",
        "sim_state + 1 > 1",
        "mains_v * 1e308 * 1e308 > 1",
    ],
)
def test_nonsense_measurements_are_unknown_and_stop_nothing(text: str) -> None:
    assert parse(text).evaluate(METRICS) is None


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "an empty expression"),
        ("mains_v <", 10, "missing at the end"),
        ("mains_v = 3", 9, "write '=='"),
        ("mains_v < 90 and", 17, "missing at the end"),
        ("mains_v < 90 && x", 14, "write 'and'"),
        ("(mains_v < 90", 14, "')' is missing"),
        ("mains_v < 90)", 13, "unexpected ')'"),
        ("mains_v", 0, ""),
        ("3", 1, "compare it"),
        ("mains_v + 1", 1, "compare it"),
        ("batt_v < 3 and mains_v + 1", 16, "compare it"),
        ("80 < mains_v < 90", 14, "cannot be chained"),
        ("sim_state == 'ready", 14, "closing quote"),
        ("max(mains_v) > 3", 1, "unknown function 'max'"),
        ("load_w > 120 %", 14, "'%'"),
        ("mains_v < 90V", 11, "'90V'"),
        ("mains_v > 1.5.2", 11, "'1.5.2'"),
        ("a AND b", 3, "unexpected 'AND'"),
        ("AND", 1, "small letters"),
        ("(a < 1) + 2 > 1", 1, "true or false stands"),
        ("'x' + 1 > 2", 1, "a number must stand here"),
        ("__import__('os')", 1, "unknown function"),
        ("a.b.c[0] > 1", 6, "unexpected '['"),
        ("(" * 100 + "a" + ")" * 100, 42, "nested"),
        ("not " * 100 + "a", 165, "nested"),
        ("a < 1 or " * 100 + "b", 501, "longer than 500"),
    ],
)
def test_a_mistake_is_refused_with_its_column(text: str, column: int, reason: str) -> None:
    if not reason:
        assert parse(text).names == {text}
        return
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert reason in caught.value.reason
    assert caught.value.column == column


def test_names_are_the_metrics_it_looks_at() -> None:
    assert parse("a > 1 and (b.c < 2 or not d) and abs(e) == 1").names == {"a", "b.c", "d", "e"}


@settings(suppress_health_check=[HealthCheck.too_slow])  # of what a busy machine is slow to draw
@given(
    st.text(alphabet="ab01.<>=!()+-*/ '\"andortuefls", max_size=60),
    st.dictionaries(st.sampled_from("ab"), st.none() | st.booleans() | st.integers() | st.floats() | st.text()),
)
def test_no_text_and_no_measurement_does_more_than_refuse(text: str, metrics: dict[str, object]) -> None:
    """Whatever an operator writes parses or is refused; whatever a node sends is true, false or unknown."""
    try:
        expression = parse(text)
    except ExpressionError as refused:
        column = refused.column
    else:
        column = 1
        assert expression.evaluate(metrics) in (True, False, None)  # type: ignore[arg-type]
    assert 1 <= column <= len(text) + 1
