"""Telling people: how far an incident was told, silences, which channels work, how much a person got of late."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import insert, or_, select, true, update

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, chunks
from controller.adapters.store.tx_base import TxBase
from controller.adapters.store.tx_incidents import INCIDENTS
from controller.domain.hush import Hush
from controller.domain.incidents import Incident, IncidentState
from controller.ports import ClimbRow, ReachRow

CLIMBS = Mapped(schema.climbs, ClimbRow)
HUSHES = Mapped(schema.hushes, Hush)
REACH = Mapped(schema.reach, ReachRow)

ARRIVED = ("", "sent", "uncertain")
"""Outcomes of attempts whose message may have reached its person; a retry says in its detail if it may."""
LONGEST_SEND = timedelta(minutes=5)
LEASE = timedelta(seconds=90)
"""An attempt that nobody ended is under way for so long; then its controller is gone."""


class PeopleTx(TxBase):
    def put_climb(self, row: ClimbRow) -> None:
        CLIMBS.put(self.conn, [row])

    def climbs(self, incidents: Iterable[int]) -> dict[int, ClimbRow]:
        rows = schema.climbs.c
        found: dict[int, ClimbRow] = {}
        for chunk in chunks(incidents):
            query = CLIMBS.select().where(rows.incident.in_(chunk))
            found |= {row.incident: row for row in CLIMBS.all(self.conn, query)}
        return found

    def to_recover(self) -> list[Incident]:
        believed = select(schema.climbs.c.incident).where(schema.climbs.c.told > "")
        rows = schema.incidents.c
        found = INCIDENTS.select().where(rows.id.in_(believed), rows.state == IncidentState.CLOSED)
        return INCIDENTS.all(self.conn, found.order_by(rows.id))

    def add_hush(self, hush: Hush) -> Hush:
        values = HUSHES.values(hush)
        del values["id"]
        numbered = insert(schema.hushes).values(values).returning(schema.hushes.c.id)
        return replace(hush, id=self.conn.execute(numbered).scalar_one())

    def end_hush(self, id: int, at: datetime, by: str) -> bool:
        rows = schema.hushes.c
        ended = update(schema.hushes).where(rows.id == id, rows.ended_at.is_(None))
        return self.conn.execute(ended.values(ended_at=at, ended_by=by)).rowcount > 0

    def hushes(self, since: datetime) -> list[Hush]:
        rows = schema.hushes.c
        lasting = or_(rows.weekly == true(), rows.until > since)
        found = HUSHES.select().where(lasting, or_(rows.ended_at.is_(None), rows.ended_at > since))
        return HUSHES.all(self.conn, found.order_by(rows.id))

    def put_reach(self, row: ReachRow) -> None:
        REACH.put(self.conn, [row])

    def reach(self) -> list[ReachRow]:
        rows = schema.reach.c
        return REACH.all(self.conn, REACH.select().order_by(rows.recipient, rows.channel))

    def reached(self, recipient: str, since: datetime, now: datetime) -> list[tuple[datetime, str]]:
        tries, rows = schema.outbox_attempts.c, schema.outbox.c
        found = (
            select(tries.finished_at, tries.started_at, rows.channel)
            .join(schema.outbox, rows.id == tries.outbox)
            .where(tries.started_at > since - LONGEST_SEND, rows.recipient == recipient)
            .where(or_(tries.outcome.in_(ARRIVED), tries.detail.startswith("uncertain: ")))
        )
        times = ((ended or min(now, begun + LEASE), channel) for ended, begun, channel in self.conn.execute(found))
        return sorted((at, channel) for at, channel in times if at > since)
