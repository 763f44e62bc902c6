"""Contract of every store: the history of nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controller.adapters.store.sql import SqlStore
from controller.domain.maintenance import MaintenanceEvent
from controller.domain.monthly import NodeEvent

T0 = datetime(2026, 11, 23, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_what_was_believed_before_is_read_with_what_changed_since(store: SqlStore) -> None:
    a = [NodeEvent("a", T0 + n * HOUR, state) for n, state in enumerate(("online", "offline", "online", "suspect"))]
    b = [NodeEvent("b", T0, "offline")]
    await store.transact(lambda tx: tx.put_node_events([*reversed(a), *b]))
    found = await store.transact(lambda tx: tx.node_events(T0 + 2 * HOUR, T0 + 3 * HOUR))
    assert found == [a[1], a[2], b[0]]


async def test_pruning_keeps_what_is_still_believed(store: SqlStore) -> None:
    events = [NodeEvent("a", T0, "online"), NodeEvent("a", T0 + HOUR, "offline"), NodeEvent("b", T0, "online")]
    await store.transact(lambda tx: tx.put_node_events(events))
    assert await store.transact(lambda tx: tx.prune_node_events(T0 + 9 * HOUR)) == 1
    assert await store.transact(lambda tx: tx.node_events(T0, T0 + 9 * HOUR)) == [events[1], events[2]]
    assert await store.transact(lambda tx: tx.prune_node_events(T0 + 9 * HOUR)) == 0


async def test_who_is_under_maintenance_is_what_was_written_last(store: SqlStore) -> None:
    events = [
        MaintenanceEvent("a", T0, T0 + 2 * HOUR),
        MaintenanceEvent("b", T0, T0 + 9 * HOUR),
        MaintenanceEvent("c", T0, T0 + 9 * HOUR),
        MaintenanceEvent("c", T0 + HOUR, T0 + HOUR),
    ]
    await store.transact(lambda tx: tx.put_maintenance_events(events))
    assert await store.transact(lambda tx: tx.under_maintenance(T0 + 3 * HOUR)) == {"b": T0 + 9 * HOUR}
    assert await store.transact(lambda tx: tx.maintenance_events(T0 + HOUR, T0 + 2 * HOUR)) == events
    assert await store.transact(lambda tx: tx.prune_maintenance_events(T0 + 9 * HOUR)) == 1
    assert await store.transact(lambda tx: tx.maintenance_events(T0, T0 + 9 * HOUR)) == [*events[:2], events[3]]
