"""Contract of every store: the outbox. None lost, none doubled, every try on record before it is made."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import OutboxRow, OutboxState
from controller.ports import AttemptRow, Tx

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = 90 * SECOND
MAIL = "smtp:dinh@example.invalid"
HOOK = "webhook:http://127.0.0.1/hook"


def message(transition: str = "opened", channel: str = MAIL, due_at: datetime = T0) -> OutboxRow:
    return OutboxRow(1, transition, "dinh", channel, due_at, T0, "Loa câm", "Nà Mèo 1: âm ly hỏng")


async def enqueued(store: SqlStore, row: OutboxRow) -> int:
    assert await store.transact(lambda tx: tx.enqueue(row))
    return (await store.transact(lambda tx: tx.outbox()))[0].id


async def row_of(store: SqlStore, id: int) -> OutboxRow:
    [row] = [row for row in await store.transact(lambda tx: tx.outbox()) if row.id == id]
    return row


async def test_a_message_is_written_once_by_its_key(store: SqlStore) -> None:
    again = replace(message(), subject="another text", due_at=T0 + SECOND)
    assert await store.transact(lambda tx: tx.enqueue(message()))
    assert not await store.transact(lambda tx: tx.enqueue(again))

    [row] = await store.transact(lambda tx: tx.outbox())
    assert row == replace(message(), id=row.id)


@pytest.mark.parametrize(
    "other",
    [
        replace(message(), incident=2),
        replace(message(), transition="recovered"),
        replace(message(), recipient="sua"),
        replace(message(), channel=HOOK),
    ],
    ids=["incident", "transition", "recipient", "channel"],
)
async def test_every_part_of_the_key_counts(store: SqlStore, other: OutboxRow) -> None:
    assert await store.transact(lambda tx: tx.enqueue(message()))
    assert await store.transact(lambda tx: tx.enqueue(other))


async def test_a_message_already_sent_is_not_written_again(store: SqlStore) -> None:
    id = await enqueued(store, message())

    def send(tx: Tx) -> bool:
        tx.claim(id, T0 + LEASE, T0)
        tx.finish(id, OutboxState.SENT, T0 + SECOND)
        return tx.enqueue(message())

    assert not await store.transact(send)


async def test_the_outbox_is_read_newest_first(store: SqlStore) -> None:
    for n in range(4):
        await enqueued(store, replace(message(f"severity-{n}"), incident=n % 2))
    newest = await store.transact(lambda tx: tx.outbox(limit=2))
    assert [row.transition for row in newest] == ["severity-3", "severity-2"]
    of_one = await store.transact(lambda tx: tx.outbox(incident=0))
    assert [row.transition for row in of_one] == ["severity-2", "severity-0"]


async def test_the_messages_of_many_incidents_come_at_once(store: SqlStore) -> None:
    for n in range(6):
        await enqueued(store, replace(message(f"severity-{n}"), incident=n % 2))
    rows = await store.transact(lambda tx: tx.outbox_of([1, 0, 7]))
    assert {id: [row.transition for row in rows[id]] for id in rows} == {
        1: ["severity-5", "severity-3", "severity-1"],
        0: ["severity-4", "severity-2", "severity-0"],
        7: [],
    }


async def test_due_are_those_of_the_channel_whose_time_has_come_oldest_first(store: SqlStore) -> None:
    await enqueued(store, message("b", due_at=T0))
    await enqueued(store, message("a", due_at=T0 - SECOND))
    await enqueued(store, message("c", due_at=T0))
    await enqueued(store, message("later", due_at=T0 + SECOND))
    await enqueued(store, message("elsewhere", channel=HOOK))

    due = await store.transact(lambda tx: tx.due_outbox(MAIL, T0))
    assert [row.transition for row in due] == ["a", "b", "c"]
    assert len(await store.transact(lambda tx: tx.due_outbox(MAIL, T0, limit=2))) == 2


async def test_a_claim_is_had_by_one_only(store: SqlStore) -> None:
    id = await enqueued(store, message())
    assert await store.transact(lambda tx: tx.claim(id, T0 + LEASE, T0))
    assert not await store.transact(lambda tx: tx.claim(id, T0 + LEASE, T0 + SECOND))
    assert not await store.transact(lambda tx: tx.claim(12345, T0 + LEASE, T0))

    row = await row_of(store, id)
    assert (row.state, row.attempts, row.claimed_until) == (OutboxState.CLAIMED, 1, T0 + LEASE)
    assert await store.transact(lambda tx: tx.due_outbox(MAIL, T0 + SECOND)) == []


async def test_two_processes_racing_for_a_message_one_gets_it(shared_url: str) -> None:
    stores = [SqlStore(shared_url) for _ in range(4)]
    for store in stores:
        await store.open()
    ids = [await enqueued(stores[0], message(f"severity-{n}")) for n in range(5)]
    for id in ids:
        claims = [store.transact(lambda tx, id=id: tx.claim(id, T0 + LEASE, T0)) for store in stores]
        assert sorted(await asyncio.gather(*claims)) == [False, False, False, True]
    for store in stores:
        await store.close()


async def test_nothing_is_claimed_before_its_time(store: SqlStore) -> None:
    id = await enqueued(store, message(due_at=T0 + SECOND))
    assert not await store.transact(lambda tx: tx.claim(id, T0 + LEASE, T0))
    assert await store.transact(lambda tx: tx.attempts(id)) == []


async def test_an_attempt_is_on_record_before_its_outcome(store: SqlStore) -> None:
    id = await enqueued(store, message())
    await store.transact(lambda tx: tx.claim(id, T0 + LEASE, T0))
    assert await store.transact(lambda tx: tx.attempts(id)) == [AttemptRow(id, 1, T0)]


async def test_a_sent_message_is_final(store: SqlStore) -> None:
    id = await enqueued(store, message())
    await store.transact(lambda tx: tx.claim(id, T0 + LEASE, T0))
    await store.transact(lambda tx: tx.finish(id, OutboxState.SENT, T0 + SECOND))

    row = await row_of(store, id)
    assert (row.state, row.sent_at, row.claimed_until) == (OutboxState.SENT, T0 + SECOND, None)
    assert await store.transact(lambda tx: tx.attempts(id)) == [AttemptRow(id, 1, T0, T0 + SECOND, "sent", "")]
    year = timedelta(days=365)
    assert not await store.transact(lambda tx: tx.claim(id, T0 + 2 * year, T0 + year))
    assert await store.transact(lambda tx: tx.due_outbox(MAIL, T0 + year)) == []
    await store.transact(lambda tx: tx.finish(id, OutboxState.RETRY, T0 + LEASE, due_at=T0, error="late"))
    assert await row_of(store, id) == row


@pytest.mark.parametrize("state", [OutboxState.DEAD, OutboxState.MERGED])
async def test_what_was_given_up_or_told_with_another_is_not_sent_after_all(
    store: SqlStore, state: OutboxState
) -> None:
    id = await enqueued(store, message())
    await store.transact(lambda tx: tx.finish(id, state, T0, error="told with loa-1-recovered"))
    ended = await row_of(store, id)
    await store.transact(lambda tx: tx.finish(id, OutboxState.RETRY, T0, due_at=T0))

    assert ended.state is state
    assert ended.sent_at is None
    assert await row_of(store, id) == ended
    assert not await store.transact(lambda tx: tx.claim(id, T0 + 2 * LEASE, T0 + LEASE))


async def test_a_failed_attempt_waits_and_is_tried_again(store: SqlStore) -> None:
    id = await enqueued(store, message())
    later = T0 + 5 * SECOND

    def fail(tx: Tx) -> None:
        tx.claim(id, T0 + LEASE, T0)
        tx.finish(id, OutboxState.RETRY, T0 + SECOND, due_at=later, error="451 try later")

    await store.transact(fail)
    row = await row_of(store, id)
    assert (row.state, row.due_at, row.last_error, row.sent_at) == (
        OutboxState.RETRY,
        later,
        "451 try later",
        None,
    )
    assert not await store.transact(lambda tx: tx.claim(id, later + LEASE, later - SECOND))
    assert await store.transact(lambda tx: tx.claim(id, later + LEASE, later))
    assert await store.transact(lambda tx: tx.attempts(id)) == [
        AttemptRow(id, 1, T0, T0 + SECOND, "retry", "451 try later"),
        AttemptRow(id, 2, later),
    ]


async def test_a_message_whose_sender_died_is_taken_over_and_its_try_is_uncertain(store: SqlStore) -> None:
    id = await enqueued(store, message())
    expiry = T0 + LEASE
    await store.transact(lambda tx: tx.claim(id, expiry, T0))
    assert await store.transact(lambda tx: tx.due_outbox(MAIL, expiry - SECOND)) == []
    assert [row.id for row in await store.transact(lambda tx: tx.due_outbox(MAIL, expiry))] == [id]

    assert await store.transact(lambda tx: tx.claim(id, expiry + LEASE, expiry))
    first, second = await store.transact(lambda tx: tx.attempts(id))
    assert (first.outcome, first.finished_at) == ("uncertain", expiry)
    assert second == AttemptRow(id, 2, expiry)
    assert (await row_of(store, id)).attempts == 2


async def test_a_worker_knows_when_to_look_again(store: SqlStore) -> None:
    async def look() -> datetime | None:
        return await store.transact(lambda tx: tx.next_outbox_due(MAIL))

    assert await look() is None
    id = await enqueued(store, message(due_at=T0))
    await enqueued(store, message("reminder", due_at=T0 + 900 * SECOND))
    await enqueued(store, message("elsewhere", HOOK, T0 - LEASE))
    assert await look() == T0
    await store.transact(lambda tx: tx.claim(id, T0 + LEASE, T0))
    assert await look() == T0 + LEASE
    await store.transact(lambda tx: tx.finish(id, OutboxState.DEAD, T0 + SECOND, error="550 no such user"))
    assert await look() == T0 + 900 * SECOND


async def test_channels_are_listed_while_they_have_something_to_do(store: SqlStore) -> None:
    async def channels() -> list[str]:
        return await store.transact(lambda tx: tx.outbox_channels())

    mail = await enqueued(store, message())
    await enqueued(store, message("recovered"))
    hook = await enqueued(store, message(channel=HOOK))
    assert await channels() == [MAIL, HOOK]
    await store.transact(lambda tx: tx.claim(hook, T0 + LEASE, T0))
    assert await channels() == [MAIL, HOOK]
    await store.transact(lambda tx: tx.finish(hook, OutboxState.UNCERTAIN, T0, error="timeout"))
    await store.transact(lambda tx: tx.finish(mail, OutboxState.SENT, T0))
    assert await channels() == [MAIL]
