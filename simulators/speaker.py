"""What a node plays when: the pure core of a simulated node.

Everything that may sound is a Job and stands in one stage. `step` takes one event at one moment and
returns what is to be done, in order; `next_wake` says when to step again. Nothing here reads a clock,
touches a disk or makes a sound.

    WAITING --due soon, audio held, clock good--> ARMING --id on stable storage, audio decoded--> ARMED
    ARMED --its time, nothing of its rank or above sounds--> SOUNDING --higher rank--> HELD --> SOUNDING
    any --finished, skipped, failed, cancelled--> OVER, and never again

Two times go together in a Moment: the node's wall clock decides when something starts, the monotonic
clock how far it has come, so that a step of the wall clock moves starts but never positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from broadcasts.model import (
    FileTrack,
    InterruptAction,
    LateAction,
    PauseTrack,
    Playlist,
    StreamTrack,
    Track,
    assets_of,
    fingerprint,
)
from controller.wire.messages import Emergency, JournalKind

LEAD = timedelta(seconds=3)
"""How long before its start a playlist is armed: time for the disk and the decoder. Longer audio takes longer:
a hundredth of its length more."""

ON_TIME = timedelta(seconds=2)
"""A start this late still counts as on time for `if_late: drop`."""

SLIP_MS = 250
"""A late `join` skips what has passed only beyond this; below it nothing of the first word is cut."""

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """The node's wall clock (aware UTC) and its monotonic clock (seconds), read together."""

    wall: datetime
    mono: float


# --- events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; nothing else."""


@dataclass(frozen=True, slots=True)
class Planned:
    """An accepted document: these playlists and no others. Starts after `valid_until` do not happen."""

    playlists: tuple[Playlist, ...]
    valid_until: datetime
    volume_max: int = 100


@dataclass(frozen=True, slots=True)
class Ordered:
    """A playlist by command, beside the document."""

    playlist: Playlist


@dataclass(frozen=True, slots=True)
class Alarm:
    """A verified emergency state."""

    emergency: Emergency


@dataclass(frozen=True, slots=True)
class Assets:
    """The assets that are held and whole, by SHA-256."""

    held: frozenset[str]


@dataclass(frozen=True, slots=True)
class Synced:
    """Whether the wall clock can be trusted."""

    synced: bool


@dataclass(frozen=True, slots=True)
class Armed:
    """What `Arm` asked for these tracks is done."""

    id: str
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Broke:
    """`id` cannot sound, or cannot go on."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Silence one playlist, or (None) everything that has begun or waits for its turn; never an emergency."""

    playlist: str | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """New volume, percent, of the playlist that sounds now."""

    level: int


Event = Tick | Planned | Ordered | Alarm | Assets | Synced | Armed | Broke | Stop | Volume


# --- actions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arm:
    """Write `id` to stable storage if `once`, decode `tracks`, then say Armed or Broke."""

    id: str
    tracks: tuple[Track, ...]
    once: bool


@dataclass(frozen=True, slots=True)
class Sound:
    """Start now, `position_ms` into `tracks`, at `volume` percent. `planned`: when it should have started."""

    id: str
    tracks: tuple[Track, ...]
    position_ms: int
    volume: int
    planned: datetime


@dataclass(frozen=True, slots=True)
class Hush:
    """Be silent."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Go on at another volume."""

    volume: int


@dataclass(frozen=True, slots=True)
class Close:
    """Write that `id` is over; for an emergency with the revision and the message that was obeyed."""

    id: str
    emergency: Heard | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """One entry for the journal."""

    kind: JournalKind
    playlist: str | None = None
    result: str | None = None
    reason: str | None = None
    by: str | None = None
    id: str | None = None
    rev: int | None = None
    played_ms: int | None = None


Action = Arm | Sound | Hush | Turn | Close | Note


# --- state --------------------------------------------------------------------------------------------------


class Stage(StrEnum):
    WAITING = "waiting"
    ARMING = "arming"
    ARMED = "armed"
    SOUNDING = "sounding"
    HELD = "held"
    OVER = "over"


