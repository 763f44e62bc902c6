"""A controller that is killed at any instant loses nothing and doubles nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import sign
from tests import postgresql
from tests.e2e.kills import Account, account_of, of_documents
from tests.e2e.network import reachable
from tests.house import KEY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return reachable(tmp_path)


@pytest.mark.timeout(240)
async def test_twenty_five_kills_lose_no_airing_and_double_none(folder: Path) -> None:
    account = await account_of(folder, 25, seed=int.from_bytes(os.urandom(2)))
    assert account.wrong == {}
    assert account.airings >= 10
    assert account.epochs >= 10, "most lives were long enough to take over"
    assert account.documents >= 20, "many were long enough to publish"


@pytest.mark.timeout(240)
@pytest.mark.skipif(postgresql.binaries() is None, reason="no PostgreSQL server is installed")
async def test_kills_on_postgresql_lose_no_airing_and_double_none(folder: Path) -> None:
    programs = postgresql.binaries()
    assert programs is not None
    with postgresql.cluster(programs) as cluster:
        account = await account_of(folder, 8, seed=int.from_bytes(os.urandom(2)), store_url=cluster.database())
    assert account.wrong == {}
    assert account.epochs >= 3


def document(epoch: int, rev: int, iat: int = 0) -> tuple[str, bytes]:
    until = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=iat)
    whole = PlaylistsDoc(iss="x", aud="n", iat=iat, exp=2_000_000_000, epoch=epoch, rev=rev, valid_until=until)
    return "n", sign(whole, KEY)


def test_the_account_itself_sees_a_revision_that_goes_back() -> None:
    account = Account()
    of_documents(account, [document(2, 7), document(2, 7), document(1, 8)])
    assert account.wrong == {"backwards": ["n: (1, 8) after (2, 7)"]}


def test_the_account_itself_sees_one_revision_with_two_contents() -> None:
    account = Account()
    of_documents(account, [document(2, 7), document(2, 7, iat=1)])
    assert list(account.wrong) == ["contradictions"]
