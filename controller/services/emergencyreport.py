"""Emergencies as plain data: what was ordered, and node by node what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from broadcasts.arbitration import rank
from broadcasts.model import Level, Priority
from controller.domain.asrun import Heard, count
from controller.domain.emergencies import Answer, AnswerState, Confirmed, EmergencyRow, Step, confirmed
from controller.domain.faults import Text
from controller.domain.site import Settings
from controller.ports import Tx
from controller.services import labels
from controller.services import readmodels as shape
from controller.services.readmodels import Plain

HEARD: Mapping[Confirmed, Heard] = {
    Confirmed.SOUNDING: Heard.SOUNDING,
    Confirmed.ENDED: Heard.UNVERIFIED,
    Confirmed.REFUSED: Heard.FAILED,
    Confirmed.WAITING: Heard.PENDING,
    Confirmed.SILENT: Heard.UNKNOWN,
}
"""In the words of the as-run report. A node says that it sounded an emergency, and no level."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the nodes beside their journals: what each plays, and whether it is online."""

    playing: Mapping[str, str]
    liveness: Mapping[str, str]


def listed(tx: Tx, rows: Sequence[EmergencyRow], settings: Settings, seen: Seen, now: datetime) -> list[Plain]:
    """Each of `rows` with all its nodes."""
    answers = _by_key(tx.answers([row.id for row in rows]))
    return [_told(row, answers, settings, seen, now) for row in rows]


def _by_key(answers: Iterable[Answer]) -> dict[tuple[str, str], Answer]:
    return {(one.emergency, one.node): one for one in answers}


def _told(
    row: EmergencyRow, answers: Mapping[tuple[str, str], Answer], settings: Settings, seen: Seen, now: datetime
) -> Plain:
    nodes = [_node(row, node, answers.get((row.id, node)), settings, seen, now) for node in row.nodes]
    states = [node["state"] for node in nodes]
    over = None if row.active else row.history[-1]
    return {
        "id": row.id,
        "rev": row.rev,
        "state": row.state.value,
        "state_name": shape.text(labels.named(labels.EMERGENCY, row.state)),
        "active": row.active,
        "drill": row.drill,
        "title": row.title,
        "zones": [{"id": zone, "name": _zone_name(settings, zone)} for zone in row.zones],
        "volume": row.volume,
        "repeat": {"times": row.times, "gap_ms": row.gap_ms},
        "duration_ms": sum(track.duration_ms for track in row.tracks),
        "ordered_at": shape.iso(row.ordered_at),
        "ordered_by": row.ordered_by,
        "changed_at": shape.iso(row.changed_at),
        "not_after": shape.iso(row.not_after),
        "ended_at": shape.iso(over.at) if over else None,
        "ended_by": over.by if over else "",
        "counts": {each.value: states.count(each.value) for each in Confirmed},
        "nodes": nodes,
    }


def _zone_name(settings: Settings, zone: str) -> str:
    return settings.zones[zone].name if zone in settings.zones else zone


def _node(row: EmergencyRow, id: str, answer: Answer | None, settings: Settings, seen: Seen, now: datetime) -> Plain:
    state = confirmed(row, answer, now, plays=seen.playing.get(id) == row.id)
    node = settings.nodes.get(id)
    began = answer.started_at if answer else None
    return {
        "node": id,
        "name": node.name if node else id,
        "commune": node.commune if node else "",
        "liveness": seen.liveness.get(id),
        "state": state.value,
        "state_name": shape.text(labels.named(labels.CONFIRMED, state)),
        "reason": answer.reason if answer else "",
        "started_at": shape.iso(began),
        "ended_at": shape.iso(answer.ended_at) if answer else None,
        "after_ms": round((began - row.ordered_at).total_seconds() * 1000) if began else None,
    }


# --- in the words of the as-run report ------------------------------------------------------------------------


def as_occurrence(row: EmergencyRow, told: Plain, node: str | None = None) -> Plain:
    """As `log` and `why` tell of occurrences, so that whoever reads those reads this; `emergency` has the rest."""
    lines = [_line(row, one) for one in told["nodes"] if node in (None, one["node"])]
    return {
        "occurrence": row.id,
        "title": f"{_badge(row)}: {row.title}",
        "broadcast": "emergency",
        "priority": Priority.EMERGENCY.value,
        "priority_name": shape.text(labels.named(labels.PRIORITY, Priority.EMERGENCY)),
        "rank": rank(Priority.EMERGENCY, Level.DISTRICT),
        "planned_at": shape.iso(row.ordered_at),
        "source": "now",
        "start": shape.iso(row.ordered_at),
        "end": shape.iso(row.not_after if row.active else row.history[-1].at),
        "cancelled_at": None,
        "reason": "",
        "counts": count(map(shape.heard_of, lines)),
        "emergency": {key: value for key, value in told.items() if key != "nodes"},
        "nodes": lines,
    }


def _badge(row: EmergencyRow) -> str:
    return "DIỄN TẬP" if row.drill else "KHẨN CẤP"


def _line(row: EmergencyRow, one: Plain) -> Plain:
    heard = HEARD[Confirmed(one["state"])]
    return {
        **one,
        "heard": heard.value,
        "heard_name": one["state_name"],
        "reason_text": shape.because(one["reason"]),
        "at": one["ended_at"] or one["started_at"],
        "late_ms": one["after_ms"],
        "played_ms": None,
        "level_db": None,
        "story": _story(row, one),
    }


def _story(row: EmergencyRow, one: Plain) -> list[Plain]:
    steps = [
        shape.step(each.at, each.step.value, _said(each.step, each.by), source="controller") for each in row.history
    ]
    for at, state in ((one["started_at"], AnswerState.SOUNDING), (one["ended_at"], AnswerState.ENDED)):
        if at:
            said = labels.named(labels.CONFIRMED, Confirmed(state))
            steps.append(shape.step(datetime.fromisoformat(at), state.value, said, source="node"))
    if one["state"] == Confirmed.REFUSED:
        said = labels.named(labels.CONFIRMED, Confirmed.REFUSED)
        steps.append(shape.step(row.changed_at, "refused", said, source="node", reason=one["reason"]))
    return sorted(steps, key=lambda step: str(step["at"]))


def _said(step: Step, by: str) -> Text:
    said = labels.named(labels.EMERGENCY_STEP, step)
    return Text(f"{said.vi} ({by})", f"{said.en} ({by})") if by else said


__all__ = ["Seen", "as_occurrence", "listed"]
