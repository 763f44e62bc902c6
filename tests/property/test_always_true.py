"""The eight lines that are always true of faults and messages (docs/architecture.md), each a test of its own.

A history is drawn from everything that befalls a district, its people and its controller; monitoring, alerting and the
SQLite store are real, time is the test's. The controller dies before or after any commit or delivery and is begun anew
from its database. `make always` looks deeper: LOA_TIMES multiplies the histories.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from controller.domain.escalation import FRESH, OutboxState, Transition, kind_of
from controller.domain.incidents import IncidentState
from tests.always import (
    AREAS,
    FAULTS,
    NETWORK,
    PEOPLES,
    TECHNICIANS,
    Book,
    Killed,
    Step,
    World,
    histories,
    staffed,
)
from tests.health_support import NEVER_REMIND

PH = (Phase.explicit, Phase.generate)
TIMES = int(os.environ.get("LOA_TIMES", "1"))
CALM = staffed(escalation=NEVER_REMIND)
CLIMBING = staffed()
NODES = sorted(CALM.nodes)
EVERYTHING = (*NETWORK, *AREAS, *PEOPLES, "mood", "mood", "kill", "kill", "restart")
MAY_BE_UNTOLD = {Transition.SEVERITY, Transition.UNVERIFIED}
"""They are in the history of an incident of which nobody was told yet, too."""
TOLD = {OutboxState.SENT, OutboxState.MERGED}
VISIBLE = {OutboxState.DEAD, OutboxState.UNCERTAIN}


def looked_at(times: int) -> Any:
    """So many histories, more in depth."""
    return settings(max_examples=times * TIMES, deadline=None, suppress_health_check=list(HealthCheck))


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def tellings(book: Book) -> list[tuple[int, str]]:
    """(incident, transition) of everything that people were to be told."""
    found = []
    for incident, events in book.events.items():
        for event in events:
            with suppress(ValueError):
                kind_of(event.transition)
                found.append((incident, event.transition))
    return found


async def named(world: World) -> dict[str, list[tuple[str, str, str]]]:
    """What each person heard, with the incidents by subject and cause."""
    incidents = {each.id: each for each in await world.incidents()}
    return {
        person: [(incidents[id].subject, incidents[id].cause, transition) for id, transition in words]
        for person, words in (await world.heard()).items()
    }


# --- 1 ----------------------------------------------------------------------------------------------------------


@looked_at(8)
@given(histories(NODES, EVERYTHING), st.booleans())
def test_1_every_notifiable_incident_has_a_sent_row_per_recipient_or_a_visible_dead_one(
    history: list[Step], refused: bool
) -> None:
    """The faults stand at the end; all that may be told has had its time. `refused`: nobody reaches dinh any more."""

    async def go() -> None:
        async with World(CLIMBING) as world:
            await world.all_born()
            await world.play(history)
            await world.calm()
            if refused:
                world.moods |= dict.fromkeys(
                    ("smtp:dinh@example.org", "webhook:http://127.0.0.1:9/dinh"), "refuses for good"
                )
            await world.pass_time(5000, step=30)
            book = await world.book()
            told = {incident for incident, _ in tellings(book)}
            for incident in await world.open():
                if incident.state is not IncidentState.RECOVERING and not incident.stale:
                    assert incident.id in told, f"nobody is told of {incident}"
            people = {each.id for each in await world.incidents() if each.cause.startswith("unreachable-person")}
            for id, transition in tellings(book):
                if kind_of(transition) in FRESH and id not in people:
                    for person in TECHNICIANS:
                        states = book.states(id, transition, person)
                        assert states & {*TOLD, *VISIBLE}, f"{person} of {transition} of {id}: {states}"
                        assert states <= {*TOLD, *VISIBLE}, f"{person} of {transition} of {id}: {states}"
            for row in book.rows:
                assert row.state not in VISIBLE or row.last_error, "a dead row says why"

    run(go())


# --- 2 ----------------------------------------------------------------------------------------------------------


async def covered(world: World) -> None:
    """Outbox and receivers fit one another, at this very moment."""
    book, arrived = await world.book(), Counter(each.message.key for each in world.wire)
    rows = {world.key(row): row for row in book.rows}
    keys = Counter((row.incident, row.transition, row.recipient, row.channel) for row in book.rows)
    assert set(keys.values()) <= {1}, "one row per key"
    known = {(row.incident, row.transition) for row in book.rows}
    assert known <= set(tellings(book)), "no row for what did not happen"
    unsaid = {word for word in tellings(book) if kind_of(word[1]) not in MAY_BE_UNTOLD} - known
    assert not unsaid, "a row for each transition"
    for key, row in rows.items():
        assert row.state is not OutboxState.SENT or arrived[key], "what is sent has arrived"
    for key in arrived:
        assert rows[key].attempts > 0, "an attempt is on record before anything leaves"
    assert arrived.total() - len(arrived) <= world.cut_off + world.unsure, "no double without a reason"


async def ended(world: World) -> None:
    """`covered`, and nothing is left over."""
    await covered(world)
    assert {row.state for row in (await world.book()).rows} <= {*TOLD, *VISIBLE}
    assert await world.open(top=False) == []


@looked_at(10)
@given(histories(NODES, (*EVERYTHING, *["kill"] * 6)))
def test_2_after_any_crash_outbox_and_sent_cover_every_transition_and_no_key_is_sent_twice(history: list[Step]) -> None:
    async def go() -> None:
        async with World(CLIMBING) as world:
            world.on_reborn = lambda: covered(world)
            await world.all_born()
            await world.play(history)
            await world.finish()
            await ended(world)
            attempts = await world.seen(lambda tx: {row.id: tx.attempts(row.id) for row in tx.outbox(limit=100_000)})
            for tries in attempts.values():
                assert sum(each.outcome == "sent" for each in tries) <= 1

    run(go())


STORY = (
    Step("break", "c1-1", 100, "hot", 0),
    Step("worsen", "c1-1", 60, "hot", 0),
    Step("ack", "c1-1", 5, "hot", 0),
    Step("mend", "c1-1", 450, "hot", 0),
)
SMALL = staffed(nodes_each=1, escalation=NEVER_REMIND)


def test_2_a_crash_at_every_single_place_of_a_story_loses_nothing_and_doubles_nothing() -> None:
    """Not left to chance: each place of the story once, until there is none left."""

    async def go() -> None:
        place, died = 0, True
        while died:
            async with World(SMALL) as world:
                world.on_reborn = lambda: covered(world)
                await world.all_born()
                world.fate.at = place
                await world.play(STORY)
                world.fate.at = None
                await world.pass_time(510, step=30)
                await ended(world)
                words = [("c1-1", "amp-hot", word) for word in ("opened", "severity", "recovered")]
                heard = {person: list(dict.fromkeys(told)) for person, told in (await named(world)).items()}
                assert heard == dict.fromkeys(TECHNICIANS, words), f"dead at place {place}"
                died, place = world.fate.deaths > 0, place + 1
        assert place > 40, "the places are there"

    run(go())


# --- 3 ----------------------------------------------------------------------------------------------------------


UNHEARD = [
    *(Step("mood", "c1-1", 0, "hot", n) for n in (6, 1, 26)),  # lan's channels and dinh's mailbox are busy
    Step("break", "c1-1", 400, "hot", 0),
    Step("mend", "c1-1", 1000, "hot", 0),
]
"""It began and ended before the one or the other heard of it."""


@looked_at(8)
@given(histories(NODES, EVERYTHING))
@example(UNHEARD)
def test_3_nobody_hears_recovered_without_opened_and_everyone_told_open_is_told_recovered(history: list[Step]) -> None:
    """By what arrived at people, not by what was written for them."""

    async def go() -> None:
        async with World(CLIMBING) as world:
            await world.all_born()
            await world.play(history)
            await world.finish()
            assert await world.open(top=False) == []
            book = await world.book()
            for person, words in (await world.heard()).items():
                believes: dict[int, bool] = {}
                for incident, transition in words:
                    is_end = kind_of(transition) is Transition.RECOVERED
                    assert not is_end or incident in believes, f"{person}: {transition} of {incident} out of the blue"
                    believes[incident] = not is_end
                for incident, still in believes.items():
                    last = [row for row in book.rows if row.incident == incident and row.recipient == person][-1]
                    dead = OutboxState.DEAD in book.states(incident, last.transition, person)
                    assert not still or dead, f"{person} still believes in {incident}"

    run(go())


# --- 4 ----------------------------------------------------------------------------------------------------------


@looked_at(6)
@given(histories(NODES, (*NETWORK, *AREAS, *PEOPLES)), st.lists(st.sampled_from([0, 30, 3000]), min_size=1, max_size=3))
def test_4_a_restart_with_an_unchanged_world_sends_nothing(history: list[Step], downs_s: list[int]) -> None:
    async def go() -> None:
        async with World(CALM) as world:
            await world.all_born()
            await world.play(history)
            await world.calm()
            await world.pass_time(7200, step=30)  # whatever was still to be told is told
            rows, arrived = (await world.book()).rows, len(world.wire)
            standing = [each.id for each in await world.open(top=False)]
            for down_s in downs_s:
                await world.restart(down_s)
                await world.pass_time(900)
            assert ((await world.book()).rows, len(world.wire)) == (rows, arrived)
            assert [each.id for each in await world.open(top=False)] == standing

    run(go())


ONE = "c1-1"
COMMUNE = ("c1-1", "c1-2", "c1-3")
HOT = Step("break", ONE, 400, "hot", 0)
SILENCED = Step("silence", ONE, 0, "hot", 1)
CHANGES: dict[str, tuple[list[Step], dict[str, str], tuple[str, str, str]]] = {
    "breaks": ([], {ONE: "mains"}, (ONE, "mains-lost", "opened")),
    "is mended": ([HOT], {ONE: "well"}, (ONE, "amp-hot", "recovered")),
    "gets worse": ([HOT], {ONE: "very-hot"}, (ONE, "amp-hot", "severity")),
    "dies": ([], {ONE: "dead"}, (ONE, "link", "opened")),
    "is dark as a whole": ([], dict.fromkeys(COMMUNE, "mains"), ("c1", "power", "opened")),
    "dies as a whole": ([], dict.fromkeys(COMMUNE, "dead"), ("c1", "network", "opened")),
    "is no longer silenced": ([SILENCED, HOT], {}, (ONE, "amp-hot", "opened")),
    "was silenced and mended": ([HOT, SILENCED], {ONE: "well"}, (ONE, "amp-hot", "recovered")),
}


@looked_at(12)
@given(st.sampled_from(sorted(CHANGES)), st.sampled_from([0, 30, 3000]), st.none() | st.integers(0, 30))
def test_4_a_change_during_downtime_sends_exactly_itself(change: str, down_s: int, dies: int | None) -> None:
    """`dies`: the new controller dies once more at this place."""
    before, meanwhile, word = CHANGES[change]

    async def go() -> None:
        async with World(CALM) as world:
            await world.all_born()
            await world.play(before)
            already = {person: len(words) for person, words in (await named(world)).items()}
            await world.end()
            for node, what in meanwhile.items():
                speaker = world[node]
                speaker.alive = what != "dead"
                for _, good in FAULTS.values():
                    speaker.metrics |= good if what in ("dead", "well") else {}
                speaker.metrics |= FAULTS.get(what, ({}, {}))[0]
            await world.clock.advance(down_s)
            world.fate.at = dies
            with suppress(Killed):
                await world.begin()
            await world.reborn()
            await world.pass_time(1500, step=15)
            world.fate.at = None
            await world.pass_time(2700, step=30)
            heard = await named(world)
            for person in TECHNICIANS:
                assert set(heard[person][already.get(person, 0) :]) == {word}

    run(go())


# --- 5 ----------------------------------------------------------------------------------------------------------


@looked_at(6)
@given(histories(NODES, (*NETWORK, *AREAS, *["kill"] * 3)))
def test_5_stale_never_closes_and_missing_data_never_opens(history: list[Step]) -> None:
    async def go() -> None:
        async with World(CALM) as world:
            await world.all_born()
            await world.play(history)
            await world.calm()
            for node, fault in zip(NODES, sorted(FAULTS), strict=False):  # whatever happened before: one of each stands
                world[node].metrics |= FAULTS[fault][0]
                await said(world, node, alive=True)
            for _ in range(2):
                for node in NODES:
                    await world[node].selftest("failed", **world[node].metrics)
                await world.pass_time(750, step=15)
            found = await standing(world)
            for speaker in world.speakers.values():
                speaker.metrics = {}
            await world.restart(0)
            await world.pass_time(3000, step=15)
            missing = await standing(world)
            kept = {each for each in found if each[1] not in ("link", "clock")}
            assert {cause for _, cause in kept} >= {"mains-lost", "battery-low", "amp-hot", "line-open", "amplifier"}
            assert kept <= missing, "missing data closed something"
            assert {each for each in missing - found if each[1] != "link"} == set(), "missing data opened something"
            for speaker in world.speakers.values():
                speaker.alive = False
            await world.pass_time(5000, step=30)
            silent = await standing(world)
            assert kept <= silent, "silence closed something"
            assert {cause for _, cause in silent - missing} <= {"link"}, "silence opened something"

    run(go())


async def standing(world: World) -> set[tuple[str, str]]:
    """The nodes' own open incidents, explained or not."""
    return {(each.subject, each.cause) for each in await world.open(top=False) if each.scope == "node"}


