"""No question that is asked of a year's data walks through all of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from controller.adapters.store import schema
from controller.adapters.store.engine import make_engine
from controller.adapters.store.tx import SqlTx
from controller.domain.escalation import OutboxRow, OutboxState
from controller.wire.messages import JournalEntry

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)

QUESTIONS: dict[str, Callable[[SqlTx], object]] = {
    "credential": lambda tx: tx.credential("na-meo-01"),
    "desired_of": lambda tx: tx.desired_of("na-meo-01"),
    "now_rows": lambda tx: tx.now_rows(T0),
    "stops": lambda tx: tx.stops(T0),
    "occurrence": lambda tx: tx.occurrence("tin@1"),
    "occurrences": lambda tx: tx.occurrences(T0, T0 + DAY),
    "deliveries": lambda tx: tx.deliveries("tin@1"),
    "delivery": lambda tx: tx.delivery("tin@1", "na-meo-01"),
    "deliveries_of": lambda tx: tx.deliveries_of(["tin@1", "tin@2"], ["na-meo-01"]),
    "sounding": lambda tx: tx.sounding(),
    "unresolved": lambda tx: tx.unresolved(T0, T0 + DAY),
    "delivery_events": lambda tx: tx.delivery_events("tin@1", "na-meo-01"),
    "preflights": lambda tx: tx.preflights(["tin@1", "tin@2"]),
    "prune_ledger": lambda tx: tx.prune_ledger(T0),
    "emergency": lambda tx: tx.emergency("lu-quet@1"),
    "current_emergencies": lambda tx: tx.current_emergencies(),
    "emergencies": lambda tx: tx.emergencies(T0, T0 + DAY),
    "answers": lambda tx: tx.answers(["lu-quet@1"]),
    "answers of some nodes": lambda tx: tx.answers(["lu-quet@1"], ["na-meo-01"]),
    "prune_emergencies": lambda tx: tx.prune_emergencies(T0),
    "put_journal": lambda tx: tx.put_journal("na-meo-01", JournalEntry(log="a", n=1, at=T0, kind="started"), T0),
    "journal_upto": lambda tx: tx.journal_upto("na-meo-01", "a"),
    "journal": lambda tx: tx.journal("na-meo-01"),
    "selftests": lambda tx: tx.selftests("na-meo-01"),
    "selftest": lambda tx: tx.selftest(1),
    "tested_since": lambda tx: tx.tested_since(T0),
    "prune_selftests": lambda tx: tx.prune_selftests(T0),
    "baselines": lambda tx: tx.baselines("na-meo-01"),
    "incident": lambda tx: tx.incident(1),
    "open_incidents": lambda tx: tx.open_incidents(),
    "incidents": lambda tx: tx.incidents(T0),
    "incident_events": lambda tx: tx.incident_events(1),
    "incident_events_of": lambda tx: tx.incident_events_of([1, 2]),
    "work_order": lambda tx: tx.work_order(1),
    "work_order_events_of": lambda tx: tx.work_order_events_of([1, 2]),
    "node_events": lambda tx: tx.node_events(T0, T0 + DAY),
    "prune_node_events": lambda tx: tx.prune_node_events(T0),
    "maintenance_events": lambda tx: tx.maintenance_events(T0, T0 + DAY),
    "under_maintenance": lambda tx: tx.under_maintenance(T0),
    "prune_maintenance_events": lambda tx: tx.prune_maintenance_events(T0),
    "work_photos": lambda tx: tx.work_photos(1),
    "use_once": lambda tx: tx.use_once("a", T0),
    "prune_used": lambda tx: tx.prune_used(T0),
    "enqueue": lambda tx: tx.enqueue(OutboxRow(1, "opened", "dinh", "smtp:a", T0, T0, "s", "b")),
    "outbox_of": lambda tx: tx.outbox_of([1, 2]),
    "outbox": lambda tx: tx.outbox(1),
    "due_outbox": lambda tx: tx.due_outbox("smtp:a", T0),
    "next_outbox_due": lambda tx: tx.next_outbox_due("smtp:a"),
    "outbox_channels": lambda tx: tx.outbox_channels(),
    "claim": lambda tx: tx.claim(1, T0 + DAY, T0),
    "finish": lambda tx: tx.finish(1, OutboxState.SENT, T0),
    "attempts": lambda tx: tx.attempts(1),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_index_answers(question: str) -> None:
    engine = make_engine("sqlite://")
    asked: list[tuple[str, object]] = []
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        event.listen(connection, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        QUESTIONS[question](SqlTx(connection))
        plans = [
            step[3]
            for statement, parameters in tuple(asked)
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    engine.dispose()
    assert asked
    walks = [step for step in plans if step.startswith("SCAN") and step != "SCAN CONSTANT ROW"]
    assert walks == []
