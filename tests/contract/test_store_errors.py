"""What goes wrong with a database is told in one line that says what to do, and harms nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import text

from controller.adapters.store.engine import WRITE_LOCK
from controller.adapters.store.sql import SqlStore
from controller.ports import StoreError, Tx
from tests.postgresql import Cluster


@pytest_asyncio.fixture
async def filed(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A store in a SQLite file."""
    store = SqlStore(f"sqlite:///{tmp_path}/loa.db")
    await store.open()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def served(postgresql: Cluster) -> AsyncIterator[SqlStore]:
    """A store in PostgreSQL."""
    store = SqlStore(postgresql.database())
    await store.open()
    yield store
    await store.close()


def one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- SQLite -------------------------------------------------------------------------------------------------


async def test_a_full_disk_loses_nothing_that_was_stored_and_heals_by_itself(filed: SqlStore) -> None:
    def limit(tx: Tx, pages: int) -> None:
        tx.conn.execute(text(f"PRAGMA max_page_count = {pages}"))

    await filed.transact(lambda tx: tx.note("before", "stored"))
    await filed.transact(lambda tx: limit(tx, 1))  # SQLite takes the present size instead
    with pytest.raises(StoreError, match=r"disk is full: free some space") as error:
        await filed.transact(lambda tx: tx.note("big", "x" * 1_000_000))
    assert not error.value.permanent
    one_line(error)

    await filed.transact(lambda tx: limit(tx, 1_000_000))
    assert await filed.transact(lambda tx: (tx.noted("before"), tx.noted("big"))) == ("stored", None)
    await filed.transact(lambda tx: tx.note("big", "x" * 1_000_000))


async def test_a_database_that_somebody_keeps_locked_is_told_and_tried_again(filed: SqlStore, tmp_path: Path) -> None:
    await filed.transact(lambda tx: tx.conn.execute(text("PRAGMA busy_timeout = 10")))
    with closing(sqlite3.connect(tmp_path / "loa.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process keeps the database locked") as error:
            await filed.transact(lambda tx: tx.epoch())
        assert not error.value.permanent
        other.execute("ROLLBACK")
        assert await filed.transact(lambda tx: tx.raise_epoch()) == 1


@pytest.mark.parametrize("content", [b"broadcasts:\n  - id: tin\n" * 100, b"\0" * 5000], ids=["yaml", "zeros"])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "loa.db"
    file.write_bytes(content)
    with pytest.raises(StoreError, match="the file is not a database: give another path") as error:
        await SqlStore(f"sqlite:///{file}").open()
    assert one_line(error).startswith(str(file))
    assert file.read_bytes() == content


async def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "loa.db"
    store = SqlStore(f"sqlite:///{file}")
    await store.open()
    await store.transact(lambda tx: tx.note("plan", "x" * 100_000))
    await store.close()
    with file.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xff" * (file.stat().st_size - 4096))

    damaged = SqlStore(f"sqlite:///{file}")
    with pytest.raises(StoreError, match="damaged: restore the last backup") as error:
        await damaged.open()
    assert error.value.permanent


async def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened: check that its folder exists"):
        await SqlStore(f"sqlite:///{tmp_path}").open()


async def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match=r"data/loa\.db: cannot be opened: (File exists|Not a directory)"):
        await SqlStore(f"sqlite:///{tmp_path}/data/loa.db").open()


@contextmanager
def powerless() -> Iterator[Path]:
    """A folder of ours that we may not write in: root may write anywhere, so root becomes nobody."""
    folder = Path(tempfile.mkdtemp(prefix="loa-store-"))
    me = os.geteuid()
    try:
        if me == 0:
            os.seteuid(65534)
        yield folder
    finally:
        os.seteuid(me)
        shutil.rmtree(folder)


async def test_a_database_that_this_user_may_not_write_is_told() -> None:
    with powerless() as folder:
        os.seteuid(os.getuid())
        url = f"sqlite:///{folder}/loa.db"
        store = SqlStore(url)
        await store.open()
        await store.close()
        (folder / "loa.db").chmod(0o444)
        folder.chmod(0o555)
        if os.getuid() == 0:
            os.seteuid(65534)
        with pytest.raises(StoreError, match="make file and folder writable for this user") as error:
            await SqlStore(url).open()
        assert error.value.permanent


async def test_a_folder_that_this_user_may_not_write_is_told() -> None:
    with powerless() as folder:
        if os.getuid() != 0:
            folder.chmod(0o555)
        with pytest.raises(StoreError, match="cannot be opened: Permission denied"):
            await SqlStore(f"sqlite:///{folder}/loa.db").open()


# --- PostgreSQL ---------------------------------------------------------------------------------------------


async def test_a_broken_connection_is_told_and_made_anew(served: SqlStore) -> None:
    await served.transact(lambda tx: tx.note("before", "stored"))

    def cut(tx: Tx) -> None:
        tx.note("during", "lost")
        tx.conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(StoreError) as error:
        await served.transact(cut)
    assert not error.value.permanent
    one_line(error)
    assert await served.transact(lambda tx: (tx.noted("before"), tx.noted("during"))) == ("stored", None)


async def test_a_server_where_somebody_keeps_the_lock_is_told_and_tried_again(served: SqlStore) -> None:
    await served.transact(lambda tx: tx.conn.execute(text("SET lock_timeout = 10")))
    with psycopg.connect(served._url.replace("+psycopg", "")) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
        with pytest.raises(StoreError, match="another process keeps the database locked") as error:
            await served.transact(lambda tx: tx.epoch())
        assert not error.value.permanent
        assert await served.read(lambda tx: tx.epoch()) == 0
    assert await served.transact(lambda tx: tx.raise_epoch()) == 1


async def test_a_server_that_dropped_idle_connections_goes_unnoticed(served: SqlStore) -> None:
    pid = await served.transact(lambda tx: tx.conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
    url = served._url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert await served.transact(lambda tx: tx.raise_epoch()) == 1


async def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://loa:s3cret@/loa?host={tmp_path}"
    with pytest.raises(StoreError, match="check that the server runs and can be reached") as error:
        await SqlStore(url).open()
    assert not error.value.permanent
    assert "s3cret" not in one_line(error)


async def test_a_database_that_the_server_does_not_have_is_told(postgresql: Cluster) -> None:
    url = f"postgresql+psycopg://loa@/nowhere?host={postgresql.folder}"
    with pytest.raises(StoreError, match='"nowhere" does not exist'):
        await SqlStore(url).open()


# --- URLs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "loa.db", "mysql://x/y", "sqlite:/loa.db", "nonsense://x", "http://x"])
def test_a_url_that_names_no_database_we_know_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreError, match=r"give sqlite:///path/loa\.db or postgresql"):
        SqlStore(url)
