"""What services need of the world: Clock, Bus, Store, Notifier, Library. Adapters implement these.

The Store runs a function in one transaction (`transact`): everything the function does through its `Tx`
commits together or not at all. Tx methods are plain and synchronous; they decide nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from broadcasts.model import Item, Rendered
from broadcasts.studio.errors import AudioRefused as AudioRefused
from controller.domain.commissioning import Baseline, Selftest
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.emergencies import Answer, EmergencyRow
from controller.domain.escalation import Channel, OutboxRow, OutboxState
from controller.domain.faults import Value
from controller.domain.hush import Hush
from controller.domain.incidents import Incident, IncidentEvent
from controller.domain.lease import Lease
from controller.domain.maintenance import MaintenanceEvent
from controller.domain.monthly import NodeEvent
from controller.domain.preflight import PreflightRow
from controller.domain.watching import Space
from controller.domain.workorders import WorkOrder, WorkOrderEvent, WorkPhoto
from controller.wire.messages import JournalEntry

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ConfigRefused(ValueError):
    """A configuration that must not take effect; `problems` are lines for the operator."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# --- time ---------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """Wall clock for what people see, monotonic clock for elapsed time."""

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float:
        """Seconds; only differences mean something."""

    async def sleep(self, seconds: float) -> None: ...


class Timer(Protocol):
    """Calls back at an instant (APScheduler in service). Setting a name again moves it."""

    def at(self, name: str, when: datetime, call: Callable[[], Awaitable[None]]) -> None: ...

    def cancel(self, name: str) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


# --- bus ----------------------------------------------------------------------------------------------------


class Received(msgspec.Struct, frozen=True):
    """One message as it came; `mono` is the controller's monotonic receive time.

    A struct, because it is made for everything that arrives: a frozen dataclass takes five times as long."""

    topic: str
    payload: bytes
    retain: bool
    mono: float


@dataclass(frozen=True, slots=True)
class BusUp:
    """(Re)connected and subscribed."""

    mono: float


@dataclass(frozen=True, slots=True)
class BusDown:
    reason: str
    mono: float


BusEvent = Received | BusUp | BusDown


NOBODY_SUBSCRIBED = "nobody is subscribed"
"""The broker took a message, but no client is there to get it: the node is absent."""


Handed = Callable[[float], None]


class Bus(Protocol):
    """The broker connection. Events come in batches, in order."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def events(self) -> AsyncIterator[Sequence[BusEvent]]: ...

    @property
    def connected(self) -> bool: ...

    @property
    def oldest(self) -> float | None:
        """When the first of those events came (monotonic) that wait to be handed over; None if none does."""

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        qos: int = 1,
        expiry_s: int | None = None,
        bulk: bool = False,
        handed: Handed | None = None,
    ) -> str:
        """Empty when the broker acknowledged; otherwise the reason in one line ("not connected", "denied"...).
        Nothing is queued while disconnected. With `handed` it is urgent: it goes before whatever waits, and `handed`
        is told the monotonic time at which it left for the broker. `bulk`: everything else goes before it."""


# --- store --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Desired:
    """What a node should hold: the newest document that was made for it. `content` is the fingerprint of
    what it says (playlists and settings, not epoch, rev or dates); `document` the JWS as published."""

    node: str
    epoch: int
    rev: int
    content: str
    document: bytes
    made_at: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class NodeRow:
    """What was last known of a node, so that a restart forgets nothing. Times are wall clock."""

    node: str
    liveness: str
    since: datetime
    boot: str = ""
    conn: int = 0
    held_epoch: int = 0
    held_rev: int = 0
    seen_at: datetime | None = None
    firmware: str = ""
    metrics: Mapping[str, Value] | None = None


@dataclass(frozen=True, slots=True)
class FaultRow:
    """Rule state of one fault code on one node (see domain/faults.py for the states)."""

    node: str
    code: str
    state: str
    since: datetime
    severity: str
    evidence: Mapping[str, Value]
    passed_selftest: bool = False
    latched: bool = False


