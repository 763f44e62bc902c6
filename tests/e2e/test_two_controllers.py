"""Two controllers on one database: when the leader is stopped or killed, the other leads, and nobody hears it."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from controller.adapters.broker import READERS, Broker, free_port
from controller.adapters.credentials import hash_password
from controller.commands.base import running
from tests.e2e.kills import District, Programme, Recorder, account_now, settled
from tests.e2e.network import PASSWORD, reachable
from tests.e2e.nursery import Nursery

TAKEOVER_S = 20
NAMES = ("a", "b")
ACCOUNTS = tuple(f"_controller-{name}" for name in NAMES)


class Pair(District):
    """Two controllers of one configuration and one data folder, with an account at the broker each."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        super().__init__(folder, nursery)
        self.ports = dict(zip(NAMES, (self._ports[1], free_port()), strict=True))

    async def start_broker(self) -> None:
        rows = await self.stored(lambda tx: tx.credentials())
        nodes = {row.node: row.password_hash for row in rows}
        ours = dict.fromkeys((*ACCOUNTS, READERS[0]), hash_password(PASSWORD))
        self._broker = Broker(self.folder / "broker", root="loa/v1", port=self._ports[0], controllers=ACCOUNTS)
        await self._broker.start({**nodes, **ours})

    async def start_controller(self) -> None:
        """One after the other, so that it is known who leads."""
        for name in NAMES:
            await self.launch(name, "--instance", name, "--http-port", str(self.ports[name]))
            await self.until(lambda name=name: self.status(name))

    async def status(self, name: str) -> dict[str, Any]:
        """What this controller says of itself."""
        async with httpx.AsyncClient(timeout=1) as client:
            answer: dict[str, Any] = (await client.get(f"http://127.0.0.1:{self.ports[name]}/api/status")).json()
        return answer

    async def leads(self, name: str) -> None:
        async def said() -> bool:
            status = await self.status(name)
            return not status["standby"] and status["leader"]["instance"] == name

        await self.until(said, within=TAKEOVER_S)

    async def stands_by(self, name: str, leader: str) -> None:
        async def said() -> bool:
            status = await self.status(name)
            return bool(status["standby"] and status["leader"]["instance"] == leader)

        await self.until(said, within=TAKEOVER_S)

    async def epoch(self) -> int:
        return await self.stored(lambda tx: tx.epoch())

    def _configure(self) -> None:
        super()._configure()
        site = yaml.safe_load((self.config / "site.yaml").read_text())
        site["mqtt"]["username"] = "_controller-{instance}"
        self._replace("site.yaml", site)


@pytest.mark.timeout(180)
async def test_the_other_leads_when_the_leader_is_stopped_or_killed_and_no_node_plays_twice(tmp_path: Path) -> None:
    async with Nursery() as nursery, Pair(reachable(tmp_path), nursery) as pair, Recorder(pair.access) as recorder:
        await pair.leads("a")
        await pair.stands_by("b", leader="a")
        programme = Programme(pair, recorder, random.Random(1))
        editing = asyncio.create_task(programme.edit_for_ever())
        first = await pair.epoch()

        pair.signal("a", signal.SIGSTOP)
        await pair.leads("b")
        second = await pair.epoch()
        asked = running(pair.config)
        assert asked is not None
        assert asked.url.endswith(f":{pair.ports['b']}"), "the command line asks the one that leads"
        pair.signal("a", signal.SIGCONT)
        await pair.stands_by("a", leader="b")
        await _refuses_orders(pair, "a", leader="b")

        await pair.end("b", signal.SIGKILL)
        await pair.leads("a")
        third = await pair.epoch()
        programme.running = False
        await editing
        account = await settled(lambda: account_now(pair, recorder, programme.expected))
        await pair.end("a", signal.SIGTERM)
    assert account.wrong == {}
    assert first < second < third, "every takeover raises the epoch once"
    assert account.airings >= 10
    assert account.epochs == third


async def _refuses_orders(pair: Pair, name: str, leader: str) -> None:
    async with httpx.AsyncClient() as client:
        page = f"http://127.0.0.1:{pair.ports[name]}"
        refused = await client.post(f"{page}/api/stop", json={"to": ["all"]})
        shown = (await client.get(page, headers={"Accept-Language": "en"})).text
    where = f"http://127.0.0.1:{pair.ports[leader]}"
    assert refused.status_code == 503
    assert where in refused.json()["error"]
    assert where in shown
