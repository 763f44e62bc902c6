"""Who must be told what, on which channel, when. Pure: rows come out, services store and send them.

An incident that nobody takes climbs: `Escalation.steps` one after the other, then, like one that somebody took, a
reminder when its repair is overdue and each day after it. casebook.py counts the steps and keeps their deadlines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from controller.domain import wording
from controller.domain.centre import EMPTY_ROTA, UNREACHABLE_PERSON
from controller.domain.duty import Rota, on_call
from controller.domain.faults import Severity
from controller.domain.hush import Hush, Night
from controller.domain.incidents import Incident
from controller.domain.watching import WatchSettings
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
    """A technician or duty officer. `communes` empty: all communes. `channels` in order of preference: one message
    goes to the first of them that takes it. `also` always get a copy. `technician` is False for somebody who only
    stands in the rota: the first message of an incident does not go there."""

    id: str
    name: str
    language: str
    channels: tuple[Channel, ...]
    communes: frozenset[str] = frozenset()
    severities: frozenset[Severity] = frozenset(Severity)
    phone: str = ""
    technician: bool = True
    also: tuple[Channel, ...] = ()

    @property
    def reachable(self) -> bool:
        return bool(self.channels or self.also)

    @property
    def copies(self) -> frozenset[str]:
        """Ids of the channels that get a copy whatever becomes of the others."""
        return frozenset(channel.id for channel in self.also) - {channel.id for channel in self.channels}

    @property
    def every_channel(self) -> tuple[Channel, ...]:
        return tuple({channel.id: channel for channel in (*self.channels, *self.also)}.values())


TECHNICIAN, DISTRICT, MANAGER = "technician", "district", "manager"
"""Whom a step tells: those responsible for the commune, or the people on call in a role of the rota."""


@dataclass(frozen=True, slots=True)
class Step:
    """`tell` a role so long after the first message, if nobody has taken the incident by then."""

    after_s: float
    tell: str
    severities: frozenset[Severity] = frozenset(Severity)


@dataclass(frozen=True, slots=True)
class Escalation:
    """`overdue_s` after its opening an incident must be repaired; then, and every `again_s`, a reminder goes out."""

    steps: tuple[Step, ...] = (Step(900, TECHNICIAN), Step(1800, DISTRICT), Step(7200, MANAGER))
    overdue_s: Mapping[Severity, float] = field(
        default_factory=lambda: {
            Severity.CRITICAL: 4 * 3600.0,
            Severity.MAJOR: 24 * 3600.0,
            Severity.MINOR: 72 * 3600.0,
        }
    )
    again_s: float = 24 * 3600.0


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
    failover_s: float = 300
    """A person's next channel is used when the one before has not taken a message for so long."""
    on_call: Rota = field(default_factory=dict)
    escalation: Escalation = Escalation()
    hushes: tuple[Hush, ...] = ()
    night: Night = field(default_factory=Night)
    watch: WatchSettings = field(default_factory=WatchSettings)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the rota from the lowest to the highest."""
        climbed = dict.fromkeys(step.tell for step in self.escalation.steps if step.tell in self.on_call)
        return (*climbed, *(role for role in self.on_call if role not in climbed))

    def ladder(self, severity: Severity) -> tuple[Step, ...]:
        """The steps that an incident climbs; without those to a role that no rota fills."""
        known = {TECHNICIAN, *self.on_call}
        return tuple(step for step in self.escalation.steps if severity in step.severities and step.tell in known)


HELD = timedelta(minutes=30)
"""What was to wait longer than this from the start waits for the digest, not for another channel's turn."""


class OutboxState(StrEnum):
    PENDING = "pending"
    CLAIMED = "claimed"
    SENT = "sent"
    RETRY = "retry"
    UNCERTAIN = "uncertain"
    DEAD = "dead"
    MERGED = "merged"
    """Not sent by itself: a later message to the same person told it too, or another channel took it."""


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

    @property
    def held(self) -> bool:
        """It waited for the morning: it goes in one message with whatever else did."""
        return self.attempts == 0 and self.due_at - self.created_at > HELD


# --- what is told to whom -------------------------------------------------------------------------------


