"""faults.yaml: when a measured value is a fault, and what a technician then does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from controller.domain import centre
from controller.domain.expressions import ExpressionError, parse
from controller.domain.faults import FaultRule, Latch, Severity, Text, Visit
from controller.domain.metrics import METRICS, Metric, Model, known
from controller.settings import values
from controller.settings.context import Context
from controller.settings.sheet import Sheet, Steps, Strict
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import Flag, Id, Line, Many
from controller.settings.yaml_source import Map

COMPONENTS = (
    "network",
    "power",
    "battery",
    "amplifier",
    "speaker line",
    "horn",
    "clock",
    "storage",
    "microphone",
    "source",
    "enclosure",
    "controller board",
    "identity",
    "service",
    "centre",
)
"""The parts of a node, the service itself, and the centre's own machine and people."""

FOUND_BY_LOA = ("link", "missed-broadcast", *centre.RULES)
"""Faults that no measurement shows; their rules give texts and severity."""

CONDITIONS = ("raise", "clear", "major", "critical")
_METRIC = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")


@dataclass(frozen=True, slots=True)
class Hold:
    """How long, or in how many tests in a row, something must be so before it counts."""

    seconds: float = 0
    tests: int = 0


def _hold(value: Any) -> Hold:
    text = values.scalar(value, "a length of time or a number of tests")
    if match := re.fullmatch(r"([1-9][0-9]?) tests?", text):
        return Hold(tests=int(match[1]))
    try:
        return Hold(seconds=values.duration("0s", "7d")(text).total_seconds())
    except ValueError as error:
        raise ValueError(str(error).replace("1h30m", "1h30m, nor a number of tests like '2 tests'", 1)) from None


def _component(value: Any) -> str:
    return values.one_of(value, COMPONENTS, "component")


def _metric(value: Any) -> str:
    text = values.scalar(value, "the name of a metric")
    if _METRIC.fullmatch(text):
        return text
    raise ValueError(f"{shown(text)} is no name of a metric like mains_v")


MetricName = Annotated[str, BeforeValidator(_metric)]


def _range(value: Any) -> tuple[float, float]:
    text = values.scalar(value, "a range like 50..75")
    low, _, high = text.partition("..")
    try:
        found = (float(low), float(high))
    except ValueError:
        raise ValueError(f"{shown(text)} is no range like 50..75") from None
    if not -1e9 <= found[0] < found[1] <= 1e9:
        raise ValueError(f"{shown(text)} is no range: the smaller number comes first")
    return found


class TextIn(Strict):
    vi: Line
    en: Line


class MetricIn(Strict):
    name: MetricName
    label: TextIn
    unit: Line = ""
    decimals: Annotated[int, BeforeValidator(values.whole(0, 6))] = 2
    baseline: Flag = False


class ModelIn(Strict):
    model: Line
    soundless_selftest: Flag = False
    expected: dict[MetricName, Annotated[tuple[float, float], BeforeValidator(_range)]] = Field(default_factory=dict)


class HoldIn(Strict):
    open: Annotated[Hold, BeforeValidator(_hold)] = Hold()
    clear: Annotated[Hold, BeforeValidator(_hold)] | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> HoldIn:
        if self.clear is not None and bool(self.open.tests) is not bool(self.clear.tests):
            if self.open == Hold():
                return self
            raise ValueError("seconds on one side and tests on the other: use one of them for both")
        return self


class RuleIn(Strict):
    code: Id
    component: Annotated[str, BeforeValidator(_component)]
    severity: Annotated[Severity, BeforeValidator(values.choice(Severity, "severity"))]
    raise_when: Line = Field(alias="raise", default="")
    clear_when: Line = Field(alias="clear", default="")
    critical_when: Line = Field(alias="critical", default="")
    major_when: Line = Field(alias="major", default="")
    hold: HoldIn = HoldIn()
    latch: Annotated[Latch, BeforeValidator(values.choice(Latch, "latch"))] = Latch.NONE
    visit: Annotated[Visit, BeforeValidator(values.choice(Visit, "visit"))] = Visit.SITE
    title: TextIn
    advice: TextIn
    safety: TextIn | None = None
    parts: TextIn | None = None
    models: Many[Line] = ()
    evidence: Many[MetricName] = ()
    reported: Flag = False


class FaultsIn(Strict):
    metrics: Many[Any] = ()
    models: tuple[Any, ...] = ()
    faults: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What faults.yaml says: the rules, everything they may look at, and what is known of hardware models."""

    faults: tuple[FaultRule, ...] = ()
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    models: Mapping[str, Model] = field(default_factory=dict)


def read(sheet: Sheet, context: Context) -> Rules:
    """The rules without mistakes; the mistakes of the others are recorded."""
    sheet.read(FaultsIn, (), context)
    metrics = known(_metrics(sheet, context))
    return Rules(_rules(sheet, context, metrics), metrics, _models(sheet, context, metrics))


def _metrics(sheet: Sheet, context: Context) -> dict[str, Metric]:
    """Metrics of the site's own hardware: a name, or a block that says how it is shown."""
    found: dict[str, Metric] = {}
    for number, entry in enumerate(_listed(sheet.root, "metrics")):
        steps = ("metrics", number) if isinstance(sheet.root["metrics"], list) else ("metrics",)
        given = sheet.read(MetricIn, steps, context) if isinstance(entry, Map) else None
        if given is not None:
            name, metric = given.name, Metric(_text(given.label), given.unit, given.decimals, given.baseline)
        elif isinstance(text := entry.get("name") if isinstance(entry, Map) else entry, str) and _METRIC.fullmatch(
            text
        ):
            name, metric = text, Metric(Text(text, text), "", 2)  # known, even if its block has mistakes
        else:
            if not isinstance(entry, Map):
                sheet.problem(steps, f"{shown(entry)} is no name of a metric like mains_v")
            continue
        if name in found:
            sheet.problem(steps, f"metric {shown(name)} is in this list already")
        found[name] = metric
    return found


