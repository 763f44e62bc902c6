"""Self-tests as nodes told of them, and the commissionings made from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, insert, select

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped
from controller.adapters.store.tx_base import TxBase
from controller.domain.commissioning import Baseline, Selftest

SELFTESTS = Mapped(schema.selftests, Selftest)
BASELINES = Mapped(schema.baselines, Baseline)


class SelftestsTx(TxBase):
    def put_selftests(self, rows: Iterable[Selftest]) -> None:
        for row in rows:
            values = SELFTESTS.values(row)
            del values["id"]
            self.conn.execute(insert(schema.selftests).values(values))

    def selftests(self, node: str, limit: int = 30) -> list[Selftest]:
        rows = schema.selftests.c
        found = SELFTESTS.select().where(rows.node == node).order_by(rows.at.desc(), rows.id.desc()).limit(limit)
        return SELFTESTS.all(self.conn, found)

    def selftest(self, id: int) -> Selftest | None:
        return SELFTESTS.first(self.conn, SELFTESTS.select().where(schema.selftests.c.id == id))

    def tested_since(self, since: datetime) -> dict[str, datetime]:
        rows = schema.selftests.c
        found = select(rows.node, rows.at).where(rows.at >= since).order_by(rows.at)
        return {row.node: row.at for row in self.conn.execute(found)}

    def prune_selftests(self, before: datetime, limit: int = 5000) -> int:
        rows = schema.selftests.c
        old = select(rows.id).where(rows.at < before).order_by(rows.at).limit(limit)
        return self.conn.execute(delete(schema.selftests).where(rows.id.in_(old))).rowcount

    def new_baseline(self, row: Baseline) -> Baseline:
        values = BASELINES.values(row)
        del values["id"]
        numbered = insert(schema.baselines).values(values).returning(schema.baselines.c.id)
        return replace(row, id=self.conn.execute(numbered).scalar_one())

    def baselines(self, node: str | None = None) -> list[Baseline]:
        rows = schema.baselines.c
        found = BASELINES.select().order_by(rows.at, rows.id)
        return BASELINES.all(self.conn, found if node is None else found.where(rows.node == node))
