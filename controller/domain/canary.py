"""The canary: a fault of a node that does not exist, which goes the way of every real one. Pure.

It is reported over the broker, judged by a rule, becomes an incident that waits for a parent like any other, gets
outbox rows and is sent by the real webhook sender to the controller itself; then it is taken back and has to close.
Its incident has a scope of its own, so that nobody is ever told or shown it (ports.Tx leaves it out).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controller.domain import correlation
from controller.domain.escalation import AlertSettings, Channel, OutboxRow, OutboxState, Person
from controller.domain.faults import FaultRule, Severity, Text
from controller.domain.incidents import Incident
from controller.domain.wording import Facts

SCOPE = correlation.CANARY
NODE = "loa-canary"
CODE = "canary"
RECIPIENT = "loa-canary"

RULE = FaultRule(
    CODE, "service", Severity.CRITICAL, Text("Thử đường báo tin", "Test of the way"), Text("-", "-"), reported=True
)

LONGEST_WAIT_S = 60.0
"""For a common cause, however long real incidents wait for one."""
ALLOWED_S = 60.0
"""All stages together, beside that wait; later is a fault."""


class Stage(StrEnum):
    """Where a canary can be lost, in the order of its way."""

    BROKER = "broker"
    """The broker did not take the report."""
    INTAKE = "intake"
    """The report did not come back from the broker."""
    RULES = "rules"
    """It came in and became no incident."""
    INCIDENT = "incident"
    """The incident's first message is overdue."""
    OUTBOX = "outbox"
    """It was announced, and there is no row in the outbox."""
    DELIVERY = "delivery"
    """The row did not reach the receiver."""
    CLOSING = "closing"
    """It was taken back, and does not close."""
    DATABASE = "database"
    """Nobody knows: the database does not answer."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What one flight left behind: the run that came in last, its incident, the messages of it."""

    run: str
    came_in: str
    incident: Incident | None = None
    rows: tuple[OutboxRow, ...] = ()


def lost_at(traces: Traces) -> Stage:
    """The first stage that a flight whose "opened" never arrived did not pass."""
    if traces.came_in != traces.run:
        return Stage.INTAKE
    incident = traces.incident
    if incident is None or incident.evidence.get("run") != traces.run:
        return Stage.RULES
    if not incident.announced:
        return Stage.INCIDENT
    return Stage.DELIVERY if traces.rows else Stage.OUTBOX


def lost_back(traces: Traces) -> Stage:
    """The same for one whose "recovered" never arrived."""
    open_rows = [row for row in traces.rows if row.state is not OutboxState.SENT and _is_end(row)]
    return Stage.DELIVERY if open_rows else Stage.CLOSING


def _is_end(row: OutboxRow) -> bool:
    return row.transition.startswith("recovered")


def longest(alerts: AlertSettings) -> float:
    """Seconds that one way (out, or back) may take."""
    return min(alerts.wait_critical_s, LONGEST_WAIT_S) + ALLOWED_S


def receiver(channel: Channel) -> Person:
    """Who gets its messages: the controller."""
    return Person(RECIPIENT, RECIPIENT, "en", (channel,))


PlanMessages = Callable[[Incident, str, AlertSettings, Facts, datetime], Sequence[OutboxRow]]


def told_to(channel: Channel | None, plan: PlanMessages) -> Callable[..., tuple[OutboxRow, ...]]:
    """`plan` for everything real; the canary's messages go to `channel` and to nobody else."""

    def planned(
        incident: Incident, transition: str, alerts: AlertSettings, facts: Facts, now: datetime
    ) -> tuple[OutboxRow, ...]:
        if incident.scope != SCOPE:
            return tuple(plan(incident, transition, alerts, facts, now))
        return (_row(incident, transition, channel, now),) if channel else ()

    return planned


def _row(incident: Incident, transition: str, channel: Channel, now: datetime) -> OutboxRow:
    blank = OutboxRow(incident.id, transition, RECIPIENT, channel.id, now, now, "", "")
    return replace(blank, subject=f"canary {transition}", body=str(incident.evidence.get("run", "")))