@dataclass(frozen=True, slots=True)
class NowRow:
    """A broadcast ordered by command (`loa say`, `loa play`), kept so that a restart forgets nothing.
    `definition` is the pickled-free JSON of its Broadcast (see services/scheduling.py)."""

    id: str
    definition: str
    created_at: datetime
    created_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what: configuration changes, orders, acknowledgements, enrolments."""

    at: datetime
    who: str
    what: str
    detail: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class Credential:
    """A node's password, hashed as Mosquitto hashes it (`$7$iterations$salt$hash`)."""

    node: str
    password_hash: str
    enrolled_at: datetime


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try to send an outbox row, written before it is made. `outcome` is empty while it runs, then the
    state it led to; "uncertain" if its lease ran out before anybody wrote one."""

    outbox: int
    n: int
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReachRow:
    """What became of the newest message to a person on one channel: taken, or refused for good."""

    recipient: str
    channel: str
    works: bool
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClimbRow:
    """How far people have been told of an incident (domain/climb.py). `told` is a severity, "" if they know of none."""

    incident: int
    told: str
    step: int
    due_at: datetime | None


class StoreError(Exception):
    """The database refused; the text says in one line what is wrong and what to do.

    `permanent`: trying again helps only after a person did something. Otherwise nothing of the failed
    transaction is kept, unless the connection broke while it was committed.
    """

    def __init__(self, detail: str, *, permanent: bool = True) -> None:
        super().__init__(detail)
        self.permanent = permanent


class Tx(Protocol):
    """One open transaction. It ends when the function it was given to returns: keep no reference."""

    # controller
    def raise_epoch(self, above: int = 0) -> int:
        """Raise and return the epoch (1 for the first); it is then higher than `above` too."""

    def epoch(self) -> int:
        """0 before the first `raise_epoch`."""

    def lease(self) -> Lease | None:
        """Who has leadership by the last word of the database (domain/lease.py judges it)."""

    def put_lease(self, lease: Lease) -> None:
        """Take or renew leadership, whoever had it: judge in the same transaction whether that may be."""

    def drop_lease(self, holder: str) -> None:
        """Give leadership up, if `holder` has it."""

    def note(self, key: str, value: str) -> None:
        """A small remembered value (last config error, last plan...)."""

    def noted(self, key: str) -> str | None: ...

    def audit(self, row: AuditRow) -> None:
        """Append; its id is ignored."""

    def audits(self, limit: int = 100, what: Collection[str] = ()) -> list[AuditRow]:
        """Newest first; only what is called one of `what`, if any are given."""

    # credentials
    def put_credential(self, row: Credential) -> None: ...

    def drop_credential(self, node: str) -> None: ...

    def credential(self, node: str) -> Credential | None: ...

    def credentials(self) -> list[Credential]: ...

    # desired state
    def desired(self) -> dict[str, Desired]: ...

    def desired_of(self, node: str) -> Desired | None: ...

    def wanted(self) -> dict[str, tuple[int, int]]:
        """Node -> (epoch, rev) of what it should hold, without the documents."""

    def put_desired(self, rows: Iterable[Desired]) -> None: ...

    # orders of the moment
    def put_now(self, row: NowRow) -> None: ...

    def drop_now(self, id: str) -> None: ...

    def now_rows(self, after: datetime) -> list[NowRow]:
        """Those that expire after `after`."""

    def put_stop(self, occurrence: str, node: str, at: datetime) -> None:
        """An operator silenced this occurrence on this node; it stays silenced."""

    def stops(self, after: datetime) -> set[tuple[str, str]]:
        """(occurrence, node) stopped after `after`."""

    # ledger
    def put_occurrences(self, rows: Iterable[OccurrenceRow]) -> None:
        """Insert or replace by id."""

    def occurrence(self, id: str) -> OccurrenceRow | None: ...

    def occurrences(self, start: datetime, end: datetime) -> list[OccurrenceRow]:
        """Those that overlap [start, end), by start then id; cancelled ones too."""

    def put_deliveries(self, rows: Iterable[Delivery]) -> None:
        """Insert or replace by (occurrence, node)."""

    def deliveries(self, occurrence: str) -> list[Delivery]:
        """By node."""

    def delivery(self, occurrence: str, node: str) -> Delivery | None: ...

    def deliveries_of(self, occurrences: Sequence[str], nodes: Sequence[str] | None = None) -> list[Delivery]: ...

    def airtime(self, start: datetime, end: datetime) -> dict[str, int]:
        """Milliseconds that each node has sounded of what starts in [start, end), by its own word; what is of priority
        emergency does not count, nodes without any are left out."""

    def delivery_states(self, start: datetime, end: datetime) -> dict[DeliveryState, int]:
        """How many deliveries of what starts in [start, end) are in each state; those in none are left out."""

    def sounding(self) -> list[Delivery]:
        """All deliveries in state sounding or interrupted."""

    def unresolved(self, start: datetime, end: datetime) -> list[str]:
        """Ids of the occurrences that ended in [start, end) and of which some delivery still waits or sounds."""

    def put_delivery_events(self, rows: Iterable[DeliveryEvent]) -> None: ...

    def delivery_events(self, occurrence: str, node: str | None = None) -> list[DeliveryEvent]:
        """By time."""

    def put_preflight(self, row: PreflightRow) -> None:
        """Insert or replace by occurrence."""

    def preflights(self, occurrences: Sequence[str]) -> dict[str, PreflightRow]:
        """Those there are, by occurrence."""

    def prune_ledger(self, before: datetime, limit: int = 100) -> int:
        """Delete up to `limit` occurrences that ended before `before`, oldest first, with their deliveries,
        events and stops; how many occurrences. Orders of the moment that expired before go too."""

    # emergencies
    def put_emergency(self, row: EmergencyRow) -> None:
        """Insert or replace by id."""

    def emergency(self, id: str) -> EmergencyRow | None: ...

    def current_emergencies(self) -> list[EmergencyRow]:
        """Those that the broker may still keep something of (not `cleared`), oldest first."""

    def emergencies(self, start: datetime, end: datetime) -> list[EmergencyRow]:
        """Ordered in [start, end), newest first."""

    def put_answers(self, rows: Iterable[Answer]) -> None:
        """Insert or replace by (emergency, node)."""

    def answers(self, emergencies: Sequence[str], nodes: Collection[str] | None = None) -> list[Answer]:
        """By emergency, then node; of `nodes` only, if they are given."""

    def prune_emergencies(self, before: datetime, limit: int = 100) -> int:
        """Delete up to `limit` emergencies ordered before `before`, oldest first, with their answers; how many."""

    # journal
    def put_journal(self, node: str, entry: JournalEntry, received_at: datetime) -> bool:
        """Store once by (node, log, n); False if it was there. For more than one use `put_journals`."""

    def put_journals(
        self, entries: Sequence[tuple[str, JournalEntry]], received_at: datetime
    ) -> list[tuple[str, JournalEntry]]:
        """`put_journal` for many (node, entry) at once; those that were new, in the order given."""

    def journal_upto(self, node: str, log: str) -> int:
        """Highest n such that 1..n are or were all stored; 0 if none. One row is read."""

    def journal_uptos(self, logs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """`journal_upto` of many (node, log) at once; those with nothing stored are 0."""

    def journal_backlog(self) -> int:
        """Entries that are missing before later ones that have come."""

    def skip_journal_gap(self, node: str, log: str) -> tuple[int, int] | None:
        """Give up the entries that are missing before later ones: `journal_upto` goes on from the lowest that is there.
        First and last of those given up; None if none are missing."""

    def journal(self, node: str, limit: int = 100) -> list[JournalEntry]:
        """Newest first, by arrival."""

    def prune_journal(self, before: datetime, limit: int = 5000) -> int:
        """Delete up to `limit` entries that arrived before `before`, oldest first; how many. `journal_upto`
        stays, so a node that sends one of them again is answered and it is not stored again."""

    # nodes and faults
    def put_nodes(self, rows: Iterable[NodeRow]) -> None: ...

    def nodes(self) -> dict[str, NodeRow]: ...

    def put_node_events(self, rows: Iterable[NodeEvent]) -> None:
        """Append."""

    def node_events(self, start: datetime, end: datetime) -> list[NodeEvent]:
        """By node, then time: those in [start, end), and of each node the last one before."""

    def prune_node_events(self, before: datetime, limit: int = 5000) -> int:
        """Delete up to `limit` that are older than `before`, but never a node's newest; how many."""

    def put_maintenance_events(self, rows: Iterable[MaintenanceEvent]) -> None:
        """Append."""

    def maintenance_events(self, start: datetime, end: datetime) -> list[MaintenanceEvent]:
        """By node, then time: those in [start, end), and of each node the last one before."""

    def under_maintenance(self, now: datetime) -> dict[str, datetime]:
        """Until when each node is that is under maintenance at `now`, by its newest event."""

    def prune_maintenance_events(self, before: datetime, limit: int = 5000) -> int:
        """Delete up to `limit` that are older than `before`, but never a node's newest; how many."""

    def put_faults(self, rows: Iterable[FaultRow]) -> None: ...

    def faults(self) -> list[FaultRow]:
        """All rows whose state is not "ok"."""

    # self-tests and baselines
    def put_selftests(self, rows: Iterable[Selftest]) -> None:
        """Append; their ids are ignored."""

    def selftests(self, node: str, limit: int = 30) -> list[Selftest]:
        """Newest first."""

    def selftest(self, id: int) -> Selftest | None: ...

    def tested_since(self, since: datetime) -> dict[str, datetime]:
        """Node -> when it last tested itself, by its own clock; of those that did since."""

    def prune_selftests(self, before: datetime, limit: int = 5000) -> int:
        """Delete up to `limit` self-tests from before, oldest first; how many."""

    def new_baseline(self, row: Baseline) -> Baseline:
        """Insert (its id is ignored) and return it with its id."""

    def baselines(self, node: str | None = None) -> list[Baseline]:
        """Every commissioning of `node`, or of all, oldest first."""

    # incidents
    def new_incident(self, incident: Incident) -> Incident:
        """Insert (its id is ignored) and return it with its id."""

    def put_incident(self, incident: Incident) -> None:
        """Replace by id; KeyError if there is none."""

    def incident(self, id: int) -> Incident | None: ...

    def open_incidents(self, *, canary: bool = False) -> list[Incident]:
        """Not closed, by id; the canary's (domain/canary.py) only if asked for."""

    def incidents(self, since: datetime, *, canary: bool = False) -> list[Incident]:
        """Opened or changed since, newest first; the canary's only if asked for."""

    def prune_canaries(self) -> None:
        """Forget what canaries left: their histories and messages, and all but the newest of their incidents."""

    def put_incident_event(self, event: IncidentEvent) -> None:
        """Append."""

    def incident_events(self, incident: int) -> list[IncidentEvent]:
        """By time."""

    def incident_events_of(self, incidents: Iterable[int]) -> dict[int, list[IncidentEvent]]:
        """`incident_events` of many at once; every id asked for is a key."""

    def put_work_order(self, order: WorkOrder) -> None:
        """Insert or replace by incident."""

    def work_order(self, incident: int) -> WorkOrder | None: ...

    def work_orders(self, live: bool = False) -> list[WorkOrder]:
        """By incident; with `live` only those that have not ended."""

    def put_work_order_event(self, event: WorkOrderEvent) -> None:
        """Append."""

    def work_order_events_of(self, incidents: Iterable[int]) -> dict[int, list[WorkOrderEvent]]:
        """By time, of many orders at once; every id asked for is a key."""

    def put_work_photo(self, photo: WorkPhoto) -> None:
        """Add to the order; one that it has already stays as it is."""

    def work_photos(self, incident: int) -> list[WorkPhoto]:
        """By time."""

    def use_once(self, nonce: str, at: datetime) -> bool:
        """Write down that `nonce` was used; False if it was already."""

    def prune_used(self, before: datetime, limit: int = 5000) -> int:
        """Delete up to `limit` nonces that were used before `before`; how many."""

    # telling people
    def put_climb(self, row: ClimbRow) -> None: ...

    def climbs(self, incidents: Iterable[int]) -> dict[int, ClimbRow]:
        """By incident, of those that have one."""

    def to_recover(self) -> list[Incident]:
        """Closed incidents that people still believe open."""

    def add_hush(self, hush: Hush) -> Hush:
        """Keep a silence or maintenance window under a number of its own."""

    def end_hush(self, id: int, at: datetime, by: str) -> bool:
        """It ends now; False if there is none of that number that has not ended."""

    def hushes(self, since: datetime) -> list[Hush]:
        """Those that were not over at `since`, by number."""

    def put_reach(self, row: ReachRow) -> None: ...

    def reach(self) -> list[ReachRow]: ...

    def reached(self, recipient: str, since: datetime, now: datetime) -> list[tuple[datetime, str]]:
        """When and on which channel a person got messages since then, oldest first: those that may have arrived too;
        one that is under way counts as `now`."""

    # outbox
    def enqueue(self, row: OutboxRow) -> bool:
        """Insert; False if a row with its key (incident, transition, recipient, channel) is there already."""

    def outbox(self, incident: int | None = None, limit: int = 1000) -> list[OutboxRow]:
        """Newest first."""

    def outbox_of(self, incidents: Iterable[int]) -> dict[int, list[OutboxRow]]:
        """All rows of many incidents at once, newest first; every id asked for is a key."""

    def due_outbox(self, channel: str, now: datetime, limit: int = 20) -> list[OutboxRow]:
        """Rows of `channel` to send now: pending or retry with due_at <= now, or claimed with an expired
        lease; oldest first (by due_at, id)."""

    def next_outbox_due(self, channel: str) -> datetime | None:
        """The earliest time anything of `channel` is to be looked at; None if nothing waits."""

    def claim(self, id: int, until: datetime, now: datetime) -> bool:
        """Compare-and-set to claimed, count the attempt and write its attempt row; False if `due_outbox`
        would not give the row at `now`. An attempt whose lease ran out is thereby marked "uncertain"."""

    def finish(
        self, id: int, state: OutboxState, now: datetime, *, due_at: datetime | None = None, error: str = ""
    ) -> None:
        """Write the outcome of an attempt on its row and its attempt row. A row that is sent, dead or merged
        stays as it is: an outcome that comes after its lease ran out cannot bring it back."""

    def attempts(self, outbox: int) -> list[AttemptRow]:
        """Tries of one outbox row, by n."""

    def outbox_states(self) -> dict[OutboxState, int]:
        """How many rows are in each state; those in none are left out."""

    def oldest_due(self, now: datetime, told_since: datetime | None = None) -> datetime | None:
        """Since when the oldest row that could be sent at `now` has been due; None if nothing is. Not counted: rows to
        people who got a message after `told_since`, since nobody gets them all at once (domain/outbox.py)."""

    def damage(self) -> str:
        """What the database itself finds wrong with its files, in one line; "" for nothing, or where it cannot tell.
        It reads everything: slow."""

    def outbox_channels(self) -> list[str]:
        """Channels that have unfinished rows."""

    def outbox_ahead(self, now: datetime) -> list[OutboxRow]:
        """Unfinished rows that wait for a time after `now`, or were made after it."""

    def reschedule(self, row: OutboxRow) -> None:
        """Write when an unfinished row is due and until when it is claimed."""


