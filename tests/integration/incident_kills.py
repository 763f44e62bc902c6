"""SIGKILL in the middle of incidents and of telling people, again and again; the account of what was told.

Real database, real mail server and webhook receiver, real SIGKILL. Used by the tests and by `benchmarks.alert_kills`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import OutboxRow, OutboxState
from controller.domain.incidents import Incident, IncidentEvent
from controller.domain.outbox import key_of
from tests.e2e.nursery import Nursery
from tests.health_support import district
from tests.receivers import HttpReceiver, MailServer

TOLD = ("opened", "recovered", "reopened", "severity", "unverified")
STARTING_S = 0.3
LONGEST_LIFE_S = 5.0
FINISH_S = 120.0


@dataclass
class Account:
    """What must be empty, and of how much it was made."""

    lost: list[str] = field(default_factory=list)
    """A change that somebody is to hear of, and nothing on the wire told it."""
    doubled: list[str] = field(default_factory=list)
    """Two rows for one change, person and channel."""
    backwards: list[str] = field(default_factory=list)
    still_open: list[str] = field(default_factory=list)
    kills: int = 0
    incidents: int = 0
    rows: int = 0
    wire: int = 0
    wire_doubles: int = 0
    twice_doubling_kills: int = 0
    """Kills that caught a message of each of two channels between its receiver and our record of it."""
    seconds: float = 0

    @property
    def wrong(self) -> dict[str, list[str]]:
        return {name: rows for name, rows in vars(self).items() if isinstance(rows, list) and rows}


async def account_of(
    folder: Path, kills: int, *, seed: int, tell: Callable[[int], None] = lambda done: None
) -> Account:
    """Kill a child `kills` times, let the last one finish, and make the account."""
    rng = random.Random(seed)
    began = time.monotonic()
    world = folder / "world"
    world.touch()
    async with MailServer() as mails, Nursery(module="tests.integration.incidents_child") as nursery:
        with HttpReceiver() as hooks:
            deaths: dict[str, list[int]] = {"webhook": [], "smtp": []}
            words = [f"sqlite:///{folder}/loa.db", str(world), str(mails.port), hooks.url]
            for done in range(kills):
                pid = await nursery.start(words, folder / "child.log")
                await _some_time(rng, hooks)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                await nursery.ended(pid)
                deaths["webhook"].append(len(hooks.requests))
                deaths["smtp"].append(len(mails.mails))
                if (done + 1) % 100 == 0:
                    tell(done + 1)
            world.with_suffix(".end").touch()
            await _finish(nursery, words, folder)
            hook_keys = [json.loads(request.body)["key"] for request in hooks.requests]
        mail_keys = [str(message["Message-ID"]).strip("<>").partition("@")[0] for message in mails.mails]
    account = Account(kills=kills)
    wire = {"webhook": hook_keys, "smtp": mail_keys}
    await _judge(account, words[0], wire)
    account.twice_doubling_kills = sum(n > 1 for n in _doubles_by_kill(wire, deaths).values())
    account.seconds = time.monotonic() - began
    return account


async def _some_time(rng: random.Random, hooks: HttpReceiver) -> None:
    """Until some messages have arrived and a moment more; one life in four ends while it begins."""
    if rng.random() < 0.25:
        await asyncio.sleep(rng.uniform(0, STARTING_S))
        return
    wanted = len(hooks.requests) + rng.randint(1, 6)
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_LIFE_S):
            while len(hooks.requests) < wanted:
                await asyncio.sleep(0.001)
    await asyncio.sleep(rng.uniform(0, 0.02))


async def _finish(nursery: Nursery, words: list[str], folder: Path) -> None:
    pid = await nursery.start(words, folder / "child.log")
    try:
        async with asyncio.timeout(FINISH_S):
            while not (folder / "world.done").exists():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it never finished: {(folder / 'child.log').read_text()[-2000:]}") from None
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await nursery.ended(pid)


async def _judge(account: Account, database: str, wire: dict[str, list[str]]) -> None:
    store = SqlStore(database)
    await store.open()
    since = datetime.now(UTC) - timedelta(days=1)
    incidents = await store.transact(lambda tx: [*tx.incidents(since), *tx.open_incidents()])
    for incident in {one.id: one for one in incidents}.values():
        rows, events = await store.transact(
            lambda tx, id=incident.id: (tx.outbox(id), tx.incident_events(id))  # type: ignore[misc]
        )
        _of_incident(account, incident, sorted(rows, key=lambda row: row.id), events, wire)
    await store.close()
    for keys in wire.values():
        account.wire += len(keys)
        account.wire_doubles += len(keys) - len(set(keys))


def _doubles_by_kill(wire: dict[str, list[str]], deaths: dict[str, list[int]]) -> Counter[int]:
    """Kill -> messages that arrived again after it. `deaths`: how many had arrived by kind at each kill."""
    by_kill: Counter[int] = Counter()
    for kind, keys in wire.items():
        newest: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key in newest:
                by_kill[bisect_right(deaths[kind], newest[key])] += 1
            newest[key] = place
    return by_kill


def _of_incident(
    account: Account,
    incident: Incident,
    rows: list[OutboxRow],
    events: list[IncidentEvent],
    wire: dict[str, list[str]],
) -> None:
    account.incidents += 1
    account.rows += len(rows)
    if incident.closed_at is None:
        account.still_open.append(f"incident {incident.id}")
    changes = [event.transition for event in events if event.transition.partition("-")[0] in TOLD]
    per_channel = Counter((row.transition, row.channel.partition(":")[0]) for row in rows)
    for change in changes:
        for kind in wire:
            if per_channel[change, kind] == 0:
                account.lost.append(f"{change} of {incident.id} has no row for {kind}")
    account.doubled += [f"{key} of {incident.id}" for key, count in per_channel.items() if count > 1]
    if Counter(changes)["opened"] > 1:
        account.doubled.append(f"incident {incident.id} opened twice: {changes}")
    site = district(1, 1).site.id
    for kind, keys in wire.items():
        _told(account, [row for row in rows if row.channel.startswith(kind)], keys, site)


def _told(account: Account, rows: list[OutboxRow], keys: list[str], site: str) -> None:
    arrived = {key: place for place, key in reversed(list(enumerate(keys)))}
    places = []
    for row in rows:
        own = key_of(site, row)
        teller = own if row.state is OutboxState.SENT else row.last_error.removeprefix("told with ")
        if teller not in arrived:
            account.lost.append(f"{row.transition} of {row.incident} is {row.state} and never arrived")
        elif teller == own:
            places.append(arrived[own])
    if places != sorted(places):
        account.backwards.append(f"incident {rows[0].incident}")
