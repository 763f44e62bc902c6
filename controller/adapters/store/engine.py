"""Connections: SQLite set up so that it survives crashes and other processes, PostgreSQL by URL."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool, StaticPool

from controller.ports import StoreError

BUSY_TIMEOUT_S = 10
"""How long a transaction waits for another process to end its own."""

WRITE_LOCK = 0x10A
"""Key of PostgreSQL's advisory lock under which all writing is done."""

WAL_KEPT_BYTES = 64 * 1024 * 1024
"""A burst makes the log of SQLite grow; it is cut back to this afterwards."""


def make_engine(url: str, *, read_only: bool = False) -> Engine:
    """An engine of one connection for `url`; connects to nothing yet. StoreError for a URL it cannot use."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, read_only)
    return _postgresql(parsed, read_only)


def place_of(url: str) -> str:
    """Names the database in messages, without its password."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.database or "database in memory"
    return parsed.render_as_string(hide_password=True)


def file_of(url: str) -> Path | None:
    """The file of a SQLite database; None if it is in memory or elsewhere."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        backend = ""
    if backend not in ("sqlite", "postgresql"):
        raise StoreError("store url: give sqlite:///path/loa.db or postgresql+psycopg://user:password@host/name")
    return parsed


# --- SQLite -------------------------------------------------------------------------------------------------


def _sqlite(url: URL, read_only: bool) -> Engine:
    file = file_of(url.render_as_string())

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            _uri(file, read_only) if file else ":memory:",
            uri=file is not None,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions begin when we say so (below), not when the driver guesses
            check_same_thread=False,  # used by one thread at a time, closed by whichever comes last
            cached_statements=256,
        )
        _set_up(connection, in_file=file is not None and not read_only)
        return connection

    pool: dict[str, Any] = {"poolclass": StaticPool}
    if file is not None:
        pool = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
    engine = create_engine("sqlite://", creator=connect, **pool)
    # IMMEDIATE takes the write lock first: two processes that begin by reading and then both want to write
    # would otherwise fail at once, without any waiting.
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _uri(file: Path, read_only: bool) -> str:
    return f"file:{quote(os.fspath(file.absolute()))}?mode={'ro' if read_only else 'rwc'}"


def _set_up(connection: sqlite3.Connection, *, in_file: bool) -> None:
    if in_file:
        _use_wal(connection)
        # FULL, not NORMAL: with NORMAL a power cut takes the last transactions with it, and nodes have
        # been told that their journal is stored and deleted it.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -8000")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Readers do not wait for the writer. SQLite answers "busy" at once here, without its own waiting,
    when two processes create the file together; the mode is a property of the file, so one wins for both."""
    patience = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > patience:
                raise
            time.sleep(0.01)
        else:
            return


# --- PostgreSQL ---------------------------------------------------------------------------------------------


def _postgresql(url: URL, read_only: bool) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    options = {
        "timezone": "UTC",
        "lock_timeout": f"{BUSY_TIMEOUT_S}s",
        # a controller whose machine died in a transaction holds its locks no longer than this
        "idle_in_transaction_session_timeout": "60s",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    try:
        engine = create_engine(
            url,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,  # the server may have restarted since
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",  # a report shows one state
            connect_args={
                "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
                "application_name": "loa",
                "connect_timeout": BUSY_TIMEOUT_S,
            },
        )
    except ModuleNotFoundError:
        raise StoreError("PostgreSQL needs its driver: pip install 'loa[postgresql]'") from None
    except NoSuchModuleError as error:
        raise StoreError(f"store url: {error}; give postgresql+psycopg://user:password@host/name") from None
    if not read_only:
        # One writing transaction at a time over all processes, as SQLite has it: what reads and then writes
        # loses no update of another, and nothing can deadlock or need a second try.
        lock = f"SELECT pg_advisory_xact_lock({WRITE_LOCK})"
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(lock))
    return engine
