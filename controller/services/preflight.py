"""Ten minutes before air, and again until air: who is not ready is stored, pushed again, and told once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

import structlog

from broadcasts.model import Occurrence
from controller.domain import notready
from controller.domain.delivery import DeliveryState, OccurrenceRow
from controller.domain.escalation import Transition
from controller.domain.faults import FaultState
from controller.domain.incidents import IncidentEvent
from controller.domain.preflight import (
    HEALED_BY,
    Finding,
    PreflightRow,
    Standing,
    examine,
    is_told,
    next_look,
)
from controller.domain.site import Settings
from controller.ports import Clock, Store, StoreError, Timer, Tx
from controller.services.changes import Changes
from controller.services.healthmemory import NodeView

log = structlog.get_logger(__name__)

ARM_AHEAD = timedelta(hours=26)
"""Looks are armed this far ahead; the daily plan arms the next ones."""
CONFIRMED = frozenset({FaultState.OPEN, FaultState.CLEARING})


class Health(Protocol):
    """The running monitoring service."""

    def view(self) -> Mapping[str, NodeView]: ...


class Pushing(Protocol):
    """The running dispatch service."""

    def version(self, node: str) -> tuple[int, int]: ...

    def send(self, nodes: Collection[str]) -> Awaitable[list[str]]: ...

    def order(self, node: str, do: Literal["log"]) -> Awaitable[str]: ...


class Preflight:
    """One timed job for each occurrence that is near. `on_outbox` is called after messages were committed."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        clock: Clock,
        timer: Timer,
        health: Health,
        dispatch: Pushing,
        changes: Changes,
        on_outbox: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._timer = timer
        self._health = health
        self._dispatch = dispatch
        self._changes = changes
        self._on_outbox = on_outbox
        self._armed: set[str] = set()

    def reload(self, settings: Settings) -> None:
        self._settings = settings

    def arm(self, planned: Sequence[Occurrence]) -> None:
        """Look at these before they air, and at no others. What airs sooner than the last look is not looked at."""
        now = self._clock.now()
        near = {one.id: one.start for one in planned if now < one.start < now + ARM_AHEAD}
        for gone in self._armed - near.keys():
            self._timer.cancel(_job(gone))
        self._armed = set()
        for id, start in near.items():
            self._arm(id, start, now)

    def _arm(self, id: str, start: datetime, now: datetime) -> None:
        when = next_look(start, now)
        if when is not None:
            self._armed.add(id)
            self._timer.at(_job(id), when, lambda: self.look(id))

    async def look(self, id: str) -> None:
        """Look at one occurrence now, act on what is lacking, and arm the next look."""
        now = self._clock.now()
        try:
            row, findings, nodes = await self._examined(id)
            if row is None or row.cancelled_at is not None:
                return
            self._arm(id, row.start, now)
            told = await self._store.transact(lambda tx: self._write(tx, row, findings, nodes, now))
        except StoreError as error:
            log.error("preflight not stored", occurrence=id, reason=str(error))
            return
        if told:
            self._on_outbox()
        if findings:
            log.warning("not ready for air", occurrence=id, nodes=_told(findings)[:20], of=nodes)
            await self._push(findings)
        self._changes.notify("air", *(("incidents",) if told else ()))

    async def _examined(self, id: str) -> tuple[OccurrenceRow | None, tuple[Finding, ...], int]:
        """The occurrence, what its nodes lack, and how many it is meant for."""
        row, deliveries = await self._store.read(lambda tx: (tx.occurrence(id), tx.deliveries(id)))
        live = [one for one in deliveries if one.state is not DeliveryState.CANCELLED]
        views = self._health.view()
        standings = [self._standing(one.node, one.state, views[one.node]) for one in live if one.node in views]
        return row, tuple(finding for each in standings for finding in examine(each)), len(live)

    def _standing(self, node: str, state: DeliveryState, view: NodeView) -> Standing:
        return Standing(
            node=node,
            state=state,
            liveness=view.liveness,
            held=(view.held_epoch, view.held_rev),
            wanted=self._dispatch.version(node),
            metrics=view.metrics,
            faults=tuple(fault.code for fault in view.faults if fault.state in CONFIRMED),
        )

    def _write(self, tx: Tx, row: OccurrenceRow, findings: tuple[Finding, ...], nodes: int, now: datetime) -> bool:
        """Keep what was seen, and tell of it if it is time to; whether messages were written."""
        before = tx.preflights([row.id]).get(row.id)
        seen = PreflightRow(row.id, now, nodes, findings, before.told_at if before else None)
        due = seen.told_at is None and is_told(row.start, now)
        tell = due and bool(notready.untold(findings, tx.open_incidents()))
        tx.put_preflight(replace(seen, told_at=now) if tell else seen)
        return tell and self._tell(tx, row, findings, now)

    def _tell(self, tx: Tx, row: OccurrenceRow, findings: tuple[Finding, ...], now: datetime) -> bool:
        incident = tx.new_incident(notready.notice(row, findings, now))
        tx.put_incident_event(IncidentEvent(incident.id, now, Transition.OPENED.value, "not ready for air"))
        people = self._settings.alerts.people
        written = [tx.enqueue(each) for each in notready.messages(incident, row, findings, people, self._place, now)]
        return any(written)

    @property
    def _place(self) -> notready.Place:
        settings = self._settings
        return notready.Place(
            zone=settings.site.zone,
            nodes=settings.nodes,
            communes={zone.id: zone.name for zone in settings.zones.values() if zone.is_commune},
            rules={rule.code: rule for rule in settings.faults},
            page_url=settings.alerts.page_url,
            failover_s=settings.alerts.failover_s,
        )

    async def _push(self, findings: Sequence[Finding]) -> None:
        """Send again what may mend it from here."""
        resend = {finding.node for finding in findings if HEALED_BY.get(finding.lack) == "send"}
        await self._dispatch.send(sorted(resend))
        for node in sorted({finding.node for finding in findings if HEALED_BY.get(finding.lack) == "log"}):
            if reason := await self._dispatch.order(node, "log"):
                log.info("order not taken", node=node, order="log", reason=reason)


def _job(occurrence: str) -> str:
    return f"preflight:{occurrence}"


def _told(findings: Sequence[Finding]) -> list[str]:
    return [f"{one.node}: {one.detail or one.lack.value}" for one in findings]
