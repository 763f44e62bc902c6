"""All fault rules on one node: measurements and reports in, confirmed faults out.

Every hold runs from the measurement that began it, over measurements that agree and come at most `gap_s` apart;
a longer gap, or a measurement that is missing, starts it anew, so that what nobody measured neither opens nor
closes anything. A hold ends at its own time, not at the next heartbeat: `deadline` says when to call `due`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controller.domain.expressions import And, Clause, Evaluator, Or, clauses, parse
from controller.domain.faults import (
    CONFIRMED,
    RANK,
    FaultRule,
    FaultState,
    Finding,
    Latch,
    Severity,
    Value,
    after,
    worse,
)
from controller.domain.functional import MISSED_BROADCAST
from controller.domain.liveness import NEVER
from controller.domain.metrics import missing

Measured = Mapping[str, Value | None]

JUDGED = frozenset({MISSED_BROADCAST})
"""Faults that are found by other means than measurements, and end by them."""


@dataclass(frozen=True, slots=True)
class Check:
    """A rule with its expressions ready to run. `raises_any`: the alternatives of which one is enough to raise it.
    `clears_all`: what must all be so to clear it, if it says so. `steps`: conditions for a higher severity, the
    highest first. `shown`: the metrics that are its evidence; those of both conditions are among them."""

    rule: FaultRule
    raises: Evaluator | None
    judged: bool
    """Found by Loa itself (`judged`): no measurement and no report says anything of it."""
    raises_any: tuple[Clause, ...]
    clears_all: tuple[Clause, ...]
    steps: tuple[tuple[Severity, Evaluator], ...]
    shown: tuple[str, ...]


def checks_for(rules: Iterable[FaultRule], model: str) -> Mapping[str, Check]:
    """The rules that can be raised on a node of `model`, by code; all its nodes share them. ExpressionError for one
    that does not parse."""
    wanted = (rule for rule in rules if not rule.models or model in rule.models)
    return {rule.code: _check(rule) for rule in wanted if rule.raise_when or rule.reported or rule.code in JUDGED}


def _check(rule: FaultRule) -> Check:
    raises = parse(rule.raise_when) if rule.raise_when else None
    clears_all = clauses(rule.clear_when, And) if rule.clear_when else ()
    steps = ((Severity.CRITICAL, rule.critical_when), (Severity.MAJOR, rule.major_when))
    named = (*sorted(raises.names if raises else ()), *sorted(name for clause in clears_all for name in clause.names))
    return Check(
        rule,
        raises.evaluate if raises else None,
        not rule.raise_when and not rule.reported,
        clauses(rule.raise_when, Or) if rule.raise_when else (),
        clears_all,
        tuple((severity, parse(text).evaluate) for severity, text in steps if text),
        tuple(dict.fromkeys([*named, *rule.evidence])),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """A node's own word that a component is broken; it stands until the node takes it back."""

    severity: Severity | None
    evidence: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Passed:
    """What a self-test says: the verdict of each part that was tested by itself, and of the whole."""

    parts: Mapping[str, bool]
    whole: bool

    def by(self, component: str) -> bool:
        """Whether it clears this component. Old nodes tell of the whole only; a part that was not told of by
        itself passes with the whole."""
        return self.parts.get(component, self.whole)


@dataclass(slots=True)
class Watch:
    """One rule on one node while it is not ok. Times are monotonic seconds."""

    check: Check
    state: FaultState
    began: float
    """When the fault began: the first bad measurement."""
    severity: Severity
    run_from: float
    """Since when measurements agree."""
    last: float
    """The last measurement that said anything."""
    bad_seen: float
    """The last bad measurement."""
    count: int = 1
    sure: bool = True
    """The last measurement was not missing."""
    steps_from: dict[Severity, float] = field(default_factory=dict)
    """Since when what makes it so severe is true."""
    latched: bool = False
    passed: bool = False
    bad_at: datetime | None = None
    """The last bad measurement by the node's own clock."""
    evidence: Mapping[str, Value] = field(default_factory=dict)
    """The last bad value of everything that was measured while it was bad."""


