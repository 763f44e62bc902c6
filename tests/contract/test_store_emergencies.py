"""Emergencies in the database: whole, by what is asked of them, and gone when they are old."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from broadcasts.model import FileTrack, PauseTrack
from controller.adapters.store.sql import SqlStore
from controller.domain.emergencies import Answer, AnswerState, Change, EmergencyRow, EmergencyState, Step

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
ROW = EmergencyRow(
    id="lu-quet@2026-11-23T08:00",
    rev=2,
    words_rev=1,
    title="Lũ quét",
    zones=("na-meo", "son-thuy"),
    nodes=("na-meo-01", "son-thuy-01"),
    drill=True,
    volume=95,
    times=3,
    gap_ms=5000,
    tracks=(FileTrack("ab" * 32, "/media/x.opus", 60_000, 19_000), PauseTrack(700)),
    state=EmergencyState.ACTIVE,
    ordered_at=NOW,
    ordered_by="hương",
    changed_at=NOW + timedelta(seconds=3),
    not_after=NOW + timedelta(minutes=10),
    retained_until=NOW + timedelta(minutes=12),
    history=(Change(1, NOW, Step.ORDERED, "hương"), Change(2, NOW + timedelta(seconds=3), Step.UPDATED, "đình")),
)


async def test_an_emergency_comes_back_as_it_was_written(store: SqlStore) -> None:
    await store.transact(lambda tx: tx.put_emergency(ROW))
    assert await store.transact(lambda tx: tx.emergency(ROW.id)) == ROW
    assert await store.transact(lambda tx: tx.emergency("another")) is None


async def test_only_what_the_broker_may_keep_is_current_and_the_day_is_told_newest_first(store: SqlStore) -> None:
    later = replace(ROW, id="so-tan@2026-11-23T09:00", ordered_at=NOW + timedelta(hours=1))
    over = replace(ROW, id="x", ordered_at=NOW + timedelta(hours=2), cleared=True, state=EmergencyState.ENDED)
    for row in (later, ROW, over):
        await store.transact(lambda tx, row=row: tx.put_emergency(row))
    assert await store.transact(lambda tx: tx.current_emergencies()) == [ROW, later]
    told = await store.transact(lambda tx: tx.emergencies(NOW, NOW + timedelta(hours=2)))
    assert [row.id for row in told] == [later.id, ROW.id]


async def test_answers_are_one_a_node_and_go_with_their_emergency(store: SqlStore) -> None:
    first = Answer(ROW.id, "na-meo-01", 1, AnswerState.SOUNDING, NOW, started_at=NOW)
    refused = Answer(ROW.id, "na-meo-02", 1, AnswerState.REFUSED, NOW, reason="epoch")
    ended = replace(first, state=AnswerState.ENDED, ended_at=NOW + timedelta(seconds=9))

    def work(tx: object) -> None:
        tx.put_emergency(ROW)
        tx.put_answers([first, refused])
        tx.put_answers([ended])

    await store.transact(work)
    assert await store.transact(lambda tx: tx.answers([ROW.id])) == [ended, refused]
    asked = ({"na-meo-02", "stranger"}, {f"node-{n}" for n in range(9000)} | {"na-meo-01"}, ())
    found = [await store.transact(lambda tx, nodes=nodes: tx.answers([ROW.id], nodes)) for nodes in asked]
    assert found == [[refused], [ended], []]
    assert await store.transact(lambda tx: tx.prune_emergencies(NOW)) == 0
    assert await store.transact(lambda tx: tx.prune_emergencies(NOW + timedelta(seconds=1))) == 1
    assert await store.transact(lambda tx: tx.answers([ROW.id])) == []
