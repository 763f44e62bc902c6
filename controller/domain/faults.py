"""Fault rules and their states: one component of one node is measurably wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Value = float | int | bool | str
"""What a metric may be."""


class Severity(StrEnum):
    """Critical: people cannot be warned, or are in danger."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


class Latch(StrEnum):
    """What it takes beside good measurements to close a fault."""

    NONE = "none"
    SELFTEST = "selftest"
    PERSON = "person"


class Visit(StrEnum):
    """What kind of job the repair is."""

    CLIMB = "climb"
    SITE = "site"
    OFFICE = "office"


@dataclass(frozen=True, slots=True)
class Text:
    """A text in the two languages of the system."""

    vi: str
    en: str

    def in_language(self, language: str) -> str:
        """`language` is `vi` or `en`."""
        return self.en if language == "en" else self.vi


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One row of config/faults.yaml.

    `raise_when`, `clear_when`, `critical_when` are expressions over metrics (see domain/expressions.py);
    without `clear_when` the fault clears when `raise_when` is false. Holds are seconds; a rule with
    `raise_tests` > 0 counts consecutive measurements instead of seconds. `models` empty: all models.
    """

    code: str
    component: str
    severity: Severity
    title: Text
    advice: Text
    raise_when: str = ""
    clear_when: str = ""
    critical_when: str = ""
    hold_open_s: float = 0
    hold_clear_s: float = 0
    raise_tests: int = 0
    clear_tests: int = 0
    latch: Latch = Latch.NONE
    visit: Visit = Visit.SITE
    safety: Text | None = None
    parts: Text | None = None
    models: frozenset[str] = frozenset()
    evidence: tuple[str, ...] = ()
    """Metrics to show with the fault; those of `raise_when` are always shown."""
    reported: bool = False
    """Raised by the node's own fault report (`up/{node}/fault/{code}`), not by an expression."""


@dataclass(frozen=True, slots=True)
class FaultReading:
    """A confirmed fault or its end on one node, as the rules see it."""

    node: str
    code: str
    open: bool
    at: datetime
    severity: Severity
    evidence: Mapping[str, Value] = field(default_factory=dict)
