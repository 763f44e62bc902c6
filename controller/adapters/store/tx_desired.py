"""What nodes should hold, and the orders of the moment: say, play, stop."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, upsert
from controller.adapters.store.tx_base import TxBase
from controller.ports import Desired, NowRow

DESIRED = Mapped(schema.desired, Desired)
NOW = Mapped(schema.now_orders, NowRow)


class DesiredTx(TxBase):
    def desired(self) -> dict[str, Desired]:
        return {row.node: row for row in DESIRED.all(self.conn, DESIRED.select())}

    def desired_of(self, node: str) -> Desired | None:
        return DESIRED.first(self.conn, DESIRED.select().where(schema.desired.c.node == node))

    def wanted(self) -> dict[str, tuple[int, int]]:
        rows = schema.desired.c
        return {node: (epoch, rev) for node, epoch, rev in self.conn.execute(select(rows.node, rows.epoch, rows.rev))}

    def put_desired(self, rows: Iterable[Desired]) -> None:
        DESIRED.put(self.conn, rows)

    def put_now(self, row: NowRow) -> None:
        NOW.put(self.conn, [row])

    def drop_now(self, id: str) -> None:
        self.conn.execute(delete(schema.now_orders).where(schema.now_orders.c.id == id))

    def now_rows(self, after: datetime) -> list[NowRow]:
        orders = schema.now_orders.c
        found = NOW.select().where(orders.expires_at > after).order_by(orders.created_at, orders.id)
        return NOW.all(self.conn, found)

    def put_stop(self, occurrence: str, node: str, at: datetime) -> None:
        upsert(self.conn, schema.stops, [{"occurrence": occurrence, "node": node, "at": at}])

    def stops(self, after: datetime) -> set[tuple[str, str]]:
        stops = schema.stops.c
        found = select(stops.occurrence, stops.node).where(stops.at > after)
        return {(occurrence, node) for occurrence, node in self.conn.execute(found)}