class Store(Protocol):
    """The database. One contract suite runs over every implementation."""

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        """Run `work` in one transaction, in order with all others; commit, or roll back if it raises.
        `ahead`: before all that wait, in order with others that are ahead; for what is short and cannot wait.

        When it returns, the transaction survives a crash and a power cut. `work` runs in the store's own
        thread: it touches nothing that the event loop changes meanwhile. A caller that is cancelled while
        it waits does not take it back. StoreError if the database refuses.
        """

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work`, which only reads, beside the transactions instead of in the queue with them: what takes
        long to read holds up nothing that is to be stored. It sees one state of the database: all that was
        committed before this was called, and nothing half. StoreError also if it writes (a store in memory
        has but one connection, reads in the queue and cannot tell)."""

    async def close(self) -> None: ...


# --- people -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to go. `key` identifies it for the receiver (Message-ID, Idempotency-Key)."""

    key: str
    subject: str
    body: str
    data: Mapping[str, Any]


class NotifyError(Exception):
    """A message was not (surely) delivered.

    `permanent`: do not try this channel again with this message. `uncertain`: it may have arrived.
    `retry_after_s`: the receiver asked for this pause.
    """

    def __init__(
        self,
        detail: str,
        *,
        permanent: bool = False,
        uncertain: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.permanent = permanent
        self.uncertain = uncertain
        self.retry_after_s = retry_after_s


class Notifier(Protocol):
    """Sends one message on one kind of channel; returns when accepted, NotifyError otherwise."""

    async def send(self, channel: Channel, message: Outgoing) -> None: ...


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is kept: SHA-256 in hex, media type and length of its bytes."""

    sha256: str
    kind: str
    size: int


class Photos(Protocol):
    """Pictures of repairs, by their SHA-256."""

    async def put(self, content: bytes) -> Picture:
        """Keep `content` durably, upright and without what the camera wrote into it (place, time, serial numbers).
        PhotoRefused if it cannot be read."""

    async def get(self, sha256: str) -> bytes | None: ...

    async def small(self, sha256: str) -> bytes | None:
        """The same as a small JPEG."""


# --- the machine, and beyond ---------------------------------------------------------------------------------


class Host(Protocol):
    """What the machine says of itself."""

    def space(self) -> Space | None:
        """Of the disk that holds the data folder; None if it cannot be asked. May take as long as a disk."""

    def synced(self) -> bool | None:
        """Whether the clock is synchronised; None where the system does not say."""


class Beacon(Protocol):
    """The dead-man URL."""

    async def ping(self, url: str) -> str:
        """Empty when it was answered; otherwise the reason."""


# --- audio --------------------------------------------------------------------------------------------------


class Library(Protocol):
    """Content-addressed rendered audio."""

    async def render(self, items: Sequence[Item]) -> Rendered:
        """Tracks for `items`; from store if rendered before. AudioRefused with the reason."""

    def path(self, sha256: str) -> str | None:
        """File of an asset, None if not held."""

    def collect(self, needed: Iterable[str]) -> int:
        """Delete assets not in `needed` (old enough not to be in the making); return how many."""
