"""Contract of every store: transactions, epoch, leadership, notes, audit, credentials, desired state, orders."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from controller.adapters.store.sql import SqlStore
from controller.domain.lease import Lease
from controller.ports import AuditRow, Credential, Desired, NowRow, StoreError, Tx
from tests.fakes import settle

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def desired(node: str, rev: int = 1) -> Desired:
    return Desired(node, 1, rev, f"content-{rev}", b"\x00\xffjws", T0, T0 + timedelta(days=7))


# --- transactions -------------------------------------------------------------------------------------------


async def test_a_transaction_that_raises_leaves_nothing_behind(store: SqlStore) -> None:
    def half(tx: Tx) -> None:
        tx.note("plan", "new")
        tx.put_desired([desired("na-meo-01")])
        raise ValueError("second thoughts")

    with pytest.raises(ValueError, match="second thoughts"):
        await store.transact(half)

    assert await store.transact(lambda tx: (tx.noted("plan"), tx.desired())) == (None, {})


async def test_transactions_run_in_the_order_they_were_asked_for(store: SqlStore) -> None:
    def append(digit: str) -> None:
        asked.append(store.transact(lambda tx: tx.note("order", (tx.noted("order") or "") + digit)))

    asked: list[object] = []
    for digit in "0123456789":
        append(digit)
    await asyncio.gather(*asked)

    assert await store.transact(lambda tx: tx.noted("order")) == "0123456789"


async def test_what_is_ahead_runs_before_all_that_waits(store: SqlStore) -> None:
    running, go_on = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        running.set()
        go_on.wait(10)

    async def append(digit: str, *, ahead: bool) -> None:
        await store.transact(lambda tx: tx.note("order", (tx.noted("order") or "") + digit), ahead=ahead)

    holds = asyncio.create_task(store.transact(hold))
    await asyncio.to_thread(running.wait, 10)
    waiting = [asyncio.create_task(append(digit, ahead=digit in "45")) for digit in "012345"]
    await settle()
    go_on.set()
    await asyncio.gather(holds, *waiting)

    assert await store.transact(lambda tx: tx.noted("order")) == "450123"


async def test_a_transaction_whose_caller_was_cancelled_is_still_whole(store: SqlStore) -> None:
    def work(tx: Tx) -> None:
        tx.note("first", "yes")
        tx.note("second", "yes")

    waiting = asyncio.create_task(store.transact(work))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    seen = await store.transact(lambda tx: (tx.noted("first"), tx.noted("second")))
    assert seen in [("yes", "yes"), (None, None)]


async def test_the_event_loop_goes_on_while_a_transaction_is_slow(store: SqlStore) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(tx: Tx) -> str:
        loop.call_soon_threadsafe(entered.set)
        return asyncio.run_coroutine_threadsafe(_after(go_on), loop).result(timeout=10)

    transaction = asyncio.create_task(store.transact(slow))
    await entered.wait()
    go_on.set()
    assert await transaction == "the loop ran meanwhile"


async def _after(event: asyncio.Event) -> str:
    await event.wait()
    return "the loop ran meanwhile"


async def test_a_kept_transaction_cannot_be_used_after_its_end(store: SqlStore) -> None:
    def keep(tx: Tx) -> Tx:
        return tx

    kept = await store.transact(keep)
    with pytest.raises(Exception, match="closed"):
        kept.note("late", "write")


async def test_a_closed_store_says_so_and_closing_twice_is_fine(store: SqlStore) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.transact(lambda tx: tx.epoch())


async def test_what_was_committed_is_there_after_reopening(shared_url: str) -> None:
    first = SqlStore(shared_url)
    await first.open()
    await first.transact(lambda tx: tx.put_desired([desired("na-meo-01")]))
    await first.close()

    second = SqlStore(shared_url)
    await second.open()
    assert await second.transact(lambda tx: tx.desired_of("na-meo-01")) == desired("na-meo-01")
    await second.close()


async def test_processes_that_read_and_then_write_lose_no_update_of_each_other(shared_url: str) -> None:
    stores = [SqlStore(shared_url) for _ in range(4)]
    for store in stores:
        await store.open()

    def count(tx: Tx) -> None:
        tx.note("count", str(int(tx.noted("count") or 0) + 1))

    await asyncio.gather(*(store.transact(count) for store in stores for _ in range(25)))
    assert await stores[0].transact(lambda tx: tx.noted("count")) == "100"
    for store in stores:
        await store.close()


# --- reading beside the queue -------------------------------------------------------------------------------


async def test_a_reading_sees_what_was_committed_before_it(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.note("plan", "tuần 48"))
    assert await store.read(lambda tx: tx.noted("plan")) == "tuần 48"


async def test_a_reading_after_close_says_that_the_store_is_closed(store: SqlStore) -> None:
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.read(lambda tx: tx.epoch())


async def test_a_long_reading_delays_no_transaction_and_sees_one_state(shared_url: str) -> None:
    store = SqlStore(shared_url)
    await store.open()
    await store.transact(lambda tx: tx.note("plan", "old"))
    loop = asyncio.get_running_loop()

    def long_report(tx: Tx) -> tuple[str | None, str | None]:
        before = tx.noted("plan")
        written = store.transact(lambda other: other.note("plan", "new"))
        asyncio.run_coroutine_threadsafe(written, loop).result(timeout=10)
        return before, tx.noted("plan")

    assert await store.read(long_report) == ("old", "old")
    assert await store.read(lambda tx: tx.noted("plan")) == "new"
    await store.close()


async def test_a_reading_cannot_write(shared_url: str) -> None:
    store = SqlStore(shared_url)
    await store.open()
    with pytest.raises(StoreError, match="cannot be written"):
        await store.read(lambda tx: tx.note("plan", "by a page"))
    assert await store.transact(lambda tx: tx.noted("plan")) is None
    await store.close()


# --- epoch and leadership -----------------------------------------------------------------------------------


async def test_every_takeover_has_a_higher_epoch_also_after_reopening(shared_url: str) -> None:
    seen = []
    for _ in range(3):
        store = SqlStore(shared_url)
        await store.open()
        seen.append(await store.transact(lambda tx: (tx.epoch(), tx.raise_epoch(), tx.epoch())))
        await store.close()
    assert seen == [(0, 1, 1), (1, 2, 2), (2, 3, 3)]


async def test_the_lease_says_who_leads_and_every_renewal_makes_it_another_row(store: SqlStore) -> None:
    first, renewed = Lease("a", T0), Lease("a", T0 + timedelta(milliseconds=5))
    assert await store.transact(lambda tx: tx.lease()) is None
    await store.transact(lambda tx: tx.put_lease(first))
    await store.transact(lambda tx: tx.put_lease(renewed))
    assert await store.transact(lambda tx: tx.lease()) == renewed != first


async def test_only_the_leader_can_step_down(store: SqlStore) -> None:
    def step_down(tx: Tx) -> list[Lease | None]:
        tx.put_lease(Lease("a", T0))
        tx.drop_lease("b")
        refused = tx.lease()
        tx.drop_lease("a")
        return [refused, tx.lease()]

    assert await store.transact(step_down) == [Lease("a", T0), None]


async def test_two_processes_racing_for_leadership_one_gets_it(shared_url: str) -> None:
    stores = [SqlStore(shared_url) for _ in range(4)]
    for store in stores:
        await store.open()

    def contend(tx: Tx, name: str) -> bool:
        if free := tx.lease() is None:
            tx.put_lease(Lease(name, T0))
        return free

    won = await asyncio.gather(
        *(store.transact(lambda tx, name=f"controller-{n}": contend(tx, name)) for n, store in enumerate(stores))
    )
    assert sorted(won) == [False, False, False, True]
    for store in stores:
        await store.close()


# --- notes, audit, credentials ------------------------------------------------------------------------------


async def test_a_note_is_replaced_and_an_unknown_one_is_none(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.note("config", "hỏng ở dòng 12"))
    await store.transact(lambda tx: tx.note("config", ""))
    assert await store.transact(lambda tx: (tx.noted("config"), tx.noted("other"))) == ("", None)


async def test_the_audit_trail_is_newest_first_and_limited(store: SqlStore) -> None:
    def write(tx: Tx) -> list[AuditRow]:
        for n in range(5):
            tx.audit(AuditRow(T0 + n * MINUTE, "Lò Văn Định", "say", f"lần {n}"))
        return tx.audits(limit=2)

    rows = await store.transact(write)
    assert [row.detail for row in rows] == ["lần 4", "lần 3"]
    assert rows[0] == AuditRow(T0 + 4 * MINUTE, "Lò Văn Định", "say", "lần 4", id=rows[0].id)
    assert rows[0].id > rows[1].id > 0


async def test_a_node_enrolled_again_has_only_its_new_password(store: SqlStore) -> None:
    def enrol(tx: Tx) -> list[Credential]:
        tx.put_credential(Credential("na-meo-02", "$7$101$b", T0))
        tx.put_credential(Credential("na-meo-01", "$7$101$old", T0))
        tx.put_credential(Credential("na-meo-01", "$7$101$new", T0 + MINUTE))
        return tx.credentials()

    assert await store.transact(enrol) == [
        Credential("na-meo-01", "$7$101$new", T0 + MINUTE),
        Credential("na-meo-02", "$7$101$b", T0),
    ]
    assert await store.transact(lambda tx: tx.credential("na-meo-02")) == Credential("na-meo-02", "$7$101$b", T0)
    assert await store.transact(lambda tx: tx.credential("nobody")) is None
    await store.transact(lambda tx: tx.drop_credential("na-meo-01"))
    assert [row.node for row in await store.transact(lambda tx: tx.credentials())] == ["na-meo-02"]


# --- desired state and orders of the moment -----------------------------------------------------------------


async def test_the_epoch_can_be_raised_above_what_nodes_know(store: SqlStore) -> None:
    raised = [await store.transact(lambda tx, above=above: tx.raise_epoch(above)) for above in (5, 0, 3, 20)]
    assert raised == [6, 7, 8, 21]


async def test_a_node_has_one_desired_document_byte_for_byte(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_desired([desired("na-meo-01"), desired("na-meo-02")]))
    await store.transact(lambda tx: tx.put_desired([desired("na-meo-01", rev=2)]))
    assert {node: rev for node, (_, rev) in (await store.transact(lambda tx: tx.wanted())).items()} == {
        "na-meo-01": 2,
        "na-meo-02": 1,
    }

    held = await store.transact(lambda tx: tx.desired())
    assert held == {"na-meo-01": desired("na-meo-01", rev=2), "na-meo-02": desired("na-meo-02")}
    assert held["na-meo-01"].document == b"\x00\xffjws"
    assert await store.transact(lambda tx: tx.desired_of("nobody")) is None


async def test_writing_no_rows_at_all_is_fine(store: SqlStore) -> None:
    def write(tx: Tx) -> None:
        tx.put_desired([])
        tx.put_occurrences([])
        tx.put_deliveries([])
        tx.put_delivery_events([])
        tx.put_nodes([])
        tx.put_faults([])

    await store.transact(write)
    assert await store.transact(lambda tx: tx.put_journals([], T0)) == []


async def test_an_order_of_the_moment_is_remembered_until_it_expires(store: SqlStore) -> None:
    early = NowRow("now-1", '{"say": "một"}', T0, "operator", T0 + MINUTE)
    late = NowRow("now-2", '{"say": "hai"}', T0 + MINUTE, "operator", T0 + 5 * MINUTE)

    def write(tx: Tx) -> None:
        tx.put_now(late)
        tx.put_now(early)

    await store.transact(write)
    assert await store.transact(lambda tx: tx.now_rows(T0)) == [early, late]
    assert await store.transact(lambda tx: tx.now_rows(T0 + MINUTE)) == [late]
    await store.transact(lambda tx: tx.drop_now("now-2"))
    assert await store.transact(lambda tx: tx.now_rows(T0)) == [early]


async def test_what_an_operator_silenced_stays_silenced(store: SqlStore) -> None:
    def write(tx: Tx) -> None:
        tx.put_stop("tin@1", "na-meo-01", T0)
        tx.put_stop("tin@1", "na-meo-01", T0 + MINUTE)
        tx.put_stop("tin@1", "na-meo-02", T0)

    await store.transact(write)
    assert await store.transact(lambda tx: tx.stops(T0 - MINUTE)) == {
        ("tin@1", "na-meo-01"),
        ("tin@1", "na-meo-02"),
    }
    assert await store.transact(lambda tx: tx.stops(T0)) == {("tin@1", "na-meo-01")}


# --- time and text ------------------------------------------------------------------------------------------


async def test_times_come_back_in_utc_to_the_microsecond(store: SqlStore) -> None:
    hanoi = datetime(2026, 11, 23, 5, 30, 0, 123457, tzinfo=timezone(timedelta(hours=7)))
    await store.transact(lambda tx: tx.put_credential(Credential("na-meo-01", "x", hanoi)))

    [row] = await store.transact(lambda tx: tx.credentials())
    assert row.enrolled_at == hanoi
    assert row.enrolled_at.tzinfo is UTC


async def test_a_time_without_zone_is_refused(store: SqlStore) -> None:
    naive = datetime(2026, 11, 23, 5, 30)
    with pytest.raises(Exception, match="time without zone"):
        await store.transact(lambda tx: tx.put_credential(Credential("na-meo-01", "x", naive)))


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime.min.replace(tzinfo=UTC)),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), datetime.max.replace(tzinfo=UTC)),
    ],
)
async def test_a_node_with_an_absurd_clock_fails_no_transaction(store: SqlStore, at: datetime, kept: datetime) -> None:
    await store.transact(lambda tx: tx.put_credential(Credential("na-meo-01", "x", at)))
    [row] = await store.transact(lambda tx: tx.credentials())
    assert row.enrolled_at == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Nà Mèo – hai loa câm", "Nà Mèo – hai loa câm"),
        ("'; DROP TABLE notes; --", "'; DROP TABLE notes; --"),
        ("nul\0here", "nul\ufffdhere"),
        ("half a pair \ud800", "half a pair \ufffd"),
        ("📣" * 100_000, "📣" * 100_000),
    ],
    ids=["vietnamese", "quotes", "nul", "surrogate", "long"],
)
async def test_no_text_fails_a_transaction(store: SqlStore, text: str, kept: str) -> None:
    await store.transact(lambda tx: tx.note("text", text))
    assert await store.transact(lambda tx: tx.noted("text")) == kept
