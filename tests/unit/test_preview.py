"""Looking ahead: who would be told when, by the rota as it is at each step's own time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.duty import Shift
from controller.domain.escalation import AlertSettings, Escalation, Step, Transition
from controller.domain.faults import Severity
from controller.domain.preview import preview
from tests.alerts_support import ZONE, person

LAN = person("lan", communes=frozenset({"na-meo"}))
DINH = person("dinh", communes=frozenset({"son-thuy"}))
TUAN, HOA = person("tuan", technician=False), person("hoa", technician=False)
DAYS, NIGHTS = Shift(("tuan",), start=time(7), end=time(19)), Shift(("hoa",), start=time(19), end=time(7))
ALERTS = AlertSettings(
    people=(LAN, DINH, TUAN, HOA), on_call={"district": (DAYS, NIGHTS), "manager": (Shift(("hoa",)),)}
)
NOON = datetime(2026, 11, 23, 12, tzinfo=ZONE)
Said = list[tuple[int, str, str, list[str]]]


def said(
    alerts: AlertSettings = ALERTS, severity: Severity = Severity.CRITICAL, at: datetime = NOON, commune: str = "na-meo"
) -> Said:
    """Minutes from `at`, what, in which role, who."""
    words = preview(alerts, f"{commune}-01", commune, severity, ZONE, at)
    return [
        (round((word.at - at) / timedelta(minutes=1)), word.what.value, word.role, [one.id for one in word.people])
        for word in words
    ]


def test_a_fault_that_nobody_takes_goes_from_the_technician_to_the_manager() -> None:
    assert said() == [
        (0, "opened", "", ["lan"]),
        (15, "reminder", "", ["lan"]),
        (30, "escalated", "district", ["tuan"]),
        (120, "escalated", "manager", ["hoa"]),
        (240, "overdue", "", ["lan", "tuan"]),
    ]


def test_another_commune_is_another_technician() -> None:
    assert [word[3] for word in said(commune="son-thuy")][:2] == [["dinh"], ["dinh"]]


def test_each_step_asks_the_rota_of_its_own_time() -> None:
    evening = NOON.replace(hour=18, minute=45)
    assert [word[3] for word in said(at=evening) if word[2] == "district"] == [["hoa"]]


def test_small_faults_of_the_night_begin_in_the_morning_and_are_overdue_as_ever() -> None:
    night = NOON.replace(hour=22, minute=0)
    words = said(severity=Severity.MINOR, at=night)
    assert words[0] == (510, "opened", "", ["lan"])
    assert words[1][0] == 525
    assert words[-1][:2] == (72 * 60, "overdue")


def test_a_role_that_nobody_fills_goes_one_level_up() -> None:
    empty = AlertSettings(people=ALERTS.people, on_call={"district": (), "manager": (Shift(("hoa",)),)})
    assert [word[3] for word in said(empty) if word[2] == "district"] == [["hoa"]]


def test_steps_are_those_of_the_configuration_and_of_the_severity() -> None:
    urgent = Step(60, "district", frozenset({Severity.CRITICAL}))
    alerts = AlertSettings(people=ALERTS.people, on_call=ALERTS.on_call, escalation=Escalation(steps=(urgent,)))
    assert [word[1] for word in said(alerts)] == ["opened", "escalated", "overdue"]
    assert [word[1] for word in said(alerts, Severity.MAJOR)] == ["opened", "overdue"]


def test_of_a_commune_as_a_whole_its_technicians_are_told() -> None:
    words = preview(ALERTS, "", "son-thuy", Severity.MAJOR, ZONE, NOON)
    assert [one.id for one in words[0].people] == ["dinh"]


@given(st.sampled_from(Severity), st.integers(0, 7 * 24 * 60))
def test_it_never_runs_backwards_and_always_names_somebody(severity: Severity, minutes: int) -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(minutes=minutes)
    words = preview(ALERTS, "na-meo-01", "na-meo", severity, ZONE, at)
    times = [word.at for word in words]
    assert times == sorted(times)
    assert times[0] >= at
    assert (words[0].what, words[-1].what) == (Transition.OPENED, Transition.OVERDUE)
    assert all(word.people for word in words)
