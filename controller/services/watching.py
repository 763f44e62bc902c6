"""Watches the controller itself: its database, disk, clock, event loop, timer, outbox and canary; says by /health, by
incidents of the centre and to the outside how it is. What it all means is decided in domain/watching.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from controller.domain import centre
from controller.domain.faults import Severity, Value
from controller.domain.outbox import Policy
from controller.domain.site import Settings
from controller.domain.watching import (
    PROBE_S,
    Ailment,
    ClockWatch,
    DatabaseWatch,
    Found,
    IntakeWatch,
    Lags,
    Vitals,
    ailments,
    disk_fault,
    why_silent,
)
from controller.ports import Beacon, Bus, Clock, Host, Store, StoreError, Timer
from controller.services.canary import Canary
from controller.services.lifesign import LifeSign

log = structlog.get_logger(__name__)

ANSWER_S = 10.0
"""A database that has not taken a note by then refuses."""
ASKED_S = 2.0
"""The same for whoever asks for /health, and waits."""
HELD_BACK = timedelta(seconds=Policy().window_s)
"""So long a person's further messages may wait for their turn after one has come: that is no trouble of ours."""
INTEGRITY_FIRST_S, INTEGRITY_EVERY_S = 600.0, 24 * 3600.0
NOTE = "watched"
TIMER = "watch"


class Centre(Protocol):
    """What is told of the centre's own faults (Monitoring)."""

    def centre(self, code: str, evidence: Mapping[str, Value] | None, severity: Severity | None = None) -> None: ...


class Epochs(Protocol):
    """Whether nodes know of a later epoch than ours (services/epochs.py)."""

    def trouble(self) -> Mapping[str, Value] | None: ...


