"""What the tests of alerting share: a site with technicians, a scripted receiver, a desk that runs it all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import (
    AlertSettings,
    Channel,
    OutboxRow,
    OutboxState,
    Person,
    messages_for,
)
from controller.domain.faults import FaultRule, Severity, Text, Visit
from controller.domain.incidents import Incident, IncidentState
from controller.domain.outbox import Policy
from controller.domain.site import Settings, Site
from controller.domain.wording import Facts
from controller.ports import Notifier, NotifyError, Outgoing, Store, Tx
from controller.services.alerting import Alerting
from controller.services.changes import Changes
from tests.fakes import START, FakeClock, settle

T = TypeVar("T")

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")

AMPLIFIER = FaultRule(
    code="amplifier",
    component="amplifier",
    severity=Severity.CRITICAL,
    title=Text("Hỏng tăng âm", "Amplifier failed"),
    advice=Text("Thay mô-đun tăng âm, kiểm tra nguồn cấp.", "Swap the module, check its supply rail."),
    visit=Visit.CLIMB,
    safety=Text("Cắt điện trước khi mở tủ.", "Switch off before opening."),
    parts=Text("mô-đun tăng âm 120 W", "120 W amplifier module"),
)

FACTS = Facts(site="Quan Sơn", zone=ZONE, node="Na Mèo 03", commune="Na Mèo", rule=AMPLIFIER)


def mail(address: str = "lan@example.org") -> Channel:
    return Channel("smtp", address)


def hook(url: str = "http://127.0.0.1:9/hook", secret: str = "") -> Channel:
    return Channel("webhook", url, secret)


def person(id: str = "lan", *channels: Channel, **changes: object) -> Person:
    """A technician for all communes."""
    someone = Person(id=id, name=id.title(), language="vi", channels=channels or (mail(f"{id}@example.org"),))
    return replace(someone, **changes)  # type: ignore[arg-type]


def settings(*people: Person) -> Settings:
    """A site whose alerts go to `people`."""
    site = Site(id="quan-son", name="Quan Sơn", zone=ZONE, language="vi", data="", store_url="sqlite://")
    return Settings(
        folder="config",
        site=site,
        nodes={},
        zones={},
        broadcasts={},
        faults=(AMPLIFIER,),
        alerts=AlertSettings(people=people or (person(),), page_url="http://loa.example"),
    )


def incident(id: int = 1, **changes: object) -> Incident:
    """An amplifier that failed 40 s before START."""
    made = Incident(
        id=id,
        scope="node",
        subject="na-meo-03",
        commune="na-meo",
        cause="amplifier",
        component="amplifier",
        severity=Severity.CRITICAL,
        state=IncidentState.OPEN,
        opened_at=START - timedelta(seconds=40),
        updated_at=START,
        evidence={"amp_vrms": 0.04, "src_dbfs": -12.3},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class Receiver:
    """A Notifier that answers as a test says: `answer` is asked for each message, None takes it."""

    def __init__(self) -> None:
        self.asked: list[Outgoing] = []
        self.got: list[Outgoing] = []
        self.answer: Callable[[Outgoing], NotifyError | None] = lambda message: None
        self.hang: asyncio.Event | None = None

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.got]

    async def send(self, channel: Channel, message: Outgoing) -> None:
        self.asked.append(message)
        if self.hang is not None:
            await self.hang.wait()
        error = self.answer(message)
        if error is not None:
            raise error
        self.got.append(message)


class CountingStore:
    """A store that tells how many transactions its user has begun and ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.begun = self.ended = 0

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        self.begun += 1
        try:
            return await self._store.transact(work, ahead=ahead)
        finally:
            self.ended += 1

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._store.read(work)

    async def close(self) -> None: ...


async def quiet(store: Store, *watched: CountingStore) -> None:
    """Wait until the users of `watched`, all over `store`, only wait for time or news.

    Transactions run one after the other, so when ours is done those begun before it are too.
    """
    still, before = 0, [-1]
    while still < 3:
        await settle()
        await store.transact(lambda tx: None)
        await settle()
        after = [store.begun for store in watched]
        idle = all(store.begun == store.ended for store in watched)
        still, before = (still + 1 if idle and after == before else 0), after


class Desk:
    """A running Alerting over a real store, with time in the test's hand."""

    def __init__(
        self,
        store: Store,
        clock: FakeClock,
        configured: Settings,
        notifiers: dict[str, Notifier],
        policy: Policy | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = configured
        self.changes = Changes()
        self._counted = CountingStore(store)
        self.alerting = Alerting(
            configured,
            store=self._counted,
            clock=clock,
            notifiers=notifiers,
            changes=self.changes,
            policy=policy,
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Desk:
        self._task = asyncio.create_task(self.alerting.run())
        await self.quiet()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()

    async def crash(self) -> None:
        """End the service where it stands."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def announce(self, transition: str, about: Incident | None = None) -> tuple[OutboxRow, ...]:
        """What monitoring does: rows in one transaction, then a wake."""
        about = about or incident()
        rows = messages_for(about, transition, self.settings.alerts, FACTS, self.clock.now())
        await self.store.transact(lambda tx: [tx.enqueue(row) for row in rows])
        self.alerting.wake()
        await self.quiet()
        return rows

    async def rows(self) -> list[OutboxRow]:
        """All rows, oldest first."""
        return sorted(await self.store.transact(lambda tx: tx.outbox()), key=lambda row: row.id)

    async def states(self) -> list[tuple[str, OutboxState]]:
        return [(row.transition, row.state) for row in await self.rows()]

    async def quiet(self) -> None:
        await quiet(self.store, self._counted)

    async def later(self, seconds: float) -> None:
        """Let time pass, each alarm ringing at its own time."""
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            await self.clock.advance(min(left, self.clock.until_next_alarm(left)))
            await self.quiet()


async def open_store(folder: Path | None = None) -> SqlStore:
    store = SqlStore(f"sqlite:///{folder}/loa.db" if folder else "sqlite://")
    await store.open()
    return store
