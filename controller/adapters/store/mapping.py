"""Rows <-> dataclasses whose fields bear the columns' names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Executable, Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R", bound="DataclassInstance")
K = TypeVar("K", str, int, tuple[str, str])
UpsertInsert = sqlite.Insert | postgresql.Insert


CHUNK = 500
"""Values in one IN list; far below what either database takes (32,766 and 65,535 parameters)."""


ASKED_BY_NAME = 4 * CHUNK
"""Nodes; for more of them it is cheaper to read what is of all."""


class Mapped(Generic[R]):
    """How rows of the dataclass `kind` lie in `table`."""

    def __init__(self, table: Table, kind: type[R]) -> None:
        self.table = table
        self.kind = kind
        self._names = tuple(field.name for field in fields(kind))
        self._fields = attrgetter(*self._names)
        self._columns = [table.c[name] for name in self._names]

    def select(self) -> Select[Any]:
        return select(*self._columns)

    def values(self, row: R) -> dict[str, Any]:
        return dict(zip(self._names, self._fields(row), strict=True))

    def all(self, conn: Connection, statement: Executable) -> list[R]:
        """What `statement`, made from `select()`, finds."""
        return [self.kind(*row) for row in conn.execute(statement)]

    def first(self, conn: Connection, statement: Executable) -> R | None:
        row = conn.execute(statement).first()
        return None if row is None else self.kind(*row)

    def put(self, conn: Connection, rows: Iterable[R]) -> None:
        """Insert or replace by primary key."""
        upsert(conn, self.table, [self.values(row) for row in rows])


def chunks(values: Iterable[K]) -> Iterator[list[K]]:
    """The distinct `values`, sorted, in lists short enough for one IN."""
    distinct = sorted(set(values))
    return (distinct[at : at + CHUNK] for at in range(0, len(distinct), CHUNK))


def of_nodes(column: Column[str], nodes: Collection[str] | None) -> Iterator[tuple[ColumnElement[bool], ...]]:
    """Conditions under each of which to ask once, so that rows of `nodes` are found and few others: a batch of journals
    is of a tenth of the largest network. No condition where nearly all would be asked for by name."""
    if nodes is None or len(nodes) > ASKED_BY_NAME:
        yield ()
        return
    for chunk in chunks(nodes):
        yield (column.in_(chunk),)


def upsert(conn: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or replace `rows` by the primary key of `table`, in one round trip where the driver can."""
    if rows:
        conn.execute(_replacing(table, conn.dialect.name), rows)


@cache
def _replacing(table: Table, dialect: str) -> UpsertInsert:
    statement = insert_into(table, dialect)
    keys = {column.name for column in table.primary_key}
    new = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=sorted(keys), set_=new)


def insert_into(table: Table, dialect: str) -> UpsertInsert:
    """An INSERT that knows ON CONFLICT; both databases spell it alike, SQLAlchemy has one for each."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
