"""Did it sound as it should? Judged from the ledger and what was measured, not from the node's opinion. Pure.

"No data" is a third state: of a node that was not in contact nothing is said until its journal is there. A node that
comes back after hours with its journal has played what it says it played. Only when it has been back for long enough
and its journal still knows nothing of an airing was that airing missed. What the controller itself has not read yet is
no silence: it is judged as of an instant up to which all that nodes had to tell is in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from broadcasts.model import Priority
from controller.domain.delivery import FINAL, TAKEN_BACK, Delivery, DeliveryState, OccurrenceRow
from controller.domain.emergencies import Answer, AnswerState, EmergencyRow
from controller.domain.faults import Severity, Value

MISSED_BROADCAST = "missed-broadcast"

DUE_AFTER = timedelta(seconds=60)
"""What is due is heard by then."""
TOLD_AFTER = timedelta(minutes=10)
"""A node that is back in contact has sent its whole journal by then."""
SETTLED_AFTER = timedelta(seconds=15)
"""After the planned end (protocol: completed by T + length + 10 s)."""
LATE_MS = 5000
SHARE = 0.95
SILENT_DB = -50.0
"""Behind the amplifier, below full scale: what is softer is no speech."""

EXCUSED = frozenset({TAKEN_BACK, "preempted", "interrupted", "duplicate", "stopped"})
"""Reasons for which something does not play, or stops, because somebody or the plan wanted it so."""


class Flaw(StrEnum):
    """What was wrong with an airing on one node."""

    MISSED = "missed"
    LATE = "late"
    CUT_SHORT = "cut short"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one airing was like on one node. `flaw` None: as it should be."""

    node: str
    start: datetime
    flaw: Flaw | None
    severity: Severity
    evidence: Mapping[str, Value] = field(default_factory=dict)


def judge(
    row: OccurrenceRow, one: Delivery, contact: datetime | None, upto: datetime, *, gave_way: datetime | None
) -> Verdict | None:
    """What can be said of one airing on one node; None: nothing (yet, or ever).

    `contact`: since when the node has been in contact without a break, None if it is not. `upto`: everything that nodes
    had to tell by then is known (domain/hearing.py). `gave_way`: until when something of the same or a
    higher rank had the horns (domain/precedence.py), so that late and short are as planned; None: nothing had.
    """
    if row.cancelled_at is not None or one.state is DeliveryState.CANCELLED:
        return None
    if one.state in FINAL:
        found = _told(row, one, gave_way=gave_way is not None)
    else:
        held = max(timedelta(0), gave_way - row.start) if gave_way else timedelta(0)
        late = timedelta(milliseconds=max(0, one.late_ms or 0))
        there = contact is not None and contact <= row.start
        found = _untold(one, row.start + held, row.end + max(held, late), contact, upto, there=there)
    if found is None:
        return None
    flaw, evidence = found
    severity = Severity.CRITICAL if row.priority is Priority.EMERGENCY else Severity.MAJOR
    return Verdict(one.node, row.start, flaw, severity, {"airing": row.title, **evidence} if flaw else {})


Found = tuple[Flaw | None, Mapping[str, Value]]
BROKEN_OFF: Mapping[str, Value] = {"broken_off": True}
"""It began, and how much was heard is not known."""


def _told(row: OccurrenceRow, one: Delivery, *, gave_way: bool) -> Found | None:
    """What the node's journal says of what is over."""
    if one.state is not DeliveryState.COMPLETED:
        if one.reason in EXCUSED or one.reason.startswith("stopped"):
            return None
        return _broken_off(row, one)
    if one.level_db is not None and one.level_db < SILENT_DB:
        return Flaw.SILENT, {"level_db": one.level_db}
    if gave_way:
        return None, {}
    if one.late_ms is not None and one.late_ms > LATE_MS:
        return Flaw.LATE, {"late_s": round(one.late_ms / 1000)}
    part = _share(row, one.played_ms)
    # what joined late, though in time, leaves out its beginning: of a chime of a second that may be the half
    joined = _share(row, max(0, one.late_ms or 0)) or 0
    if part is not None and part + joined < SHARE:
        return Flaw.CUT_SHORT, {"played_pct": round(part * 100)}
    return None, {}


def _broken_off(row: OccurrenceRow, one: Delivery) -> Found:
    """Of what failed. A node that lost its power meanwhile knows only that it had begun."""
    if part := _share(row, one.played_ms):
        return Flaw.CUT_SHORT, {"played_pct": round(part * 100)}
    begun = one.started_at is not None and one.played_ms is None
    return (Flaw.CUT_SHORT, BROKEN_OFF) if begun else (Flaw.MISSED, {"missed": True})


def _untold(
    one: Delivery, start: datetime, end: datetime, contact: datetime | None, upto: datetime, *, there: bool
) -> Found | None:
    """No last word of what could sound from `start` to `end`. Who was `there` all along would have started by now; who
    came back would have told."""
    if contact is None or (one.started_at is not None and upto < end + SETTLED_AFTER):
        return None
    due = there and upto >= start + DUE_AFTER
    back = upto >= contact + TOLD_AFTER and upto >= end + SETTLED_AFTER
    if one.started_at is not None:
        return (Flaw.CUT_SHORT, BROKEN_OFF) if back else None
    return (Flaw.MISSED, {"missed": True}) if due or back else None


def _share(row: OccurrenceRow, ms: int | None) -> float | None:
    """What part of its length `ms` are."""
    length = (row.end - row.start).total_seconds()
    return None if ms is None or length <= 0 else ms / 1000 / length


def judge_emergency(
    row: EmergencyRow, node: str, answer: Answer | None, contact: datetime | None, upto: datetime
) -> Verdict | None:
    """What one node did with an emergency; None: nothing can be said (yet), or it came too late to be heard. `contact`
    and `upto` as for `judge`."""
    if answer is not None and answer.state is not AnswerState.REFUSED:
        return Verdict(node, row.ordered_at, None, Severity.CRITICAL)
    there = contact is not None and contact <= row.ordered_at and upto >= row.ordered_at + DUE_AFTER
    if answer is None and not (there and row.not_after >= row.ordered_at + DUE_AFTER):
        return None
    return Verdict(node, row.ordered_at, Flaw.MISSED, Severity.CRITICAL, {"airing": row.title, "missed": True})


def newest(verdicts: list[Verdict]) -> dict[str, Verdict]:
    """The verdict on the latest airing of each node, in whatever order they were made; of one start the worst."""
    ordered = sorted(verdicts, key=lambda one: (one.start, one.flaw is not None, one.severity is Severity.CRITICAL))
    return {one.node: one for one in ordered}