MOVES: Mapping[Stage, frozenset[Stage]] = {
    Stage.WAITING: frozenset({Stage.ARMING, Stage.OVER}),
    Stage.ARMING: frozenset({Stage.ARMED, Stage.WAITING, Stage.OVER}),
    Stage.ARMED: frozenset({Stage.SOUNDING, Stage.WAITING, Stage.OVER}),
    Stage.SOUNDING: frozenset({Stage.HELD, Stage.WAITING, Stage.OVER}),
    Stage.HELD: frozenset({Stage.SOUNDING, Stage.WAITING, Stage.OVER}),
    Stage.OVER: frozenset(),
}
"""Back to WAITING go an armed playlist whose plan changed and an emergency whose message changed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a node remembers of an emergency: the newest revision, which message, and whether it is over."""

    rev: int
    message: str
    over: bool


@dataclass(frozen=True, slots=True)
class Rank:
    """Emergencies above playlists, later emergencies above earlier ones; equal ranks never interrupt."""

    emergency: bool
    rank: int
    order: int = 0

    @property
    def key(self) -> tuple[bool, int, int]:
        return (self.emergency, self.rank, self.order)


@dataclass(slots=True)
class Job:
    """Something that may sound. `latest`: after this it never starts. Positions are ms into `tracks`."""

    id: str
    rank: Rank
    tracks: tuple[Track, ...]
    volume: int
    start: datetime
    latest: datetime
    source: Playlist | Emergency
    ordered: bool = False
    stage: Stage = Stage.WAITING
    position_ms: float = 0
    since: float = 0
    played_ms: float = 0
    began: bool = False
    length_ms: int = field(init=False)
    lead: timedelta = field(init=False)
    """How long before its start it is armed."""
    needs: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.length_ms = sum(track.duration_ms for track in self.tracks)
        self.lead = LEAD + timedelta(milliseconds=self.length_ms / 100)
        self.needs = frozenset(asset.sha256 for track in self.tracks for asset in assets_of(track))

    def move(self, stage: Stage) -> None:
        """The only way to change `stage`; ValueError for a move that is not in MOVES."""
        if stage not in MOVES[self.stage]:
            raise ValueError(f"{self.id}: {self.stage} -> {stage}")
        self.stage = stage

    def position(self, mono: float) -> float:
        """Milliseconds into the tracks at `mono`."""
        if self.stage is not Stage.SOUNDING:
            return self.position_ms
        return min(self.position_ms + max(0.0, mono - self.since) * 1000, float(self.length_ms))


@dataclass(frozen=True, slots=True)
class Now:
    """What sounds: `track` is the index, `position_ms` within that track."""

    id: str
    track: int
    position_ms: int
    volume: int


