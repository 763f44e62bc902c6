"""What is always true of node health, over generated histories with a virtual clock (4-faults, "Always true").

A history is a list of steps that happen to a small district; time is the test's, the database is real.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.ports import StoreError
from tests.health_support import NEVER, Ward, district

DISTRICT = district(communes=2, nodes_each=4)
NODES = sorted(DISTRICT.nodes)

FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mains": ({"mains_v": 0.0}, {"mains_v": 221.0}),
    "hot": ({"amp_temp_c": 80.0}, {"amp_temp_c": 41.0}),
    "very-hot": ({"amp_temp_c": 95.0}, {"amp_temp_c": 41.0}),
    "line": ({"line_z_ohm": 90.0}, {"line_z_ohm": 8.0}),
    "amplifier": ({"amp_pilot_db": -90.0}, {"amp_pilot_db": -30.0}),
}


@dataclass(frozen=True)
class Step:
    """One thing that happens: `do` to `node`, then `wait_s` go by with heartbeats."""

    do: str
    node: str
    wait_s: int
    fault: str = "mains"


steps = st.lists(
    st.builds(
        Step,
        do=st.sampled_from(
            ["break", "mend", "selftest", "die", "will", "live", "reboot", "report", "retract", "nothing"]
        ),
        node=st.sampled_from(NODES),
        wait_s=st.sampled_from([0, 5, 20, 70, 400, 2000]),
        fault=st.sampled_from(sorted(FAULTS)),
    ),
    max_size=12,
)

quick = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


async def act(ward: Ward, step: Step) -> None:
    speaker = ward[step.node]
    bad, good = FAULTS[step.fault]
    match step.do:
        case "break":
            speaker.metrics |= bad
        case "mend":
            speaker.metrics |= good
        case "selftest" if speaker.alive:
            await speaker.selftest("passed" if speaker.metrics["amp_pilot_db"] > -60 else "failed", **speaker.metrics)
        case "die":
            speaker.alive = False
        case "will" if speaker.alive:
            await speaker.farewell()
        case "live" if not speaker.alive:
            speaker.conn += 1
            await speaker.birth()
        case "reboot":
            await speaker.reboot(f"b{ward.clock.mono}")
        case "report" if speaker.alive:
            await speaker.fault("clock")
            ward.reports.add(step.node)
        case "retract" if speaker.alive:
            await speaker.fault("clock", raised=False)
            ward.reports.discard(step.node)
    await ward.beat_all()
    await ward.pass_time(step.wait_s)


def run(scenario: Callable[[Ward], Awaitable[None]]) -> None:
    async def go() -> None:
        async with Ward(DISTRICT) as ward:
            await ward.all_born()
            await scenario(ward)

    asyncio.run(go())


async def play(ward: Ward, history: Sequence[Step]) -> None:
    for step in history:
        await act(ward, step)


@quick
@given(steps)
def test_nobody_hears_recovered_without_opened_and_who_heard_opened_hears_recovered(history: list[Step]) -> None:
    async def scenario(ward: Ward) -> None:
        await play(ward, history)
        await recover(ward)
        assert await ward.open(top=False) == []
        heard: Counter[int] = Counter()
        for row in await ward.messages():
            kind = row.transition.partition("-")[0]
            if kind in ("opened", "reopened"):
                heard[row.incident] += 1
                assert heard[row.incident] == 1, "told twice that it is open"
            elif kind == "recovered":
                heard[row.incident] -= 1
                assert heard[row.incident] == 0, "recovered without opened"
        assert not any(heard.values()), "somebody still believes that it is broken"

    run(scenario)


async def recover(ward: Ward) -> None:
    """Everything is mended, tested and given all the time it needs."""
    for speaker in ward.speakers.values():
        for _, good in FAULTS.values():
            speaker.metrics |= good
        if not speaker.alive:
            speaker.conn += 1
            await speaker.birth()
        await speaker.fault("clock", raised=False)
    await ward.pass_time(90)
    for _ in range(2):
        for speaker in ward.speakers.values():
            await speaker.selftest("passed", **speaker.metrics)
        await ward.pass_time(400)
    await ward.pass_time(3600, step=30)  # for flapping to calm down
    if await ward.open(top=False):
        await ward.pass_time(86_400, step=30)  # for boots to be forgotten


@quick
@given(steps, st.sampled_from([0, 30, 3000]))
def test_a_restart_with_an_unchanged_world_sends_nothing(history: list[Step], down_s: int) -> None:
    async def scenario(ward: Ward) -> None:
        await play(ward, history)
        await ward.pass_time(7200, step=30)  # whatever was still to be told is told
        before, standing = await ward.told(), [each.id for each in await ward.open(top=False)]
        await ward.restart(down_s)
        for node in ward.reports:
            await ward[node].fault("clock")
        await ward.pass_time(2000)
        assert await ward.told() == before
        assert [each.id for each in await ward.open(top=False)] == standing

    run(scenario)


@quick
@given(steps)
def test_silence_closes_nothing_and_missing_data_opens_nothing(history: list[Step]) -> None:
    async def scenario(ward: Ward) -> None:
        await play(ward, history)
        await ward.pass_time(30)
        found = {(each.subject, each.cause) for each in await ward.open(top=False) if each.scope == "node"}
        for speaker in ward.speakers.values():
            speaker.metrics = {}
        await ward.pass_time(3000)
        missing = {(each.subject, each.cause) for each in await ward.open(top=False) if each.scope == "node"}
        kept = {each for each in found if each[1] not in ("link", "clock", "reboots")}
        assert kept <= missing
        assert {each for each in missing - found if each[1] != "link"} == set()
        for speaker in ward.speakers.values():
            speaker.alive = False
        await ward.pass_time(5000)
        silent = {(each.subject, each.cause) for each in await ward.open(top=False) if each.scope == "node"}
        assert kept <= silent
        assert {cause for _, cause in silent - missing} <= {"link"}

    run(scenario)


@quick
@given(st.permutations(NODES[:4]), st.permutations(NODES[:4]), st.sampled_from([0.0, 1.0, 7.0]), st.booleans())
def test_any_order_of_the_children_gives_the_same_messages(
    falling: list[str], rising: list[str], apart_s: float, dying: bool
) -> None:
    async def scenario(ward: Ward) -> None:
        for node in falling:
            await ward[node].beat(mains_v=0.0)
            await ward.wait(apart_s)
        await ward.pass_time(120)
        for node in falling if dying else ():
            await ward[node].farewell()
            await ward.wait(apart_s)
        await ward.pass_time(1000)
        for node in rising:
            ward[node].metrics["mains_v"] = 221.0
            ward[node].conn += 1
            await ward[node].birth()
            await ward[node].beat()
            await ward.wait(apart_s)
        await ward.pass_time(600)
        assert await ward.told() == [("c1", "power", "opened"), ("c1", "power", "recovered")]

    run(scenario)


@quick
@given(st.integers(3, 9), st.booleans())
def test_the_number_of_messages_does_not_depend_on_the_number_of_children(children: int, power: bool) -> None:
    async def go() -> None:
        async with Ward(district(communes=3, nodes_each=children)) as ward:
            await ward.all_born()
            for speaker in ward.commune("c1"):
                if power:
                    speaker.metrics["mains_v"] = 0.0
                else:
                    speaker.alive = False
            await ward.pass_time(1000)
            assert len(await ward.told()) == 1

    asyncio.run(go())


@quick
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 3))
def test_repeated_and_late_reports_give_the_same_state(order: list[int], lost: int) -> None:
    """Heartbeats delivered again, or after newer ones, are as if they had not been sent."""

    async def go() -> None:
        async with Ward(DISTRICT) as ward, Ward(DISTRICT) as other:
            beats = []
            for n, mains in enumerate((221.0, 0.0, 0.0, 221.0, 0.0, 0.0)):
                for each in (ward, other):
                    await each.wait(10)
                ward["c1-1"].metrics["mains_v"] = mains
                beats.append(ward["c1-1"].heartbeat())
                if n >= lost:
                    await ward.monitoring.on_heartbeats(beats[-1:])
                    await other.monitoring.on_heartbeats(beats[-1:])
                    again = [(id, beat, other.clock.monotonic()) for id, beat, _ in beats]
                    await other.monitoring.on_heartbeats([again[i] for i in order if i <= n])
            for each in (ward, other):
                await each.wait(100)
            one, two = ward.monitoring.view()["c1-1"], other.monitoring.view()["c1-1"]
            assert (one.liveness, one.faults) == (two.liveness, two.faults)
            assert await ward.told() == await other.told()

    asyncio.run(go())


@quick
@given(steps, st.lists(st.sampled_from([-3600, 3600]), min_size=1, max_size=4))
def test_clock_steps_of_an_hour_cause_no_transition(history: list[Step], clock_steps: list[int]) -> None:
    async def go() -> None:
        async with Ward(DISTRICT) as ward, Ward(DISTRICT) as steady:
            for each in (ward, steady):
                await each.all_born()
            for n, step in enumerate(history):
                ward.clock.step_wall(clock_steps[n % len(clock_steps)])
                for each in (ward, steady):
                    await act(each, step)
            assert await ward.told() == await steady.told()

    asyncio.run(go())


@quick
@given(steps, st.integers(1, 30), st.booleans(), st.booleans())
def test_a_crash_at_any_commit_loses_no_message_and_doubles_none(
    history: list[Step], crash_at: int, committed: bool, restart: bool
) -> None:
    """The controller dies, or only hears of a failure, right before or right after its n-th commit."""

    async def scenario(ward: Ward) -> None:
        ward.store.fail_at, ward.store.committed = ward.store.count + crash_at, committed
        for step in history:
            with suppress(StoreError):
                await act(ward, step)
            if restart and ward.store.count >= ward.store.fail_at:
                await ward.restart()
                for node in sorted(ward.reports):
                    await ward[node].fault("clock")
                ward.store.fail_at = NEVER
        ward.store.fail_at = NEVER
        await recover(ward)
        keys = [(row.incident, row.transition, row.recipient, row.channel) for row in await ward.messages()]
        assert len(keys) == len(set(keys))
        kinds = Counter(transition.partition("-")[0] for _, transition, _, _ in keys)
        assert kinds["opened"] + kinds["reopened"] == kinds["recovered"]
        assert await ward.open(top=False) == []

    run(scenario)
