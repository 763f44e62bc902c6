"""Bring a database to the revision of this program.

Alembic (revisions.py) is imported only where the revision is not ours: loading it takes longer than most
commands that only look take to answer.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from controller.adapters.store.schema import HEAD
from controller.ports import StoreError


def upgrade(connection: Connection, where: str) -> None:
    """Upgrade in the transaction that `connection` has begun, so that it happens whole or not at all.

    Two processes may do it at once: one waits for the other, as with every transaction that writes.
    StoreError if the database is of a newer program.
    """
    found = revision(connection)
    if found == HEAD:
        return
    from controller.adapters.store.revisions import run_to_head

    _refuse_newer(found, where)
    run_to_head(connection)


def require_head(connection: Connection, where: str) -> None:
    """StoreError unless the database has this program's revision; changes nothing."""
    found = revision(connection)
    if found == HEAD:
        return
    _refuse_newer(found, where)
    raise StoreError(f"{where}: made by an older program: start `loa run` once, it brings it up to date")


def revision(connection: Connection) -> str | None:
    """The revision of the database; None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _refuse_newer(found: str | None, where: str) -> None:
    from controller.adapters.store.revisions import known

    if found is not None and found not in known():
        raise StoreError(
            f"{where}: written by a newer program (revision {found}, this one knows {HEAD}): "
            "install that program again, or restore the backup made before its installation"
        )
