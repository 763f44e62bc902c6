"""What the controller measures of its own work while it does it: how long, how often, how late."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Protocol, TypeVar, runtime_checkable

from controller.domain.delivery import DeliveryState
from controller.domain.escalation import Channel, OutboxState
from controller.domain.site import Settings
from controller.ports import (
    NOBODY_SUBSCRIBED,
    Bus,
    BusEvent,
    Clock,
    Handed,
    Notifier,
    NotifyError,
    Outgoing,
    Received,
    Store,
    Tx,
)

T = TypeVar("T")

BOUNDS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Upper bounds of the histograms."""


class Histogram:
    """Seconds, counted by bounds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(frozen=True, slots=True)
class Gauges:
    """All of them. `messages` by (kind of channel, outcome): sent, refused, failed."""

    transactions: Histogram = field(default_factory=Histogram)
    publishes: Histogram = field(default_factory=Histogram)
    intake: Histogram = field(default_factory=Histogram)
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)


class MeasuredStore:
    """A store whose transactions are timed, the wait for their turn included."""

    def __init__(self, inner: Store, gauges: Gauges, clock: Clock) -> None:
        self._inner = inner
        self._gauges = gauges
        self._clock = clock

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        start = self._clock.monotonic()
        try:
            return await self._inner.transact(work, ahead=ahead)
        finally:
            self._gauges.transactions.add(self._clock.monotonic() - start)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._inner.read(work)

    async def close(self) -> None:
        await self._inner.close()


class MeasuredBus:
    """A bus that tells how long the broker takes to acknowledge, and how long what came in has waited for us."""

    def __init__(self, inner: Bus, gauges: Gauges, clock: Clock) -> None:
        self._inner = inner
        self._gauges = gauges
        self._clock = clock

    @property
    def connected(self) -> bool:
        return self._inner.connected

    @property
    def oldest(self) -> float | None:
        return self._inner.oldest

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def events(self) -> AsyncIterator[Sequence[BusEvent]]:
        async for batch in self._inner.events():
            oldest = next((event.mono for event in batch if isinstance(event, Received)), None)
            if oldest is not None:
                self._gauges.intake.add(max(0.0, self._clock.monotonic() - oldest))
            yield batch

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        qos: int = 1,
        expiry_s: int | None = None,
        bulk: bool = False,
        handed: Handed | None = None,
    ) -> str:
        start = self._clock.monotonic()
        reason = await self._inner.publish(
            topic, payload, retain=retain, qos=qos, expiry_s=expiry_s, bulk=bulk, handed=handed
        )
        if reason in ("", NOBODY_SUBSCRIBED):  # taken either way
            self._gauges.publishes.add(self._clock.monotonic() - start)
        return reason


@runtime_checkable
class _Configured(Protocol):
    def reload(self, settings: Settings) -> None: ...


class MeasuredNotifier:
    """A sender whose outcomes are counted by kind of channel."""

    def __init__(self, inner: Notifier, gauges: Gauges) -> None:
        self._inner = inner
        self._gauges = gauges

    async def send(self, channel: Channel, message: Outgoing) -> None:
        try:
            await self._inner.send(channel, message)
        except NotifyError as error:
            self._gauges.messages[channel.kind, "refused" if error.permanent else "failed"] += 1
            raise
        self._gauges.messages[channel.kind, "sent"] += 1

    def reload(self, settings: Settings) -> None:
        if isinstance(self._inner, _Configured):
            self._inner.reload(settings)


@dataclass(frozen=True, slots=True)
class Tally:
    """What the database counts at one moment. `incidents` by (severity, cause); `deliveries` and the rest of today."""

    outbox: Mapping[OutboxState, int]
    incidents: Mapping[tuple[str, str], int]
    deliveries: Mapping[DeliveryState, int]
    occurrences: int
    cancelled: int
    journal_backlog: int


def tally(tx: Tx, settings: Settings, now: datetime) -> Tally:
    """Count it; `tx` only reads."""
    zone = settings.site.zone
    midnight = datetime.combine(now.astimezone(zone).date(), time(), zone)
    tomorrow = datetime.combine(midnight.date() + timedelta(days=1), time(), zone)
    rows = [row for row in tx.occurrences(midnight, tomorrow) if row.start >= midnight]
    causes = [row for row in tx.open_incidents() if row.parent is None]
    return Tally(
        outbox=tx.outbox_states(),
        incidents=Counter((row.severity.value, row.cause.partition(":")[0]) for row in causes),
        deliveries=tx.delivery_states(midnight, tomorrow),
        occurrences=sum(row.cancelled_at is None for row in rows),
        cancelled=sum(row.cancelled_at is not None for row in rows),
        journal_backlog=tx.journal_backlog(),
    )
