"""Incidents: what a person must act on; one cause, possibly many faults. One transition table.

A person can acknowledge and propose that it is repaired; only measurements begin its recovery and close it.
Stale (nobody measures it now), flapping and having a parent (suppressed) are overlays, not states.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from controller.domain.faults import Severity, Value


class IncidentState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    IN_REPAIR = "in-repair"
    REPAIRED = "repaired"
    RECOVERING = "recovering"
    CLOSED = "closed"


OPEN_STATES = frozenset(IncidentState) - {IncidentState.CLOSED}


class Happening(StrEnum):
    """What happens to an incident; also the name of its row in the history."""

    ACKNOWLEDGED = "acknowledged"
    REPAIR_BEGUN = "repair-begun"
    REPAIRED = "repaired"
    """A person says so."""
    UNVERIFIED = "unverified"
    """30 minutes later no measurement had confirmed it."""
    GOOD = "recovering"
    """Measurements are good, but not for long enough."""
    BAD = "bad-again"
    CLEARED = "closed"
    RELAPSED = "relapsed"
    """There again within 30 minutes of being closed."""
    WORSE = "severity"


_S, _H = IncidentState, Happening
_BEFORE_REPAIR = (_S.OPEN, _S.ACKNOWLEDGED, _S.IN_REPAIR)
_STANDING = (*_BEFORE_REPAIR, _S.REPAIRED)

TABLE: Mapping[tuple[IncidentState, Happening], IncidentState] = {
    **{(state, _H.ACKNOWLEDGED): _S.ACKNOWLEDGED for state in (_S.OPEN, _S.ACKNOWLEDGED)},
    **{(state, _H.ACKNOWLEDGED): state for state in (_S.IN_REPAIR, _S.REPAIRED, _S.RECOVERING)},
    **{(state, _H.REPAIR_BEGUN): _S.IN_REPAIR for state in _STANDING},
    **{(state, _H.REPAIRED): _S.REPAIRED for state in _STANDING},
    **{(_S.RECOVERING, said): _S.RECOVERING for said in (_H.REPAIR_BEGUN, _H.REPAIRED)},
    (_S.REPAIRED, _H.UNVERIFIED): _S.OPEN,
    **{(state, _H.GOOD): _S.RECOVERING for state in _STANDING},
    (_S.RECOVERING, _H.BAD): _S.OPEN,
    **{(state, _H.CLEARED): _S.CLOSED for state in (*_STANDING, _S.RECOVERING)},
    (_S.CLOSED, _H.RELAPSED): _S.OPEN,
    **{(state, _H.WORSE): _S.OPEN for state in _STANDING},
    (_S.RECOVERING, _H.WORSE): _S.RECOVERING,
}

RELAPSE = timedelta(minutes=30)
"""What comes back within this reopens the same incident."""
REPEAT = timedelta(days=7)
"""What comes back within this is a new incident, linked as a repeat."""
VERIFY_WITHIN = timedelta(minutes=30)
"""A repair must be confirmed by measurement in this time."""


def after(state: IncidentState, happening: Happening) -> IncidentState:
    """The state that follows; ValueError for what cannot happen in `state`."""
    try:
        return TABLE[state, happening]
    except KeyError:
        raise ValueError(f"an incident that is {state.value} cannot be {happening.value}") from None


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause a person must act on.

    `subject` is a node id, a commune id (scope "commune") or "centre". `cause` is the fault code, or
    "power" / "network" for a commune. `parent` is the incident that explains this one; `children` count
    is derived. `announced` is False until its first message may go (correlation wait, `announce_at`).
    Times are aware UTC.
    """

    id: int
    scope: str
    subject: str
    commune: str
    cause: str
    component: str
    severity: Severity
    state: IncidentState
    opened_at: datetime
    updated_at: datetime
    announce_at: datetime | None = None
    announced: bool = False
    parent: int | None = None
    stale: bool = False
    flapping: bool = False
    acknowledged_by: str = ""
    repaired_at: datetime | None = None
    closed_at: datetime | None = None
    repeat_of: int | None = None
    evidence: Mapping[str, Value] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    """For a commune or the centre: the nodes it covers."""


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One row of an incident's history: what became true at `at`, why, and who said so."""

    incident: int
    at: datetime
    transition: str
    reason: str
    by: str = "loa"


# --- what happens to an incident --------------------------------------------------------------------------------


