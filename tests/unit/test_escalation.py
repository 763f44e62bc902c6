"""Who is told: the responsible person, on every channel, never nobody without a trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.domain.escalation import (
    NOBODY,
    AlertSettings,
    OutboxRow,
    OutboxState,
    Person,
    Transition,
    kind_of,
    messages_for,
    numbered,
    told_of,
)
from controller.domain.faults import Severity
from controller.domain.incidents import Incident
from tests.alerts_support import FACTS, hook, incident, mail, person
from tests.fakes import START

MUTE = replace(person("tho"), channels=())


def told(
    *people: Person, about: Incident | None = None, transition: str = "opened", facts: object = FACTS
) -> tuple[OutboxRow, ...]:
    alerts = AlertSettings(people=people)
    return messages_for(about or incident(), transition, alerts, facts, START)  # type: ignore[arg-type]


def names(rows: tuple[OutboxRow, ...]) -> list[str]:
    return [row.recipient for row in rows]


def test_each_channel_of_each_responsible_person_gets_its_own_row() -> None:
    lan = person("lan", mail("lan@example.org"), also=(hook("http://hook.example"),))
    rows = told(lan, person("hoa"))
    assert [(row.recipient, row.channel) for row in rows] == [
        ("lan", "smtp:lan@example.org"),
        ("lan", "webhook:http://hook.example"),
        ("hoa", "smtp:hoa@example.org"),
    ]
    assert {(row.incident, row.transition, row.state) for row in rows} == {(1, "opened", OutboxState.PENDING)}
    assert {row.due_at for row in rows} == {START}


def test_a_channel_that_is_listed_twice_is_used_once() -> None:
    assert len(told(person("lan", mail("a@example.org"), mail("a@example.org")))) == 1


def test_each_person_reads_their_own_language() -> None:
    rows = told(person("lan"), person("ann", language="en"))
    assert [row.subject for row in rows] == [
        "[Nguy cấp] Na Mèo 03: hỏng tăng âm",
        "[Critical] Na Mèo 03: amplifier failed",
    ]


def test_only_who_is_responsible_for_the_commune_is_told() -> None:
    here = person("lan", communes=frozenset({"na-meo"}))
    there = person("hoa", communes=frozenset({"son-thuy"}))
    assert names(told(here, there, person("duc"))) == ["lan", "duc"]


def test_a_commune_that_nobody_is_responsible_for_is_everybodys() -> None:
    there = person("hoa", communes=frozenset({"son-thuy"}))
    assert names(told(there)) == ["hoa"]


def test_a_fault_of_the_centre_is_told_to_everybody() -> None:
    there = person("hoa", communes=frozenset({"son-thuy"}))
    assert names(told(there, person("duc"), about=incident(commune="", scope="centre"))) == ["hoa", "duc"]


def test_who_does_not_want_minor_faults_does_not_get_them() -> None:
    only_critical = person("lan", severities=frozenset({Severity.CRITICAL}))
    minor = incident(severity=Severity.MINOR)
    assert names(told(only_critical, person("duc"), about=minor)) == ["duc"]
    assert told(only_critical, about=minor) == ()


def test_a_critical_fault_that_nobody_wants_is_told_all_the_same() -> None:
    only_minor = person("lan", severities=frozenset({Severity.MINOR}))
    assert names(told(only_minor)) == ["lan"]


def test_a_person_without_a_channel_is_a_visible_dead_row_and_somebody_else_is_told() -> None:
    mute = replace(MUTE, communes=frozenset({"na-meo"}))
    rows = told(mute, person("hoa", communes=frozenset({"son-thuy"})))
    assert [(row.recipient, row.state) for row in rows] == [
        ("tho", OutboxState.DEAD),
        ("hoa", OutboxState.PENDING),
    ]
    assert rows[0].last_error == "Tho has no channel in alerts.yaml"


@pytest.mark.parametrize("people", [(), (MUTE,)])
def test_an_incident_that_nobody_can_be_told_of_leaves_a_dead_row_with_its_text(
    people: tuple[Person, ...],
) -> None:
    last = told(*people)[-1]
    assert (last.recipient, last.state) == (NOBODY, OutboxState.DEAD)
    assert last.subject == "[Nguy cấp] Na Mèo 03: hỏng tăng âm"
    assert last.last_error == "nobody in alerts.yaml can be told of na-meo-03"


def test_recovery_goes_to_exactly_those_who_were_told_of_the_fault() -> None:
    lan, hoa = person("lan"), person("hoa", severities=frozenset({Severity.CRITICAL}))
    opened = told(lan, hoa)
    newcomer = person("duc")
    facts = replace(FACTS, told=told_of(opened))
    milder = incident(severity=Severity.MINOR)
    rows = told(lan, hoa, newcomer, about=milder, transition="recovered", facts=facts)
    assert names(rows) == ["lan", "hoa"]


def test_nobody_is_told_of_the_end_of_what_nobody_was_told_of() -> None:
    facts = replace(FACTS, told=frozenset())
    assert told(person("lan"), transition="recovered", facts=facts) == ()


def test_a_second_rise_or_return_is_another_row_than_the_first() -> None:
    earlier = ["opened", "recovered", "reopened", "severity"]
    assert numbered(Transition.OPENED, []) == "opened"
    assert numbered(Transition.RECOVERED, earlier) == "recovered-2"
    assert numbered(Transition.SEVERITY, [*earlier, "severity-2"]) == "severity-3"
    assert kind_of("recovered-2") is Transition.RECOVERED


def test_a_transition_that_nobody_is_told_of_is_refused() -> None:
    with pytest.raises(ValueError, match="acknowledged"):
        told(person("lan"), transition="acknowledged")
