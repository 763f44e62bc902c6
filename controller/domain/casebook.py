"""From what is wrong now to incidents: which open, close, explain one another, and what is told when.

`reconcile` compares the confirmed state of the network with the incidents that exist and says what changes. It
looks at states only, so the order of reports does not matter, a repeated call changes nothing, and a call
that was lost in a crash is made good by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from controller.domain import canary, incidents
from controller.domain.centre import CentreCondition
from controller.domain.climb import Climb, climbed, difference, next_word, put_off, told
from controller.domain.correlation import (
    BATTERY_LOW,
    BROKER,
    CENTRE,
    EXPLAINS,
    GROUP_EXPLAINS,
    LINK,
    MAINS_LOST,
    MISSED,
    MISSED_TOGETHER,
    NODE,
    POWER,
    SCOPE_ORDER,
    WINDOW_S,
    Outage,
    Shared,
    Trouble,
    holds,
    outages,
)
from controller.domain.duty import next_change
from controller.domain.escalation import AlertSettings, Transition
from controller.domain.faults import RANK, Condition, Severity
from controller.domain.hush import Hush, hushed_by, next_edge
from controller.domain.incidents import OPEN_STATES, RELAPSE, VERIFY_WITHIN, Incident, IncidentState, Unrest
from controller.domain.liveness import NEVER

Key = tuple[str, str, str]
"""Scope, subject, cause."""

URGENT_S = 30 * 60
"""A broadcast that is due within this makes silence critical."""
LOOK_AGAIN_S = 30.0
"""A child whose parent is gone waits for fresh evidence; how often that is looked for."""


@dataclass(frozen=True, slots=True)
class Now:
    """One instant on both clocks: `wall` is for people, `mono` decides."""

    wall: datetime
    mono: float


@dataclass(frozen=True, slots=True)
class Case:
    """An incident and what is remembered with it. Times are monotonic seconds, NEVER if there is none.

    `present`: its fault is confirmed now (a flapping incident stays open without). `announce`: its first
    message may go then. `fresh_after`: it must be measured again after this before it is told.
    `weak_from`: since when a shared fault has had less than its share of nodes.
    """

    incident: Incident
    present: bool = True
    announce: float = NEVER
    fresh_after: float = -NEVER
    unrest: Unrest = field(default_factory=Unrest)
    closed: float = NEVER
    weak_from: float = NEVER
    verify: float = NEVER
    climb: Climb = field(default_factory=Climb)

    @property
    def key(self) -> Key:
        return (self.incident.scope, self.incident.subject, self.incident.cause)

    @property
    def open(self) -> bool:
        return self.incident.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Scene:
    """What is wrong now, and where things are.

    `conditions` by (node, code). `places`: node -> commune, of all that are configured. `unheard`: nodes whose
    will stands and that answered no ping: their silence is certain. The waits come from `alerts`. `centre`: its own
    faults by code, None for one that was looked for and is not there; of others nothing is known.
    """

    conditions: Mapping[tuple[str, str], Condition]
    trouble: Trouble
    shared: Sequence[Shared]
    places: Mapping[str, str]
    unheard: frozenset[str]
    alerts: AlertSettings
    centre: Mapping[str, CentreCondition | None] = field(default_factory=dict)
    hushes: tuple[Hush, ...] = ()
    """Silences and maintenance windows, in whose time zone `zone` is."""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))


class Ledger(Protocol):
    """What must be looked up or written while deciding."""

    def new(self, incident: Incident) -> Incident:
        """Give it an id."""

    def previous(self, key: Key) -> int | None:
        """The incident of the same kind that was closed within REPEAT, if there is one."""

    def due_in_s(self, nodes: Iterable[str]) -> float | None:
        """Seconds until the next broadcast on any of `nodes` (<= 0: on air); None if none is near."""

    def repair_due_in_s(self, incident: Incident) -> float:
        """Seconds until the repair of `incident` is overdue; <= 0 if it is."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that became true of an incident. `tell`: people are told of it."""

    incident: int
    transition: str
    reason: str
    tell: Transition | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cases as they are now, and what changed. Cases that are long over are left out."""

    cases: Mapping[Key, Case]
    changes: tuple[Change, ...]
    look_again: float = NEVER

    def deadline(self) -> float:
        """When to reconcile again if nothing else happens."""
        return min((self.look_again, *(_next(case) for case in self.cases.values())))


def reconcile(cases: Mapping[Key, Case], scene: Scene, ledger: Ledger, now: Now) -> Outcome:
    """Bring the incidents in line with what is wrong now."""
    work = _Reconciliation(dict(cases), scene, ledger, now)
    work.shared_faults()
    work.centre_faults()
    work.node_faults()
    work.parents()
    work.times()
    work.tell()
    return Outcome(work.remembered(), tuple(work.changes), work.look_again())


def _next(case: Case) -> float:
    if not case.open:
        return NEVER
    waits = not case.incident.announced and case.incident.parent is None
    announce = case.announce if waits and case.incident.state is not IncidentState.RECOVERING else NEVER
    calm = case.unrest.calm_at() if case.unrest.flapping else NEVER
    verify = case.verify if case.incident.state is IncidentState.REPAIRED else NEVER
    climbs = case.climb.told is not None and case.incident.announced
    climb = case.climb.due if climbs and case.incident.state is not IncidentState.RECOVERING else NEVER
    return min(announce, calm, verify, case.weak_from + WINDOW_S, climb)


def _scope_of(node: str) -> str:
    return canary.SCOPE if node == canary.NODE else NODE


def _is_shared(case: Case) -> bool:
    """Whether it is a fault of what several nodes share, and explains theirs."""
    return case.incident.scope != NODE and case.incident.cause in GROUP_EXPLAINS


def _as_condition(found: CentreCondition) -> Condition:
    return Condition(CENTRE, found.code, CENTRE, found.severity, found.since, found.since, evidence=found.evidence)


class _Reconciliation:
    """One pass. `cases` are changed step by step; each step that somebody may ask about is a change."""

    def __init__(self, cases: dict[Key, Case], scene: Scene, ledger: Ledger, now: Now) -> None:
        self.cases = cases
        self.changes: list[Change] = []
        self._changed: set[Key] = set()
        self._late = NEVER
        self._scene = scene
        self._ledger = ledger
        self._now = now

    # --- shared faults --------------------------------------------------------------------------------------

    def shared_faults(self) -> None:
        """Outages of communes, feeders, uplinks and the centre."""
        for outage in outages(self._scene.shared, self._scene.trouble):
            if not self._is_told_already(outage):
                self._appear((outage.scope, outage.subject, outage.cause), self._outage_condition(outage), outage)
        for case in self._open_cases():
            if _is_shared(case):
                self._follow_group(case)

    def _is_told_already(self, outage: Outage) -> bool:
        """The same thing has an open incident, or all its nodes are under one that explains as much."""
        explained = GROUP_EXPLAINS[outage.cause]
        for case in self._open_cases():
            if not _is_shared(case):
                continue
            if case.key[:2] == (outage.scope, outage.subject) and GROUP_EXPLAINS[case.incident.cause] & explained:
                return True
            wide = GROUP_EXPLAINS[case.incident.cause] >= explained
            if wide and outage.nodes <= set(case.incident.nodes):
                return True
        return False

    def _follow_group(self, case: Case) -> None:
        incident, trouble = case.incident, self._scene.trouble
        if incident.cause == BROKER:
            if not trouble.broker_lost:
                self._disappear(case, "the broker is back")
            return
        shared = next((s for s in self._scene.shared if (s.scope, s.subject) == case.key[:2]), None)
        bad = trouble.bad(incident.cause, shared.nodes) if shared else frozenset()
        if shared is None or not bad:
            self._disappear(case, "all its nodes are well again" if shared else "no longer configured")
        elif holds(incident.cause, shared, trouble):
            self._stand(replace(case, weak_from=NEVER), bad)
        elif not case.present:
            return  # it comes and goes, and is gone: what is left of it is each node's own
        elif self._now.mono - case.weak_from >= WINDOW_S:
            self._disappear(case, f"{len(bad)} nodes left, each judged by itself")
        else:
            weak_from = min(case.weak_from, self._now.mono)
            self._improve(replace(case, weak_from=weak_from), f"only {len(bad)} nodes left")

    def _stand(self, case: Case, nodes: frozenset[str]) -> None:
        covered = tuple(sorted({*case.incident.nodes, *nodes}))
        case = replace(case, incident=replace(case.incident, nodes=covered))
        if not case.present:
            self._come_back(case)
        elif case.incident.state is IncidentState.RECOVERING:
            self._put(replace(case, incident=incidents.bad_again(case.incident, self._now.wall)), "bad-again", "")
        else:
            self._put(case)

    def _outage_condition(self, outage: Outage) -> Condition:
        if outage.cause == MISSED_TOGETHER:
            return self._missed_condition(outage)
        component = outage.cause if outage.scope != CENTRE else CENTRE
        severity = Severity.CRITICAL if outage.scope == CENTRE else Severity.MAJOR
        if outage.cause != POWER and self._is_urgent(outage.nodes):
            severity = Severity.CRITICAL
        mono = self._now.mono
        return Condition(outage.subject, outage.cause, component, severity, since=mono, seen=mono)

    def _missed_condition(self, outage: Outage) -> Condition:
        """As the worst of its nodes': the same broadcast, as severe."""
        worst = max((self._scene.conditions[node, MISSED] for node in outage.nodes), key=lambda one: RANK[one.severity])
        mono = self._now.mono
        return Condition(
            outage.subject, outage.cause, worst.component, worst.severity, mono, mono, evidence=worst.evidence
        )

    # --- faults of the centre itself ------------------------------------------------------------------------

    def centre_faults(self) -> None:
        """What the controller finds wrong with its own house. What it has not looked at stays as it was."""
        for code, condition in sorted(self._scene.centre.items()):
            case = self.cases.get((CENTRE, CENTRE, code))
            if case is None or not case.open:
                if condition is not None:
                    self._appear((CENTRE, CENTRE, code), _as_condition(condition))
            elif condition is not None:
                self._follow_centre(case, _as_condition(condition))
            else:
                self._disappear(case, "measured good")

    def _follow_centre(self, case: Case, condition: Condition) -> None:
        self._follow(case, condition)
        case = self.cases[case.key]
        if dict(case.incident.evidence) != dict(condition.evidence):
            self._put(replace(case, incident=replace(case.incident, evidence=condition.evidence)))

    # --- faults of single nodes -----------------------------------------------------------------------------

    def node_faults(self) -> None:
        """Confirmed faults node by node."""
        for (node, code), condition in sorted(self._scene.conditions.items()):
            key = (_scope_of(node), node, code)
            case = self.cases.get(key)
            if case is None or not case.open:
                self._appear(key, self._judged(condition))
            else:
                self._follow(case, condition)
        for case in self._open_cases():
            if case.incident.scope in (NODE, canary.SCOPE) and case.key[1:] not in self._scene.conditions:
                known = case.incident.subject in self._scene.places
                self._disappear(case, "measured good for long enough" if known else "no longer configured")

    def _judged(self, condition: Condition) -> Condition:
        if condition.code == LINK and self._is_urgent((condition.node,)):
            return replace(condition, severity=Severity.CRITICAL)
        return condition

    def _is_urgent(self, nodes: Iterable[str]) -> bool:
        due = self._ledger.due_in_s(nodes)
        return due is not None and due <= URGENT_S

    def _follow(self, case: Case, condition: Condition) -> None:
        if not case.present:
            self._come_back(case)
        case = self.cases[case.key]
        if RANK[condition.severity] > RANK[case.incident.severity]:
            self._worsen(case, condition)
        case = self.cases[case.key]
        if case.incident.stale != condition.stale:
            self._put(replace(case, incident=replace(case.incident, stale=condition.stale)))
        case = self.cases[case.key]
        if condition.clearing:
            self._improve(case, "measured good")
        elif case.incident.state is IncidentState.RECOVERING:
            again = incidents.bad_again(case.incident, self._now.wall)
            self._put(replace(case, incident=again), "bad-again", "measured bad again")

    def _worsen(self, case: Case, condition: Condition) -> None:
        worse = incidents.worse(case.incident, condition.severity, condition.evidence, self._now.wall)
        is_told = worse.announced and worse.parent is None and not self._is_hushed(worse)
        case = replace(case, incident=worse)
        if not worse.announced:
            case = self._waiting(case, min(case.announce, self._now.mono + self._scene.alerts.wait_critical_s))
        tell = Transition.SEVERITY if is_told else None
        case = self._told(case) if is_told else case
        self._put(case, "severity", f"now {condition.severity.value}", tell)

    # --- coming and going -----------------------------------------------------------------------------------

    def _appear(self, key: Key, condition: Condition, outage: Outage | None = None) -> None:
        """A fault is there that no open incident tells of."""
        before = self.cases.get(key)
        calm = before is None or key[0] == canary.SCOPE  # it comes and goes by design
        unrest = (Unrest() if calm or before is None else before.unrest).at_change(self._now.mono)
        announce = self._announce_at(condition)
        if before and not before.open and self._now.mono - before.closed <= RELAPSE.total_seconds():
            incident = incidents.reopened(before.incident, condition.severity, condition.evidence, self._now.wall)
            transition, reason = "relapsed", "there again within 30 minutes"
        else:
            incident = self._ledger.new(self._first(key, condition, outage))
            transition, reason = "found", "confirmed"
        incident = replace(incident, stale=condition.stale, flapping=unrest.flapping)
        climb = before.climb if before and before.incident.id == incident.id else Climb()
        self._put(self._waiting(Case(incident, unrest=unrest, climb=climb), announce), transition, reason)

    def _first(self, key: Key, condition: Condition, outage: Outage | None) -> Incident:
        scope, subject, cause = key
        return Incident(
            id=0,
            scope=scope,
            subject=subject,
            commune=self._commune(scope, subject, outage),
            cause=cause,
            component=condition.component,
            severity=condition.severity,
            state=IncidentState.OPEN,
            opened_at=self._now.wall,
            updated_at=self._now.wall,
            repeat_of=self._ledger.previous(key),
            evidence=condition.evidence,
            nodes=tuple(sorted(outage.nodes)) if outage else (),
        )

    def _commune(self, scope: str, subject: str, outage: Outage | None) -> str:
        if outage is None:
            return self._scene.places.get(subject, "")
        communes = {self._scene.places[node] for node in outage.nodes if node in self._scene.places}
        return communes.pop() if scope != CENTRE and len(communes) == 1 else ""

    def _come_back(self, case: Case) -> None:
        """A flapping incident stayed open while its fault was gone; now it is there again."""
        back = incidents.bad_again(case.incident, self._now.wall)
        unrest = case.unrest.at_change(self._now.mono)
        self._put(replace(case, incident=back, present=True, unrest=unrest), "bad-again", "there again")

    def _improve(self, case: Case, reason: str) -> None:
        if case.incident.state is IncidentState.RECOVERING:
            self._put(case)
            return
        better = incidents.recovering(case.incident, self._now.wall)
        self._put(replace(case, incident=better), "recovering", reason)

    def _disappear(self, case: Case, reason: str) -> None:
        """Its fault is confirmed gone."""
        if not case.present:
            return
        unrest = case.unrest.at_change(self._now.mono)
        case = replace(case, present=False, unrest=unrest, weak_from=NEVER)
        if not unrest.flapping:
            self._close(case, reason)
            return
        self._improve(replace(case, incident=replace(case.incident, flapping=True)), "gone, but it comes and goes")

    def _close(self, case: Case, reason: str) -> None:
        closed = incidents.closed(case.incident, self._now.wall)
        is_told = case.climb.told is not None and not self._is_hushed(closed)
        climb = Climb() if is_told else case.climb
        case = replace(case, incident=closed, closed=self._now.mono, climb=climb)
        self._put(case, "closed", reason, Transition.RECOVERED if is_told else None)

    def _announce_at(self, condition: Condition) -> float:
        if condition.code == LINK:
            return self._link_announce_at(condition)
        if condition.node == canary.NODE:
            return self._now.mono + min(self._scene.alerts.wait_critical_s, canary.LONGEST_WAIT_S)
        return self._now.mono + self._wait_s(condition.code, condition.severity)

    def _link_announce_at(self, condition: Condition) -> float:
        alerts, mono = self._scene.alerts, self._now.mono
        told = condition.since + alerts.link_told_s
        due = self._ledger.due_in_s((condition.node,))
        if condition.node not in self._scene.unheard or due is None:
            return told
        return min(told, max(condition.since + alerts.link_told_urgent_s, mono + due - URGENT_S))

    # --- parents --------------------------------------------------------------------------------------------

    def parents(self) -> None:
        """File every incident under the one that explains it."""
        groups = sorted(
            (case for case in self._open_cases() if _is_shared(case)),
            key=lambda case: (SCOPE_ORDER[case.incident.scope], case.incident.id),
        )
        for case in self._open_cases():
            parent = self._parent_of(case, groups)
            if parent != case.incident.parent:
                self._file(case, parent)

    def _parent_of(self, case: Case, groups: Sequence[Case]) -> int | None:
        wider = [group for group in groups if self._is_under(case, group)]
        if wider:
            return wider[0].incident.id
        return self._parent_on_node(case) if case.incident.scope == NODE else None

    def _is_under(self, case: Case, group: Case) -> bool:
        incident, over = case.incident, group.incident
        if over.id == incident.id:
            return False
        if incident.scope == NODE:
            return incident.cause in GROUP_EXPLAINS[over.cause] and self._shares(incident.subject, over)
        if not _is_shared(case):
            return False
        if over.cause == MISSED_TOGETHER and incident.cause != MISSED_TOGETHER:
            return False  # a broadcast that was missed explains no loss of contact
        if SCOPE_ORDER[over.scope] < SCOPE_ORDER[incident.scope]:
            return over.scope == CENTRE or set(incident.nodes) <= set(over.nodes)
        # a feeder may serve communes, or be one transformer of one
        covers = GROUP_EXPLAINS[over.cause] >= GROUP_EXPLAINS[incident.cause]
        return covers and incident.scope != CENTRE and set(incident.nodes) < set(over.nodes)

    def _shares(self, node: str, over: Incident) -> bool:
        if over.cause == BROKER:
            return True
        shared = (s for s in self._scene.shared if (s.scope, s.subject) == (over.scope, over.subject))
        return any(node in each.nodes for each in shared)

    def _parent_on_node(self, case: Case) -> int | None:
        node, code = case.incident.subject, case.incident.cause
        explained_by = EXPLAINS.get(code, () if code in (MAINS_LOST, BATTERY_LOW) else (LINK,))
        found = (self.cases.get((NODE, node, other)) for other in explained_by)
        return next((other.incident.id for other in found if other and other.open and other.present), None)

    def _file(self, case: Case, parent: int | None) -> None:
        case = replace(case, incident=replace(case.incident, parent=parent, updated_at=self._now.wall))
        if parent is not None:
            self._put(case, "linked", f"explained by incident {parent}")
            return
        case = replace(case, fresh_after=self._now.mono)
        if not case.incident.announced:
            case = self._waiting(case, self._now.mono + self._wait_s(case.incident.cause, case.incident.severity))
        self._put(case, "unlinked", "no longer explained")

    def _wait_s(self, cause: str, severity: Severity) -> float:
        alerts = self._scene.alerts
        if cause == LINK:
            return alerts.link_told_s
        return alerts.wait_critical_s if severity is Severity.CRITICAL else alerts.wait_other_s

    def _waiting(self, case: Case, announce: float) -> Case:
        """`case` with its first message not before `announce`."""
        wall = self._now.wall + timedelta(seconds=announce - self._now.mono)
        return replace(case, announce=announce, incident=replace(case.incident, announce_at=wall))

    # --- time -----------------------------------------------------------------------------------------------

    def times(self) -> None:
        """First messages whose wait is over, repairs that nothing confirmed, flapping that has ended."""
        for case in self._open_cases():
            if case.unrest.flapping:
                self._calm(case)
        for case in self._open_cases():
            if case.incident.state is IncidentState.REPAIRED and self._now.mono >= case.verify:
                tell = Transition.UNVERIFIED if case.incident.announced else None
                unverified = incidents.unverified(case.incident, self._now.wall)
                self._put(replace(case, incident=unverified), "unverified", "no good measurement came", tell)
        for case in self._open_cases():
            self._announce(case)

    def _calm(self, case: Case) -> None:
        unrest = case.unrest.settled(self._now.mono)
        if unrest.flapping:
            return
        case = replace(case, unrest=unrest, incident=replace(case.incident, flapping=False))
        if case.present:
            self._put(case, "steady", "it no longer comes and goes")
        else:
            self._close(case, "steadily good")

    def _announce(self, case: Case) -> None:
        incident = case.incident
        if incident.announced or incident.parent is not None or incident.state is IncidentState.RECOVERING:
            return
        if self._now.mono < case.announce:
            return
        if not self._is_fresh(case):
            self._put(replace(case, announce=self._now.mono + LOOK_AGAIN_S))
            return
        if self._is_hushed(incident):
            self._put(replace(case, announce=self._now.mono + LOOK_AGAIN_S))
            return
        tell = difference(case.climb, incident.severity, is_open=True)
        case = replace(case, incident=replace(incident, announced=True, announce_at=self._now.wall))
        case = self._told(case) if tell else case
        self._put(case, "announced", "nothing explains it", tell)

    def _is_fresh(self, case: Case) -> bool:
        condition = self._scene.conditions.get(case.key[1:]) if case.incident.scope == NODE else None
        return condition is None or condition.seen > case.fresh_after

    # --- people ---------------------------------------------------------------------------------------------

    def tell(self) -> None:
        """What people do not know because something kept it from them, and the steps of the escalation."""
        for case in list(self.cases.values()):
            if case.climb.told is None:
                continue
            if not case.open:
                self._tell_end(case)
            elif case.incident.announced and case.incident.state is not IncidentState.RECOVERING:
                self._tell_worse(case)
                self._climb(self.cases[case.key])

    def _tell_end(self, case: Case) -> None:
        if not self._is_hushed(case.incident):
            self._put(replace(case, climb=Climb()), "told", "what kept it quiet is over", Transition.RECOVERED)

    def _tell_worse(self, case: Case) -> None:
        word = difference(case.climb, case.incident.severity, is_open=True)
        if word is None or case.incident.parent is not None or self._is_hushed(case.incident):
            return
        if self._is_fresh(case):
            self._put(self._told(case), "told", "what kept it quiet is over", word)
        else:
            self._late = self._now.mono + LOOK_AGAIN_S

    def _climb(self, case: Case) -> None:
        """The step whose time has come."""
        climb, incident, mono = case.climb, case.incident, self._now.mono
        if climb.due > mono:
            return
        plan, steps = self._scene.alerts.escalation, self._scene.alerts.ladder(incident.severity)
        taken = bool(incident.acknowledged_by)
        if self._is_quiet(case):
            self._put(replace(case, climb=put_off(climb, taken, plan, steps, mono)))
            return
        left = self._ledger.repair_due_in_s(incident)
        word = next_word(climb, taken, steps, left)
        case = replace(case, climb=climbed(climb, word, plan, steps, left, mono))
        if word is None:
            self._put(case)
        else:
            self._put(
                case, word.value, "its repair is overdue" if word is Transition.OVERDUE else "nobody has it", word
            )

    def _is_quiet(self, case: Case) -> bool:
        """Nobody is reminded of it now: others tell of it, it is being measured, or it comes and goes."""
        incident = case.incident
        measured = incident.state is IncidentState.REPAIRED
        return incident.parent is not None or incident.flapping or measured or self._is_hushed(incident)

    def _told(self, case: Case) -> Case:
        """`case` of which people have just heard how it is."""
        alerts, severity = self._scene.alerts, case.incident.severity
        left = self._ledger.repair_due_in_s(case.incident)
        climb = told(severity, alerts.escalation, alerts.ladder(severity), left, self._now.mono)
        wait = alerts.night.digest_at(severity, self._now.wall, self._scene.zone)
        if wait is not None:  # nobody reads it before the morning
            climb = replace(climb, due=climb.due + (wait - self._now.wall).total_seconds())
        return replace(case, climb=climb)

    def _is_hushed(self, incident: Incident) -> bool:
        return hushed_by(incident, self._scene.hushes, self._now.wall, self._scene.zone) is not None

    def look_again(self) -> float:
        """When a silence begins or ends, the rota changes, or a measurement may have come, whichever is first."""
        wall, zone = self._now.wall, self._scene.zone
        edges = (next_edge(self._scene.hushes, wall, zone), next_change(self._scene.alerts.on_call, wall, zone))
        waits = [(edge - wall).total_seconds() for edge in edges if edge is not None]
        return min((self._late, *(self._now.mono + wait for wait in waits)))

    # --- bookkeeping ----------------------------------------------------------------------------------------

    def remembered(self) -> dict[Key, Case]:
        """Open cases, and closed ones for as long as they may be reopened, remember their unrest or must be told."""
        oldest = self._now.mono - RELAPSE.total_seconds()
        return {
            key: case
            for key, case in self.cases.items()
            if case.open or case.closed >= oldest or case.climb.told or key in self._changed
        }

    def _open_cases(self) -> list[Case]:
        return [case for _, case in sorted(self.cases.items()) if case.open]

    def _put(self, case: Case, transition: str = "", reason: str = "", tell: Transition | None = None) -> None:
        self.cases[case.key] = case
        self._changed.add(case.key)
        if transition:
            self.changes.append(Change(case.incident.id, transition, reason, tell))


# --- what people do -----------------------------------------------------------------------------------------


def acknowledge(case: Case, by: str, now: Now) -> Case:
    """`by` takes care of it. ValueError if it is closed."""
    return replace(case, incident=incidents.acknowledged(case.incident, by, now.wall))


def begin(case: Case, by: str, now: Now) -> Case:
    """`by` is at it. ValueError if it is closed."""
    return replace(case, incident=incidents.begun(case.incident, by, now.wall))


def repair(case: Case, by: str, now: Now) -> Case:
    """`by` says that it is mended. ValueError if it is closed."""
    verify = now.mono + VERIFY_WITHIN.total_seconds()
    return replace(case, incident=incidents.repaired(case.incident, by, now.wall), verify=verify)
