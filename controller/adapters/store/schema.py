"""The tables. Columns bear the names of the fields they hold (controller/ports.py, controller/domain).

A change here needs a revision in migrations/versions and its id in HEAD; tests compare the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from broadcasts.model import Priority, Track
from controller.adapters.store.types import Choice, Id, Json, Utc, Whole, Words
from controller.domain.delivery import DeliveryState
from controller.domain.emergencies import AnswerState, Change, EmergencyState
from controller.domain.escalation import OutboxState
from controller.domain.faults import Severity
from controller.domain.hush import HushKind
from controller.domain.incidents import IncidentState
from controller.domain.preflight import Finding
from controller.domain.workorders import OrderState
from controller.wire.messages import JournalEntry

HEAD = "r0007"
"""The revision that these tables are. Kept here so that an up-to-date database is opened without Alembic."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _must(name: str, kind: Any, *rest: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, *rest, nullable=False, **options)


def _may(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _key(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


def _number() -> Column[Any]:
    return Column("id", Id, primary_key=True, autoincrement=True)


_METRICS = Json(dict[str, Any])

# --- controller ---------------------------------------------------------------------------------------------

epoch = Table(
    "epoch",
    metadata,
    _key("id", Integer),
    _must("epoch", Whole),
    CheckConstraint("id = 1", name="one_row"),
)

lease = Table(
    "lease",
    metadata,
    _key("id", Integer),
    _must("holder", Words),
    _must("until", Utc),
    CheckConstraint("id = 1", name="one_row"),
)

notes = Table("notes", metadata, _key("key", Words), _must("value", Words))

audit = Table(
    "audit",
    metadata,
    _number(),
    _must("at", Utc),
    _must("who", Words),
    _must("what", Words),
    _must("detail", Words),
)

credentials = Table(
    "credentials",
    metadata,
    _key("node", Words),
    _must("password_hash", Words),
    _must("enrolled_at", Utc),
)

# --- what nodes should hold, and orders of the moment --------------------------------------------------------

desired = Table(
    "desired",
    metadata,
    _key("node", Words),
    _must("epoch", Whole),
    _must("rev", Whole),
    _must("content", Words),
    _must("document", LargeBinary),
    _must("made_at", Utc),
    _must("valid_until", Utc),
)

now_orders = Table(
    "now_orders",
    metadata,
    _key("id", Words),
    _must("definition", Words),
    _must("created_at", Utc),
    _must("created_by", Words),
    _must("expires_at", Utc, index=True),
)

stops = Table(
    "stops",
    metadata,
    _key("occurrence", Words),
    _key("node", Words),
    _must("at", Utc, index=True),
)

# --- ledger -------------------------------------------------------------------------------------------------
# Deliveries refer to occurrences without a foreign key: what a node says of an occurrence that this
# database no longer knows (a restored backup) is still true and must be kept.

occurrences = Table(
    "occurrences",
    metadata,
    _key("id", Words),
    _must("broadcast", Words),
    _must("title", Words),
    _must("start", Utc),
    _must("end", Utc, index=True),
    _must("priority", Choice(Priority)),
    _must("rank", Whole),
    _must("source", Words),
    _must("planned_at", Utc),
    _may("cancelled_at", Utc),
    _must("reason", Words),
)

deliveries = Table(
    "deliveries",
    metadata,
    _key("occurrence", Words),
    _key("node", Words),
    _must("state", Choice(DeliveryState), index=True),
    _must("at", Utc),
    _must("reason", Words),
    _may("started_at", Utc),
    _may("late_ms", Whole),
    _may("played_ms", Whole),
    _may("level_db", Float),
)

delivery_events = Table(
    "delivery_events",
    metadata,
    _number(),
    _must("occurrence", Words),
    _must("node", Words),
    _must("at", Utc),
    _must("state", Choice(DeliveryState)),
    _must("reason", Words),
    Index(None, "occurrence", "node", "at"),
)

# --- emergencies --------------------------------------------------------------------------------------------

emergencies = Table(
    "emergencies",
    metadata,
    _key("id", Words),
    _must("rev", Whole),
    _must("words_rev", Whole),
    _must("title", Words),
    _must("zones", Json(tuple[str, ...])),
    _must("nodes", Json(tuple[str, ...])),
    _must("drill", Boolean),
    _must("volume", Integer),
    _must("times", Integer),
    _must("gap_ms", Integer),
    _must("tracks", Json(tuple[Track, ...])),
    _must("state", Choice(EmergencyState)),
    _must("ordered_at", Utc, index=True),
    _must("ordered_by", Words),
    _must("changed_at", Utc),
    _must("not_after", Utc),
    _must("retained_until", Utc),
    _must("cleared", Boolean, index=True),
    _must("history", Json(tuple[Change, ...])),
)

emergency_answers = Table(
    "emergency_answers",
    metadata,
    _key("emergency", Words),
    _key("node", Words),
    _must("rev", Whole),
    _must("state", Choice(AnswerState)),
    _must("at", Utc),
    _may("started_at", Utc),
    _may("ended_at", Utc),
    _must("reason", Words),
)

preflights = Table(
    "preflights",
    metadata,
    _key("occurrence", Words),
    _must("at", Utc),
    _must("nodes", Whole),
    _must("findings", Json(tuple[Finding, ...])),
    _may("told_at", Utc),
)

# --- journal ------------------------------------------------------------------------------------------------

journal = Table(
    "journal",
    metadata,
    _number(),
    _must("node", Words),
    _must("log", Words),
    _must("n", Whole),
    _must("received_at", Utc),
    _must("entry", Json(JournalEntry)),
    UniqueConstraint("node", "log", "n"),
    Index(None, "node", "id"),
)

journal_upto = Table(
    "journal_upto",
    metadata,
    _key("node", Words),
    _key("log", Words),
    _must("upto", Whole),
    _must("highest", Whole),
)

# --- nodes and faults ---------------------------------------------------------------------------------------

nodes = Table(
    "nodes",
    metadata,
    _key("node", Words),
    _must("liveness", Words),
    _must("since", Utc),
    _must("boot", Words),
    _must("conn", Whole),
    _must("held_epoch", Whole),
    _must("held_rev", Whole),
    _may("seen_at", Utc),
    _must("firmware", Words),
    _may("metrics", _METRICS),
)

node_events = Table(
    "node_events",
    metadata,
    _number(),
    _must("node", Words),
    _must("at", Utc, index=True),
    _must("liveness", Words),
    Index(None, "node", "at"),
)

maintenance_events = Table(
    "maintenance_events",
    metadata,
    _number(),
    _must("node", Words),
    _must("at", Utc, index=True),
    _must("until", Utc, index=True),
    Index(None, "node", "at"),
)

faults = Table(
    "faults",
    metadata,
    _key("node", Words),
    _key("code", Words),
    _must("state", Words),
    _must("since", Utc),
    _must("severity", Words),
    _must("evidence", _METRICS),
    _must("passed_selftest", Boolean),
    _must("latched", Boolean),
)

selftests = Table(
    "selftests",
    metadata,
    _number(),
    _must("node", Words),
    _must("at", Utc, index=True),
    _must("passed", Boolean),
    _must("results", _METRICS),
    _must("parts", Json(dict[str, str])),
    _must("ordered", Words),
    Index(None, "node", "at"),
)

baselines = Table(
    "baselines",
    metadata,
    _number(),
    _must("node", Words),
    _must("at", Utc),
    _must("by", Words),
    _must("note", Words),
    _must("test", Whole),
    _must("values", Json(dict[str, float])),
    Index(None, "node", "at"),
)

# --- incidents ----------------------------------------------------------------------------------------------

incidents = Table(
    "incidents",
    metadata,
    _number(),
    _must("scope", Words),
    _must("subject", Words),
    _must("commune", Words),
    _must("cause", Words),
    _must("component", Words),
    _must("severity", Choice(Severity)),
    _must("state", Choice(IncidentState)),
    _must("opened_at", Utc, index=True),
    _must("updated_at", Utc, index=True),
    _may("announce_at", Utc),
    _must("announced", Boolean),
    _may("parent", Whole),
    _must("stale", Boolean),
    _must("flapping", Boolean),
    _must("acknowledged_by", Words),
    _may("repaired_at", Utc),
    _may("closed_at", Utc),
    _may("repeat_of", Whole),
    _must("evidence", _METRICS),
    _must("nodes", Json(tuple[str, ...])),
    Index(None, "state", "id"),
    sqlite_autoincrement=True,  # an id stands in messages and links: it is never used again
)

incident_events = Table(
    "incident_events",
    metadata,
    _number(),
    _must("incident", Id, ForeignKey(incidents.c.id)),
    _must("at", Utc),
    _must("transition", Words),
    _must("reason", Words),
    _must("by", Words),
    Index(None, "incident", "at"),
)

work_orders = Table(
    "work_orders",
    metadata,
    Column("incident", Id, ForeignKey(incidents.c.id), primary_key=True, autoincrement=False),
    _must("assignee", Words),
    _must("due_at", Utc),
    _must("created_at", Utc),
    _must("state", Choice(OrderState)),
    _may("closed_at", Utc),
)

work_order_events = Table(
    "work_order_events",
    metadata,
    _number(),
    _must("incident", Id, ForeignKey(incidents.c.id)),
    _must("at", Utc),
    _must("step", Words),
    _must("state", Choice(OrderState)),
    _must("assignee", Words),
    _must("due_at", Utc),
    _must("by", Words),
    Index(None, "incident", "at"),
)

work_photos = Table(
    "work_photos",
    metadata,
    _number(),
    _must("incident", Id, ForeignKey(incidents.c.id)),
    _must("at", Utc),
    _must("by", Words),
    _must("sha256", Words),
    _must("kind", Words),
    _must("size", Whole),
    UniqueConstraint("incident", "sha256"),
)

used_nonces = Table(
    "used_nonces",
    metadata,
    _key("nonce", Words),
    _must("at", Utc, index=True),
)

# --- outbox -------------------------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    _number(),
    _must("incident", Whole),
    _must("transition", Words),
    _must("recipient", Words),
    _must("channel", Words),
    _must("due_at", Utc),
    _must("created_at", Utc),
    _must("subject", Words),
    _must("body", Words),
    _must("state", Choice(OutboxState)),
    _must("attempts", Integer),
    _may("claimed_until", Utc),
    _may("sent_at", Utc),
    _must("last_error", Words),
    UniqueConstraint("incident", "transition", "recipient", "channel"),
    Index(None, "state", "channel", "due_at"),
    sqlite_autoincrement=True,
)

outbox_attempts = Table(
    "outbox_attempts",
    metadata,
    _number(),
    _must("outbox", Id, ForeignKey(outbox.c.id)),
    _must("n", Integer),
    _must("started_at", Utc),
    _may("finished_at", Utc),
    _must("outcome", Words),
    _must("detail", Words),
    UniqueConstraint("outbox", "n"),
    Index(None, "started_at"),
)

# --- telling people -----------------------------------------------------------------------------------------

climbs = Table(
    "climbs",
    metadata,
    Column("incident", Id, ForeignKey(incidents.c.id), primary_key=True, autoincrement=False),
    _must("told", Words),
    _must("step", Integer),
    _may("due_at", Utc),
    Index(None, "told"),
)

hushes = Table(
    "hushes",
    metadata,
    _number(),
    _must("kind", Choice(HushKind)),
    _must("start", Utc),
    _must("until", Utc),
    _must("reason", Words),
    _must("by", Words),
    _must("nodes", Json(tuple[str, ...])),
    _must("communes", Json(tuple[str, ...])),
    _must("codes", Json(tuple[str, ...])),
    _must("weekly", Boolean),
    _may("ended_at", Utc),
    _must("ended_by", Words),
    sqlite_autoincrement=True,  # people name a silence by its number
)

reach = Table(
    "reach",
    metadata,
    _key("recipient", Words),
    _key("channel", Words),
    _must("works", Boolean),
    _must("at", Utc),
    _must("detail", Words),
)
