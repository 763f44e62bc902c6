"""Revisions of the schema (Alembic)."""