class Speaker:
    """One node's player. `executed`: playlist ids that must never sound (again); `emergencies`: by id."""

    def __init__(
        self,
        executed: Iterable[str] = (),
        emergencies: Mapping[str, Heard] | None = None,
        *,
        synced: bool = True,
    ) -> None:
        self._executed = set(executed)
        self._heard = dict(emergencies or {})
        self._jobs: dict[str, Job] = {}
        self._alarms: dict[str, Job] = {}
        self._held: frozenset[str] = frozenset()
        self._synced = synced
        self._valid_until = FOREVER
        self._volume_max = 100
        self._sounding: Job | None = None
        self._arrivals = 0
        self._out: list[Action] = []

    # --- the two questions a shell asks ---------------------------------------------------------------------

    def step(self, now: Moment, event: Event | None = None) -> list[Action]:
        """Take `event` (None is a Tick) and return what to do, in order."""
        self._out = []
        self._take(now, event or Tick())
        self._end_finished(now)
        self._skip_expired(now)
        self._arm_due(now)
        self._give_horn(now)
        return self._out

    def next_wake(self, now: Moment) -> float:
        """The monotonic time of the next step that can change anything by itself; infinity if there is none."""
        due = [self._due(job, now) for job in self._live()]
        return min(due, default=float("inf"))

    @property
    def now_playing(self) -> Job | None:
        return self._sounding

    def playing(self, now: Moment) -> Now | None:
        """What sounds at `now`."""
        job = self._sounding
        if job is None:
            return None
        index, within = locate(job.tracks, int(job.position(now.mono)))
        return Now(job.id, index, within, self._volume_of(job))

    def needed(self) -> dict[str, tuple[datetime, FileTrack]]:
        """Assets of everything that may still sound: by SHA-256, when first needed, and the track."""
        wanted: dict[str, tuple[datetime, FileTrack]] = {}
        for job in self._live():
            for asset in (asset for track in job.tracks for asset in assets_of(track)):
                known = wanted.get(asset.sha256)
                if known is None or job.start < known[0]:
                    wanted[asset.sha256] = (job.start, asset)
        return wanted

    def playlists_needing(self, sha256: str) -> list[str]:
        """Ids of the live playlists that use an asset, soonest first."""
        jobs = [job for job in self._jobs.values() if job.stage is not Stage.OVER and sha256 in job.needs]
        return [job.id for job in sorted(jobs, key=lambda job: (job.start, job.id))]

    # --- events ---------------------------------------------------------------------------------------------

    def _take(self, now: Moment, event: Event) -> None:
        match event:
            case Tick():
                pass
            case Planned():
                self._plan(now, event)
            case Ordered(playlist):
                self._order(playlist)
            case Alarm(emergency):
                self._alarm(now, emergency)
            case Assets(held):
                self._held = held
            case Synced(synced):
                self._synced = synced
            case Armed(id, tracks):
                self._armed(id, tracks)
            case Broke(id, reason):
                self._broke(now, id, reason)
            case Stop(playlist):
                self._stop(now, playlist)
            case Volume(level):
                self._turn(level)

    def _plan(self, now: Moment, plan: Planned) -> None:
        self._valid_until = plan.valid_until
        self._volume_max = plan.volume_max
        wanted = {playlist.id for playlist in plan.playlists}
        for job in [job for job in self._jobs.values() if job.id not in wanted]:
            if job.stage is not Stage.OVER and job.ordered:
                continue
            if job.stage is not Stage.OVER:
                self._cancel(now, job, "cancelled")
            del self._jobs[job.id]
        for playlist in plan.playlists:
            self._adopt(playlist)

    def _adopt(self, playlist: Playlist) -> None:
        known = self._jobs.get(playlist.id)
        if known is None:
            if playlist.id not in self._executed:
                self._jobs[playlist.id] = job_of(playlist)
            return
        if known.source == playlist or known.stage in (Stage.SOUNDING, Stage.HELD, Stage.OVER):
            return
        self._jobs[playlist.id] = job_of(playlist)

    def _order(self, playlist: Playlist) -> None:
        if playlist.id in self._executed or playlist.id in self._jobs:
            self._note("skipped", playlist=playlist.id, reason="duplicate")
            return
        job = job_of(playlist)
        job.ordered = True
        self._jobs[playlist.id] = job

    def _alarm(self, now: Moment, emergency: Emergency) -> None:
        heard = self._heard.get(emergency.id)
        if heard is not None and emergency.rev <= heard.rev:
            return
        message = fingerprint([emergency.tracks, emergency.repeat])
        if not emergency.active or (self._synced and emergency.not_after <= now.wall):
            self._end_alarm(now, emergency.id, emergency.rev, message)
            return
        over = heard is not None and heard.over and heard.message == message
        self._heard[emergency.id] = Heard(emergency.rev, message, over)
        if over:
            self._out.append(Close(emergency.id, self._heard[emergency.id]))
            return
        job = self._alarms.get(emergency.id)
        if job is None or heard is None or heard.message != message:
            self._begin_alarm(now, emergency, job)
        else:
            self._update_alarm(job, emergency)

    def _begin_alarm(self, now: Moment, emergency: Emergency, before: Job | None) -> None:
        if before is not None and before is self._sounding:
            self._hush(now)
        self._arrivals += 1
        rank = before.rank if before else Rank(True, emergency.iat, self._arrivals)
        self._alarms[emergency.id] = Job(
            id=emergency.id,
            rank=rank,
            tracks=repeated(emergency),
            volume=emergency.volume,
            start=now.wall,
            latest=emergency.not_after,
            source=emergency,
        )

    def _update_alarm(self, job: Job, emergency: Emergency) -> None:
        job.source = emergency
        job.latest = emergency.not_after
        if job.volume != emergency.volume:
            job.volume = emergency.volume
            if job is self._sounding:
                self._out.append(Turn(job.volume))

    def _end_alarm(self, now: Moment, id: str, rev: int, message: str) -> None:
        self._heard[id] = Heard(rev, message, over=True)
        job = self._alarms.get(id)
        if job is not None:
            self._close_alarm(now, job)
        else:
            self._out.append(Close(id, self._heard[id]))

    def _armed(self, id: str, tracks: tuple[Track, ...]) -> None:
        job = self._find(id)
        if job is not None and job.stage is Stage.ARMING and job.tracks == tracks:
            job.move(Stage.ARMED)

    def _broke(self, now: Moment, id: str, reason: str) -> None:
        job = self._find(id)
        if job is None or job.stage is Stage.OVER:
            return
        if isinstance(job.source, Emergency):
            self._note("failed", playlist=job.id, reason=reason)
            self._close_alarm(now, job)
        else:
            self._fail(now, job, reason)

    def _stop(self, now: Moment, playlist: str | None) -> None:
        for job in [job for job in self._jobs.values() if job.stage is not Stage.OVER]:
            if job.id == playlist or (playlist is None and job.start <= now.wall):
                self._executed.add(job.id)
                self._cancel(now, job, "stopped")

    def _turn(self, level: int) -> None:
        job = self._sounding
        if job is not None and isinstance(job.source, Playlist):
            job.volume = level
            self._out.append(Turn(self._volume_of(job)))

    # --- what follows from the time --------------------------------------------------------------------------

    def _end_finished(self, now: Moment) -> None:
        job = self._sounding
        if job is not None and job.position(now.mono) >= job.length_ms:
            self._hush(now)
            if isinstance(job.source, Emergency):
                self._close_alarm(now, job)
            else:
                self._complete(job)
        # without a trusted clock nothing can be said to be past: it sounds as often as it says, once
        for alarm in [job for job in self._alarms.values() if self._synced and job.latest <= now.wall]:
            if alarm.stage is not Stage.OVER:
                self._close_alarm(now, alarm)
        for held in [job for job in self._jobs.values() if self._nothing_left(job, now)]:
            self._complete(held)

    def _nothing_left(self, job: Job, now: Moment) -> bool:
        """A held playlist that would join where nothing is left to join."""
        return (
            job.stage is Stage.HELD
            and isinstance(job.source, Playlist)
            and job.source.if_interrupted is InterruptAction.JOIN
            and _passed_ms(job, now) >= job.length_ms
        )

    def _skip_expired(self, now: Moment) -> None:
        for job in [job for job in self._jobs.values() if self._too_late(job, now)]:
            self._note("skipped", playlist=job.id, reason=self._why_not(job))
            self._close(job)

    def _too_late(self, job: Job, now: Moment) -> bool:
        waiting = job.stage in (Stage.WAITING, Stage.ARMING, Stage.ARMED)
        return waiting and now.wall > job.start and now.wall > self._last_chance(job)

    def _last_chance(self, job: Job) -> datetime:
        if not self._joins(job):
            return job.latest
        return min(job.latest, job.start + max(ON_TIME, timedelta(milliseconds=job.length_ms)))

    def _why_not(self, job: Job) -> str:
        if not self._synced:
            return "clock"
        if not job.needs <= self._held:
            return "missing-audio"
        if job.start > self._valid_until and not job.ordered:
            return "expired"
        return "preempted" if self._sounding is not None and job.stage is Stage.ARMED else "late"

    def _arm_due(self, now: Moment) -> None:
        for job in self._live():
            if job.stage is Stage.WAITING and self._is_due(job, now, job.lead) and self._may_start(job):
                job.move(Stage.ARMING)
                self._out.append(Arm(job.id, job.tracks, once=not job.rank.emergency))

    def _is_due(self, job: Job, now: Moment, lead: timedelta = timedelta(0)) -> bool:
        """An emergency is due at once, whatever a stepping clock says."""
        return job.rank.emergency or job.start - lead <= now.wall

    def _may_start(self, job: Job) -> bool:
        if not job.needs <= self._held:
            return False
        if job.rank.emergency:
            return True
        return self._synced and (job.ordered or job.start <= self._valid_until)

    def _give_horn(self, now: Moment) -> None:
        """The highest rank gets it; among equals who has it, then who had it, then who is due first."""
        ready = [job for job in self._live() if self._wants(job, now)]
        if not ready:
            return
        best = min(ready, key=lambda job: (_descending(job.rank), _seniority(job), job.start, job.id))
        if best is self._sounding:
            return
        if self._sounding is not None:
            self._interrupt(now, self._sounding, best)
        self._begin(now, best)

    def _wants(self, job: Job, now: Moment) -> bool:
        if job.stage is Stage.ARMED:
            return self._is_due(job, now) and self._may_start(job)
        return job.stage in (Stage.SOUNDING, Stage.HELD)

    def _interrupt(self, now: Moment, job: Job, by: Job) -> None:
        self._hush(now)
        rule = InterruptAction.RESUME if isinstance(job.source, Emergency) else job.source.if_interrupted
        if isinstance(job.source, Playlist):
            self._note("interrupted", playlist=job.id, by=by.id)
        if rule is InterruptAction.DROP:
            self._fail(now, job, "interrupted")
            return
        job.move(Stage.HELD)
        if rule is InterruptAction.RESTART:
            job.position_ms = 0

    def _begin(self, now: Moment, job: Job) -> None:
        resumed = job.stage is Stage.HELD
        if self._joins(job):
            passed = _passed_ms(job, now)
            # a piece so short that it would be over, and still on time, is played whole
            job.position_ms = passed if SLIP_MS < passed < job.length_ms else 0.0
        job.move(Stage.SOUNDING)
        job.since = now.mono
        self._sounding = job
        self._out.append(Sound(job.id, job.tracks, int(job.position_ms), self._volume_of(job), planned=job.start))
        self._tell_begin(job, resumed)

    def _tell_begin(self, job: Job, resumed: bool) -> None:
        first, job.began = not job.began, True
        if isinstance(job.source, Playlist):
            self._executed.add(job.id)
            self._note("resumed" if resumed else "started", playlist=job.id)
        elif first:
            self._note("emergency", id=job.id, rev=job.source.rev, result="started")

    def _joins(self, job: Job) -> bool:
        if not isinstance(job.source, Playlist):
            return False
        if job.began:
            return job.stage is Stage.HELD and job.source.if_interrupted is InterruptAction.JOIN
        return job.source.if_late.do is LateAction.JOIN

    # --- ends ------------------------------------------------------------------------------------------------

    def _hush(self, now: Moment) -> None:
        job = self._sounding
        if job is None:
            return
        reached = job.position(now.mono)
        job.played_ms += reached - job.position_ms
        job.position_ms = reached
        self._sounding = None
        self._out.append(Hush())

    def _complete(self, job: Job) -> None:
        self._note("completed", playlist=job.id, played_ms=round(job.played_ms))
        self._close(job)

    def _fail(self, now: Moment, job: Job, reason: str) -> None:
        if job is self._sounding:
            self._hush(now)
        self._note("failed", playlist=job.id, reason=reason, played_ms=round(job.played_ms))
        self._close(job)

    def _cancel(self, now: Moment, job: Job, reason: str) -> None:
        if job.began:
            self._fail(now, job, reason)
            return
        self._note("skipped", playlist=job.id, reason=reason)
        if job.stage is Stage.WAITING and reason == "cancelled":
            job.move(Stage.OVER)
        else:
            self._close(job)

    def _close(self, job: Job) -> None:
        self._executed.add(job.id)
        job.move(Stage.OVER)
        self._out.append(Close(job.id))

    def _close_alarm(self, now: Moment, job: Job) -> None:
        if job is self._sounding:
            self._hush(now)
        heard = self._heard[job.id]
        self._heard[job.id] = Heard(heard.rev, heard.message, over=True)
        if job.stage is not Stage.OVER:
            job.move(Stage.OVER)
            if job.began:
                self._note("emergency", id=job.id, rev=heard.rev, result="ended")
        self._out.append(Close(job.id, self._heard[job.id]))
        del self._alarms[job.id]

    # --- small things ----------------------------------------------------------------------------------------

    def _live(self) -> list[Job]:
        over = Stage.OVER
        return [job for jobs in (self._alarms, self._jobs) for job in jobs.values() if job.stage is not over]

    def _find(self, id: str) -> Job | None:
        return self._alarms.get(id) or self._jobs.get(id)

    def _volume_of(self, job: Job) -> int:
        return job.volume if job.rank.emergency else min(job.volume, self._volume_max)

    def _due(self, job: Job, now: Moment) -> float:
        """When `job` next needs a step; what waits for an event waits for its last chance."""
        if job.stage is Stage.SOUNDING:
            end = job.since + (job.length_ms - job.position_ms) / 1000
            return min(end, _mono(job.latest, now)) if job.rank.emergency else end
        if job.stage is Stage.HELD and not job.rank.emergency:
            return float("inf")
        if job.start - job.lead > now.wall:
            return _mono(job.start - job.lead, now)
        wakes = [_mono(job.start, now)] if job.start > now.wall else []
        return min([*wakes, max(now.mono, _mono(self._last_chance(job), now)) + 0.001])

    def _note(
        self,
        kind: JournalKind,
        *,
        playlist: str | None = None,
        result: str | None = None,
        reason: str | None = None,
        by: str | None = None,
        id: str | None = None,
        rev: int | None = None,
        played_ms: int | None = None,
    ) -> None:
        self._out.append(Note(kind, playlist, result, reason, by, id, rev, played_ms))


