"""What a node measured when it was put into service, and what it measures in its self-tests since. Pure.

A baseline is what rules compare with: taken by a person who saw the node work, from a self-test of that moment. It
stays until somebody commissions the node again. What the node itself claims to remember counts only until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.domain.faults import Value
from controller.domain.metrics import Metric, Model, base_name


@dataclass(frozen=True, slots=True)
class Selftest:
    """One self-test as the node told of it. `parts`: component -> passed, failed or skipped; empty from nodes that tell
    of the whole only. `ordered`: id of the order, empty if the node tested itself of its own accord."""

    node: str
    at: datetime
    passed: bool
    results: Mapping[str, Value | None]
    parts: Mapping[str, str]
    ordered: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True)
class Baseline:
    """One commissioning: metric -> value as measured, from which self-test, by whom. `at` is when it was accepted."""

    node: str
    at: datetime
    by: str
    note: str
    test: int
    values: Mapping[str, float]
    id: int = 0


def in_force(history: Iterable[Baseline]) -> dict[str, Baseline]:
    """Metric -> the commissioning that measured it last; a later one without a metric leaves it as it was."""
    ordered = sorted(history, key=lambda one: (one.at, one.id))
    return {metric: one for one in ordered for metric in one.values}


def as_metrics(history: Iterable[Baseline]) -> dict[str, float]:
    """The baselines in force by the names that rules use."""
    return {base_name(metric): one.values[metric] for metric, one in in_force(history).items()}


def measured(test: Selftest, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """What of a self-test becomes a baseline: metrics that have one, measured as numbers."""
    return {
        name: float(value)
        for name, value in sorted(test.results.items())
        if name in metrics and metrics[name].baseline and isinstance(value, int | float) and not isinstance(value, bool)
    }


@dataclass(frozen=True, slots=True)
class Compared:
    """One measured value beside what is to be expected (None: nobody said) and the baseline before it (None: none)."""

    metric: str
    value: float
    expected: tuple[float, float] | None
    before: float | None

    @property
    def fits(self) -> bool:
        return self.expected is None or self.expected[0] <= self.value <= self.expected[1]


def compared(
    test: Selftest, metrics: Mapping[str, Metric], model: Model | None, history: Iterable[Baseline]
) -> tuple[Compared, ...]:
    """What commissioning with this self-test would write down."""
    before, expected = in_force(history), model.expected if model else {}
    return tuple(
        Compared(name, value, expected.get(name), before[name].values[name] if name in before else None)
        for name, value in measured(test, metrics).items()
    )


def baseline(test: Selftest, metrics: Mapping[str, Metric], *, by: str, note: str, at: datetime) -> Baseline:
    """The commissioning of a node by what it measured. ValueError: the test measured nothing that has a baseline."""
    values = measured(test, metrics)
    if not values:
        raise ValueError("that self-test measured nothing that has a baseline")
    return Baseline(test.node, at, by, note, test.id, values)