def acknowledged(incident: Incident, by: str, now: datetime) -> Incident:
    """`by` takes care of it. ValueError if it is closed."""
    return replace(_moved(incident, Happening.ACKNOWLEDGED, now), acknowledged_by=by)


def begun(incident: Incident, by: str, now: datetime) -> Incident:
    """`by` is at it; an earlier word that it was mended counts no more. ValueError if it is closed."""
    moved = _moved(incident, Happening.REPAIR_BEGUN, now)
    return replace(moved, repaired_at=None, acknowledged_by=incident.acknowledged_by or by)


def repaired(incident: Incident, by: str, now: datetime) -> Incident:
    """`by` says that it is mended; measurements will tell. ValueError if it is closed."""
    moved = _moved(incident, Happening.REPAIRED, now)
    return replace(moved, repaired_at=now, acknowledged_by=incident.acknowledged_by or by)


def unverified(incident: Incident, now: datetime) -> Incident:
    """No measurement confirmed the repair. It is as it was before: whoever had it still has it."""
    return _standing(replace(_moved(incident, Happening.UNVERIFIED, now), repaired_at=None))


def recovering(incident: Incident, now: datetime) -> Incident:
    """Measurements are good for the first time."""
    return _moved(incident, Happening.GOOD, now)


def bad_again(incident: Incident, now: datetime) -> Incident:
    """They did not stay good."""
    return _standing(_moved(incident, Happening.BAD, now))


def closed(incident: Incident, now: datetime) -> Incident:
    """Measurements were good for long enough."""
    return replace(_moved(incident, Happening.CLEARED, now), closed_at=now, stale=False, flapping=False)


def reopened(incident: Incident, severity: Severity, evidence: Mapping[str, Value], now: datetime) -> Incident:
    """It is there again, soon after it was closed: nobody has it, nobody was told yet."""
    return replace(
        _moved(incident, Happening.RELAPSED, now),
        severity=severity,
        evidence=evidence,
        closed_at=None,
        repaired_at=None,
        acknowledged_by="",
        announced=False,
        announce_at=None,
        parent=None,
    )


def worse(incident: Incident, severity: Severity, evidence: Mapping[str, Value], now: datetime) -> Incident:
    """It became more severe: an acknowledgement was for something smaller and no longer counts."""
    moved = _moved(incident, Happening.WORSE, now)
    return replace(moved, severity=severity, evidence=evidence, acknowledged_by="", repaired_at=None)


def _moved(incident: Incident, happening: Happening, now: datetime) -> Incident:
    return replace(incident, state=after(incident.state, happening), updated_at=now)


def _standing(incident: Incident) -> Incident:
    """As it was before its measurements were good: a word that it is mended still waits for its verdict."""
    if incident.repaired_at is not None:
        return replace(incident, state=IncidentState.REPAIRED)
    state = IncidentState.ACKNOWLEDGED if incident.acknowledged_by else IncidentState.OPEN
    return replace(incident, state=state)


# --- flapping ---------------------------------------------------------------------------------------------------

HALF_LIFE_S = 15 * 60
FLAPPING_ON = 3.0
FLAPPING_OFF = 0.75
STEADY_S = 15 * 60


@dataclass(frozen=True, slots=True)
class Unrest:
    """How much an incident has come and gone of late: `penalty` as it was at `at` (monotonic seconds)."""

    penalty: float = 0.0
    at: float = 0.0
    flapping: bool = False

    def at_change(self, mono: float) -> Unrest:
        """After one more confirmed opening or closing."""
        penalty = self.now(mono) + 1
        return Unrest(penalty, mono, self.flapping or penalty >= FLAPPING_ON)

    def now(self, mono: float) -> float:
        """The penalty at `mono`."""
        return float(self.penalty * 2 ** (-(mono - self.at) / HALF_LIFE_S))

    def calm_at(self) -> float:
        """When flapping ends if nothing changes any more: below FLAPPING_OFF, and steady for 15 minutes."""
        halves = max(0.0, math.log2(self.penalty / FLAPPING_OFF)) if self.penalty > 0 else 0.0
        return self.at + max(STEADY_S, halves * HALF_LIFE_S)

    def settled(self, mono: float) -> Unrest:
        """Without the flapping if it is over by `mono`."""
        return replace(self, flapping=False) if self.flapping and mono >= self.calm_at() else self
