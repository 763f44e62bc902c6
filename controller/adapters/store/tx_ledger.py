"""The ledger: occurrences, their deliveries to nodes, and how each came about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select

from broadcasts.model import Priority
from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, chunks, of_nodes
from controller.adapters.store.tx_base import TxBase
from controller.domain.delivery import WAITING, Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.preflight import PreflightRow

OCCURRENCES = Mapped(schema.occurrences, OccurrenceRow)
DELIVERIES = Mapped(schema.deliveries, Delivery)
PREFLIGHTS = Mapped(schema.preflights, PreflightRow)
EVENTS = Mapped(schema.delivery_events, DeliveryEvent)

SOUNDING = (DeliveryState.SOUNDING, DeliveryState.INTERRUPTED)


class LedgerTx(TxBase):
    def put_occurrences(self, rows: Iterable[OccurrenceRow]) -> None:
        OCCURRENCES.put(self.conn, rows)

    def occurrence(self, id: str) -> OccurrenceRow | None:
        return OCCURRENCES.first(self.conn, OCCURRENCES.select().where(schema.occurrences.c.id == id))

    def occurrences(self, start: datetime, end: datetime) -> list[OccurrenceRow]:
        rows = schema.occurrences.c
        found = OCCURRENCES.select().where(_overlap(start, end)).order_by(rows.start, rows.id)
        return OCCURRENCES.all(self.conn, found)

    def put_deliveries(self, rows: Iterable[Delivery]) -> None:
        DELIVERIES.put(self.conn, rows)

    def deliveries(self, occurrence: str) -> list[Delivery]:
        rows = schema.deliveries.c
        found = DELIVERIES.select().where(rows.occurrence == occurrence).order_by(rows.node)
        return DELIVERIES.all(self.conn, found)

    def delivery(self, occurrence: str, node: str) -> Delivery | None:
        rows = schema.deliveries.c
        found = DELIVERIES.select().where(rows.occurrence == occurrence, rows.node == node)
        return DELIVERIES.first(self.conn, found)

    def deliveries_of(self, occurrences: Sequence[str], nodes: Sequence[str] | None = None) -> list[Delivery]:
        wanted = None if nodes is None else frozenset(nodes)
        rows = schema.deliveries.c
        found: list[Delivery] = []
        for chunk in chunks(occurrences):
            query = DELIVERIES.select().where(rows.occurrence.in_(chunk))
            for only in of_nodes(rows.node, wanted):
                found += DELIVERIES.all(self.conn, query.where(*only))
        kept = (row for row in found if wanted is None or row.node in wanted)
        return sorted(kept, key=lambda row: (row.occurrence, row.node))

    def delivery_states(self, start: datetime, end: datetime) -> dict[DeliveryState, int]:
        airing, state = schema.occurrences.c, schema.deliveries.c.state
        counted = (
            select(state, func.count().label("n"))
            .join(schema.occurrences, airing.id == schema.deliveries.c.occurrence)
            .where(airing.start >= start, airing.start < end)
            .group_by(state)
        )
        return {row.state: row.n for row in self.conn.execute(counted)}

    def airtime(self, start: datetime, end: datetime) -> dict[str, int]:
        airing, rows = schema.occurrences.c, schema.deliveries.c
        # `end` has the index; what starts in the window ends after its beginning
        summed = (
            select(rows.node, func.sum(rows.played_ms).label("ms"))
            .join(schema.occurrences, airing.id == rows.occurrence)
            .where(airing.end >= start, airing.start >= start, airing.start < end, rows.played_ms > 0)
            .where(airing.priority != Priority.EMERGENCY)
            .group_by(rows.node)
        )
        return {row.node: int(row.ms) for row in self.conn.execute(summed)}

    def sounding(self) -> list[Delivery]:
        rows = schema.deliveries.c
        found = DELIVERIES.select().where(rows.state.in_(SOUNDING)).order_by(rows.occurrence, rows.node)
        return DELIVERIES.all(self.conn, found)

    def unresolved(self, start: datetime, end: datetime) -> list[str]:
        ended, rows = schema.occurrences.c, schema.deliveries.c
        found = (
            select(ended.id)
            .distinct()
            .join(schema.deliveries, rows.occurrence == ended.id)
            .where(ended.end >= start, ended.end < end, rows.state.in_((*SOUNDING, *sorted(WAITING))))
            .order_by(ended.id)
        )
        return list(self.conn.scalars(found))

    def put_delivery_events(self, rows: Iterable[DeliveryEvent]) -> None:
        if values := [EVENTS.values(row) for row in rows]:
            self.conn.execute(insert(schema.delivery_events), values)

    def delivery_events(self, occurrence: str, node: str | None = None) -> list[DeliveryEvent]:
        rows = schema.delivery_events.c
        found = EVENTS.select().where(rows.occurrence == occurrence).order_by(rows.at, rows.id)
        return EVENTS.all(self.conn, found if node is None else found.where(rows.node == node))

    def put_preflight(self, row: PreflightRow) -> None:
        PREFLIGHTS.put(self.conn, [row])

    def preflights(self, occurrences: Sequence[str]) -> dict[str, PreflightRow]:
        rows = schema.preflights.c
        found: list[PreflightRow] = []
        for chunk in chunks(occurrences):
            found += PREFLIGHTS.all(self.conn, PREFLIGHTS.select().where(rows.occurrence.in_(chunk)))
        return {row.occurrence: row for row in found}

    def prune_ledger(self, before: datetime, limit: int = 100) -> int:
        rows = schema.occurrences.c
        ended = select(rows.id).where(rows.end < before).order_by(rows.end).limit(limit)
        ids = list(self.conn.execute(ended).scalars())
        for chunk in chunks(ids):
            for table in (schema.delivery_events, schema.deliveries, schema.preflights, schema.stops):
                self.conn.execute(delete(table).where(table.c.occurrence.in_(chunk)))
            self.conn.execute(delete(schema.occurrences).where(rows.id.in_(chunk)))
        self.conn.execute(delete(schema.now_orders).where(schema.now_orders.c.expires_at < before))
        return len(ids)


def _overlap(start: datetime, end: datetime) -> ColumnElement[bool]:
    """An occurrence without length belongs to the window it starts in."""
    rows = schema.occurrences.c
    # the first term is implied by the others; it is what the index on `end` can answer
    return and_(rows.end >= start, rows.start < end, or_(rows.end > start, rows.start >= start))
