"""Who was told what, silences, and which channels work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

TOLD_ALREADY = """
INSERT INTO climbs (incident, told, step, due_at)
SELECT id, severity, 0, NULL FROM incidents WHERE announced AND state != 'closed'
"""


def upgrade() -> None:
    op.create_table(
        "climbs",
        sa.Column("incident", ID, nullable=False, autoincrement=False),
        sa.Column("told", WORDS, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("due_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["incident"], ["incidents.id"], name="fk_climbs_incident_incidents"),
        sa.PrimaryKeyConstraint("incident", name="pk_climbs"),
    )
    op.create_index("ix_climbs_told", "climbs", ["told"])
    op.execute(TOLD_ALREADY)
    op.create_table(
        "hushes",
        sa.Column("id", ID, nullable=False, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("start", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.Column("nodes", sa.Text, nullable=False),
        sa.Column("communes", sa.Text, nullable=False),
        sa.Column("codes", sa.Text, nullable=False),
        sa.Column("weekly", sa.Boolean, nullable=False),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("ended_by", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hushes"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reach",
        sa.Column("recipient", WORDS, nullable=False),
        sa.Column("channel", WORDS, nullable=False),
        sa.Column("works", sa.Boolean, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("detail", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("recipient", "channel", name="pk_reach"),
    )
    op.create_index("ix_outbox_attempts_started_at", "outbox_attempts", ["started_at"])
