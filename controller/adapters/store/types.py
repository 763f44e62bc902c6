"""Column types: what Python holds -> what both databases can keep, order and give back unchanged."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

from broadcasts import typed

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
INT_LIMIT = 2**53
"""Bounds of `Whole`; the wire's counts end there too."""

Id = BigInteger().with_variant(Integer, "sqlite")
"""A generated key. SQLite numbers rows only in a column that is exactly INTEGER."""


class Utc(TypeDecorator[datetime]):
    """Aware datetimes, to the microsecond, given back in UTC.

    SQLite keeps them as fixed-width UTC text, so text order is time order. A naive datetime is a
    ValueError: it says nothing. A time whose UTC form leaves the calendar (a node may send year 1 at
    +14:00) is kept as the calendar's end: a node's broken clock must not fail a transaction.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time without zone: {value.isoformat()}")
        utc = value if value.tzinfo is UTC else _to_utc(value)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return EARLIEST if value.year == 1 else LATEST


class Words(TypeDecorator[str]):
    """Text of any length, ordered by code point on both databases whatever the server's language.

    NUL, which PostgreSQL refuses, and lone surrogates, which neither can encode, become U+FFFD: text from
    a node or a terminal must not fail a transaction.
    """

    impl = Text().with_variant(Text(collation="C"), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


def storable(text: str) -> str:
    """`text` as `Words` keeps it; the same object where nothing is to change."""
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "\ufffd")


class Choice(TypeDecorator[StrEnum]):
    """One of a StrEnum's values, kept as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind
        self._members = {member.value: member for member in kind}

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self._members[value]


class Whole(TypeDecorator[int]):
    """A whole number; what a node sends beyond +-2**53 is kept as that bound (see Utc for why)."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        return None if value is None else max(-INT_LIMIT, min(INT_LIMIT, value))


class Json(TypeDecorator[Any]):
    """A value of `kind` as JSON text.

    Text and not the database's own JSON type: the same bytes on both, and PostgreSQL's refuses NUL and
    reorders keys. Decoded by msgspec, so `kind` may be a Struct.
    """

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._decoder = typed.decoder(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else self._decoder.decode(value)
