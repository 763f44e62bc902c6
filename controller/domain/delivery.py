"""The ledger's states: what became of one occurrence on one node. One transition table."""

from __future__ import annotations

from dataclasses import dataclass
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
