"""Emergencies: a state of zones that somebody ordered, and what each node did with it. Pure.

The broker keeps one retained message a zone. Which emergency that is, when the next thing happens by itself, and
what a node's journal entry means are decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from broadcasts.model import Track

ANSWER_WITHIN = timedelta(seconds=10)
"""A node that has said nothing by then counts as not answering."""


class EmergencyState(StrEnum):
    ACTIVE = "active"
    ENDED = "ended"
    EXPIRED = "expired"


class Step(StrEnum):
    """What was done with an emergency."""

    ORDERED = "ordered"
    UPDATED = "updated"
    ENDED = "ended"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of an emergency's history; `by` is empty for what time did."""

    rev: int
    at: datetime
    step: Step
    by: str = ""


@dataclass(frozen=True, slots=True)
class EmergencyRow:
    """One emergency as ordered. `rev` is what nodes compare; `words_rev` the revision since which it says what it
    says. `nodes`: whom it was meant for when it was ordered. `retained_until`: until then a node may still hold
    some revision as active, so the broker keeps the newest; `cleared`: the broker keeps nothing of it any more.
    """

    id: str
    rev: int
    words_rev: int
    title: str
    zones: tuple[str, ...]
    nodes: tuple[str, ...]
    drill: bool
    volume: int
    times: int
    gap_ms: int
    tracks: tuple[Track, ...]
    state: EmergencyState
    ordered_at: datetime
    ordered_by: str
    changed_at: datetime
    not_after: datetime
    retained_until: datetime
    cleared: bool = False
    history: tuple[Change, ...] = ()

    @property
    def active(self) -> bool:
        return self.state is EmergencyState.ACTIVE

    @property
    def answer_by(self) -> datetime:
        return self.changed_at + ANSWER_WITHIN


def moved(row: EmergencyRow, step: Step, at: datetime, by: str = "") -> EmergencyRow:
    """`row` after `step`, which nodes must hear of unless time did it. ValueError: it is over already."""
    if not row.active:
        raise ValueError(f"emergency {row.id} is over since {row.changed_at:%Y-%m-%d %H:%M:%S} UTC")
    rev = row.rev if step is Step.EXPIRED else row.rev + 1
    state = {Step.ENDED: EmergencyState.ENDED, Step.EXPIRED: EmergencyState.EXPIRED}.get(step, row.state)
    history = (*row.history, Change(rev, at, step, by))
    return replace(row, rev=rev, state=state, changed_at=at, history=history)


def slot(rows: Iterable[EmergencyRow], zone: str, now: datetime) -> EmergencyRow | None:
    """The emergency that the broker is to keep for `zone`: the newest active one; else the newest whose end nodes
    that were away must still learn of; None when nothing is to be kept."""
    there = [row for row in rows if zone in row.zones and row.retained_until > now]
    return max(there, key=lambda row: (row.active, row.ordered_at, row.id), default=None)


def next_deadline(rows: Iterable[EmergencyRow], now: datetime) -> datetime | None:
    """When time next changes something: the last moment to answer, to sound, to be kept."""
    instants = [at for row in rows for at in _deadlines(row) if at > now]
    return min(instants, default=None)


def _deadlines(row: EmergencyRow) -> tuple[datetime, ...]:
    return (row.answer_by, row.not_after, row.retained_until) if row.active else (row.answer_by, row.retained_until)


# --- what nodes answer ----------------------------------------------------------------------------------------


class AnswerState(StrEnum):
    SOUNDING = "sounding"
    ENDED = "ended"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node did with an emergency, by its journal. Times are the node's own."""

    emergency: str
    node: str
    rev: int
    state: AnswerState
    at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One journal entry about an emergency. A refusal names none: what was refused cannot be believed."""

    node: str
    state: AnswerState
    at: datetime
    emergency: str = ""
    rev: int = 0
    reason: str = ""


def answered(before: Answer | None, row: EmergencyRow, said: Said) -> Answer | None:
    """The node's answer after `said`; None when `said` changes nothing."""
    started = before.started_at if before else None
    match said.state:
        case AnswerState.SOUNDING:
            return Answer(row.id, said.node, said.rev, said.state, said.at, started or said.at)
        case AnswerState.ENDED:
            return Answer(row.id, said.node, said.rev, said.state, said.at, started, said.at)
        case AnswerState.REFUSED:
            if before is not None and before.rev >= row.words_rev and before.state is not AnswerState.REFUSED:
                return None
            return Answer(row.id, said.node, said.rev or row.rev, said.state, said.at, started, reason=said.reason)


def meant(rows: Sequence[EmergencyRow], said: Said) -> EmergencyRow | None:
    """The emergency that a node speaks of: by its id; for a refusal without one, the newest active one for it."""
    if said.emergency:
        return next((row for row in rows if row.id == said.emergency), None)
    mine = [row for row in rows if row.active and said.node in row.nodes]
    return max(mine, key=lambda row: (row.changed_at, row.id), default=None)


class Confirmed(StrEnum):
    """What is known of one node's part in an emergency."""

    SOUNDING = "sounding"
    ENDED = "ended"
    REFUSED = "refused"
    WAITING = "waiting"
    SILENT = "no-answer"


def confirmed(row: EmergencyRow, answer: Answer | None, now: datetime, *, plays: bool = False) -> Confirmed:
    """`plays`: the node's last heartbeat says that this emergency sounds."""
    if answer is not None and answer.rev >= row.words_rev:
        return Confirmed(answer.state)
    if plays:
        return Confirmed.SOUNDING
    return Confirmed.WAITING if row.active and now < row.answer_by else Confirmed.SILENT


__all__ = [
    "ANSWER_WITHIN",
    "Answer",
    "AnswerState",
    "Change",
    "Confirmed",
    "EmergencyRow",
    "EmergencyState",
    "Said",
    "Step",
    "answered",
    "confirmed",
    "meant",
    "moved",
    "next_deadline",
    "slot",
]
