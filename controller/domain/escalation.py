"""Who must be told what, on which channel, when. Pure: rows come out, services store and send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controller.domain import wording
from controller.domain.faults import Severity
from controller.domain.incidents import Incident
from controller.domain.wording import Facts, Message


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach one person: kind "smtp" (an address), "webhook" (a URL) or "apprise" (a URL)."""

    kind: str
    address: str
    secret: str = ""
    """For webhooks: the key of the HMAC-SHA256 over timestamp and body (docs/alerts.md)."""

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.address}"


@dataclass(frozen=True, slots=True)
class Person:
    """A technician or duty officer. `communes` empty: all communes. `channels` in order of preference;
    every one of them gets every message."""

    id: str
    name: str
    language: str
    channels: tuple[Channel, ...]
    communes: frozenset[str] = frozenset()
    severities: frozenset[Severity] = frozenset(Severity)
    phone: str = ""


@dataclass(frozen=True, slots=True)
class Smtp:
    """The mail relay. `tls`: "none", "starttls" or "tls"."""

    host: str
    port: int
    sender: str
    username: str = ""
    password: str = ""
    tls: str = "none"
    timeout_s: float = 20


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """config/alerts.yaml."""

    people: tuple[Person, ...]
    smtp: Smtp | None = None
    wait_critical_s: float = 15
    wait_other_s: float = 30
    link_told_s: float = 300
    link_told_urgent_s: float = 90
    page_url: str = ""


class OutboxState(StrEnum):
    PENDING = "pending"
    CLAIMED = "claimed"
    SENT = "sent"
    RETRY = "retry"
    UNCERTAIN = "uncertain"
    DEAD = "dead"
    MERGED = "merged"
    """Not sent by itself: a later message to the same person told it too."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to one person on one channel. Unique: (incident, transition, recipient, channel).

    `transition` names the change and its ordinal, as "opened", "severity-2", "recovered", "reopened-3".
    Subject and body are rendered when the row is written: they tell what was true then.
    """

    incident: int
    transition: str
    recipient: str
    channel: str
    due_at: datetime
    created_at: datetime
    subject: str
    body: str
    id: int = 0
    state: OutboxState = OutboxState.PENDING
    attempts: int = 0
    claimed_until: datetime | None = None
    sent_at: datetime | None = None
    last_error: str = ""


# --- what is told to whom -------------------------------------------------------------------------------


class Transition(StrEnum):
    """Changes of an incident that people are told of. `numbered` makes the name of one occasion."""

    OPENED = "opened"
    SEVERITY = "severity"
    REOPENED = "reopened"
    UNVERIFIED = "unverified"
    RECOVERED = "recovered"


NOBODY = "nobody"
"""Recipient of the dead row that says: no person of alerts.yaml could be told."""

NO_CHANNEL = "none:"

_TEXTS: dict[Transition, Callable[[Incident, Facts, str, str, datetime], Message]] = {
    Transition.OPENED: wording.opened,
    Transition.SEVERITY: wording.raised,
    Transition.REOPENED: wording.reopened,
    Transition.UNVERIFIED: wording.unverified,
    Transition.RECOVERED: wording.recovered,
}


def numbered(kind: Transition, earlier: Iterable[str]) -> str:
    """The name of the next transition of `kind`: "opened", then "opened-2"... `earlier` are the names of
    all transitions that the incident has had."""
    count = sum(1 for name in earlier if name.partition("-")[0] == kind.value)
    return kind.value if count == 0 else f"{kind.value}-{count + 1}"


def kind_of(transition: str) -> Transition:
    """The kind of a numbered name; ValueError for one that nobody is told of."""
    return Transition(transition.partition("-")[0])


def told_of(rows: Iterable[OutboxRow]) -> frozenset[tuple[str, str]]:
    """The (recipient, channel) pairs of an incident's outbox rows, for `Facts.told`."""
    return frozenset((row.recipient, row.channel) for row in rows)


def messages_for(
    incident: Incident, transition: str, alerts: AlertSettings, facts: Facts, now: datetime
) -> tuple[OutboxRow, ...]:
    """The outbox rows of one transition: one for each channel of each person who is to be told.

    `transition` is a name by `numbered` (ValueError for another one): with recipient and channel it makes
    the row unique, so the same occasion must get the same name and another occasion another one.
    `incident.severity` is the highest that it has had. A recovery goes to exactly those in `facts.told`.
    Whoever should be told and cannot be gets a row that is dead from the start, so that it is seen.
    """
    kind = kind_of(transition)
    row = OutboxRow(
        incident=incident.id,
        transition=transition,
        recipient=NOBODY,
        channel=NO_CHANNEL,
        due_at=now,
        created_at=now,
        subject="",
        body="",
    )

    def text(language: str) -> Message:
        return _TEXTS[kind](incident, facts, language, alerts.page_url, now)

    if kind is Transition.RECOVERED and facts.told is not None:
        rows = [made for person in alerts.people for made in _rows_for(person, row, text(person.language))]
        return tuple(made for made in rows if _was_told(made, facts.told))
    people = listeners(incident, alerts.people)
    rows = [made for person in people for made in _rows_for(person, row, text(person.language))]
    if any(made.state is OutboxState.PENDING for made in rows):
        return tuple(rows)
    return (*rows, *_last_resort(incident, alerts, people, row, text))


def listeners(incident: Incident, people: Iterable[Person]) -> tuple[Person, ...]:
    """Who is to hear of an incident: those responsible for its commune (everybody when nobody is), who
    want its severity. A critical one is never nobody's: then all responsible people hear of it."""
    everyone = tuple(people)
    responsible = tuple(
        person
        for person in everyone
        if not person.communes or not incident.commune or incident.commune in person.communes
    )
    candidates = responsible or everyone
    wanting = tuple(person for person in candidates if incident.severity in person.severities)
    return candidates if not wanting and incident.severity is Severity.CRITICAL else wanting


def _was_told(row: OutboxRow, told: frozenset[tuple[str, str]]) -> bool:
    return row.state is OutboxState.PENDING and (row.recipient, row.channel) in told


def _rows_for(person: Person, row: OutboxRow, text: Message) -> list[OutboxRow]:
    row = replace(row, recipient=person.id, subject=text.subject, body=text.body)
    if not person.channels:
        return [replace(row, state=OutboxState.DEAD, last_error=f"{person.name} has no channel in alerts.yaml")]
    return [replace(row, channel=channel) for channel in dict.fromkeys(c.id for c in person.channels)]


def _last_resort(
    incident: Incident,
    alerts: AlertSettings,
    asked: tuple[Person, ...],
    row: OutboxRow,
    text: Callable[[str], Message],
) -> list[OutboxRow]:
    """Nobody of `asked` can be reached: one level up, everybody else who has a channel; or a dead row."""
    if not asked and alerts.people:
        return []  # nobody wants this severity: that is their choice, and the page shows it
    others = [person for person in alerts.people if person.channels and person not in asked]
    rows = [made for person in others for made in _rows_for(person, row, text(person.language))]
    if rows:
        return rows
    told = text("vi")
    reason = f"nobody in alerts.yaml can be told of {incident.subject}"
    dead = replace(row, subject=told.subject, body=told.body, state=OutboxState.DEAD, last_error=reason)
    return [dead]
