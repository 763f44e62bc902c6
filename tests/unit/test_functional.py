"""Was it heard? What the ledger and the levels say, and what nobody can say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasts.model import Priority
from controller.domain.delivery import Delivery, DeliveryState, OccurrenceRow
from controller.domain.emergencies import Answer, AnswerState, EmergencyRow, EmergencyState
from controller.domain.faults import FaultState, Severity
from controller.domain.functional import Flaw, Verdict, judge, judge_emergency, newest
from tests.health_support import AMPLIFIER, RULES, Ward, district, rule

T = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
S, MIN, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ROW = OccurrenceRow("tin@1", "tin", "Bản tin", T, T + 10 * MIN, Priority.NORMAL, 20, "config", T - HOUR)
PLAYED = Delivery(
    "tin@1", "c1-1", DeliveryState.COMPLETED, T, started_at=T, late_ms=3, played_ms=600_000, level_db=-20.0
)
WAITS = Delivery("tin@1", "c1-1", DeliveryState.READY, T - HOUR)
MISSED = rule("missed-broadcast", "service")


def flaw(
    one: Delivery, now: datetime = T + HOUR, contact: datetime | None = T - HOUR, *, gave_way: datetime | None = None
) -> Flaw | str | None:
    found = judge(ROW, one, contact, now, gave_way=gave_way)
    return "nothing" if found is None else found.flaw


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (PLAYED, None),
        (replace(PLAYED, level_db=None), None),
        (replace(PLAYED, late_ms=5000), None),
        (replace(PLAYED, late_ms=5001), Flaw.LATE),
        (replace(PLAYED, played_ms=570_000), None),
        (replace(PLAYED, played_ms=569_000), Flaw.CUT_SHORT),
        (replace(PLAYED, level_db=-77.0), Flaw.SILENT),
        (replace(PLAYED, state=DeliveryState.FAILED, reason="restart", played_ms=100_000), Flaw.CUT_SHORT),
        (replace(PLAYED, state=DeliveryState.FAILED, reason="restart", played_ms=None), Flaw.CUT_SHORT),
        (replace(WAITS, state=DeliveryState.FAILED, reason="unreadable"), Flaw.MISSED),
        (replace(WAITS, state=DeliveryState.SKIPPED, reason="missing-audio"), Flaw.MISSED),
        (replace(WAITS, state=DeliveryState.SKIPPED, reason="preempted"), "nothing"),
        (replace(PLAYED, state=DeliveryState.FAILED, reason="interrupted", played_ms=9000), "nothing"),
        (replace(WAITS, state=DeliveryState.SKIPPED, reason="cancelled"), "nothing"),
        (replace(WAITS, state=DeliveryState.CANCELLED), "nothing"),
    ],
)
def test_what_the_journal_says(one: Delivery, said: object) -> None:
    assert flaw(one) == said


def test_what_gave_way_to_something_higher_is_neither_late_nor_short() -> None:
    assert flaw(replace(PLAYED, late_ms=60_000, played_ms=300_000), gave_way=T + 5 * MIN) is None
    assert flaw(replace(PLAYED, level_db=-80.0), gave_way=T + 5 * MIN) is Flaw.SILENT


def test_a_node_in_contact_that_has_not_started_after_a_minute_missed_it() -> None:
    assert flaw(WAITS, T + 59 * S) == "nothing"
    assert flaw(WAITS, T + 60 * S) is Flaw.MISSED
    assert flaw(replace(WAITS, state=DeliveryState.SOUNDING, started_at=T), T + 60 * S) == "nothing"


@pytest.mark.parametrize(
    ("late_ms", "played_ms", "said"), [(404, 592, None), (-404, 592, Flaw.CUT_SHORT), (3, 592, Flaw.CUT_SHORT)]
)
def test_a_chime_that_was_joined_in_time_is_not_cut_short(late_ms: int, played_ms: int, said: object) -> None:
    chime = replace(ROW, end=T + timedelta(milliseconds=996))
    found = judge(chime, replace(PLAYED, late_ms=late_ms, played_ms=played_ms), T - HOUR, T + HOUR, gave_way=None)
    assert found is not None
    assert found.flaw is said


def test_what_gave_way_is_missed_a_minute_after_the_horns_are_free_and_not_before() -> None:
    assert flaw(WAITS, T + 5 * MIN + 59 * S, gave_way=T + 5 * MIN) == "nothing"
    assert flaw(WAITS, T + 6 * MIN, gave_way=T + 5 * MIN) is Flaw.MISSED
    assert flaw(WAITS, T + 60 * S, gave_way=T - MIN) is Flaw.MISSED, "free before it was due"
    assert flaw(WAITS, T + 6 * MIN, T + 4 * MIN, gave_way=T + 5 * MIN) == "nothing", "its journal is still coming"


def test_what_was_interrupted_is_broken_off_when_the_rest_of_it_could_have_been_heard() -> None:
    held = replace(WAITS, state=DeliveryState.INTERRUPTED, started_at=T)
    assert flaw(held, T + 18 * MIN, gave_way=T + 9 * MIN) == "nothing"
    assert flaw(held, T + 19 * MIN + 15 * S, gave_way=T + 9 * MIN) is Flaw.CUT_SHORT


def test_of_a_node_that_is_away_nothing_is_said_until_it_is_back_with_its_journal() -> None:
    unknown = replace(WAITS, state=DeliveryState.UNKNOWN)
    assert flaw(unknown, T + 100 * HOUR, contact=None) == "nothing"
    assert flaw(unknown, T + 5 * HOUR, contact=T + 5 * HOUR - MIN) == "nothing", "its journal is still coming"
    assert flaw(PLAYED, T + 5 * HOUR, contact=T + 5 * HOUR - MIN) is None, "it had played"
    assert flaw(unknown, T + 5 * HOUR, contact=T + 4 * HOUR) is Flaw.MISSED, "its journal knows nothing of it"


def emergency(**changes: object) -> EmergencyRow:
    made = EmergencyRow(
        "lu@1", 1, 1, "Lũ", ("c1",), ("c1-1",), False, 100, 3, 0, (), EmergencyState.ACTIVE, T, "Lan", T, T + 10 * MIN,
        T + HOUR,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_emergency_that_did_not_sound_is_critical() -> None:
    def said(state: AnswerState | None, contact: datetime | None = T - HOUR, now: datetime = T + MIN) -> object:
        answer = Answer("lu@1", "c1-1", 1, state, T) if state else None
        found = judge_emergency(emergency(), "c1-1", answer, contact, now)
        return found and (found.flaw, found.severity)

    assert said(AnswerState.SOUNDING) == (None, Severity.CRITICAL)
    assert said(AnswerState.REFUSED) == (Flaw.MISSED, Severity.CRITICAL)
    assert said(None) == (Flaw.MISSED, Severity.CRITICAL)
    assert said(None, now=T + 59 * S) is None
    assert said(None, contact=None) is None


AIRINGS = st.lists(
    st.builds(
        Verdict,
        st.sampled_from(["a", "b"]),
        st.integers(0, 3).map(lambda hours: T + hours * HOUR),
        st.sampled_from([None, Flaw.MISSED]),
        st.just(Severity.MAJOR),
    ),
    max_size=5,
)


@given(AIRINGS)
def test_the_last_airing_decides_in_whatever_order_they_are_judged(verdicts: list[Verdict]) -> None:
    expected = newest(verdicts)
    assert all(newest(list(order)) == expected for order in itertools.permutations(verdicts))


@given(
    st.builds(
        replace,
        st.just(WAITS),
        state=st.sampled_from([s for s in DeliveryState if s not in ("completed", "failed", "skipped")]),
        started_at=st.sampled_from([None, T]),
    ),
    st.integers(-100, 100_000),
)
def test_missing_data_never_says_missed(one: Delivery, seconds: int) -> None:
    assert judge(ROW, one, None, T + seconds * S, gave_way=None) is None


# --- incidents ------------------------------------------------------------------------------------------------


def bad(hours: int = 0, flaw: Flaw | None = Flaw.MISSED) -> dict[str, Verdict]:
    return {"c1-1": Verdict("c1-1", T + hours * HOUR, flaw, Severity.MAJOR, {"airing": "Bản tin", "missed": True})}


async def open_causes(ward: Ward) -> dict[str, int | None]:
    rows = await ward.store.transact(lambda tx: tx.open_incidents())
    ids = {row.id: row.cause for row in rows}
    return {row.cause: ids.get(row.parent) if row.parent else None for row in rows}  # type: ignore[misc]


async def test_a_missed_airing_is_an_incident_until_the_next_good_one() -> None:
    async with Ward(district(faults=(*RULES, MISSED))) as ward:
        await ward.speakers["c1-1"].birth()
        await ward.speakers["c1-1"].beat()
        await ward.monitoring.on_airings(bad())
        await ward.pass_time(60)
        assert await open_causes(ward) == {"missed-broadcast": None}, "good heartbeats do not end it"
        await ward.monitoring.on_airings(bad(-1, None))
        assert await open_causes(ward) == {"missed-broadcast": None}, "an earlier one does not end it"
        await ward.monitoring.on_airings(bad(1, None))
        assert await open_causes(ward) == {}


async def test_the_fault_that_explains_it_is_told_and_not_the_airing() -> None:
    async with Ward(district(faults=(AMPLIFIER, MISSED))) as ward:
        await ward.speakers["c1-1"].birth()
        await ward.speakers["c1-1"].beat(amp_pilot_db=-90.0)
        await ward.pass_time(12)
        await ward.monitoring.on_airings(bad())
        await ward.pass_time(60)
        assert await open_causes(ward) == {"amplifier": None, "missed-broadcast": "amplifier"}
        messages = await ward.store.transact(lambda tx: tx.outbox())
        assert len({(row.incident, row.recipient) for row in messages}) == 1


async def test_sound_while_nothing_is_due_is_raised_and_unknown_is_not() -> None:
    unasked = rule("unscheduled-sound", "amplifier", raise_when="not sound_due and amp_vrms > 2", hold_open_s=30)
    async with Ward(district(faults=(unasked,))) as ward:
        node = ward.speakers["c1-1"]
        await node.birth()
        due: list[bool | None] = [None]
        ward.monitoring.expect(lambda node, at, playing: due[0])
        for answer, found in ((None, []), (True, []), (False, [FaultState.OPEN])):
            due[0] = answer
            for _ in range(5):
                await node.beat(amp_vrms=9.0)
                await ward.wait(10)
            assert [fault.state for fault in ward.monitoring.view()["c1-1"].faults] == found
