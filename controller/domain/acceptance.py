"""Whether a configuration can be taken: its plan of the next days, with contests and guards looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from broadcasts.guards import MS, Guards, milliseconds, quiet_at
from broadcasts.model import Broadcast, Occurrence
from broadcasts.recurrence import midnight_after
from broadcasts.review import Review, length_of, lines, review
from broadcasts.timeline import Ready, occurrences
from controller.domain.site import Settings

DAYS = 30
"""So far ahead a plan is looked at, or as far as nodes hold it, whichever is more."""


def look(ready: Iterable[Ready], settings: Settings, now: datetime, end: datetime | None = None) -> Review:
    """What is wrong with the plan from the local day of `now` to `end`. What is over at `now` is not found fault
    with."""
    zone = settings.site.zone
    end = end or midnight_after(now, zone, max(DAYS, settings.site.horizon_days))
    plan = occurrences(ready, zone, midnight_after(now, zone, 0), end, settings.calendar)
    return review(plan, settings.broadcasts, settings.guards_of, zone, now)


def refused(ready: Iterable[Ready], settings: Settings, now: datetime) -> tuple[str, ...]:
    """A line, with its place, for each thing that forbids to take the configuration."""
    return lines(look(ready, settings, now).refusals, settings.broadcasts)


def acceptable(ready: Sequence[Ready], settings: Settings, now: datetime) -> tuple[tuple[Ready, ...], tuple[str, ...]]:
    """What of `ready` can be taken together, and a line for each thing that forbids the rest."""
    kept, told = tuple(ready), tuple[str, ...]()
    while refusals := look(kept, settings, now).refusals:
        out = {one.broadcast for one in refusals}
        kept = tuple(item for item in kept if item.broadcast.id not in out)
        told += lines(refusals, settings.broadcasts)
    return kept, told


def hindrance(order: Occurrence, settings: Settings, sounded: Mapping[str, int]) -> str:
    """The first guard that an order of the moment would break on one of its nodes, in words; empty if none. `sounded`:
    ms that a node has sounded on this local day. The gap is a matter of the plan: who speaks twice in a row means it.
    """
    length = milliseconds(order.end) - milliseconds(order.start)
    quiet: dict[Guards, datetime | None] = {}
    for node in order.nodes:
        guards, zone = settings.guards_of(node), settings.site.zone
        if guards not in quiet:
            quiet[guards] = quiet_at(guards, zone, order.start, order.end)
        if ends := quiet[guards]:
            return f"there are quiet hours on {node} until {ends.astimezone(zone):%H:%M}"
        if guards.session is not None and length > guards.session // MS:
            return f"it lasts {length_of(length)}; {length_of(guards.session // MS)} is allowed on {node} (session)"
        used = sounded.get(node, 0)
        if guards.airtime is not None and used + length > guards.airtime // MS:
            said = f"{node} has sounded {length_of(used)} today and would make {length_of(used + length)}"
            return f"{said}; {length_of(guards.airtime // MS)} is allowed (daily-airtime)"
    return ""


def overridden(broadcasts: Mapping[str, Broadcast], before: Mapping[str, Broadcast]) -> tuple[str, ...]:
    """A line for every guard that a broadcast passes with a reason and did not pass with it `before`."""
    return tuple(
        f"{one.id}: {guard}: {reason}"
        for one in broadcasts.values()
        for guard, reason in one.override
        if one.id not in before or (guard, reason) not in before[one.id].override
    )
