"""What was last known of nodes and of their faults."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, exists, insert, select

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, R
from controller.adapters.store.tx_base import TxBase
from controller.domain.maintenance import MaintenanceEvent
from controller.domain.monthly import NodeEvent
from controller.ports import FaultRow, NodeRow

NODES = Mapped(schema.nodes, NodeRow)
EVENTS = Mapped(schema.node_events, NodeEvent)
MAINTENANCE = Mapped(schema.maintenance_events, MaintenanceEvent)
FAULTS = Mapped(schema.faults, FaultRow)


class NodesTx(TxBase):
    def put_nodes(self, rows: Iterable[NodeRow]) -> None:
        NODES.put(self.conn, rows)

    def nodes(self) -> dict[str, NodeRow]:
        return {row.node: row for row in NODES.all(self.conn, NODES.select())}

    def put_node_events(self, rows: Iterable[NodeEvent]) -> None:
        if values := [EVENTS.values(row) for row in rows]:
            self.conn.execute(insert(schema.node_events), values)

    def node_events(self, start: datetime, end: datetime) -> list[NodeEvent]:
        found = _events(self.conn, EVENTS, start, end)
        return sorted(found, key=lambda row: (row.node, row.at))

    def prune_node_events(self, before: datetime, limit: int = 5000) -> int:
        return _prune(self.conn, EVENTS, before, limit)

    def put_maintenance_events(self, rows: Iterable[MaintenanceEvent]) -> None:
        if values := [MAINTENANCE.values(row) for row in rows]:
            self.conn.execute(insert(schema.maintenance_events), values)

    def maintenance_events(self, start: datetime, end: datetime) -> list[MaintenanceEvent]:
        found = _events(self.conn, MAINTENANCE, start, end)
        return sorted(found, key=lambda row: (row.node, row.at))

    def under_maintenance(self, now: datetime) -> dict[str, datetime]:
        rows, later = schema.maintenance_events.c, schema.maintenance_events.alias().c
        newer = exists().where(later.node == rows.node, later.id > rows.id)
        found = MAINTENANCE.all(self.conn, MAINTENANCE.select().where(rows.until > now, ~newer))
        return {row.node: row.until for row in found}

    def prune_maintenance_events(self, before: datetime, limit: int = 5000) -> int:
        return _prune(self.conn, MAINTENANCE, before, limit)

    def put_faults(self, rows: Iterable[FaultRow]) -> None:
        FAULTS.put(self.conn, rows)

    def faults(self) -> list[FaultRow]:
        rows = schema.faults.c
        found = FAULTS.select().where(rows.state != "ok").order_by(rows.node, rows.code)
        return FAULTS.all(self.conn, found)


def _events(conn: Connection, events: Mapped[R], start: datetime, end: datetime) -> list[R]:
    """Those in [start, end), by time, and of each node the last one before."""
    rows, later = events.table.c, events.table.alias().c
    # no GROUP BY: it would walk through all events there are
    newer = exists().where(later.node == rows.node, later.at > rows.at, later.at < start)
    earlier = events.select().where(rows.at < start, ~newer)
    since = events.select().where(rows.at >= start, rows.at < end).order_by(rows.at, rows.id)
    return [*events.all(conn, earlier), *events.all(conn, since)]


def _prune(conn: Connection, events: Mapped[R], before: datetime, limit: int) -> int:
    rows, later = events.table.c, events.table.alias().c
    newer = exists().where(later.node == rows.node, later.at > rows.at)
    old = select(rows.id).where(rows.at < before, newer).order_by(rows.at).limit(limit)
    return conn.execute(delete(events.table).where(rows.id.in_(old))).rowcount
