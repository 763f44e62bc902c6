"""Fault rules and the states they lead to: one component of one node is measurably wrong.

    ok --bad--> suspect --bad for the whole hold--> open --good--> clearing --good for the whole hold--> ok
                  '--good--> ok                      ^---bad---------'

The logic that walks this table is in domain/watches.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    `raise_when`, `clear_when`, `major_when`, `critical_when` are expressions over metrics (domain/expressions.py);
    without `clear_when` the fault clears when `raise_when` is false. With it, what is neither raises nor
    clears: that is the hysteresis. Holds are seconds during which every measurement must agree; with
    `raise_tests` (`clear_tests`) > 0 that many consecutive measurements are counted instead. What is not
    measured, so that an expression is unknown, neither opens nor closes. `models` empty: all models.

    Metrics are those of the heartbeat or of a self-test, and what the controller adds (ADDED).

    `major_when` and `critical_when` make an open fault so severe after the same hold; severity never falls while
    it is open. `latch`: what it takes beside good measurements to clear: nothing, a self-test that this component
    passed since the last bad measurement, or a person's word that it is repaired. A rule with neither `raise_when`
    nor `reported` (`link`) is never raised from measurements: it gives its texts and severity to what is found
    elsewhere.
    """

    code: str
    component: str
    severity: Severity
    title: Text
    advice: Text
    raise_when: str = ""
    clear_when: str = ""
    critical_when: str = ""
    major_when: str = ""
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


ADDED = frozenset({"clock.synced", "clock.offset_ms", "boots_24h", "assets_missing", "sound_due"})
"""Metrics that are not among a heartbeat's `metrics`: of its `clock`, boots seen in the last 24 hours, how much of the
audio it should hold is still to come, and whether something may sound by the plan and the emergencies."""


class FaultState(StrEnum):
    """Where one rule stands on one node."""

    OK = "ok"
    SUSPECT = "suspect"
    OPEN = "open"
    CLEARING = "clearing"


CONFIRMED = frozenset({FaultState.OPEN, FaultState.CLEARING})
"""States in which the fault counts as there."""


class Finding(StrEnum):
    """What a measurement, or the time since, says of a fault."""

    BAD = "bad"
    GOOD = "good"
    HELD = "held"
    """All that was measured agreed for the whole hold."""


TABLE: Mapping[tuple[FaultState, Finding], FaultState] = {
    (FaultState.OK, Finding.BAD): FaultState.SUSPECT,
    (FaultState.OK, Finding.GOOD): FaultState.OK,
    (FaultState.SUSPECT, Finding.BAD): FaultState.SUSPECT,
    (FaultState.SUSPECT, Finding.GOOD): FaultState.OK,
    (FaultState.SUSPECT, Finding.HELD): FaultState.OPEN,
    (FaultState.OPEN, Finding.BAD): FaultState.OPEN,
    (FaultState.OPEN, Finding.GOOD): FaultState.CLEARING,
    (FaultState.CLEARING, Finding.BAD): FaultState.OPEN,
    (FaultState.CLEARING, Finding.GOOD): FaultState.CLEARING,
    (FaultState.CLEARING, Finding.HELD): FaultState.OK,
}


def after(state: FaultState, finding: Finding) -> FaultState:
    """The state that follows; ValueError for a finding that cannot come in `state`."""
    try:
        return TABLE[state, finding]
    except KeyError:
        raise ValueError(f"{finding.value} cannot come while {state.value}") from None


RANK: Mapping[Severity, int] = {Severity.MINOR: 0, Severity.MAJOR: 1, Severity.CRITICAL: 2}


def worse(one: Severity, other: Severity) -> Severity:
    """The more severe of two."""
    return one if RANK[one] >= RANK[other] else other


@dataclass(frozen=True, slots=True)
class Condition:
    """One confirmed fault of one node as it stands. Times are monotonic seconds.

    `since` is when it began (for silence: when the node was last heard), `seen` when it was last measured bad.
    `clearing`: measurements are good again but not for long enough. `stale`: nothing measures it now.
    """

    node: str
    code: str
    component: str
    severity: Severity
    since: float
    seen: float
    clearing: bool = False
    stale: bool = False
    evidence: Mapping[str, Value] = field(default_factory=dict)
