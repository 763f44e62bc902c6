"""The centre's own faults are incidents of node "centre": told once, closed by good news, never by silence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.domain import canary, centre
from controller.domain.faults import Severity
from controller.domain.hush import Hush, HushKind
from controller.domain.incidents import IncidentState
from tests.alerts_support import incident
from tests.fakes import START
from tests.health_support import Ward, district, rule


async def test_a_fault_of_the_centre_is_told_once_and_closed_when_it_is_over() -> None:
    async with Ward() as ward:
        await ward.all_born()
        for free in (400, 390, 390):
            ward.monitoring.centre(centre.DISK, {"free_mb": free})
            await ward.pass_time(60)
        (incident,) = await ward.open()
        assert (incident.scope, incident.subject, incident.cause) == ("centre", "centre", "centre-disk")
        assert (incident.severity, incident.component) == (Severity.MAJOR, "centre")
        assert incident.evidence == {"free_mb": 390}, "what is shown is what was seen last"
        ward.monitoring.centre(centre.DISK, None)
        await ward.pass_time(60)
        assert await ward.open() == []
        assert [told[1:] for told in await ward.told()] == [("centre-disk", "opened"), ("centre-disk", "recovered")]


async def test_its_message_says_what_and_what_to_do() -> None:
    async with Ward() as ward:
        ward.monitoring.centre(centre.DISK, {"free_mb": 400})
        await ward.pass_time(60)
        (message,) = await ward.messages()
        assert message.subject == "[Lớn] Trung tâm: ổ đĩa của trung tâm sắp đầy"
        assert "thêm dung lượng" in message.body


async def test_a_restart_neither_closes_nor_repeats_what_nobody_looked_at_since() -> None:
    async with Ward() as ward:
        ward.monitoring.centre(centre.CLOCK, {"reason": "unsynchronised"})
        await ward.pass_time(60)
        await ward.restart(600)
        await ward.pass_time(600)
        assert [each.cause for each in await ward.open()] == ["centre-clock"]
        ward.monitoring.centre(centre.CLOCK, {"reason": "unsynchronised"})
        await ward.pass_time(60)
        assert len(await ward.told()) == 1
        ward.monitoring.centre(centre.CLOCK, None)
        await ward.pass_time(60)
        assert await ward.open() == []


async def test_it_hides_no_outage_and_explains_no_node() -> None:
    async with Ward() as ward:
        await ward.all_born()
        ward.monitoring.centre(centre.DISK, {"free_mb": 400})
        await ward.pass_time(60)
        for speaker in (*ward.commune("c1"), *ward.commune("c2")):
            speaker.alive = False
        await ward.pass_time(600)
        assert [each.cause for each in await ward.open()] == ["centre-disk", "centre"]
        ward.monitoring.centre(centre.DISK, None)
        await ward.pass_time(60)
        assert [each.cause for each in await ward.open()] == ["centre"]


async def test_worse_is_told_again() -> None:
    async with Ward() as ward:
        ward.monitoring.centre(centre.DISK, {"free_mb": 400})
        await ward.pass_time(60)
        ward.monitoring.centre(centre.DISK, {"free_mb": 90}, Severity.CRITICAL)
        await ward.pass_time(60)
        assert [told[2] for told in await ward.told()] == ["opened", "severity"]


async def test_a_rule_of_the_site_gives_texts_and_severity() -> None:
    mine = rule(centre.DISK, "centre", Severity.MINOR)
    async with Ward(replace(district(), faults=(mine,))) as ward:
        ward.monitoring.centre(centre.DISK, {"free_mb": 400})
        await ward.pass_time(60)
        (incident,) = await ward.open()
        assert incident.severity is Severity.MINOR
        assert "mend" in (await ward.messages())[0].body or "sửa" in (await ward.messages())[0].body


@pytest.mark.parametrize("code", centre.RULES)
async def test_each_can_be_acknowledged_and_has_texts_in_both_languages(code: str) -> None:
    assert all(
        text.vi and text.en and text.vi != text.en for text in (centre.RULES[code].title, centre.RULES[code].advice)
    )
    async with Ward() as ward:
        ward.monitoring.centre(code, {})
        await ward.pass_time(60)
        (incident,) = await ward.open()
        acked = await ward.monitoring.acknowledge(incident.id, "lan")
        assert acked.state is IncidentState.ACKNOWLEDGED


def test_a_silence_of_everything_does_not_silence_the_canary() -> None:
    everything = Hush(HushKind.SILENCE, START, START + timedelta(hours=1), "Tết")
    assert everything.matches(incident())
    assert not everything.matches(incident(scope=canary.SCOPE))
