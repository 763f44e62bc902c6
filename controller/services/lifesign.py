"""Writes the daily life sign into the outbox, once a day, whatever restarts in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, time, timedelta

import structlog

from controller.domain import lifesign
from controller.domain.lifesign import Numbers
from controller.domain.liveness import Liveness
from controller.domain.site import Settings
from controller.domain.watching import life_sign_due
from controller.ports import Clock, Store, StoreError, Tx

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 30.0
NOTE = "life-sign"


class LifeSign:
    """`on_outbox` is called after messages were committed."""

    def __init__(self, settings: Settings, *, clock: Clock, store: Store, on_outbox: Callable[[], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._on_outbox = on_outbox
        self._written = ""

    def reload(self, settings: Settings) -> None:
        self._settings = settings

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            if self._settings.alerts.watch.life_sign_to and self._day(self._written):
                try:
                    await self._write()
                except StoreError as error:
                    log.error("life sign not written, trying again", reason=str(error))

    def _day(self, written: str) -> str:
        watch, local = self._settings.alerts.watch, self._clock.now().astimezone(self._settings.site.zone)
        return life_sign_due(local, watch.life_sign_at, written)

    async def _write(self) -> None:
        settings, now = self._settings, self._clock.now()

        def write(tx: Tx) -> tuple[str, bool]:
            day = self._day(tx.noted(NOTE) or "")
            if not day:
                return tx.noted(NOTE) or "", False
            rows = lifesign.rows(day, numbers(tx, settings, now), settings.alerts, now)
            wrote = [tx.enqueue(row) for row in rows]
            tx.note(NOTE, day)
            return day, any(wrote)

        self._written, wrote = await self._store.transact(write)
        if wrote:
            self._on_outbox()


def numbers(tx: Tx, settings: Settings, now: datetime) -> Numbers:
    """How things are, as the database has it."""
    causes = [row for row in tx.open_incidents() if row.parent is None]
    severities = Counter(row.severity.value for row in causes)
    overdue = {order.incident for order in tx.work_orders() if order.closed_at is None and order.due_at < now}
    known = tx.nodes()
    local = now.astimezone(settings.site.zone)
    midnight = datetime.combine(local.date() + timedelta(days=1), time(), settings.site.zone)
    coming = [row for row in tx.occurrences(now, midnight) if row.cancelled_at is None and row.start >= now]
    return Numbers(
        site=settings.site.name,
        critical=severities["critical"],
        major=severities["major"],
        minor=severities["minor"],
        overdue=len(overdue & {row.id for row in causes}),
        nodes=len(settings.nodes),
        offline=sum(id in known and known[id].liveness == Liveness.OFFLINE.value for id in settings.nodes),
        airing=tuple((f"{row.start.astimezone(settings.site.zone):%H:%M}", row.title) for row in coming),
    )