def job_of(playlist: Playlist) -> Job:
    """A playlist as something that may sound."""
    late = playlist.if_late
    window = ON_TIME if late.do is LateAction.DROP else max(ON_TIME, timedelta(seconds=late.within_s))
    return Job(
        id=playlist.id,
        rank=Rank(False, playlist.rank),
        tracks=playlist.tracks,
        volume=playlist.volume,
        start=playlist.start,
        latest=playlist.start + window,
        source=playlist,
    )


def repeated(emergency: Emergency) -> tuple[Track, ...]:
    """The whole of an emergency: its tracks as often as it says, with the gaps between."""
    gap: tuple[Track, ...] = (PauseTrack(emergency.repeat.gap_ms),) if emergency.repeat.gap_ms > 0 else ()
    again = gap + emergency.tracks
    return emergency.tracks + again * (max(1, emergency.repeat.times) - 1)


def locate(tracks: tuple[Track, ...], position_ms: int) -> tuple[int, int]:
    """The track at a position, and the position within it; the end of the last one beyond the end."""
    for index, track in enumerate(tracks):
        if position_ms < track.duration_ms or index == len(tracks) - 1:
            return index, min(position_ms, track.duration_ms)
        position_ms -= track.duration_ms
    return 0, 0


def _passed_ms(job: Job, now: Moment) -> float:
    return max(0.0, (now.wall - job.start).total_seconds() * 1000)


def _descending(rank: Rank) -> tuple[bool, int, int]:
    return (not rank.emergency, -rank.rank, -rank.order)


def _seniority(job: Job) -> int:
    return {Stage.SOUNDING: 0, Stage.HELD: 1}.get(job.stage, 2)


def _mono(wall: datetime, now: Moment) -> float:
    return now.mono + (wall - now.wall).total_seconds()


__all__ = [
    "MOVES",
    "Action",
    "Alarm",
    "Arm",
    "Armed",
    "Assets",
    "Broke",
    "Close",
    "Event",
    "FileTrack",
    "Heard",
    "Hush",
    "Job",
    "Moment",
    "Note",
    "Now",
    "Ordered",
    "Planned",
    "Sound",
    "Speaker",
    "Stage",
    "Stop",
    "StreamTrack",
    "Synced",
    "Tick",
    "Turn",
    "Volume",
    "locate",
]
