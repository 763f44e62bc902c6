"""What the databases answer -> StoreError: one line that says what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from controller.ports import StoreError

Advice = tuple[tuple[str, str, bool], ...]

# The first prefix that fits decides. (prefix of SQLite's error name, what to tell, permanent)
_SQLITE: Advice = (
    ("SQLITE_FULL", "the disk is full: free some space; nothing is stored until then", False),
    ("SQLITE_IOERR_FSYNC", "the disk fails to write: check it (dmesg), restore the last backup on a new one", True),
    ("SQLITE_IOERR", "the disk fails: check its free space and its health (df, dmesg)", True),
    ("SQLITE_BUSY", "another process keeps the database locked: end it (fuser FILE shows which)", False),
    ("SQLITE_LOCKED", "another process keeps the database locked: end it (fuser FILE shows which)", False),
    ("SQLITE_READONLY", "the database cannot be written: make file and folder writable for this user", True),
    ("SQLITE_PERM", "the database cannot be opened: make file and folder readable for this user", True),
    ("SQLITE_CANTOPEN", "the file cannot be opened: check that its folder exists and this user may write in it", True),
    ("SQLITE_NOTADB", "the file is not a database: give another path, or restore the last backup", True),
    ("SQLITE_CORRUPT", "the database is damaged: restore the last backup", True),
)

# By SQLSTATE of PostgreSQL, or its class.
_POSTGRESQL: Advice = (
    ("53100", "the server's disk is full: free some space; nothing is stored until then", False),
    ("25006", "the database cannot be written: this is a read-only server or session", True),
    ("28", "the server refuses the user: check name, password and pg_hba.conf", True),
    ("3D000", "there is no such database: create it first (createdb)", True),
    ("42501", "the user may not do this: grant it rights on the database", True),
    ("55P03", "another process keeps the database locked: end it (pg_stat_activity shows which)", False),
    ("40", "another process changed the same rows: it will be tried again", False),
    ("53", "the server has no resources left: raise its limits (max_connections, memory)", False),
    ("57", "the server is shutting down or starting: wait for it", False),
    ("08", "the connection broke: check that the server runs and can be reached", False),
)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn the database's errors inside the block into StoreError; `where` names the database."""
    try:
        yield
    except DBAPIError as error:
        raise explain(where, error.orig or error) from error
    except sqlite3.Error as error:
        raise explain(where, error) from error
    except SQLAlchemyError as error:
        raise StoreError(f"{where}: {_line(error)}") from error


def explain(where: str, error: BaseException) -> StoreError:
    """The StoreError for a driver's error."""
    if isinstance(error, sqlite3.Error):
        known, code = _SQLITE, getattr(error, "sqlite_errorname", "")
    else:
        known, code = _POSTGRESQL, getattr(error, "sqlstate", None) or _unreached(error)
    for prefix, advice, permanent in known:
        if code.startswith(prefix):
            return StoreError(f"{where}: {advice} ({_line(error)})", permanent=permanent)
    return StoreError(f"{where}: {_line(error)}")


def _unreached(error: BaseException) -> str:
    """psycopg gives no SQLSTATE when there was no server to give one."""
    return "08" if type(error).__name__ == "OperationalError" else ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
