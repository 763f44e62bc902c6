"""The as-run verdict: what the ledger lets us say about one occurrence on one node, and no more than that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from controller.domain.delivery import TAKEN_BACK, Delivery, DeliveryState, OccurrenceRow

SLACK = timedelta(seconds=10)
"""After the planned end a node has this long to say what became of it (protocol: completed by T+length+10 s)."""


class Heard(StrEnum):
    """What can be claimed of one occurrence on one node; `unknown` is not `failed`."""

    HEARD = "heard"
    UNVERIFIED = "unverified"
    SOUNDING = "sounding"
    PENDING = "pending"
    STOPPED = "stopped"
    """It began, and somebody took it back: nothing failed."""
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


SETTLED: Mapping[DeliveryState, Heard] = {
    DeliveryState.SOUNDING: Heard.SOUNDING,
    DeliveryState.INTERRUPTED: Heard.SOUNDING,
    DeliveryState.FAILED: Heard.FAILED,
    DeliveryState.SKIPPED: Heard.SKIPPED,
    DeliveryState.CANCELLED: Heard.CANCELLED,
    DeliveryState.UNKNOWN: Heard.UNKNOWN,
}


def verdict(delivery: Delivery, occurrence: OccurrenceRow, now: datetime) -> Heard:
    """What is known of `delivery` at `now`.

    Completed without a level measured behind the amplifier is `unverified`; no word after the end is `unknown`.
    """
    if delivery.state is DeliveryState.COMPLETED:
        return Heard.UNVERIFIED if delivery.level_db is None else Heard.HEARD
    if delivery.state is DeliveryState.FAILED and delivery.reason == TAKEN_BACK:
        return Heard.STOPPED
    if delivery.state in SETTLED:
        return SETTLED[delivery.state]
    if occurrence.cancelled_at is not None:
        return Heard.CANCELLED
    return Heard.UNKNOWN if now > occurrence.end + SLACK else Heard.PENDING


def count(verdicts: Iterable[Heard]) -> dict[str, int]:
    """How many of each verdict, every one named, zeros too."""
    seen = Counter(verdicts)
    return {heard.value: seen[heard] for heard in Heard}


def progress(start: datetime, end: datetime, now: datetime) -> float:
    """Share of [start, end] that has passed at `now`, 0 to 1."""
    length = (end - start).total_seconds()
    if length <= 0:
        return 1.0 if now >= start else 0.0
    return min(1.0, max(0.0, (now - start).total_seconds() / length))
