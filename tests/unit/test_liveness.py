"""Is the node alive: the table, the times, and what is no sign of life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.domain.liveness import NEVER, TABLE, Liveness, Patience, Pulse, Session, Sign, after

AT = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
PATIENCE = Patience(10)


def born(mono: float = 100.0) -> Pulse:
    pulse = Pulse(PATIENCE, 0)
    pulse.birth("b1", 1, AT, mono, retained=False)
    return pulse


def run(pulse: Pulse, until: float, listening_from: float = 0) -> list[tuple[float, Liveness]]:
    """What becomes of a node that says nothing more."""
    seen = []
    while (when := pulse.deadline(listening_from)) <= until:
        pulse.due(when, listening_from)
        seen.append((when, pulse.state))
    return seen


@pytest.mark.parametrize("state", Liveness)
@pytest.mark.parametrize("sign", Sign)
def test_what_is_not_in_the_table_is_an_error(state: Liveness, sign: Sign) -> None:
    if (state, sign) in TABLE:
        assert after(state, sign) is TABLE[state, sign]
    else:
        with pytest.raises(ValueError, match=f"{sign.value} cannot come while {state.value}"):
            after(state, sign)


def test_a_birth_is_life() -> None:
    assert born().state is Liveness.ONLINE


def test_silence_makes_suspect_at_35_s_and_offline_at_60_s() -> None:
    assert run(born(100), 1000) == [(135, Liveness.SUSPECT), (160, Liveness.OFFLINE)]


def test_a_will_makes_suspect_at_once_and_offline_at_35_s_of_silence() -> None:
    pulse = born(100)
    pulse.heartbeat("b1", 1, 1, 110)
    pulse.farewell("b1", 1, 112, bye=False, retained=False)
    assert pulse.state is Liveness.SUSPECT
    assert run(pulse, 1000) == [(145, Liveness.OFFLINE)]


def test_one_heartbeat_clears_a_suspicion() -> None:
    pulse = born(100)
    pulse.due(135, 0)
    pulse.heartbeat("b1", 1, 1, 140)
    assert pulse.state is Liveness.ONLINE
    assert run(pulse, 1000)[0] == (175, Liveness.SUSPECT)


def test_back_takes_three_heartbeats_over_sixty_seconds() -> None:
    pulse = born(100)
    run(pulse, 1000)
    for n, mono in enumerate((1000, 1010, 1020, 1030, 1040, 1050)):
        pulse.heartbeat("b1", 1, n, mono)
        assert pulse.state is Liveness.OFFLINE
        assert pulse.returning
    pulse.heartbeat("b1", 1, 9, 1060)
    assert pulse.state is Liveness.ONLINE


def test_two_heartbeats_a_minute_apart_are_not_back() -> None:
    pulse = born(100)
    run(pulse, 1000)
    pulse.heartbeat("b1", 1, 1, 1000)
    pulse.heartbeat("b1", 1, 2, 1060)
    pulse.heartbeat("b1", 1, 3, 1061)
    assert pulse.state is Liveness.OFFLINE


def test_a_node_that_falls_silent_again_is_no_longer_returning() -> None:
    pulse = born(100)
    run(pulse, 1000)
    pulse.heartbeat("b1", 1, 1, 1000)
    assert run(pulse, 1040) == [(1035, Liveness.OFFLINE)]
    assert not pulse.returning


def test_a_retained_birth_is_not_life_but_its_silence_counts() -> None:
    pulse = Pulse(PATIENCE, 0)
    pulse.birth("b1", 1, AT, 5, retained=True)
    assert pulse.state is Liveness.UNKNOWN
    assert run(pulse, 1000, listening_from=20)[-1] == (80, Liveness.OFFLINE)


def test_a_node_nobody_ever_heard_of_is_not_missed() -> None:
    assert Pulse(PATIENCE, 0).deadline(20) == NEVER


@pytest.mark.parametrize(("boot", "conn"), [("b1", 1), ("b0", 9), ("b2", 3), ("", 0)])
def test_a_will_of_another_session_is_ignored(boot: str, conn: int) -> None:
    pulse = born(100)
    pulse.birth("b1", 2, AT + timedelta(seconds=5), 105, retained=False)
    assert pulse.farewell(boot, conn, 110, bye=False, retained=False) is Session.PAST
    assert pulse.state is Liveness.ONLINE


def test_a_will_before_any_birth_is_ignored() -> None:
    pulse = Pulse(PATIENCE, 0)
    assert pulse.farewell("", 0, 5, bye=False, retained=False) is Session.PAST
    assert pulse.state is Liveness.UNKNOWN


def test_heartbeats_that_come_twice_or_late_are_not_life() -> None:
    pulse = born(100)
    pulse.heartbeat("b1", 1, 5, 110)
    assert pulse.heartbeat("b1", 1, 5, 130) is Session.PAST
    assert pulse.heartbeat("b1", 1, 4, 131) is Session.PAST
    assert pulse.heartbeat("b1", 0, 99, 132) is Session.PAST
    assert run(pulse, 1000)[0] == (145, Liveness.SUSPECT)


def test_a_new_boot_is_a_reboot_once_and_the_old_one_never_comes_back() -> None:
    pulse = born(100)
    assert pulse.heartbeat("b2", 1, 0, 110) is Session.REBOOTED
    assert pulse.birth("b2", 1, AT, 111, retained=False) is Session.CURRENT
    assert pulse.birth("b1", 1, AT, 112, retained=False) is Session.PAST
    assert pulse.heartbeat("b1", 1, 50, 113) is Session.PAST


def test_a_boot_that_is_born_again_later_is_alive_and_one_of_two_devices() -> None:
    pulse = born(100)
    assert pulse.birth("b2", 1, AT + timedelta(seconds=5), 105, retained=False) is Session.REBOOTED
    assert pulse.birth("b1", 2, AT + timedelta(seconds=9), 109, retained=False) is Session.TWIN
    assert pulse.heartbeat("b1", 2, 60, 110) is Session.CURRENT
    assert pulse.heartbeat("b2", 1, 1, 111) is Session.PAST, "what is left of the other one"


def test_a_program_restarted_within_one_boot_counts_its_connections_anew() -> None:
    pulse = Pulse(PATIENCE, 0)
    pulse.birth("b1", 7, AT, 100, retained=False)
    assert pulse.birth("b1", 1, AT + timedelta(minutes=1), 160, retained=False) is Session.RECONNECTED
    assert pulse.heartbeat("b1", 1, 0, 161) is Session.CURRENT


def test_deaf_time_is_not_silence() -> None:
    pulse = born(100)
    assert pulse.deadline(NEVER) == NEVER
    assert run(pulse, 5000, listening_from=4000) == [(4035, Liveness.SUSPECT), (4060, Liveness.OFFLINE)]