def _models(sheet: Sheet, context: Context, metrics: Iterable[str]) -> dict[str, Model]:
    found: dict[str, Model] = {}
    for steps, _ in sheet.blocks("models"):
        given = sheet.read(ModelIn, steps, context)
        if given is None:
            continue
        if given.model in found:
            sheet.problem((*steps, "model"), f"model {shown(given.model)} is in this list already")
        for name in given.expected:
            if name not in metrics:
                sheet.problem((*steps, "expected", name), _unknown(name, metrics))
        found[given.model] = Model(dict(given.expected), given.soundless_selftest)
    return found


def _rules(sheet: Sheet, context: Context, metrics: Iterable[str]) -> tuple[FaultRule, ...]:
    rules: list[FaultRule] = []
    models_of: dict[str, list[tuple[frozenset[str], int]]] = {}
    for steps, block in sheet.blocks("faults"):
        _check_code(sheet, steps, block, models_of)
        _check_conditions(sheet, steps, block, metrics)
        _check_evidence(sheet, steps, block, metrics)
        given = sheet.read(RuleIn, steps, context)
        if given is not None:
            rules.append(_rule(given))
    return tuple(rules)


def _listed(block: Map, key: str) -> list[Any]:
    value = block.get(key)
    return value if isinstance(value, list) else [value] if value is not None else []


def _check_code(sheet: Sheet, steps: Steps, block: Map, models_of: dict[str, list[tuple[frozenset[str], int]]]) -> None:
    """One rule a code and model."""
    code = block.get("code")
    if not isinstance(code, str):
        return
    models = frozenset(name for name in _listed(block, "models") if isinstance(name, str))
    for others, line in models_of.setdefault(code, []):
        if not models or not others or models & others:
            message = f"fault {shown(code)} has a rule for the same model already, in line {line}"
            sheet.problem((*steps, "code"), message)
    models_of[code].append((models, sheet.place((*steps, "code")).line))


def _check_conditions(sheet: Sheet, steps: Steps, block: Map, metrics: Iterable[str]) -> None:
    reported = block.get("reported") in ("yes", "true")
    if not reported and "raise" not in block and block.get("code") not in FOUND_BY_LOA:
        sheet.problem(steps, "neither 'raise' nor 'reported: yes': this fault could never be found")
    for key in CONDITIONS:
        if isinstance(block.get(key), str):
            _check_expression(sheet, (*steps, key), block[key], metrics)


def _check_expression(sheet: Sheet, steps: Steps, text: str, metrics: Iterable[str]) -> None:
    try:
        names = parse(text).names
    except ExpressionError as error:
        sheet.problem(steps, f"{shown(text)} is no condition: {error}")
        return
    if not names:
        sheet.problem(steps, f"{shown(text)} looks at no metric: it would be the same for every node, for ever")
    for name in sorted(names - set(metrics)):
        sheet.problem(steps, _unknown(name, metrics))


def _check_evidence(sheet: Sheet, steps: Steps, block: Map, metrics: Iterable[str]) -> None:
    for number, name in enumerate(_listed(block, "evidence")):
        if isinstance(name, str) and _METRIC.fullmatch(name) and name not in metrics:
            sheet.problem((*steps, "evidence", number), _unknown(name, metrics))


def _unknown(name: str, metrics: Iterable[str]) -> str:
    hint = did_you_mean(name, metrics) or "; a metric of your own is made known under 'metrics:'"
    return f"unknown metric {shown(name)}{hint}"


def _rule(given: RuleIn) -> FaultRule:
    opened, cleared = given.hold.open, given.hold.clear or Hold(tests=given.hold.open.tests)
    return FaultRule(
        code=given.code,
        component=given.component,
        severity=given.severity,
        title=_text(given.title),
        advice=_text(given.advice),
        raise_when=given.raise_when,
        clear_when=given.clear_when,
        critical_when=given.critical_when,
        major_when=given.major_when,
        hold_open_s=opened.seconds,
        hold_clear_s=cleared.seconds,
        raise_tests=opened.tests,
        clear_tests=cleared.tests,
        latch=given.latch,
        visit=given.visit,
        safety=_text(given.safety) if given.safety else None,
        parts=_text(given.parts) if given.parts else None,
        models=frozenset(given.models),
        evidence=tuple(given.evidence),
        reported=given.reported,
    )


def _text(given: TextIn) -> Text:
    return Text(given.vi, given.en)
