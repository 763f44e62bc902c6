"""Journals in any order, in any batches, with repeats: each entry once, nothing acknowledged over a gap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from controller.adapters.store import schema
from controller.adapters.store.engine import make_engine
from controller.adapters.store.tx import SqlTx
from controller.ports import Credential
from controller.wire.messages import JournalEntry, WireError, decode

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


@contextmanager
def transaction() -> Iterator[SqlTx]:
    """On an empty database; nothing is kept."""
    with database().connect() as connection:
        yield SqlTx(connection)
        connection.rollback()


@cache
def database() -> Engine:
    engine = make_engine("sqlite://")
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
    return engine


@pytest.fixture(scope="module", autouse=True)
def disposed() -> Iterator[None]:
    yield
    database().dispose()


class Model:
    """What the store promises, in the plainest way."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str, int]] = set()

    def put(self, batch: list[tuple[str, JournalEntry]]) -> list[tuple[str, JournalEntry]]:
        new = []
        for node, entry in batch:
            if (place := (node, entry.log, entry.n)) not in self.seen:
                self.seen.add(place)
                new.append((node, entry))
        return new

    def upto(self, node: str, log: str) -> int:
        n = 0
        while (node, log, n + 1) in self.seen:
            n += 1
        return n


told = st.builds(
    lambda node, log, n, late: (
        node,
        JournalEntry(log=log, n=n, at=T0, kind="started", late_ms=late),
    ),
    st.sampled_from(["na-meo-01", "na-meo-02"]),
    st.sampled_from(["log-1", "log-2"]),
    st.integers(1, 12),
    st.integers(0, 3),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(told, max_size=10), max_size=12))
def test_any_order_of_arrival_ends_in_the_same_journal(
    batches: list[list[tuple[str, JournalEntry]]],
) -> None:
    model = Model()
    with transaction() as tx:
        for batch in batches:
            assert tx.put_journals(batch, T0) == model.put(batch)
            for node, entry in batch:
                assert tx.journal_upto(node, entry.log) == model.upto(node, entry.log)
        for node in ("na-meo-01", "na-meo-02"):
            stored = [(node, entry.log, entry.n) for entry in tx.journal(node, limit=1000)]
            assert len(stored) == len(set(stored))
            assert set(stored) == {place for place in model.seen if place[0] == node}


@settings(max_examples=150, deadline=None)
@given(st.permutations(range(1, 30)), st.data())
def test_however_it_is_cut_into_batches_all_is_acknowledged_in_the_end(order: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, 28), max_size=10)))
    with transaction() as tx:
        for start, end in zip([0, *cuts], [*cuts, 29], strict=True):
            entries = [JournalEntry(log="log-1", n=n, at=T0, kind="resumed") for n in order[start:end]]
            tx.put_journals([("na-meo-01", entry) for entry in entries], T0)
        assert tx.journal_upto("na-meo-01", "log-1") == 29


# --- whatever a node says ------------------------------------------------------------------------------------

numbers = st.one_of(st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(), st.none())
anything = st.fixed_dictionaries(
    {
        "log": st.text(max_size=64),
        "n": st.integers(1, 2**53),
        "at": st.one_of(
            st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
            st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00"]),
        ),
        "kind": st.sampled_from(["started", "completed", "selftest", "failed"]),
    },
    optional={
        "playlist": st.text(max_size=200),
        "reason": st.text(max_size=200),
        "late_ms": st.integers(),
        "played_ms": st.integers(0, 2**53),
        "level_db": st.floats(allow_nan=False, allow_infinity=False),
        "results": st.dictionaries(st.text(max_size=64), numbers, max_size=5),
    },
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything)
def test_whatever_the_wire_lets_through_is_stored_and_comes_back(message: dict[str, object]) -> None:
    try:
        entry = decode(JournalEntry, msgspec.json.encode(message))
    except WireError:
        return
    with transaction() as tx:
        assert tx.put_journal("na-meo-01", entry, T0)
        assert tx.journal("na-meo-01") == [entry]
        assert tx.journal_upto("na-meo-01", entry.log) == (1 if entry.n == 1 else 0)
        assert not tx.put_journal("na-meo-01", entry, T0)


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.datetimes(timezones=zones), min_size=2, max_size=6))
def test_times_of_any_zone_come_back_exactly_and_are_ordered_as_instants(times: list[datetime]) -> None:
    low, high = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    inside = [at for at in times if low + timedelta(days=1) < at < high - timedelta(days=1)]
    with transaction() as tx:
        for number, at in enumerate(inside):
            tx.put_credential(Credential(f"node-{number}", "x", at))
            tx.put_stop("tin@1", f"node-{number}", at)
        assert [row.enrolled_at for row in tx.credentials()] == inside
        for after in inside:
            later = {("tin@1", f"node-{number}") for number, at in enumerate(inside) if at > after}
            assert tx.stops(after) == later
