"""What must hold after whatever was done: checked against what nodes, receivers and the database say. Pure, but for the
reading of `Evidence`.

A node's own journal tells what was heard; a subscriber of our own wrote down what passed the broker, so that the
database is not its own witness. An airing that was not heard needs a reason in the ledger, and that reason needs a
cause: something that was really done to this node, or to all, at a time when it mattered. In an hour of chaos something
is always wrong somewhere, which would excuse everything: so what a node held in time needs a cause at that very node,
what is to be restarted however late is lost by its power or its player alone, and an emergency that was published while
its node was heard must have sounded.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

from broadcasts.model import assets_of
from controller.adapters.store.engine import file_of
from controller.domain.canary import RECIPIENT as CANARY
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.escalation import OutboxRow, OutboxState
from controller.domain.incidents import Incident
from controller.domain.notready import SCOPE as NOTICE
from controller.domain.outbox import UNSURE, WAITING, Policy, key_of
from controller.ports import AttemptRow, Tx
from controller.wire.messages import JournalEntry, PlaylistsDoc, Track
from controller.wire.signing import payload_of
from tests.chaos.hands import Alarm, Injected
from tests.chaos.operator import WITHIN, Promise
from tests.chaos.plan import Kind
from tests.chaos.stage import NODES, Trouble
from tests.e2e.kills import Account, Notes, of_documents, of_orders

S = DeliveryState
ON_TIME_MS = 2_500
"""A node takes two seconds for on time; half a second more is this machine's."""
AFTERMATH = timedelta(seconds=45)
"""So long after its end a trouble may still be why a node had no document in time: connections are made again, a lease
runs out, the plan is made."""

FAR = timedelta(days=400)
HELD_BEFORE = timedelta(seconds=2)
"""A document that a node has accepted this long before a start, with the audio, needs nobody else any more."""
FROM_THE_START_MS = 1_000
"""So far may a start be from where `late_ms` puts it: more is a document that says another time than was asked for."""
REACTS_S = 5.0
"""A node that is heard this long after an emergency was published has had it."""
BEATS_S = 3.5
"""Two heartbeats that are no further apart are of one connection."""
FEW = 6
"""Faults of fewer nodes and kinds may all have come while nobody could see them."""
ANNOUNCED_IN = timedelta(seconds=60)
"""An incident's first message may go at `announce_at`; this machine takes its time."""


@dataclass(slots=True)
class Evidence:
    """Everything that was written down, once all is quiet."""

    promises: Mapping[str, Promise]
    alarms: Sequence[Alarm]
    troubles: Sequence[Trouble]
    recorder: Notes
    arrived: Sequence[Mapping[str, str]]
    repeats_allowed: int
    """How often a sender or a receiver was killed or cut off, in the midst of a message at the worst."""
    site: str = "muong-son"
    occurrences: dict[str, OccurrenceRow] = field(default_factory=dict)
    deliveries: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    events: dict[tuple[str, str], list[DeliveryEvent]] = field(default_factory=dict)
    journals: dict[str, list[JournalEntry]] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    attempts: dict[int, list[AttemptRow]] = field(default_factory=dict)
    sounding: list[Delivery] = field(default_factory=list)
    versions: dict[str, tuple[int, int]] = field(default_factory=dict)
    people: Sequence[str] = ()
    """Who is to be told; each is named for a commune."""
    faults: Sequence[Injected] = ()
    read_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _recorded: dict[tuple[str, int, int], PlaylistsDoc] | None = None
    _seen: int = 0

    @property
    def recorded(self) -> Mapping[tuple[str, int, int], PlaylistsDoc]:
        """The documents that passed the broker, by node, epoch and revision."""
        if self._recorded is None or self._seen != len(self.recorder.documents):
            self._seen = len(self.recorder.documents)
            made = [(node, _document(token)) for node, token in self.recorder.documents]
            self._recorded = {(node, one.epoch, one.rev): one for node, one in made}
        return self._recorded

    def read(self, tx: Tx) -> None:
        """What the database holds."""
        ids = sorted(self.promises)
        self.occurrences = {id: row for id in ids if (row := tx.occurrence(id))}
        self.deliveries = {(row.occurrence, row.node): row for row in tx.deliveries_of(ids)}
        self.events = {key: tx.delivery_events(*key) for key in self.deliveries}
        self.journals = {node: _in_order(tx.journal(node, 1_000_000)) for node in NODES}
        self.incidents = tx.incidents(min(one.saved for one in self.promises.values()) - FAR)
        self.outbox = [row for row in tx.outbox(limit=1_000_000) if row.recipient != CANARY]
        self.attempts = {row.id: tx.attempts(row.id) for row in self.outbox}
        self.sounding = tx.sounding()
        self.versions = {node: (row.epoch, row.rev) for node, row in tx.desired().items()}


