"""Flies the canary: a fault that is nobody's goes the whole way to a receiver and back, again and again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from controller.domain import canary, centre
from controller.domain.canary import Stage, Traces
from controller.domain.faults import Value
from controller.domain.site import Settings
from controller.ports import Bus, Clock, Store, StoreError, Tx
from controller.wire.messages import FaultReport, encode
from controller.wire.topics import Topics

log = structlog.get_logger(__name__)

FIRST_S = 60.0
"""After a start, when whatever a start brings is over."""
RECENT = timedelta(days=1)
AGAIN_S = 60.0
"""After one that was lost: people are told, and must hear soon when it is over."""

Complain = Callable[[str, Mapping[str, Value] | None], None]


class Canary:
    """`run` it while this controller leads. `complain` is Monitoring.centre; `came_in` the flight that monitoring
    has heard of. `receives`: there is a receiver, which calls `arrived`."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        store: Store,
        bus: Bus,
        complain: Complain,
        came_in: Callable[[], str],
        receives: bool,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._store = store
        self._bus = bus
        self._complain = complain
        self._came_in = came_in
        self._receives = receives
        self._topic = Topics(settings.site.mqtt.root).fault(canary.NODE, canary.CODE)
        self._run = ""
        self._arrived: set[str] = set()
        self._news = asyncio.Event()
        self._reloaded = asyncio.Event()
        self.begun: float | None = None
        """When the first one was to fly (monotonic)."""
        self.passed: float | None = None
        self.lost: Stage | None = None
        """Where the last one was lost; None if it passed, or none has flown."""
        self.took_s: float | None = None
        """Of the last one that passed, out and back."""
        self.flights = {"passed": 0, "lost": 0}

    @property
    def every_s(self) -> float:
        """0: none flies, because it is turned off or there is nobody to receive it."""
        return self._settings.alerts.watch.canary_s if self._receives else 0.0

    @property
    def limit_s(self) -> float:
        """How long one way may take."""
        return canary.longest(self._settings.alerts)

    def reload(self, settings: Settings) -> None:
        """Fly by another configuration from now on."""
        self._settings = settings
        self._reloaded.set()

    def arrived(self, data: Mapping[str, Any]) -> None:
        """The receiver got a message: the webhook's document."""
        evidence = data.get("evidence")
        if isinstance(evidence, Mapping) and evidence.get("run") == self._run:
            self._arrived.add(str(data.get("transition", "")).partition("-")[0])
            self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._clock.sleep(FIRST_S)
        while True:
            self._reloaded.clear()
            pause = self.every_s
            if not self.every_s:
                self.begun = self.passed = self.lost = None
                self._complain(centre.CANARY, None)
                await self._reloaded.wait()
                continue
            if self._bus.connected:  # without a broker there is a fault of its own already
                self.begun = self._clock.monotonic() if self.begun is None else self.begun
                pause = await self._fly_and_tell()
            else:
                pause = AGAIN_S
            await self._clock.sleep(pause)

    async def _fly_and_tell(self) -> float:
        """One flight; how long to wait for the next."""
        start = self._clock.monotonic()
        lost, why = await self._fly()
        took = self._clock.monotonic() - start
        self.lost = lost
        if lost is None:
            self.passed, self.took_s = self._clock.monotonic(), took
            self.flights["passed"] += 1
            self._complain(centre.CANARY, None)
            return max(AGAIN_S, self.every_s - took)
        self.flights["lost"] += 1
        log.error("canary lost", stage=lost.value, reason=why, after_s=round(took, 1))
        self._complain(centre.CANARY, {"stage": lost.value, **({"reason": why} if why else {})})
        return min(AGAIN_S, self.every_s)

    async def _fly(self) -> tuple[Stage | None, str]:
        """Where it was lost and why; None when it came back."""
        self._run = secrets.token_hex(6)
        self._arrived = set()
        report = FaultReport(canary.CODE, "service", self._clock.now(), "critical", {"run": self._run})
        if reason := await self._bus.publish(self._topic, encode(report)):
            return Stage.BROKER, reason
        try:
            if not await self._heard("opened", "reopened"):
                return await self._look(canary.lost_at)
        finally:
            reason = await self._bus.publish(self._topic, b"")
        if reason:
            return Stage.BROKER, reason
        if not await self._heard("recovered"):
            return await self._look(canary.lost_back)
        return await self._tidy()

    async def _heard(self, *transitions: str) -> bool:
        """Whether the receiver got one of these in time."""
        end = self._clock.monotonic() + self.limit_s
        while not self._arrived & set(transitions):
            left = end - self._clock.monotonic()
            if left <= 0:
                return False
            self._news.clear()
            await _first(self._clock.sleep(left), self._news.wait())
        return True

    async def _look(self, judge: Callable[[Traces], Stage]) -> tuple[Stage, str]:
        run, came_in, since = self._run, self._came_in(), self._clock.now() - RECENT
        try:
            async with asyncio.timeout(AGAIN_S):
                traces = await self._store.transact(lambda tx: _traces(tx, run, came_in, since))
        except StoreError as error:
            return Stage.DATABASE, str(error)
        except TimeoutError:
            return Stage.DATABASE, "no answer"
        return judge(traces), next((row.last_error for row in traces.rows if row.last_error), "")

    async def _tidy(self) -> tuple[Stage | None, str]:
        try:
            await self._store.transact(lambda tx: tx.prune_canaries())
        except StoreError as error:
            return Stage.DATABASE, str(error)
        return None, ""


async def _first(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _traces(tx: Tx, run: str, came_in: str, since: datetime) -> Traces:
    found = tx.incidents(since, canary=True)
    incident = next((row for row in found if row.scope == canary.SCOPE and row.evidence.get("run") == run), None)
    rows = tuple(tx.outbox(incident.id)) if incident else ()
    return Traces(run, came_in, incident, rows)
