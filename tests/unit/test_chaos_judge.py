"""The judge of chaos judges: a run in which all is well is held to be well, and each promise, broken once, is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec
import pytest

from broadcasts.model import FileTrack, IfLate, InterruptAction, LateAction, Playlist, Priority
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState
from controller.domain.escalation import OutboxRow, OutboxState
from controller.domain.faults import Severity
from controller.domain.incidents import Incident, IncidentState
from controller.domain.outbox import key_of
from controller.ports import AttemptRow, Received
from controller.wire.messages import Emergency, Heartbeat, JournalEntry, PlaylistsDoc, PlaylistsRef, encode
from controller.wire.signing import key_from_seed, payload_of, sign
from tests.chaos.hands import Alarm, Injected
from tests.chaos.operator import Promise
from tests.chaos.plan import Kind
from tests.chaos.promises import Evidence, judged
from tests.chaos.stage import Trouble
from tests.e2e.kills import NODES, TOPICS, Notes

T0 = datetime(2026, 11, 27, 5, 0, tzinfo=UTC)
KEY = key_from_seed(bytes(range(32)))
NODE, PERSON, ID = "na-meo-01", "tho-na-meo", "tin-1@2026-11-27T12:00:20"
SOUND, SIREN = "1" * 64, "2" * 64
ALARM = "lu-quet-1"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def track(sha256: str) -> FileTrack:
    return FileTrack(sha256, f"/media/{sha256}.opus", 1000, 800)


def airing(id: str = ID) -> Playlist:
    late = IfLate(LateAction.DROP)
    length = timedelta(milliseconds=800)
    start = at(20)
    return Playlist(
        id,
        "tin-1",
        "tin-1",
        Priority.NORMAL,
        20,
        start,
        start + length,
        late,
        InterruptAction.RESUME,
        70,
        (track(SOUND),),
    )


def document(rev: int, *playlists: Playlist, made: float = 1) -> bytes:
    issued = int(at(made).timestamp())
    body = PlaylistsDoc(
        iss="muong-son",
        aud=NODE,
        iat=issued,
        exp=issued + 600,
        epoch=1,
        rev=rev,
        valid_until=at(600),
        playlists=playlists,
    )
    return sign(body, KEY)


def state(*, active: bool = True, rev: int = 1) -> Emergency:
    when = int(at(40).timestamp())
    return Emergency(
        iss="muong-son",
        aud="zone:na-meo",
        iat=when,
        exp=when + 600,
        epoch=1,
        id=ALARM,
        rev=rev,
        active=active,
        not_after=at(600),
        tracks=(track(SIREN),) if active else (),
    )


def entries(*told: tuple[float, dict[str, object]]) -> list[JournalEntry]:
    return [JournalEntry(log="a", n=n, at=at(when), **said) for n, (when, said) in enumerate(told, 1)]  # type: ignore[arg-type]


ACCEPTED = (1.0, {"kind": "playlists", "result": "accepted", "epoch": 1, "rev": 1})
FETCHED = (2.0, {"kind": "prefetched", "playlist": ID, "sha256": SOUND})
SIREN_FETCHED = (2.0, {"kind": "prefetched", "sha256": SIREN})
STARTED = (20.0, {"kind": "started", "playlist": ID, "late_ms": 5})
COMPLETED = (20.8, {"kind": "completed", "playlist": ID, "played_ms": 800})
WARNED = (40.2, {"kind": "emergency", "id": ALARM, "rev": 1, "result": "started"})
WARNED_ENOUGH = (50.1, {"kind": "emergency", "id": ALARM, "rev": 2, "result": "ended"})
ALL = (ACCEPTED, FETCHED, SIREN_FETCHED, STARTED, COMPLETED, WARNED, WARNED_ENOUGH)


def row(id: int, transition: str, when: float, *, sent: bool = True, recipient: str = PERSON) -> OutboxRow:
    return OutboxRow(
        incident=1,
        transition=transition,
        recipient=recipient,
        channel="webhook:w",
        due_at=at(when),
        created_at=at(when),
        subject="s",
        body="b",
        id=id,
        state=OutboxState.SENT if sent else OutboxState.PENDING,
        attempts=1 if sent else 0,
        sent_at=at(when) if sent else None,
    )


def arrival(one: OutboxRow) -> dict[str, str]:
    return {"channel": "webhook", "to": f"/{one.recipient}", "key": key_of("muong-son", one)}


def tell(evidence: Evidence, *told: tuple[float, dict[str, object]]) -> None:
    """The node's journal is this, as it passed the broker and as it is stored."""
    evidence.journals[NODE] = entries(*told)
    evidence.recorder.journal = {(NODE, one.log, one.n): one for one in evidence.journals[NODE]}


