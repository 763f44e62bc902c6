"""Whatever comes, in whatever order: one voice at a time, nothing twice, the higher rank wins, resumed in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcasts.model import IfLate, InterruptAction, LateAction, Playlist
from controller.wire.messages import Emergency, Repeat
from simulators.speaker import (
    Action,
    Alarm,
    Arm,
    Armed,
    Assets,
    Close,
    Event,
    Heard,
    Hush,
    Moment,
    Note,
    Planned,
    Sound,
    Speaker,
    Stop,
    Synced,
    Turn,
    Volume,
)
from tests.unit.test_speaker import AUDIO, OTHER, at, emergency, playlist, track

IDS = ("a", "b", "c", "d")
BOTH = frozenset({AUDIO, OTHER})

playlists = st.builds(
    lambda id, start, length, rank, late, within, interrupted, volume, audio: playlist(
        id,
        start,
        length,
        rank=rank,
        if_late=IfLate(late, within),
        if_interrupted=interrupted,
        volume=volume,
        tracks=(track(length, audio),),
    ),
    st.sampled_from(IDS),
    st.integers(0, 120),
    st.integers(1, 60),
    st.sampled_from((20, 20, 40, 60)),
    st.sampled_from(LateAction),
    st.integers(0, 100),
    st.sampled_from(InterruptAction),
    st.integers(10, 100),
    st.sampled_from((AUDIO, OTHER)),
)
plans = st.builds(
    lambda chosen, volume_max: Planned(tuple({one.id: one for one in chosen}.values()), at(10_000), volume_max),
    st.lists(playlists, max_size=4),
    st.integers(30, 100),
)
alarms = st.builds(
    lambda id, rev, active, until, times, iat: Alarm(
        emergency(id, rev, active=active, not_after=at(until), repeat=Repeat(times, 1000), iat=iat)
    ),
    st.sampled_from(("flood", "fire")),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 300),
    st.integers(1, 3),
    st.integers(0, 3),
)
events = st.one_of(
    plans,
    plans,
    alarms,
    st.builds(Assets, st.sampled_from((BOTH, BOTH, frozenset({AUDIO}), frozenset()))),
    st.builds(Synced, st.booleans()),
    st.builds(Stop, st.sampled_from((None, *IDS))),
    st.builds(Volume, st.integers(0, 100)),
)
clock_steps = st.one_of(st.just(0), st.just(0), st.just(0), st.integers(-200, 200))
scripts = st.lists(st.tuples(st.floats(0, 40), clock_steps, events), min_size=1, max_size=14)


@dataclass
class Witness:
    """Drives a speaker and believes nothing: keeps its own account of what sounds and checks every action."""

    speaker: Speaker = field(default_factory=Speaker)
    seconds: float = -20.0
    wall_step: float = 0.0
    sounding: Sound | None = None
    since: float = 0.0
    volume_max: int = 100
    reached: dict[str, float] = field(default_factory=dict)
    rules: dict[str, Playlist] = field(default_factory=dict)
    durable: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    over: set[str] = field(default_factory=set)
    emergencies: dict[str, Heard] = field(default_factory=dict)
    revisions: dict[str, Emergency] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    synced: bool = True
    resuming: str | None = None

    @property
    def moment(self) -> Moment:
        return Moment(at(self.seconds + self.wall_step), 1000 + self.seconds)

    def tell(self, event: Event | None = None) -> None:
        self._learn(event)
        for action in self.speaker.step(self.moment, event):
            self._check(action)
            if isinstance(action, Arm):
                if action.once:
                    self.durable.add(action.id)
                self.tell(Armed(action.id, action.tracks))

    def run(self, seconds: float) -> None:
        end = self.seconds + seconds
        for _ in range(400):
            wake = self.speaker.next_wake(self.moment) - 1000
            if wake > end:
                break
            self.seconds = max(wake, self.seconds + 0.001)
            self.tell()
            self.highest_rank_has_the_horn()
        self.seconds = max(end, self.seconds)
        self.tell()
        self.highest_rank_has_the_horn()

    def crash(self) -> None:
        """Only what was durable is left; the broker delivers its retained emergencies again."""
        self.sounding = None
        self.speaker = Speaker(self.durable | self.over, self.emergencies, synced=self.synced)
        self.tell(Assets(self.held))
        for told in list(self.revisions.values()):
            self.tell(Alarm(told))

    # --- the account ----------------------------------------------------------------------------------------

    def _learn(self, event: Event | None) -> None:
        match event:
            case Planned(chosen, _, volume_max):
                self.volume_max = volume_max
                self.rules.update({one.id: one for one in chosen if one.id not in self.begun})
            case Assets(held):
                self.held = held
            case Synced(synced):
                self.synced = synced
            case Alarm(told):
                known = self.revisions.get(told.id)
                if known is None or told.rev > known.rev:
                    self.revisions[told.id] = told

    def _check(self, action: Action) -> None:
        match action:
            case Sound():
                self._check_sound(action)
            case Hush():
                assert self.sounding is not None, "hushed what did not sound"
                self.reached[self.sounding.id] = self._position(self.sounding)
                self.sounding = None
            case Turn(volume):
                assert self.sounding is not None
                assert self.sounding.id in self.revisions or volume <= self.volume_max
            case Note():
                self._check_note(action)
            case Close(id, heard):
                if heard is not None:
                    self.emergencies[id] = heard
                else:
                    self.over.add(id)
            case Arm():
                assert action.id not in self.over

    def _check_sound(self, sound: Sound) -> None:
        assert self.sounding is None, "two at once"
        if sound.id in IDS:
            assert sound.id in self.durable, "sounded before its id was durable"
            assert sound.id not in self.over, "sounded again after its end"
            assert sound.volume <= self.volume_max
            rule = self.rules[sound.id]
            if sound.id in self.begun and rule.if_interrupted is InterruptAction.RESUME:
                assert abs(sound.position_ms - self.reached[sound.id]) <= 1, "resumed elsewhere"
            if sound.id in self.begun and rule.if_interrupted is InterruptAction.RESTART:
                assert sound.position_ms == 0
            assert self.synced or sound.id in self.begun, "started by a clock that nobody trusts"
            self.resuming = sound.id if sound.id in self.begun else None
            self.begun.add(sound.id)
        else:
            assert sound.volume == self.revisions[sound.id].volume
        self.sounding, self.since = sound, self.seconds

    def _check_note(self, note: Note) -> None:
        if note.kind == "started":
            assert self.resuming is None, "started twice"
        if note.kind == "resumed":
            assert self.resuming == note.playlist
        if note.kind in ("completed", "failed"):
            assert note.playlist in self.begun
            assert note.playlist not in self.over, "ended twice"

    def _position(self, sound: Sound) -> float:
        length = sum(one.duration_ms for one in sound.tracks)
        return min(length, sound.position_ms + (self.seconds - self.since) * 1000)

    def highest_rank_has_the_horn(self) -> None:
        """Nothing that is due, ready and of higher rank than what sounds is kept waiting."""
        wall = at(self.seconds + self.wall_step)
        urgent = [
            told
            for told in self.revisions.values()
            if told.active
            and OTHER in self.held
            and wall < told.not_after
            and not (told.id in self.emergencies and self.emergencies[told.id].over)
        ]
        if urgent:
            assert self.sounding is not None
            assert self.sounding.id in self.revisions, "an emergency waits"
        if self.sounding is not None and self.sounding.id in self.rules:
            rank = self.rules[self.sounding.id].rank
            assert not [one for one in self._due(wall) if one.rank > rank], "a higher rank waits"

    def _due(self, wall: datetime) -> list[Playlist]:
        current = self.speaker.needed()
        return [
            one
            for one in self.rules.values()
            if self.synced
            and one.id not in self.begun | self.over
            and one.id in {id for sha in current for id in self.speaker.playlists_needing(sha)}
            and {track.sha256 for track in one.tracks if hasattr(track, "sha256")} <= self.held
            and one.start <= wall <= one.start + timedelta(seconds=2)
        ]


@given(scripts)
@settings(max_examples=400, deadline=None)
def test_no_two_voices_nothing_twice_and_the_higher_rank_first(script: list[tuple[float, int, Event]]) -> None:
    witness = Witness()
    witness.tell(Assets(BOTH))
    for pause, step, event in script:
        witness.run(pause)
        witness.wall_step += step
        witness.tell(event)
    witness.run(400)


@given(scripts, st.lists(st.integers(0, 13), max_size=4))
@settings(max_examples=300, deadline=None)
def test_crashes_anywhere_never_play_anything_twice(script: list[tuple[float, int, Event]], crashes: list[int]) -> None:
    witness = Witness()
    witness.tell(Assets(BOTH))
    plan: Planned | None = None
    for index, (pause, step, event) in enumerate(script):
        witness.run(pause)
        witness.wall_step += step
        witness.tell(event)
        plan = event if isinstance(event, Planned) else plan
        if index in crashes:
            witness.crash()
            if plan is not None:
                before = set(witness.begun)
                witness.tell(plan)
                witness.run(100)
                assert witness.sounding is None or witness.sounding.id not in before
    witness.run(200)


@given(scripts)
@settings(max_examples=200, deadline=None)
def test_everything_that_began_ends_with_a_word(script: list[tuple[float, int, Event]]) -> None:
    witness = Witness()
    witness.tell(Assets(BOTH))
    for pause, _, event in script:
        witness.run(pause)
        witness.tell(event)
    witness.run(2000)
    assert witness.begun <= witness.over
