"""Self-tests and commissionings come back as they were written, newest and oldest first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from controller.adapters.store.sql import SqlStore
from controller.domain.commissioning import Baseline, Selftest
from controller.ports import Tx

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TEST = Selftest("a", T0, False, {"line_z_ohm": 8.5, "mic_pilot_ok": True}, {"horn": "skipped"}, "selftest-1")


async def test_the_newest_selftest_comes_first_and_old_ones_can_go(store: SqlStore) -> None:
    def work(tx: Tx) -> object:
        tx.put_selftests([TEST, replace(TEST, at=T0 + DAY, passed=True), replace(TEST, node="b")])
        found = [replace(row, id=0) for row in tx.selftests("a")]
        since = tx.tested_since(T0 + DAY / 2)
        gone = tx.prune_selftests(T0 + DAY)
        return found, since, gone, len(tx.selftests("a")), tx.selftests("b")

    later = replace(TEST, at=T0 + DAY, passed=True)
    assert await store.transact(work) == ([later, TEST], {"a": T0 + DAY}, 2, 1, [])


async def test_every_commissioning_is_kept(store: SqlStore) -> None:
    first = Baseline("a", T0, "Lan", "mới lắp", 1, {"line_z_ohm": 8.0})
    second = replace(first, at=T0 + DAY, note="thay củ loa", values={"line_z_ohm": 7.5})

    def work(tx: Tx) -> list[Baseline]:
        tx.new_baseline(first)
        tx.new_baseline(second)
        tx.new_baseline(replace(first, node="b"))
        return tx.baselines("a")

    found = await store.transact(work)
    assert [replace(row, id=0) for row in found] == [first, second]
    assert len(await store.transact(lambda tx: tx.baselines())) == 3
