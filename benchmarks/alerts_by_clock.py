"""The part of the alerts benchmark whose point is waiting: time is the clock port's, the database is real.

Who is told has no escalation here (`Escalation(())`): reminders would be messages of their own.
"""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.report import Report
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
MEND_S = 600
DAY_S = 86_400.0


@dataclass(frozen=True)
class Kind:
    """A way to break, with the hold that the rule declares and the wait that its severity has."""

    cause: str
    hold_s: float
    wait_s: float
    bad: dict[str, Any]
    good: dict[str, Any]


KINDS = (
    Kind("clock", 0, 30, {}, {}),  # the node's own report
    Kind("amp-hot", 30, 30, {"amp_temp_c": 80.0}, {"amp_temp_c": 41.0}),
    Kind("mains-lost", 10, 30, {"mains_v": 0.0}, {"mains_v": 221.0}),
    Kind("line-short", 0, 15, {"line_z_ohm": 2.0}, {"line_z_ohm": 8.0}),
)


class Post:
    """A receiver that takes everything and notes when."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.got: dict[tuple[str, str, str], float] = {}

    async def send(self, channel: Channel, message: Outgoing) -> None:
        data = message.data
        key = (str(data.get("subject_id")), str(data.get("cause")), str(data["transition"]))
        self.got.setdefault(key, self._clock.monotonic())


class Whole(Ward):
    """Monitoring and Alerting over one store."""

    def __init__(self, settings: Settings, store: Busy, posts: Sequence[str] = ("webhook", "smtp")) -> None:
        super().__init__(settings, store=store, clock=FakeClock())
        self.posts = {kind: Post(self.clock) for kind in posts}
        self.alerting = Alerting(
            settings,
            store=store,
            clock=self.clock,
            notifiers=dict(self.posts),
            changes=Changes(),
            # 200 faults at once are for the measure, not for a person
            policy=Policy(burst=10**6, limit=10**7, least_copies=10**6),
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


def _told_to_one(communes: int, each: int) -> Settings:
    """A technician who gets everything at once on two channels."""
    alerts = AlertSettings(people=(person("lan", hook(), also=(mail(),)),), escalation=Escalation(()))
    return replace(district(communes, each), alerts=alerts)


async def _many_faults(store: Busy, nodes: int, trials: int) -> dict[str, list[float]]:
    """Seconds after hold and wait, by where it was told: `page` (found) after the hold alone."""
    communes = nodes // EACH
    ward = Whole(_told_to_one(communes, EACH), store)
    rng = random.Random(1)
    took: dict[str, list[float]] = {"page": [], "webhook": [], "smtp": []}
    await ward.begin()
    await ward.all_born()
    for turn in range(math.ceil(trials / communes)):
        kind = KINDS[turn // EACH % len(KINDS)]
        broken: dict[str, float] = {}
        for n in range(1, min(communes, trials - turn * communes) + 1):
            speaker = ward[f"c{n}-{1 + turn % EACH}"]
            await ward.wait(rng.uniform(0, 0.01))
            broken[speaker.id] = ward.clock.monotonic()
            await _break(speaker, kind)
        await ward.pass_time(kind.hold_s + kind.wait_s + 30)
        await _account(ward, kind, broken, took)
        for id in broken:
            await _mend(ward[id], kind)
        await ward.pass_time(MEND_S, step=30)
        for post in ward.posts.values():
            post.got.clear()
    await ward.end()
    return took


async def _break(speaker: Speaker, kind: Kind) -> None:
    if kind.bad:
        await speaker.beat(**kind.bad)
    else:
        await speaker.fault(kind.cause)


async def _mend(speaker: Speaker, kind: Kind) -> None:
    if kind.bad:
        await speaker.beat(**kind.good)
    else:
        await speaker.fault(kind.cause, raised=False)
    if kind.cause == "line-short":
        speaker.ward.monitoring._nodes.set_repaired(speaker.id, kind.cause, True)


async def _account(ward: Whole, kind: Kind, broken: dict[str, float], took: dict[str, list[float]]) -> None:
    opened = {each.subject: each.opened_at for each in await ward.open() if each.cause == kind.cause}
    for node, at in broken.items():
        found = ward.clock.monotonic() - (ward.clock.now() - opened[node]).total_seconds()
        took["page"].append(found - at - kind.hold_s)
        for name, post in ward.posts.items():
            told = next(
                when for (subject, cause, _), when in post.got.items() if (subject, cause) == (node, kind.cause)
            )
            took[name].append(told - at - kind.hold_s - kind.wait_s)


# --- a channel that is down for a day -------------------------------------------------------------------------


async def _a_day_without(store: Store, every_s: float) -> tuple[int, float, bool]:
    """(messages, seconds from the channel's return until all are told, in order)."""
    clock, receiver = FakeClock(), Receiver()
    down = NotifyError("connection refused")
    receiver.answer = lambda message: down
    alerts = site_of(person("lan", hook()))
    alerts = replace(alerts, alerts=replace(alerts.alerts, escalation=Escalation(())))
    made = 0
    async with Desk(store, clock, alerts, {"webhook": receiver}) as desk:
        end = clock.monotonic() + DAY_S
        while clock.monotonic() + every_s <= end:
            made += 1
            await desk.announce("opened", incident(made))
            await desk.later(every_s)
        await desk.later(end - clock.monotonic())
        receiver.answer = lambda message: None
        back = clock.monotonic()
        while any(row.state not in (OutboxState.SENT, OutboxState.MERGED) for row in await _rows(store)):
            await desk.later(5)
            assert clock.monotonic() - back < DAY_S, "it never tells them"
        sent = [row.sent_at for row in await _rows(store) if row.sent_at is not None]
    return made, clock.monotonic() - back, sent == sorted(sent)


async def _rows(store: Store) -> list[Any]:
    rows = await store.transact(lambda tx: tx.outbox(limit=100_000))
    return sorted(rows, key=lambda row: row.id)


# --- a mail server that hangs ---------------------------------------------------------------------------------


async def _webhooks_beside(hung: bool, count: int) -> list[float]:
    """Seconds from a row to its webhook, with as many mails to a server that takes them and says nothing."""
    store, clock = await open_store(), SystemClock()
    async with MailServer() as mails:
        mails.hang = hung
        with HttpReceiver() as hooks:
            arrived: dict[str, float] = {}
            all_arrived, loop = asyncio.Event(), asyncio.get_running_loop()

            def take(request: Any) -> tuple[int, dict[str, str]]:
                arrived[request.path] = time.monotonic()
                if len(arrived) == count:
                    loop.call_soon_threadsafe(all_arrived.set)
                return 204, {}

            hooks.answer = take
            base = hooks.url.rpartition("/")[0]
            people = [person(f"p{n}", hook(f"{base}/p{n}"), also=(mail(f"p{n}@example.org"),)) for n in range(count)]
            configured = site_of(*people)
            relay = Smtp(host="127.0.0.1", port=mails.port, sender="loa@example.org", timeout_s=5)
            notifiers: Any = {"smtp": SmtpNotifier(relay, clock), "webhook": WebhookNotifier(clock)}
            alerting = Alerting(configured, store=store, clock=clock, notifiers=notifiers, changes=Changes())
            running = asyncio.create_task(alerting.run())
            rows = messages_for(incident(), "opened", configured.alerts, FACTS, clock.now())
            began = time.monotonic()
            await store.transact(lambda tx: [tx.enqueue(row) for row in rows])
            alerting.wake()
            await asyncio.wait_for(all_arrived.wait(), 30)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        await mails.stop()
    await store.close()
    return [at - began for at in arrived.values()]


# --- flapping -------------------------------------------------------------------------------------------------


async def _flap(store: Busy, hours: float) -> dict[str, int]:
    """Messages about each of three nodes: own report, mains, connection, each there and gone every 30 s."""
    alerts = AlertSettings(people=(person("lan", hook()),), escalation=Escalation(()))
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


def measure(report: Report, nodes: int, trials: int, hours: float = 24) -> None:
    if trials:
        took = _run(lambda store: _many_faults(Busy(store), nodes, trials))
        report.add("clock_trials", len(took["page"]), "")
        for name, values in took.items():
            ordered = sorted(values)
            after = "hold" if name == "page" else "hold_and_wait"
            report.add(f"clock_{name}_after_{after}_p99", ordered[math.ceil(0.99 * len(ordered)) - 1], "s")
            report.add(f"clock_{name}_after_{after}_max", ordered[-1], "s")
    for every_s, label in ((1200.0, "every_20_min"), (120.0, "every_2_min")):
        made, needed, ordered_all = _run(lambda store, every_s=every_s: _a_day_without(store, every_s))
        report.add(f"day_without_channel_{label}: messages", made, "")
        report.add(f"day_without_channel_{label}: all_told_after_return", needed / 60, "min")
        report.add(f"day_without_channel_{label}: in_order", float(ordered_all), "")
    for hung in (False, True):
        waits = asyncio.run(_webhooks_beside(hung, 20))
        report.spread(f"webhook_beside_{'hung' if hung else 'healthy'}_mail_server", waits, "s")
    for name, count in _run(lambda store: _flap(Busy(store), hours)).items():
        report.add(f"flapping_{name}_for_{hours:g}_h", count, "messages")


def _run(work: Callable[[SqlStore], Any]) -> Any:
    async def go() -> Any:
        with tempfile.TemporaryDirectory(prefix="loa-bench-") as folder:
            store = SqlStore(f"sqlite:///{Path(folder)}/loa.db")
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

    return asyncio.run(go())