@cache
def _document(token: bytes) -> PlaylistsDoc:
    """Thousands of documents, which are looked at again and again."""
    return payload_of(PlaylistsDoc, token)


def _in_order(entries: Iterable[JournalEntry]) -> list[JournalEntry]:
    """A node has one log as long as it has one disk."""
    return sorted(entries, key=lambda entry: (entry.log, entry.n))


@dataclass(slots=True)
class Verdict:
    """Promise -> how it was broken, one line each. What is not broken is not in `broken`."""

    broken: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, promise: str, lines: Iterable[str]) -> None:
        if found := list(lines):
            self.broken.setdefault(promise, []).extend(found)


def judged(evidence: Evidence) -> Verdict:
    """All promises but what only the database's own tools can tell (`damage`)."""
    verdict = Verdict()
    verdict.add("nothing to judge by", _blind(evidence))
    _nothing_twice(evidence, verdict)
    _nothing_stale(evidence, verdict)
    _nothing_silent(evidence, verdict)
    _emergencies(evidence, verdict)
    _alerts(evidence, verdict)
    _forwards(evidence, verdict)
    _whole(evidence, verdict)
    return verdict


def _blind(evidence: Evidence) -> Iterable[str]:
    """A witness who saw nothing at all was not there."""
    if evidence.promises and not any(one.kind == "started" for each in evidence.journals.values() for one in each):
        yield "no node began anything"
    if not evidence.recorder.documents:
        yield "no document passed the broker"
    if not evidence.arrived:
        yield "no message reached anybody"


# --- nothing twice, nothing stale ---------------------------------------------------------------------------


def _nothing_twice(evidence: Evidence, verdict: Verdict) -> None:
    starts = Counter(
        (entry.playlist, node)
        for node, entries in evidence.journals.items()
        for entry in entries
        if entry.kind == "started"
    )
    verdict.counts["airings"] = len(evidence.promises)
    verdict.counts["heard"] = starts.total()
    verdict.add("twice", (f"{id} on {node}: {count} times" for (id, node), count in starts.items() if count > 1))
    verdict.add("twice", _alarms_twice(evidence))


def _alarms_twice(evidence: Evidence) -> Iterable[str]:
    """An emergency that is still on begins again where power or the program came back, and nowhere else."""
    starts = Counter(
        (entry.id, node)
        for node, entries in evidence.journals.items()
        for entry in entries
        if (entry.kind, entry.result) == ("emergency", "started")
    )
    for (id, node), count in starts.items():
        boots = sum(
            one.what in {Kind.POWER_CUT, Kind.KILL_NODES} and one.node in ("", node) for one in evidence.troubles
        )
        if count > 1 + boots:
            yield f"{id} on {node}: {count} times, with {boots} boots"


def _nothing_stale(evidence: Evidence, verdict: Verdict) -> None:
    documents = _playlists(evidence.recorded)
    for node, entries in evidence.journals.items():
        version: tuple[int, int] | None = None
        for entry in entries:
            if entry.kind == "playlists" and entry.result == "accepted":
                version = (entry.epoch or 0, entry.rev or 0)
            elif entry.kind == "started" and entry.playlist:
                # a document that came and went while the recorder was away from the broker says nothing here
                seen = version is not None and (node, *version) in documents
                held = _may_sound(documents, node, version) if version is not None and seen else None
                verdict.add("stale", _stale(node, entry, held, evidence.promises.get(entry.playlist)))
    verdict.add("stale", _still_named(evidence))