# --- 6 ----------------------------------------------------------------------------------------------------------


@looked_at(10)
@given(
    st.permutations(NODES[:3]), st.permutations(NODES[:3]), st.sampled_from([0.0, 1.0, 7.0]), st.booleans(),
    st.none() | st.integers(0, 40),
)  # fmt: skip
@example(NODES[:3], NODES[:3], 7.0, False, 2)
def test_6_any_order_of_parent_and_children_gives_the_same_messages(
    falling: list[str], rising: list[str], apart_s: float, dying: bool, dies: int | None
) -> None:
    """A commune without mains, whose nodes (`dying`) go silent one by one; the controller dies at a place of it."""

    async def go() -> None:
        async with World(CALM) as world:
            await world.all_born()
            world.fate.at = dies
            for node in falling:
                world[node].metrics["mains_v"] = 0.0
                await world.beat_all()
                await world.wait(apart_s)
            await world.pass_time(120)
            for node in falling if dying else ():
                await said(world, node, alive=False)
                await world.wait(apart_s)
            await world.pass_time(1000)
            for node in rising:
                world[node].metrics["mains_v"] = 221.0
                await said(world, node, alive=True)
                await world.beat_all()
                await world.wait(apart_s)
            await world.pass_time(700)
            words = {("c1", "power", "opened"), ("c1", "power", "recovered")}
            assert {person: set(heard) for person, heard in (await named(world)).items()} == dict.fromkeys(
                TECHNICIANS, words
            )

    run(go())


