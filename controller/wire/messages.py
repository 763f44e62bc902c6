"""Messages of protocol v1: bytes <-> frozen structs. The contract with the nodes (docs/protocol.md).

`decode` never raises anything but WireError; unknown fields are ignored; times are RFC 3339 UTC with
milliseconds and `Z`, durations integers in the unit their name says.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from broadcasts import typed
from broadcasts.model import FileTrack, Playlist, Track

MAX_PAYLOAD = 256 * 1024
"""Bytes; what is longer is refused before it is decoded. The largest legal message is a playlists document."""

MAX_DOCUMENT = 8 * 1024 * 1024
"""Bytes; the limit for a document that a `ref` points to, fetched over HTTP."""

MAX_UP_PAYLOAD = 16 * 1024
"""Bytes; the limit for everything a node sends."""

YEARS = range(1970, 2200)
"""A node without a clock starts in 1970; beyond these a shift to local time can overflow."""

Short = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class WireError(ValueError):
    """A payload that is not the message it should be; the text says why, in one line."""


class Held(Struct, frozen=True):
    """The playlists document a node holds; `missing` assets are still to be fetched."""

    epoch: Count = 0
    rev: Count = 0
    missing: Count = 0


class Status(Struct, frozen=True):
    """Birth, will and goodbye on `up/{node}/status` (retained)."""

    online: bool
    boot: Name
    conn: Count
    at: datetime
    reason: Literal["birth", "will", "bye"]
    model: Name = ""
    firmware: Name = ""
    playlists: Held = Held()


class ClockState(Struct, frozen=True):
    synced: bool
    offset_ms: float = 0


class Playing(Struct, frozen=True):
    """What sounds now; `id` is the occurrence id, or the emergency's id."""

    id: Short
    track: Count = 0
    position_ms: Count = 0
    volume: Count = 0


Metric = float | int | bool | str


class Heartbeat(Struct, frozen=True):
    """`up/{node}/heartbeat`. `metrics` is open: what a node cannot measure it does not send."""

    boot: Name
    conn: Count
    seq: Count
    at: datetime
    uptime_s: Count = 0
    clock: ClockState | None = None
    playlists: Held = Held()
    playing: Playing | None = None
    metrics: dict[str, Metric | None] = {}  # not `Name`: then every message would carry its names as objects of its own


JournalKind = Literal[
    "playlists",
    "prefetched",
    "started",
    "interrupted",
    "resumed",
    "completed",
    "failed",
    "skipped",
    "command",
    "emergency",
    "selftest",
]


class JournalEntry(Struct, frozen=True, omit_defaults=True):
    """One entry of a node's journal; `n` counts from 1 within `log`. Which fields go with which kind is
    in docs/protocol.md. `at` is the node's clock."""

    log: Name
    n: Annotated[int, Meta(ge=1, le=2**53)]
    at: datetime
    kind: JournalKind
    playlist: Short | None = None
    result: Literal["accepted", "rejected", "done", "started", "ended", "passed", "failed"] | None = None
    reason: Short | None = None
    epoch: Count | None = None
    rev: Count | None = None
    sha256: Name | None = None
    late_ms: int | None = None
    played_ms: Count | None = None
    level_db: float | None = None
    by: Short | None = None
    id: Short | None = None
    results: dict[Name, Metric | None] | None = None
    parts: dict[Name, Literal["passed", "failed", "skipped"]] | None = None


class FaultReport(Struct, frozen=True):
    """A node's own report on `up/{node}/fault/{code}` (retained; an empty payload clears it)."""

    code: Name
    component: Name
    at: datetime
    severity: Literal["critical", "major", "minor"] | None = None
    evidence: dict[Name, Metric | None] = {}


class JournalAck(Struct, frozen=True):
    """`dn/{node}/journal-ack`: everything up to `upto` of `log` is stored."""

    log: Name
    upto: Count


class ControllerStatus(Struct, frozen=True):
    online: bool
    epoch: int
    at: datetime


# --- bodies of what is signed; each is one JSON object with the claims beside these fields ------------------


class EmergencySound(Struct, frozen=True):
    """A sound held on the node ahead of time."""

    name: Name
    sha256: str
    url: str


class NodeSettings(Struct, frozen=True):
    zones: tuple[str, ...] = ()
    volume_max: int = 100
    heartbeat_s: int = 10
    emergency_sounds: tuple[EmergencySound, ...] = ()


