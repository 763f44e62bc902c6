"""Red for the right reasons: each reason alone, each threshold, and what stays green."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from controller.domain.faults import Severity
from controller.domain.watching import (
    ClockWatch,
    DatabaseWatch,
    IntakeWatch,
    Lags,
    Space,
    Vitals,
    WatchSettings,
    ailments,
    disk_fault,
    life_sign_due,
    why_silent,
)

WELL = Vitals(
    10_000,
    timer_seen=9_990,
    canary_s=900,
    canary_limit_s=75,
    canary_begun=60,
    canary_passed=9_900,
)
FULL = ({"free_mb": 100}, Severity.CRITICAL)


def codes(vitals: Vitals) -> list[str]:
    return [each.code for each in ailments(vitals)]


def test_all_well_is_green_and_may_be_told_outside() -> None:
    assert codes(WELL) == []
    assert why_silent(WELL) == ""


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"database": "disk I/O error"}, "database"),
        ({"broker_lost_since": 9_939.0}, "broker"),
        ({"loop_lag_s": 5.1}, "event-loop"),
        ({"intake_lag_s": 60.1}, "intake"),
        ({"timer_seen": 9_879.0}, "scheduler"),
        ({"outbox_due_s": 301.0}, "outbox"),
        ({"disk": FULL}, "disk"),
        ({"canary_lost": "delivery"}, "canary"),
        ({"canary_passed": 8_000.0}, "canary"),
    ],
)
def test_each_reason_alone_is_red_and_names_itself(changed: dict[str, object], code: str) -> None:
    assert codes(replace(WELL, **changed)) == [code]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed",
    [
        {"broker_lost_since": 9_941.0},
        {"loop_lag_s": 4.0},
        {"timer_seen": 9_881.0},
        {"outbox_due_s": 299.0},
        {"disk": ({"free_mb": 1500}, None)},
        {"canary_passed": 8_060.0},
        {"canary_passed": None, "canary_begun": 9_000.0},
        {"canary_s": 0.0, "canary_passed": None, "canary_begun": None},
    ],
)
def test_what_is_not_yet_wrong_is_green(changed: dict[str, object]) -> None:
    assert codes(replace(WELL, **changed)) == []  # type: ignore[arg-type]


def test_one_that_stands_by_is_not_red_for_what_only_a_leader_does() -> None:
    standby = replace(WELL, leads=False, broker_lost_since=0.0, canary_passed=None, outbox_due_s=9_999.0)
    assert codes(standby) == []
    assert codes(replace(standby, database="gone")) == ["database"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"leads": False}, "does not lead"),
        ({"canary_passed": None}, "no canary"),
        ({"canary_lost": "intake"}, "intake"),
        ({"canary_passed": 100.0}, "too long ago"),
        ({"outbox_due_s": 301.0}, "301 s"),
        ({"database": "gone"}, "gone"),
    ],
)
def test_the_outside_is_not_told_that_all_is_well_when_it_is_not(changed: dict[str, object], reason: str) -> None:
    assert reason in why_silent(replace(WELL, **changed))  # type: ignore[arg-type]


# --- disk, clock, database ----------------------------------------------------------------------------------

LIMITS = WatchSettings()


@pytest.mark.parametrize(
    ("space", "severity"),
    [
        (Space(2001, 0.5), "well"),
        (Space(1999, 0.5), None),
        (Space(499, 0.5), Severity.CRITICAL),
        (Space(90_000, 0.04), None),
        (Space(90_000, 0.005), Severity.CRITICAL),
        (Space(90_000, None), "well"),
    ],
)
def test_a_disk_without_room_or_without_inodes_is_a_fault(space: Space, severity: object) -> None:
    found = disk_fault(space, LIMITS)
    assert (found[1] if found else "well") == severity


START = datetime(2026, 11, 27, 6, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_step_of_the_wall_clock_is_told_for_ten_minutes() -> None:
    watch = ClockWatch()
    assert watch.look(at(0), 0, None) is None
    assert watch.look(at(31.5), 30, None) is None, "a slew is no step"
    assert watch.look(at(61.5 - 3600), 60, None) == {"stepped_s": -3600.0}
    assert watch.look(at(91.5 - 3600), 90, None) == {"stepped_s": -3600.0}
    assert watch.look(at(661.5 - 3600), 660, None) is None


def test_a_clock_that_nobody_synchronises_is_a_fault_after_ten_minutes_and_not_measured_is_none() -> None:
    watch = ClockWatch()
    assert watch.look(at(0), 0, False) is None
    assert watch.look(at(599), 599, False) is None
    assert watch.look(at(600), 600, False) == {"clock.synced": False}
    assert watch.look(at(630), 630, True) is None
    for mono in (700, 9000):
        assert watch.look(at(mono), mono, None) is None


def test_after_a_start_an_unsynchronised_clock_is_not_taken_for_a_good_one() -> None:
    """Or each restart would tell that a fault is over which is told again ten minutes later."""
    watch = ClockWatch()

    def knows(seconds: float, synced: bool | None) -> bool:
        return watch.look(at(seconds), seconds, synced) is not None or watch.knows(seconds)

    assert [knows(0, False), knows(599, False), knows(600, False)] == [False, False, True]
    assert [knows(630, True), knows(660, False)] == [True, True], "it was good since the start"
    assert ClockWatch().knows(0), "a system that does not tell has no such fault"


def test_after_a_start_a_database_is_not_called_sound_before_its_files_were_looked_at() -> None:
    watch = DatabaseWatch()
    assert (watch.look("", 0.1), watch.checked) == (None, False)
    for _ in range(3):
        watch.look("full", 0.1)
    assert (watch.look("", 0.1), watch.checked) == (None, True), "it was refusing, and refuses no more"


def test_a_database_that_refuses_or_is_slow_three_times_in_a_row_is_a_fault() -> None:
    watch = DatabaseWatch()
    assert [watch.look("full", 0.1) for _ in range(3)] == [None, None, ({"reason": "full"}, None)]
    assert watch.look("", 0.1) is None
    assert [watch.look("", 2.5) for _ in range(3)] == [None, None, ({"write_s": 2.5}, Severity.MAJOR)]
    watch.damage = "page 7 is never used"
    assert watch.look("", 0.1) == ({"reason": "page 7 is never used"}, None)


def test_a_stall_of_the_loop_is_remembered_for_a_minute() -> None:
    lags = Lags()
    lags.add(10, 8.0)
    lags.add(11, 0.0)
    assert lags.worst(60) == 8.0
    assert lags.worst(71) == 0.0


# --- the morning --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hour", "minute", "last", "due"),
    [
        (6, 29, "2026-11-26", ""),
        (6, 30, "2026-11-26", "2026-11-27"),
        (6, 31, "2026-11-27", ""),
        (12, 29, "", "2026-11-27"),
        (12, 31, "", ""),
        (6, 30, "2026-11-28", ""),
    ],
)
def test_a_life_sign_is_due_once_a_day_and_not_in_the_evening(hour: int, minute: int, last: str, due: str) -> None:
    now = datetime(2026, 11, 27, hour, minute, tzinfo=UTC)
    assert life_sign_due(now, time(6, 30), last) == due


def test_a_burst_that_is_read_late_is_no_fault_and_one_that_never_ends_is_until_we_have_caught_up() -> None:
    watch = IntakeWatch()
    assert [watch.look(lag) for lag in [70.0] * 9 + [0.0] + [70.0] * 9] == [None] * 19
    assert watch.look(123.0) == {"behind_s": 120.0}
    assert watch.look(20.0) == {"behind_s": 20.0}, "still behind"
    assert watch.look(5.0) is None
    assert watch.look(70.0) is None