async def said(world: World, node: str, alive: bool) -> None:
    """A birth or a will, which the broker keeps for a controller that died of it."""
    with suppress(Killed):
        if alive:
            world[node].conn += 1
            await world[node].birth()
        else:
            await world[node].farewell()
    await world.reborn()


@looked_at(6)
@given(histories(NODES, (*NETWORK, *AREAS), waits=(0, 5, 20, 70, 400)))
def test_6_out_of_order_and_repeated_reports_give_the_same_state(history: list[Step]) -> None:
    """Every heartbeat and status comes again at once and later, after newer ones."""

    async def go() -> None:
        async with World(CALM) as world, World(CALM) as other:
            other.echo()
            for each in (world, other):
                await each.all_born()
                await each.play(history)
                await each.pass_time(400)
            ours, theirs = world.monitoring.view(), other.monitoring.view()
            for node in NODES:
                one, two = ours[node], theirs[node]
                assert (one.liveness, one.faults) == (two.liveness, two.faults)
            assert await named(world) == await named(other)

    run(go())


# --- 7 ----------------------------------------------------------------------------------------------------------


@looked_at(5)
@given(
    histories(NODES, (*NETWORK, *AREAS, "storm", "storm", "ack"), most=8),
    st.lists(st.sampled_from([-3600, 3600]), min_size=1, max_size=4),
)
@example([Step("storm", f"c{n}-1", 70, "hot", 0) for n in (1, 2, 3)], [3600])
@example([Step("storm", f"c{n}-1", 70, "hot", 0) for n in (1, 2, 3)], [-3600, 3600])
@example([Step("break", "c1-1", 20, "mains", 0), Step("selftest", "c1-1", 400, "hot", 0)], [-3600])
def test_7_clock_steps_of_an_hour_cause_no_transition_and_no_burst(history: list[Step], clock_steps: list[int]) -> None:
    async def go() -> None:
        async with World(CALM) as world, World(CALM) as steady:
            for each in (world, steady):
                await each.all_born()
            for n, step in enumerate(history):
                world.clock.step_wall(clock_steps[n % len(clock_steps)])
                for each in (world, steady):
                    await each.play([step])
            for each in (world, steady):
                await each.pass_time(1500, step=30)
            assert [history_of(each) for each in (await world.book()).events.values()] == [
                history_of(each) for each in (await steady.book()).events.values()
            ]
            heard, as_steady = await named(world), await named(steady)
            for person in TECHNICIANS:
                assert set(heard.get(person, ())) == set(as_steady.get(person, ()))
                times = sorted(arrival.at for arrival in world.wire if arrival.recipient == person)
                assert max((sum(at <= one < at + 600 for one in times) for at in times), default=0) <= 10

    run(go())


