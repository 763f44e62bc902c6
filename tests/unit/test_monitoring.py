"""From what nodes say to what people are told."""

from __future__ import annotations

from tests.health_support import Ward


async def test_an_amplifier_fault_is_an_incident_and_one_message() -> None:
    async with Ward() as ward:
        await ward.all_born()
        await ward["c1-1"].beat(src_dbfs=-20.0, amp_vrms=0.1)
        await ward.wait(9.9)
        assert await ward.open() == []
        await ward.wait(0.1)
        (incident,) = await ward.open()
        assert (incident.subject, incident.cause, incident.announced) == ("c1-1", "amplifier", False)
        assert incident.evidence == {"src_dbfs": -20.0, "amp_vrms": 0.1, "amp_pilot_db": -30.0}
        assert await ward.told() == []
        await ward.pass_time(15)
        assert await ward.told() == [("c1-1", "amplifier", "opened")]
        assert ward.woken == 1
