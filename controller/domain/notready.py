"""The message that says which nodes are not ready for an airing: one for each responsible person, of their nodes only.
Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from broadcasts.model import Node, Priority
from controller.domain.delivery import OccurrenceRow
from controller.domain.escalation import (
    NO_CHANNEL,
    NOBODY,
    OutboxRow,
    OutboxState,
    Person,
    Transition,
    listeners,
    rows_for,
)
from controller.domain.faults import FaultRule, Severity
from controller.domain.incidents import Incident, IncidentState
from controller.domain.preflight import LACKS, Finding, Lack, by_node
from controller.domain.wording import SUBJECT_LIMIT, Message, clock, lower_first

SCOPE, CAUSE, COMPONENT = "occurrence", "not-ready", "service"

NAMED = 15
"""Nodes that a message names; it says how many there are."""


@dataclass(frozen=True, slots=True)
class Place:
    """What texts need to know of the site."""

    zone: ZoneInfo
    nodes: Mapping[str, Node]
    communes: Mapping[str, str]
    rules: Mapping[str, FaultRule]
    page_url: str = ""
    failover_s: float = 300


def notice(row: OccurrenceRow, findings: Sequence[Finding], now: datetime) -> Incident:
    """What the message stands under. It is closed from the start: the causes have incidents of their own, which
    people take and measurements close; this one only says what they mean for an airing."""
    return Incident(
        id=0,
        scope=SCOPE,
        subject=row.id,
        commune="",
        cause=CAUSE,
        component=COMPONENT,
        severity=Severity.CRITICAL if row.priority is Priority.EMERGENCY else Severity.MAJOR,
        state=IncidentState.CLOSED,
        opened_at=now,
        updated_at=now,
        closed_at=now,
        announced=True,
        nodes=tuple(by_node(findings)),
    )


def untold(findings: Sequence[Finding], incidents: Sequence[Incident]) -> tuple[Finding, ...]:
    """Findings of nodes of which no open incident has been told: for the others, people know already."""
    told = {incident.subject for incident in incidents if incident.announced}
    told |= {node for incident in incidents if incident.announced for node in incident.nodes}
    return tuple(finding for finding in findings if finding.node not in told)


def responsible(
    incident: Incident, nodes: Sequence[str], people: Sequence[Person], place: Place
) -> dict[Person, tuple[str, ...]]:
    """Which of `nodes` each person is to hear of."""
    found: dict[Person, tuple[str, ...]] = {}
    for id in nodes:
        node = place.nodes.get(id)
        there = replace(incident, commune=node.commune if node else "")
        for person in listeners(there, people):
            found[person] = (*found.get(person, ()), id)
    return found


def messages(
    incident: Incident,
    row: OccurrenceRow,
    findings: Sequence[Finding],
    people: Sequence[Person],
    place: Place,
    now: datetime,
) -> tuple[OutboxRow, ...]:
    """One message for each responsible person and channel; a dead row when nobody can be told."""
    found = by_node(findings)
    rows = [
        made
        for person, nodes in responsible(incident, tuple(found), people, place).items()
        for made in rows_for(
            person,
            _row(incident, now),
            text(row, {id: found[id] for id in nodes}, place, person.language),
            place.failover_s,
        )
    ]
    if any(made.state is OutboxState.PENDING for made in rows):
        return tuple(rows)
    return (*rows, _nobody(_row(incident, now), text(row, found, place, "vi")))


def text(row: OccurrenceRow, lacking: Mapping[str, tuple[Finding, ...]], place: Place, language: str) -> Message:
    """Which nodes of `lacking` lack what before `row` airs."""
    count, when = len(lacking), clock(row.start, place.zone, language)
    short = f"{row.start.astimezone(place.zone):%H:%M}"
    say = partial(_say, language)
    lines = [
        say(
            f"“{row.title}” phát lúc {when}: {count} cụm loa chưa sẵn sàng.",
            f"“{row.title}” airs at {when}: {count} node(s) are not ready.",
        ),
        "",
        *(f"- {_named(id, place)}: {_lacks(found, place, language)}" for id, found in list(lacking.items())[:NAMED]),
    ]
    if count > NAMED:
        lines.append(say(f"và {count - NAMED} cụm loa nữa", f"and {count - NAMED} more"))
    lines += ["", say("Loa đã gửi lại những gì còn thiếu.", "What was missing was sent again.")]
    lines.append(f"{say('Chi tiết', 'Details')}: loa why {row.id}")
    if place.page_url:
        lines.append(f"{say('Trang theo dõi', 'Page')}: {place.page_url.rstrip('/')}/#part-next")
    tag, unit = say("Chưa sẵn sàng", "Not ready"), say("cụm loa", "node(s)")
    subject = _short(f"[{tag}] {row.title} {short}: {count} {unit}")
    return Message(subject, unicodedata.normalize("NFC", "\n".join(lines)))


def told(finding: Finding, rules: Mapping[str, FaultRule], language: str) -> str:
    """One finding in words; a fault by its own name."""
    rule = rules.get(finding.detail)
    if finding.lack is Lack.FAULT and rule is not None:
        return lower_first(rule.title.in_language(language))
    said = LACKS[finding.lack].in_language(language)
    return f"{said} ({finding.detail})" if finding.detail else said


def _lacks(found: Sequence[Finding], place: Place, language: str) -> str:
    return ", ".join(told(finding, place.rules, language) for finding in found)


def _named(id: str, place: Place) -> str:
    node = place.nodes.get(id)
    return f"{place.communes.get(node.commune, node.commune)}, {node.name} ({id})" if node else id


def _say(language: str, vi: str, en: str) -> str:
    return en if language == "en" else vi


def _short(subject: str) -> str:
    line = unicodedata.normalize("NFC", " ".join(subject.split()))
    return line if len(line) <= SUBJECT_LIMIT else line[: SUBJECT_LIMIT - 1].rstrip() + "…"


def _row(incident: Incident, now: datetime) -> OutboxRow:
    return OutboxRow(
        incident=incident.id,
        transition=Transition.OPENED.value,
        recipient=NOBODY,
        channel=NO_CHANNEL,
        due_at=now,
        created_at=now,
        subject="",
        body="",
    )


def _nobody(row: OutboxRow, told: Message) -> OutboxRow:
    reason = "nobody in alerts.yaml can be told"
    return replace(row, subject=told.subject, body=told.body, state=OutboxState.DEAD, last_error=reason)