def history_of(events: Any) -> list[str]:
    """Without its order, which is by the wall clock."""
    return sorted(event.transition for event in events)


# --- 8 ----------------------------------------------------------------------------------------------------------


@looked_at(5)
@given(st.integers(4, 8), st.booleans(), st.booleans(), st.none() | st.integers(0, 30))
def test_8_the_number_of_messages_of_an_incident_does_not_depend_on_the_number_of_its_children(
    children: int, power: bool, taken: bool, dies: int | None
) -> None:
    """From its opening through its reminders to its end, for each person."""

    async def told(nodes_each: int, dies: int | None) -> Counter[tuple[str, str, str]]:
        async with World(staffed(3, nodes_each)) as world:
            await world.all_born()
            world.fate.at = dies
            for speaker in world.commune("c1"):
                if power:
                    speaker.metrics["mains_v"] = 0.0
                else:
                    speaker.alive = False
            await world.pass_time(600, step=10)
            if taken:
                await world.play([Step("ack", "c1-1", 0, "mains", 0)])
            await world.pass_time(3600, step=30)
            for speaker in world.commune("c1"):
                speaker.metrics["mains_v"] = 221.0
                if not speaker.alive:
                    await said(world, speaker.id, alive=True)
            await world.pass_time(1500, step=15)
            return Counter((row.recipient, row.channel, row.transition) for row in (await world.book()).rows)

    async def go() -> None:
        assert await told(children, dies) == await told(3, None)

    run(go())
