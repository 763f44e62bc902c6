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


def told(severity: Severity, plan: Escalation, steps: Sequence[Step], age: float, mono: float) -> Climb:
    """After people heard that it is open, or worse than they knew. `age`: seconds since it was opened."""
    return Climb(severity, 0, mono + _gap(0, severity, plan, steps, age))


def taken(climb: Climb, severity: Severity, plan: Escalation, age: float, mono: float) -> Climb:
    """After somebody took it: nothing more until the repair is overdue."""
    left = plan.overdue_s[severity] - age
    return replace(climb, due=mono + (left if left > 0 else plan.again_s))


def next_word(climb: Climb, is_taken: bool, steps: Sequence[Step]) -> Transition:
    """What is told when `due` has come."""
    if is_taken or climb.step >= len(steps):
        return Transition.OVERDUE
    return Transition.REMINDER if steps[climb.step].tell == TECHNICIAN else Transition.ESCALATED


def climbed(
    climb: Climb, is_taken: bool, severity: Severity, plan: Escalation, steps: Sequence[Step], age: float, mono: float
) -> Climb:
    """After that was told. A step that comes late moves those after it: they keep their distances."""
    if is_taken or climb.step >= len(steps):
        return replace(climb, due=mono + plan.again_s)
    return replace(climb, step=climb.step + 1, due=mono + _gap(climb.step + 1, severity, plan, steps, age))


def put_off(climb: Climb, is_taken: bool, plan: Escalation, steps: Sequence[Step], mono: float) -> Climb:
    """What is due may not be told now (silenced, explained by a parent, flapping): looked at again one step later."""
    if is_taken or climb.step >= len(steps):
        return replace(climb, due=mono + plan.again_s)
    return replace(climb, due=mono + _distance(climb.step, steps))


def _gap(step: int, severity: Severity, plan: Escalation, steps: Sequence[Step], age: float) -> float:
    """Seconds from the step before (0: the first message) to the one of that number."""
    if step < len(steps):
        return _distance(step, steps)
    left = plan.overdue_s[severity] - age
    return left if left > 0 else plan.again_s


def _distance(step: int, steps: Sequence[Step]) -> float:
    before = steps[step - 1].after_s if step else 0.0
    return max(1.0, steps[step].after_s - before)
