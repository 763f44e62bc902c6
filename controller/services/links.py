"""The link in a message: lets its recipient, and whoever holds that message, act on one incident without a login.

A token names incident, transition and recipient, with 160 bits of a MAC that only a controller with the signing
key can make (docs/adr/0008). Nothing is stored for it. Looking at it changes nothing; acting needs a nonce that
the page carries and that works once. Times come in as arguments, randomness as `salt`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from controller.domain.escalation import AlertSettings, OutboxRow, Transition
from controller.domain.incidents import Incident
from controller.domain.wording import Facts

PlanMessages = Callable[[Incident, str, AlertSettings, Facts, datetime], tuple[OutboxRow, ...]]

MAC_BYTES = 20
NONCE_LIFE = timedelta(hours=12)
"""How long a page that was opened can be sent."""
KEPT = timedelta(days=7)
"""A link works for so long after its incident was closed."""

PATH = "/o/"
_MARK = "{token}"
_LONGEST = 600

FRESH = frozenset({Transition.OPENED, Transition.SEVERITY, Transition.REOPENED})
"""Messages after which the links of earlier ones only show: what one agreed to then was something else."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token stands for. `recipient` is a person's id, `transition` a numbered name as in the outbox."""

    incident: int
    transition: str
    recipient: str


class Standing(StrEnum):
    """What a genuine link is still good for."""

    GOOD = "good"
    SUPERSEDED = "superseded"
    """It shows the order; acting needs the link of a newer message."""
    EXPIRED = "expired"


class Links:
    """Makes tokens and nonces, and tells genuine ones. `secret`: 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, ticket: Ticket) -> str:
        """The same ticket gives the same token: a message rendered again carries the same link."""
        told = f"{ticket.incident}.{ticket.transition}.{ticket.recipient}".encode()
        return f"{_b64(told)}.{_b64(self._mac(b'token', told))}"

    def read(self, token: str) -> Ticket | None:
        """What `token` stands for; None if it is none of ours. Compared in constant time."""
        told, _, mac = token.partition(".")
        try:
            raw, given = _unb64(told[:_LONGEST]), _unb64(mac[:_LONGEST])
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(given, self._mac(b"token", raw)):
            return None
        incident, transition, recipient = raw.decode().split(".", 2)
        return Ticket(int(incident), transition, recipient)

    def nonce(self, token: str, salt: str, now: datetime) -> str:
        """Lets the page of `token` be sent once. `salt`: random, of its own for each page."""
        told = f"{int(now.timestamp())}.{salt}"
        return f"{told}.{self._seal(token, told)}"

    def is_good(self, token: str, nonce: str, now: datetime) -> bool:
        """Was `nonce` made for `token`, and not too long ago? (That it was not used before the store tells.)"""
        told, _, seal = nonce.rpartition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(token, told).encode()):
            return False
        made = int(told.partition(".")[0])
        return 0 <= int(now.timestamp()) - made <= NONCE_LIFE.total_seconds()

    def linking(self, plan: PlanMessages) -> PlanMessages:
        """`plan`, with its link in every message: rows are rendered once, so each gets its own here."""

        def planned(
            incident: Incident, transition: str, alerts: AlertSettings, facts: Facts, now: datetime
        ) -> tuple[OutboxRow, ...]:
            if not alerts.page_url:
                return plan(incident, transition, alerts, facts, now)
            link = f"{alerts.page_url.rstrip('/')}{PATH}{_MARK}"
            rows = plan(incident, transition, alerts, replace(facts, link=link), now)
            return tuple(self._linked(row, link) for row in rows)

        return planned

    def of(self, row: OutboxRow, page_url: str) -> str:
        """The link in a message's body; empty for one that has none."""
        link = f"{page_url.rstrip('/')}{PATH}{self.token(Ticket(row.incident, row.transition, row.recipient))}"
        return link if link in row.body else ""

    def _linked(self, row: OutboxRow, link: str) -> OutboxRow:
        token = self.token(Ticket(row.incident, row.transition, row.recipient))
        return replace(row, body=row.body.replace(link, link.replace(_MARK, token)))

    def _seal(self, token: str, told: str) -> str:
        return _b64(self._mac(b"nonce", f"{token} {told}".encode()))

    def _mac(self, purpose: bytes, told: bytes) -> bytes:
        return hmac.digest(self._secret, purpose + b"\0" + told, hashlib.sha256)[:MAC_BYTES]


def standing(
    ticket: Ticket, incident: Incident | None, rows: Iterable[OutboxRow], people: Iterable[str], now: datetime
) -> Standing:
    """What the link of `ticket` is good for. `rows`: the incident's outbox; `people`: the ids in alerts.yaml."""
    if incident is None or ticket.recipient not in people:
        return Standing.EXPIRED
    if incident.closed_at is not None and now - incident.closed_at > KEPT:
        return Standing.EXPIRED
    told = sorted((row for row in rows if row.recipient == ticket.recipient), key=lambda row: row.id)
    mine = max((row.id for row in told if row.transition == ticket.transition), default=0)
    newer = any(row.id > mine and row.transition != ticket.transition and _is_fresh(row) for row in told)
    return Standing.SUPERSEDED if newer else Standing.GOOD


def _is_fresh(row: OutboxRow) -> bool:
    return row.transition.partition("-")[0] in FRESH


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
