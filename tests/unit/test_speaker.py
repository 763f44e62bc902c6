"""What a node plays when, moment by moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broadcasts.model import FileTrack, IfLate, InterruptAction, LateAction, PauseTrack, Playlist, Priority
from controller.wire.messages import Emergency, Repeat
from simulators.speaker import (
    Action,
    Alarm,
    Arm,
    Armed,
    Assets,
    Broke,
    Close,
    Event,
    Hush,
    Job,
    Moment,
    Note,
    Ordered,
    Planned,
    Sound,
    Speaker,
    Stage,
    Stop,
    Synced,
    Turn,
    Volume,
    job_of,
)

BASE = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)
AUDIO = "a" * 64
OTHER = "b" * 64


def at(seconds: float) -> datetime:
    return BASE + timedelta(seconds=seconds)


def track(seconds: float = 60, sha256: str = AUDIO) -> FileTrack:
    return FileTrack(sha256, f"/media/{sha256}.opus", 1000, int(seconds * 1000))


def playlist(id: str, start: float, length: float = 60, *, rank: int = 20, **changes: Any) -> Playlist:
    whole: dict[str, Any] = {
        "id": id,
        "broadcast": id,
        "title": id,
        "priority": Priority.NORMAL,
        "rank": rank,
        "start": at(start),
        "end": at(start + length),
        "if_late": IfLate(LateAction.JOIN, 600),
        "if_interrupted": InterruptAction.RESUME,
        "volume": 70,
        "tracks": (track(length),),
    }
    return Playlist(**{**whole, **changes})


def emergency(id: str, rev: int = 1, *, active: bool = True, iat: int = 0, **changes: Any) -> Emergency:
    whole: dict[str, Any] = {
        "iss": "c",
        "aud": "zone:all",
        "iat": iat,
        "exp": 2**40,
        "epoch": 1,
        "id": id,
        "rev": rev,
        "active": active,
        "not_after": at(3600),
        "volume": 100,
        "tracks": (track(10, OTHER),),
    }
    return Emergency(**{**whole, **changes})


@dataclass
class Player:
    """Drives a Speaker like the shell does, with instant disks and decoders, and keeps what it did."""

    speaker: Speaker = field(default_factory=Speaker)
    seconds: float = -100.0
    wall_step: float = 0.0
    notes: list[Note] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tell(Assets(frozenset({AUDIO, OTHER})))

    @property
    def moment(self) -> Moment:
        return Moment(at(self.seconds + self.wall_step), 1000 + self.seconds)

    def tell(self, event: Event | None = None) -> None:
        for action in self.speaker.step(self.moment, event):
            self.actions.append(action)
            if isinstance(action, Note):
                self.notes.append(action)
            elif isinstance(action, Arm):
                self.tell(Armed(action.id, action.tracks))

    def plan(self, *playlists: Playlist, **changes: Any) -> None:
        self.tell(Planned(playlists, **{"valid_until": at(10_000), **changes}))

    def run_to(self, seconds: float) -> None:
        """Wake when the speaker asks for it, until `seconds`."""
        for _ in range(1000):
            wake = self.speaker.next_wake(self.moment) - 1000
            if wake > seconds:
                break
            self.seconds = max(wake, self.seconds + 0.001)
            self.tell()
        self.seconds = seconds
        self.tell()

    @property
    def story(self) -> list[tuple[str, str | None]]:
        return [(note.kind, note.playlist or note.id) for note in self.notes]

    def last(self, kind: str) -> Note:
        return [note for note in self.notes if note.kind == kind][-1]

    @property
    def sounds(self) -> list[Sound]:
        return [action for action in self.actions if isinstance(action, Sound)]


@pytest.fixture
def player() -> Player:
    return Player()


# --- time -----------------------------------------------------------------------------------------------------


def test_starts_on_the_instant_and_not_before(player: Player) -> None:
    player.plan(playlist("a", 0))
    player.run_to(-0.001)
    assert player.sounds == []
    player.run_to(0)
    assert player.story == [("started", "a")]


def test_the_id_is_made_durable_before_anything_sounds(player: Player) -> None:
    player.plan(playlist("a", 0))
    player.run_to(1)
    order = [type(action) for action in player.actions if isinstance(action, Arm | Sound)]
    assert order == [Arm, Sound]
    assert next(action for action in player.actions if isinstance(action, Arm)).once


def test_nothing_sounds_while_the_id_is_not_yet_durable() -> None:
    speaker = Speaker()
    speaker.step(Moment(at(-10), 0), Assets(frozenset({AUDIO})))
    speaker.step(Moment(at(-10), 0), Planned((playlist("a", 0),), at(1000)))
    assert any(isinstance(action, Arm) for action in speaker.step(Moment(at(-1), 9)))
    assert not any(isinstance(action, Sound) for action in speaker.step(Moment(at(0), 10)))
    sound = next(a for a in speaker.step(Moment(at(1), 11), Armed("a", (track(),))) if isinstance(a, Sound))
    assert sound.position_ms == 1000


def test_completes_after_its_length_with_what_it_played(player: Player) -> None:
    player.plan(playlist("a", 0, 60))
    player.run_to(61)
    assert player.last("completed").played_ms == 60_000
    assert player.speaker.now_playing is None


def test_an_executed_occurrence_never_sounds_again() -> None:
    player = Player(Speaker(executed={"a"}))
    player.plan(playlist("a", 0))
    player.run_to(120)
    assert player.story == []


def test_the_same_document_again_changes_nothing(player: Player) -> None:
    player.plan(playlist("a", 0))
    player.run_to(30)
    player.plan(playlist("a", 0))
    player.run_to(120)
    player.plan(playlist("a", 0))
    assert player.story == [("started", "a"), ("completed", "a")]


def test_a_wall_clock_stepped_back_does_not_play_it_twice(player: Player) -> None:
    player.plan(playlist("a", 0))
    player.run_to(70)
    player.wall_step = -3600
    player.run_to(4000)
    assert player.story == [("started", "a"), ("completed", "a")]


def test_a_wall_clock_step_does_not_move_the_position_of_what_sounds(player: Player) -> None:
    player.plan(playlist("a", 0, 60))
    player.run_to(10)
    player.wall_step = 30
    player.run_to(20)
    now = player.speaker.playing(player.moment)
    assert now is not None
    assert now.position_ms == 20_000


def test_what_starts_after_the_document_expires_is_not_played(player: Player) -> None:
    player.plan(playlist("a", 0, if_late=IfLate(LateAction.DROP)), valid_until=at(-1))
    player.run_to(10)
    assert (player.last("skipped").playlist, player.last("skipped").reason) == ("a", "expired")


# --- lateness -------------------------------------------------------------------------------------------------


def late_by(seconds: float, rule: IfLate, length: float = 60) -> Player:
    player = Player(seconds=seconds)
    player.plan(playlist("a", 0, length, if_late=rule))
    player.run_to(seconds + 1)
    return player


def test_late_join_plays_what_is_left() -> None:
    assert late_by(20, IfLate(LateAction.JOIN, 600)).sounds[0].position_ms == 20_000


def test_late_restart_plays_from_the_beginning() -> None:
    assert late_by(20, IfLate(LateAction.RESTART, 600)).sounds[0].position_ms == 0


@pytest.mark.parametrize(("late", "plays"), [(2.0, True), (2.1, False)])
def test_drop_is_dropped_once_it_is_really_late(late: float, plays: bool) -> None:
    player = late_by(late, IfLate(LateAction.DROP))
    assert bool(player.sounds) is plays
    assert player.story == ([("started", "a")] if plays else [("skipped", "a")])


@pytest.mark.parametrize(("late", "plays"), [(30.0, True), (30.1, False)])
def test_later_than_within_it_is_skipped_with_the_reason(late: float, plays: bool) -> None:
    player = late_by(late, IfLate(LateAction.RESTART, 30))
    assert bool(player.sounds) is plays
    if not plays:
        assert player.last("skipped").reason == "late"


def test_nothing_left_to_join_is_late() -> None:
    assert late_by(61, IfLate(LateAction.JOIN, 600)).last("skipped").reason == "late"


def test_a_piece_shorter_than_on_time_is_played_whole_and_never_for_less_than_nothing() -> None:
    player = late_by(1.5, IfLate(LateAction.JOIN, 600), length=0.8)
    assert player.sounds[0].position_ms == 0
    assert player.last("completed").played_ms == 800


def test_missing_audio_waits_then_says_so() -> None:
    player = Player()
    player.tell(Assets(frozenset()))
    player.plan(playlist("a", 0, if_late=IfLate(LateAction.RESTART, 30)))
    player.run_to(29)
    assert player.story == []
    player.run_to(31)
    assert player.last("skipped").reason == "missing-audio"


def test_audio_that_comes_late_is_played_by_the_rule() -> None:
    player = Player()
    player.tell(Assets(frozenset()))
    player.plan(playlist("a", 0))
    player.run_to(15)
    player.tell(Assets(frozenset({AUDIO})))
    assert player.sounds[0].position_ms == 15_000


def test_without_a_trusted_clock_nothing_scheduled_sounds() -> None:
    player = Player(Speaker(synced=False))
    player.plan(playlist("a", 0, if_late=IfLate(LateAction.RESTART, 30)))
    player.run_to(31)
    assert player.sounds == []
    assert player.last("skipped").reason == "clock"


def test_a_clock_that_becomes_good_in_time_lets_it_play(player: Player) -> None:
    player.tell(Synced(False))
    player.plan(playlist("a", 0))
    player.run_to(5)
    player.tell(Synced(True))
    assert player.story == [("started", "a")]


# --- rank -----------------------------------------------------------------------------------------------------


def interrupted_by_priority(rule: InterruptAction) -> Player:
    player = Player()
    low = playlist("low", 0, 60, if_interrupted=rule, volume=50)
    player.plan(low, playlist("high", 20, 15, rank=50, volume=90))
    player.run_to(36)
    return player


@pytest.mark.parametrize(
    ("rule", "position"),
    [(InterruptAction.RESUME, 20_000), (InterruptAction.RESTART, 0), (InterruptAction.JOIN, 35_000)],
)
def test_a_higher_rank_interrupts_and_the_lower_goes_on_by_its_rule(rule: InterruptAction, position: int) -> None:
    player = interrupted_by_priority(rule)
    assert player.story == [
        ("started", "low"),
        ("interrupted", "low"),
        ("started", "high"),
        ("completed", "high"),
        ("resumed", "low"),
    ]
    assert player.last("interrupted").by == "high"
    assert [sound.id for sound in player.sounds] == ["low", "high", "low"]
    assert abs(player.sounds[2].position_ms - position) <= 5
    assert [sound.volume for sound in player.sounds] == [50, 90, 50]


def test_an_interrupted_one_that_is_to_be_dropped_has_failed() -> None:
    player = interrupted_by_priority(InterruptAction.DROP)
    assert (player.last("failed").reason, player.last("failed").played_ms) == ("interrupted", 20_000)
    assert player.speaker.now_playing is None


def test_what_was_played_adds_up_over_an_interruption() -> None:
    player = interrupted_by_priority(InterruptAction.RESUME)
    player.run_to(100)
    played = player.last("completed").played_ms
    assert played is not None
    assert abs(played - 60_000) <= 2


def test_equal_rank_waits_and_then_joins(player: Player) -> None:
    player.plan(playlist("a", 0, 60), playlist("b", 30, 60))
    player.run_to(61)
    assert player.story == [("started", "a"), ("completed", "a"), ("started", "b")]
    assert abs(player.sounds[1].position_ms - 30_000) <= 5


def test_equal_rank_whose_time_runs_out_was_preempted(player: Player) -> None:
    player.plan(playlist("a", 0, 60), playlist("b", 30, 60, if_late=IfLate(LateAction.RESTART, 10)))
    player.run_to(70)
    assert player.last("skipped").playlist == "b"
    assert player.last("skipped").reason == "preempted"


def test_a_higher_rank_without_audio_stops_nothing() -> None:
    player = Player()
    player.tell(Assets(frozenset({AUDIO})))
    player.plan(playlist("a", 0, 60), playlist("b", 10, 60, rank=50, tracks=(track(60, OTHER),)))
    player.run_to(30)
    assert player.story == [("started", "a")]


def test_the_volume_limit_holds_for_playlists_and_not_for_emergencies(player: Player) -> None:
    player.plan(playlist("a", 0, volume=95), volume_max=80)
    player.run_to(5)
    player.tell(Alarm(emergency("flood")))
    assert [sound.volume for sound in player.sounds] == [80, 100]


# --- changes of the plan ------------------------------------------------------------------------------------------


def test_removed_while_waiting_is_cancelled_and_may_come_back(player: Player) -> None:
    player.plan(playlist("a", 0))
    player.plan()
    assert (player.last("skipped").playlist, player.last("skipped").reason) == ("a", "cancelled")
    player.plan(playlist("a", 0))
    player.run_to(1)
    assert player.story[-1] == ("started", "a")


def test_removed_while_sounding_stops_at_once_for_ever(player: Player) -> None:
    player.plan(playlist("a", 0))
    player.run_to(10)
    player.plan()
    assert isinstance(player.actions[-3], Hush)
    assert (player.last("failed").reason, player.last("failed").played_ms) == ("cancelled", 10_000)
    player.plan(playlist("a", 0))
    player.run_to(20)
    assert len(player.sounds) == 1


def test_a_moved_occurrence_sounds_at_its_new_time_only(player: Player) -> None:
    player.plan(playlist("a", 0))
    player.run_to(-1)
    player.plan(playlist("a", 30))
    player.run_to(29)
    assert player.sounds == []
    player.run_to(30)
    assert player.story == [("started", "a")]


def test_an_edit_does_not_stop_what_sounds(player: Player) -> None:
    player.plan(playlist("a", 0, 60))
    player.run_to(10)
    player.plan(playlist("a", 0, 60, title="new", tracks=(track(30, OTHER),)))
    player.run_to(61)
    assert player.story == [("started", "a"), ("completed", "a")]
    assert player.last("completed").played_ms == 60_000


# --- emergencies ----------------------------------------------------------------------------------------------


def test_an_emergency_sounds_over_everything_as_often_as_it_says_and_the_rest_goes_on(player: Player) -> None:
    player.plan(playlist("a", 0, 60, rank=90))
    player.run_to(10)
    player.tell(Alarm(emergency("flood", repeat=Repeat(3, 5000))))
    player.run_to(49.9)
    assert player.story[-1] == ("emergency", "flood")
    player.run_to(51)
    assert player.story[-2:] == [("emergency", "flood"), ("resumed", "a")]
    assert player.last("emergency").result == "ended"
    tracks = player.sounds[1].tracks
    assert [type(one) for one in tracks] == [FileTrack, PauseTrack, FileTrack, PauseTrack, FileTrack]


def test_one_emergency_for_two_zones_is_obeyed_once(player: Player) -> None:
    player.tell(Alarm(emergency("flood")))
    player.tell(Alarm(emergency("flood", aud="zone:na-meo")))
    player.run_to(player.seconds + 60)
    player.tell(Alarm(emergency("flood")))
    assert [note.result for note in player.notes] == ["started", "ended"]


def test_an_emergency_taken_back_is_silent_at_once(player: Player) -> None:
    player.tell(Alarm(emergency("flood")))
    player.run_to(player.seconds + 3)
    player.tell(Alarm(emergency("flood", 2, active=False)))
    assert player.speaker.now_playing is None
    assert [(note.result, note.rev) for note in player.notes] == [("started", 1), ("ended", 2)]


def test_an_older_revision_does_not_revive_it(player: Player) -> None:
    player.tell(Alarm(emergency("flood", 2, active=False)))
    player.tell(Alarm(emergency("flood", 1)))
    assert player.sounds == []


def test_a_past_emergency_is_not_joined(player: Player) -> None:
    player.tell(Alarm(emergency("flood", not_after=at(-200))))
    assert player.sounds == []


def test_a_later_emergency_interrupts_an_earlier_which_then_goes_on(player: Player) -> None:
    player.tell(Alarm(emergency("flood", iat=1, tracks=(track(30, OTHER),))))
    player.run_to(player.seconds + 10)
    player.tell(Alarm(emergency("fire", iat=2)))
    player.run_to(player.seconds + 11)
    assert [sound.id for sound in player.sounds] == ["flood", "fire", "flood"]
    assert abs(player.sounds[2].position_ms - 10_000) <= 5


def test_a_newer_revision_with_another_message_is_said_from_its_beginning(player: Player) -> None:
    player.tell(Alarm(emergency("flood")))
    player.run_to(player.seconds + 5)
    player.tell(Alarm(emergency("flood", 2, tracks=(track(20),))))
    assert [sound.position_ms for sound in player.sounds] == [0, 0]
    assert player.sounds[1].tracks == (track(20),)


def test_a_newer_revision_of_the_same_message_changes_volume_without_a_gap(player: Player) -> None:
    player.tell(Alarm(emergency("flood")))
    player.run_to(player.seconds + 5)
    player.tell(Alarm(emergency("flood", 2, volume=60)))
    assert player.actions[-1] == Turn(60)
    assert len(player.sounds) == 1


def test_an_emergency_that_is_over_stays_over_through_a_reboot(player: Player) -> None:
    player.tell(Alarm(emergency("flood")))
    player.run_to(player.seconds + 60)
    closed = [action for action in player.actions if isinstance(action, Close)]
    assert closed[-1].emergency is not None
    reborn = Player(Speaker(emergencies={"flood": closed[-1].emergency}))
    reborn.tell(Alarm(emergency("flood")))
    assert reborn.sounds == []


def test_an_emergency_sounds_even_if_the_clock_is_wrong(player: Player) -> None:
    player.tell(Synced(False))
    player.tell(Alarm(emergency("flood", not_after=at(-5000))))
    assert player.story == [("emergency", "flood")]
    player.run_to(player.seconds + 60)
    assert player.last("emergency").result == "ended"


# --- orders ---------------------------------------------------------------------------------------------------


def test_stop_silences_what_has_begun_and_what_waits_but_no_emergency(player: Player) -> None:
    player.plan(playlist("a", 0, 60), playlist("b", 5, 60), playlist("later", 200))
    player.run_to(10)
    player.tell(Alarm(emergency("flood")))
    player.tell(Stop())
    player.run_to(300)
    assert ("failed", "a") in player.story
    assert ("skipped", "b") in player.story
    assert ("started", "later") in player.story
    assert [note.result for note in player.notes if note.kind == "emergency"] == ["started", "ended"]


def test_an_ordered_playlist_plays_beside_the_document_and_survives_the_next_one(player: Player) -> None:
    player.tell(Ordered(playlist("now", 0)))
    player.plan()
    player.run_to(1)
    assert player.story == [("started", "now")]


def test_the_same_order_twice_is_a_duplicate(player: Player) -> None:
    player.tell(Ordered(playlist("now", 0)))
    player.tell(Ordered(playlist("now", 0)))
    assert (player.last("skipped").playlist, player.last("skipped").reason) == ("now", "duplicate")


def test_a_new_volume_is_heard_at_once_within_the_limit(player: Player) -> None:
    player.plan(playlist("a", 0), volume_max=80)
    player.run_to(1)
    player.tell(Volume(30))
    player.tell(Volume(99))
    assert [action for action in player.actions if isinstance(action, Turn)] == [Turn(30), Turn(80)]


def test_audio_that_breaks_has_failed_and_the_next_one_plays(player: Player) -> None:
    player.plan(playlist("a", 0, 60), playlist("b", 10, 60))
    player.run_to(15)
    player.tell(Broke("a", "unreadable"))
    assert (player.last("failed").playlist, player.last("failed").reason) == ("a", "unreadable")
    assert player.story[-1] == ("started", "b")


def test_a_move_that_is_not_in_the_table_is_an_error() -> None:
    job: Job = job_of(playlist("a", 0))
    with pytest.raises(ValueError, match="waiting -> sounding"):
        job.move(Stage.SOUNDING)
