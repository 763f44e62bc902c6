"""What of the same or a higher rank had a node's horns when an airing was due there, and until when. Pure.

Such an airing begins late, goes on afterwards or is left out, all as planned (docs/protocol.md, 6).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from controller.domain.delivery import FINAL, Delivery, OccurrenceRow
from controller.domain.emergencies import EmergencyRow

REACH = timedelta(hours=1)
"""How long after its planned end, or after the emergency that held it, an airing may still have the horns."""
SLACK = timedelta(seconds=5)
"""Clocks differ, and players finish: what had the horns for so long only excuses nothing."""


def sounds_until(row: EmergencyRow) -> datetime:
    """The last moment at which nodes may sound it."""
    return row.not_after if row.active else min(row.not_after, row.changed_at)


def gave_way(
    row: OccurrenceRow,
    beside: Sequence[OccurrenceRow],
    deliveries: Mapping[str, Sequence[Delivery]],
    urgent: Collection[EmergencyRow],
) -> dict[str, datetime]:
    """Node -> until when something of the same or a higher rank had the horns at the start of `row` or in it.

    `beside`: airings around and just before it; `deliveries`: occurrence -> what became of it on each node.
    """
    until: dict[str, datetime] = {}
    for one in urgent:
        if one.ordered_at < row.end and (end := sounds_until(one)) > row.start + SLACK:
            _extend(until, one.nodes, end)
    for other in beside:
        if other.id == row.id or other.rank < row.rank or other.start >= row.end:
            continue
        for each in deliveries.get(other.id, ()):
            if each.started_at is not None and (end := _held_until(other, each, urgent)) > row.start + SLACK:
                _extend(until, (each.node,), end)
    return until


def _extend(until: dict[str, datetime], nodes: Collection[str], end: datetime) -> None:
    for node in nodes:
        until[node] = max(end, until.get(node, end))


def _held_until(row: OccurrenceRow, one: Delivery, urgent: Collection[EmergencyRow]) -> datetime:
    """When the horns are free again of what has begun. What something else came into ends later than planned: it has
    them until its node tells otherwise."""
    over = [sounds_until(each) for each in urgent if one.node in each.nodes and each.ordered_at < row.end]
    latest = max([row.end, *over]) + REACH
    return min(one.at, latest) if one.state in FINAL else latest