def _still_named(evidence: Evidence) -> Iterable[str]:
    """What was taken back is in no document that is made some time later by somebody who could read the file."""
    blind = {Kind.STEP_CLOCK, Kind.BAD_EDIT, Kind.STOP_CONTROLLER, Kind.FILL_DISK}
    gone = {id: one.taken_back for id, one in evidence.promises.items() if one.taken_back}
    for node, token in evidence.recorder.documents:
        document = _document(token)
        made = datetime.fromtimestamp(document.iat, UTC)
        for id in {one.id for one in document.playlists} & gone.keys():
            late = made - gone[id] > timedelta(seconds=10)
            if late and not _happened(evidence, blind, node, gone[id] - timedelta(seconds=5), made):
                yield f"{id} is in document {document.epoch}.{document.rev} of {node}, {made - gone[id]} after its end"


def _may_sound(
    documents: Mapping[tuple[str, int, int], frozenset[str] | None], node: str, version: tuple[int, int]
) -> frozenset[str] | None:
    """What the document that was accepted last names, or a newer one: a node obeys it from the moment it has it, and a
    power cut may take away the entry that says so. None: one of them was too long, and nobody here knows it."""
    named = [ids for (to, *made), ids in documents.items() if to == node and tuple(made) >= version]
    known = [ids for ids in named if ids is not None]
    return frozenset[str]().union(*known) if len(known) == len(named) else None


def _stale(node: str, entry: JournalEntry, held: frozenset[str] | None, promise: Promise | None) -> Iterable[str]:
    if held is not None and entry.playlist not in held:
        yield f"{entry.playlist} began on {node} after it had accepted a document without it"
    if promise is not None:
        limit = ON_TIME_MS if promise.late == "drop" else WITHIN / timedelta(milliseconds=1)
        late_ms = entry.late_ms or 0
        if late_ms > limit:
            yield f"{entry.playlist} began on {node} {late_ms} ms late"
        meant = (entry.at - promise.start) / timedelta(milliseconds=1)
        if not promise.ordered and (meant < -FROM_THE_START_MS or abs(meant - late_ms) > FROM_THE_START_MS):
            yield f"{entry.playlist} began on {node} {meant:.0f} ms from what was asked for, and said {late_ms}"


def _playlists(
    recorded: Mapping[tuple[str, int, int], PlaylistsDoc],
) -> dict[tuple[str, int, int], frozenset[str] | None]:
    """What each document names; None for one that only says where its playlists are to be fetched."""
    return {
        version: None if document.ref is not None else frozenset(one.id for one in document.playlists)
        for version, document in recorded.items()
    }


# --- nothing silent -----------------------------------------------------------------------------------------


def _nothing_silent(evidence: Evidence, verdict: Verdict) -> None:
    reasons: Counter[str] = Counter()
    for promise in evidence.promises.values():
        for node in promise.nodes:
            row = evidence.deliveries.get((promise.occurrence, node))
            if row is not None and row.state is S.COMPLETED:
                reasons["heard"] += 1
                continue
            reasons[f"{row.state}: {row.reason}" if row else "never in the ledger"] += 1
            why = _unexplained(evidence, promise, node, row)
            verdict.add("silent", [f"{promise.occurrence} on {node}: {why}"] if why else [])
    verdict.counts |= {f"airing {reason}": count for reason, count in sorted(reasons.items())}


def _unexplained(evidence: Evidence, promise: Promise, node: str, row: Delivery | None) -> str:
    """Why this is not in order; empty if what the ledger says has a cause."""
    if row is None:
        return "" if _excused(evidence, promise, node) else "not in the ledger, and nothing was wrong"
    said = f"{row.state}, {row.reason or 'no reason given'}"
    around = promise.saved - AFTERMATH, promise.saved + AFTERMATH
    if promise.ordered and _happened(evidence, {Kind.STEP_CLOCK}, node, *around):
        return ""  # it is planned for the moment of the controller's clock, which may be an hour from here
    if not row.reason:
        return said
    if row.state not in {S.FAILED, S.SKIPPED, S.CANCELLED, S.UNKNOWN}:
        return f"{said}: no verdict"
    return "" if _caused(evidence, promise, node, row) else f"{said}: nothing was done that explains it"


