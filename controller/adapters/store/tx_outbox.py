"""The outbox: messages that must reach people, each attempt on record before it is made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, chunks, insert_into
from controller.adapters.store.tx_base import TxBase
from controller.domain.escalation import OutboxRow, OutboxState
from controller.ports import AttemptRow

OUTBOX = Mapped(schema.outbox, OutboxRow)
ATTEMPTS = Mapped(schema.outbox_attempts, AttemptRow)

KEY = ("incident", "transition", "recipient", "channel")
WAITING = (OutboxState.PENDING, OutboxState.RETRY)
UNFINISHED = (*WAITING, OutboxState.CLAIMED)
FINAL = (OutboxState.SENT, OutboxState.DEAD, OutboxState.MERGED)


class OutboxTx(TxBase):
    def enqueue(self, row: OutboxRow) -> bool:
        values = OUTBOX.values(row)
        del values["id"]
        once = insert_into(schema.outbox, self.dialect).on_conflict_do_nothing(index_elements=KEY)
        added = self.conn.execute(once.values(values).returning(schema.outbox.c.id)).first()
        return added is not None

    def outbox(self, incident: int | None = None, limit: int = 1000) -> list[OutboxRow]:
        rows = schema.outbox.c
        found = OUTBOX.select().order_by(rows.id.desc()).limit(limit)
        return OUTBOX.all(self.conn, found if incident is None else found.where(rows.incident == incident))

    def outbox_of(self, incidents: Iterable[int]) -> dict[int, list[OutboxRow]]:
        rows = schema.outbox.c
        found: dict[int, list[OutboxRow]] = {id: [] for id in incidents}
        for chunk in chunks(found):
            query = OUTBOX.select().where(rows.incident.in_(chunk)).order_by(rows.id.desc())
            for row in OUTBOX.all(self.conn, query):
                found[row.incident].append(row)
        return found

    def due_outbox(self, channel: str, now: datetime, limit: int = 20) -> list[OutboxRow]:
        rows = schema.outbox.c
        found = OUTBOX.select().where(rows.channel == channel, _due(now))
        return OUTBOX.all(self.conn, found.order_by(rows.due_at, rows.id).limit(limit))

    def next_outbox_due(self, channel: str) -> datetime | None:
        rows = schema.outbox.c
        waiting = select(func.min(rows.due_at)).where(rows.channel == channel, rows.state.in_(WAITING))
        leased = select(func.min(rows.claimed_until)).where(rows.channel == channel, rows.state == OutboxState.CLAIMED)
        times = (self.conn.execute(query).scalar_one() for query in (waiting, leased))
        return min((time for time in times if time is not None), default=None)

    def outbox_ahead(self, now: datetime) -> list[OutboxRow]:
        rows = schema.outbox.c
        later = or_(rows.due_at > now, rows.claimed_until > now, rows.created_at > now)
        return OUTBOX.all(self.conn, OUTBOX.select().where(rows.state.in_(UNFINISHED), later).order_by(rows.id))

    def reschedule(self, row: OutboxRow) -> None:
        rows = schema.outbox.c
        times = {"due_at": row.due_at, "claimed_until": row.claimed_until}
        self.conn.execute(update(schema.outbox).where(rows.id == row.id, rows.state.in_(UNFINISHED)).values(times))

    def claim(self, id: int, until: datetime, now: datetime) -> bool:
        rows = schema.outbox.c
        claimed = (
            update(schema.outbox)
            .where(rows.id == id, _due(now))
            .values(state=OutboxState.CLAIMED, claimed_until=until, attempts=rows.attempts + 1)
            .returning(rows.attempts)
        )
        n = self.conn.execute(claimed).scalar_one_or_none()
        if n is None:
            return False
        self._end_attempt(id, now, OutboxState.UNCERTAIN, "no outcome before its lease ran out")
        attempt = AttemptRow(outbox=id, n=n, started_at=now)
        self.conn.execute(insert(schema.outbox_attempts), ATTEMPTS.values(attempt))
        return True

    def finish(
        self, id: int, state: OutboxState, now: datetime, *, due_at: datetime | None = None, error: str = ""
    ) -> None:
        rows = schema.outbox.c
        values: dict[str, Any] = {"state": state, "claimed_until": None, "last_error": error}
        if due_at is not None:
            values["due_at"] = due_at
        if state is OutboxState.SENT:
            values["sent_at"] = now
        unfinished = rows.state.not_in(FINAL)
        self.conn.execute(update(schema.outbox).where(rows.id == id, unfinished).values(values))
        self._end_attempt(id, now, state, error)

    def attempts(self, outbox: int) -> list[AttemptRow]:
        rows = schema.outbox_attempts.c
        return ATTEMPTS.all(self.conn, ATTEMPTS.select().where(rows.outbox == outbox).order_by(rows.n))

    def outbox_states(self) -> dict[OutboxState, int]:
        state = schema.outbox.c.state
        return {row.state: row.n for row in self.conn.execute(select(state, func.count().label("n")).group_by(state))}

    def oldest_due(self, now: datetime, told_since: datetime | None = None) -> datetime | None:
        rows = schema.outbox.c
        waiting = and_(rows.state.in_(WAITING), rows.due_at <= now)
        left = and_(rows.state == OutboxState.CLAIMED, rows.claimed_until <= now)
        oldest = [select(func.min(rows.due_at)).where(which) for which in (waiting, left)]
        if told_since is not None:
            # asked once, and not of each row that waits: thousands may
            told = list(self.conn.execute(select(rows.recipient).where(rows.sent_at > told_since).distinct()).scalars())
            oldest = [query.where(rows.recipient.not_in(told)) for query in oldest]
        times = (self.conn.execute(query).scalar_one() for query in oldest)
        return min((time for time in times if time is not None), default=None)

    def outbox_channels(self) -> list[str]:
        rows = schema.outbox.c
        found = select(rows.channel).where(rows.state.in_(UNFINISHED)).distinct().order_by(rows.channel)
        return list(self.conn.execute(found).scalars())

    def _end_attempt(self, outbox: int, now: datetime, outcome: OutboxState, detail: str) -> None:
        rows = schema.outbox_attempts.c
        running = and_(rows.outbox == outbox, rows.finished_at.is_(None))
        ended = update(schema.outbox_attempts).where(running)
        self.conn.execute(ended.values(finished_at=now, outcome=outcome.value, detail=detail))


def _due(now: datetime) -> ColumnElement[bool]:
    rows = schema.outbox.c
    waiting = and_(rows.state.in_(WAITING), rows.due_at <= now)
    abandoned = and_(rows.state == OutboxState.CLAIMED, rows.claimed_until <= now)
    return or_(waiting, abandoned)
