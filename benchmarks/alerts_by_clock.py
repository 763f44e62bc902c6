"""The part of the alerts benchmark whose point is waiting: time is the clock port's, the database is SQLite in memory.

Reminders are messages of their own: there are none (`NO_REMINDERS`) where what is counted is what is found and told.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import structlog

from benchmarks.report import Report, add_quantiles
from controller.adapters.clock import SystemClock
from controller.adapters.notify.smtp import SmtpNotifier
from controller.adapters.notify.webhook import WebhookNotifier
from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import AlertSettings, Channel, Escalation, OutboxState, Smtp
from controller.domain.outbox import Policy
from controller.domain.site import Settings
from controller.ports import NotifyError, Outgoing, Store
from controller.services.alerting import Alerting
from controller.services.changes import Changes
from tests.alerts_support import FACTS, Desk, Receiver, hook, incident, mail, messages_for, open_store, person
from tests.alerts_support import settings as site_of
from tests.fakes import FakeClock
from tests.health_support import Busy, Speaker, Ward, district
from tests.receivers import HttpReceiver, MailServer

EACH = 5
DAY_S = 86_400.0
DAYS: Mapping[float, str] = {21_600.0: "every_6_h", 1200.0: "every_20_min", 120.0: "every_2_min"}
"""How often something happens while a channel is away."""
T = TypeVar("T")
NO_REMINDERS = Escalation(())
NO_LIMIT = Policy(burst=10**6, limit=10**7, least_copies=10**6)
"""Where hundreds of messages to one person are for the measure."""
PHASES = 5
"""Moments of a channel's return, three minutes apart: a channel that is down is asked every 15 min."""
ROUNDS, PEOPLE = 20, 20


@dataclass(frozen=True)
class Kind:
    """A way to break, with the hold that the rule declares; critical ones wait less for a common cause."""

    cause: str
    hold_s: float
    critical: bool
    bad: Mapping[str, Any]


KINDS = (
    Kind("clock", 0, False, {}),  # the node's own report
    Kind("amp-hot", 30, False, {"amp_temp_c": 80.0}),
    Kind("mains-lost", 10, False, {"mains_v": 0.0}),
    Kind("line-short", 0, True, {"line_z_ohm": 2.0}),
)


