"""The month's figures, against a count that walks the raw event log minute by minute and shares no code with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcasts.model import Priority
from controller.domain.delivery import DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.faults import Severity
from controller.domain.incidents import Incident, IncidentEvent, IncidentState
from controller.domain.monthly import Figures, Log, NodeEvent, Place, Report, Window, report
from controller.domain.workorders import OrderState, WorkOrderEvent

T0 = datetime(2026, 11, 1, tzinfo=UTC)
LENGTH = 600
"""Minutes of the month of these tests."""
PLACES = {"a": Place("na-meo", "old"), "b": Place("na-meo", "new"), "c": Place("son-lu", "new")}


def at(minute: int) -> datetime:
    return T0 + timedelta(minutes=minute)


moments = st.integers(-200, LENGTH + 200)


def _events(states: Sequence[str]) -> st.SearchStrategy[list[tuple[int, str]]]:
    return st.lists(st.tuples(moments, st.sampled_from(states)), max_size=8, unique_by=lambda each: each[0]).map(sorted)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    nodes = {
        node: [NodeEvent(node, at(m), s) for m, s in draw(_events(("online", "suspect", "offline", "unknown")))]
        for node in PLACES
    }
    nodes[""] = [NodeEvent("", at(m), s) for m, s in draw(_events(("online", "unknown")))]
    windows = draw(st.lists(st.tuples(st.sampled_from("abc"), moments, st.integers(1, 200)), max_size=3))
    return Log(
        PLACES,
        nodes,
        [Window(node, at(begin), at(begin + long)) for node, begin, long in windows],
        *draw(_incidents()),
        *draw(_air()),
    )


@st.composite
def _incidents(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    kinds = (
        "found", "opened", "opened-2", "acknowledged", "repair-begun", "repaired", "unverified", "unverified-2",
        "severity", "severity-3", "recovering", "bad-again", "recovered", "closed", "relapsed", "reopened", "note",
    )  # fmt: skip
    rows, events, orders = {}, {}, {}
    for id in range(1, draw(st.integers(0, 4)) + 1):
        subject = draw(st.sampled_from(("a", "b", "c", "na-meo", "gone")))
        repeat = draw(st.sampled_from((None, 99)))
        commune = PLACES[subject].commune if subject in PLACES else "na-meo"
        rows[id] = Incident(
            id, "node", subject, commune, "link", "network", Severity.MAJOR, IncidentState.OPEN, at(-200), at(-200),
            repeat_of=repeat,
        )  # fmt: skip
        events[id] = [IncidentEvent(id, at(m), kind, "") for m, kind in draw(_events(kinds))]
        steps = draw(_events(tuple(OrderState)))
        orders[id] = [
            WorkOrderEvent(id, at(m), "x", OrderState(state), "lan", at(m + draw(st.integers(-100, 200))))
            for m, state in steps
        ]
    return rows, events, orders


@st.composite
def _air(draw: st.DrawFn) -> tuple[Any, Any]:
    rows, deliveries = {}, {}
    for n in range(draw(st.integers(0, 3))):
        begin, long = draw(moments), draw(st.integers(1, 60))
        cancelled = draw(st.sampled_from((None, at(begin))))
        rows[f"o{n}"] = OccurrenceRow(
            f"o{n}", "o", "O", at(begin), at(begin + long), Priority.NORMAL, 1, "config", at(0), cancelled
        )
        for node in draw(st.sets(st.sampled_from(("a", "c", "gone")))):
            steps = draw(_events(tuple(DeliveryState)))
            reason = draw(st.sampled_from(("", "cancelled")))
            deliveries[f"o{n}", node] = [
                DeliveryEvent(f"o{n}", node, at(m), DeliveryState(state), reason) for m, state in steps
            ]
    return rows, deliveries


# --- the naive count ----------------------------------------------------------------------------------------


def naive(log: Log, end: int) -> dict[str, dict[str, float]]:
    """Walks the month minute by minute, and every history step by step."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def add(commune: str, model: str, **figures: float) -> None:
        for group in ("total", f"commune {commune}", f"model {model}"):
            for name, value in figures.items():
                sums[group][name] += value

    for node, place in log.places.items():
        add(place.commune, place.model, nodes=1)
        for minute in range(end):
            add(place.commune, place.model, **{_naive_minute(log, node, at(minute)): 60})
    for id, incident in log.incidents.items():
        model = log.places[incident.subject].model if incident.subject in log.places else ""
        add(incident.commune, model, nodes=0)
        for name, value in _naive_story(incident, log.incident_events[id], end):
            add(incident.commune, model, **{name: value})
        if any(_naive_turns_late(log.order_events[id], minute) for minute in range(end)):
            add(incident.commune, model, overdue=1)
    for (id, node), events in log.deliveries.items():
        row, place = log.occurrences[id], log.places.get(node, Place("", ""))
        if at(0) <= row.start < at(end) and row.end <= at(end) and _naive_wanted(row, events):
            planned = int((row.end - row.start).total_seconds()) // 60
            heard = sum(_naive_heard(events, at(minute)) for minute in range(-300, LENGTH + 300))
            whole = bool(events) and events[-1].state == "completed" and heard >= 0.95 * planned
            missed = 0 if whole else max(0, planned - heard)
            add(place.commune, place.model, air_planned_s=planned * 60, air_missed_s=missed * 60)
    return sums


