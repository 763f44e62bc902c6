"""What was last known of nodes and of their faults."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, exists, insert, select

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped
from controller.adapters.store.tx_base import TxBase
from controller.domain.monthly import NodeEvent
from controller.ports import FaultRow, NodeRow

NODES = Mapped(schema.nodes, NodeRow)
EVENTS = Mapped(schema.node_events, NodeEvent)
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
        rows, later = schema.node_events.c, schema.node_events.alias().c
        # no GROUP BY: it would walk through all events there are
        newer = exists().where(later.node == rows.node, later.at > rows.at, later.at < start)
        earlier = EVENTS.select().where(rows.at < start, ~newer)
        since = EVENTS.select().where(rows.at >= start, rows.at < end).order_by(rows.at, rows.id)
        found = [*EVENTS.all(self.conn, earlier), *EVENTS.all(self.conn, since)]
        return sorted(found, key=lambda row: (row.node, row.at))

    def prune_node_events(self, before: datetime, limit: int = 5000) -> int:
        rows, later = schema.node_events.c, schema.node_events.alias().c
        newer = exists().where(later.node == rows.node, later.at > rows.at)
        old = select(rows.id).where(rows.at < before, newer).order_by(rows.at).limit(limit)
        return self.conn.execute(delete(schema.node_events).where(rows.id.in_(old))).rowcount

    def put_faults(self, rows: Iterable[FaultRow]) -> None:
        FAULTS.put(self.conn, rows)

    def faults(self) -> list[FaultRow]:
        rows = schema.faults.c
        found = FAULTS.select().where(rows.state != "ok").order_by(rows.node, rows.code)
        return FAULTS.all(self.conn, found)