class Watches:
    """The rules of one node. Only what is not ok takes memory."""

    __slots__ = ("_checks", "_gap_s", "_reports", "_unconfirmed", "bad")

    def __init__(self, checks: Mapping[str, Check], gap_s: float) -> None:
        self._gap_s = gap_s
        self._reports: dict[str, Report] = {}
        self._unconfirmed: set[str] | None = set()
        self.bad: dict[str, Watch] = {}
        self.use(checks)

    def use(self, checks: Mapping[str, Check]) -> None:
        """Judge by other rules from now on; what an old rule found is kept if the new ones have its code."""
        self._checks = checks
        for code, watch in list(self.bad.items()):
            if code in self._checks:
                watch.check = self._checks[code]
            else:
                del self.bad[code]

    def restore(self, code: str, state: FaultState, severity: Severity, began: float, mono: float) -> Watch:
        """Put back what was known before a restart. KeyError for a code that is not among the rules."""
        watch = Watch(self._checks[code], state, began, severity, run_from=mono, last=-NEVER, bad_seen=began)
        self.bad[code] = watch
        return watch

    def check(self, code: str) -> Check | None:
        """The rule of this code, if the node has it."""
        return self._checks.get(code)

    def unmeasured(self, metrics: Measured) -> dict[str, tuple[str, ...]]:
        """Codes of the rules of which these metrics say neither yes nor no, with what is missing to say it."""
        unknown = (
            check for check in self._checks.values() if check.raises is not None and check.raises(metrics) is None
        )
        return {
            check.rule.code: missing(parse(check.rule.raise_when).names, metrics)
            for check in unknown
            if check.rule.code not in self.bad and check.rule.code not in self._reports
        }

    # --- what comes in --------------------------------------------------------------------------------------

    def measure(self, metrics: Measured, mono: float, at: datetime | None = None) -> bool:
        """Judge every rule by one set of measurements; whether a confirmed fault came, went or changed."""
        changed = False
        bad, reports = self.bad, self._reports
        for code, check in self._checks.items():
            if code in bad or code in reports or (check.raises is not None and check.raises(metrics)):
                changed |= self._judge(check, metrics, mono, at)
        return changed

    def report(self, code: str, report: Report, mono: float, at: datetime | None = None) -> bool:
        """The node's own fault report; whether anything confirmed changed. KeyError for an unknown code."""
        check = self._checks[code]
        if self._unconfirmed is not None:
            self._unconfirmed.discard(code)
        self._reports[code] = report
        return self._judge(check, report.evidence, mono, at)

    def retract(self, code: str, mono: float) -> bool:
        """The node took its report back. KeyError for an unknown code."""
        check = self._checks[code]
        self._reports.pop(code, None)
        if self._unconfirmed is not None:
            self._unconfirmed.discard(code)
        return check.raises is None and code in self.bad and self._found(check, Finding.GOOD, {}, mono, None)

    def struck(self, code: str, evidence: Mapping[str, Value], mono: float) -> bool:
        """Something wrong that was seen once and stands by itself (a refused signature)."""
        return self._found(self._checks[code], Finding.BAD, evidence, mono, None)

    def judged(self, code: str, bad: bool, severity: Severity, evidence: Mapping[str, Value], mono: float) -> bool:
        """What was found by other means, for good or bad; whether anything confirmed changed."""
        check = self._checks.get(code)
        if check is None:
            return False
        changed = self._found(check, Finding.BAD if bad else Finding.GOOD, evidence, mono, None)
        watch = self.bad.get(code)
        if bad and watch is not None and watch.severity is not (worst := worse(watch.severity, severity)):
            watch.severity, changed = worst, True
        return changed

    def passed_selftest(self, passed: Passed, results: Measured, mono: float, at: datetime) -> bool:
        """A self-test that some parts passed: it releases what waits for one of those and counts as a good
        measurement, unless it is older than the last bad measurement or its results are bad themselves.
        `at` is the node's clock."""
        changed = False
        for watch in list(self.bad.values()):
            check = watch.check
            if not watch.latched or check.rule.latch is not Latch.SELFTEST or not passed.by(check.rule.component):
                continue
            if watch.bad_at is not None and at < watch.bad_at:
                continue
            if self._finding(check, results) is Finding.BAD:
                continue
            watch.latched, watch.passed = False, True
            changed |= self._found(check, Finding.GOOD, results, mono, at)
        return changed

    def set_repaired(self, code: str, repaired: bool) -> None:
        """A person says that it is repaired, or that word turned out not to be true."""
        watch = self.bad.get(code)
        if watch is not None and watch.check.rule.latch is Latch.PERSON:
            watch.latched = not repaired

    # --- reports across a reconnect -------------------------------------------------------------------------

    def doubt_reports(self) -> None:
        """The connection was away: reports that stand come again (they are retained), others were taken back."""
        self._unconfirmed = set(self._reports)

    def settle_reports(self, mono: float) -> bool:
        """Every standing report has come by now; whether anything confirmed changed."""
        if self._unconfirmed is None:
            return False
        gone, self._unconfirmed = self._unconfirmed, None
        changed = False
        for code in gone & self._checks.keys():
            changed |= self.retract(code, mono)
        return changed

    # --- judging --------------------------------------------------------------------------------------------

    def _judge(self, check: Check, metrics: Measured, mono: float, at: datetime | None) -> bool:
        finding = self._finding(check, metrics)
        watch = self.bad.get(check.rule.code)
        if finding is not None:
            report = self._reports.get(check.rule.code)
            shown = report.evidence if report and check.raises is None else metrics
            return self._found(check, finding, shown, mono, at)
        if watch is not None:
            watch.sure = False
        return False

    def _finding(self, check: Check, metrics: Measured) -> Finding | None:
        code = check.rule.code
        if code in self._reports:
            return Finding.BAD
        if check.judged:
            return None
        if check.raises is None:
            return Finding.GOOD if self._unconfirmed is None else None
        raised = check.raises(metrics)
        if raised:
            return Finding.BAD
        watch = self.bad.get(code)
        if watch is None:
            return None if raised is None else Finding.GOOD
        if not check.clears_all or watch.state not in CONFIRMED:
            # It was raised and is no longer, as far as what was bad is still measured.
            return Finding.GOOD if _all(False, check.raises_any, metrics, watch.evidence) else None
        cleared = _all(True, check.clears_all, metrics, watch.evidence)
        return None if cleared is None else Finding.GOOD if cleared else Finding.BAD

    def _found(self, check: Check, finding: Finding, metrics: Measured, mono: float, at: datetime | None) -> bool:
        watch = self.bad.get(check.rule.code)
        if watch is None:
            if finding is Finding.GOOD:
                return False
            watch = self._begin(check, mono)
        elif (mono - watch.last > self._gap_s or not watch.sure) and not watch.passed:
            watch.run_from, watch.steps_from = mono, {}
        watch.last, watch.sure = mono, True
        if finding is Finding.BAD:
            self._note_bad(watch, metrics, mono, at)
        elif watch.latched:
            return False
        return self._step(watch, finding, mono)

    def _note_bad(self, watch: Watch, metrics: Measured, mono: float, at: datetime | None) -> None:
        watch.bad_seen = mono
        watch.bad_at = at or watch.bad_at
        watch.evidence = {**watch.evidence, **_evidence(watch.check, metrics)}
        if watch.state in CONFIRMED and watch.check.rule.latch is Latch.SELFTEST:
            watch.latched, watch.passed = True, False
        self._note_steps(watch, metrics, mono)

    def _begin(self, check: Check, mono: float) -> Watch:
        report = self._reports.get(check.rule.code)
        severity = (report and report.severity) or check.rule.severity
        watch = Watch(check, FaultState.OK, mono, severity, mono, mono, mono, count=0)
        self.bad[check.rule.code] = watch
        return watch

    def _step(self, watch: Watch, finding: Finding, mono: float) -> bool:
        before, severity = watch.state, watch.severity
        self._enter(watch, finding, mono)
        watch.count += 1
        if self._hold_is_over(watch, mono):
            self._enter(watch, Finding.HELD, mono)
        if watch.state is FaultState.OPEN:
            self._worsen(watch, mono)
        return _confirmed(before) is not _confirmed(watch.state) or watch.severity is not severity

    def _enter(self, watch: Watch, finding: Finding, mono: float) -> None:
        state = after(watch.state, finding)
        if state is watch.state:
            return
        if finding is not Finding.HELD:
            watch.run_from, watch.count = mono, 0
        watch.state = state
        if state is FaultState.OPEN and watch.check.rule.latch is not Latch.NONE:
            watch.latched, watch.passed = True, False
        if state is FaultState.OK:
            del self.bad[watch.check.rule.code]

    def _hold_is_over(self, watch: Watch, mono: float) -> bool:
        rule = watch.check.rule
        match watch.state:
            case FaultState.SUSPECT:
                tests, hold = rule.raise_tests, rule.hold_open_s
            case FaultState.CLEARING:
                tests, hold = rule.clear_tests, rule.hold_clear_s
            case _:
                return False
        return watch.count >= tests if tests else mono - watch.run_from >= hold

    def _note_steps(self, watch: Watch, metrics: Measured, mono: float) -> None:
        for severity, is_so in watch.check.steps:
            truth = is_so(metrics)
            if truth:
                watch.steps_from.setdefault(severity, mono)
            elif truth is False:
                watch.steps_from.pop(severity, None)
        report = self._reports.get(watch.check.rule.code)
        if report is not None and report.severity is not None:
            watch.severity = worse(watch.severity, report.severity)

    def _worsen(self, watch: Watch, mono: float) -> None:
        """As severe as what has been true for the whole hold makes it."""
        rule = watch.check.rule
        for severity, since in watch.steps_from.items():
            # summed as `_hold_ends` sums it: with the difference, rounding can say that a hold which has ended has not
            if rule.raise_tests or since + rule.hold_open_s <= mono:
                watch.severity = worse(watch.severity, severity)

    # --- time -----------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When a hold ends if nothing more is measured; NEVER if a measurement has to come first."""
        return min((self._hold_ends(watch) for watch in self.bad.values()), default=NEVER)

    def due(self, mono: float) -> bool:
        """Judge the holds that ended by `mono`; whether anything confirmed changed."""
        changed = False
        for watch in list(self.bad.values()):
            while self._hold_ends(watch) <= mono:
                changed = True
                if watch.state is FaultState.OPEN:
                    self._worsen(watch, mono)
                else:
                    self._enter(watch, Finding.HELD, mono)
        return changed

    def _hold_ends(self, watch: Watch) -> float:
        rule = watch.check.rule
        match watch.state:
            case FaultState.SUSPECT if not rule.raise_tests:
                end = watch.run_from + rule.hold_open_s
            case FaultState.CLEARING if not rule.clear_tests:
                end = watch.run_from + rule.hold_clear_s
            case FaultState.OPEN:
                end = min((since for since in _worse_steps(watch)), default=NEVER) + rule.hold_open_s
            case _:
                return NEVER
        told = watch.passed or (watch.sure and end <= watch.last + self._gap_s)
        return end if told else NEVER


def _worse_steps(watch: Watch) -> Iterable[float]:
    return (since for severity, since in watch.steps_from.items() if RANK[severity] > RANK[watch.severity])


def _all(wanted: bool, of: Iterable[Clause], metrics: Measured, was: Collection[str]) -> bool | None:
    """Whether all of these conditions are (are not) so. A condition on what was not measured while the fault was bad
    and is not measured now is left out: it was not what was bad, and no such model could ever clear it."""
    truths = [(clause.evaluate(metrics), clause.names) for clause in of]
    told = [truth for truth, names in truths if truth is not None or not names.isdisjoint(was)]
    if (not wanted) in told:
        return False
    return None if None in told or not told else True


def _confirmed(state: FaultState) -> FaultState | None:
    return state if state in CONFIRMED else None


def _evidence(check: Check, metrics: Measured) -> dict[str, Value]:
    names = check.shown if check.raises is not None else tuple(metrics)
    return {name: value for name in names if (value := metrics.get(name)) is not None}