def _caused(evidence: Evidence, promise: Promise, node: str, row: Delivery) -> bool:
    """Something was really done that leads to this very verdict."""
    end = promise.start + WITHIN
    if row.state is S.FAILED and row.reason == "restart":
        return _happened(evidence, {Kind.POWER_CUT, Kind.KILL_NODES}, node, promise.saved, end)
    if row.state is S.FAILED and row.reason == "player-hung":
        return _happened(evidence, {Kind.FREEZE}, node, promise.saved, end)
    if promise.taken_back is not None:
        return True
    # a controller that is an hour ahead takes back what it holds for over; no clock makes a node miss what it holds
    taken_back = row.state in {S.CANCELLED, S.UNKNOWN} or row.reason == "cancelled"
    if taken_back and _happened(
        evidence, {Kind.STEP_CLOCK}, node, promise.saved - AFTERMATH, promise.start + 2 * AFTERMATH
    ):
        return True
    if promise.late != "restart" and not taken_back and _held(evidence, promise, node):
        return _prevented(evidence, promise, node, row.reason)
    return _excused(evidence, promise, node)


def _held(evidence: Evidence, promise: Promise, node: str) -> bool:
    """The node had it in its document, and all of its audio, before the start."""
    by, audio = promise.start - HELD_BEFORE, set[str]()
    version: tuple[int, int] | None = None
    for entry in evidence.journals[node]:
        if entry.at > by:
            continue
        if entry.kind == "prefetched" and entry.sha256:
            audio.add(entry.sha256)
        elif entry.kind == "playlists" and entry.result == "accepted":
            version = (entry.epoch or 0, entry.rev or 0)
    if version is None or (held := evidence.recorded.get((node, *version))) is None:
        return False
    return any(one.id == promise.occurrence and _assets(one.tracks) <= audio for one in held.playlists)


def _assets(tracks: Iterable[Track]) -> set[str]:
    return {asset.sha256 for track in tracks for asset in assets_of(track)}


def _prevented(evidence: Evidence, promise: Promise, node: str, reason: str) -> bool:
    """What a node holds in time is kept from sounding by what is done to the node itself, or by what sounds there."""
    local = {Kind.POWER_CUT, Kind.KILL_NODES, Kind.STOP_NODES, Kind.FREEZE, Kind.NODE_CLOCK}
    begin, end = promise.start - timedelta(seconds=15), promise.start + timedelta(seconds=5)
    if reason in {"preempted", "late"} and _is_busy(evidence.journals[node], promise):
        return True
    # a clock that is behind writes that it held in time what came too late
    behind = promise.start - AFTERMATH, promise.start + 2 * AFTERMATH
    return _happened(evidence, local, node, begin, end) or _happened(evidence, {Kind.NODE_CLOCK}, node, *behind)


def _is_busy(entries: Iterable[JournalEntry], promise: Promise) -> bool:
    """Something else had the horn when it was due and as long as it may be late."""
    sounding: set[str] = set()
    last = promise.start + timedelta(milliseconds=ON_TIME_MS)
    for entry in entries:
        if entry.at > last:
            continue  # not the end: a clock that was ahead wrote entries of later times before
        id = entry.playlist or entry.id or ""
        if entry.kind in {"started", "resumed"} or (entry.kind, entry.result) == ("emergency", "started"):
            sounding.add(id)
        elif entry.at < promise.start and (entry.kind in {"completed", "failed"} or entry.result == "ended"):
            sounding.discard(id)
    return bool(sounding)


def _excused(evidence: Evidence, promise: Promise, node: str) -> bool:
    """Anything was wrong, for this node or for all, while the airing was on its way to the node's loudspeaker. What is
    to be restarted however late can't be lost so: it waits."""
    if promise.taken_back is not None:
        return True
    begin, end = promise.saved - AFTERMATH, promise.start + timedelta(seconds=3)
    return promise.late != "restart" and any(
        one.node in ("", node) and one.meets(begin, end) for one in evidence.troubles
    )


def _happened(evidence: Evidence, kinds: set[Kind], node: str, begin: datetime, end: datetime) -> bool:
    return any(one.what in kinds and one.node in ("", node) and one.meets(begin, end) for one in evidence.troubles)


# --- emergencies --------------------------------------------------------------------------------------------


def _emergencies(evidence: Evidence, verdict: Verdict) -> None:
    said: dict[tuple[str, str], list[JournalEntry]] = defaultdict(list)
    for node, entries in evidence.journals.items():
        for entry in entries:
            if entry.kind == "emergency" and entry.id:
                said[entry.id, node].append(entry)
    ordered = [alarm for alarm in evidence.alarms if alarm.id]
    verdict.counts["emergencies"] = len(ordered)
    verdict.counts["emergencies sounding"] = len(said)
    for alarm in ordered:
        for node in (node for node in NODES if node.startswith(alarm.commune)):
            heard = [entry.result for entry in said.get((alarm.id, node), [])]
            verdict.add("emergency", _wrong_alarm(evidence, alarm, node, heard))
    verdict.add("emergency", _unheard(evidence, verdict))


