"""Who may lead when: every wait is longer than the trust of the one who is waited for."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.lease import FENCE_S, LOOK_S, RENEW_S, TTL_S, Lease, Seen, look, why_wait
from tests.fakes import START

A = Lease("a-1", START)
RENEWED = Lease("a-1", START + timedelta(seconds=5))


def test_who_finds_nobody_leads_at_once() -> None:
    assert why_wait(look(None, None, 5.0), "b-1", (), 5.0) == ""


def test_a_lease_found_at_a_start_is_watched_for_its_whole_length_first() -> None:
    seen = look(None, A, 100.0)
    assert "a-1 leads" in why_wait(seen, "b-1", (), 100.0 + TTL_S - 0.1)
    assert why_wait(seen, "b-1", (), 100.0 + TTL_S) == ""


def test_a_renewal_starts_the_wait_anew() -> None:
    seen = look(look(None, A, 100.0), A, 110.0)
    assert seen == Seen(A, 100.0)
    assert why_wait(look(seen, RENEWED, 114.0), "b-1", (), 128.9) != ""


def test_a_wall_clock_that_is_hours_off_elects_nobody() -> None:
    long_over = Lease("a-1", START - timedelta(hours=9))
    assert why_wait(look(None, long_over, 0.0), "b-1", (), 1.0) != ""


def test_an_earlier_run_of_oneself_that_is_known_to_be_dead_is_not_waited_for() -> None:
    assert why_wait(look(None, A, 0.0), "a-2", ("a-0", "a-1"), 0.0) == ""
    assert why_wait(look(None, A, 0.0), "a-2", ("a-0",), 0.0) != ""


def test_a_killed_leader_is_followed_within_twenty_seconds() -> None:
    assert TTL_S + LOOK_S < 20
    assert RENEW_S * 2 < FENCE_S, "one renewal may fail without anybody noticing"


@given(
    asked=st.floats(0, 1e6),
    commit=st.floats(0, FENCE_S * 2),
    noticed=st.floats(0, 1e3),
)
def test_a_leader_is_fenced_before_anybody_else_may_lead(asked: float, commit: float, noticed: float) -> None:
    """Whenever the renewal reached the database, and however late it was noticed there."""
    fenced_at = asked + FENCE_S
    seen = look(None, A, asked + commit + noticed)
    assert why_wait(seen, "b-1", (), fenced_at + TTL_S - FENCE_S - 1e-3) != ""