def became(evidence: Evidence, became: DeliveryState, reason: str = "") -> None:
    evidence.deliveries = {(ID, NODE): Delivery(ID, NODE, became, at(21), reason)}
    evidence.events = {(ID, NODE): [DeliveryEvent(ID, NODE, at(21), became, reason)]}


def messages(evidence: Evidence, *rows: OutboxRow) -> None:
    evidence.outbox = list(rows)
    evidence.attempts = {one.id: [AttemptRow(one.id, 1, at(30), at(30), "sent")] if one.sent_at else [] for one in rows}
    evidence.arrived = [arrival(one) for one in rows if one.sent_at]


def calm() -> Evidence:
    """One airing was heard, an emergency too, and of one fault somebody was told, also of its end."""
    notes = Notes(documents=[(NODE, document(1, airing()))])
    for when in range(0, 60, 2):
        beat = Heartbeat(boot="b", conn=1, seq=when, at=at(when))
        notes.take(Received(TOPICS.heartbeat(NODE), encode(beat), False, float(when)))
    for when, said in ((40.0, state()), (50.0, state(active=False, rev=2))):
        notes.take(Received(TOPICS.emergency("na-meo"), sign(said, KEY), False, when))
    incident = Incident(
        id=1,
        scope="node",
        subject=NODE,
        commune="na-meo",
        cause="mains-high",
        component="power",
        severity=Severity.CRITICAL,
        state=IncidentState.CLOSED,
        opened_at=at(29),
        updated_at=at(35),
        announce_at=at(30),
        announced=True,
        closed_at=at(35),
    )
    evidence = Evidence(
        promises={ID: Promise(ID, at(20), (NODE,), "drop", at(0))},
        alarms=[Alarm("na-meo", at(39), ALARM, at(50), True)],
        troubles=[],
        recorder=notes,
        arrived=[],
        repeats_allowed=0,
        incidents=[incident],
        people=[PERSON],
        read_at=at(300),
        journals={node: [] for node in NODES},
    )
    tell(evidence, *ALL)
    became(evidence, DeliveryState.COMPLETED)
    messages(evidence, row(1, "opened", 30), row(2, "recovered", 35))
    return evidence


def storm(evidence: Evidence, what: Kind = Kind.KILL_CONTROLLER, node: str = "") -> None:
    """Something is wrong all the time, as in any hour of chaos."""
    evidence.troubles = [*evidence.troubles, Trouble(what, at(-60), at(200), node)]


def silenced(evidence: Evidence, reason: str = "late", state: DeliveryState = DeliveryState.SKIPPED) -> None:
    """The airing was not heard."""
    tell(evidence, *(one for one in ALL if one not in (STARTED, COMPLETED)))
    became(evidence, state, reason)


def late(evidence: Evidence, do: str) -> None:
    evidence.promises = {ID: replace(evidence.promises[ID], late=do)}


def change(evidence: Evidence, **changes: object) -> None:
    evidence.incidents = [replace(evidence.incidents[0], **changes)]  # type: ignore[arg-type]


def test_a_run_in_which_all_is_well_is_well() -> None:
    verdict = judged(calm())
    assert verdict.broken == {}
    assert verdict.counts["emergencies that had to sound"] == 1


Breaking: TypeAlias = Callable[[Evidence], object]


def heard_twice(evidence: Evidence) -> None:
    tell(evidence, *ALL, (25.0, {"kind": "started", "playlist": ID, "late_ms": 5000}))


def warned_twice(evidence: Evidence) -> None:
    tell(evidence, *ALL, WARNED, WARNED_ENOUGH)


def heard_after_a_document_without_it(evidence: Evidence) -> None:
    evidence.recorder.documents.append((NODE, document(2)))
    without = (15.0, {"kind": "playlists", "result": "accepted", "epoch": 1, "rev": 2})
    tell(evidence, ACCEPTED, FETCHED, SIREN_FETCHED, without, STARTED, COMPLETED, WARNED, WARNED_ENOUGH)


