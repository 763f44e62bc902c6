"""Emergencies and what nodes answered."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def _must(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _may(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def upgrade() -> None:
    op.create_table(
        "emergencies",
        _must("id", WORDS),
        _must("rev", sa.BigInteger),
        _must("words_rev", sa.BigInteger),
        _must("title", WORDS),
        _must("zones", sa.Text),
        _must("nodes", sa.Text),
        _must("drill", sa.Boolean),
        _must("volume", sa.Integer),
        _must("times", sa.Integer),
        _must("gap_ms", sa.Integer),
        _must("tracks", sa.Text),
        _must("state", sa.Text),
        _must("ordered_at", TIME),
        _must("ordered_by", WORDS),
        _must("changed_at", TIME),
        _must("not_after", TIME),
        _must("retained_until", TIME),
        _must("cleared", sa.Boolean),
        _must("history", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_emergencies"),
    )
    op.create_index("ix_emergencies_cleared", "emergencies", ["cleared"])
    op.create_index("ix_emergencies_ordered_at", "emergencies", ["ordered_at"])
    op.create_table(
        "emergency_answers",
        _must("emergency", WORDS),
        _must("node", WORDS),
        _must("rev", sa.BigInteger),
        _must("state", sa.Text),
        _must("at", TIME),
        _may("started_at", TIME),
        _may("ended_at", TIME),
        _must("reason", WORDS),
        sa.PrimaryKeyConstraint("emergency", "node", name="pk_emergency_answers"),
    )
