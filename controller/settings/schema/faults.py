"""faults.yaml: when a measured value is a fault, and what a technician then does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from controller.domain import centre
from controller.domain.expressions import ExpressionError, parse
from controller.domain.faults import FaultRule, Latch, Severity, Text, Visit
from controller.domain.wording import METRICS
from controller.settings import values
from controller.settings.context import Context
from controller.settings.sheet import Sheet, Steps, Strict
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import Flag, Id, Line, Many
from controller.settings.yaml_source import Map

COMMISSIONED = frozenset(
    {"batt_r_base_mohm", "line_z_base_ohm", "mic_spl_base_db", "load_rated_w", "data_quota_mb", "boots_24h"}
)
"""What nodes send beside what they measure: the values of the day they were installed, and their ratings."""

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

CONDITIONS = ("raise", "clear", "critical")
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


Metric = Annotated[str, BeforeValidator(_metric)]


class TextIn(Strict):
    vi: Line
    en: Line


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
    hold: HoldIn = HoldIn()
    latch: Annotated[Latch, BeforeValidator(values.choice(Latch, "latch"))] = Latch.NONE
    visit: Annotated[Visit, BeforeValidator(values.choice(Visit, "visit"))] = Visit.SITE
    title: TextIn
    advice: TextIn
    safety: TextIn | None = None
    parts: TextIn | None = None
    models: Many[Line] = ()
    evidence: Many[Metric] = ()
    reported: Flag = False


class FaultsIn(Strict):
    metrics: Many[Metric] = ()
    faults: tuple[Any, ...]


def read(sheet: Sheet, context: Context) -> tuple[FaultRule, ...]:
    """The rules without mistakes; the mistakes of the others are recorded."""
    sheet.read(FaultsIn, (), context)
    metrics = {*METRICS, *COMMISSIONED, *(name for name in _listed(sheet.root, "metrics") if isinstance(name, str))}
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
