"""Incidents: what a person must act on; one cause, possibly many faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """Who repairs an incident, by when."""

    incident: int
    assignee: str
    due_at: datetime
    created_at: datetime
    state: str = "open"
    closed_at: datetime | None = None
