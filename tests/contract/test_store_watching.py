"""Contract of every store: what watching the controller asks of it, and that the canary is seen by nobody else."""

from __future__ import annotations

from dataclasses import replace

from controller.adapters.store.sql import SqlStore
from controller.domain import canary
from controller.domain.escalation import OutboxState
from controller.domain.incidents import IncidentEvent
from controller.ports import ClimbRow, Tx
from tests.contract.test_store_incidents import MINUTE, T0, incident
from tests.contract.test_store_outbox import HOOK, LEASE, MAIL, SECOND, enqueued, message


async def test_the_canary_is_left_out_unless_it_is_asked_for(store: SqlStore) -> None:
    def work(tx: Tx) -> None:
        real = tx.new_incident(incident())
        bird = tx.new_incident(replace(incident(), scope=canary.SCOPE))
        assert tx.open_incidents() == tx.incidents(T0) == [real]
        assert tx.open_incidents(canary=True) == [real, bird]
        assert tx.incidents(T0, canary=True) == [bird, real]

    await store.transact(work)


async def test_of_past_canaries_nothing_is_left_but_the_newest_incident(store: SqlStore) -> None:
    def work(tx: Tx) -> None:
        real, old, new = (
            tx.new_incident(replace(incident(), scope=scope)) for scope in ("node", canary.SCOPE, canary.SCOPE)
        )
        for each in (real, old, new):
            tx.enqueue(replace(message(), incident=each.id))
            tx.put_incident_event(IncidentEvent(each.id, T0, "opened", ""))
        tx.put_climb(ClimbRow(old.id, "major", 0, None))
        row = next(row for row in tx.outbox() if row.incident == new.id)
        tx.claim(row.id, T0 + LEASE, T0)
        tx.prune_canaries()
        assert tx.incidents(T0, canary=True) == [new, real]
        assert [row.incident for row in tx.outbox()] == [real.id]
        assert tx.attempts(row.id) == []
        assert (len(tx.incident_events(real.id)), tx.incident_events(new.id)) == (1, [])
        tx.prune_canaries()
        assert tx.incidents(T0, canary=True) == [new, real]

    await store.transact(work)


async def test_the_oldest_due_message_counts_from_its_due_time_until_somebody_has_it(store: SqlStore) -> None:
    assert await store.transact(lambda tx: tx.oldest_due(T0)) is None
    id = await enqueued(store, message(due_at=T0 + SECOND))
    await enqueued(store, message(channel=HOOK, due_at=T0 + MINUTE))

    def oldest(tx: Tx) -> list[object]:
        return [tx.oldest_due(T0 + each * SECOND) for each in (0, 1, 61)]

    assert await store.transact(oldest) == [None, T0 + SECOND, T0 + SECOND]
    await store.transact(lambda tx: tx.claim(id, T0 + LEASE, T0 + SECOND))
    assert await store.transact(oldest) == [None, None, T0 + MINUTE]
    assert await store.transact(lambda tx: tx.oldest_due(T0 + LEASE)) == T0 + SECOND, "its claim ran out"


async def test_a_message_that_waits_for_its_turn_after_another_is_not_counted_as_stuck(store: SqlStore) -> None:
    first = await enqueued(store, message(channel=HOOK, due_at=T0))
    await enqueued(store, message(channel=MAIL, transition="severity", due_at=T0))
    await enqueued(store, replace(message(due_at=T0 + 2 * SECOND), recipient="sua"))

    def sent(tx: Tx) -> list[object]:
        tx.claim(first, T0 + LEASE, T0)
        tx.finish(first, OutboxState.SENT, T0 + SECOND)
        later = T0 + MINUTE
        return [tx.oldest_due(later), tx.oldest_due(later, T0), tx.oldest_due(later, T0 + SECOND)]

    assert await store.transact(sent) == [T0, T0 + 2 * SECOND, T0]


async def test_messages_are_counted_by_state(store: SqlStore) -> None:
    id = await enqueued(store, message(channel=MAIL))
    await enqueued(store, message(channel=HOOK))
    await store.transact(lambda tx: tx.finish(id, OutboxState.DEAD, T0))
    counted = await store.transact(lambda tx: tx.outbox_states())
    assert counted == {OutboxState.DEAD: 1, OutboxState.PENDING: 1}


async def test_a_database_that_is_whole_finds_no_damage(store: SqlStore) -> None:
    assert await store.read(lambda tx: tx.damage()) == ""
