"""Alembic's entry: runs revisions on the connection that migrate.py gives it."""

from __future__ import annotations

from alembic import context

from controller.adapters.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite too can undo a CREATE TABLE; Alembic assumes that it cannot
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
