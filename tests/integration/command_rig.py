"""The command line and a controller for it: in this process, with a real database, lock and HTTP server, and one node
that answers what it is ordered."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from structlog.testing import capture_logs
from typer.testing import CliRunner

from controller import cli
from controller.adapters.clock import SystemClock
from controller.adapters.datafolder import DataFolder
from controller.adapters.lock import Lock
from controller.adapters.store.sql import SqlStore
from controller.app import App
from controller.commands.base import Failure
from controller.settings import load
from controller.web.server import listen, serve_on, url_of
from controller.wire.messages import JournalEntry, Status, encode
from controller.wire.topics import Topics
from tests.district import TOKEN
from tests.fakes import FakeBus, FakeTimer
from tests.house import built

SHIPPED = Path(__file__).parent.parent.parent / "config"
TOPICS = Topics()
NODE = "na-meo-01"

GOOD = {"line_z_ohm": 62.0, "mic_spl_db": 96.0, "earth_kohm": 2400.0, "batt_r_mohm": 25.0}
"""As the model of the shipped nodes is to be."""


def configuration(folder: Path, **alerts: Any) -> Path:
    """A copy of the shipped configuration with its data in `folder`, and `alerts` for those keys of alerts.yaml."""
    config = folder / "config"
    shutil.copytree(SHIPPED, config)
    edited(config / "site.yaml", data=str(folder / "data"))
    edited(config / "alerts.yaml", **alerts)
    return config


def edited(file: Path, **changes: Any) -> None:
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**written, **changes}, allow_unicode=True), encoding="utf-8")


@dataclass(frozen=True)
class Ended:
    status: int
    output: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


async def loa(config: Path, *arguments: str, typed: str = "") -> Ended:
    """What a terminal shows of `loa ...`, and its exit status; in a thread, as the controller lives in this loop."""
    return await asyncio.to_thread(_loa, config, arguments, typed)


def _loa(config: Path, arguments: tuple[str, ...], typed: str) -> Ended:
    told = {"LOA_LANG": "en", "LOA_CONFIG": str(config), "COLUMNS": "200"}
    ended = CliRunner().invoke(cli.app, list(arguments), input=typed, env=told)
    if isinstance(ended.exception, Failure):  # what cli.main prints and exits with
        return Ended(ended.exception.status, f"{ended.output}loa: {ended.exception}")
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.output)


@dataclass
class Rig:
    """A running controller. `measures`: what the node measures in the self-tests that it is ordered; None: it is
    silent."""

    app: App
    bus: FakeBus
    config: Path
    web: httpx.AsyncClient
    measures: Mapping[str, float] | None = field(default_factory=lambda: GOOD)

    async def loa(self, *arguments: str, typed: str = "") -> Ended:
        return await loa(self.config, *arguments, typed=typed)

    async def until(self, done: Any) -> None:
        """Until `done()`, which may be awaited, is true."""
        async with asyncio.timeout(30):
            while True:
                answer = done()
                if await answer if asyncio.iscoroutine(answer) else answer:
                    return
                await asyncio.sleep(0.01)

    async def answer_orders(self) -> None:
        """The node's part: it is there, and tests itself when it is told to."""
        self.bus.feed(TOPICS.status(NODE), encode(Status(True, "b", 1, self.bus.clock.now(), "birth")), True)
        seen = number = 0
        while True:
            await asyncio.sleep(0.01)
            for published in self.bus.published[seen:]:
                seen += 1
                if published.topic == TOPICS.command(NODE) and self.measures is not None:
                    number += 1
                    self.feed_selftest(number, self.measures)

    def feed_selftest(self, number: int, results: Mapping[str, float]) -> None:
        now = self.bus.clock.now()
        entry = JournalEntry(log="l", n=number, at=now, kind="selftest", result="passed", results=dict(results))
        self.bus.feed(TOPICS.journal(NODE), encode(entry))


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Rig]:
    """A controller on `config`, which its commands find."""
    settings = load(config)
    clock: Any = SystemClock()
    bus, data = FakeBus(clock), DataFolder(Path(settings.site.data))
    lock = Lock(data.lock())
    store = SqlStore(settings.site.store_url)
    await store.open()
    # the terminal of a command is this process's: what the controller logs does not belong on it
    with capture_logs(), listen("127.0.0.1", 0) as listening:
        app = built(settings, store=store, clock=clock, bus=bus, timer=FakeTimer(clock), load=lambda: load(config))
        await app.start()
        url = url_of(listening)
        told = {"url": url, "token": TOKEN, "pid": 0, "leads": True, "since": clock.now().isoformat()}
        data.controller().write_text(json.dumps(told))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as web:
            rig = Rig(app, bus, config, web)
            bus.up()
            works = (app.run(), serve_on(app, TOKEN, listening), rig.answer_orders())
            tasks = [asyncio.create_task(work) for work in works]
            try:
                yield rig
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await app.stop()
                lock.release()
