"""Which nodes are under maintenance: what is written down when a window begins, changes or ends, and the windows again
out of what was written. Pure.

A window that is taken out of alerts.yaml ends there and then, and what it was before stays known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from controller.domain.hush import Hush, HushKind
from controller.domain.monthly import Window


@dataclass(frozen=True, slots=True)
class MaintenanceEvent:
    """From `at` on `node` is under maintenance until `until`; an event whose `until` is not later ends it."""

    node: str
    at: datetime
    until: datetime


def changes(
    known: Mapping[str, datetime], hushes: Iterable[Hush], communes: Mapping[str, str], now: datetime, zone: ZoneInfo
) -> list[MaintenanceEvent]:
    """What is to be written down now. `known`: until when each node that is under maintenance is, by what was written
    so far; `communes`: of each configured node. A window of some faults only says nothing of the rest."""
    whole = (hush for hush in hushes if hush.kind is HushKind.MAINTENANCE and not hush.codes)
    active = [(hush, hush.window(now, zone)[1]) for hush in whole if hush.active(now, zone)]
    if not (active or known):
        return []
    found = []
    for node, commune in communes.items():
        until = max((end for hush, end in active if covers(hush, node, commune)), default=now)
        if until != known.get(node, now):
            found.append(MaintenanceEvent(node, now, until))
    return found


def covers(hush: Hush, node: str, commune: str) -> bool:
    """Whether all of `node` is in it."""
    return not (hush.nodes or hush.communes) or node in hush.nodes or commune in hush.communes


def windows(events: Iterable[MaintenanceEvent], end: datetime) -> list[Window]:
    """The windows that the events (by node, then time) tell of, as far as they began before `end`."""
    found = []
    for node, of_node in groupby(events, key=lambda event: event.node):
        ordered: Sequence[MaintenanceEvent] = [*of_node, MaintenanceEvent(node, end, end)]
        for event, following in pairwise(ordered):
            until = min(event.until, following.at)
            if event.at < until:
                found.append(Window(node, event.at, until))
    return found
