"""Node health between memory, the store's rows and what others see of it.

Memory counts in monotonic seconds, rows and views in wall clock: both are translated by what the two clocks
say now, so that a step of the wall clock moves no deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.domain.casebook import Case, Key, Now
from controller.domain.climb import Climb
from controller.domain.faults import FaultState, Severity, Value
from controller.domain.health import NodeHealth
from controller.domain.incidents import (
    FLAPPING_ON,
    OPEN_STATES,
    RELAPSE,
    VERIFY_WITHIN,
    Incident,
    IncidentState,
    Unrest,
)
from controller.domain.liveness import NEVER, Liveness
from controller.ports import ClimbRow, FaultRow, NodeRow, Tx

WAIT_AGAIN_S = 60.0
"""After a start no first message waits longer than this for what explains it."""


@dataclass(frozen=True, slots=True)
class FaultView:
    """One confirmed fault as it stands."""

    code: str
    severity: Severity
    state: FaultState
    since: datetime
    latched: bool


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node as monitoring sees it now. Times are wall clock; `returning`: offline, but heard again."""

    node: str
    liveness: Liveness
    since: datetime
    seen_at: datetime | None
    metrics: Mapping[str, Value]
    faults: tuple[FaultView, ...]
    playing: str
    held_epoch: int
    held_rev: int
    firmware: str
    boot: str
    returning: bool


def view(health: NodeHealth, now: Now) -> NodeView:
    pulse = health.pulse
    return NodeView(
        node=health.node,
        liveness=pulse.state,
        since=_wall(pulse.since, now),
        seen_at=None if pulse.heard is None else _wall(pulse.heard, now),
        metrics=health.metrics,
        faults=tuple(
            FaultView(code, watch.severity, watch.state, _wall(watch.began, now), watch.latched)
            for code, watch in health.faults()
        ),
        playing=health.playing,
        held_epoch=health.held[0],
        held_rev=health.held[1],
        firmware=health.firmware,
        boot=pulse.boot,
        returning=pulse.returning,
    )


# --- into rows ----------------------------------------------------------------------------------------------


def node_row(health: NodeHealth, now: Now) -> NodeRow:
    pulse = health.pulse
    return NodeRow(
        node=health.node,
        liveness=pulse.state.value,
        since=_wall(pulse.since, now),
        boot=pulse.boot,
        conn=pulse.conn,
        held_epoch=health.held[0],
        held_rev=health.held[1],
        seen_at=None if pulse.heard is None else _wall(pulse.heard, now),
        firmware=health.firmware,
        metrics=health.metrics,
    )


def fault_rows(health: NodeHealth, now: Now) -> list[FaultRow]:
    """The confirmed faults of a node."""
    return [
        FaultRow(
            node=health.node,
            code=code,
            state=watch.state.value,
            since=_wall(watch.began, now),
            severity=watch.severity.value,
            evidence=watch.evidence,
            passed_selftest=watch.passed,
            latched=watch.latched,
        )
        for code, watch in health.faults()
    ]


def no_fault(node: str, code: str, now: Now) -> FaultRow:
    """The row that says a fault is over."""
    return FaultRow(node, code, FaultState.OK.value, now.wall, Severity.MINOR.value, {})


# --- out of rows --------------------------------------------------------------------------------------------


def restore_node(health: NodeHealth, row: NodeRow, now: Now) -> None:
    """What was known of a node before a restart. Only a node that was offline has been silent meanwhile:
    the controller's own downtime is nobody's silence."""
    pulse = health.pulse
    pulse.state = Liveness(row.liveness)
    pulse.since = _mono(row.since, now)
    pulse.expected = pulse.state is not Liveness.UNKNOWN
    pulse.boot, pulse.conn = row.boot, row.conn
    if row.seen_at is not None and pulse.state is Liveness.OFFLINE:
        pulse.heard = _mono(row.seen_at, now)
    health.held, health.firmware = (row.held_epoch, row.held_rev), row.firmware
    health.tested = dict(row.metrics or {})


def restore_fault(health: NodeHealth, row: FaultRow, now: Now) -> bool:
    """A fault that was open before a restart; False if no rule has its code any more."""
    if health.watches.check(row.code) is None:
        return False
    watch = health.watches.restore(
        row.code, FaultState(row.state), Severity(row.severity), _mono(row.since, now), now.mono
    )
    watch.evidence, watch.latched, watch.passed = row.evidence, row.latched, row.passed_selftest
    return True


def stored_cases(tx: Tx, now: Now) -> dict[Key, Case]:
    """Cases of stored incidents: open, lately closed, or closed while people believe them open. Of several of one
    kind the open one, or the one closed last."""
    found = {row.id: row for row in _known(tx, now)}
    climbs = tx.climbs(found)
    ordered = sorted(found.values(), key=lambda incident: (incident.state in OPEN_STATES, incident.id))
    return {case.key: case for case in (_case(incident, climbs.get(incident.id), now) for incident in ordered)}


def _known(tx: Tx, now: Now) -> list[Incident]:
    return [
        *tx.incidents(now.wall - RELAPSE, canary=True),
        *tx.open_incidents(canary=True),
        *tx.to_recover(),
    ]


def true_cases(cases: Mapping[Key, Case], stored: Mapping[Key, Case]) -> dict[Key, Case]:
    """`cases` corrected by what is stored, after a transaction of which nobody knows whether it was committed."""
    return {
        key: replace(cases[key], climb=case.climb) if key in cases and cases[key].incident == case.incident else case
        for key, case in stored.items()
    }


def climb_row(case: Case, now: Now) -> ClimbRow:
    climb = case.climb
    due = None if climb.due == NEVER else _wall(climb.due, now)
    return ClimbRow(case.incident.id, climb.told.value if climb.told else "", climb.step, due)


def _climb(row: ClimbRow | None, now: Now) -> Climb:
    if row is None or not row.told:
        return Climb()
    return Climb(Severity(row.told), row.step, NEVER if row.due_at is None else _mono(row.due_at, now))


def _case(incident: Incident, climb: ClimbRow | None, now: Now) -> Case:
    waits = incident.announce_at if not incident.announced else None
    return Case(
        incident,
        present=incident.state in OPEN_STATES and not _is_between(incident),
        announce=NEVER if waits is None else max(_mono(waits, now), now.mono + _wait_again_s(incident, waits)),
        unrest=Unrest(FLAPPING_ON, now.mono, flapping=True) if incident.flapping else Unrest(),
        closed=NEVER if incident.closed_at is None else _mono(incident.closed_at, now),
        verify=NEVER if incident.repaired_at is None else _mono(incident.repaired_at + VERIFY_WITHIN, now),
        climb=_climb(climb, now),
    )


def _wait_again_s(incident: Incident, waits: datetime) -> float:
    """It waits for what explains it anew: faults that were not confirmed yet died with the controller."""
    return max(0.0, min((waits - incident.opened_at).total_seconds(), WAIT_AGAIN_S))


def _is_between(incident: Incident) -> bool:
    """It flaps, and its fault was gone when it was written down."""
    return incident.flapping and incident.state is IncidentState.RECOVERING


def _mono(wall: datetime, now: Now) -> float:
    return now.mono - (now.wall - wall).total_seconds()


def _wall(mono: float, now: Now) -> datetime:
    return now.wall - timedelta(seconds=now.mono - mono)