def _naive_minute(log: Log, node: str, when: datetime) -> str:
    before = [event for event in log.nodes[node] if event.at <= when]
    later = [event for event in log.nodes[node] if event.at > when]
    if not before:
        return "commissioning_s"
    if any(window.node == node and window.start <= when < window.end for window in log.maintenance):
        return "maintenance_s"
    controller = [event.liveness for event in log.nodes[""] if event.at <= when]
    if controller[-1:] == ["unknown"] or before[-1].liveness == "unknown":
        return "unknown_s"
    if before[-1].liveness == "offline":
        return "down_s"
    if before[-1].liveness == "suspect" and later and later[0].liveness == "offline":
        return "down_s"
    return "up_s"


def _naive_story(incident: Incident, events: Sequence[IncidentEvent], end: int) -> list[tuple[str, float]]:
    names = [event.transition.rstrip("0123456789").removesuffix("-") for event in events]
    when = [event.at for event in events]
    here = [at(0) <= each < at(end) for each in when]
    found: list[tuple[str, float]] = []
    for i, name in enumerate(names):
        if name in ("opened", "reopened"):
            if here[i]:
                found.append(("told", 1))
                found += [("repeats", 1)] if name == "opened" and incident.repeat_of else []
            for j in range(i + 1, len(names)):
                if names[j] in ("opened", "reopened", "recovered", "closed"):
                    break
                if names[j] in ("acknowledged", "repair-begun", "repaired"):
                    if here[i]:
                        found += [("acknowledged", 1), ("acknowledged_s", (when[j] - when[i]).total_seconds())]
                    break
        if name == "recovered" and here[i]:
            begun = [when[j] for j in range(i) if names[j] in ("found", "relapsed")]
            found += [("mended", 1), ("mended_s", (when[i] - (begun or [incident.opened_at])[-1]).total_seconds())]
        if name in ("recovered", "closed", "unverified", "severity") and here[i]:
            judges = ("repaired", "repair-begun", "found", "relapsed")
            judged = ("unverified", "severity", "recovered", "closed")
            earlier = [names[j] for j in range(i) if names[j] in judges + judged]
            if earlier[-1:] == ["repaired"]:
                found.append(("verified" if name in ("recovered", "closed") else "unverified", 1))
    return found


def _naive_turns_late(events: Sequence[WorkOrderEvent], minute: int) -> bool:
    """Does the order wait past its time now, and did that begin now: with its time, or with a step?"""
    now = [event for event in events if event.at <= at(minute)]
    waits = ("open", "accepted", "in-repair", "not-verified")
    if not now or now[-1].state not in waits or now[-1].due_at > at(minute):
        return False
    return at(minute) in (now[-1].due_at, now[-1].at)


def _naive_wanted(row: OccurrenceRow, events: Sequence[DeliveryEvent]) -> bool:
    if not events:
        return row.cancelled_at is None
    last = events[-1]
    if last.state == "cancelled" or (last.state in ("failed", "skipped") and last.reason == "cancelled"):
        return False
    return last.state in ("failed", "skipped", "completed") or row.cancelled_at is None


def _naive_heard(events: Sequence[DeliveryEvent], when: datetime) -> bool:
    before = [event for event in events if event.at <= when]
    later = [event for event in events if event.at > when]
    return bool(before and later) and before[-1].state == "sounding" and later[0].state != "unknown"


def _as_plain(made: Report) -> dict[str, dict[str, float]]:
    groups = {"total": made.total}
    groups |= {f"commune {id}": figures for id, figures in made.communes.items()}
    groups |= {f"model {id}": figures for id, figures in made.models.items()}
    names = Figures.__dataclass_fields__
    return {group: dict(zip(names, astuple(figures), strict=True)) for group, figures in groups.items()}


@settings(max_examples=150, deadline=None)
@given(logs(), st.sampled_from((LENGTH, 240)))
def test_every_figure_can_be_counted_again_from_the_event_log(log: Log, now: int) -> None:
    counted, made = naive(log, now), _as_plain(report(log, T0, at(LENGTH), at(now)))
    assert set(made) == set(counted) | {"total"}
    for group, figures in made.items():
        again = {name: counted[group].get(name, 0) for name in figures} if group in counted else {}
        assert figures == (again or dict.fromkeys(figures, 0)), group


@settings(max_examples=50, deadline=None)
@given(logs())
def test_no_minute_is_lost_and_the_parts_are_the_whole(log: Log) -> None:
    made = report(log, T0, at(LENGTH), at(LENGTH))
    total = made.total
    whole = total.up_s + total.down_s + total.unknown_s + total.commissioning_s + total.maintenance_s
    assert whole == LENGTH * 60 * len(PLACES)
    assert sum(made.communes.values(), Figures()) == total
    assert sum(made.models.values(), Figures()) == total


def test_a_month_without_a_word_says_nothing_instead_of_a_hundred_percent() -> None:
    total = report(Log(PLACES), T0, at(LENGTH), at(LENGTH)).total
    assert total.commissioning_s == LENGTH * 60 * 3
    assert (total.availability, total.mtta_s, total.mttr_s, total.verified_share) == (None, None, None, None)


def test_what_the_controller_could_not_hear_is_nobodys_outage() -> None:
    nodes = {"a": [NodeEvent("a", at(-10), "online"), NodeEvent("a", at(300), "offline")]}
    nodes[""] = [NodeEvent("", at(100), "unknown"), NodeEvent("", at(200), "online")]
    total = report(Log({"a": PLACES["a"]}, nodes), T0, at(LENGTH), at(LENGTH)).total
    assert (total.up_s, total.unknown_s, total.down_s) == (200 * 60, 100 * 60, 300 * 60)
    assert total.availability == pytest.approx(0.4)
