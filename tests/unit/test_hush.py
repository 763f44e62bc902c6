"""What nobody is told of for a while: what a silence matches, when it begins and ends, and small faults at night."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.correlation import CANARY
from controller.domain.faults import Severity
from controller.domain.hush import Hush, HushKind, Night, hushed_by, next_edge
from controller.domain.incidents import Incident
from tests.alerts_support import ZONE, incident

HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
NOW = datetime(2026, 11, 23, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def hush(begin: float = -1, end: float = 1, **more: Any) -> Hush:
    return Hush(HushKind.SILENCE, NOW + begin * HOUR, NOW + end * HOUR, "x", **more)


COMMUNE = incident(scope="commune", subject="na-meo", commune="na-meo", cause="power", nodes=("na-meo-01", "na-meo-02"))
CENTRE = incident(scope="centre", subject="centre", commune="", cause="disk-full")
ROTA = replace(CENTRE, cause="empty-rota:district")


@pytest.mark.parametrize(
    ("where", "about", "matches"),
    [
        ({"nodes": ("na-meo-03",)}, incident(), True),
        ({"nodes": ("na-meo-02",)}, incident(), False),
        ({"communes": ("na-meo",)}, incident(), True),
        ({"communes": ("son-thuy",)}, incident(), False),
        ({"codes": ("amplifier",)}, incident(), True),
        ({"codes": ("fan",)}, incident(), False),
        ({"nodes": ("na-meo-03",), "codes": ("fan",)}, incident(), False),
        ({"communes": ("na-meo",), "codes": ("power",)}, COMMUNE, True),
        ({"nodes": ("na-meo-01", "na-meo-02", "na-meo-03")}, COMMUNE, True),
        ({"nodes": ("na-meo-01",)}, COMMUNE, False),
        ({"nodes": ("na-meo-01",)}, CENTRE, False),
        ({"communes": ("",)}, CENTRE, False),
        ({"codes": ("disk-full",)}, CENTRE, True),
        ({"codes": ("empty-rota",)}, ROTA, True),
        ({}, incident(), True),
    ],
)
def test_what_a_silence_matches(where: Any, about: Incident, matches: bool) -> None:
    assert hush(**where).matches(about) == matches


def test_a_silence_of_everything_does_not_silence_the_canary() -> None:
    assert not hush().matches(incident(scope=CANARY, subject="canary", commune="", cause="canary"))


def test_it_holds_from_its_first_instant_until_before_its_last() -> None:
    one = hush(0, 1)
    moments = [NOW - timedelta(seconds=1), NOW, NOW + HOUR - timedelta(seconds=1), NOW + HOUR]
    assert [one.active(at, ZONE) for at in moments] == [False, True, True, False]
    assert [one.over(at) for at in moments] == [False, False, False, True]


def test_one_that_somebody_ended_is_over_at_once() -> None:
    one = replace(hush(0, 5), ended_at=NOW + HOUR, ended_by="an")
    assert (one.active(NOW + 2 * HOUR, ZONE), one.over(NOW + 2 * HOUR)) == (False, True)


def test_a_weekly_one_comes_again_for_ever_at_the_same_local_time() -> None:
    begin = datetime(2026, 3, 22, 2, tzinfo=BERLIN)  # the clocks change a week later, at 2
    weekly = Hush(HushKind.MAINTENANCE, begin, begin + 2 * HOUR, "x", weekly=True)
    summer = datetime(2026, 4, 5, 3, tzinfo=BERLIN)
    assert weekly.active(summer, BERLIN)
    assert [edge.astimezone(BERLIN).hour for edge in weekly.window(summer, BERLIN)] == [2, 4]
    assert weekly.active(begin + 520 * WEEK + HOUR, ZoneInfo("UTC"))
    assert not weekly.over(begin + 520 * WEEK)


def test_of_several_that_hold_the_longest_is_named() -> None:
    short, long, other = hush(-1, 1), hush(-1, 3), hush(-1, 9, codes=("fan",))
    assert hushed_by(incident(), [short, long, other], NOW, ZONE) == long
    assert hushed_by(incident(), [other, hush(1, 2)], NOW, ZONE) is None


hushes = st.builds(
    lambda begin, long, weekly, ended: Hush(
        HushKind.SILENCE, NOW + begin * HOUR, NOW + (begin + long) * HOUR, "x", weekly=weekly,
        ended_at=NOW if ended else None,
    ),
    st.integers(-400, 200), st.integers(1, 100), st.booleans(), st.booleans(),
)  # fmt: skip


@given(st.lists(hushes, max_size=4), st.sampled_from([ZONE, BERLIN]))
def test_between_now_and_the_next_edge_nothing_begins_or_ends(many: list[Hush], zone: ZoneInfo) -> None:
    """Whoever sleeps until then misses nothing."""
    edge = next_edge(many, NOW, zone)
    until = edge or NOW + 3 * WEEK
    assert until > NOW
    for part in range(20):
        at = NOW + (until - NOW) * part / 20
        assert [one.active(at, zone) for one in many] == [one.active(NOW, zone) for one in many]


@given(hushes, st.integers(0, 600))
def test_a_window_that_holds_is_the_one_that_it_says(one: Hush, hours: int) -> None:
    at = NOW + hours * HOUR
    begin, end = one.window(at, ZONE)
    assert end - begin == one.until - one.start
    if one.active(at, ZONE):
        assert begin <= at < end
    if one.weekly and at >= one.start:
        assert end > at, "the present or the next one"


# --- at night ---------------------------------------------------------------------------------------------------


def morning(at: str, severity: Severity = Severity.MINOR, night: Night | None = None) -> str | None:
    now = datetime.fromisoformat(f"2026-11-{at}").replace(tzinfo=ZONE)
    found = (night or Night()).digest_at(severity, now, ZONE)
    return found and found.astimezone(ZONE).strftime("%d %H:%M")


def test_small_faults_of_the_night_wait_for_half_past_six() -> None:
    asked = ("23 20:59", "23 21:00", "24 06:29", "24 06:30", "24 12:00")
    assert [morning(at) for at in asked] == [None, "24 06:30", "24 06:30", None, None]


@pytest.mark.parametrize("severity", [Severity.MAJOR, Severity.CRITICAL])
def test_others_do_not(severity: Severity) -> None:
    assert morning("23 23:00", severity) is None


def test_critical_never_waits_whatever_is_configured() -> None:
    every = Night(severities=frozenset(Severity))
    assert (morning("23 23:00", Severity.CRITICAL, every), morning("23 23:00", Severity.MAJOR, every)) == (
        None,
        "24 06:30",
    )


def test_a_night_may_lie_within_a_day_and_be_none() -> None:
    siesta, none = Night(time(11), time(13)), Night(time(6), time(6))
    assert [morning(at, night=siesta) for at in ("23 10:59", "23 11:00", "23 13:00")] == [None, "23 13:00", None]
    assert morning("23 23:00", night=none) is None
