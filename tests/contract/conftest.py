"""Every implementation of the store, for the suites that run over all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from controller.adapters.store.sql import SqlStore
from tests.postgresql import Cluster, binaries, cluster

EVERY_STORE = ("sqlite-memory", "sqlite-file", "postgresql")
SHARED_STORES = ("sqlite-file", "postgresql")
"""Those that two processes can open."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server installed (apt install postgresql)")
    with cluster(programs) as running:
        yield running


def fresh_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a database that is empty."""
    if kind == "postgresql":
        running: Cluster = request.getfixturevalue("postgresql")
        return running.database()
    return "sqlite://" if kind == "sqlite-memory" else f"sqlite:///{folder}/loa.db"


@pytest_asyncio.fixture(params=EVERY_STORE)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    """An open, empty store of each kind."""
    opened = SqlStore(fresh_url(request.param, request, tmp_path))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(params=SHARED_STORES)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that several stores may open."""
    return fresh_url(request.param, request, tmp_path)
