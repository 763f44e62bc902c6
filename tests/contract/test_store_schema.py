"""Opening a database: migrated once, by whoever comes first, whole or not at all; never by who only looks."""

from __future__ import annotations

import asyncio
import multiprocessing
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Connection, inspect, text

from controller.adapters.store import revisions, schema
from controller.adapters.store.engine import make_engine
from controller.adapters.store.sql import SqlStore
from controller.ports import StoreError


@contextmanager
def by_hand(url: str) -> Iterator[Connection]:
    """The database without the store."""
    engine = make_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


async def test_the_migrated_schema_is_the_one_that_the_program_was_written_for(store: SqlStore) -> None:
    def difference(tx: object) -> list[object]:
        context = MigrationContext.configure(tx.conn, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, schema.metadata))

    assert await store.transact(difference) == []


async def test_checks_and_numbering_are_migrated_too(tmp_path: Path) -> None:
    """Alembic compares neither CHECK constraints nor AUTOINCREMENT, so SQLite's own text of them is."""
    store = SqlStore(f"sqlite:///{tmp_path}/loa.db")
    await store.open()
    migrated = await store.transact(lambda tx: _ddl(tx.conn))
    await store.close()

    with by_hand("sqlite://") as connection:
        schema.metadata.create_all(connection)
        assert migrated == _ddl(connection)


def _ddl(connection: object) -> set[tuple[str, str]]:
    """(table, one line of its definition); the order of constraints does not matter."""
    found = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
    )
    return {(name, line.strip().rstrip(",")) for name, sql in found for line in sql.splitlines()}


def test_the_last_revision_is_the_one_that_the_tables_are() -> None:
    assert revisions.scripts().get_current_head() == schema.HEAD


async def test_opening_again_changes_nothing(shared_url: str) -> None:
    for _ in range(2):
        store = SqlStore(shared_url)
        await store.open()
        await store.transact(lambda tx: tx.note("times", (tx.noted("times") or "") + "I"))
        await store.close()
    await store_note_is(shared_url, "II")


async def store_note_is(url: str, expected: str) -> None:
    store = SqlStore(url, read_only=True)
    await store.open()
    assert await store.transact(lambda tx: tx.noted("times")) == expected
    await store.close()


def test_processes_that_open_an_empty_database_together_all_succeed(shared_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(3)
    children = [spawn.Process(target=_open_and_write, args=(shared_url, together)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    asyncio.run(store_note_is(shared_url, "III"))


def _open_and_write(url: str, together: object) -> None:
    async def run() -> None:
        store = SqlStore(url)
        together.wait(timeout=30)
        await store.open()
        await store.transact(lambda tx: tx.note("times", (tx.noted("times") or "") + "I"))
        await store.close()

    asyncio.run(run())


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(shared_url: str) -> None:
    store = SqlStore(shared_url)
    await store.open()
    await store.transact(lambda tx: tx.conn.execute(text("UPDATE alembic_version SET version_num = 'r9999'")))
    await store.close()

    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"newer program.*r9999.*restore the backup"):
            await SqlStore(shared_url, read_only=read_only).open()
    with by_hand(shared_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "r9999"


async def test_a_migration_that_fails_on_its_last_table_leaves_none_of_the_others(shared_url: str) -> None:
    with by_hand(shared_url) as connection:
        connection.execute(text("CREATE TABLE outbox_attempts (other_program INTEGER)"))
    with pytest.raises(StoreError, match="outbox_attempts"):
        await SqlStore(shared_url).open()
    with by_hand(shared_url) as connection:
        assert inspect(connection).get_table_names() == ["outbox_attempts"]


# --- who only looks -----------------------------------------------------------------------------------------


async def test_a_reader_sees_what_the_controller_committed_and_cannot_write(shared_url: str) -> None:
    controller, reader = SqlStore(shared_url), SqlStore(shared_url, read_only=True)
    await controller.open()
    await reader.open()
    await controller.transact(lambda tx: tx.note("plan", "tuần 48"))

    assert await reader.transact(lambda tx: tx.noted("plan")) == "tuần 48"
    with pytest.raises(StoreError, match="cannot be written"):
        await reader.transact(lambda tx: tx.note("plan", "by hand"))
    await reader.close()
    await controller.close()


async def test_a_reader_and_a_writer_do_not_wait_for_each_other(shared_url: str) -> None:
    controller, reader = SqlStore(shared_url), SqlStore(shared_url, read_only=True)
    await controller.open()
    await reader.open()
    loop = asyncio.get_running_loop()

    def look_while_writing(tx: object) -> object:
        tx.note("plan", "half written")
        looked = asyncio.run_coroutine_threadsafe(reader.transact(lambda other: other.noted("plan")), loop)
        return looked.result(timeout=5)

    def write_while_looking(tx: object) -> object:
        before = tx.noted("plan")
        asyncio.run_coroutine_threadsafe(controller.transact(lambda other: other.note("plan", "new")), loop).result(
            timeout=5
        )
        return before, tx.noted("plan")

    assert await controller.transact(look_while_writing) is None
    assert (await reader.transact(write_while_looking))[0] == "half written"
    await reader.close()
    await controller.close()


async def test_looking_at_a_database_that_is_not_there_says_so_and_makes_none(tmp_path: Path) -> None:
    file = tmp_path / "loa.db"
    with pytest.raises(StoreError, match=r"loa\.db: there is no database yet: start `loa run` first"):
        await SqlStore(f"sqlite:///{file}", read_only=True).open()
    assert list(tmp_path.iterdir()) == []


async def test_looking_at_a_database_that_was_never_migrated_says_so(shared_url: str) -> None:
    with by_hand(shared_url) as connection:
        connection.execute(text("CREATE TABLE something (id INTEGER)"))
    with pytest.raises(StoreError, match="start `loa run` once"):
        await SqlStore(shared_url, read_only=True).open()


async def test_a_reader_works_after_the_controller_has_ended(shared_url: str) -> None:
    controller = SqlStore(shared_url)
    await controller.open()
    await controller.transact(lambda tx: tx.note("times", "I"))
    await controller.close()
    await store_note_is(shared_url, "I")


# --- the file -----------------------------------------------------------------------------------------------


async def test_a_new_database_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/data/loa.db")
    await store.open()
    await store.transact(lambda tx: tx.note("secret", "hash"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    await store.close()
    assert modes == {"loa.db": 0o600, "loa.db-wal": 0o600, "loa.db-shm": 0o600}


@pytest.mark.parametrize("name", ["xã Nà Mèo.db", "100%.db", "what?mode=ro.db", "a#b.db"])
async def test_any_file_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    url = URL.create("sqlite", database=str(tmp_path / name)).render_as_string(hide_password=False)
    store = SqlStore(url)
    await store.open()
    await store.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
