"""What was last known of nodes and of their faults."""

from __future__ import annotations

from collections.abc import Iterable

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped
from controller.adapters.store.tx_base import TxBase
from controller.ports import FaultRow, NodeRow

NODES = Mapped(schema.nodes, NodeRow)
FAULTS = Mapped(schema.faults, FaultRow)


class NodesTx(TxBase):
    def put_nodes(self, rows: Iterable[NodeRow]) -> None:
        NODES.put(self.conn, rows)

    def nodes(self) -> dict[str, NodeRow]:
        return {row.node: row for row in NODES.all(self.conn, NODES.select())}

    def put_faults(self, rows: Iterable[FaultRow]) -> None:
        FAULTS.put(self.conn, rows)

    def faults(self) -> list[FaultRow]:
        rows = schema.faults.c
        found = FAULTS.select().where(rows.state != "ok").order_by(rows.node, rows.code)
        return FAULTS.all(self.conn, found)
