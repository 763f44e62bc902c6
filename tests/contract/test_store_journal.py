"""Contract of every store: nodes' journals, what was last known of nodes, and their faults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.adapters.store.sql import SqlStore
from controller.ports import FaultRow, NodeRow, Tx
from controller.wire.messages import JournalEntry

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NODE, LOG = "na-meo-01", "log-1"


def entry(n: int, log: str = LOG) -> JournalEntry:
    return JournalEntry(log=log, n=n, at=T0 + min(n, 99) * MINUTE, kind="started", playlist=f"tin@{n}", late_ms=n)


def put(*ns: int, log: str = LOG) -> list[tuple[str, JournalEntry]]:
    return [(NODE, entry(n, log)) for n in ns]


# --- once, and up to where ----------------------------------------------------------------------------------


async def test_an_entry_that_was_sent_again_is_stored_once(store: SqlStore) -> None:
    assert await store.transact(lambda tx: tx.put_journal(NODE, entry(1), T0))
    assert not await store.transact(lambda tx: tx.put_journal(NODE, entry(1), T0 + MINUTE))
    assert await store.transact(lambda tx: tx.journal(NODE)) == [entry(1)]


async def test_the_first_word_stands_when_a_node_tells_a_number_twice(store: SqlStore) -> None:
    """Also within one batch, and also above a gap."""
    other = JournalEntry(log=LOG, n=5, at=T0, kind="failed", reason="another story")
    told = [(NODE, entry(5)), (NODE, other)]
    assert await store.transact(lambda tx: tx.put_journals(told, T0)) == [(NODE, entry(5))]
    assert await store.transact(lambda tx: tx.put_journals([(NODE, other)], T0)) == []
    assert await store.transact(lambda tx: tx.journal(NODE)) == [entry(5)]


async def test_only_new_entries_of_a_batch_are_given_back_in_their_order(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_journals(put(1, 2, 4), T0))
    new = await store.transact(lambda tx: tx.put_journals(put(5, 2, 3, 4, 5), T0))
    assert new == put(5, 3)


async def test_nothing_is_acknowledged_above_a_gap(store: SqlStore) -> None:
    seen = []
    for n in (2, 3, 1, 5, 7, 4, 6, 9):
        await store.transact(lambda tx, n=n: tx.put_journal(NODE, entry(n), T0))
        seen.append(await store.transact(lambda tx: tx.journal_upto(NODE, LOG)))
    assert seen == [0, 0, 3, 3, 3, 5, 7, 7]


async def test_a_gap_is_closed_by_one_batch_that_reaches_beyond_what_was_there(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_journals(put(1, 2, 6, 7, 12), T0))
    await store.transact(lambda tx: tx.put_journals(put(3, 4, 5, 8, 9), T0))
    assert await store.transact(lambda tx: tx.journal_upto(NODE, LOG)) == 9


async def test_logs_and_nodes_are_counted_apart(store: SqlStore) -> None:
    def write(tx: Tx) -> None:
        tx.put_journals([*put(1, 2), *put(1, log="log-2"), ("na-meo-02", entry(1)), ("na-meo-02", entry(3))], T0)

    await store.transact(write)
    asked = [(NODE, LOG), (NODE, "log-2"), ("na-meo-02", LOG), ("nobody", LOG)]
    uptos = await store.transact(lambda tx: tx.journal_uptos(asked))
    assert uptos == dict(zip(asked, [2, 1, 1, 0], strict=True))
    assert await store.transact(lambda tx: tx.journal_upto("nobody", LOG)) == 0


async def test_a_rolled_back_batch_is_not_acknowledged(store: SqlStore) -> None:
    def fail(tx: Tx) -> None:
        tx.put_journals(put(1, 2, 3), T0)
        raise ValueError("second thoughts")

    with pytest.raises(ValueError, match="second thoughts"):
        await store.transact(fail)
    assert await store.transact(lambda tx: tx.journal_upto(NODE, LOG)) == 0
    assert await store.transact(lambda tx: tx.put_journals(put(1, 2, 3), T0)) == put(1, 2, 3)


async def test_the_highest_number_the_wire_allows_breaks_nothing(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_journals(put(2**53 - 1, 2**53, 1), T0))
    assert await store.transact(lambda tx: tx.put_journals(put(2, 2**53), T0)) == put(2)
    assert await store.transact(lambda tx: tx.journal_upto(NODE, LOG)) == 2


async def test_a_log_with_a_nul_in_its_name_is_acknowledged_too(store: SqlStore) -> None:
    log = "log\0\ufffd"
    assert await store.transact(lambda tx: tx.put_journals(put(1, 2, log=log), T0)) == put(1, 2, log=log)
    assert await store.transact(lambda tx: tx.journal_uptos([(NODE, log)])) == {(NODE, log): 2}
    assert await store.transact(lambda tx: tx.put_journals(put(2, 3, log=log), T0)) == put(3, log=log)


async def test_more_nodes_than_one_query_takes(store: SqlStore) -> None:
    batch = [(f"node-{n}", entry(1)) for n in range(1300)]
    assert await store.transact(lambda tx: tx.put_journals(batch, T0)) == batch
    uptos = await store.transact(lambda tx: tx.journal_uptos([(node, LOG) for node, _ in batch]))
    assert set(uptos.values()) == {1}
    assert len(uptos) == 1300


# --- reading and forgetting ---------------------------------------------------------------------------------


async def test_every_field_of_an_entry_comes_back(store: SqlStore) -> None:
    told = JournalEntry(
        log=LOG,
        n=1,
        at=datetime(2026, 11, 23, 8, 0, 0, 123456, tzinfo=UTC),
        kind="selftest",
        result="passed",
        reason="Nà Mèo \0 ✓",
        epoch=7,
        rev=42,
        late_ms=-12,
        played_ms=2**53,
        level_db=-18.5,
        results={"line_z_ohm": 7.9, "mic": True, "sim_state": "ready", "rpm": 0, "x": None},
    )
    await store.transact(lambda tx: tx.put_journal(NODE, told, T0))
    assert await store.transact(lambda tx: tx.journal(NODE)) == [told]


async def test_a_journal_is_read_newest_arrival_first_and_limited(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_journals(put(3, 1), T0))
    await store.transact(lambda tx: tx.put_journals([("na-meo-02", entry(9)), *put(2)], T0))
    assert await store.transact(lambda tx: tx.journal(NODE, limit=2)) == [entry(2), entry(1)]


async def test_a_forgotten_entry_is_neither_stored_again_nor_asked_for(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_journals(put(1, 2), T0))
    await store.transact(lambda tx: tx.put_journals(put(3), T0 + MINUTE))

    assert await store.transact(lambda tx: tx.prune_journal(T0 + MINUTE, limit=1)) == 1
    assert await store.transact(lambda tx: tx.journal(NODE)) == [entry(3), entry(2)]
    assert await store.transact(lambda tx: tx.prune_journal(T0 + MINUTE)) == 1
    assert await store.transact(lambda tx: tx.prune_journal(T0 + MINUTE)) == 0
    assert await store.transact(lambda tx: tx.put_journals(put(1, 2, 3, 4), T0)) == put(4)
    assert await store.transact(lambda tx: tx.journal_upto(NODE, LOG)) == 4


# --- nodes and faults ---------------------------------------------------------------------------------------


async def test_what_was_last_known_of_a_node_survives(store: SqlStore) -> None:
    new = NodeRow(NODE, "unknown", T0)
    full = NodeRow(
        NODE, "online", T0, "b7c1", 3, 7, 42, T0 + MINUTE, "1.4.2", {"mains_v": 221.4, "door": False, "n": 3}
    )
    await store.transact(lambda tx: tx.put_nodes([new, NodeRow("na-meo-02", "offline", T0)]))
    assert (await store.transact(lambda tx: tx.nodes()))[NODE] == new
    await store.transact(lambda tx: tx.put_nodes([full]))
    nodes = await store.transact(lambda tx: tx.nodes())
    assert nodes == {NODE: full, "na-meo-02": NodeRow("na-meo-02", "offline", T0)}
    assert type((nodes[NODE].metrics or {})["n"]) is int


async def test_a_metric_that_is_not_a_number_fails_no_transaction(store: SqlStore) -> None:
    row = NodeRow(NODE, "online", T0, metrics={"a": float("nan"), "b": float("inf"), "c": 10**25})
    await store.transact(lambda tx: tx.put_nodes([row]))
    nodes = await store.transact(lambda tx: tx.nodes())
    assert nodes[NODE].metrics == {"a": None, "b": None, "c": 10**25}


async def test_faults_that_are_over_are_not_listed(store: SqlStore) -> None:
    is_open = FaultRow(NODE, "amplifier", "open", T0, "critical", {"amp_vrms": 0.1, "src_dbfs": -20}, True, True)
    suspect = FaultRow(NODE, "fan", "suspect", T0, "minor", {})
    await store.transact(lambda tx: tx.put_faults([suspect, is_open]))
    assert await store.transact(lambda tx: tx.faults()) == [is_open, suspect]

    over = FaultRow(NODE, "fan", "ok", T0 + MINUTE, "minor", {})
    await store.transact(lambda tx: tx.put_faults([over]))
    assert await store.transact(lambda tx: tx.faults()) == [is_open]
