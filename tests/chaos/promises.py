"""What must hold after whatever was done: checked against what nodes, receivers and the database say. Pure, but for the
reading of `Evidence`.

A node's own journal tells what was heard; a subscriber of our own wrote down what passed the broker, so that the
database is not its own witness. An airing that was not heard needs a reason in the ledger, and that reason needs a
cause: something that was really done to this node, or to all, at a time when it mattered.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.adapters.store.engine import file_of
from controller.domain.canary import RECIPIENT as CANARY
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.escalation import OutboxRow, OutboxState
from controller.domain.incidents import Incident
from controller.domain.outbox import WAITING, Policy, key_of
from controller.ports import AttemptRow, Tx
from controller.wire.messages import JournalEntry, PlaylistsDoc
from controller.wire.signing import payload_of
from tests.chaos.hands import Alarm
from tests.chaos.operator import WITHIN, Promise
from tests.chaos.plan import Kind
from tests.chaos.stage import NODES, Trouble
from tests.e2e.kills import Account, Recorder, of_documents, of_orders

S = DeliveryState
ON_TIME_MS = 2_500
"""A node takes two seconds for on time; half a second more is this machine's."""
AFTERMATH = timedelta(seconds=45)
"""So long after its end a trouble may still be why a node had no document in time: connections are made again, a lease
runs out, the plan is made."""

FAR = timedelta(days=400)


@dataclass(slots=True)
class Evidence:
    """Everything that was written down, once all is quiet."""

    promises: Mapping[str, Promise]
    alarms: Sequence[Alarm]
    troubles: Sequence[Trouble]
    recorder: Recorder
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
    _nothing_twice(evidence, verdict)
    _nothing_stale(evidence, verdict)
    _nothing_silent(evidence, verdict)
    _emergencies(evidence, verdict)
    _alerts(evidence, verdict)
    _forwards(evidence, verdict)
    _whole(evidence, verdict)
    return verdict


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


def _nothing_stale(evidence: Evidence, verdict: Verdict) -> None:
    documents = _playlists(evidence.recorder.documents)
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


def _may_sound(
    documents: Mapping[tuple[str, int, int], frozenset[str]], node: str, version: tuple[int, int]
) -> frozenset[str]:
    """What the document that was accepted last names, or a newer one: a node obeys it from the moment it has it, and a
    power cut may take away the entry that says so."""
    return frozenset().union(*(ids for (to, *made), ids in documents.items() if to == node and tuple(made) >= version))


def _stale(node: str, entry: JournalEntry, held: frozenset[str] | None, promise: Promise | None) -> Iterable[str]:
    if held is not None and entry.playlist not in held:
        yield f"{entry.playlist} began on {node} after it had accepted a document without it"
    if promise is not None:
        limit = ON_TIME_MS if promise.late == "drop" else WITHIN / timedelta(milliseconds=1)
        if (entry.late_ms or 0) > limit:
            yield f"{entry.playlist} began on {node} {entry.late_ms} ms late"


def _playlists(documents: Sequence[tuple[str, bytes]]) -> dict[tuple[str, int, int], frozenset[str]]:
    found = {}
    for node, token in documents:
        document = payload_of(PlaylistsDoc, token)
        found[node, document.epoch, document.rev] = frozenset(one.id for one in document.playlists)
    return found


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
    if not row.reason:
        return said
    if row.state not in {S.FAILED, S.SKIPPED, S.CANCELLED, S.UNKNOWN}:
        return f"{said}: no verdict"
    return "" if _caused(evidence, promise, node, row) else f"{said}: nothing was done that explains it"


def _caused(evidence: Evidence, promise: Promise, node: str, row: Delivery) -> bool:
    end = promise.start + WITHIN
    if row.state is S.FAILED and row.reason == "restart":
        return _happened(evidence, {Kind.POWER_CUT, Kind.KILL_NODES}, node, promise.saved, end)
    if row.state is S.FAILED and row.reason == "player-hung":
        return _happened(evidence, {Kind.FREEZE}, node, promise.saved, end)
    if promise.taken_back is not None or _happened(evidence, {Kind.STEP_CLOCK}, node, promise.saved - AFTERMATH, end):
        return True
    return _excused(evidence, promise, node)


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


def _wrong_alarm(evidence: Evidence, alarm: Alarm, node: str, heard: Sequence[str | None]) -> Iterable[str]:
    end = alarm.end_asked or alarm.asked + WITHIN
    others = [one for one in evidence.troubles if one.what != Kind.EMERGENCY]
    calm = not any(one.node in ("", node) and one.meets(alarm.asked - AFTERMATH, end) for one in others)
    if calm and end - alarm.asked >= timedelta(seconds=3) and "started" not in heard:
        yield f"{alarm.id} was not heard on {node}, and nothing was wrong"
    if (
        heard
        and heard[-1] == "started"
        and not _happened(evidence, {Kind.POWER_CUT, Kind.KILL_NODES}, node, alarm.asked, end + WITHIN)
    ):
        yield f"{alarm.id} never ended on {node}"


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
    for row in evidence.outbox:
        verdict.add("alert lost", _undelivered(evidence, row, arrived))
    verdict.add("alert twice", _twice_by_key(evidence, arrived))
    verdict.add("alert twice", _two_keys(evidence.outbox))
    verdict.add("recovered without opened", _unopened(rows))


def _plain(key: str) -> str:
    """A key as Message-ID carries it: without what stands in no mail address."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in key)


def _untold(evidence: Evidence, incident: Incident, rows: Sequence[OutboxRow]) -> Iterable[str]:
    """Everybody who is to hear of an announced incident has a row."""
    if not incident.announced:
        return
    told = {row.recipient for row in rows}
    # those who care for its nodes; of the centre itself everybody
    places = [incident.commune] if incident.commune else [node.rpartition("-")[0] for node in incident.nodes] or [""]
    for person in evidence.people:
        if any(person.endswith(place) for place in places) and person not in told:
            yield f"incident {incident.id} ({incident.cause} at {incident.subject}): no message to {person}"


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
        case OutboxState.DEAD | OutboxState.UNCERTAIN:
            if not row.last_error:
                yield f"{name} is {row.state} without a reason"
        case _ if not _waits_its_turn(evidence, row):
            yield f"{name} is {row.state} still: {row.last_error}"


def _waits_its_turn(evidence: Evidence, row: OutboxRow) -> bool:
    """Not lost, only spaced: this person got as many messages as may go at once."""
    sent = [one for one in evidence.outbox if one.recipient == row.recipient and one.sent_at]
    return row.state in WAITING and len(sent) >= Policy().burst


def _twice_by_key(evidence: Evidence, arrived: Counter[str]) -> Iterable[str]:
    repeats = arrived.total() - len(arrived)
    if repeats > evidence.repeats_allowed:
        yield f"{repeats} messages came again under their own key, {evidence.repeats_allowed} at most were cut off"


def _two_keys(rows: Sequence[OutboxRow]) -> Iterable[str]:
    occasions = Counter((row.incident, row.transition, row.recipient, row.channel) for row in rows)
    return (f"{occasion} has {count} rows" for occasion, count in occasions.items() if count > 1)


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
    verdict.add("gaps in a journal", _gaps(evidence.journals))
    verdict.add("contradiction", _contradictions(evidence))
    verdict.add("still sounding", (f"{one.occurrence} on {one.node}" for one in evidence.sounding))


def _gaps(journals: Mapping[str, Sequence[JournalEntry]]) -> Iterable[str]:
    for node, entries in journals.items():
        logs: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            logs[entry.log].append(entry.n)
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
