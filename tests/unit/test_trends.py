"""How a node's self-tests went: by part, oldest first, beside the baseline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controller.domain.commissioning import Baseline, Selftest
from controller.domain.metrics import METRICS
from controller.services.trends import parts_of, trends
from controller.web.trend import HEIGHT, WIDTH, line
from tests.health_support import rule

T0 = datetime(2026, 11, 23, 2, tzinfo=UTC)
LINE = rule("line-open", "speaker line", raise_when="line_z_ohm > 2 * line_z_base_ohm")
AMP = rule("amplifier", "amplifier", raise_when="amp_pilot_db < -60")


def a_test(day: int, z: float | None, verdict: str = "passed") -> Selftest:
    results = {"line_z_ohm": z, "amp_pilot_db": -30.0, "line_z_base_ohm": 9.9, "fan_ok": True}
    return Selftest("n", T0 + timedelta(days=day), verdict == "passed", results, {"speaker line": verdict}, id=day + 1)


def test_each_part_has_its_verdicts_and_its_values_beside_the_baseline() -> None:
    base = Baseline("n", T0, "Hùng", "", 1, {"line_z_ohm": 8.1})
    found = trends([a_test(2, 16.0, "failed"), a_test(1, None), a_test(0, 8.0)], [base], (LINE, AMP), METRICS)
    assert [part["part"] for part in found] == ["speaker line", "amplifier"]
    speaker_line, amplifier = found
    assert [each["result"] for each in speaker_line["verdicts"]] == ["passed", "passed", "failed"]
    (metric,) = speaker_line["metrics"]
    assert [each["value"] for each in metric["values"]] == [8.0, 16.0], "what was not measured is no value"
    assert (metric["baseline"]["value"], metric["baseline"]["by"]) == (8.1, "Hùng")
    assert metric["baseline"]["text"]["vi"] == "8,1 Ω"
    assert [each["metric"] for each in amplifier["metrics"]] == ["amp_pilot_db"]
    assert amplifier["metrics"][0]["baseline"] is None


def test_a_metric_belongs_to_the_part_that_is_judged_by_it_first() -> None:
    later = rule("horn", "horn", raise_when="line_z_ohm > 9")
    assert parts_of((LINE, later)) == {"line_z_ohm": "speaker line", "line_z_base_ohm": "speaker line"}


def test_a_drawing_stays_within_its_frame_and_noise_is_flat() -> None:
    for values, base in (([8.0], None), ([8.0, 8.1, 7.9], 8.0), ([0.0, 0.0], 0.0), ([-30.0, 500.0, 2.0], 10.0)):
        drawn = line(values, base)
        dots = [tuple(map(float, each.split(","))) for each in drawn.points.split()]
        assert len(dots) == len(values)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in dots)
        assert (drawn.base is None) == (base is None)
    heights = [float(each.split(",")[1]) for each in line([8.0, 8.1, 7.9], 8.0).points.split()]
    assert max(heights) - min(heights) < HEIGHT / 3
