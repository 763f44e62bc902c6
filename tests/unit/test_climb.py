"""How far people have been told: what they must hear, the steps of the ladder, and the deadlines between them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.climb import Climb, climbed, difference, next_word, put_off, told
from controller.domain.escalation import DISTRICT, MANAGER, TECHNICIAN, Escalation, Step, Transition
from controller.domain.faults import RANK, Severity
from controller.domain.liveness import NEVER

PLAN = Escalation()
STEPS = PLAN.steps
DAY, OVERDUE = 86_400.0, 4 * 3600.0
NOBODY = Climb()


@pytest.mark.parametrize(
    ("believed", "severity", "is_open", "word"),
    [
        (None, Severity.MINOR, True, Transition.OPENED),
        (None, Severity.CRITICAL, False, None),
        (Severity.MAJOR, Severity.MAJOR, True, None),
        (Severity.MAJOR, Severity.CRITICAL, True, Transition.SEVERITY),
        (Severity.MAJOR, Severity.MINOR, True, None),
        (Severity.MAJOR, Severity.CRITICAL, False, Transition.RECOVERED),
    ],
)
def test_people_hear_what_they_do_not_know(
    believed: Severity | None, severity: Severity, is_open: bool, word: Transition | None
) -> None:
    assert difference(Climb(believed), severity, is_open) == word


@given(st.sampled_from(Severity), st.booleans(), st.none() | st.sampled_from(Severity))
def test_who_heard_it_hears_it_once(severity: Severity, is_open: bool, believed: Severity | None) -> None:
    word = difference(Climb(believed), severity, is_open)
    after = Climb(believed)
    if word is Transition.RECOVERED:
        after = NOBODY
    elif word is not None:
        after = told(severity, PLAN, STEPS, OVERDUE, 0)
    assert difference(after, severity, is_open) is None


# --- climbing ---------------------------------------------------------------------------------------------------


def lived(
    taken_at: float = NEVER,
    until: float = 3 * DAY,
    steps: tuple[Step, ...] = STEPS,
    plan: Escalation = PLAN,
    late: float = 0,
) -> list[tuple[float, str]]:
    """What is told of one critical incident from 0 on; each look comes `late` seconds late."""
    climb, words = told(Severity.CRITICAL, plan, steps, OVERDUE, 0), []
    while (now := climb.due + late) <= until:
        left = OVERDUE - now
        word = next_word(climb, now >= taken_at, steps, left)
        climb = climbed(climb, word, plan, steps, left, now)
        if word is not None:
            words.append((now, word.value))
    return words


LADDER = [(900, "reminder"), (1800, "escalated"), (7200, "escalated")]
DAILY = [(OVERDUE, "overdue"), (OVERDUE + DAY, "overdue"), (OVERDUE + 2 * DAY, "overdue")]


def test_what_nobody_takes_climbs_the_ladder_and_is_overdue_then_daily() -> None:
    assert lived() == LADDER + DAILY


def test_who_takes_it_hears_of_it_again_when_its_repair_is_overdue() -> None:
    assert lived(taken_at=1000) == LADDER[:1] + DAILY


def test_without_steps_or_roles_it_is_told_again_when_overdue_only() -> None:
    assert lived(steps=()) == DAILY


def test_a_look_that_comes_late_moves_the_steps_after_it_and_leaves_none_out() -> None:
    assert lived(late=600, until=OVERDUE) == [(1500, "reminder"), (3000, "escalated"), (9000, "escalated")]


def test_a_rise_of_severity_begins_anew() -> None:
    climb = replace(told(Severity.MAJOR, PLAN, STEPS, OVERDUE, 0), step=2, due=7200.0)
    assert told(Severity.CRITICAL, PLAN, STEPS, OVERDUE, 5000) == Climb(Severity.CRITICAL, 0, 5900)
    assert climb.step == 2


def test_what_may_not_be_told_now_is_looked_at_one_step_later_and_stays_at_its_step() -> None:
    climb = Climb(Severity.CRITICAL, 1, 1800)
    assert put_off(climb, False, PLAN, STEPS, 1800) == Climb(Severity.CRITICAL, 1, 2700)
    assert put_off(climb, True, PLAN, STEPS, 1800) == Climb(Severity.CRITICAL, 1, 1800 + DAY)
    assert put_off(replace(climb, step=3), False, PLAN, STEPS, 1800).due == 1800 + DAY


# --- any ladder, any life ---------------------------------------------------------------------------------------

roles = st.sampled_from([TECHNICIAN, DISTRICT, MANAGER])
ladders = st.lists(st.tuples(st.floats(1, DAY), roles), max_size=5).map(
    lambda found: tuple(Step(at, who) for at, who in sorted(found))
)
plans = st.builds(Escalation, again_s=st.floats(60, 2 * DAY))
lives = st.lists(
    st.tuples(
        st.sampled_from(["due", "due", "due", "hushed", "taken", "worse", "mended", "broken"]), st.floats(0, 5000)
    ),
    max_size=40,
)


@given(ladders, plans, lives, st.floats(60, 3 * DAY))
def test_whatever_happens_no_step_is_climbed_twice_and_no_deadline_lies_in_the_past(
    steps: tuple[Step, ...], plan: Escalation, life: list[tuple[str, float]], overdue: float
) -> None:
    climb, now, taken, severity, is_open, heard = NOBODY, 0.0, False, Severity.MAJOR, True, [""]
    for what, late in life:
        now = max(now, climb.due if climb.told and is_open and what in ("due", "hushed") else now) + late
        left, at_first = overdue - now, climb
        is_due = climb.told is not None and is_open and climb.due <= now
        if what == "hushed" and is_due:
            before, climb = climb, put_off(climb, taken, plan, steps, now)
            assert (climb.told, climb.step) == (before.told, before.step)
        elif what == "due" and is_due:
            before, word = climb, next_word(climb, taken, steps, left)
            climb = climbed(climb, word, plan, steps, left, now)
            assert climb.step == before.step + (word in (Transition.REMINDER, Transition.ESCALATED))
            assert not (taken and word in (Transition.REMINDER, Transition.ESCALATED))
            assert word is not Transition.OVERDUE or left <= 0
            assert word is not Transition.REMINDER or steps[before.step].tell == TECHNICIAN
            heard.append(word.value if word else "")
        else:
            taken = (taken or what == "taken") and what not in ("worse", "broken")
            severity = Severity.CRITICAL if what == "worse" else severity
            is_open = (is_open or what == "broken") and what != "mended"
            word = difference(climb, severity, is_open)
            if word is Transition.RECOVERED:
                climb = NOBODY
            elif word is not None:
                climb = told(severity, plan, steps, left, now)
            heard.append(word.value if word else "")
        assert 0 <= climb.step <= len(steps)
        assert climb == at_first or climb.told is None or climb.due > now, "it would be looked at again and again"
        assert climb.told is None or RANK[climb.told] <= RANK[severity]
    ends = [word for word in heard if word in ("opened", "recovered")]
    assert all(a != b for a, b in pairwise(ends))
    assert ends[:1] != ["recovered"]


@given(ladders, plans, st.floats(1, 5 * DAY), st.floats(0, DAY))
def test_the_number_of_messages_is_that_of_the_steps_and_of_the_days(
    steps: tuple[Step, ...], plan: Escalation, until: float, late: float
) -> None:
    words = lived(until=until, steps=steps, plan=plan, late=late)
    assert len(words) <= len(steps) + 1 + until / plan.again_s
    assert [at for at, _ in words] == sorted({at for at, _ in words})
