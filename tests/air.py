"""Nodes without hardware over a moved clock: the player of the simulators, a memory that power cuts leave, and a
microphone beside each horn that knows nothing of plans or journals."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from broadcasts.model import InterruptAction, Playlist, assets_of
from controller.wire.messages import JournalAck, JournalEntry, JournalKind, PlaylistsDoc, decode
from simulators.speaker import (
    Action,
    Arm,
    Armed,
    Assets,
    Broke,
    Close,
    Event,
    Hush,
    Moment,
    Note,
    Planned,
    Sound,
    Speaker,
    Stop,
    Synced,
)
from simulators.trust import (
    NEVER_EXPIRED,
    Holding,
    Keys,
    Rejected,
    Unchanged,
    digest_of,
    judge_command,
    judge_playlists,
)

NEVER = float("inf")
WINDOW = 50


@dataclass(slots=True)
class Heard:
    """What a microphone had of one airing: where in it each stretch began, when, and how long it lasted."""

    began: datetime
    length_ms: int
    joins: bool = False
    """It is live: what passes while another has the horn is lost, its end as well."""
    stretches: list[tuple[float, float]] = field(default_factory=list)
    dead: bool = False
    """The player has closed it, or lost power: it must not sound any more."""

    @property
    def played_ms(self) -> float:
        return sum(lasted for _, lasted in self.stretches)

    @property
    def reached_ms(self) -> float:
        position, lasted = self.stretches[-1]
        return position + lasted


class Microphone:
    """Beside one horn. `complaints`: what no horn may do."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.heard: dict[str, Heard] = {}
        self.complaints: list[str] = []
        self._on: tuple[str, int, float] | None = None

    def sound(self, sound: Sound, wall: datetime, mono: float, *, joins: bool) -> None:
        if self._on is not None:
            self.complaints.append(f"{self._node} sounds {sound.id} over {self._on[0]}")
        length = sum(track.duration_ms for track in sound.tracks)
        known = self.heard.setdefault(sound.id, Heard(wall, length, joins))
        if known.dead:
            self.complaints.append(f"{self._node} sounds {sound.id} twice")
        self._on = (sound.id, sound.position_ms, mono)

    def silence(self, mono: float) -> None:
        if self._on is not None:
            id, position, since = self._on
            self.heard[id].stretches.append((position, (mono - since) * 1000))
            self._on = None

    def over(self, id: str) -> None:
        if id in self.heard:
            self.heard[id].dead = True


@dataclass(slots=True)
class Durable:
    """What is on a node's disk."""

    log: str
    begun: dict[str, bool] = field(default_factory=dict)
    commands: set[str] = field(default_factory=set)
    journal: list[JournalEntry] = field(default_factory=list)
    upto: int = 0
    token: bytes = b""
    epoch: int = 0
    assets: set[str] = field(default_factory=set)


