"""Broadcasts x zones x calendar -> occurrences and per-node playlists for a window. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from broadcasts.arbitration import rank
from broadcasts.calendar import Calendar
from broadcasts.model import Broadcast, Occurrence, Playlist, Rendered, duration_of
from broadcasts.recurrence import Airing, Skipped, airings, expand

KEEP_AFTER_END = timedelta(hours=1)
"""An ended playlist stays in the document this long: it may have been joined late or interrupted, and what is
not in a newer revision stops."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A broadcast with its content rendered and its targets resolved to node ids."""

    broadcast: Broadcast
    rendered: Rendered
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A time of a broadcast without an airing, and why."""

    broadcast: Broadcast
    skipped: Skipped


def occurrences(
    ready: Iterable[Ready], zone: ZoneInfo, start: datetime, end: datetime, calendar: Calendar
) -> tuple[Occurrence, ...]:
    """All occurrences that start in [start, end), by start then id."""
    found = (
        occurrence(item, airing) for item in ready for airing in airings(item.broadcast, zone, calendar, start, end)
    )
    return tuple(sorted(found, key=lambda one: (one.start, one.id)))


def left_out(
    broadcasts: Iterable[Broadcast], zone: ZoneInfo, start: datetime, end: datetime, calendar: Calendar
) -> tuple[LeftOut, ...]:
    """What the rules name in [start, end) and does not air, by start then broadcast."""
    found = (
        LeftOut(one, skipped)
        for one in broadcasts
        for skipped in expand(one, zone, calendar, start, end)
        if isinstance(skipped, Skipped)
    )
    return tuple(sorted(found, key=lambda one: (one.skipped, one.broadcast.id)))


def occurrence(item: Ready, airing: Airing) -> Occurrence:
    """One airing of a ready broadcast. Its id is the broadcast's and the local time that was asked for."""
    broadcast, rendered = item.broadcast, item.rendered
    playlist = Playlist(
        id=occurrence_id(broadcast.id, airing.local),
        broadcast=broadcast.id,
        title=broadcast.title,
        priority=broadcast.priority,
        rank=rank(broadcast.priority, broadcast.level, broadcast.standing),
        start=airing.start,
        end=airing.start + duration_of(rendered.tracks),
        if_late=broadcast.if_late,
        if_interrupted=broadcast.if_interrupted,
        volume=broadcast.volume,
        tracks=rendered.tracks,
    )
    return of_playlist(playlist, item.nodes)


def of_playlist(playlist: Playlist, nodes: tuple[str, ...]) -> Occurrence:
    """The occurrence that `playlist` is the node's form of."""
    return Occurrence(
        id=playlist.id,
        broadcast=playlist.broadcast,
        title=playlist.title,
        priority=playlist.priority,
        rank=playlist.rank,
        start=playlist.start,
        end=playlist.end,
        nodes=nodes,
        playlist=playlist,
    )


def occurrence_id(broadcast: str, local: datetime) -> str:
    """`ban-tin-sang@2026-11-24T05:30`; seconds only where there are any. `B` as in timetables where the clock shows a
    time for the second time (a repetition may fall there)."""
    written = local.isoformat(timespec="seconds" if local.second else "minutes")
    return f"{broadcast}@{written}{'B' if local.fold else ''}"


def per_node(
    occurrences: Iterable[Occurrence],
    nodes: Collection[str],
    stopped: Collection[tuple[str, str]] = (),
) -> Mapping[str, tuple[Playlist, ...]]:
    """What each of `nodes` is to hold, by start then id; (occurrence, node) pairs in `stopped` left out."""
    held: dict[str, list[Playlist]] = defaultdict(list)
    for one in sorted(occurrences, key=lambda one: (one.start, one.id)):
        for node in one.nodes:
            if (one.id, node) not in stopped:
                held[node].append(one.playlist)
    return {node: tuple(held[node]) for node in nodes}


def still_needed(playlist: Playlist, now: datetime) -> bool:
    """Whether a node may still have to do with `playlist`."""
    return playlist.end + timedelta(seconds=playlist.if_late.within_s) + KEEP_AFTER_END > now
