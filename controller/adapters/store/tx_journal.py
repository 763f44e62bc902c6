"""Nodes' journals: each entry once, and up to where they are complete.

`journal_upto` holds per (node, log) the end of the unbroken run from 1 (`upto`) and the highest n seen
(`highest`). While the two are equal there is no gap, and an entry that comes in order needs no look at
the journal itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, tuple_

from controller.adapters.store import schema
from controller.adapters.store.mapping import chunks, insert_into, upsert
from controller.adapters.store.tx_base import TxBase
from controller.adapters.store.types import storable
from controller.wire.messages import JournalEntry

Log = tuple[str, str]
"""(node, log)."""

Place = tuple[str, str, int]
"""(node, log, n)."""


class _End(NamedTuple):
    upto: int
    highest: int


class JournalTx(TxBase):
    def __init__(self, conn: Connection) -> None:
        super().__init__(conn)
        self._known: dict[Log, _End] = {}
        """Ends that this transaction has read or written: a batch is stored, and then answered."""

    def put_journal(self, node: str, entry: JournalEntry, received_at: datetime) -> bool:
        return bool(self.put_journals([(node, entry)], received_at))

    def put_journals(
        self, entries: Sequence[tuple[str, JournalEntry]], received_at: datetime
    ) -> list[tuple[str, JournalEntry]]:
        ends = self._ends({_log(node, entry.log) for node, entry in entries})
        fresh: dict[Place, tuple[str, JournalEntry]] = {}
        for node, entry in entries:
            log = _log(node, entry.log)
            if entry.n > ends[log].upto:
                fresh.setdefault((*log, entry.n), (node, entry))
        stored = self._insert({place: entry for place, (_, entry) in fresh.items()}, received_at)
        self._advance(ends, stored)
        return [told for place, told in fresh.items() if place in stored]

    def journal_upto(self, node: str, log: str) -> int:
        return self.journal_uptos([(node, log)])[node, log]

    def journal_uptos(self, logs: Iterable[Log]) -> dict[Log, int]:
        asked = {(node, log): _log(node, log) for node, log in logs}
        ends = self._ends(set(asked.values()))
        return {log: ends[key].upto for log, key in asked.items()}

    def journal_backlog(self) -> int:
        rows = schema.journal_upto.c
        missing = select(func.coalesce(func.sum(rows.highest - rows.upto), 0))
        return int(self.conn.execute(missing).scalar_one())

    def skip_journal_gap(self, node: str, log: str) -> tuple[int, int] | None:
        key = _log(node, log)
        end = self._ends({key})[key]
        above = self._above(key, end.upto)
        if not above:
            return None
        lowest = upto = min(above)
        while upto + 1 in above:
            upto += 1
        self._put_ends({key: _End(upto, end.highest)})
        return end.upto + 1, lowest - 1

    def journal(self, node: str, limit: int = 100) -> list[JournalEntry]:
        rows = schema.journal.c
        found = select(rows.entry).where(rows.node == node).order_by(rows.id.desc()).limit(limit)
        return list(self.conn.execute(found).scalars())

    def prune_journal(self, before: datetime, limit: int = 5000) -> int:
        rows = schema.journal.c
        oldest = self.conn.execute(select(rows.id, rows.received_at).order_by(rows.id).limit(limit))
        ids = [id for id, received_at in oldest if received_at < before]
        for chunk in chunks(ids):
            self.conn.execute(delete(schema.journal).where(rows.id.in_(chunk)))
        return len(ids)

    def _ends(self, logs: set[Log]) -> dict[Log, _End]:
        rows = schema.journal_upto.c
        unknown = logs - self._known.keys()
        self._known |= dict.fromkeys(unknown, _End(0, 0))
        for chunk in chunks(unknown):
            found = select(rows.node, rows.log, rows.upto, rows.highest).where(tuple_(rows.node, rows.log).in_(chunk))
            for node, log, upto, highest in self.conn.execute(found):
                self._known[node, log] = _End(upto, highest)
        return {log: self._known[log] for log in logs}

    def _insert(self, fresh: dict[Place, JournalEntry], received_at: datetime) -> set[Place]:
        """The places that were free."""
        if not fresh:
            return set()
        rows = schema.journal.c
        once = insert_into(schema.journal, self.dialect).on_conflict_do_nothing(index_elements=["node", "log", "n"])
        values = [
            {"node": node, "log": log, "n": n, "received_at": received_at, "entry": entry}
            for (node, log, n), entry in fresh.items()
        ]
        return {tuple(row) for row in self.conn.execute(once.returning(rows.node, rows.log, rows.n), values)}

    def _advance(self, ends: dict[Log, _End], stored: set[Place]) -> None:
        arrived: dict[Log, set[int]] = defaultdict(set)
        for node, log, n in stored:
            arrived[node, log].add(n)
        self._put_ends({log: self._end(log, ends[log], arrived[log]) for log in sorted(arrived)})

    def _put_ends(self, ends: dict[Log, _End]) -> None:
        rows = [{"node": log[0], "log": log[1], **end._asdict()} for log, end in ends.items()]
        upsert(self.conn, schema.journal_upto, rows)
        self._known |= ends

    def _end(self, log: Log, end: _End, arrived: set[int]) -> _End:
        highest = max(end.highest, *arrived)
        if end.upto + 1 not in arrived:
            return _End(end.upto, highest)
        if end.upto < end.highest:
            arrived = self._above(log, end.upto)
        upto = end.upto
        while upto + 1 in arrived:
            upto += 1
        return _End(upto, highest)

    def _above(self, log: Log, upto: int) -> set[int]:
        rows = schema.journal.c
        found = select(rows.n).where(rows.node == log[0], rows.log == log[1], rows.n > upto)
        return set(self.conn.execute(found).scalars())


def _log(node: str, log: str) -> Log:
    """As the tables keep it, so that what they give back is found again."""
    return storable(node), storable(log)
