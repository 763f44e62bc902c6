"""SIGKILL in the middle of sending, again and again, with real receivers and a real database."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import OutboxRow, OutboxState
from controller.domain.outbox import key_of
from tests.integration.alerts_child import SITE_ID, STORY
from tests.receivers import HttpReceiver, MailServer, Request

KILLS = 20
TRANSITIONS = 400


@pytest.mark.timeout(300)
async def test_twenty_kills_while_sending_lose_nothing_and_double_nothing_by_key(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/loa.db"
    rng = random.Random(20261123)
    arrivals = asyncio.Condition()
    loop = asyncio.get_running_loop()

    async def ring() -> None:
        async with arrivals:
            arrivals.notify_all()

    async with MailServer() as mails:
        with HttpReceiver() as hooks:

            def answer(request: Request) -> tuple[int, dict[str, str]]:
                asyncio.run_coroutine_threadsafe(ring(), loop)
                return 204, {}

            hooks.answer = answer
            arguments = (database, str(mails.port), hooks.url, str(TRANSITIONS))
            kills = 0
            while kills < KILLS:
                child = await _child(*arguments)
                wanted = len(hooks.requests) + rng.randint(1, 8)
                arrived = asyncio.create_task(_until(arrivals, lambda: len(hooks.requests) >= wanted))  # noqa: B023
                ended = asyncio.create_task(child.wait())
                await asyncio.wait({arrived, ended}, return_when=asyncio.FIRST_COMPLETED)
                assert not ended.done(), "it ended before it could be killed: give it more to do"
                child.send_signal(signal.SIGKILL)
                await ended
                kills += 1
            last = await _child(*arguments)
            assert await last.wait() == 0

        rows = await _rows(database)
        hook_keys = [json.loads(request.body)["key"] for request in hooks.requests]
        mail_keys = [str(message["Message-ID"]).strip("<>").partition("@")[0] for message in mails.mails]

    _check([row for row in rows if row.channel.startswith("webhook")], hook_keys)
    _check([row for row in rows if row.channel.startswith("smtp")], mail_keys)


def _check(rows: list[OutboxRow], wire: list[str]) -> None:
    assert [row.transition for row in rows] == [STORY[n % len(STORY)] for n in range(TRANSITIONS)]
    arrived = Counter(wire)
    for row in rows:
        key = key_of(SITE_ID, row)
        told_by = key if row.state is OutboxState.SENT else row.last_error.removeprefix("told with ")
        assert told_by in arrived, f"{row.transition} of {row.incident} is {row.state} and never arrived"
    assert sum(arrived.values()) - len(arrived) <= KILLS, "at most one repeat on the wire for each kill"
    order = {key_of(SITE_ID, row): (row.incident, row.id) for row in rows}
    for number in {row.incident for row in rows}:
        told = [order[key][1] for key in wire if order[key][0] == number]
        assert told == sorted(told), f"the story of incident {number} was told backwards"


async def _child(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.alerts_child", *arguments, stdout=asyncio.subprocess.DEVNULL
    )


async def _until(arrivals: asyncio.Condition, holds: object) -> None:
    async with arrivals:
        await arrivals.wait_for(holds)  # type: ignore[arg-type]


async def _rows(database: str) -> list[OutboxRow]:
    store = SqlStore(database)
    await store.open()
    rows = await store.transact(lambda tx: tx.outbox(limit=10 * TRANSITIONS))
    await store.close()
    return sorted(rows, key=lambda row: row.id)