class PlaylistsRef(Struct, frozen=True):
    """Where to fetch the body of a document over 100 kB: the JWS itself lies at `url`."""

    url: str
    sha256: str


class Claims(Struct, frozen=True, kw_only=True):
    """What every signed payload says of itself; `iat` and `exp` are integer seconds."""

    iss: str
    aud: str
    iat: int
    exp: int
    epoch: int


class PlaylistsDoc(Claims, frozen=True, kw_only=True):
    """A node's whole desired state. Either `ref` or `playlists` says what to play."""

    rev: int
    valid_until: datetime
    settings: NodeSettings = NodeSettings()
    playlists: tuple[Playlist, ...] = ()
    ref: PlaylistsRef | None = None


class Command(Claims, frozen=True, kw_only=True):
    """One order, executed once by id, refused after `not_after`."""

    id: str
    do: Literal["stop", "play", "volume", "selftest", "ping", "rebirth", "log"]
    args: dict[str, Any] = {}
    not_after: datetime


class Repeat(Struct, frozen=True):
    times: int = 1
    gap_ms: int = 0


class Emergency(Claims, frozen=True, kw_only=True):
    """A state of a zone, not an order: active until `not_after` or a newer `rev` says otherwise."""

    id: str
    rev: int
    active: bool
    not_after: datetime
    drill: bool = False
    volume: int = 100
    repeat: Repeat = Repeat()
    tracks: tuple[Track, ...] = ()


# --- enrolment (a file, not a message) ----------------------------------------------------------------------


class MqttAccess(Struct, frozen=True):
    host: str
    port: int
    username: str
    password: str
    tls: bool = False
    ca: str | None = None


class MediaAccess(Struct, frozen=True):
    base: str


class KeySet(Struct, frozen=True):
    """A JWK set of public Ed25519 keys."""

    keys: tuple[dict[str, str], ...]


class Enrolment(Struct, frozen=True):
    """The one file that `loa enroll NODE` writes; all that a node needs to join."""

    node: str
    root: str
    mqtt: MqttAccess
    media: MediaAccess
    keys: KeySet


M = TypeVar("M", bound=Struct)


def decode(kind: type[M], payload: bytes, *, limit: int = MAX_UP_PAYLOAD) -> M:
    """Decode `payload` as a `kind`; WireError says in one line why it is not one.

    The message's own time (`at`) must carry a zone and lie in a year that calendars can still calculate with.
    """
    if len(payload) > limit:
        raise WireError(f"{len(payload)} bytes, limit is {limit}")
    try:
        message = typed.decode(payload, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
        raise WireError(str(error)) from None
    if (problem := _bad_time(getattr(message, "at", None))) or (problem := _bad_text(payload)):
        raise WireError(problem)
    return message


def _bad_time(at: object) -> str:
    if not isinstance(at, datetime):
        return ""
    if at.tzinfo is None:
        return "time without zone - at `$.at`"
    return "" if at.year in YEARS else f"year {at.year} - at `$.at`"


def _bad_text(payload: bytes) -> str:
    # PostgreSQL cannot store it, and one such entry would keep a node's journal from ever being acknowledged.
    return "text with U+0000" if b"\\u0000" in payload else ""


def encode(message: Struct) -> bytes:
    """Canonical JSON of `message`: fields in declared order, times with milliseconds and `Z`."""
    return msgspec.json.encode(_stamped(msgspec.to_builtins(message, builtin_types=(datetime,))))


def stamp(at: datetime) -> str:
    """RFC 3339 UTC with milliseconds and `Z`."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def _stamped(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, dict):
        return {key: _stamped(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_stamped(inner) for inner in value]
    return value


__all__ = [
    "MAX_DOCUMENT",
    "MAX_PAYLOAD",
    "MAX_UP_PAYLOAD",
    "Claims",
    "ClockState",
    "Command",
    "ControllerStatus",
    "Emergency",
    "EmergencySound",
    "Enrolment",
    "FaultReport",
    "FileTrack",
    "Heartbeat",
    "Held",
    "JournalAck",
    "JournalEntry",
    "KeySet",
    "MediaAccess",
    "Metric",
    "MqttAccess",
    "NodeSettings",
    "Playing",
    "Playlist",
    "PlaylistsDoc",
    "PlaylistsRef",
    "Repeat",
    "Status",
    "Track",
    "WireError",
    "decode",
    "encode",
    "stamp",
]
