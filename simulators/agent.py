"""One simulated node: the shell that connects the pure player, the parts and the protocol to the world.

Three things run by themselves, each on a timer of the event loop: the player (wakes at the next instant that
matters), the heartbeat (sent by the player's side: a hung player is silent), the parts. Everything else is
an answer to a message, a finished download or a write that reached the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec

from broadcasts.model import Playlist, Track, assets_of
from controller.wire.messages import (
    ClockState,
    Command,
    Emergency,
    Enrolment,
    FaultReport,
    Heartbeat,
    Held,
    JournalAck,
    JournalEntry,
    JournalKind,
    NodeSettings,
    Playing,
    PlaylistsDoc,
    PlaylistsRef,
    Status,
    WireError,
    decode,
    encode,
)
from controller.wire.signing import generate_key, load_keys, sign
from controller.wire.topics import Topics
from simulators.audio import Clip, Decoder, Undecodable
from simulators.disk import Disk
from simulators.journal import Journal
from simulators.link import Link, Will
from simulators.media import Assets, Media, Want
from simulators.memory import Memory
from simulators.output import Output, Programme
from simulators.parts import Parts, Value
from simulators.speaker import (
    Action,
    Alarm,
    Arm,
    Armed,
    Broke,
    Close,
    Event,
    Hush,
    Moment,
    Note,
    Ordered,
    Planned,
    Sound,
    Speaker,
    Stop,
    Synced,
    Turn,
    Volume,
)
from simulators.speaker import Assets as AssetsHeld
from simulators.trust import (
    Holding,
    Rejected,
    Unchanged,
    digest_of,
    judge_command,
    judge_emergency,
    judge_playlists,
)

MODEL = "loa-sim-1"
FIRMWARE = "sim-0.1.0"
STEP_S = 1.0
"""A value step is told at once, at most this often."""
DISCHARGING_S = 1.0
RESEND_S = (5.0, 60.0)
RESTART_S = 3.0
"""From mains back (or a reboot) to the first sign of life."""
SECURITY_CLEARS_S = 600.0


@dataclass(slots=True)
class Shared:
    """What the nodes of one process have in common. `rng` spreads them in time."""

    disk: Disk
    media: Media
    decoder: Decoder
    executor: Executor
    rng: random.Random = field(default_factory=random.Random)


class Refusal(ValueError):
    """An order that is not carried out; the text is the reason in the journal."""


class Node:
    """A node from its enrolment file, keeping everything it must not forget in `folder`."""

    def __init__(self, enrolment: Enrolment, folder: Path, shared: Shared, *, listened: bool = False) -> None:
        self.id = enrolment.node
        self.enrolment = enrolment
        self.folder = folder
        self._shared = shared
        self._loop = asyncio.get_running_loop()
        self._topics = Topics(enrolment.root)
        self._keys = load_keys(enrolment.keys.keys)
        self.parts = Parts(enrolment.node)
        self.output = Output(self.parts, listened=listened)
        self.clock_offset = timedelta(0)
        self.synced = True
        self.frozen = False
        self.powered = False
        self.started: dict[str, datetime] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._memory = Memory(folder, shared.disk)
        self.journal = Journal(folder, shared.disk, self._pump_journal)
        self.assets = Assets(
            folder,
            shared.media,
            base=enrolment.media.base,
            auth=(enrolment.mqtt.username, enrolment.mqtt.password),
            now=self.now,
            arrived=self._asset_arrived,
        )
        self.link = Link(enrolment.mqtt, self, shared.executor)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reset()

    def _reset(self) -> None:
        """Everything that lives in RAM."""
        self.boot = secrets.token_hex(4)
        self._conn = 0
        self._seq = 0
        self._booted = time.monotonic()
        self._speaker = Speaker()
        self._holding = Holding()
        self._settings = NodeSettings()
        self._document: PlaylistsDoc | None = None
        self._sounds: frozenset[str] = frozenset()
        self._programmes: dict[str, Programme] = {}
        self._faults: dict[str, FaultReport] = {}
        self._zones: tuple[str, ...] = ("all",)
        self._beat_at = 0.0
        self._told_state = self.parts.state()
        self._level: float | None = None
        self._began = (self.now(), 0)
        self._resend_s = RESEND_S[0]
        self._rewound_at = 0.0
        self._unheard: list[tuple[str, bytes, bool]] = []

    # --- clocks ---------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The node's own wall clock."""
        return datetime.now(UTC) + self.clock_offset

    def moment(self) -> Moment:
        return Moment(self.now(), time.monotonic())

    # --- power ----------------------------------------------------------------------------------------------

    def power_on(self, *, connect_after_s: float = 0.0) -> None:
        """Boot: read back what must not be forgotten, say what the crash cut off, connect."""
        if self.powered:
            return
        self._reset()
        self.powered = True
        known = self._memory.open()
        self.journal.open()
        self.assets.open()
        self._speaker = Speaker(known.begun, known.emergencies, synced=self.synced)
        for playlist in self._memory.unfinished():
            self._journal("failed", playlist=playlist, reason="restart")
            self._keep(self._memory.remember_over(playlist))
        self._step(AssetsHeld(frozenset(self.assets.held)))
        self._recall_document()
        for ordered in list(known.ordered.values()):
            self._step(Ordered(ordered))
        self._want()
        self._apply_clock()
        self._schedule_beat(first=True)
        self._schedule_parts()
        if "link" not in self.parts.faults:
            self.link.open(after_s=connect_after_s)

    def power_off(self) -> None:
        """As a power cut: nothing is said, nothing is finished."""
        if not self.powered:
            return
        self.powered = False
        self.output.hush(time.monotonic())
        self.link.abort()
        self._stop_all()

    async def shut_down(self) -> None:
        """Say goodbye and stop."""
        if not self.powered:
            return
        self.powered = False
        self.output.hush(time.monotonic())
        self.link.publish(self._topics.status(self.id), encode(self._status("bye")), qos=1, retain=True)
        self._stop_all()
        await self.link.close()

    def _stop_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        self.assets.close()

    def _at(self, name: str, mono: float, call: Callable[[], None]) -> None:
        """Call once at `mono`; setting a name again moves it."""
        self._cancel(name)
        if self.powered and mono != float("inf"):
            self._timers[name] = self._loop.call_at(mono, call)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _spawn(self, work: asyncio.Task[None]) -> None:
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    # --- the player -----------------------------------------------------------------------------------------

    def _step(self, event: Event | None = None) -> None:
        """One step of the player, its actions, and the timer for the next one."""
        if self.frozen or not self.powered:
            return
        now = self.moment()
        for action in self._speaker.step(now, event):
            self._do(action, now)
        self._at("player", self._speaker.next_wake(now), self._step)

    def poke(self) -> None:
        """The wall clock was stepped, or something else changed from outside: look again."""
        self._step()

    def _do(self, action: Action, now: Moment) -> None:
        match action:
            case Arm():
                self._spawn(asyncio.create_task(self._arm(action), name=f"arm {self.id}"))
            case Sound():
                self._sound(action)
            case Hush():
                self._level = self.output.hush(now.mono)
            case Turn(volume):
                self.output.turn(volume, now.mono)
            case Close(id, None):
                self._programmes.pop(id, None)
                self._keep(self._memory.remember_over(id))
            case Close(id, heard) if heard is not None:
                self._programmes.pop(id, None)
                self._keep(self._memory.remember_emergency(id, heard))
            case Note():
                self._note(action)

    async def _arm(self, arm: Arm) -> None:
        """Nothing sounds before its id is on the disk and its audio decoded."""
        try:
            if arm.once:
                await self._memory.remember_begun(arm.id)
            clips = await self._clips(arm.tracks)
        except (Undecodable, OSError) as error:
            self._step(Broke(arm.id, f"unreadable: {error}"[:190]))
            return
        self._programmes[arm.id] = Programme(arm.tracks, clips)
        self._step(Armed(arm.id, arm.tracks))

    async def _clips(self, tracks: tuple[Track, ...]) -> dict[str, Clip]:
        if self.parts.faults.pop("missed-broadcast", None) is not None:
            raise Undecodable("the card returns rubbish")
        assets = {asset.sha256 for track in tracks for asset in assets_of(track)}
        return {sha256: await self._shared.decoder.clip(sha256, self.assets.path(sha256)) for sha256 in assets}

    def _sound(self, sound: Sound) -> None:
        mono, wall = time.monotonic(), time.time()
        self.output.start(self._programmes[sound.id], sound.position_ms, sound.volume, mono, wall)
        at = datetime.fromtimestamp(wall, tz=UTC) + self.clock_offset
        self.started.setdefault(sound.id, at)
        self._began = (at, round((at - sound.planned).total_seconds() * 1000))

    def _note(self, note: Note) -> None:
        at, late_ms = self._began if note.kind == "started" else (None, None)
        self._journal(
            note.kind,
            at=at,
            late_ms=late_ms,
            level_db=self._level if note.kind == "completed" else None,
            playlist=note.playlist,
            result=note.result,
            reason=note.reason,
            by=note.by,
            id=note.id,
            rev=note.rev,
            played_ms=note.played_ms,
        )

    # --- journal --------------------------------------------------------------------------------------------

    def _journal(self, kind: JournalKind, *, at: datetime | None = None, **said: object) -> None:
        told = {name: value for name, value in said.items() if value is not None}
        entry = JournalEntry(log="-", n=1, at=at or self.now(), kind=kind, **told)  # type: ignore[arg-type]
        # numbered and written after whatever else starts at this very instant
        self._loop.call_soon(self.journal.add, entry)

    def _pump_journal(self) -> None:
        """Publish what is durable and not yet sent, within the window."""
        if not self.powered or not self.link.connected:
            return
        for payload in self.journal.take():
            self.link.publish(self._topics.journal(self.id), payload, qos=1)
        if self.journal.backlog and "resend" not in self._timers:
            self._at("resend", time.monotonic() + self._resend_s, self._resend)

    def _resend(self) -> None:
        """No acknowledgement came: the controller was away. Ask again, ever more slowly."""
        self._cancel("resend")
        self._resend_s = min(RESEND_S[1], self._resend_s * self._shared.rng.uniform(1.5, 2.5))
        self._rewind()

    def _rewind(self) -> None:
        self._rewound_at = time.monotonic()
        self.journal.rewind()
        self._pump_journal()

    def _on_ack(self, payload: bytes) -> None:
        try:
            ack = decode(JournalAck, payload)
        except WireError:
            return
        if self.journal.acknowledge(ack.log, ack.upto):
            self._resend_s = RESEND_S[0]
            self._cancel("resend")
            self._pump_journal()
        elif self._controller_is_back(ack):
            self._rewind()

    def _controller_is_back(self, ack: JournalAck) -> bool:
        """A controller that says again what it has, or names another log, has come back: it wants the rest."""
        nothing_new = ack.log != self.journal.log or ack.upto <= self.journal.upto
        rested = time.monotonic() - self._rewound_at > RESEND_S[0]
        return nothing_new and rested and self.journal.backlog > 0

    # --- connection -----------------------------------------------------------------------------------------

    def will(self) -> Will:
        self._conn += 1
        return Will(self._topics.status(self.id), encode(self._status("will")))

    def on_up(self) -> None:
        self.link.subscribe([f"{self._topics.root}/dn/{self.id}/#", *map(self._topics.emergency, self._zones)])
        self.link.publish(self._topics.status(self.id), encode(self._status("birth")), qos=1, retain=True)
        for report in self._faults.values():
            self._publish_fault(report)
        self.journal.rewind()
        self._pump_journal()
        self._schedule_beat(first=True)

    def on_down(self, reason: str) -> None:
        self._cancel("resend")

    def _status(self, reason: str) -> Status:
        return Status(
            online=reason == "birth",
            boot=self.boot,
            conn=self._conn,
            at=self.now(),
            reason=reason,  # type: ignore[arg-type]
            model=MODEL,
            firmware=FIRMWARE,
            playlists=self._held(),
        )

    def _held(self) -> Held:
        return Held(self._holding.epoch, self._holding.rev, self.assets.missing)

    def on_message(self, topic: str, payload: bytes, retain: bool) -> None:
        if self.frozen:
            self._unheard.append((topic, payload, retain))
        elif self.powered and payload:
            self._hear(topic, payload, retain)

    def _hear(self, topic: str, payload: bytes, retain: bool) -> None:
        if topic == self._topics.playlists(self.id):
            self._on_playlists(payload)
        elif topic == self._topics.journal_ack(self.id):
            self._on_ack(payload)
        elif topic == self._topics.command(self.id) and not retain:
            self._on_command(payload)
        elif topic.endswith("/emergency"):
            self._on_emergency(topic.split("/")[-2], payload)

    # --- documents ------------------------------------------------------------------------------------------

    def _on_playlists(self, token: bytes) -> None:
        verdict = judge_playlists(token, self._keys, self.id, self.now(), self._holding)
        match verdict:
            case Unchanged():
                pass
            case Rejected():
                self._reject("playlists", verdict)
            case PlaylistsDoc(ref=None):
                self._accept(verdict, token)
            case PlaylistsDoc(ref=ref):
                assert ref is not None
                self._spawn(asyncio.create_task(self._fetch_document(ref), name=f"ref {self.id}"))

    async def _fetch_document(self, ref: PlaylistsRef) -> None:
        """A document too long for the broker: the same rules hold for what lies at the reference."""
        url = httpx.URL(self.enrolment.media.base).join(ref.url)
        auth = httpx.BasicAuth(self.enrolment.mqtt.username, self.enrolment.mqtt.password)
        try:
            response = await self._shared.media.http.get(url, auth=auth)
            token = response.raise_for_status().content
        except httpx.HTTPError as error:
            self._reject("playlists", Rejected("unreachable", alarming=False, detail=str(error)[:100]))
            return
        if digest_of(token) != ref.sha256:
            self._reject("playlists", Rejected("hash", alarming=True, detail=str(url)[:100]))
            return
        verdict = judge_playlists(token, self._keys, self.id, self.now(), self._holding)
        if isinstance(verdict, Rejected):
            self._reject("playlists", verdict)
        elif isinstance(verdict, PlaylistsDoc) and verdict.ref is None:
            self._accept(verdict, token)

    def _accept(self, document: PlaylistsDoc, token: bytes) -> None:
        before = self._document
        self._hold(document, token)
        written = self._memory.hold(token, document.epoch)
        written.add_done_callback(lambda done: self._accepted(document, done))
        self._tell_held(document, before)

    def _accepted(self, document: PlaylistsDoc, written: asyncio.Future[None]) -> None:
        if written.cancelled() or not self.powered:
            return
        if written.exception() is not None:
            self.journal.disk_errors += 1
        self._journal("playlists", result="accepted", epoch=document.epoch, rev=document.rev)

    def _hold(self, document: PlaylistsDoc, token: bytes) -> None:
        highest = max(self._holding.highest_epoch, document.epoch)
        self._holding = Holding(highest, document.epoch, document.rev, digest_of(token))
        self._document = document
        self._apply_settings(document.settings)
        expires = datetime.fromtimestamp(document.exp, tz=UTC)
        until = min(document.valid_until, expires)
        self._step(Planned(document.playlists, until, document.settings.volume_max))
        self._want()

    def _tell_held(self, document: PlaylistsDoc, before: PlaylistsDoc | None) -> None:
        """New playlists may need nothing that is not there already: say so, as if it had just come."""
        known = {playlist.id for playlist in before.playlists} if before else set()
        told: dict[str, str] = {}
        for playlist in document.playlists:
            if playlist.id not in known:
                for asset in (asset for track in playlist.tracks for asset in assets_of(track)):
                    if asset.sha256 in self.assets.held:
                        told.setdefault(asset.sha256, playlist.id)
        for sha256, first in told.items():
            self._journal("prefetched", playlist=first, sha256=sha256)

    def _recall_document(self) -> None:
        """The held document again after a boot; its age is judged by its own dates, not refused."""
        token = self._memory.document()
        self._holding = Holding(highest_epoch=self._memory.known.epoch)
        if not token:
            return
        verdict = judge_playlists(token, self._keys, self.id, datetime.min.replace(tzinfo=UTC), Holding())
        if isinstance(verdict, PlaylistsDoc):
            self._hold(verdict, token)
        self._holding = Holding(
            max(self._holding.highest_epoch, self._memory.known.epoch),
            self._holding.epoch,
            self._holding.rev,
            self._holding.digest,
        )

    def _apply_settings(self, settings: NodeSettings) -> None:
        self._settings = settings
        zones = tuple(dict.fromkeys(("all", *settings.zones)))
        gone = [zone for zone in self._zones if zone not in zones]
        new = [zone for zone in zones if zone not in self._zones]
        self._zones = zones
        self.link.unsubscribe([self._topics.emergency(zone) for zone in gone])
        self.link.subscribe([self._topics.emergency(zone) for zone in new])
        self._sounds = frozenset(sound.sha256 for sound in settings.emergency_sounds)

    def _want(self) -> None:
        """Tell the prefetcher what is needed now, emergency sounds first."""
        wanted = {sound.sha256: Want(sound.sha256, sound.url, 0, None) for sound in self._settings.emergency_sounds}
        for sha256, (start, track) in self._speaker.needed().items():
            wanted.setdefault(sha256, Want(sha256, track.url, track.bytes, start))
        self.assets.want(wanted)

    def _asset_arrived(self, sha256: str) -> None:
        playlists = self._speaker.playlists_needing(sha256)
        self._journal("prefetched", playlist=playlists[0] if playlists else None, sha256=sha256)
        if sha256 in self._sounds and "emergency-sound" in self._faults:
            self._clear_fault("emergency-sound")
        self._step(AssetsHeld(frozenset(self.assets.held)))

    def _reject(self, kind: JournalKind, verdict: Rejected, id: str | None = None) -> None:
        self._journal(kind, result="rejected", reason=verdict.reason, epoch=verdict.epoch, rev=verdict.rev, id=id)
        if verdict.alarming:
            self._raise_fault("security", "identity", {"reason": verdict.reason, "message": kind})
            self._at("security", time.monotonic() + SECURITY_CLEARS_S, lambda: self._clear_fault("security"))

    # --- emergencies and commands ----------------------------------------------------------------------------

    def _on_emergency(self, zone: str, token: bytes) -> None:
        if zone not in self._zones:
            return
        verdict = judge_emergency(token, self._keys, zone, self.now(), self._holding)
        if isinstance(verdict, Rejected):
            if verdict.reason != "expired":
                self._reject("emergency", verdict)
            return
        self._obey(verdict)

    def _obey(self, emergency: Emergency) -> None:
        self._step(Alarm(emergency))
        self._want()

    def _on_command(self, token: bytes) -> None:
        verdict = judge_command(token, self._keys, self.id, self.now(), self._holding)
        if isinstance(verdict, Rejected):
            self._reject("command", verdict)
            return
        if verdict.id in self._memory.known.commands:
            return
        self._keep(self._memory.remember_command(verdict.id))
        try:
            if self.now() > verdict.not_after:
                raise Refusal("expired")
            self._execute(verdict)
        except Refusal as refusal:
            self._journal("command", id=verdict.id, result="rejected", reason=str(refusal)[:190])
        else:
            self._journal("command", id=verdict.id, result="done")

    def _execute(self, command: Command) -> None:
        match command.do:
            case "ping":
                self._beat()
            case "rebirth":
                birth = encode(self._status("birth"))
                self.link.publish(self._topics.status(self.id), birth, qos=1, retain=True)
            case "log":
                self._rewind()
            case "selftest":
                self._selftest(command.id)
            case "stop":
                self._step(Stop(_optional_text(command.args.get("playlist"))))
            case "volume":
                self._step(Volume(_volume(command.args)))
            case "play":
                self._play(command)

    def _play(self, command: Command) -> None:
        try:
            playlist = msgspec.convert(command.args.get("playlist"), Playlist)
        except msgspec.ValidationError as error:
            raise Refusal(f"not a playlist: {error}") from None
        self._keep(self._memory.remember_ordered(playlist))
        self._step(Ordered(playlist))
        self._want()

    def _selftest(self, id: str | None) -> None:
        test = self.parts.selftest()
        wrong = self.assets.corrupt() if "emergency-sound" not in self.parts.faults else ["injected"]
        results = {**test.results, "assets_corrupt": len(wrong)}
        passed = test.passed and not wrong
        self._journal("selftest", id=id, result="passed" if passed else "failed", results=results)
        self.changed()

    # --- heartbeat and faults -------------------------------------------------------------------------------

    def _schedule_beat(self, *, first: bool = False) -> None:
        """Every `heartbeat_s` +-10 %; the first one at a phase that the id decides."""
        interval = float(self._settings.heartbeat_s)
        if first:
            phase = int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:4], "big") / 2**32
            interval *= phase
        else:
            interval *= self._shared.rng.uniform(0.9, 1.1)
        self._at("beat", time.monotonic() + interval, self._beat)

    def _beat(self) -> None:
        """One heartbeat, and the next one due."""
        if self.frozen or not self.powered:
            return
        mono = time.monotonic()
        self._advance_parts(mono)
        self._beat_at = mono
        self._told_state = self.parts.state()
        if self.link.connected:
            self._seq += 1
            self.link.publish(self._topics.heartbeat(self.id), encode(self._heartbeat(mono)), qos=0)
        self._schedule_beat()

    def _heartbeat(self, mono: float) -> Heartbeat:
        sounding = self._speaker.playing(self.moment())
        playing = None
        if sounding is not None:
            playing = Playing(sounding.id, sounding.track, sounding.position_ms, sounding.volume)
        return Heartbeat(
            boot=self.boot,
            conn=self._conn,
            seq=self._seq,
            at=self.now(),
            uptime_s=int(mono - self._booted),
            clock=ClockState(self.synced, round(self.clock_offset.total_seconds() * 1000, 1)),
            playlists=self._held(),
            playing=playing,
            metrics={**self.parts.metrics(self.output.load(mono)), "journal_backlog": self.journal.backlog},
        )

    def changed(self) -> None:
        """Something may have stepped: tell at once, at most once a second."""
        if self.parts.state() != self._told_state or not self.powered:
            self._at("beat", max(time.monotonic(), self._beat_at + STEP_S), self._beat)

    def _raise_fault(self, code: str, component: str, evidence: Mapping[str, Value]) -> None:
        report = FaultReport(code, component, self.now(), evidence=dict(evidence))
        self._faults[code] = report
        self._publish_fault(report)

    def _publish_fault(self, report: FaultReport) -> None:
        self.link.publish(self._topics.fault(self.id, report.code), encode(report), qos=1, retain=True)

    def _clear_fault(self, code: str) -> None:
        if self._faults.pop(code, None) is not None:
            self.link.publish(self._topics.fault(self.id, code), b"", qos=1, retain=True)

    # --- parts ----------------------------------------------------------------------------------------------

    def _advance_parts(self, mono: float) -> None:
        self.output.account(mono)
        self.parts.advance(mono, self.output.load(mono))

    def _schedule_parts(self) -> None:
        """On battery the voltage is watched; on mains nothing moves that a heartbeat does not ask for."""
        if not self.parts.mains_on:
            self._at("parts", time.monotonic() + DISCHARGING_S, self._watch_battery)

    def _watch_battery(self) -> None:
        mono = time.monotonic()
        self._advance_parts(mono)
        if self.parts.powered(self.output.load(mono)):
            self._schedule_parts()
        else:
            self.power_off()

    def inject(self, code: str, args: Mapping[str, Value]) -> dict[str, Value]:
        """Break a part; what follows follows. Raises UnknownFault."""
        self._advance_parts(time.monotonic())
        in_force = self.parts.inject(code, args)
        match code:
            case "link":
                self.link.abort()
            case "clock":
                self.set_clock(timedelta(milliseconds=float(in_force["offset_ms"])), synced=False)
            case "emergency-sound":
                self._break_sounds()
            case "security":
                self._on_playlists(self._forgery())
            case "reboots":
                self._spawn_reboots(int(in_force["times"]))
            case "mains-lost":
                self._schedule_parts()
        self.changed()
        return in_force

    def mend(self, code: str | None) -> list[str]:
        """Repair one thing, or everything. Raises UnknownFault."""
        self._advance_parts(time.monotonic())
        mended = self.parts.mend(code)
        for one in mended:
            match one:
                case "link":
                    self.link.open()
                case "clock":
                    self.set_clock(timedelta(0), synced=True)
                case "emergency-sound":
                    self._clear_fault("emergency-sound")
                case "security":
                    self._clear_fault("security")
                case "mains-lost":
                    self._mains_back()
        self.changed()
        return mended

    def _mains_back(self) -> None:
        if not self.powered:
            self._loop.call_later(RESTART_S, self.power_on)

    def _break_sounds(self) -> None:
        held = sorted(self._sounds & self.assets.held)
        for sha256 in held:
            path = self.assets.path(sha256)
            path.unlink()
            path.write_bytes(b"\0")
        self._raise_fault("emergency-sound", "storage", {"corrupt": max(1, len(held))})

    def _forgery(self) -> bytes:
        """A document that says everything right and is signed by somebody else."""
        now = self.now()
        document = PlaylistsDoc(
            iss="stranger",
            aud=self.id,
            iat=int(now.timestamp()),
            exp=int(now.timestamp()) + 3600,
            epoch=self._holding.highest_epoch,
            rev=self._holding.rev + 1,
            valid_until=now + timedelta(hours=1),
        )
        return sign(document, generate_key())

    def _spawn_reboots(self, times: int) -> None:
        async def reboot() -> None:
            for _ in range(times):
                self.power_off()
                await asyncio.sleep(RESTART_S)
                self.power_on()
                await asyncio.sleep(RESTART_S)

        task = asyncio.create_task(reboot(), name=f"reboots {self.id}")
        self._reboots = task

    def set_clock(self, offset: timedelta, *, synced: bool) -> None:
        """Step the node's wall clock against the host's."""
        self.clock_offset = offset
        self.synced = synced
        self._apply_clock()

    def _apply_clock(self) -> None:
        self._step(Synced(self.synced))
        if not self.powered:
            return
        if self.synced:
            self._clear_fault("clock")
        else:
            self._raise_fault("clock", "clock", {"offset_ms": self.clock_offset.total_seconds() * 1000})

    def freeze(self, frozen: bool) -> None:
        """Hang the player, or let it go on: no sound, no heartbeat, no answers; the connection stays."""
        if frozen == self.frozen:
            return
        self.frozen = frozen
        if frozen:
            self.output.hush(time.monotonic())
            self._cancel("player")
            self._cancel("beat")
            return
        unheard, self._unheard = self._unheard, []
        self._step()
        for topic, payload, retain in unheard:
            self._hear(topic, payload, retain)
        self._beat()

    def replace_keys(self, keys: tuple[dict[str, str], ...]) -> None:
        """Trust these keys from now on. Raises WireError when they are not keys."""
        self._keys = load_keys(keys)

    def playing(self) -> str | None:
        """Id of what sounds now."""
        job = self._speaker.now_playing
        return job.id if job is not None and self.powered else None

    @property
    def faults(self) -> list[str]:
        return sorted(self.parts.faults)

    def _keep(self, written: asyncio.Future[None]) -> None:
        """A note whose loss is survivable; the disk's failure shows in the metrics."""

        def done(future: asyncio.Future[None]) -> None:
            if not future.cancelled() and future.exception() is not None:
                self.journal.disk_errors += 1

        written.add_done_callback(done)


def _optional_text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Refusal("playlist is not a text")
    return value


def _volume(args: Mapping[str, object]) -> int:
    level = args.get("volume")
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 100:
        raise Refusal("volume is not a number from 0 to 100")
    return level
