"""Self-tests and commissionings between the journal, the store and what others see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controller.domain import commissioning
from controller.domain.commissioning import Baseline, Compared, Selftest
from controller.domain.site import Settings
from controller.ports import AuditRow, Tx
from controller.wire.messages import JournalEntry


def record_selftests(tx: Tx, entries: Sequence[tuple[str, JournalEntry]]) -> bool:
    """Keep the self-tests among new journal entries; whether there were any."""
    rows = [_row(node, entry) for node, entry in entries if entry.kind == "selftest"]
    tx.put_selftests(rows)
    return bool(rows)


def _row(node: str, entry: JournalEntry) -> Selftest:
    results: Mapping[str, float | int | bool | str | None] = entry.results or {}
    return Selftest(node, entry.at, entry.result == "passed", results, dict(entry.parts or {}), entry.id or "")


def commission(tx: Tx, settings: Settings, node: str, test: int, *, by: str, note: str, now: datetime) -> Baseline:
    """Write down what self-test `test` of `node` measured as its baseline. KeyError: there is no such test;
    ValueError: it measured nothing that has one."""
    found = tx.selftest(test)
    if found is None or found.node != node:
        raise KeyError(f"node '{node}' has no self-test {test}")
    made = tx.new_baseline(commissioning.baseline(found, settings.metrics, by=by, note=note, at=now))
    values = ", ".join(f"{name} {value:g}" for name, value in made.values.items())
    tx.audit(AuditRow(now, by, "commissioned", f"node {node}: {values} {note}".rstrip()))
    return made


def compared(tx: Tx, settings: Settings, test: Selftest) -> tuple[Compared, ...]:
    """What commissioning a node with this self-test would write down, beside what is to be expected."""
    node = settings.nodes.get(test.node)
    model = settings.models.get(node.model) if node else None
    return commissioning.compared(test, settings.metrics, model, tx.baselines(test.node))
