"""Node health over generated histories with a virtual clock: heartbeats in any order, and a store that fails. What is
always true of incidents and messages is in test_always_true.py."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.ports import StoreError
from tests.always import AREAS, NETWORK, Step, World, histories, staffed
from tests.health_support import NEVER, NEVER_REMIND, Ward

CALM = staffed(escalation=NEVER_REMIND)

quick = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 3))
def test_repeated_and_late_reports_give_the_same_state(order: list[int], lost: int) -> None:
    """Heartbeats delivered again, or after newer ones, are as if they had not been sent."""

    async def go() -> None:
        async with Ward(CALM) as ward, Ward(CALM) as other:
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
@given(histories(sorted(CALM.nodes), (*NETWORK, *AREAS)), st.integers(1, 30), st.booleans(), st.booleans())
def test_a_failing_store_loses_no_message_and_doubles_none(
    history: list[Step], fail_at: int, committed: bool, restart: bool
) -> None:
    """The controller hears of a failure right before or right after its n-th commit, and lives on, or not."""

    async def go() -> None:
        async with World(CALM) as world:
            await world.all_born()
            world.store.fail_at, world.store.committed = world.store.count + fail_at, committed
            for step in history:
                with suppress(StoreError):
                    await world.play([step])
                if restart and world.store.count >= world.store.fail_at:
                    await world.restart()
                    world.store.fail_at = NEVER
            world.store.fail_at = NEVER
            await world.finish()
            rows = (await world.book()).rows
            keys = Counter((row.incident, row.transition, row.recipient, row.channel) for row in rows)
            assert set(keys.values()) <= {1}
            kinds = Counter(transition.partition("-")[0] for _, transition, _, _ in keys)
            assert kinds["opened"] + kinds["reopened"] == kinds["recovered"]
            assert await world.open(top=False) == []

    asyncio.run(go())
