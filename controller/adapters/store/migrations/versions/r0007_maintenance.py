"""What was under maintenance when: a window that is deleted from alerts.yaml is not forgotten by the month's report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "maintenance_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("node", WORDS, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_maintenance_events"),
    )
    op.create_index("ix_maintenance_events_at", "maintenance_events", ["at"])
    op.create_index("ix_maintenance_events_until", "maintenance_events", ["until"])
    op.create_index("ix_maintenance_events_node_at", "maintenance_events", ["node", "at"])
