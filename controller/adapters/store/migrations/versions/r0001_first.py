"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _controller()
    _desired()
    _ledger()
    _journal()
    _nodes()
    _incidents()
    _outbox()


def _must(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _may(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def _number() -> sa.Column[Any]:
    return sa.Column("id", ID, nullable=False, autoincrement=True)


def _controller() -> None:
    op.create_table(
        "epoch",
        _key("id", sa.Integer),
        _must("epoch", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_epoch"),
        sa.CheckConstraint("id = 1", name=op.f("ck_epoch_one_row")),
    )
    op.create_table(
        "lease",
        _key("id", sa.Integer),
        _must("holder", WORDS),
        _must("until", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_lease"),
        sa.CheckConstraint("id = 1", name=op.f("ck_lease_one_row")),
    )
    op.create_table(
        "notes",
        _key("key", WORDS),
        _must("value", WORDS),
        sa.PrimaryKeyConstraint("key", name="pk_notes"),
    )
    op.create_table(
        "audit",
        _number(),
        _must("at", TIME),
        _must("who", WORDS),
        _must("what", WORDS),
        _must("detail", WORDS),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_table(
        "credentials",
        _key("node", WORDS),
        _must("password_hash", WORDS),
        _must("enrolled_at", TIME),
        sa.PrimaryKeyConstraint("node", name="pk_credentials"),
    )


def _desired() -> None:
    op.create_table(
        "desired",
        _key("node", WORDS),
        _must("epoch", sa.BigInteger),
        _must("rev", sa.BigInteger),
        _must("content", WORDS),
        _must("document", sa.LargeBinary),
        _must("made_at", TIME),
        _must("valid_until", TIME),
        sa.PrimaryKeyConstraint("node", name="pk_desired"),
    )
    op.create_table(
        "now_orders",
        _key("id", WORDS),
        _must("definition", WORDS),
        _must("created_at", TIME),
        _must("created_by", WORDS),
        _must("expires_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_now_orders"),
    )
    op.create_index("ix_now_orders_expires_at", "now_orders", ["expires_at"])
    op.create_table(
        "stops",
        _key("occurrence", WORDS),
        _key("node", WORDS),
        _must("at", TIME),
        sa.PrimaryKeyConstraint("occurrence", "node", name="pk_stops"),
    )
    op.create_index("ix_stops_at", "stops", ["at"])


def _ledger() -> None:
    op.create_table(
        "occurrences",
        _key("id", WORDS),
        _must("broadcast", WORDS),
        _must("title", WORDS),
        _must("start", TIME),
        _must("end", TIME),
        _must("priority", sa.Text),
        _must("rank", sa.BigInteger),
        _must("source", WORDS),
        _must("planned_at", TIME),
        _may("cancelled_at", TIME),
        _must("reason", WORDS),
        sa.PrimaryKeyConstraint("id", name="pk_occurrences"),
    )
    op.create_index("ix_occurrences_end", "occurrences", ["end"])
    op.create_table(
        "deliveries",
        _key("occurrence", WORDS),
        _key("node", WORDS),
        _must("state", sa.Text),
        _must("at", TIME),
        _must("reason", WORDS),
        _may("started_at", TIME),
        _may("late_ms", sa.BigInteger),
        _may("played_ms", sa.BigInteger),
        _may("level_db", sa.Float),
        sa.PrimaryKeyConstraint("occurrence", "node", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state"])
    op.create_table(
        "delivery_events",
        _number(),
        _must("occurrence", WORDS),
        _must("node", WORDS),
        _must("at", TIME),
        _must("state", sa.Text),
        _must("reason", WORDS),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_events"),
    )
    op.create_index("ix_delivery_events_occurrence_node_at", "delivery_events", ["occurrence", "node", "at"])


def _journal() -> None:
    op.create_table(
        "journal",
        _number(),
        _must("node", WORDS),
        _must("log", WORDS),
        _must("n", sa.BigInteger),
        _must("received_at", TIME),
        _must("entry", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_journal"),
        sa.UniqueConstraint("node", "log", "n", name="uq_journal_node_log_n"),
    )
    op.create_index("ix_journal_node_id", "journal", ["node", "id"])
    op.create_table(
        "journal_upto",
        _key("node", WORDS),
        _key("log", WORDS),
        _must("upto", sa.BigInteger),
        _must("highest", sa.BigInteger),
        sa.PrimaryKeyConstraint("node", "log", name="pk_journal_upto"),
    )


def _nodes() -> None:
    op.create_table(
        "nodes",
        _key("node", WORDS),
        _must("liveness", WORDS),
        _must("since", TIME),
        _must("boot", WORDS),
        _must("conn", sa.BigInteger),
        _must("held_epoch", sa.BigInteger),
        _must("held_rev", sa.BigInteger),
        _may("seen_at", TIME),
        _must("firmware", WORDS),
        _may("metrics", sa.Text),
        sa.PrimaryKeyConstraint("node", name="pk_nodes"),
    )
    op.create_table(
        "faults",
        _key("node", WORDS),
        _key("code", WORDS),
        _must("state", WORDS),
        _must("since", TIME),
        _must("severity", WORDS),
        _must("evidence", sa.Text),
        _must("passed_selftest", sa.Boolean),
        _must("latched", sa.Boolean),
        sa.PrimaryKeyConstraint("node", "code", name="pk_faults"),
    )


def _incidents() -> None:
    op.create_table(
        "incidents",
        _number(),
        _must("scope", WORDS),
        _must("subject", WORDS),
        _must("commune", WORDS),
        _must("cause", WORDS),
        _must("component", WORDS),
        _must("severity", sa.Text),
        _must("state", sa.Text),
        _must("opened_at", TIME),
        _must("updated_at", TIME),
        _may("announce_at", TIME),
        _must("announced", sa.Boolean),
        _may("parent", sa.BigInteger),
        _must("stale", sa.Boolean),
        _must("flapping", sa.Boolean),
        _must("acknowledged_by", WORDS),
        _may("repaired_at", TIME),
        _may("closed_at", TIME),
        _may("repeat_of", sa.BigInteger),
        _must("evidence", sa.Text),
        _must("nodes", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_opened_at", "incidents", ["opened_at"])
    op.create_index("ix_incidents_state_id", "incidents", ["state", "id"])
    op.create_index("ix_incidents_updated_at", "incidents", ["updated_at"])
    op.create_table(
        "incident_events",
        _number(),
        _must("incident", ID),
        _must("at", TIME),
        _must("transition", WORDS),
        _must("reason", WORDS),
        _must("by", WORDS),
        sa.PrimaryKeyConstraint("id", name="pk_incident_events"),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name="fk_incident_events_incident_incidents"),
    )
    op.create_index("ix_incident_events_incident_at", "incident_events", ["incident", "at"])
    op.create_table(
        "work_orders",
        _key("incident", ID),
        _must("assignee", WORDS),
        _must("due_at", TIME),
        _must("created_at", TIME),
        _must("state", WORDS),
        _may("closed_at", TIME),
        sa.PrimaryKeyConstraint("incident", name="pk_work_orders"),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name="fk_work_orders_incident_incidents"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        _number(),
        _must("incident", sa.BigInteger),
        _must("transition", WORDS),
        _must("recipient", WORDS),
        _must("channel", WORDS),
        _must("due_at", TIME),
        _must("created_at", TIME),
        _must("subject", WORDS),
        _must("body", WORDS),
        _must("state", sa.Text),
        _must("attempts", sa.Integer),
        _may("claimed_until", TIME),
        _may("sent_at", TIME),
        _must("last_error", WORDS),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint(
            "incident", "transition", "recipient", "channel", name="uq_outbox_incident_transition_recipient_channel"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_state_channel_due_at", "outbox", ["state", "channel", "due_at"])
    op.create_table(
        "outbox_attempts",
        _number(),
        _must("outbox", ID),
        _must("n", sa.Integer),
        _must("started_at", TIME),
        _may("finished_at", TIME),
        _must("outcome", WORDS),
        _must("detail", WORDS),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_attempts"),
        sa.ForeignKeyConstraint(["outbox"], ["outbox.id"], name="fk_outbox_attempts_outbox_outbox"),
        sa.UniqueConstraint("outbox", "n", name="uq_outbox_attempts_outbox_n"),
    )
