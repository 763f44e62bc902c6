"""What the tests of health share: a small district, nodes that speak, and a ward that runs Monitoring over a
real store with time in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from broadcasts.model import Node, Priority, Zone
from controller.adapters.store.sql import SqlStore
from controller.domain.delivery import Delivery, DeliveryState, OccurrenceRow
from controller.domain.escalation import AlertSettings, Channel, Escalation, OutboxRow, Person
from controller.domain.faults import FaultRule, Latch, Severity, Text
from controller.domain.incidents import Incident
from controller.domain.site import Settings, Site
from controller.ports import Store, StoreError, Tx
from controller.services.changes import Changes
from controller.services.monitoring import Monitoring
from controller.wire.messages import ClockState, FaultReport, Heartbeat, JournalEntry, Status
from tests.fakes import FakeClock, settle

T = TypeVar("T")

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")


def rule(code: str, component: str, severity: Severity = Severity.MAJOR, **more: Any) -> FaultRule:
    return FaultRule(code, component, severity, Text(code, code), Text("sửa", "mend"), **more)


MAINS_LOST = rule(
    "mains-lost", "power", raise_when="mains_v < 90", clear_when="mains_v > 100", hold_open_s=10, hold_clear_s=60
)
BATTERY_LOW = rule(
    "battery-low",
    "battery",
    raise_when="batt_v < 11.8",
    clear_when="batt_v > 12.4",
    critical_when="batt_v < 10.8",
    hold_open_s=60,
    hold_clear_s=600,
)
AMPLIFIER = rule(
    "amplifier",
    "amplifier",
    Severity.CRITICAL,
    raise_when="amp_pilot_db < -60 or (src_dbfs > -40 and amp_vrms < 0.5)",
    hold_open_s=10,
    hold_clear_s=60,
    latch=Latch.SELFTEST,
)
LINE_OPEN = rule(
    "line-open",
    "speaker line",
    Severity.CRITICAL,
    raise_when="line_z_ohm > 2 * line_z_base_ohm",
    clear_when="line_z_ohm < 1.15 * line_z_base_ohm",
    raise_tests=2,
    clear_tests=2,
    latch=Latch.SELFTEST,
)
LINE_SHORT = rule(
    "line-short",
    "speaker line",
    Severity.CRITICAL,
    raise_when="line_z_ohm < 0.5 * line_z_base_ohm",
    clear_when="line_z_ohm > 0.85 * line_z_base_ohm",
    raise_tests=1,
    clear_tests=1,
    latch=Latch.PERSON,
)
AMP_HOT = rule(
    "amp-hot",
    "amplifier",
    raise_when="amp_temp_c >= 75",
    critical_when="amp_temp_c >= 90",
    clear_when="amp_temp_c < 65",
    hold_open_s=30,
    hold_clear_s=300,
)
REBOOTS = rule("reboots", "controller board", raise_when="boots_24h >= 3")
CLOCK = rule("clock", "clock", reported=True)
SECURITY = rule("security", "identity", Severity.CRITICAL, reported=True, latch=Latch.PERSON)
LINK = rule("link", "network", evidence=("mains_v", "batt_v"))

RULES = (MAINS_LOST, BATTERY_LOW, AMPLIFIER, LINE_OPEN, LINE_SHORT, AMP_HOT, REBOOTS, CLOCK, SECURITY, LINK)

GOOD: dict[str, Any] = {
    "mains_v": 221.0,
    "batt_v": 13.1,
    "src_dbfs": -96.0,
    "amp_vrms": 0.0,
    "amp_pilot_db": -30.0,
    "amp_temp_c": 41.0,
    "line_z_ohm": 8.0,
    "line_z_base_ohm": 8.0,
}

NEVER_REMIND = Escalation(steps=(), overdue_s=dict.fromkeys(Severity, 1e9))
"""For tests of what is found and told once; reminders have tests of their own (test_telling.py)."""

IN_TIME = Escalation(steps=())
"""No reminders either, but repairs are due as shipped."""

LAN = Person("lan", "Lan", "vi", (Channel("webhook", "http://127.0.0.1:9/lan"),))


def district(communes: int = 3, nodes_each: int = 5, **changes: Any) -> Settings:
    """Communes c1, c2... with nodes c1-1, c1-2...; one technician for all."""
    ids = {f"c{c}": [f"c{c}-{n}" for n in range(1, nodes_each + 1)] for c in range(1, communes + 1)}
    nodes = {id: Node(id, id.upper(), commune) for commune, members in ids.items() for id in members}
    zones = {commune: Zone(commune, commune.upper(), tuple(members), True) for commune, members in ids.items()}
    made = Settings(
        folder="config",
        site=Site(id="d", name="District", zone=ZONE, language="vi", data="", store_url="sqlite://"),
        nodes=nodes,
        zones=zones,
        broadcasts={},
        faults=RULES,
        alerts=AlertSettings(people=(LAN,), escalation=NEVER_REMIND),
    )
    return replace(made, **changes)


NEVER = 10**9


class Busy:
    """A store that knows whether a transaction is under way."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.under_way = 0
        self.fail: Callable[[], None] = lambda: None
        self.count = 0
        self.fail_at = NEVER
        """The transaction that fails: with `committed` right after it was committed, else right before it begins."""
        self.committed = False

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        self.under_way += 1
        self.count += 1
        try:
            self.fail()
            if self.count == self.fail_at:
                if self.committed:
                    await self.inner.transact(work, ahead=ahead)
                raise StoreError("died")
            return await self.inner.transact(work, ahead=ahead)
        finally:
            self.under_way -= 1

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self.transact(work)

    async def close(self) -> None:
        await self.inner.close()


