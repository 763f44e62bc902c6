"""Who would be told when, if something broke now and nobody answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from controller.domain.escalation import AlertSettings, Person, Transition, audience, duty, step_audience
from controller.domain.faults import Severity
from controller.domain.incidents import Incident, IncidentState


@dataclass(frozen=True, slots=True)
class Word:
    """One step: `people` are told at `at`. `role`: in which role of the rota, "" for those who serve the place."""

    at: datetime
    what: Transition
    role: str
    people: tuple[Person, ...]


def preview(
    alerts: AlertSettings, node: str, commune: str, severity: Severity, zone: ZoneInfo, at: datetime
) -> tuple[Word, ...]:
    """The steps for a fault that is told at `at` and that nobody takes, the rota as it is at each step's time."""
    incident = Incident(
        id=0,
        scope="node" if node else "commune",
        subject=node or commune,
        commune=commune,
        cause="",
        component="",
        severity=severity,
        state=IncidentState.OPEN,
        opened_at=at,
        updated_at=at,
    )
    first = alerts.night.digest_at(severity, at, zone) or at
    words = [Word(first, Transition.OPENED, "", audience(incident, alerts, zone, first))]
    ladder = alerts.ladder(severity)
    for number, step in enumerate(ladder, 1):
        when = first + timedelta(seconds=step.after_s)
        people = step_audience(incident, number, alerts, zone, when)
        up = step.tell in alerts.on_call
        words.append(Word(when, Transition.ESCALATED if up else Transition.REMINDER, step.tell if up else "", people))
    due = max(at + timedelta(seconds=alerts.escalation.overdue_s[severity]), words[-1].at)
    above = duty(alerts, alerts.roles[:1], zone, due)
    late = {person.id: person for person in (*audience(incident, alerts, zone, due), *above)}
    return (*words, Word(due, Transition.OVERDUE, "", tuple(late.values())))