def _wrong_alarm(evidence: Evidence, alarm: Alarm, node: str, heard: Sequence[str | None]) -> Iterable[str]:
    end = alarm.end_asked or alarm.asked + WITHIN
    if (
        heard
        and heard[-1] == "started"
        and not _happened(evidence, {Kind.POWER_CUT, Kind.KILL_NODES}, node, alarm.asked, end + WITHIN)
    ):
        yield f"{alarm.id} never ended on {node}"


def _unheard(evidence: Evidence, verdict: Verdict) -> Iterable[str]:
    """An emergency that was published while a node was there, and still is some seconds later, has sounded there."""
    states = evidence.recorder.alarms
    started = {
        (entry.id, node)
        for node, entries in evidence.journals.items()
        for entry in entries
        if (entry.kind, entry.result) == ("emergency", "started")
    }
    over: dict[str, float] = defaultdict(lambda: math.inf)
    for at, state in states:
        if not state.active:
            over[state.id] = min(over[state.id], at)
    due: set[tuple[str, str]] = set()
    for at, state in states:
        last = min([over[state.id], *(t for t, one in states if one.id != state.id and one.iat >= state.iat)])
        for node in (node for node in NODES if state.active and state.aud in ("zone:all", f"zone:{node[:-3]}")):
            held = {one.sha256 for one in evidence.journals[node] if one.kind == "prefetched"}
            if _assets(state.tracks) <= held and _was_there(evidence.recorder.beats.get(node, ()), at, last):
                due.add((state.id, node))
    verdict.counts["emergencies that had to sound"] = len(due)
    return (f"{id} was not heard on {node}, which was there" for id, node in sorted(due - started))


def _was_there(beats: Sequence[float], at: float, last: float) -> bool:
    """Heard before `at` and on until REACTS_S later, without a break, all before `last`."""
    until = at + REACTS_S
    if until > last:
        return False
    near = [beat for beat in beats if at - BEATS_S <= beat <= until + BEATS_S]
    whole = near and near[0] <= at and near[-1] >= until
    return bool(whole) and all(later - earlier <= BEATS_S for earlier, later in pairwise(near))


# --- no alert lost ------------------------------------------------------------------------------------------


def _alerts(evidence: Evidence, verdict: Verdict) -> None:
    arrived = Counter(_plain(one["key"]) for one in evidence.arrived)
    rows: dict[int, list[OutboxRow]] = defaultdict(list)
    for row in evidence.outbox:
        rows[row.incident].append(row)
    verdict.counts["incidents"] = len(evidence.incidents)
    verdict.counts["messages"] = arrived.total()
    verdict.counts |= {
        f"message {state}": n for state, n in Counter(row.state.value for row in evidence.outbox).items()
    }
    verdict.counts["messages repeated by the same key"] = arrived.total() - len(arrived)
    for incident in (one for one in evidence.incidents if one.subject != CANARY):
        verdict.add("alert lost", _untold(evidence, incident, rows[incident.id]))
    verdict.add("alert lost", _unnoticed(evidence, verdict))
    for row in evidence.outbox:
        verdict.add("alert lost", _undelivered(evidence, row, arrived))
    verdict.add("alert twice", _twice_by_key(evidence, arrived))
    verdict.add("alert twice", _oftener_than_tried(evidence, arrived))
    verdict.add("alert of nobody", _unwritten(evidence))
    verdict.add("alert twice", _two_keys(evidence.outbox))
    verdict.add("recovered without opened", _unopened(rows))
    verdict.add("false alarm", _forged(evidence))