class Speaker:
    """A node as Monitoring hears it."""

    def __init__(self, ward: Ward, id: str) -> None:
        self.ward = ward
        self.id = id
        self.boot, self.conn, self.seq = "b1", 1, 0
        self.metrics: dict[str, Any] = dict(GOOD)
        self.clock: ClockState | None = ClockState(True, 0)
        self.alive = False
        self.said: Status | None = None
        """Its last word on whether it is there: what the broker retains."""
        self.last: Heartbeat | None = None

    async def birth(self, retain: bool = False) -> None:
        self.alive = True
        status = Status(online=True, boot=self.boot, conn=self.conn, at=self.ward.clock.now(), reason="birth")
        self.said = status
        await self.ward.monitoring.on_statuses([(self.id, status, self.ward.clock.monotonic(), retain)])

    async def farewell(self, retain: bool = False, reason: Any = "will") -> None:
        self.alive = False
        status = Status(online=False, boot=self.boot, conn=self.conn, at=self.ward.clock.now(), reason=reason)
        self.said = status
        await self.ward.monitoring.on_statuses([(self.id, status, self.ward.clock.monotonic(), retain)])

    async def reboot(self, boot: str) -> None:
        self.boot, self.conn, self.seq = boot, 1, 0
        await self.birth()

    def heartbeat(self) -> tuple[str, Heartbeat, float]:
        self.seq += 1
        beat = Heartbeat(
            boot=self.boot,
            conn=self.conn,
            seq=self.seq,
            at=self.ward.clock.now(),
            clock=self.clock,
            metrics=dict(self.metrics),
        )
        self.last = beat
        return self.id, beat, self.ward.clock.monotonic()

    async def beat(self, **metrics: Any) -> None:
        self.metrics |= metrics
        await self.ward.monitoring.on_heartbeats([self.heartbeat()])

    async def journal(self, kind: Any, **more: Any) -> None:
        entry = JournalEntry(log="l", n=1, at=self.ward.clock.now(), kind=kind, **more)
        await self.ward.monitoring.on_journal(self.id, entry, self.ward.clock.monotonic())

    async def selftest(self, result: Any, **results: Any) -> None:
        await self.journal("selftest", result=result, results=results)

    async def fault(self, code: str, *, raised: bool = True, severity: Any = None, **evidence: Any) -> None:
        at = self.ward.clock.now()
        report = FaultReport(code, "x", at, severity, evidence) if raised else None
        await self.ward.monitoring.on_fault(self.id, code, report, self.ward.clock.monotonic(), False)