class Watching:
    """`run` it while this controller leads; `verdict` answers whether or not it runs."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        store: Store,
        bus: Bus,
        timer: Timer,
        monitoring: Centre,
        canary: Canary,
        life_sign: LifeSign,
        epochs: Epochs | None = None,
        lag_s: Callable[[], float] = lambda: 0.0,
        host: Host | None = None,
        beacon: Beacon | None = None,
    ) -> None:
        """`lag_s`: how long ago the oldest came that is not taken in yet."""
        self._settings = settings
        self._clock = clock
        self._store = store
        self._bus = bus
        self._timer = timer
        self._monitoring = monitoring
        self.canary = canary
        self._life_sign = life_sign
        self._epochs = epochs
        self._lag_s = lag_s
        self._host = host
        self._beacon = beacon
        self._database = DatabaseWatch()
        self._time = ClockWatch()
        self._intake = IntakeWatch()
        self._lags = Lags()
        self._disk: Found | None = None
        self._timer_seen: float | None = None
        self._lost_since: float | None = clock.monotonic()
        self._running = False
        self.pings = {"sent": 0, "failed": 0, "withheld": 0}

    def reload(self, settings: Settings) -> None:
        """Watch by another configuration from now on."""
        self._settings = settings
        self.canary.reload(settings)
        self._life_sign.reload(settings)

    async def run(self) -> None:
        """Until cancelled."""
        self._running, self._timer_seen = True, self._clock.monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feel(), name="watch event loop")
            tasks.create_task(self._probe(), name="watch centre")
            tasks.create_task(self._check_files(), name="watch database files")
            tasks.create_task(self.canary.run(), name="canary")
            tasks.create_task(self._ping(), name="dead man")
            tasks.create_task(self._life_sign.run(), name="life sign")

    # --- the verdict ----------------------------------------------------------------------------------------

    async def verdict(self, leads: bool = True) -> tuple[Ailment, ...]:
        """Every reason why this controller is not doing its work, as it is now."""
        return ailments(await self.vitals(leads))

    async def vitals(self, leads: bool = True) -> Vitals:
        """What is known of the controller now; the database is asked."""
        database, due = await self._ask()
        mono = self._clock.monotonic()
        self._feel_bus(mono)
        canary = self.canary
        return Vitals(
            mono,
            leads=leads,
            broker_lost_since=self._lost_since,
            database=database or (self._database.reason or self._database.damage if self._running else ""),
            disk=self._disk,
            loop_lag_s=self._lags.worst(mono),
            intake_lag_s=self._lag_s(),
            timer_seen=self._timer_seen if self._running else None,
            outbox_due_s=due,
            canary_s=canary.every_s if self._running else 0.0,
            canary_limit_s=canary.limit_s,
            canary_begun=canary.begun,
            canary_passed=canary.passed,
            canary_lost=canary.lost.value if canary.lost else "",
        )

    async def _ask(self) -> tuple[str, float | None]:
        """Why the database does not answer, or ""; and how long the oldest message has been due."""
        now = self._clock.now()
        try:
            async with asyncio.timeout(ASKED_S):
                due = await self._store.transact(lambda tx: tx.oldest_due(now, now - HELD_BACK))
        except TimeoutError:
            return f"no answer within {ASKED_S:g} s", None
        except StoreError as error:
            return str(error), None
        return "", None if due is None else (now - due).total_seconds()

    @property
    def loop_lag_s(self) -> float:
        """How late the event loop came to its last turn."""
        return self._lags.last

    # --- looking at ourselves -------------------------------------------------------------------------------

    async def _feel(self) -> None:
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(1.0)
            mono = self._clock.monotonic()
            self._lags.add(mono, max(0.0, mono - before - 1.0))
            if self._epochs is not None:
                self._monitoring.centre(centre.EPOCH, self._epochs.trouble())
            self._feel_bus(mono)

    def _feel_bus(self, mono: float) -> None:
        if self._bus.connected:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = mono

    async def _probe(self) -> None:
        while True:
            # Armed anew each time: a wall clock that was stepped back must not make the timer look dead.
            self._timer.at(TIMER, self._clock.now() + timedelta(seconds=1), self._timer_ran)
            await self._probe_database()
            await self._probe_disk()
            self._probe_clock(self._clock.now(), self._clock.monotonic())
            self._monitoring.centre(centre.INTAKE, self._intake.look(self._lag_s()))
            await self._clock.sleep(PROBE_S)

    async def _timer_ran(self) -> None:
        self._timer_seen = self._clock.monotonic()

    def _probe_clock(self, wall: datetime, mono: float) -> None:
        trouble = self._time.look(wall, mono, self._host.synced() if self._host else None)
        if trouble or self._time.knows(mono):
            self._monitoring.centre(centre.CLOCK, trouble)

    async def _probe_database(self) -> None:
        start, noted, reason = self._clock.monotonic(), self._clock.now().isoformat(), ""
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._store.transact(lambda tx: tx.note(NOTE, noted))
        except TimeoutError:
            reason = f"no answer within {ANSWER_S:g} s"
        except StoreError as error:
            reason = str(error)
        if reason:
            log.error("the database does not take what is to be written", reason=reason)
        found = self._database.look(reason, self._clock.monotonic() - start)
        if found or self._database.checked:
            self._tell(centre.DATABASE, found)

    async def _check_files(self) -> None:
        await self._clock.sleep(INTEGRITY_FIRST_S)
        while True:
            try:
                self._database.damage = await self._store.read(lambda tx: tx.damage())
            except StoreError as error:
                self._database.damage = str(error)
            self._database.checked = True
            if self._database.damage:
                log.error("the database is damaged", found=self._database.damage)
            await self._clock.sleep(INTEGRITY_EVERY_S)

    async def _probe_disk(self) -> None:
        space = await asyncio.to_thread(self._host.space) if self._host else None
        if space is not None:
            self._disk = disk_fault(space, self._settings.alerts.watch)
            self._tell(centre.DISK, self._disk)

    def _tell(self, code: str, found: Found | None) -> None:
        evidence, severity = found or (None, None)
        self._monitoring.centre(code, evidence, severity)

    # --- the outside ----------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        while True:
            await self._clock.sleep(self._settings.alerts.watch.dead_man_s)
            if self._beacon and (url := self._settings.alerts.watch.dead_man_url):
                await self._ping_if(self._beacon, url)

    async def _ping_if(self, beacon: Beacon, url: str) -> None:
        if reason := why_silent(await self.vitals()):
            self.pings["withheld"] += 1
            log.warning("dead-man URL not pinged", reason=reason)
        elif reason := await beacon.ping(url):
            self.pings["failed"] += 1
            log.warning("dead-man URL did not answer", reason=reason)
        else:
            self.pings["sent"] += 1