class AirNode:
    """One node. `later(mono, call)` runs `call` then; `moment` is the true time, wall and monotonic."""

    def __init__(
        self,
        id: str,
        keys: Keys,
        rng: random.Random,
        moment: Callable[[], Moment],
        later: Callable[[float, Callable[[], None]], None],
        fetch: Callable[[str], bytes | None],
    ) -> None:
        self.id = id
        self.powered = False
        self.connected = False
        self.synced = True
        self.card_reads = True
        self.media = True
        self.offset = timedelta(0)
        self.microphone = Microphone(id)
        self.disk = Durable(log=f"log-{id}")
        self.told: dict[str, JournalEntry] = {}
        """Its last word about the end of each airing, whoever has it by now."""
        self.refusals: list[str] = []
        self._keys = keys
        self._rng = rng
        self._moment = moment
        self._later = later
        self._fetch_document = fetch
        self._boot = 0
        self._wake = NEVER
        self.holding = Holding()
        self._document: PlaylistsDoc | None = None
        self._speaker = Speaker()

    # --- power, clock, connection -----------------------------------------------------------------------------

    def power_on(self) -> None:
        self.powered, self._boot = True, self._boot + 1
        self._speaker = Speaker(self.disk.begun, synced=self.synced)
        self.holding, self._document = Holding(highest_epoch=self.disk.epoch), None
        for id in [id for id, over in self.disk.begun.items() if not over]:
            self._tell("failed", playlist=id, reason="restart")
            self.disk.begun[id] = True
        self._step(Assets(frozenset(self.disk.assets)))
        if self.disk.token:
            document = judge_playlists(self.disk.token, self._keys, self.id, NEVER_EXPIRED, Holding())
            assert isinstance(document, PlaylistsDoc)
            self._hold(document, self.disk.token)

    def power_off(self) -> None:
        if self.powered:
            self.powered = self.connected = False
            self.microphone.silence(self._moment().mono)
            for id in self.disk.begun:
                self.microphone.over(id)

    def set_clock(self, offset: timedelta, *, synced: bool) -> None:
        self.offset, self.synced = offset, synced
        if self.powered:
            self._step(Synced(synced))

    def _now(self) -> Moment:
        true = self._moment()
        return Moment(true.wall + self.offset, true.mono)

    # --- what comes from the broker ---------------------------------------------------------------------------

    def on_playlists(self, token: bytes) -> None:
        verdict = self._judged(token)
        if isinstance(verdict, PlaylistsDoc) and verdict.ref is not None:
            body = self._fetch_document(verdict.ref.sha256)
            if body is None:
                return  # a newer one is on its way
            token, verdict = body, self._judged(body)
        if isinstance(verdict, Rejected):
            self.refusals.append(f"{self.id}: {verdict.reason} {verdict.detail}")
        elif isinstance(verdict, PlaylistsDoc):
            self._accept(verdict, token)

    def _judged(self, token: bytes) -> PlaylistsDoc | Unchanged | Rejected:
        by = self._now().wall if self.synced else NEVER_EXPIRED
        return judge_playlists(token, self._keys, self.id, by, self.holding)

    def _accept(self, document: PlaylistsDoc, token: bytes) -> None:
        known = {one.id for one in self._document.playlists} if self._document else set()
        self._hold(document, token)
        self.disk.token = token
        self._tell("playlists", result="accepted", epoch=document.epoch, rev=document.rev)
        fresh = [one for one in document.playlists if one.id not in known]
        for sha256 in sorted({sha256 for one in fresh for sha256 in _assets(one)} & self.disk.assets):
            self._tell("prefetched", sha256=sha256)

    def _hold(self, document: PlaylistsDoc, token: bytes) -> None:
        self.disk.epoch = max(self.disk.epoch, document.epoch)
        self.holding = replace(
            self.holding,
            highest_epoch=self.disk.epoch,
            epoch=document.epoch,
            rev=document.rev,
            digest=digest_of(token),
        )
        self._document = document
        until = min(document.valid_until, datetime.fromtimestamp(document.exp, tz=UTC))
        self._step(Planned(document.playlists, until, document.settings.volume_max))
        self.fetch()

    def fetch(self) -> None:
        """Get what is missing, if media can be had at all; it takes its time."""
        if self._speaker.needed().keys() - self.disk.assets and self.connected and self.media:
            self._later(self._moment().mono + self._rng.choice((1, 4, 20)), self._fetched)

    def _fetched(self) -> None:
        if not (self.powered and self.connected and self.media):
            return
        for sha256 in sorted(self._speaker.needed().keys() - self.disk.assets):
            self.disk.assets.add(sha256)
            self._tell("prefetched", sha256=sha256)
        self._step(Assets(frozenset(self.disk.assets)))

    def on_command(self, token: bytes) -> None:
        by = self._now().wall if self.synced else NEVER_EXPIRED
        command = judge_command(token, self._keys, self.id, by, self.holding)
        if isinstance(command, Rejected):
            self.refusals.append(f"{self.id}: command {command.reason}")
            return
        self.disk.epoch = max(self.disk.epoch, command.epoch)
        self.holding = replace(self.holding, highest_epoch=self.disk.epoch)
        if command.do == "stop" and command.id not in self.disk.commands:
            self.disk.commands.add(command.id)
            self._step(Stop())
            self._tell("command", id=command.id, result="done")

    def on_ack(self, payload: bytes) -> None:
        ack = decode(JournalAck, payload)
        if ack.log == self.disk.log:
            self.disk.upto = max(self.disk.upto, ack.upto)

    # --- the player -------------------------------------------------------------------------------------------

    def _step(self, event: Event | None = None) -> None:
        now = self._now()
        for action in self._speaker.step(now, event):
            self._do(action, now)
        wake = max(self._speaker.next_wake(now), now.mono + 0.001)
        if wake != self._wake and wake != NEVER:
            self._later(wake, lambda: self._woken(wake))
        self._wake = wake

    def _woken(self, due: float) -> None:
        if self.powered and due == self._wake:
            self._wake = NEVER
            self._step()

    def _do(self, action: Action, now: Moment) -> None:
        match action:
            case Arm():
                self._arm(action)
            case Sound():
                self.microphone.sound(action, now.wall, now.mono, joins=self._joins())
            case Hush():
                self.microphone.silence(now.mono)
            case Close(id):
                self.disk.begun[id] = True
                self.microphone.over(id)
            case Note():
                self._note(action, now)

    def _joins(self) -> bool:
        job = self._speaker.now_playing
        source = job.source if job else None
        return isinstance(source, Playlist) and source.if_interrupted is InterruptAction.JOIN

    def _arm(self, arm: Arm) -> None:
        self.disk.begun.setdefault(arm.id, False)
        boot = self._boot
        done = Armed(arm.id, arm.tracks) if self.card_reads else Broke(arm.id, "unreadable")

        def armed() -> None:
            if self.powered and self._boot == boot:
                self._step(done)

        self._later(self._moment().mono + self._rng.choice((0.5, 0.5, 0.5, 2.0)), armed)

    def _note(self, note: Note, now: Moment) -> None:
        heard = self.microphone.heard.get(note.playlist or "")
        late_ms = 0 if note.kind == "started" and heard else None
        said = {"playlist": note.playlist, "reason": note.reason, "by": note.by, "played_ms": note.played_ms}
        self._tell(note.kind, late_ms=late_ms, **said)

    def _tell(self, kind: JournalKind, **said: object) -> None:
        n = len(self.disk.journal) + 1
        entry = JournalEntry(log=self.disk.log, n=n, at=self._now().wall, kind=kind, **said)  # type: ignore[arg-type]
        self.disk.journal.append(entry)
        if kind in ("completed", "failed", "skipped") and entry.playlist:
            self.told[entry.playlist] = entry

    def to_send(self) -> list[JournalEntry]:
        """What the controller has not acknowledged, as much as may be in flight."""
        return self.disk.journal[self.disk.upto : self.disk.upto + WINDOW]


def _assets(playlist: Playlist) -> set[str]:
    return {asset.sha256 for track in playlist.tracks for asset in assets_of(track)}


__all__ = ["AirNode", "Heard", "Microphone"]
