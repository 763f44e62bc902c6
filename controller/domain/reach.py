"""Whether messages find anybody: people without a working channel, roles without anybody on call. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from controller.domain.centre import EMPTY_ROTA, RULES, UNREACHABLE_PERSON, CentreCondition
from controller.domain.duty import on_call
from controller.domain.escalation import AlertSettings, Person
from controller.domain.wording import WHO

KINDS = (UNREACHABLE_PERSON, EMPTY_ROTA)


def people_faults(
    alerts: AlertSettings,
    refused: Collection[tuple[str, str]],
    known: Iterable[str],
    zone: ZoneInfo,
    now: datetime,
    mono: float,
) -> Mapping[str, CentreCondition | None]:
    """The centre's faults that concern people, each under its kind, `:` and the id of the person or role; None: it is
    well. `refused`: (person, channel) whose newest message was refused for good. `known`: causes of incidents that
    are open, so that those of people who are gone end."""
    found: dict[str, CentreCondition | None] = {
        cause: None for cause in known if cause.partition(":")[0] in KINDS and ":" in cause
    }
    for person in alerts.people:
        lost = is_lost(person, refused)
        code = f"{UNREACHABLE_PERSON}:{person.id}"
        found[code] = _fault(code, person.name, mono) if lost else None
    for role, shifts in alerts.on_call.items():
        empty = not on_call(shifts, now, zone)
        code = f"{EMPTY_ROTA}:{role}"
        found[code] = _fault(code, role, mono) if empty else None
    return found


def is_lost(person: Person, refused: Collection[tuple[str, str]]) -> bool:
    """No channel, or all of them refused the newest message for good."""
    return all((person.id, channel.id) in refused for channel in person.every_channel)


def _fault(code: str, who: str, mono: float) -> CentreCondition:
    return CentreCondition(code, RULES[code.partition(":")[0]].severity, mono, {WHO: who})
