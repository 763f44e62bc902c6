"""The life of an incident: what may happen to it, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.domain import incidents
from controller.domain.faults import Severity
from controller.domain.incidents import TABLE, Happening, Incident, IncidentState, Unrest, after

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def opened() -> Incident:
    return Incident(
        7, "node", "n", "c", "amplifier", "amplifier", Severity.MAJOR, IncidentState.OPEN, NOW, NOW, announced=True
    )


@pytest.mark.parametrize("state", IncidentState)
@pytest.mark.parametrize("happening", Happening)
def test_what_is_not_in_the_table_is_an_error(state: IncidentState, happening: Happening) -> None:
    if (state, happening) in TABLE:
        assert after(state, happening) is TABLE[state, happening]
    else:
        with pytest.raises(ValueError, match=f"an incident that is {state.value} cannot be {happening.value}"):
            after(state, happening)


def test_a_closed_incident_can_only_relapse() -> None:
    assert [h for s, h in TABLE if s is IncidentState.CLOSED] == [Happening.RELAPSED]


def test_no_word_of_a_person_closes_an_incident() -> None:
    said = (Happening.ACKNOWLEDGED, Happening.REPAIR_BEGUN, Happening.REPAIRED)
    assert not [s for (s, h), to in TABLE.items() if h in said and to is IncidentState.CLOSED]


def test_who_had_it_still_has_it_when_a_recovery_fails() -> None:
    had = incidents.acknowledged(opened(), "lan", NOW)
    again = incidents.bad_again(incidents.recovering(had, LATER), LATER)
    assert (again.state, again.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "lan")


def test_a_repair_that_nothing_confirmed_leaves_it_with_whom_it_was() -> None:
    said = incidents.repaired(opened(), "lan", NOW)
    assert (said.state, said.repaired_at) == (IncidentState.REPAIRED, NOW)
    back = incidents.unverified(said, LATER)
    assert (back.state, back.repaired_at) == (IncidentState.ACKNOWLEDGED, None)


def test_a_rise_of_severity_cancels_the_acknowledgement() -> None:
    worse = incidents.worse(incidents.acknowledged(opened(), "lan", NOW), Severity.CRITICAL, {"x": 1}, LATER)
    assert (worse.state, worse.acknowledged_by, worse.evidence) == (IncidentState.OPEN, "", {"x": 1})


def test_a_relapse_is_nobodys_and_untold() -> None:
    closed = incidents.closed(incidents.acknowledged(opened(), "lan", NOW), NOW)
    again = incidents.reopened(closed, Severity.CRITICAL, {}, LATER)
    assert (again.state, again.acknowledged_by, again.announced, again.closed_at) == (
        IncidentState.OPEN,
        "",
        False,
        None,
    )
    assert again.opened_at == NOW


def test_flapping_begins_at_the_penalty_of_three_and_ends_when_steady() -> None:
    unrest = Unrest()
    for mono in (0, 60, 120):
        unrest = unrest.at_change(mono)
        assert not unrest.flapping
    unrest = unrest.at_change(180)
    assert unrest.flapping
    calm = unrest.calm_at()
    assert unrest.settled(calm - 1).flapping
    assert not unrest.settled(calm).flapping
    assert unrest.now(calm) <= 0.75 + 1e-9


def test_the_penalty_halves_in_15_minutes() -> None:
    assert Unrest(2.0, 0.0).now(900) == pytest.approx(1.0)


def test_changes_an_hour_apart_are_no_flapping() -> None:
    unrest = Unrest()
    for n in range(100):
        unrest = unrest.at_change(n * 3600.0)
    assert not unrest.flapping
