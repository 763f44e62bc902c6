"""Two plans compared: which airings a change adds, moves, alters and takes back. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from broadcasts.model import Occurrence, Playlist
from broadcasts.timeline import of_playlist


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One airing that a new plan changes; `id` is its new id, the old one for a cancelled airing.

    `start` is when it sounds now, `was` when it did before (None: not at all); `to` how many nodes it is meant for,
    after the change. `what` names what else is different: title, length, audio, volume, priority, rule, nodes.
    """

    id: str
    broadcast: str
    title: str
    start: datetime | None = None
    was: datetime | None = None
    to: int = 0
    what: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """What a new plan changes, each by start."""

    added: tuple[Change, ...] = ()
    moved: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()
    cancelled: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.moved or self.changed or self.cancelled)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many airings are added, moved, changed and cancelled."""
        return {kind: len(getattr(self, kind)) for kind in KINDS}


KINDS = ("added", "moved", "changed", "cancelled")


def compare(
    before: Iterable[Occurrence], after: Iterable[Occurrence], window: tuple[datetime, datetime], zone: ZoneInfo
) -> Difference:
    """What `after` changes of what is not over at the start of `window` and begins before its end.

    Moved: an airing of a broadcast that goes and one that comes on the same local date, paired in order of time.
    """
    old, new = (_within(plan, window) for plan in (before, after))
    gone = [old[id] for id in old.keys() - new.keys()]
    come = [new[id] for id in new.keys() - old.keys()]
    pairs = _pairs(gone, come, zone)
    left = {was.id for was, _ in pairs}
    taken = {now.id for _, now in pairs}
    kept = ((old[id], new[id]) for id in old.keys() & new.keys())
    altered = ((was, now, _altered(was, now)) for was, now in kept)
    return Difference(
        added=_by_start(_change(None, now) for now in come if now.id not in taken),
        moved=_by_start(_change(was, now, _altered(was, now)) for was, now in pairs),
        changed=_by_start(_change(was, now, what) for was, now, what in altered if what),
        cancelled=_by_start(_change(was, None) for was in gone if was.id not in left),
    )


def held_by(documents: Mapping[str, Sequence[Playlist]]) -> tuple[Occurrence, ...]:
    """The plan that nodes hold: `documents` are the playlists of each node."""
    nodes: dict[str, list[str]] = defaultdict(list)
    playlists: dict[str, Playlist] = {}
    for node, held in documents.items():
        for playlist in held:
            playlists[playlist.id] = playlist
            nodes[playlist.id].append(node)
    return tuple(of_playlist(playlists[id], tuple(sorted(nodes[id]))) for id in playlists)


def _within(plan: Iterable[Occurrence], window: tuple[datetime, datetime]) -> dict[str, Occurrence]:
    start, end = window
    return {one.id: one for one in plan if one.end > start and one.start < end}


def _pairs(
    gone: Sequence[Occurrence], come: Sequence[Occurrence], zone: ZoneInfo
) -> list[tuple[Occurrence, Occurrence]]:
    def by_day(plan: Sequence[Occurrence]) -> dict[tuple[str, object], list[Occurrence]]:
        days: dict[tuple[str, object], list[Occurrence]] = defaultdict(list)
        for one in sorted(plan, key=lambda one: one.start):
            days[one.broadcast, one.start.astimezone(zone).date()].append(one)
        return days

    coming = by_day(come)
    return [pair for day, was in by_day(gone).items() for pair in zip(was, coming.get(day, ()), strict=False)]


def _altered(was: Occurrence, now: Occurrence) -> tuple[str, ...]:
    """What is different besides the time."""
    before, after = was.playlist, now.playlist
    found = {
        "title": before.title != after.title,
        "length": was.end - was.start != now.end - now.start,
        "audio": before.tracks != after.tracks,
        "volume": before.volume != after.volume,
        "priority": (before.priority, before.rank) != (after.priority, after.rank),
        "rule": (before.if_late, before.if_interrupted) != (after.if_late, after.if_interrupted),
        "nodes": was.nodes != now.nodes,
    }
    return tuple(name for name, differs in found.items() if differs)


def _change(was: Occurrence | None, now: Occurrence | None, what: tuple[str, ...] = ()) -> Change:
    shown = now or was
    assert shown is not None
    before, after = (frozenset(one.nodes) if one else frozenset() for one in (was, now))
    both = was is not None and now is not None
    return Change(
        id=shown.id,
        broadcast=shown.broadcast,
        title=shown.title,
        start=now.start if now else None,
        was=was.start if was else None,
        to=len(shown.nodes),
        what=what,
        gained=tuple(sorted(after - before)) if both else (),
        lost=tuple(sorted(before - after)) if both else (),
    )


def _by_start(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda one: (one.start or one.was, one.id)))
