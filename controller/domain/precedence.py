"""What of the same or a higher rank had a node's horns when an airing was due there, and until when. Pure.

Such an airing begins late, goes on afterwards or is left out, all as planned (docs/protocol.md, 6).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    alarmed = _alarmed(row, urgent)
    until = {node: end for node, end in alarmed.items() if end > row.start + SLACK}
    for other in beside:
        if other.id == row.id or other.rank < row.rank or other.start >= row.end:
            continue
        over = _alarmed(other, urgent)
        for each in deliveries.get(other.id, ()):
            if each.started_at is not None and (end := _held_until(other, each, over)) > row.start + SLACK:
                until[each.node] = max(end, until.get(each.node, end))
    return until


def latest(many: Iterable[tuple[Iterable[str], datetime]]) -> dict[str, datetime]:
    """Node -> the latest of the instants that it is named with."""
    found: dict[str, datetime] = {}
    for nodes, at in many:
        for node in nodes:
            found[node] = max(at, found.get(node, at))
    return found


def _alarmed(row: OccurrenceRow, urgent: Collection[EmergencyRow]) -> dict[str, datetime]:
    """Node -> until when emergencies may sound there that were ordered before the end of `row`."""
    return latest((one.nodes, sounds_until(one)) for one in urgent if one.ordered_at < row.end)


def _held_until(row: OccurrenceRow, one: Delivery, alarmed: Mapping[str, datetime]) -> datetime:
    """When the horns are free again of what has begun. What something else came into ends later than planned: it has
    them until its node tells otherwise."""
    last = max(row.end, alarmed.get(one.node, row.end)) + REACH
    return min(one.at, last) if one.state in FINAL else last
