"""Emergencies, and what each node did with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, false, select

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, chunks, of_nodes
from controller.adapters.store.tx_base import TxBase
from controller.domain.emergencies import Answer, EmergencyRow

EMERGENCIES = Mapped(schema.emergencies, EmergencyRow)
ANSWERS = Mapped(schema.emergency_answers, Answer)


class EmergenciesTx(TxBase):
    def put_emergency(self, row: EmergencyRow) -> None:
        EMERGENCIES.put(self.conn, [row])

    def emergency(self, id: str) -> EmergencyRow | None:
        return EMERGENCIES.first(self.conn, EMERGENCIES.select().where(schema.emergencies.c.id == id))

    def current_emergencies(self) -> list[EmergencyRow]:
        rows = schema.emergencies.c
        found = EMERGENCIES.select().where(rows.cleared == false()).order_by(rows.ordered_at, rows.id)
        return EMERGENCIES.all(self.conn, found)

    def emergencies(self, start: datetime, end: datetime) -> list[EmergencyRow]:
        rows = schema.emergencies.c
        found = EMERGENCIES.select().where(rows.ordered_at >= start, rows.ordered_at < end)
        return EMERGENCIES.all(self.conn, found.order_by(rows.ordered_at.desc(), rows.id))

    def put_answers(self, rows: Iterable[Answer]) -> None:
        ANSWERS.put(self.conn, rows)

    def answers(self, emergencies: Sequence[str], nodes: Collection[str] | None = None) -> list[Answer]:
        wanted = None if nodes is None else frozenset(nodes)
        rows = schema.emergency_answers.c
        found: list[Answer] = []
        for chunk in chunks(emergencies):
            query = ANSWERS.select().where(rows.emergency.in_(chunk))
            for only in of_nodes(rows.node, wanted):
                found += ANSWERS.all(self.conn, query.where(*only))
        kept = (row for row in found if wanted is None or row.node in wanted)
        return sorted(kept, key=lambda row: (row.emergency, row.node))

    def prune_emergencies(self, before: datetime, limit: int = 100) -> int:
        rows = schema.emergencies.c
        old = select(rows.id).where(rows.ordered_at < before).order_by(rows.ordered_at).limit(limit)
        ids = list(self.conn.execute(old).scalars())
        for chunk in chunks(ids):
            answers = schema.emergency_answers
            self.conn.execute(delete(answers).where(answers.c.emergency.in_(chunk)))
            self.conn.execute(delete(schema.emergencies).where(rows.id.in_(chunk)))
        return len(ids)
