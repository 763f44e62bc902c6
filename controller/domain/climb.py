"""How far people have been told of an incident, and what they are told next. Pure.

                       told    step, due
    nobody knows       none    -
    opened             major   0, in 15 min         severity, relapse: the climb begins anew
    reminder           major   1, 15 min later      (each step of the ladder in alerts.yaml)
    escalated          major   2, 90 min later
    escalated          major   3, when overdue      taken by somebody: straight to here
    overdue            major   3, a day later       and so on until it is closed
    recovered          none    -

What people were told last stands here, and not that a message was written: so when anything that kept an incident
quiet ends (a silence, a parent, a night without the controller), the difference is what is told, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.domain.escalation import TECHNICIAN, Escalation, Step, Transition
from controller.domain.faults import RANK, Severity
from controller.domain.liveness import NEVER


@dataclass(frozen=True, slots=True)
class Climb:
    """`told`: the severity that people believe an incident has; None: they know of none. `step`: steps of the ladder
    climbed. `due`: when the next reminder or step is to go, monotonic seconds."""

    told: Severity | None = None
    step: int = 0
    due: float = NEVER


def difference(climb: Climb, severity: Severity, is_open: bool) -> Transition | None:
    """What people must hear so that they believe what is so; None if they do."""
    if climb.told is None:
        return Transition.OPENED if is_open else None
    if not is_open:
        return Transition.RECOVERED
    return Transition.SEVERITY if RANK[severity] > RANK[climb.told] else None


def told(severity: Severity, plan: Escalation, steps: Sequence[Step], left: float, mono: float) -> Climb:
    """After people heard that it is open, or worse than they knew. `left`: seconds until its repair is overdue."""
    return Climb(severity, 0, mono + _gap(0, plan, steps, left))


def next_word(climb: Climb, is_taken: bool, steps: Sequence[Step], left: float) -> Transition | None:
    """What is told now that `due` has come; None if somebody has taken it and there is time left."""
    if is_taken or climb.step >= len(steps):
        return Transition.OVERDUE if left <= 0 else None
    return Transition.REMINDER if steps[climb.step].tell == TECHNICIAN else Transition.ESCALATED


def climbed(
    climb: Climb, word: Transition | None, plan: Escalation, steps: Sequence[Step], left: float, mono: float
) -> Climb:
    """After that was told. A step that comes late moves those after it: they keep their distances."""
    if word is Transition.OVERDUE:
        return replace(climb, due=mono + plan.again_s)
    if word is None:
        return replace(climb, due=mono + left)
    return replace(climb, step=climb.step + 1, due=mono + _gap(climb.step + 1, plan, steps, left))


def put_off(climb: Climb, is_taken: bool, plan: Escalation, steps: Sequence[Step], mono: float) -> Climb:
    """What is due may not be told now (silenced, explained by a parent, flapping): looked at again one step later."""
    if is_taken or climb.step >= len(steps):
        return replace(climb, due=mono + plan.again_s)
    return replace(climb, due=mono + _distance(climb.step, steps))


def _gap(step: int, plan: Escalation, steps: Sequence[Step], left: float) -> float:
    """Seconds from the step before (0: the first message) to the one of that number."""
    if step < len(steps):
        return _distance(step, steps)
    return left if left > 0 else plan.again_s


def _distance(step: int, steps: Sequence[Step]) -> float:
    before = steps[step - 1].after_s if step else 0.0
    return max(1.0, steps[step].after_s - before)