def taken_back_and_still_told(evidence: Evidence) -> None:
    evidence.promises = {ID: replace(evidence.promises[ID], taken_back=at(5))}
    evidence.recorder.documents.append((NODE, document(2, airing(), made=18)))


def heard_late(evidence: Evidence) -> None:
    tell(evidence, *(one if one is not STARTED else (24.0, {**one[1], "late_ms": 4000}) for one in ALL))


def heard_early(evidence: Evidence) -> None:
    tell(evidence, *(one if one is not STARTED else (14.0, {**one[1], "late_ms": 0}) for one in ALL))


def told_another_time(evidence: Evidence) -> None:
    tell(evidence, *(one if one is not STARTED else (21.9, {**one[1], "late_ms": 3}) for one in ALL))


def nobody_knows_of_it(evidence: Evidence) -> None:
    silenced(evidence)
    evidence.deliveries, evidence.events = {}, {}


def the_recorder_saw_nothing(evidence: Evidence) -> None:
    evidence.recorder.documents.clear()


def no_warning(evidence: Evidence) -> None:
    storm(evidence)
    tell(evidence, *(one for one in ALL if one not in (WARNED, WARNED_ENOUGH)))


def a_warning_without_end(evidence: Evidence) -> None:
    tell(evidence, *(one for one in ALL if one is not WARNED_ENOUGH))


def a_message_did_not_arrive(evidence: Evidence) -> None:
    evidence.arrived = evidence.arrived[:1]


def a_message_came_twice(evidence: Evidence) -> None:
    evidence.arrived = [*evidence.arrived, evidence.arrived[0]]


def a_message_came_twice_in_one_attempt(evidence: Evidence) -> None:
    a_message_came_twice(evidence)
    evidence.repeats_allowed = 1000


def sent_again_after_it_was_taken(evidence: Evidence) -> None:
    evidence.attempts[1] = [AttemptRow(1, n, at(30), at(30), "sent") for n in (1, 2)]


def waits_for_nothing(evidence: Evidence) -> None:
    messages(evidence, row(1, "opened", 30), row(2, "recovered", 35, sent=False))


def given_up(evidence: Evidence) -> None:
    dead = replace(row(2, "recovered", 35, sent=False), state=OutboxState.DEAD, last_error="refused")
    messages(evidence, row(1, "opened", 30), dead)


def of_nobody(evidence: Evidence) -> None:
    evidence.arrived = [*evidence.arrived, arrival(row(9, "opened", 31))]


def for_somebody_else(evidence: Evidence) -> None:
    evidence.arrived = [{**evidence.arrived[0], "to": "/tho-son-thuy"}, evidence.arrived[1]]


def many_faults_and_no_incident(evidence: Evidence) -> None:
    evidence.faults = [Injected(f"na-meo-0{n}", code) for n in (1, 2, 3) for code in ("overload", "enclosure")]


def an_order_of_the_former_leader(evidence: Evidence) -> None:
    evidence.recorder.orders = [(NODE, 2), (NODE, 1)]


def an_older_document(evidence: Evidence) -> None:
    evidence.recorder.documents[:0] = [(NODE, document(2, airing()))]


def a_word_is_lost(evidence: Evidence) -> None:
    del evidence.journals[NODE][1]


def a_word_is_altered(evidence: Evidence) -> None:
    evidence.journals[NODE][3] = msgspec.structs.replace(evidence.journals[NODE][3], late_ms=0)


def a_word_that_passed_is_not_stored(evidence: Evidence) -> None:
    evidence.recorder.journal[NODE, "a", 8] = JournalEntry(log="a", n=8, at=at(60), kind="skipped")


def another_log(evidence: Evidence) -> None:
    evidence.journals[NODE].append(JournalEntry(log="b", n=1, at=at(60), kind="skipped"))


