"""The promises of node health that need both halves: what happened while nobody listened, and what became of every
message. The others are in test_health.py and test_outbox.py."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.alerts_by_clock import Whole
from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import Channel, OutboxState
from controller.ports import NotifyError, Outgoing
from tests.alerts_support import hook, mail, person
from tests.health_support import Busy, Ward
from tests.property.test_health import DISTRICT, FAULTS, NODES, Step, play, quick, steps

CAUSES = {"mains": "mains-lost", "hot": "amp-hot"}


@quick
@given(st.sampled_from(NODES), st.sampled_from(sorted(CAUSES)), st.sampled_from([0, 30, 3000]), st.booleans())
def test_a_change_during_downtime_sends_exactly_itself(node: str, fault: str, down_s: int, mended: bool) -> None:
    """Broken, or mended, while no controller ran: that, once, and nothing else."""

    async def go() -> None:
        bad, good = FAULTS[fault]
        async with Ward(DISTRICT) as ward:
            await ward.all_born()
            if mended:
                ward[node].metrics |= bad
                await ward.pass_time(300)
            before = await ward.told()
            await ward.end()
            ward[node].metrics |= good if mended else bad
            await ward.clock.advance(down_s)
            await ward.begin()
            await ward.pass_time(900)
            change = "recovered" if mended else "opened"
            assert (await ward.told())[len(before) :] == [(node, CAUSES[fault], change)]

    asyncio.run(go())


class Refusing:
    """Takes nothing, for good."""

    async def send(self, channel: Channel, message: Outgoing) -> None:
        raise NotifyError("550 no such user", permanent=True)


@quick
@given(steps, st.booleans())
def test_every_notifiable_incident_has_a_sent_row_per_recipient_or_a_visible_dead_one(
    history: list[Step], refused: bool
) -> None:
    async def go() -> None:
        people = (person("lan", hook()), person("dinh", mail()))
        configured = replace(DISTRICT, alerts=replace(DISTRICT.alerts, people=people))
        store = SqlStore("sqlite://")
        await store.open()
        async with Whole(configured, Busy(store)) as ward:
            if refused:
                ward.alerting._notifiers["smtp"] = Refusing()
            await ward.all_born()
            await play(ward, history)
            await ward.pass_time(7200, step=30)
            rows = await store.transact(lambda tx: tx.outbox(limit=100_000))
            told = {OutboxState.SENT, OutboxState.MERGED}
            for incident in await ward.incidents():
                subject = incident.cause.partition(":")[2]  # whoever cannot be reached is not told of that himself
                for one in (each for each in people if incident.announced and each.id != subject):
                    states = {row.state for row in rows if (row.incident, row.recipient) == (incident.id, one.id)}
                    wanted = {OutboxState.DEAD} if refused and one.id == "dinh" else told
                    assert states & wanted, f"{one.id} of {incident.cause}: {states}"

    asyncio.run(go())
