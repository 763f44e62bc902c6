"""The store over SQLAlchemy: SQLite or PostgreSQL, one transaction after the other in a thread of its own."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from controller.adapters.store.engine import file_of, make_engine, place_of
from controller.adapters.store.errors import told
from controller.adapters.store.migrate import require_head, upgrade
from controller.adapters.store.tx import SqlTx
from controller.ports import StoreError, Tx

T = TypeVar("T")


class SqlStore:
    """ports.Store by URL: `sqlite:///path/loa.db`, `sqlite://` (in memory), `postgresql+psycopg://...`.

    `read_only`: for another process that looks while the controller runs. The database must exist and be of
    this program's revision; writing is a StoreError.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._url = url
        self._read_only = read_only
        self._where = place_of(url)
        self._main = _Lane(self._where, "store")
        self._side = self._main

    async def open(self) -> None:
        """Connect; bring the schema up to date, if not read-only. StoreError if that cannot be."""
        await self._main.run(self._open)
        if not self._read_only and not self._in_memory:
            self._side = _Lane(self._where, "store-read")
            self._side.engine = make_engine(self._url, read_only=True)

    async def close(self) -> None:
        """Wait for the transactions under way and disconnect. Closing twice is fine."""
        for lane in {self._side, self._main}:
            await lane.close()

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        return await self._main.run(lambda: self._main.transact(work), ahead=ahead)

    async def read(self, work: Callable[[Tx], T]) -> T:
        lane = self._side
        return await lane.run(lambda: lane.transact(work))

    @property
    def _in_memory(self) -> bool:
        return self._url.startswith("sqlite") and file_of(self._url) is None

    def _open(self) -> None:
        self._prepare_file()
        engine = make_engine(self._url, read_only=self._read_only)
        try:
            with told(self._where), engine.begin() as connection:
                self._check(connection)
        except BaseException:
            engine.dispose()
            raise
        self._main.engine = engine

    def _check(self, connection: Connection) -> None:
        (require_head if self._read_only else upgrade)(connection, self._where)

    def _prepare_file(self) -> None:
        """A new database is readable by its owner only: it holds password hashes and addresses."""
        file = file_of(self._url)
        if file is None:
            return
        try:
            if file.exists():
                return
            if not self._read_only:
                file.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
                return
        except OSError as error:
            raise StoreError(
                f"{self._where}: cannot be opened: {error.strerror}; check the path and this user's rights"
            ) from error
        raise StoreError(f"{self._where}: there is no database yet: start `loa run` first")


class _Lane:
    """One connection and the thread that uses it, so that the event loop never waits for a disk."""

    def __init__(self, where: str, name: str) -> None:
        self.engine: Engine | None = None
        self._where = where
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._ahead: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._behind: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._closed = False

    async def run(self, call: Callable[[], T], *, ahead: bool = False) -> T:
        """Run `call` in the thread, after all that were asked for before; or before all that are not `ahead` too."""
        if self._closed:
            raise StoreError(f"{self._where}: the store is closed")
        done: Future[T] = Future()
        (self._ahead if ahead else self._behind).append((call, done))
        self._thread.submit(self._run_next)
        return await asyncio.wrap_future(done)

    def _run_next(self) -> None:
        """One job for each that was put into a queue. In the thread."""
        call, done = (self._ahead or self._behind).popleft()
        if not done.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  whoever waits is told, as by an executor
            done.set_exception(error)
        else:
            done.set_result(result)

    def transact(self, work: Callable[[Tx], T]) -> T:
        if self.engine is None:
            raise StoreError(f"{self._where}: the store is not open")
        with told(self._where), self.engine.begin() as connection:
            return work(SqlTx(connection))

    async def close(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            await self.run(engine.dispose)
        self._closed = True
        self._thread.shutdown()
