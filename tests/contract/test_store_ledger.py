"""Contract of every store: occurrences, deliveries and their histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from broadcasts.model import Priority
from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.ports import NowRow, Tx

T0 = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def occurrence(id: str, start: datetime = T0, minutes: float = 15) -> OccurrenceRow:
    return OccurrenceRow(
        id=id,
        broadcast=id.split("@")[0],
        title="Bản tin sáng",
        start=start,
        end=start + minutes * MINUTE,
        priority=Priority.NORMAL,
        rank=20,
        source="config",
        planned_at=T0 - timedelta(days=1),
    )


def delivery(occurrence: str, node: str = "na-meo-01", state: DeliveryState = DeliveryState.PLANNED) -> Delivery:
    return Delivery(occurrence, node, state, T0)


async def test_an_occurrence_comes_back_as_it_was_written(store: SqlStore) -> None:
    planned = occurrence("tin@1")
    cancelled = replace(planned, cancelled_at=T0, reason="removed from broadcasts.yaml")

    await store.transact(lambda tx: tx.put_occurrences([planned]))
    assert await store.transact(lambda tx: tx.occurrence("tin@1")) == planned
    await store.transact(lambda tx: tx.put_occurrences([cancelled]))
    assert await store.transact(lambda tx: tx.occurrence("tin@1")) == cancelled
    assert await store.transact(lambda tx: tx.occurrence("tin@2")) is None


async def test_the_same_occurrence_twice_in_one_call_keeps_the_later(store: SqlStore) -> None:
    first, second = occurrence("tin@1"), replace(occurrence("tin@1"), title="Bản tin trưa")
    await store.transact(lambda tx: tx.put_occurrences([first, second]))
    assert await store.transact(lambda tx: tx.occurrence("tin@1")) == second


async def test_the_airtime_of_a_day_is_what_each_node_says_that_it_sounded(store: SqlStore) -> None:
    """Of what starts on that day; an emergency does not count, nor what nobody has told of."""
    alarm = replace(occurrence("bao-dong", T0), priority=Priority.EMERGENCY)
    before, after = occurrence("hom-qua", T0 - MINUTE), occurrence("ngay-mai", T0 + 60 * MINUTE)
    played = {("tin", "a"): 60_000, ("tin", "b"): 30_000, ("trua", "a"): 5_000, ("bao-dong", "a"): 70_000}
    outside = {("hom-qua", "a"): 1_000, ("ngay-mai", "a"): 1_000, ("tin", "c"): None}

    def work(tx: Tx) -> dict[str, int]:
        tx.put_occurrences([occurrence("tin"), occurrence("trua", T0 + 59 * MINUTE), alarm, before, after])
        told = {**played, **outside}.items()
        tx.put_deliveries([replace(delivery(id, node), played_ms=ms) for (id, node), ms in told])
        return tx.airtime(T0, T0 + 60 * MINUTE)

    assert await store.transact(work) == {"a": 65_000, "b": 30_000}


async def test_a_day_shows_what_sounds_on_it_also_over_its_edges(store: SqlStore) -> None:
    rows = [
        occurrence("ends-at-start", T0 - 15 * MINUTE),
        occurrence("over-start", T0 - 5 * MINUTE),
        occurrence("inside-b", T0 + 5 * MINUTE),
        occurrence("inside-a", T0 + 5 * MINUTE),
        occurrence("around", T0 - 60 * MINUTE, minutes=180),
        occurrence("over-end", T0 + 55 * MINUTE),
        occurrence("starts-at-end", T0 + 60 * MINUTE),
        occurrence("no-length-at-start", T0, minutes=0),
        occurrence("no-length-at-end", T0 + 60 * MINUTE, minutes=0),
    ]
    await store.transact(lambda tx: tx.put_occurrences(rows))

    found = await store.transact(lambda tx: tx.occurrences(T0, T0 + 60 * MINUTE))
    assert [row.id for row in found] == [
        "around",
        "over-start",
        "no-length-at-start",
        "inside-a",
        "inside-b",
        "over-end",
    ]


async def test_microseconds_decide_what_overlaps(store: SqlStore) -> None:
    tick = timedelta(microseconds=1)
    await store.transact(lambda tx: tx.put_occurrences([occurrence("tin@1")]))

    end = T0 + 15 * MINUTE
    windows = [(T0 - MINUTE, T0), (T0 - MINUTE, T0 + tick), (end - tick, end + MINUTE), (end, end + MINUTE)]

    found = await store.transact(lambda tx: [len(tx.occurrences(*window)) for window in windows])
    assert found == [0, 1, 1, 0]


async def test_a_delivery_comes_back_as_it_was_written(store: SqlStore) -> None:
    heard = Delivery(
        "tin@1",
        "na-meo-01",
        DeliveryState.COMPLETED,
        T0,
        reason="played 97 %",
        started_at=T0 + timedelta(microseconds=1500),
        late_ms=-3,
        played_ms=890_000,
        level_db=-18.25,
    )
    await store.transact(lambda tx: tx.put_deliveries([delivery("tin@1"), heard]))
    assert await store.transact(lambda tx: tx.delivery("tin@1", "na-meo-01")) == heard
    assert await store.transact(lambda tx: tx.delivery("tin@1", "na-meo-02")) is None


async def test_a_nodes_word_about_a_forgotten_occurrence_is_kept(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_deliveries([delivery("from-a-lost-database")]))
    assert await store.transact(lambda tx: len(tx.deliveries("from-a-lost-database"))) == 1


async def test_a_node_that_claims_an_absurd_lateness_fails_no_transaction(store: SqlStore) -> None:
    absurd = replace(delivery("tin@1"), late_ms=10**30, played_ms=2**63)
    await store.transact(lambda tx: tx.put_deliveries([absurd]))
    [row] = await store.transact(lambda tx: tx.deliveries("tin@1"))
    assert (row.late_ms, row.played_ms) == (2**53, 2**53)


async def test_names_are_in_the_same_order_on_every_database(store: SqlStore) -> None:
    """By code point, as Python sorts; a server that speaks Vietnamese has its own idea."""
    nodes = ["B", "a", "na-meo-1", "na-meo-10", "na-meo1", "na_meo", "nA", "đ", "z"]
    await store.transact(lambda tx: tx.put_deliveries([delivery("tin@1", node) for node in nodes]))
    assert [row.node for row in await store.transact(lambda tx: tx.deliveries("tin@1"))] == sorted(nodes)


async def test_deliveries_of_many_occurrences_and_nodes_come_at_once_in_order(store: SqlStore) -> None:
    rows = [delivery(f"tin@{n:04}", f"node-{m}") for n in range(1200) for m in (2, 1)]
    asked = [f"tin@{n:04}" for n in range(1199, -1, -1)]
    await store.transact(lambda tx: tx.put_deliveries(rows))

    everywhere = await store.transact(lambda tx: tx.deliveries_of(asked))
    assert everywhere == sorted(rows, key=lambda row: (row.occurrence, row.node))
    one_node = await store.transact(lambda tx: tx.deliveries_of(["tin@0007", "tin@0003"], ["node-2"]))
    assert one_node == [delivery("tin@0003", "node-2"), delivery("tin@0007", "node-2")]
    for strangers in (1500, 9000):
        many_nodes = ["node-1", *(f"stranger-{n}" for n in range(strangers))]
        found = await store.transact(lambda tx, nodes=many_nodes: tx.deliveries_of(asked, nodes))
        assert found == [delivery(f"tin@{n:04}", "node-1") for n in range(1200)]
    assert await store.transact(lambda tx: tx.deliveries_of(asked, [])) == []
    assert await store.transact(lambda tx: tx.deliveries_of([])) == []


async def test_only_what_is_on_air_is_sounding(store: SqlStore) -> None:
    rows = [delivery("tin@1", f"node-{state.value}", state) for state in DeliveryState]
    await store.transact(lambda tx: tx.put_deliveries(rows))
    sounding = await store.transact(lambda tx: tx.sounding())
    assert [row.node for row in sounding] == ["node-interrupted", "node-sounding"]


async def test_only_what_ended_with_nobody_knowing_how_is_unresolved(store: SqlStore) -> None:
    states = {f"tin@{state.value}": state for state in DeliveryState}
    late = occurrence("later", T0 + timedelta(days=1))
    await store.transact(lambda tx: tx.put_occurrences([*(occurrence(id) for id in states), late]))
    rows = [delivery(id, "node-1", state) for id, state in states.items()]
    await store.transact(lambda tx: tx.put_deliveries([*rows, delivery("later", "node-1")]))
    found = await store.transact(lambda tx: tx.unresolved(T0 - MINUTE, T0 + timedelta(hours=12)))
    open_states = ("accepted", "interrupted", "planned", "published", "ready", "sounding")
    assert found == [f"tin@{state}" for state in open_states]


async def test_the_history_of_a_delivery_is_told_in_order_of_time(store: SqlStore) -> None:
    started = DeliveryEvent("tin@1", "na-meo-01", T0, DeliveryState.SOUNDING)
    failed = DeliveryEvent("tin@1", "na-meo-01", T0 + MINUTE, DeliveryState.FAILED, "amplifier")
    elsewhere = DeliveryEvent("tin@1", "na-meo-02", T0, DeliveryState.UNKNOWN, "no word by the deadline")
    await store.transact(lambda tx: tx.put_delivery_events([failed, elsewhere]))
    await store.transact(lambda tx: tx.put_delivery_events([started]))

    assert await store.transact(lambda tx: tx.delivery_events("tin@1", "na-meo-01")) == [started, failed]
    assert await store.transact(lambda tx: tx.delivery_events("tin@1")) == [elsewhere, started, failed]
    assert await store.transact(lambda tx: tx.delivery_events("tin@2")) == []


async def test_pruning_takes_old_occurrences_with_all_their_rows_and_no_others(store: SqlStore) -> None:
    old, new = occurrence("tin@1"), occurrence("tin@2", T0 + timedelta(days=1))

    def write(tx: Tx) -> None:
        for row in (old, new):
            tx.put_occurrences([row])
            tx.put_deliveries([delivery(row.id)])
            tx.put_delivery_events([DeliveryEvent(row.id, "na-meo-01", T0, DeliveryState.PLANNED)])
            tx.put_stop(row.id, "na-meo-01", T0)
            tx.put_now(NowRow(f"now of {row.id}", "{}", row.start, "operator", row.end))

    def left(tx: Tx) -> list[tuple[object, int, int]]:
        return [(tx.occurrence(id), len(tx.deliveries(id)), len(tx.delivery_events(id))) for id in ids]

    ids = ["tin@1", "tin@2"]
    await store.transact(write)
    assert await store.transact(lambda tx: tx.prune_ledger(old.end)) == 0
    assert await store.transact(lambda tx: tx.prune_ledger(old.end + MINUTE)) == 1
    assert await store.transact(left) == [(None, 0, 0), (new, 1, 1)]
    assert [row.id for row in await store.transact(lambda tx: tx.now_rows(T0 - MINUTE))] == ["now of tin@2"]
    assert await store.transact(lambda tx: tx.stops(T0 - MINUTE)) == {("tin@2", "na-meo-01")}
