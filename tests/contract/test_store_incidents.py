"""Contract of every store: incidents, their histories, work orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.adapters.store.sql import SqlStore
from controller.domain.faults import Severity
from controller.domain.incidents import Incident, IncidentEvent, IncidentState
from controller.domain.workorders import OrderState, Step, WorkOrder, WorkPhoto, event_of
from controller.ports import StoreError, Tx

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def incident(subject: str = "na-meo-01", opened_at: datetime = T0) -> Incident:
    return Incident(
        id=0,
        scope="node",
        subject=subject,
        commune="na-meo",
        cause="amplifier",
        component="amplifier",
        severity=Severity.CRITICAL,
        state=IncidentState.OPEN,
        opened_at=opened_at,
        updated_at=opened_at,
    )


async def test_an_incident_gets_a_number_of_its_own_and_comes_back_whole(store: SqlStore) -> None:
    full = replace(
        incident(),
        id=999,
        scope="commune",
        announce_at=T0 + MINUTE,
        announced=True,
        parent=1,
        stale=True,
        flapping=True,
        acknowledged_by="Định",
        repaired_at=T0,
        closed_at=T0 + MINUTE,
        repeat_of=2,
        evidence={"mains_v": 0.0, "on_battery": True, "silent": 5},
        nodes=("na-meo-01", "na-meo-02"),
    )
    first = await store.transact(lambda tx: tx.new_incident(incident()))
    second = await store.transact(lambda tx: tx.new_incident(full))

    assert first == replace(incident(), id=first.id)
    assert second == replace(full, id=second.id)
    assert second.id > first.id > 0
    assert await store.transact(lambda tx: tx.incident(second.id)) == second
    assert await store.transact(lambda tx: tx.incident(12345)) is None


async def test_a_changed_incident_replaces_what_was_there(store: SqlStore) -> None:
    first = await store.transact(lambda tx: tx.new_incident(incident()))
    other = await store.transact(lambda tx: tx.new_incident(incident("na-meo-02")))
    changed = replace(first, state=IncidentState.ACKNOWLEDGED, acknowledged_by="Định", updated_at=T0 + MINUTE)
    await store.transact(lambda tx: tx.put_incident(changed))

    assert await store.transact(lambda tx: tx.incident(first.id)) == changed
    assert await store.transact(lambda tx: tx.incident(other.id)) == other


async def test_changing_an_incident_that_is_not_there_is_an_error(store: SqlStore) -> None:
    with pytest.raises(KeyError, match="no incident 7"):
        await store.transact(lambda tx: tx.put_incident(replace(incident(), id=7)))


async def test_everything_but_closed_is_open(store: SqlStore) -> None:
    def write(tx: Tx) -> list[Incident]:
        return [tx.new_incident(replace(incident(), state=state)) for state in IncidentState]

    written = await store.transact(write)
    open_ones = await store.transact(lambda tx: tx.open_incidents())
    assert open_ones == [row for row in written if row.state is not IncidentState.CLOSED]
    assert [row.id for row in open_ones] == sorted(row.id for row in open_ones)


async def test_recent_incidents_are_those_opened_or_changed_since_newest_first(store: SqlStore) -> None:
    def write(tx: Tx) -> None:
        tx.new_incident(incident("old", T0 - 10 * MINUTE))
        tx.new_incident(replace(incident("old-but-changed", T0 - 9 * MINUTE), updated_at=T0))
        tx.new_incident(incident("new", T0 + MINUTE))
        tx.new_incident(incident("newest", T0 + MINUTE))

    await store.transact(write)
    found = await store.transact(lambda tx: tx.incidents(T0))
    assert [row.subject for row in found] == ["newest", "new", "old-but-changed"]


async def test_the_history_of_an_incident_is_told_in_order_of_time(store: SqlStore) -> None:
    first = await store.transact(lambda tx: tx.new_incident(incident()))
    opened = IncidentEvent(first.id, T0, "opened", "amp_vrms 0.1 while src_dbfs -20")
    acked = IncidentEvent(first.id, T0 + MINUTE, "acknowledged", "on the way", by="Định")

    def write(tx: Tx) -> None:
        tx.put_incident_event(acked)
        tx.put_incident_event(opened)

    await store.transact(write)
    assert await store.transact(lambda tx: tx.incident_events(first.id)) == [opened, acked]


async def test_the_histories_of_many_incidents_come_at_once(store: SqlStore) -> None:
    ids = [(await store.transact(lambda tx: tx.new_incident(incident()))).id for _ in range(3)]

    def write(tx: Tx) -> None:
        for minutes in (2, 1, 3):
            for id in ids[:2]:
                tx.put_incident_event(IncidentEvent(id, T0 + minutes * MINUTE, f"step-{minutes}", ""))

    await store.transact(write)
    told = await store.transact(lambda tx: tx.incident_events_of(ids))
    assert list(told) == ids
    assert [event.transition for event in told[ids[0]]] == ["step-1", "step-2", "step-3"]
    assert told[ids[1]] == await store.transact(lambda tx: tx.incident_events(ids[1]))
    assert told[ids[2]] == []
    assert await store.transact(lambda tx: tx.incident_events_of([])) == {}


async def test_an_event_of_an_incident_that_is_not_there_is_refused(store: SqlStore) -> None:
    event = IncidentEvent(404, T0, "opened", "")
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        await store.transact(lambda tx: tx.put_incident_event(event))


async def test_an_incident_has_one_work_order(store: SqlStore) -> None:
    first = await store.transact(lambda tx: tx.new_incident(incident()))
    second = await store.transact(lambda tx: tx.new_incident(incident("na-meo-02")))
    given = WorkOrder(first.id, "dinh", T0 + 240 * MINUTE, T0)
    done = replace(given, state=OrderState.CLOSED, closed_at=T0 + MINUTE)
    other = WorkOrder(second.id, "sua", T0 + 240 * MINUTE, T0)

    def write(tx: Tx) -> None:
        tx.put_work_order(other)
        tx.put_work_order(given)
        tx.put_work_order(done)

    await store.transact(write)
    assert await store.transact(lambda tx: tx.work_orders()) == [done, other]
    assert await store.transact(lambda tx: tx.work_order(first.id)) == done
    assert await store.transact(lambda tx: tx.work_order(999)) is None


async def test_orders_that_have_ended_are_left_out_of_the_live_ones(store: SqlStore) -> None:
    first = await store.transact(lambda tx: tx.new_incident(incident()))
    second = await store.transact(lambda tx: tx.new_incident(incident("na-meo-02")))
    live = WorkOrder(first.id, "dinh", T0, T0)
    ended = WorkOrder(second.id, "dinh", T0, T0, OrderState.VERIFIED, T0)

    def write(tx: Tx) -> None:
        tx.put_work_order(live)
        tx.put_work_order(ended)

    await store.transact(write)
    assert await store.transact(lambda tx: tx.work_orders(live=True)) == [live]


async def test_the_history_of_an_order_is_kept_in_order(store: SqlStore) -> None:
    row = await store.transact(lambda tx: tx.new_incident(incident()))
    order = WorkOrder(row.id, "dinh", T0 + MINUTE, T0)
    events = [event_of(order, "opened", T0), event_of(order, Step.ACCEPTED, T0 + MINUTE, "dinh")]

    def write(tx: Tx) -> None:
        for event in reversed(events):
            tx.put_work_order_event(event)

    await store.transact(write)
    assert await store.transact(lambda tx: tx.work_order_events_of([row.id, 404])) == {row.id: events, 404: []}


async def test_a_picture_belongs_to_an_order_once(store: SqlStore) -> None:
    row = await store.transact(lambda tx: tx.new_incident(incident()))
    photo = WorkPhoto(row.id, T0, "dinh", "ab" * 32, "image/png", 10)

    def write(tx: Tx) -> None:
        tx.put_work_photo(photo)
        tx.put_work_photo(replace(photo, by="sua"))

    await store.transact(write)
    assert await store.transact(lambda tx: tx.work_photos(row.id)) == [photo]


async def test_a_nonce_is_used_once_until_it_is_pruned(store: SqlStore) -> None:
    assert await store.transact(lambda tx: tx.use_once("a", T0))
    assert not await store.transact(lambda tx: tx.use_once("a", T0 + MINUTE))
    assert await store.transact(lambda tx: tx.prune_used(T0)) == 0
    assert await store.transact(lambda tx: tx.prune_used(T0 + MINUTE)) == 1
    assert await store.transact(lambda tx: tx.use_once("a", T0 + MINUTE))
