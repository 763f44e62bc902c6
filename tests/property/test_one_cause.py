"""Figure 4 of the alerts: one cause is one message to each person, however many nodes it takes down and in whatever
order they are heard of. Real monitoring and outbox over a clock of the test's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.domain.escalation import AlertSettings, Channel, Person
from tests.health_support import NEVER_REMIND, Ward, district

PEOPLE = tuple(Person(id, id, "vi", (Channel("webhook", f"http://127.0.0.1:9/{id}"),)) for id in ("lan", "hung"))
ORDER = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def network(communes: int, nodes_each: int, uplinked: int = 0, feeding: int = 0) -> Ward:
    """The first `uplinked` communes hang on one uplink, the first `feeding` on one feeder."""
    plain = district(communes, nodes_each, alerts=AlertSettings(people=PEOPLE, escalation=NEVER_REMIND))
    nodes = {
        id: replace(
            node,
            uplink="viettel-1" if int(node.commune[1:]) <= uplinked else "",
            feeder="371" if int(node.commune[1:]) <= feeding else "",
        )
        for id, node in plain.nodes.items()
    }
    return Ward(replace(plain, nodes=nodes))


async def each_was_told(ward: Ward, *subjects_causes: tuple[str, str]) -> None:
    """Everybody got one message of each of these, and nothing else."""
    told = {incident.id: incident for incident in await ward.incidents()}
    got = Counter(
        (row.recipient, told[row.incident].subject, told[row.incident].cause) for row in await ward.messages()
    )
    assert got == Counter((person.id, *what) for person in PEOPLE for what in subjects_causes)


async def fall_silent(ward: Ward, order: list[str], every_s: float, wills: int) -> None:
    """Nodes stop one after the other in `order`; of every `wills`-th the broker says so."""
    for number, id in enumerate(order):
        ward[id].alive = False
        if number % wills == 0:
            await ward[id].farewell()
        if every_s:
            await ward.wait(every_s)


@ORDER
@given(
    order=st.permutations([f"c1-{n}" for n in range(1, 41)]), wills=st.integers(1, 5), every_s=st.sampled_from([0, 0.5])
)
async def test_a_commune_of_forty_nodes_that_falls_silent_is_one_message(
    order: list[str], wills: int, every_s: float
) -> None:
    async with network(3, 40) as ward:
        await ward.all_born()
        await fall_silent(ward, order, every_s, wills)
        await ward.pass_time(1200, step=10)
        await each_was_told(ward, ("c1", "network"))


@ORDER
@given(order=st.permutations([f"c1-{n}" for n in range(1, 41)]))
async def test_a_commune_of_forty_nodes_without_mains_is_one_message(order: list[str]) -> None:
    async with network(3, 40) as ward:
        await ward.all_born()
        for id in order:
            await ward[id].beat(mains_v=0.0)
        await ward.pass_time(300)
        for id in order:
            ward[id].metrics["batt_v"] = 10.5
        await ward.pass_time(300)
        await fall_silent(ward, order, 0, 1)
        await ward.pass_time(900)
        await each_was_told(ward, ("c1", "power"))


@pytest.mark.parametrize(("communes", "told"), [(45, ("viettel-1", "network")), (40, ("centre", "centre"))])
@ORDER
@given(order=st.permutations([f"c{c}-{n}" for c in range(1, 21) for n in range(1, 5)]), wills=st.integers(1, 5))
async def test_twenty_communes_behind_one_uplink_are_one_message(
    communes: int, told: tuple[str, str], order: list[str], wills: int
) -> None:
    """Where these are half of all nodes it counts as a fault of the centre."""
    async with network(communes, 4, uplinked=20) as ward:
        await ward.all_born()
        await fall_silent(ward, order, 0.1, wills)
        await ward.pass_time(900)
        await each_was_told(ward, told)


@ORDER
@given(order=st.permutations([f"c{c}-{n}" for c in (1, 2, 3) for n in range(1, 6)]))
async def test_three_communes_on_one_feeder_without_mains_are_one_message(order: list[str]) -> None:
    async with network(9, 5, feeding=3) as ward:
        await ward.all_born()
        for id in order:
            await ward[id].beat(mains_v=0.0)
        await ward.pass_time(600)
        await each_was_told(ward, ("371", "power"))