def _plain(key: str) -> str:
    """A key as Message-ID carries it: without what stands in no mail address."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in key)


def _untold(evidence: Evidence, incident: Incident, rows: Sequence[OutboxRow]) -> Iterable[str]:
    """Everybody who is to hear of an announced incident has a row; who was told of it hears of its end."""
    if not incident.announced:
        when = incident.announce_at
        if when and incident.parent is None and incident.closed_at is None and when + ANNOUNCED_IN < evidence.read_at:
            yield f"incident {incident.id} ({incident.cause} at {incident.subject}) was to be told at {when:%H:%M:%S}"
        return
    told = {row.recipient for row in rows}
    # those who care for its nodes; of the centre itself everybody
    places = [incident.commune] if incident.commune else [node.rpartition("-")[0] for node in incident.nodes] or [""]
    for person in evidence.people:
        if any(person.endswith(place) for place in places) and person not in told:
            yield f"incident {incident.id} ({incident.cause} at {incident.subject}): no message to {person}"
    ends = {row.recipient for row in rows if row.transition.startswith("recovered")}
    if incident.closed_at is not None and incident.scope != NOTICE:
        yield from (f"incident {incident.id} is over, which nobody told {one}" for one in sorted(told - ends))


def _unnoticed(evidence: Evidence, verdict: Verdict) -> Iterable[str]:
    """Of the faults that were put in, again and again, many became incidents. Not all must: they last half a minute,
    and some came and went while nobody could see them; more where the database is killed too."""
    put_in = {(one.node, one.code) for one in evidence.faults}
    found = {(one.subject, one.cause) for one in evidence.incidents if one.announced}
    verdict.counts["faults put in, by node and kind"] = len(put_in)
    verdict.counts["of these told"] = len(put_in & found)
    if len(put_in) >= FEW and len(put_in & found) * 3 < len(put_in):
        yield f"{len(put_in)} faults were put in, {len(put_in & found)} of them were told"


def _undelivered(evidence: Evidence, row: OutboxRow, arrived: Mapping[str, int]) -> Iterable[str]:
    name = f"{row.transition} of {row.incident} to {row.recipient} by {row.channel}"
    match row.state:
        case OutboxState.SENT:
            if not arrived[_plain(key_of(evidence.site, row))]:
                yield f"{name} is sent and never arrived"
            if not any(one.outcome == OutboxState.SENT for one in evidence.attempts[row.id]):
                yield f"{name} is sent without an attempt on record"
        case OutboxState.MERGED:
            if not arrived[_plain(row.last_error.removeprefix("told with "))]:
                yield f"{name} is told with another that never arrived"
        case OutboxState.DEAD:
            yield f"{name} was given up: {row.last_error}"
        case OutboxState.UNCERTAIN:
            if not row.last_error:
                yield f"{name} is uncertain without a reason"
        case _ if not _waits_its_turn(evidence, row):
            yield f"{name} is {row.state} still: {row.last_error}"


def _waits_its_turn(evidence: Evidence, row: OutboxRow) -> bool:
    """Not lost, only spaced: this person just got as many messages as may go at once; or perhaps it arrived, and is
    sent again when that is polite."""
    policy = Policy()
    since = evidence.read_at - timedelta(seconds=policy.window_s)
    recent = [one for one in evidence.outbox if one.recipient == row.recipient and one.sent_at and one.sent_at > since]
    unsure = row.last_error.startswith(UNSURE) and row.due_at > evidence.read_at
    return row.state in WAITING and (len(recent) >= policy.burst or unsure)


def _oftener_than_tried(evidence: Evidence, arrived: Mapping[str, int]) -> Iterable[str]:
    """Each message that came was an attempt that was written down before, and none follows one that was taken."""
    for row in evidence.outbox:
        attempts = evidence.attempts[row.id]
        if (came := arrived[_plain(key_of(evidence.site, row))]) > len(attempts):
            tries = len(attempts)
            yield f"{row.transition} of {row.incident} to {row.recipient} came {came} times, in {tries} attempts"
        if any(one.outcome == OutboxState.SENT for one in attempts[:-1]):
            yield f"{row.transition} of {row.incident} to {row.recipient} was sent again after it was taken"


def _unwritten(evidence: Evidence) -> Iterable[str]:
    """Whatever reached somebody is a row of the outbox, and for this person."""
    meant = {_plain(key_of(evidence.site, row)): row.recipient for row in evidence.outbox}
    for one in evidence.arrived:
        person = meant.get(_plain(one["key"]))
        if person is None:
            yield f"{one['key']} came to {one['to']}, and no row says so"
        elif person not in one["to"]:
            yield f"{one['key']} came to {one['to']}, and is for {person}"


def _twice_by_key(evidence: Evidence, arrived: Counter[str]) -> Iterable[str]:
    repeats = arrived.total() - len(arrived)
    if repeats > evidence.repeats_allowed:
        yield f"{repeats} messages came again under their own key, {evidence.repeats_allowed} at most were cut off"


def _two_keys(rows: Sequence[OutboxRow]) -> Iterable[str]:
    occasions = Counter((row.incident, row.transition, row.recipient, row.channel) for row in rows)
    return (f"{occasion} has {count} rows" for occasion, count in occasions.items() if count > 1)


def _forged(evidence: Evidence) -> Iterable[str]:
    """Nobody here has another key, or sends again what somebody said. A controller whose clock is behind does: what it
    orders is expired; and a node whose clock was ahead is born, by its own word, before the birth that a killed broker
    has again. When an incident opened says the clock that may be wrong."""
    stepped = {one.node if one.what is Kind.NODE_CLOCK else CENTRE for one in evidence.troubles if one.what in _CLOCKS}
    for one in evidence.incidents:
        reason = one.evidence.get("reason")
        of_a_clock = (reason == "expired" and CENTRE in stepped) or (reason == "two devices" and one.subject in stepped)
        if one.cause == "security" and not of_a_clock:
            yield f"incident {one.id}: orders to {one.subject} are said to be forged: {dict(one.evidence)}"


CENTRE = ""
_CLOCKS = frozenset({Kind.STEP_CLOCK, Kind.NODE_CLOCK})


def _unopened(rows: Mapping[int, Sequence[OutboxRow]]) -> Iterable[str]:
    for incident, told in rows.items():
        opened = {(row.recipient, row.channel) for row in told if not row.transition.startswith("recovered")}
        for row in told:
            if row.transition.startswith("recovered") and (row.recipient, row.channel) not in opened:
                yield f"{row.recipient} heard that incident {incident} recovered, and never that it opened"


# --- forwards, and whole ------------------------------------------------------------------------------------


def _forwards(evidence: Evidence, verdict: Verdict) -> None:
    account = Account()
    of_documents(account, evidence.recorder.documents)
    of_orders(account, evidence.recorder.orders)
    verdict.counts |= {"documents": account.documents, "epochs": account.epochs}
    verdict.add("backwards", [*account.backwards, *account.contradictions])


def _whole(evidence: Evidence, verdict: Verdict) -> None:
    stored = {(node, one.log, one.n) for node, entries in evidence.journals.items() for one in entries}
    passed = set(evidence.recorder.journal)
    verdict.counts["journal entries"] = len(stored)
    verdict.add("against the protocol", dict.fromkeys(evidence.recorder.malformed))
    verdict.add("forgotten", (f"{node}: entry {n} of {log}" for node, log, n in sorted(passed - stored)))
    verdict.add("forgotten", _altered(evidence))
    verdict.add("gaps in a journal", _gaps(evidence.journals))
    verdict.add("contradiction", _contradictions(evidence))
    verdict.add("still sounding", (f"{one.occurrence} on {one.node}" for one in evidence.sounding))


def _altered(evidence: Evidence) -> Iterable[str]:
    """What is stored is what was said."""
    for node, entries in evidence.journals.items():
        for entry in entries:
            said = evidence.recorder.journal.get((node, entry.log, entry.n), entry)
            if said != entry:
                yield f"{node}: {said} is stored as {entry}"


def _gaps(journals: Mapping[str, Sequence[JournalEntry]]) -> Iterable[str]:
    for node, entries in journals.items():
        logs: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            logs[entry.log].append(entry.n)
        if len(logs) > 1:
            yield f"{node}: {len(logs)} logs, of one disk that nobody took away"
        for log, numbers in logs.items():
            if len(numbers) != max(numbers):
                yield f"{node}: {len(numbers)} entries of {max(numbers)} in {log}"


def _contradictions(evidence: Evidence) -> Iterable[str]:
    """The newest event of a delivery says its state."""
    for key, events in evidence.events.items():
        row = evidence.deliveries[key]
        if not any(event.state is row.state for event in events):
            yield f"{row.occurrence} on {row.node} is {row.state}, which no event says"


def damage(url: str) -> list[str]:
    """What SQLite's own checks find; PostgreSQL checks as it goes."""
    path = file_of(url)
    if path is None:
        return []
    with sqlite3.connect(path) as database:
        found = [str(row[0]) for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"foreign key: {row}" for row in database.execute("PRAGMA foreign_key_check")]
    return found
