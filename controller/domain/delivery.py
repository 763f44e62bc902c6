"""The ledger's states: what became of one occurrence on one node.

One transition table. "Unknown" is no verdict of failure: no word came by the deadline, and a word that comes later
moves on from there. A cancelled occurrence that a cut-off node played all the same is shown as played. An event that
is not in the table changes nothing and is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from broadcasts.model import Priority


class DeliveryState(StrEnum):
    """Unknown is not failed: no word came by the deadline."""

    PLANNED = "planned"
    PUBLISHED = "published"
    ACCEPTED = "accepted"
    READY = "ready"
    SOUNDING = "sounding"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Event(StrEnum):
    """What may happen to a delivery: the controller's doing, the node's journal, a deadline."""

    PUBLISHED = "published"
    ACCEPTED = "accepted"
    READY = "ready"
    STARTED = "started"
    INTERRUPTED = "interrupted"
    RESUMED = "resumed"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    PLANNED_AGAIN = "planned-again"
    DEADLINE = "deadline"


S = DeliveryState
E = Event

FINAL = frozenset({S.COMPLETED, S.FAILED, S.SKIPPED})
WAITING = frozenset({S.PLANNED, S.PUBLISHED, S.ACCEPTED, S.READY})
ON_AIR = frozenset({S.SOUNDING, S.INTERRUPTED})

_PLAYED = {
    E.STARTED: S.SOUNDING,
    E.INTERRUPTED: S.INTERRUPTED,
    E.RESUMED: S.SOUNDING,
    E.COMPLETED: S.COMPLETED,
    E.FAILED: S.FAILED,
    E.SKIPPED: S.SKIPPED,
}
"""What a node says of its playing is true whatever the controller believed before."""

TABLE: dict[tuple[DeliveryState, Event], DeliveryState] = {
    (S.PLANNED, E.PUBLISHED): S.PUBLISHED,
    (S.PUBLISHED, E.PUBLISHED): S.PUBLISHED,
    (S.ACCEPTED, E.PUBLISHED): S.ACCEPTED,
    (S.READY, E.PUBLISHED): S.READY,
    (S.UNKNOWN, E.PUBLISHED): S.UNKNOWN,
    # A node may accept before the broker's acknowledgement of the publish reaches us.
    (S.PLANNED, E.ACCEPTED): S.ACCEPTED,
    (S.PUBLISHED, E.ACCEPTED): S.ACCEPTED,
    (S.ACCEPTED, E.ACCEPTED): S.ACCEPTED,
    (S.READY, E.ACCEPTED): S.READY,
    (S.UNKNOWN, E.ACCEPTED): S.UNKNOWN,
    (S.PLANNED, E.READY): S.READY,
    (S.PUBLISHED, E.READY): S.READY,
    (S.ACCEPTED, E.READY): S.READY,
    (S.READY, E.READY): S.READY,
    (S.UNKNOWN, E.READY): S.UNKNOWN,
    **{(state, event): after for state in {*WAITING, *ON_AIR, S.UNKNOWN} for event, after in _PLAYED.items()},
    **{(S.CANCELLED, event): after for event, after in _PLAYED.items() if event is not E.SKIPPED},
    (S.CANCELLED, E.SKIPPED): S.CANCELLED,
    **{(state, E.CANCELLED): S.CANCELLED for state in {*WAITING, S.UNKNOWN}},
    # What sounds is stopped by the node, whose word says how far it came.
    **{(state, E.CANCELLED): state for state in ON_AIR},
    (S.CANCELLED, E.PLANNED_AGAIN): S.PLANNED,
    **{(state, E.DEADLINE): S.UNKNOWN for state in {*WAITING, *ON_AIR}},
    (S.UNKNOWN, E.DEADLINE): S.UNKNOWN,
}


class UnexpectedEvent(ValueError):
    """An event that the table does not know in this state; nothing changed."""


@dataclass(frozen=True, slots=True)
class OccurrenceRow:
    """One airing in the ledger. `source` is "config" or "now"; `cancelled_at` set: taken back, `reason` says why."""

    id: str
    broadcast: str
    title: str
    start: datetime
    end: datetime
    priority: Priority
    rank: int
    source: str
    planned_at: datetime
    cancelled_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One occurrence on one node. `level_db` None after completion: unverified."""

    occurrence: str
    node: str
    state: DeliveryState
    at: datetime
    reason: str = ""
    started_at: datetime | None = None
    late_ms: int | None = None
    played_ms: int | None = None
    level_db: float | None = None


@dataclass(frozen=True, slots=True)
class DeliveryEvent:
    """One transition of a delivery: `at` is when it became true (the node's clock for journal entries)."""

    occurrence: str
    node: str
    at: datetime
    state: DeliveryState
    reason: str = ""


def advance(delivery: Delivery, event: Event, at: datetime, reason: str = "") -> Delivery:
    """`delivery` after `event`; the same object when nothing changes. UnexpectedEvent if the table has no such row."""
    after = TABLE.get((delivery.state, event))
    if after is None:
        raise UnexpectedEvent(f"{event} of {delivery.occurrence} on {delivery.node}, which is {delivery.state}")
    if after is delivery.state:
        return delivery
    return replace(delivery, state=after, at=at, reason=reason)


PLAYING_WORDS = frozenset(_PLAYED)
"""Events that only the node's journal can bring."""

TAKEN_BACK = "cancelled"
"""Why a node skips what is not in its newest document."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a node's journal says of its playing; `event` by the name of the journal's kind."""

    event: Event
    at: datetime
    reason: str = ""
    late_ms: int | None = None
    played_ms: int | None = None
    level_db: float | None = None


def journaled(delivery: Delivery, word: Word) -> Delivery:
    """`delivery` after a word of the node. UnexpectedEvent if that can't be (nothing changed)."""
    if word.event is E.SKIPPED and word.reason == TAKEN_BACK and delivery.state in {*WAITING, S.UNKNOWN}:
        return delivery  # the echo of an edit that was itself taken back: the node will play it, and say so
    after = advance(delivery, word.event, word.at, word.reason)
    if word.event is E.STARTED and after.started_at is None:
        return replace(after, started_at=word.at, late_ms=word.late_ms)
    if word.event in (E.COMPLETED, E.FAILED) and after is not delivery:
        return replace(after, played_ms=word.played_ms, level_db=word.level_db)
    return after


def deadline_reason(delivery: Delivery) -> str:
    """Why a delivery is unknown once its time has passed: the last that was heard of it."""
    return f"no word by the deadline; last known: {delivery.state}"
