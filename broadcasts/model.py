"""The nouns of the network: what operators queue and what a node gets.

Frozen and pure. Operator-side nouns (Broadcast, Zone, Node) are dataclasses; the ones that travel to a
node unchanged (Playlist, Track) are msgspec structs whose field names carry their unit, because the wire
and the plan use one definition.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import IntEnum, StrEnum

import msgspec


class Priority(StrEnum):
    """Priority class of a broadcast; the order is the order of rank."""

    NORMAL = "normal"
    PRIORITY = "priority"
    EMERGENCY = "emergency"


class Level(StrEnum):
    """Who ordered a broadcast, lowest to highest."""

    COMMUNE = "commune"
    DISTRICT = "district"
    PROVINCE = "province"
    NATIONAL = "national"


class LateAction(StrEnum):
    """What a node does with a playlist whose start has passed."""

    JOIN = "join"
    RESTART = "restart"
    DROP = "drop"


class InterruptAction(StrEnum):
    """What a node does with a playlist that a higher rank interrupted."""

    RESUME = "resume"
    RESTART = "restart"
    JOIN = "join"
    DROP = "drop"


class Weekday(IntEnum):
    """Days as `datetime.date.weekday()` counts them."""

    MON = 0
    TUE = 1
    WED = 2
    THU = 3
    FRI = 4
    SAT = 5
    SUN = 6


EVERY_DAY = frozenset(Weekday)


# --- what an operator writes under `play:` -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chime:
    """A synthesised signal: open, close or alarm."""

    name: str


@dataclass(frozen=True, slots=True)
class File:
    """An audio file; `path` is absolute once the configuration is loaded."""

    path: str


@dataclass(frozen=True, slots=True)
class Say:
    """Text to be spoken; `voice` is a name the speech adapter knows (vi, vi-vn-x-central, vi-vn-x-south)."""

    text: str
    voice: str = "vi"


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A relayed network stream for a fixed time, with a file to fall back on."""

    url: str
    duration_ms: int
    fallback: File | None = None
    on_silence_s: int = 20


Item = Chime | File | Say | Pause | Stream


class IfLate(msgspec.Struct, frozen=True):
    """`do` within `within_s` seconds after the planned start; later than that, never."""

    do: LateAction = LateAction.JOIN
    within_s: int = 600


JOIN_WITHIN_10_MIN = IfLate()


@dataclass(frozen=True, slots=True)
class MonthDay:
    """A day of a month: `15/1`; `15/*` (`month` None) of every month, leap months too; `15/6n` (`leap`) of the leap
    month only. `15/6` is never in the leap month: a feast is kept once."""

    day: int
    month: int | None = None
    leap: bool = False

    def names(self, month: int, *, leap: bool = False) -> bool:
        """Whether this is a day of that month."""
        return self.month is None or (self.month == month and self.leap == leap)


@dataclass(frozen=True, slots=True)
class DateRange:
    """Local dates from `first` to `last`, both included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"


@dataclass(frozen=True, slots=True)
class Repeat:
    """Airs `times` times in all, each `every` after the one before, start to start."""

    times: int = 1
    every: timedelta = timedelta()


AIRS_ONCE = Repeat()


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What an operator queues: content, targets, schedule, priority.

    `at`, `days`, `first`, `last`, `skip` are local to the site's zone; `once` holds aware instants. `at` airs on dates
    that are in `days` (or a working day, with `workdays`), and in `lunar` or `solar` if either is given, from `first`
    to `last`; `skip` and `skip_holidays` take dates out of that and of `once`. `place` is file:line of the
    definition, for messages. `to` and `exclude` name communes, zones or nodes.
    """

    id: str
    title: str
    to: tuple[str, ...]
    play: tuple[Item, ...]
    exclude: tuple[str, ...] = ()
    at: tuple[time, ...] = ()
    days: frozenset[Weekday] = EVERY_DAY
    first: date | None = None
    last: date | None = None
    once: tuple[datetime, ...] = ()
    priority: Priority = Priority.NORMAL
    level: Level = Level.DISTRICT
    volume: int = 70
    if_late: IfLate = JOIN_WITHIN_10_MIN
    if_interrupted: InterruptAction = InterruptAction.RESUME
    place: str = ""
    workdays: bool = False
    lunar: tuple[MonthDay, ...] = ()
    solar: tuple[MonthDay, ...] = ()
    skip: tuple[DateRange, ...] = ()
    skip_holidays: bool = False
    repeat: Repeat = AIRS_ONCE
    allow_conflict: bool = False
    override: tuple[tuple[str, str], ...] = ()
    """Guards that it passes, by name, each with the reason."""
    standing: int = 0
    """What the site's table adds to its rank within its level."""


# --- where ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """One receiver with amplifier, power and 1..n speaker lines ("cụm loa")."""

    id: str
    name: str
    commune: str
    model: str = "loa-sim-1"
    hamlet: str = ""
    pole: str = ""
    lat: float | None = None
    lon: float | None = None
    zones: tuple[str, ...] = ()
    feeder: str = ""
    uplink: str = ""
    keeper: str = ""
    keeper_phone: str = ""


@dataclass(frozen=True, slots=True)
class Zone:
    """A named set of nodes; a commune is a zone, so is a hamlet. `nodes` are node ids, sorted."""

    id: str
    name: str
    nodes: tuple[str, ...]
    is_commune: bool = False


# --- what a node gets ----------------------------------------------------------------------------------


class FileTrack(msgspec.Struct, frozen=True, tag_field="kind", tag="file"):
    """One asset to play. `url` may be relative to the node's media base."""

    sha256: str
    url: str
    bytes: int
    duration_ms: int
    mime: str = "audio/ogg"


class PauseTrack(msgspec.Struct, frozen=True, tag_field="kind", tag="pause"):
    """Silence between tracks."""

    duration_ms: int


class StreamTrack(msgspec.Struct, frozen=True, tag_field="kind", tag="stream", omit_defaults=True):
    """A stream to relay for `duration_ms`; after `on_silence_s` of silence the fallback plays."""

    url: str
    duration_ms: int
    on_silence_s: int = 20
    fallback: FileTrack | None = None


Track = FileTrack | PauseTrack | StreamTrack


class Playlist(msgspec.Struct, frozen=True, gc=False):
    """What a node gets for one occurrence. `id` is the occurrence id, `start` and `end` are aware UTC."""

    id: str
    broadcast: str
    title: str
    priority: Priority
    rank: int
    start: datetime
    end: datetime
    if_late: IfLate
    if_interrupted: InterruptAction
    volume: int
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the studio made of a broadcast's items: tracks in order, their total length, warnings."""

    tracks: tuple[Track, ...]
    duration_ms: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One airing of a broadcast at an instant, with the nodes it is meant for (sorted ids)."""

    id: str
    broadcast: str
    title: str
    priority: Priority
    rank: int
    start: datetime
    end: datetime
    nodes: tuple[str, ...]
    playlist: Playlist


def assets_of(track: Track) -> tuple[FileTrack, ...]:
    """The assets that a node must hold before it can play `track`."""
    match track:
        case FileTrack():
            return (track,)
        case StreamTrack(fallback=FileTrack() as fallback):
            return (fallback,)
        case _:
            return ()


def duration_of(tracks: tuple[Track, ...]) -> timedelta:
    """Total length of `tracks`."""
    return timedelta(milliseconds=sum(track.duration_ms for track in tracks))


def fingerprint(value: object) -> str:
    """SHA-256 of the canonical JSON of `value` (anything msgspec can turn into builtins)."""
    plain = msgspec.to_builtins(value, str_keys=True)
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