class Post:
    """A receiver that takes everything and notes when."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.got: dict[tuple[str, str, str], float] = {}
        self.times: list[float] = []

    async def send(self, channel: Channel, message: Outgoing) -> None:
        data = message.data
        key = (str(data.get("subject_id")), str(data.get("cause")), str(data["transition"]))
        self.times.append(self._clock.monotonic())
        self.got.setdefault(key, self.times[-1])


class Whole(Ward):
    """Monitoring and Alerting over one store."""

    def __init__(self, settings: Settings, store: Busy, policy: Policy) -> None:
        super().__init__(settings, store=store, clock=FakeClock())
        self.posts = {kind: Post(self.clock) for kind in ("webhook", "smtp")}
        self.alerting = Alerting(
            settings,
            store=store,
            clock=self.clock,
            notifiers=dict(self.posts),
            changes=Changes(),
            policy=policy,
        )
        self._sending: asyncio.Task[None] | None = None

    async def begin(self, bus: bool = True) -> None:
        self._sending = asyncio.create_task(self.alerting.run())
        await super().begin(bus)

    async def end(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        await super().end()

    def _wake(self) -> None:
        super()._wake()
        self.alerting.wake()


def told_to_one(communes: int, each: int, escalation: Escalation = NO_REMINDERS) -> Settings:
    """A technician who gets everything at once on two channels."""
    alerts = AlertSettings(people=(person("lan", hook(), also=(mail(),)),), escalation=escalation)
    return replace(district(communes, each), alerts=alerts)


async def _many_faults(store: Busy, nodes: int, trials: int, seed: int) -> dict[str, list[float]]:
    """Seconds after the hold: until it is found (in the database), until each channel has taken the message about a
    critical one or another one; of these, which wait longer for a common cause, also after that wait. Every node breaks
    once at most, one of each commune after another."""
    communes = nodes // EACH
    ward = Whole(told_to_one(communes, EACH), store, NO_LIMIT)
    rng = random.Random(seed)
    took: dict[str, list[float]] = defaultdict(list)
    await ward.begin()
    await ward.all_born()
    for turn, kind in enumerate(KINDS):
        broken: dict[str, float] = {}
        for n in range(1, min(communes, trials // len(KINDS)) + 1):
            speaker = ward[f"c{n}-{1 + turn}"]
            await ward.wait(rng.uniform(0, 0.1))
            broken[speaker.id] = ward.clock.monotonic()
            await _break(speaker, kind)
        await ward.pass_time(kind.hold_s + 60)
        await _account(ward, kind, broken, took)
    await ward.end()
    return took


async def _break(speaker: Speaker, kind: Kind) -> None:
    if kind.bad:
        await speaker.beat(**kind.bad)
    else:
        await speaker.fault(kind.cause)


async def _account(ward: Whole, kind: Kind, broken: dict[str, float], took: dict[str, list[float]]) -> None:
    opened = {each.subject: each.opened_at for each in await ward.open() if each.cause == kind.cause}
    severity = "critical" if kind.critical else "other"
    for node, at in broken.items():
        found = ward.clock.monotonic() - (ward.clock.now() - opened[node]).total_seconds()
        took["found_after_hold"].append(found - at - kind.hold_s)
        for name, post in ward.posts.items():
            told = next(
                when for (subject, cause, _), when in post.got.items() if (subject, cause) == (node, kind.cause)
            )
            took[f"{name}_{severity}_after_hold"].append(told - at - kind.hold_s)
            if not kind.critical:
                wait_s = ward.settings.alerts.wait_other_s
                took[f"{name}_other_after_hold_and_wait"].append(told - at - kind.hold_s - wait_s)


# --- a channel that is down for a day -------------------------------------------------------------------------


async def _a_day_without(store: Store, every_s: float, more_s: float) -> tuple[int, float, bool]:
    """(messages, seconds from the channel's return until all are told, in order). It returns `more_s` after the day, so
    that not only one moment between two of our attempts is tried."""
    clock, receiver = FakeClock(), Receiver()
    down = NotifyError("connection refused")
    receiver.answer = lambda message: down
    alerts = site_of(person("lan", hook()))
    alerts = replace(alerts, alerts=replace(alerts.alerts, escalation=NO_REMINDERS))
    made = 0
    async with Desk(store, clock, alerts, {"webhook": receiver}) as desk:
        end = clock.monotonic() + DAY_S
        while clock.monotonic() + every_s <= end:
            made += 1
            await desk.announce("opened", incident(made))
            await desk.later(every_s)
        await desk.later(end + more_s - clock.monotonic())
        receiver.answer = lambda message: None
        back = clock.monotonic()
        while any(row.state not in (OutboxState.SENT, OutboxState.MERGED) for row in await _rows(store)):
            await desk.later(5)
            assert clock.monotonic() - back < DAY_S, "it never tells them"
    return made, clock.monotonic() - back, _ascending(receiver.got)


def _ascending(got: Sequence[Outgoing]) -> bool:
    """Whether each message is of later incidents than the one before; a digest is of all that are in it."""
    told = [[*(one["incident"] for one in message.data["merged"]), message.data["incident"]] for message in got]
    return all(max(earlier) < min(later) for earlier, later in pairwise(told))


async def _rows(store: Store) -> list[Any]:
    rows = await store.transact(lambda tx: tx.outbox(limit=100_000))
    return sorted(rows, key=lambda row: row.id)


# --- a mail server that hangs ---------------------------------------------------------------------------------


class Office:
    """People who each get a webhook and a mail, over receivers of their own, in real time."""

    def __init__(self, people: int, *, hung: bool) -> None:
        self.arrived: dict[str, float] = {}
        self._count, self._hung = people, hung
        self._stack = AsyncExitStack()
        self._all = asyncio.Event()

    async def __aenter__(self) -> Office:
        clock = SystemClock()
        self._store = await open_store()
        self._stack.push_async_callback(self._store.close)
        mails = await self._stack.enter_async_context(MailServer())
        mails.hang = self._hung
        hooks = self._stack.enter_context(HttpReceiver())
        self._loop = asyncio.get_running_loop()
        hooks.answer = self._take
        base = hooks.url.rpartition("/")[0]
        numbers = range(self._count)
        people = [person(f"p{n}", hook(f"{base}/p{n}"), also=(mail(f"p{n}@example.org"),)) for n in numbers]
        self._settings = site_of(*people)
        relay = Smtp(host="127.0.0.1", port=mails.port, sender="loa@example.org", timeout_s=20)
        webhook = WebhookNotifier(clock)
        self._stack.push_async_callback(webhook.close)
        self._alerting = Alerting(
            self._settings,
            store=self._store,
            clock=clock,
            notifiers={"smtp": SmtpNotifier(relay, clock), "webhook": webhook},
            changes=Changes(),
            policy=NO_LIMIT,
        )
        self._running = asyncio.create_task(self._alerting.run())
        self._stack.push_async_callback(self._end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    def _take(self, request: Any) -> tuple[int, dict[str, str]]:
        self.arrived[request.path] = time.monotonic()
        if len(self.arrived) == self._count:
            self._loop.call_soon_threadsafe(self._all.set)
        return 204, {}

    async def tell(self, number: int) -> list[float]:
        """Seconds from the rows of one incident to each person's webhook."""
        self.arrived.clear()
        self._all.clear()
        rows = messages_for(incident(number), "opened", self._settings.alerts, FACTS, SystemClock().now())
        began = time.monotonic()
        await self._store.transact(lambda tx: [tx.enqueue(row) for row in rows])
        self._alerting.wake()
        await asyncio.wait_for(self._all.wait(), 60)
        return [at - began for _, at in sorted(self.arrived.items())]


async def _webhooks_beside_mail(rounds: int, people: int) -> tuple[list[float], list[float]]:
    """Seconds to each webhook beside a mail server that works, and beside one that takes mails and says nothing: round
    by round after each other, the same people in the same order."""
    healthy: list[float] = []
    hung: list[float] = []
    async with Office(people, hung=False) as well, Office(people, hung=True) as ill:
        for number in range(1, rounds + 1):
            healthy += await well.tell(number)
            hung += await ill.tell(number)
    return healthy, hung


# --- flapping -------------------------------------------------------------------------------------------------


async def _flap(store: Busy, hours: float) -> dict[str, int]:
    """Messages about each of three nodes, reminders too: own report, mains, connection, there and gone every 30 s."""
    alerts = AlertSettings(people=(person("lan", hook()),))
    ward = Ward(replace(district(3, 1), alerts=alerts), store=store)
    await ward.begin()
    await ward.all_born()
    report, mains, link = ward["c1-1"], ward["c2-1"], ward["c3-1"]
    for _ in range(int(hours * 120)):
        await report.fault("clock")
        await mains.beat(mains_v=0.0)
        await link.farewell()
        await ward.pass_time(15, step=7.5)
        await report.fault("clock", raised=False)
        await mains.beat(mains_v=221.0)
        link.conn += 1
        await link.birth()
        await ward.pass_time(15, step=7.5)
    subjects = {each.id: each.subject for each in await ward.incidents()}
    told = [subjects[row.incident] for row in await _rows(store)]
    await ward.end()
    return {name: told.count(speaker.id) for name, speaker in (("report", report), ("mains", mains), ("link", link))}


# --- all of it ------------------------------------------------------------------------------------------------


def measure(report: Report, nodes: int, trials: int) -> None:
    """Each job in a process of its own, as many at once as there are cores; what is in real time, alone."""
    healthy, hung = asyncio.run(_webhooks_beside_mail(ROUNDS, PEOPLE))
    add_quantiles(report, "webhook_beside_healthy_mail_server", healthy)
    add_quantiles(report, "webhook_beside_hung_mail_server", hung)
    add_quantiles(report, "webhook_delayed_by_hung_mail_server", [b - a for a, b in zip(healthy, hung, strict=True)])
    with ProcessPoolExecutor(initializer=quiet_log) as pool:
        at_once = nodes // EACH * len(KINDS)
        flapping = pool.submit(_flapping)
        parts = [pool.submit(_faults, nodes, min(at_once, trials - n), n) for n in range(0, trials, at_once)]
        days = {every_s: [pool.submit(_day, every_s, n * 180.0) for n in range(PHASES)] for every_s in DAYS}
        took: dict[str, list[float]] = defaultdict(list)
        for part in parts:
            for name, values in part.result().items():
                took[name] += values
        if trials:
            _tell_faults(report, took)
        for every_s, label in DAYS.items():
            _tell_days(report, f"day_without_channel_{label}", [day.result() for day in days[every_s]])
        for name, count in flapping.result().items():
            report.add(f"flapping_{name}_for_24_h", count, "messages")


def quiet_log() -> None:
    """Channels fail on purpose here, thousands of times."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def _faults(nodes: int, trials: int, seed: int) -> dict[str, list[float]]:
    return run(lambda store: _many_faults(Busy(store), nodes, trials, seed))


def _day(every_s: float, more_s: float) -> tuple[int, float, bool]:
    return run(lambda store: _a_day_without(store, every_s, more_s))


def _flapping() -> dict[str, int]:
    return run(lambda store: _flap(Busy(store), DAY_S / 3600))


def _tell_days(report: Report, label: str, days: Sequence[tuple[int, float, bool]]) -> None:
    report.add(f"{label}: messages", days[0][0], "")
    report.spread(f"{label}: all_told_after_return", [day[1] / 60 for day in days], "min")
    report.add(f"{label}: all_told_after_return_max", max(day[1] for day in days) / 60, "min")
    report.add(f"{label}: in_order", float(all(day[2] for day in days)), "")


def _tell_faults(report: Report, took: Mapping[str, list[float]]) -> None:
    report.add("clock_trials", len(took["found_after_hold"]), "")
    for name, values in took.items():
        add_quantiles(report, f"clock_{name}", values)


def run(work: Callable[[SqlStore], Awaitable[T]]) -> T:
    """`work` over a database of its own."""

    async def go() -> T:
        store = SqlStore("sqlite://")
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(go())
