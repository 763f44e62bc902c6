"""One simulated node: the shell that connects the pure player, the parts and the protocol to the world.

Two things run by themselves, each on a timer of the event loop: the player (it wakes at the next instant that
matters) and the heartbeat. Everything else answers a message, a finished download, or a write on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from broadcasts.model import Track, assets_of
from controller.wire.messages import Enrolment, Held, JournalEntry, JournalKind, Status, encode
from controller.wire.topics import Topics
from simulators.audio import Clip, Decoder, Undecodable
from simulators.courier import Courier
from simulators.disk import Disk
from simulators.journal import Journal
from simulators.link import Link, Will
from simulators.media import Assets, Media
from simulators.memory import Memory
from simulators.obedience import Obedience
from simulators.output import Output, Programme
from simulators.pace import Pace
from simulators.parts import Parts
from simulators.speaker import (
    Action,
    Arm,
    Armed,
    Broke,
    Close,
    Event,
    Hush,
    Moment,
    Note,
    Ordered,
    Sound,
    Speaker,
    Synced,
    Turn,
)
from simulators.speaker import Assets as AssetsHeld
from simulators.timers import Timers
from simulators.vitals import Vitals

MODEL = "loa-sim-1"
FIRMWARE = "sim-0.1.0"
STARTS_KEPT = 200


@dataclass(slots=True)
class Shared:
    """What the nodes of one process have in common. `rng` spreads them in time."""

    disk: Disk
    media: Media
    decoder: Decoder
    executor: Executor
    pace: Pace
    rng: random.Random = field(default_factory=random.Random)


class Node:
    """A node from its enrolment file, keeping what it must not forget in `folder`.

    `started`: occurrence id -> instant of the first sample by the node's clock, of the newest starts.
    """

    def __init__(self, enrolment: Enrolment, folder: Path, shared: Shared, *, listened: bool = False) -> None:
        self.id = enrolment.node
        self.folder = folder
        self.shared = shared
        self.topics = Topics(enrolment.root)
        self.clock_offset = timedelta(0)
        self.synced = True
        self.frozen = False
        self.powered = False
        self.started: dict[str, datetime] = {}
        self._keys = enrolment.keys.keys
        self._loop = asyncio.get_running_loop()
        folder.mkdir(parents=True, exist_ok=True)
        self.timers = Timers()
        self.errands = Timers()
        """What goes on while the node is without power: somebody comes and switches it on."""
        self.errands.open()
        self.parts = Parts(enrolment.node)
        self.output = Output(self.parts, listened=listened)
        self.memory = Memory(folder, shared.disk)
        self.journal = Journal(folder, shared.disk, self._journal_durable)
        self.assets = Assets(
            folder,
            shared.media,
            base=enrolment.media.base,
            auth=(enrolment.mqtt.username, enrolment.mqtt.password),
            now=self.now,
            arrived=self._asset_arrived,
        )
        self.link = Link(enrolment.mqtt, self, shared.executor, shared.pace)
        self._forget()

    def _forget(self) -> None:
        """Everything that lives in RAM is new."""
        self.boot = secrets.token_hex(4)
        self.conn = 0
        self.speaker = Speaker(synced=self.synced)
        self.vitals = Vitals(self)
        self.obedience = Obedience(self, self._keys)
        self.courier = Courier(self.journal, self.topics.journal(self.id), self.link, self.timers, self.shared.rng)
        self._programmes: dict[str, Programme] = {}
        self._level_db: float | None = None
        self._began = (self.now(), 0)
        self._unheard: list[tuple[str, bytes, bool]] = []

    # --- time and power -------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The node's own wall clock."""
        return datetime.now(UTC) + self.clock_offset

    def moment(self) -> Moment:
        return Moment(self.now(), time.monotonic())

    def power_on(self) -> None:
        """Boot: read back what must not be forgotten, say what the crash cut off, connect."""
        if self.powered:
            return
        self._forget()
        self.powered = True
        self.timers.open()
        known = self.memory.open()
        self.journal.open()
        self.assets.open()
        self.speaker = Speaker(known.begun, known.emergencies, synced=self.synced)
        self._own_up()
        self.step(AssetsHeld(frozenset(self.assets.held)))
        self.obedience.recall(self.memory.document())
        for ordered in list(known.ordered.values()):
            self.step(Ordered(ordered))
        self.obedience.want()
        self.verify_sounds()
        self._report_clock()
        self.vitals.schedule(first=True)
        self.vitals.watch_battery()
        if self.powered and "link" not in self.parts.faults:
            self.link.open()

    def _own_up(self) -> None:
        """What was begun before a crash and never ended will not sound again; nobody else could tell."""
        for playlist in self.memory.unfinished():
            self.tell("failed", playlist=playlist, reason="restart")
            self.note_written(self.memory.remember_over(playlist))

    def power_off(self) -> None:
        """As a power cut: nothing is said, nothing is finished."""
        if self.powered:
            self._stop()
            self.link.abort()

    async def shut_down(self) -> None:
        """Say goodbye and stop."""
        self.errands.clear()
        if not self.powered:
            return
        self.link.publish(self.topics.status(self.id), encode(self._status("bye")), qos=1, retain=True)
        self._stop()
        await self.link.close()

    def _stop(self) -> None:
        self.powered = False
        self.output.hush(time.monotonic())
        self.timers.clear()
        self.assets.close()

    def freeze(self, frozen: bool) -> None:
        """Hang the player, or let it go on: no sound, no heartbeat, no answers; the connection stays."""
        if frozen == self.frozen:
            return
        self.frozen = frozen
        if frozen:
            self.output.hush(time.monotonic())
            return
        unheard, self._unheard = self._unheard, []
        sounding = self.speaker.now_playing
        self.step(Broke(sounding.id, "player-hung") if sounding is not None else None)
        for topic, payload, retain in unheard:
            self.on_message(topic, payload, retain)
        if self.powered:
            self.vitals.beat()

    def set_clock(self, offset: timedelta, *, synced: bool) -> None:
        """Set the node's wall clock this far off the host's."""
        self.clock_offset = offset
        self.synced = synced
        self.step(Synced(synced))
        self._report_clock()

    def _report_clock(self) -> None:
        if self.synced:
            self.vitals.clear_fault("clock")
        elif self.powered:
            self.vitals.raise_fault("clock", "clock", {"offset_ms": self.clock_offset.total_seconds() * 1000})

    # --- the player -----------------------------------------------------------------------------------------

    def step(self, event: Event | None = None) -> None:
        """One step of the player, its actions, and the timer for the next one."""
        if self.frozen or not self.powered:
            return
        now = self.moment()
        events = deque([event])
        while events:
            for action in self.speaker.step(now, events.popleft()):
                if isinstance(action, Arm) and (armed := self._armed_at_once(action)):
                    events.append(armed)
                else:
                    self._do(action, now)
        self.timers.at("player", self.speaker.next_wake(now), self.step)

    def playing(self) -> str | None:
        """Id of what sounds now."""
        job = self.speaker.now_playing
        return job.id if job is not None and self.powered and not self.frozen else None

    def _do(self, action: Action, now: Moment) -> None:
        match action:
            case Arm():
                self.timers.spawn(self._arm(action), f"arming {action.id} on {self.id}")
            case Sound():
                self._sound(action)
            case Hush():
                self._level_db = self.output.hush(now.mono)
            case Turn(volume):
                self.output.turn(volume, now.mono)
            case Close(id, None):
                self._programmes.pop(id, None)
                self.note_written(self.memory.remember_over(id))
            case Close(id, heard):
                assert heard is not None
                self._programmes.pop(id, None)
                self.note_written(self.memory.remember_emergency(id, heard))
            case Note():
                self._note(action)

    def _armed_at_once(self, arm: Arm) -> Armed | None:
        """What waits for neither disk nor decoder, an emergency whose sound is held, sounds in this very step."""
        if arm.once or "missed-broadcast" in self.parts.faults:
            return None
        clips = {sha256: self.shared.decoder.ready(sha256) for sha256 in _assets(arm.tracks)}
        ready = {sha256: clip for sha256, clip in clips.items() if clip is not None}
        if len(ready) < len(clips):
            return None
        self._programmes[arm.id] = Programme(arm.tracks, ready)
        return Armed(arm.id, arm.tracks)

    async def _arm(self, arm: Arm) -> None:
        """Nothing sounds before its id is on the disk and its audio decoded."""
        try:
            if arm.once:
                await self.memory.remember_begun(arm.id)
            clips = await self._clips(arm.tracks)
        except Undecodable as error:
            self.step(Broke(arm.id, f"unreadable: {error}"[:190]))
            return
        except OSError as error:
            self.step(Broke(arm.id, f"storage: {error}"[:190]))
            return
        self._programmes[arm.id] = Programme(arm.tracks, clips)
        self.step(Armed(arm.id, arm.tracks))

    async def _clips(self, tracks: tuple[Track, ...]) -> dict[str, Clip]:
        if self.parts.faults.pop("missed-broadcast", None) is not None:
            raise Undecodable("the card returns rubbish")
        path = self.assets.path
        return {sha256: await self.shared.decoder.clip(sha256, path(sha256)) for sha256 in _assets(tracks)}

    def _sound(self, sound: Sound) -> None:
        mono, wall = time.monotonic(), time.time()
        self.output.start(self._programmes[sound.id], sound.position_ms, sound.volume, mono, wall)
        at = datetime.fromtimestamp(wall, tz=UTC) + self.clock_offset
        self._began = (at, round((at - sound.planned).total_seconds() * 1000))
        self.started.setdefault(sound.id, at)
        if len(self.started) > STARTS_KEPT:
            del self.started[next(iter(self.started))]

    # --- journal --------------------------------------------------------------------------------------------

    def tell(self, kind: JournalKind, *, at: datetime | None = None, **said: object) -> None:
        """Write to the journal. Numbered and stored after whatever else starts at this very instant."""
        told = {name: value for name, value in said.items() if value is not None}
        entry = JournalEntry(log="-", n=1, at=at or self.now(), kind=kind, **told)  # type: ignore[arg-type]
        self._loop.call_soon(self.journal.add, entry)

    def _note(self, note: Note) -> None:
        at, late_ms = self._began if note.kind == "started" else (None, None)
        self.tell(
            note.kind,
            at=at,
            late_ms=late_ms,
            level_db=self._level_db if note.kind == "completed" else None,
            playlist=note.playlist,
            result=note.result,
            reason=note.reason,
            by=note.by,
            id=note.id,
            rev=note.rev,
            played_ms=note.played_ms,
        )

    def _journal_durable(self) -> None:
        if self.powered:
            self.courier.pump()

    def note_written(self, written: asyncio.Future[None]) -> None:
        """For a note whose loss is survivable: a disk that fails is counted."""

        def done(future: asyncio.Future[None]) -> None:
            if not future.cancelled() and future.exception() is not None:
                self.parts.io_errors += 1

        written.add_done_callback(done)

    # --- connection -----------------------------------------------------------------------------------------

    def will(self) -> Will:
        self.conn += 1
        return Will(self.topics.status(self.id), encode(self._status("will")))

    def topics_to_hear(self) -> list[str]:
        zones = [self.topics.emergency(zone) for zone in self.obedience.zones]
        return [f"{self.topics.root}/dn/{self.id}/#", *zones]

    def on_up(self) -> None:
        self.announce()
        self.vitals.born()
        self.courier.rewind()
        self.vitals.schedule(first=True)

    def on_down(self, reason: str) -> None:
        self.timers.cancel("resend")

    def on_message(self, topic: str, payload: bytes, retain: bool) -> None:
        if self.frozen:
            self._unheard.append((topic, payload, retain))
        elif self.powered and payload:
            self._hear(topic, payload, retain)

    def _hear(self, topic: str, payload: bytes, retain: bool) -> None:
        if topic == self.topics.playlists(self.id):
            self.obedience.on_playlists(payload, retained=retain)
        elif topic == self.topics.journal_ack(self.id):
            self.courier.on_ack(payload)
        elif topic == self.topics.command(self.id) and not retain:
            self.obedience.on_command(payload)
        elif topic.endswith("/emergency"):
            self.obedience.on_emergency(topic.split("/")[-2], payload, retained=retain)

    def announce(self) -> None:
        """Publish the birth."""
        self.link.publish(self.topics.status(self.id), encode(self._status("birth")), qos=1, retain=True)

    def _status(self, reason: str) -> Status:
        return Status(
            online=reason == "birth",
            boot=self.boot,
            conn=self.conn,
            at=self.now(),
            reason=reason,  # type: ignore[arg-type]
            model=MODEL,
            firmware=FIRMWARE,
            playlists=self.held(),
        )

    def held(self) -> Held:
        """The document held, and how many of its assets are still to come."""
        holding = self.obedience.holding
        return Held(holding.epoch, holding.rev, self.assets.missing)

    @property
    def heartbeat_s(self) -> int:
        return self.obedience.settings.heartbeat_s

    # --- assets ---------------------------------------------------------------------------------------------

    def _asset_arrived(self, sha256: str) -> None:
        playlists = self.speaker.playlists_needing(sha256)
        self.tell("prefetched", playlist=playlists[0] if playlists else None, sha256=sha256)
        if sha256 in self.obedience.sounds:
            self.verify_sounds()
        self.step(AssetsHeld(frozenset(self.assets.held)))

    def verify_sounds(self) -> None:
        """Read the held emergency sounds, report those that are not what they should be and fetch them again."""
        if self.obedience.sounds or self.vitals.reports("emergency-sound"):
            self.timers.spawn(self._verify_sounds(), f"verifying sounds of {self.id}")

    async def _verify_sounds(self) -> int:
        """How many held emergency sounds are corrupt. The good ones are decoded, so that they sound at once."""
        sounds = self.obedience.sounds & self.assets.held
        corrupt = await asyncio.to_thread(self.assets.corrupt, sounds)
        if corrupt:
            self.vitals.raise_fault("emergency-sound", "storage", {"corrupt": len(corrupt)})
        elif sounds == self.obedience.sounds:
            self.vitals.clear_fault("emergency-sound")
        if "emergency-sound" not in self.parts.faults:
            for sha256 in corrupt:
                self.assets.drop(sha256)
        for sha256 in sounds.difference(corrupt):
            with contextlib.suppress(Undecodable):  # told when it is to sound
                await self.shared.decoder.clip(sha256, self.assets.path(sha256))
        return len(corrupt)

    async def selftest(self, id: str, *, soundless: bool = False) -> None:
        """Test the parts and the held sounds; the journal tells the results."""
        self.settle_parts()
        test = self.parts.selftest(soundless=soundless)
        corrupt = await self._verify_sounds()
        passed = test.passed and not corrupt
        results = {**test.results, "sounds_corrupt": corrupt}
        self.tell("selftest", id=id, result="passed" if passed else "failed", results=results, parts=test.parts)
        self.vitals.beat()

    # --- from outside ---------------------------------------------------------------------------------------

    def settle_parts(self) -> None:
        """Book what was until now; the parts are about to change or to be looked at."""
        self.vitals.advance(time.monotonic())

    def replace_keys(self, keys: tuple[dict[str, str], ...]) -> None:
        """Trust these keys from now on, over reboots too. Raises WireError when they are not keys."""
        self.obedience.trust(keys)
        self._keys = keys

    @property
    def faults(self) -> list[str]:
        """Codes of the faults that were put in."""
        return sorted(self.parts.faults)


def _assets(tracks: tuple[Track, ...]) -> set[str]:
    return {asset.sha256 for track in tracks for asset in assets_of(track)}
