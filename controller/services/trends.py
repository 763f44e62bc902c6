"""How a node's self-tests went, part by part, beside what was measured when it was commissioned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controller.domain.commissioning import Baseline, Selftest, in_force
from controller.domain.expressions import parse
from controller.domain.faults import FaultRule
from controller.domain.metrics import Metric, baselines
from controller.services import labels
from controller.services import readmodels as shape
from controller.services.readmodels import Plain


def trends(
    tests: Iterable[Selftest], history: Iterable[Baseline], rules: Sequence[FaultRule], metrics: Mapping[str, Metric]
) -> list[Plain]:
    """Each part that was tested: its verdicts, and the values measured of it with their baseline, oldest first."""
    ordered = sorted(tests, key=lambda test: (test.at, test.id))
    in_use, of_part = in_force(history), parts_of(rules)
    measured = _measured(ordered, metrics)
    parts = dict.fromkeys((*(part for test in ordered for part in test.parts), *map(of_part.get, measured)))
    return [
        {
            "part": part or "",
            "name": shape.text(labels.named(labels.COMPONENT, part)) if part else None,
            "verdicts": _verdicts(ordered, part),
            "metrics": [
                _metric(name, values, in_use.get(name), metrics)
                for name, values in measured.items()
                if of_part.get(name) == part
            ],
        }
        for part in parts
    ]


def _verdicts(tests: Iterable[Selftest], part: str | None) -> list[Plain]:
    return [{"at": shape.iso(test.at), "result": said} for test in tests if part and (said := test.parts.get(part))]


def parts_of(rules: Iterable[FaultRule]) -> dict[str, str]:
    """Metric -> the part of the first rule that judges by it."""
    found: dict[str, str] = {}
    for rule in rules:
        for name in sorted(parse(rule.raise_when).names) if rule.raise_when else ():
            found.setdefault(name, rule.component)
    return found


def _measured(tests: Iterable[Selftest], metrics: Mapping[str, Metric]) -> dict[str, list[tuple[Selftest, float]]]:
    """Numbers by metric; not the baselines that a node remembers by itself."""
    remembered = set(baselines(metrics).values())
    found: dict[str, list[tuple[Selftest, float]]] = {}
    for test in tests:
        for name, value in test.results.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in remembered:
                found.setdefault(name, []).append((test, value))
    return found


def _metric(
    name: str, values: Sequence[tuple[Selftest, float]], base: Baseline | None, metrics: Mapping[str, Metric]
) -> Plain:
    def read(value: float) -> Plain:
        (said,) = shape.evidence({name: value}, metrics)
        return {"value": value, "text": said["text"]}

    (last,) = shape.evidence({name: values[-1][1]}, metrics)
    return {
        "metric": name,
        "name": last["name"],
        "unit": last["unit"],
        "baseline": {"at": shape.iso(base.at), "by": base.by, **read(base.values[name])} if base else None,
        "values": [{"at": shape.iso(test.at), **read(value)} for test, value in values],
    }


__all__ = ["parts_of", "trends"]
