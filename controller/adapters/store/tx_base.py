"""What all parts of a transaction share: the connection."""

from __future__ import annotations

from sqlalchemy import Connection


class TxBase:
    """A part of a transaction's methods; each area of the database has one in a file of its own."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.conn.dialect.name
