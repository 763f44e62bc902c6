"""A controller reduced to its health and its alerts, as a process to be killed: faults come and go, messages go out.

`python -m tests.integration.incidents_child` raises such children (see tests/e2e/nursery.py). Their words: database
URL, world file, mail port, webhook URL. The world outlives them: each step of it is one byte of the world file, and
step k raises fault k and takes back fault k - STANDING. A child that begins hears what stands, as from retained
messages, and that the last ones were taken back, as nodes say it at their birth. Once `FILE.end` is there, all is taken
back, and the child says `FILE.done` when nobody has anything left to hear.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.adapters.clock import SystemClock
from controller.adapters.notify.smtp import SmtpNotifier
from controller.adapters.notify.webhook import WebhookNotifier
from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import AlertSettings, Smtp
from controller.domain.site import Settings
from controller.services.alerting import Alerting
from controller.services.changes import Changes
from controller.services.monitoring import Monitoring
from controller.wire.messages import FaultReport
from tests.alerts_support import hook, mail, person
from tests.e2e.nursery import serve
from tests.health_support import district, rule
from tests.integration.alerts_child import IMPATIENT

NODES, CODES = 400, 50
"""Every fault is another one for long enough: what comes back soon would flap, and flapping is silent."""
STANDING = 4
STEP_S = 0.012
RULES = tuple(rule(f"r{n:02d}", "clock", reported=True) for n in range(CODES))


def site(hook_url: str) -> Settings:
    """One commune whose technician hears of everything at once by webhook, and by mail too."""
    made = district(communes=1, nodes_each=NODES)
    people = (person("lan", mail(), also=(hook(hook_url),)),)
    alerts = AlertSettings(people=people, wait_critical_s=0, wait_other_s=0)
    return replace(made, site=replace(made.site, heartbeat_s=1), faults=RULES, alerts=alerts)


def fault(step: int) -> tuple[str, str]:
    """Node and code."""
    return f"c1-{1 + step % NODES}", f"r{step // NODES % CODES:02d}"


class Life:
    """One child's."""

    def __init__(self, database: str, world: str, mail_port: str, hook_url: str) -> None:
        self._world = Path(world)
        self._clock = SystemClock()
        self._store = SqlStore(database)
        settings = site(hook_url)
        relay = Smtp(host="127.0.0.1", port=int(mail_port), sender="loa@quan-son.example", timeout_s=5)
        self.alerting = Alerting(
            settings,
            store=self._store,
            clock=self._clock,
            notifiers={"smtp": SmtpNotifier(relay, self._clock), "webhook": WebhookNotifier(self._clock)},
            changes=Changes(),
            policy=IMPATIENT,
        )
        self.monitoring = Monitoring(
            settings,
            store=self._store,
            clock=self._clock,
            order=self._order,
            changes=Changes(),
            on_outbox=self.alerting.wake,
        )

    async def _order(self, node: str, do: str, args: dict[str, Any]) -> str:
        return "nobody is there"

    async def live(self) -> None:
        await self._store.open()
        await self.monitoring.start()
        work = asyncio.gather(self.monitoring.run(), self.alerting.run())
        await self.monitoring.on_bus_up(self._clock.monotonic())
        steps = self._world.stat().st_size
        for step, raised in _remembered(steps):
            await self._say(step, raised)
        while not self._world.with_suffix(".end").exists():
            with self._world.open("ab", buffering=0) as file:
                file.write(b".")
            await self._say(steps, True)
            await self._say(steps - STANDING, False)
            steps += 1
            await asyncio.sleep(STEP_S)
        for step in range(steps - STANDING, steps):
            await self._say(step, False)
        await self._until_nothing_is_left()
        work.cancel()
        self._world.with_suffix(".done").touch()

    async def _say(self, step: int, raised: bool) -> None:
        if step < 0:
            return
        node, code = fault(step)
        report = FaultReport(code, "clock", self._clock.now()) if raised else None
        await self.monitoring.on_fault(node, code, report, self._clock.monotonic(), False)

    async def _until_nothing_is_left(self) -> None:
        while await self._store.transact(lambda tx: bool(tx.open_incidents()) or bool(tx.outbox_channels())):
            await asyncio.sleep(0.05)


def _remembered(steps: int) -> Iterator[tuple[int, bool]]:
    for step in range(max(0, steps - STANDING * 10), steps):
        yield step, step >= steps - STANDING


if __name__ == "__main__":
    serve(lambda words: os._exit(asyncio.run(Life(*words).live()) or 0))
