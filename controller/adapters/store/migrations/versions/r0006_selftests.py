"""Self-tests, and the baselines that were taken from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "selftests",
        sa.Column("id", ID, nullable=False),
        sa.Column("node", WORDS, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.Column("ordered", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_selftests"),
    )
    op.create_index("ix_selftests_node_at", "selftests", ["node", "at"])
    op.create_index("ix_selftests_at", "selftests", ["at"])
    op.create_table(
        "baselines",
        sa.Column("id", ID, nullable=False),
        sa.Column("node", WORDS, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.Column("note", WORDS, nullable=False),
        sa.Column("test", sa.BigInteger, nullable=False),
        sa.Column("values", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_baselines"),
    )
    op.create_index("ix_baselines_node_at", "baselines", ["node", "at"])
