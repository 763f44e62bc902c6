"""One broadcast that most nodes of a commune, or of the network, missed is one incident and one message to each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from controller.domain.faults import Severity
from controller.domain.functional import Flaw, Verdict
from tests.health_support import RULES, Ward, district, rule

SETTINGS = replace(district(3, 5), faults=(*RULES, rule("missed-broadcast", "service")))
ALL = tuple(SETTINGS.nodes)


def of(*communes: str, count: int = 5) -> list[str]:
    return [f"{commune}-{n}" for commune in communes for n in range(1, count + 1)]


async def judged(
    ward: Ward, nodes: Iterable[str], *, missed: bool = True, severity: Severity = Severity.MAJOR, seconds: float = 40
) -> None:
    """What the airing that has just been due was like on `nodes`, and time for it to be told."""
    start = ward.clock.now()
    evidence = {"airing": "Bản tin", "missed": True} if missed else {}
    flaw = Flaw.MISSED if missed else None
    await ward.monitoring.on_airings({node: Verdict(node, start, flaw, severity, evidence) for node in nodes})
    await ward.pass_time(seconds)


async def causes(ward: Ward) -> set[tuple[str, str]]:
    return {(each.subject, each.cause) for each in await ward.open()}


async def test_most_nodes_of_a_commune_are_one_incident_with_one_message_and_one_end() -> None:
    async with Ward(SETTINGS) as ward:
        await ward.all_born()
        await judged(ward, of("c1", count=4), severity=Severity.CRITICAL)
        (incident,) = await ward.open()
        assert (incident.scope, incident.cause, incident.severity) == ("commune", "missed-together", Severity.CRITICAL)
        assert (incident.nodes, incident.evidence["airing"]) == (tuple(of("c1", count=4)), "Bản tin")
        assert await ward.told() == [("c1", "missed-together", "opened")]
        assert len(await ward.open(top=False)) == 5
        await judged(ward, of("c1"), missed=False)
        assert await ward.open(top=False) == []
        assert (await ward.told())[1:] == [("c1", "missed-together", "recovered")]
        message = (await ward.messages())[0]
        assert "hầu hết cụm loa không phát được chương trình" in message.subject


async def test_fewer_are_told_one_by_one() -> None:
    async with Ward(SETTINGS) as ward:
        await ward.all_born()
        await judged(ward, [*of("c1", count=2), "c2-1"])
        assert await causes(ward) == {(node, "missed-broadcast") for node in ("c1-1", "c1-2", "c2-1")}
        assert len(await ward.told()) == 3


async def test_the_whole_network_is_one_incident_of_the_centre() -> None:
    async with Ward(SETTINGS) as ward:
        await ward.all_born()
        await judged(ward, ALL)
        assert await causes(ward) == {("centre", "missed-together")}
        assert [what for _, *what in await ward.told()] == [["missed-together", "opened"]]


async def test_what_one_commune_missed_is_its_own_although_it_is_most_of_the_network() -> None:
    async with Ward(replace(district(2, 5), faults=SETTINGS.faults)) as ward:
        await ward.all_born()
        await judged(ward, of("c2", count=2), seconds=600)
        await judged(ward, of("c1"))
        alone = {(node, "missed-broadcast") for node in of("c2", count=2)}
        assert await causes(ward) == {("c1", "missed-together"), *alone}


async def test_the_next_broadcast_that_most_hear_leaves_each_of_the_others_to_itself() -> None:
    async with Ward(SETTINGS) as ward:
        await ward.all_born()
        await judged(ward, of("c1"))
        await ward.pass_time(600)
        await judged(ward, of("c1", count=4), missed=False, seconds=300)
        assert await causes(ward) == {("c1-5", "missed-broadcast")}


@pytest.mark.parametrize("scope", ["c1", "centre"])
async def test_a_missed_broadcast_hides_no_loss_of_contact(scope: str) -> None:
    async with Ward(SETTINGS) as ward:
        await ward.all_born()
        await judged(ward, of("c1") if scope == "c1" else ALL)
        for speaker in ward.commune("c1"):
            speaker.alive = False
        await ward.pass_time(600)
        assert await causes(ward) >= {("c1", "network")}
        assert ("c1", "network", "opened") in await ward.told()