class Transition(StrEnum):
    """Changes of an incident that people are told of. `numbered` makes the name of one occasion."""

    OPENED = "opened"
    SEVERITY = "severity"
    REOPENED = "reopened"
    UNVERIFIED = "unverified"
    REMINDER = "reminder"
    """Nobody has taken it: to those who should."""
    ESCALATED = "escalated"
    """Nobody has taken it: one level up."""
    OVERDUE = "overdue"
    ASSIGNED = "assigned"
    """A person gave its repair to somebody, who is told."""
    RECOVERED = "recovered"


FRESH = frozenset({Transition.OPENED, Transition.SEVERITY, Transition.REOPENED})
"""With these the escalation begins anew."""

NOBODY = "nobody"
"""Recipient of the dead row that says: no person of alerts.yaml could be told."""

NO_CHANNEL = "none:"

_TEXTS: dict[Transition, Callable[[Incident, Facts, str, str, datetime], Message]] = {
    Transition.OPENED: wording.opened,
    Transition.SEVERITY: wording.raised,
    Transition.REOPENED: wording.reopened,
    Transition.UNVERIFIED: wording.unverified,
    Transition.REMINDER: wording.reminder,
    Transition.ESCALATED: wording.escalated,
    Transition.OVERDUE: wording.overdue,
    Transition.ASSIGNED: wording.assigned,
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


def ordinal(transition: str) -> int:
    """Which one of its kind a transition is: 1, 2..."""
    return int(transition.partition("-")[2] or 1)


def messages_for(
    incident: Incident, transition: str, alerts: AlertSettings, facts: Facts, now: datetime
) -> tuple[OutboxRow, ...]:
    """The outbox rows of one transition: for each person who is to be told one for each channel.

    `transition` is a name by `numbered` (ValueError for another one): with recipient and channel it makes
    the row unique, so the same occasion must get the same name and another occasion another one.
    `incident.severity` is the highest that it has had; `facts.step` counts the steps climbed, this one too.
    A recovery goes to exactly those in `facts.told`. Whoever should be told and cannot be gets a row that is dead
    from the start, so that it is seen. A row for a second channel is due when the first has had its time.
    """
    kind = kind_of(transition)
    held = alerts.night.digest_at(incident.severity, now, facts.zone)
    row = OutboxRow(
        incident=incident.id,
        transition=transition,
        recipient=NOBODY,
        channel=NO_CHANNEL,
        due_at=held or now,
        created_at=now,
        subject="",
        body="",
    )
    told = frozenset(recipient for recipient, _ in facts.told or ())
    facts = replace(facts, ordinal=ordinal(transition), called=_called(alerts, told))

    def text(language: str) -> Message:
        return _TEXTS[kind](incident, facts, language, alerts.page_url, now)

    def rows_of(people: Iterable[Person]) -> list[OutboxRow]:
        return [made for one in people for made in rows_for(one, row, text(one.language), alerts.failover_s)]

    if kind is Transition.RECOVERED and facts.told is not None:
        rows = rows_of(person for person in alerts.people if person.id in told)
        return tuple(made for made in rows if made.state is OutboxState.PENDING)
    people = recipients(incident, kind, alerts, facts, now)
    rows = rows_of(people)
    if kind is Transition.ASSIGNED or any(made.state is OutboxState.PENDING for made in rows):
        return tuple(rows)
    return (*rows, *_last_resort(incident, alerts, people, row, text))


def recipients(
    incident: Incident, kind: Transition, alerts: AlertSettings, facts: Facts, now: datetime
) -> tuple[Person, ...]:
    """Who is to hear of a transition other than a recovery."""
    zone, told = facts.zone, {recipient for recipient, _ in facts.told or ()}
    has_it = tuple(person for person in alerts.people if person.id == facts.assignee)
    first = (*audience(incident, alerts, zone, now, facts.communes), *has_it)
    match kind:
        case Transition.SEVERITY:
            more = tuple(person for person in alerts.people if person.id in told)
        case Transition.ASSIGNED:
            return has_it
        case Transition.ESCALATED:
            return step_audience(incident, facts.step, alerts, zone, now, facts.communes)
        case Transition.OVERDUE | Transition.UNVERIFIED:
            more = duty(alerts, alerts.roles[:1], zone, now)
        case _:
            more = ()
    return tuple({person.id: person for person in (*first, *more)}.values())


def audience(
    incident: Incident, alerts: AlertSettings, zone: ZoneInfo, now: datetime, communes: frozenset[str] = frozenset()
) -> tuple[Person, ...]:
    """Who hears of an incident first. What is wrong with the people themselves goes one level up. `communes`: as in
    Facts."""
    kind, _, whom = incident.cause.partition(":")  # the person's or the role's id
    if kind == UNREACHABLE_PERSON:
        return upward(alerts, "", whom, zone, now)
    if kind == EMPTY_ROTA:
        return upward(alerts, whom, "", zone, now)
    return listeners(incident, alerts.people, communes)


def step_audience(
    incident: Incident,
    step: int,
    alerts: AlertSettings,
    zone: ZoneInfo,
    now: datetime,
    communes: frozenset[str] = frozenset(),
) -> tuple[Person, ...]:
    """Whom the step of that number (from 1) tells. `communes`: as in Facts."""
    steps = alerts.ladder(incident.severity)
    role = steps[min(step, len(steps)) - 1].tell if steps and step else TECHNICIAN
    if role == TECHNICIAN:
        return audience(incident, alerts, zone, now, communes)
    return duty(alerts, (role,), zone, now) or upward(alerts, role, "", zone, now)


def duty(alerts: AlertSettings, roles: Iterable[str], zone: ZoneInfo, now: datetime) -> tuple[Person, ...]:
    """The people on call in `roles` who have a channel."""
    ids = {id for role in roles for id in on_call(alerts.on_call.get(role, ()), now, zone)}
    return tuple(person for person in alerts.people if person.id in ids and person.reachable)


def upward(alerts: AlertSettings, above: str, without: str, zone: ZoneInfo, now: datetime) -> tuple[Person, ...]:
    """Whoever is on call in the lowest role above `above` that has somebody else than `without`; everybody if none."""
    roles = alerts.roles
    for role in roles[roles.index(above) + 1 :] if above in roles else roles:
        found = tuple(person for person in duty(alerts, (role,), zone, now) if person.id != without)
        if found:
            return found
    return tuple(person for person in alerts.people if person.reachable and person.id != without)


def listeners(
    incident: Incident, people: Iterable[Person], communes: frozenset[str] = frozenset()
) -> tuple[Person, ...]:
    """Who is to hear of an incident: those responsible for its commune, or for one of `communes` if it is not one's
    (everybody when nobody is), who want its severity. A critical one is never nobody's: then all responsible people
    hear of it."""
    candidates = responsible(frozenset({incident.commune}) if incident.commune else communes, people)
    wanting = tuple(person for person in candidates if incident.severity in person.severities)
    return candidates if not wanting and incident.severity is Severity.CRITICAL else wanting


def responsible(communes: frozenset[str], people: Iterable[Person]) -> tuple[Person, ...]:
    """The technicians of any of `communes` (empty: of the whole site); all of them when these have none."""
    known = tuple(people)
    everyone = tuple(person for person in known if person.technician) or known
    own = tuple(person for person in everyone if not person.communes or not communes or communes & person.communes)
    return own or everyone


def rows_for(person: Person, row: OutboxRow, text: Message, failover_s: float) -> list[OutboxRow]:
    """`row` for each channel of `person`: the first channel and all that get a copy at once, each further one
    `failover_s` later. What one channel has taken, the others of the row are not sent (outbox.py)."""
    row = replace(row, recipient=person.id, subject=text.subject, body=text.body)
    if not person.reachable:
        return [replace(row, state=OutboxState.DEAD, last_error=f"{person.name} has no channel in alerts.yaml")]
    chain = dict.fromkeys(channel.id for channel in person.channels)
    waits = (timedelta(seconds=number * failover_s) for number in range(len(chain)))
    rows = [replace(row, channel=channel, due_at=row.due_at + wait) for channel, wait in zip(chain, waits, strict=True)]
    return rows + [replace(row, channel=channel) for channel in sorted(person.copies)]


def _called(alerts: AlertSettings, told: frozenset[str]) -> tuple[str, ...]:
    """Names and numbers of those who heard of it before, for whoever asks them."""
    people = (person for person in alerts.people if person.id in told)
    return tuple(f"{person.name}, {person.phone}" if person.phone else person.name for person in people)


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
    others = [person for person in alerts.people if person.reachable and person not in asked]
    rows = [made for one in others for made in rows_for(one, row, text(one.language), alerts.failover_s)]
    if rows:
        return rows
    told = text("vi")
    reason = f"nobody in alerts.yaml can be told of {incident.subject}"
    dead = replace(row, subject=told.subject, body=told.body, state=OutboxState.DEAD, last_error=reason)
    return [dead]
