"""Who must be told what, on which channel, when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controller.domain.faults import Severity


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach one person: kind "smtp" (an address), "webhook" (a URL) or "apprise" (a URL)."""

    kind: str
    address: str
    secret: str = ""
    """For webhooks: the key of the HMAC-SHA256 over the body."""

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.address}"


@dataclass(frozen=True, slots=True)
class Person:
    """A technician or duty officer. `communes` empty: all communes. Channels in order of preference;
    the first one is used, `also` ones get every message too."""

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