BROKEN: list[tuple[str, str, Breaking]] = [
    ("nothing to judge by", "no node began", lambda it: tell(it)),
    ("nothing to judge by", "no document passed", the_recorder_saw_nothing),
    ("nothing to judge by", "no message reached", lambda it: messages(it)),
    ("twice", f"{ID} on {NODE}: 2 times", heard_twice),
    ("twice", f"{ALARM} on {NODE}: 2 times", warned_twice),
    ("stale", "after it had accepted a document without it", heard_after_a_document_without_it),
    ("stale", "after its end", taken_back_and_still_told),
    ("stale", "4000 ms late", heard_late),
    ("stale", "began on na-meo-01 -6000 ms", heard_early),
    ("stale", "began on na-meo-01 1900 ms", told_another_time),
    ("silent", "not in the ledger", nobody_knows_of_it),
    ("silent", "nothing was done that explains it", silenced),
    ("silent", "no reason given", lambda it: silenced(it, "")),
    ("silent", "no verdict", lambda it: silenced(it, "?", DeliveryState.ACCEPTED)),
    ("emergency", "was not heard", no_warning),
    ("emergency", "never ended", a_warning_without_end),
    ("alert lost", "is sent and never arrived", a_message_did_not_arrive),
    ("alert lost", "is pending still", waits_for_nothing),
    ("alert lost", "was given up: refused", given_up),
    ("alert lost", "is sent without an attempt", lambda it: it.attempts.update({1: []})),
    ("alert lost", "no message to", lambda it: messages(it, row(1, "opened", 30, recipient="tho-son-thuy"))),
    ("alert lost", "is over, which nobody told", lambda it: messages(it, row(1, "opened", 30))),
    ("alert lost", "was to be told at", lambda it: change(it, announced=False, closed_at=None)),
    ("alert lost", "6 faults were put in, 0 of them", many_faults_and_no_incident),
    ("alert twice", "came again under their own key", a_message_came_twice),
    ("alert twice", "came 2 times, in 1 attempts", a_message_came_twice_in_one_attempt),
    ("alert twice", "was sent again after it was taken", sent_again_after_it_was_taken),
    ("alert twice", "has 2 rows", lambda it: messages(it, row(1, "opened", 30), row(2, "opened", 31))),
    ("alert of nobody", "no row says so", of_nobody),
    ("alert of nobody", f"is for {PERSON}", for_somebody_else),
    ("recovered without opened", "never that it opened", lambda it: messages(it, row(1, "recovered", 30))),
    ("false alarm", "said to be forged", lambda it: change(it, cause="security")),
    ("backwards", "an order of epoch 1 after one of 2", an_order_of_the_former_leader),
    ("backwards", "(1, 1) after (1, 2)", an_older_document),
    ("against the protocol", "rubbish", lambda it: it.recorder.malformed.append("rubbish")),
    ("forgotten", "entry 2 of a", a_word_is_lost),
    ("forgotten", "is stored as", a_word_is_altered),
    ("forgotten", "entry 8 of a", a_word_that_passed_is_not_stored),
    ("gaps in a journal", "6 entries of 7", a_word_is_lost),
    ("gaps in a journal", "2 logs", another_log),
    ("contradiction", "which no event says", lambda it: it.events.update({(ID, NODE): []})),
    ("still sounding", ID, lambda it: it.sounding.append(it.deliveries[ID, NODE])),
]


@pytest.mark.parametrize(("promise", "said", "breaking"), BROKEN, ids=[f"{one[0]}: {one[1]}" for one in BROKEN])
def test_each_promise_that_is_broken_is_found(promise: str, said: str, breaking: Breaking) -> None:
    evidence = calm()
    breaking(evidence)
    broken = judged(evidence).broken
    assert any(said in line for line in broken.get(promise, [])), broken


def test_nobody_knows_here_what_a_document_names_that_was_too_long_for_the_broker() -> None:
    evidence = calm()
    heard_after_a_document_without_it(evidence)
    short = payload_of(PlaylistsDoc, evidence.recorder.documents.pop()[1])
    ref = PlaylistsRef(url="/media/0.jws", sha256="0")
    evidence.recorder.documents.append((NODE, sign(msgspec.structs.replace(short, ref=ref), KEY)))
    assert "stale" not in judged(evidence).broken


def test_trouble_elsewhere_is_no_reason_for_what_a_node_held_in_time() -> None:
    """In an hour of chaos some controller is always dead: that once excused every silence."""
    evidence = calm()
    silenced(evidence)
    storm(evidence)
    assert "nothing was done that explains it" in judged(evidence).broken["silent"][0]
    storm(evidence, Kind.FREEZE, NODE)
    assert "silent" not in judged(evidence).broken


