"""What became of nodes and of work orders, so that a month's report can be made of events; pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _node_events()
    _work_order_events()
    _work_photos()
    op.create_table(
        "used_nonces",
        sa.Column("nonce", WORDS, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name="pk_used_nonces"),
    )
    op.create_index("ix_used_nonces_at", "used_nonces", ["at"])
    _carry_over()


def _node_events() -> None:
    op.create_table(
        "node_events",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("node", WORDS, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("liveness", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_node_events"),
    )
    op.create_index("ix_node_events_at", "node_events", ["at"])
    op.create_index("ix_node_events_node_at", "node_events", ["node", "at"])


def _work_order_events() -> None:
    op.create_table(
        "work_order_events",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("incident", ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("step", WORDS, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("assignee", WORDS, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_work_order_events"),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name="fk_work_order_events_incident_incidents"),
    )
    op.create_index("ix_work_order_events_incident_at", "work_order_events", ["incident", "at"])


def _work_photos() -> None:
    op.create_table(
        "work_photos",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("incident", ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.Column("sha256", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_work_photos"),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name="fk_work_photos_incident_incidents"),
        sa.UniqueConstraint("incident", "sha256", name="uq_work_photos_incident_sha256"),
    )


def _carry_over() -> None:
    """Orders take their state from their incident; what is known of orders and nodes begins their histories."""
    op.execute(
        "UPDATE work_orders SET state = (SELECT CASE incidents.state WHEN 'acknowledged' THEN 'accepted' "
        "WHEN 'in-repair' THEN 'in-repair' WHEN 'repaired' THEN 'repaired' ELSE 'open' END "
        "FROM incidents WHERE incidents.id = work_orders.incident) WHERE state = 'open'"
    )
    op.execute(
        'INSERT INTO work_order_events (incident, at, step, state, assignee, due_at, "by") '
        "SELECT incident, created_at, 'opened', 'open', assignee, due_at, 'loa' FROM work_orders"
    )
    op.execute(
        'INSERT INTO work_order_events (incident, at, step, state, assignee, due_at, "by") '
        "SELECT incident, closed_at, 'cleared', 'closed', assignee, due_at, 'loa' FROM work_orders "
        "WHERE closed_at IS NOT NULL"
    )
    op.execute("INSERT INTO node_events (node, at, liveness) SELECT node, since, liveness FROM nodes")
