"""What was looked at before air is kept with its airing, and goes with it; the audit trail answers by kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from broadcasts.model import Priority
from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import OccurrenceRow
from controller.domain.preflight import Finding, Lack, PreflightRow
from controller.ports import AuditRow, Tx

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FOUND = (Finding("na-meo-01", Lack.FAULT, "amplifier"), Finding("na-meo-02", Lack.AUDIO))


async def test_a_later_look_replaces_the_earlier_one(store: SqlStore) -> None:
    first = PreflightRow("tin@1", T0, 5, FOUND)
    later = replace(first, at=T0 + MINUTE, findings=(), told_at=T0)

    def work(tx: Tx) -> list[dict[str, PreflightRow]]:
        tx.put_preflight(first)
        before = tx.preflights(["tin@1", "tin@2"])
        tx.put_preflight(later)
        return [before, tx.preflights(["tin@1"]), tx.preflights([])]

    assert await store.transact(work) == [{"tin@1": first}, {"tin@1": later}, {}]


async def test_what_is_pruned_takes_its_looks_along(store: SqlStore) -> None:
    row = OccurrenceRow("tin@1", "tin", "Tin", T0, T0 + MINUTE, Priority.NORMAL, 20, "config", T0)

    def work(tx: Tx) -> tuple[int, dict[str, PreflightRow]]:
        tx.put_occurrences([row])
        tx.put_preflight(PreflightRow("tin@1", T0, 5, FOUND))
        return tx.prune_ledger(T0 + timedelta(days=1)), tx.preflights(["tin@1"])

    assert await store.transact(work) == (1, {})


async def test_one_kind_of_the_audit_trail_is_found_behind_thousands_of_others(store: SqlStore) -> None:
    def work(tx: Tx) -> list[AuditRow]:
        tx.audit(AuditRow(T0, "file", "configuration", "{}"))
        for _ in range(50):
            tx.audit(AuditRow(T0, "an", "now", "say"))
        return tx.audits(10, ("configuration", "configuration refused"))

    assert [row.what for row in await store.transact(work)] == ["configuration"]