def test_what_a_node_did_not_get_in_time_is_explained_by_what_was_wrong_anywhere() -> None:
    evidence = calm()
    silenced(evidence)
    tell(evidence, *((19.5, one[1]) if one is ACCEPTED else one for one in ALL if one not in (STARTED, COMPLETED)))
    assert "silent" in judged(evidence).broken
    storm(evidence)
    assert "silent" not in judged(evidence).broken


def test_what_waits_for_the_horn_may_be_too_late() -> None:
    evidence = calm()
    other = (18.0, {"kind": "started", "playlist": "tin-0@x", "late_ms": 1})
    silenced(evidence, "preempted")
    tell(evidence, ACCEPTED, FETCHED, SIREN_FETCHED, other, WARNED, WARNED_ENOUGH)
    assert "silent" not in judged(evidence).broken


def test_an_order_is_planned_by_the_clock_of_the_controller_that_took_it() -> None:
    evidence = calm()
    silenced(evidence, "", DeliveryState.READY)
    storm(evidence, Kind.STEP_CLOCK)
    assert "no reason given" in judged(evidence).broken["silent"][0]
    evidence.promises = {ID: replace(evidence.promises[ID], ordered=True)}
    assert "silent" not in judged(evidence).broken


def test_a_node_whose_clock_was_stepped_may_have_had_it_too_late() -> None:
    evidence = calm()
    silenced(evidence)
    assert "silent" in judged(evidence).broken
    evidence.troubles = [Trouble(Kind.NODE_CLOCK, at(50), at(60), NODE)]
    assert "silent" not in judged(evidence).broken


@pytest.mark.parametrize(
    ("reason", "what", "node"),
    [("expired", Kind.STEP_CLOCK, ""), ("two devices", Kind.NODE_CLOCK, NODE)],
)
def test_a_clock_that_was_stepped_makes_honest_words_look_forged(reason: str, what: Kind, node: str) -> None:
    evidence = calm()
    opened = replace(evidence.incidents[0], cause="security", evidence={"reason": reason})
    evidence.incidents = [opened]
    assert "false alarm" in judged(evidence).broken
    storm(evidence, what, node)
    assert "false alarm" not in judged(evidence).broken
    evidence.incidents = [replace(opened, evidence={"reason": "bad-signature"})]
    assert "false alarm" in judged(evidence).broken


def test_an_entry_of_a_clock_that_was_ahead_hides_nothing_that_comes_after_it() -> None:
    evidence = calm()
    ahead = (80.0, {"kind": "skipped", "playlist": "tin-9@x", "reason": "clock"})
    other = (18.0, {"kind": "started", "playlist": "tin-0@x", "late_ms": 1})
    silenced(evidence, "preempted")
    tell(evidence, ahead, ACCEPTED, FETCHED, SIREN_FETCHED, other, WARNED, WARNED_ENOUGH)
    assert "silent" not in judged(evidence).broken


@pytest.mark.parametrize("what", [Kind.KILL_BROKER, Kind.CUT_NODES, Kind.STEP_CLOCK])
def test_what_is_restarted_however_late_is_lost_by_power_alone(what: Kind) -> None:
    evidence = calm()
    late(evidence, "restart")
    silenced(evidence)
    storm(evidence, what)
    assert "silent" in judged(evidence).broken
    silenced(evidence, "restart", DeliveryState.FAILED)
    assert "silent" in judged(evidence).broken
    storm(evidence, Kind.POWER_CUT, NODE)
    assert "silent" not in judged(evidence).broken


def test_only_a_message_that_is_spaced_may_wait() -> None:
    """Somebody who got enough an hour ago is no reason to wait now."""
    evidence = calm()
    evidence.incidents = []
    waiting = row(9, "severity", 250, sent=False)
    messages(evidence, *(row(n, f"severity-{n}", 100) for n in range(1, 6)), waiting)
    assert "alert lost" not in judged(evidence).broken
    evidence.read_at = at(3600)
    assert "is pending still" in judged(evidence).broken["alert lost"][0]


@pytest.mark.parametrize("gone", [range(36, 42), range(42, 60)], ids=["before", "after"])
def test_no_emergency_is_expected_of_a_node_that_was_not_there(gone: range) -> None:
    evidence = calm()
    no_warning(evidence)
    evidence.recorder.beats[NODE] = [beat for beat in evidence.recorder.beats[NODE] if beat not in gone]
    assert "emergency" not in judged(evidence).broken