class Ward:
    """A running Monitoring. `clock` moves only by `pass_time`, which lets every living node beat."""

    def __init__(self, settings: Settings | None = None, store: Busy | None = None, clock: FakeClock | None = None):
        self.settings = settings or district()
        self.clock = clock or FakeClock()
        self.store = store or Busy(SqlStore("sqlite://"))
        self.fresh = store is None
        self.ordered: list[tuple[str, str]] = []
        self.order_answer = ""
        self.woken = 0
        self.reports: set[str] = set()
        """Nodes whose own report of fault `clock` stands (it is retained)."""
        self.speakers = {id: Speaker(self, id) for id in self.settings.nodes}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Ward:
        if self.fresh:
            await self.store.inner.open()  # type: ignore[attr-defined]
        await self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()
        await self.store.close()

    async def begin(self, bus: bool = True) -> None:
        """Start a controller over the store as it is."""
        self.monitoring = Monitoring(
            self.settings,
            store=self.store,
            clock=self.clock,
            order=self._order,
            changes=Changes(),
            on_outbox=self._wake,
        )
        await self.monitoring.start()
        self._task = asyncio.create_task(self.monitoring.run())
        if bus:
            await self.monitoring.on_bus_up(self.clock.monotonic())
        await self.quiet()

    async def end(self) -> None:
        """End the controller where it stands."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.quiet()

    async def restart(self, down_s: float = 0.0) -> None:
        await self.end()
        await self.clock.advance(down_s)
        await self.begin()

    async def _order(self, node: str, do: str, args: dict[str, Any]) -> str:
        self.ordered.append((node, do))
        return self.order_answer

    def _wake(self) -> None:
        self.woken += 1

    # --- time -----------------------------------------------------------------------------------------------

    async def quiet(self) -> None:
        """Until nothing moves any more without time."""
        await settle(20)
        while self.store.under_way:
            await asyncio.sleep(0.0002)
            await settle(20)

    async def wait(self, seconds: float) -> None:
        """Let time pass, in silence."""
        end = self.clock.mono + seconds
        while True:
            await self.quiet()
            due = [when for when, _, future in self.clock._sleepers if not future.done()]
            if not due or min(due) > end:
                break
            await self.clock.advance(max(0.0, min(due) - self.clock.mono))
        self.clock._move_to(end)
        await self.quiet()

    async def pass_time(self, seconds: float, step: float = 10.0) -> None:
        """Let time pass while living nodes beat every `step`."""
        left = seconds
        while left > 0:
            await self.wait(min(step, left))
            left -= step
            if left >= 0:
                await self.beat_all()

    async def beat_all(self) -> None:
        await self.monitoring.on_heartbeats([s.heartbeat() for s in self.speakers.values() if s.alive])
        await self.quiet()

    async def all_born(self) -> None:
        """Every node is there and well, and the grace after the start is over."""
        for speaker in self.speakers.values():
            await speaker.birth()
        await self.pass_time(30)

    # --- looking --------------------------------------------------------------------------------------------

    def __getitem__(self, id: str) -> Speaker:
        return self.speakers[id]

    async def messages(self) -> list[OutboxRow]:
        """Everything written to the outbox, oldest first."""
        rows = await self.store.transact(lambda tx: tx.outbox())
        return sorted(rows, key=lambda row: row.id)

    async def told(self) -> list[tuple[str, str, str]]:
        """Messages as (subject, cause, transition)."""
        incidents = {each.id: each for each in await self.incidents()}
        return [
            (incidents[row.incident].subject, incidents[row.incident].cause, row.transition)
            for row in await self.messages()
        ]

    async def incidents(self) -> list[Incident]:
        """All there ever were, by id."""
        since = self.clock.wall - timedelta(days=365)
        rows = await self.store.transact(lambda tx: {i.id: i for i in [*tx.incidents(since), *tx.open_incidents()]})
        return [rows[id] for id in sorted(rows)]

    async def open(self, top: bool = True) -> list[Incident]:
        """Open incidents, by id; those explained by another one only without `top`."""
        rows = await self.store.transact(lambda tx: tx.open_incidents())
        return [row for row in rows if row.parent is None or not top]

    async def plan_broadcast(self, nodes: Sequence[str], in_s: float) -> None:
        """A broadcast in the ledger."""
        start = self.clock.now() + timedelta(seconds=in_s)
        row = OccurrenceRow(
            f"b@{in_s}",
            "b",
            "Bản tin",
            start,
            start + timedelta(minutes=5),
            Priority.NORMAL,
            20,
            "config",
            self.clock.now(),
        )

        def write(tx: Tx) -> None:
            tx.put_occurrences([row])
            tx.put_deliveries(Delivery(row.id, node, DeliveryState.READY, self.clock.now()) for node in nodes)

        await self.store.transact(write)

    def commune(self, id: str) -> Iterable[Speaker]:
        return [speaker for node, speaker in self.speakers.items() if self.settings.nodes[node].commune == id]
