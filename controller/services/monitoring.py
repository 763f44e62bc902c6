"""Listens to the nodes, and writes incidents, work orders and messages.

What comes in changes the nodes' health in memory at once (services/nodes.py); what that means for people is
decided by domain/casebook.py inside one transaction with everything it writes. If that transaction fails,
nothing was decided: the next one finds the same difference again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import structlog

from controller.domain import casebook
from controller.domain.casebook import Case, Key, Now, Outcome
from controller.domain.centre import CentreCondition, rule_of
from controller.domain.commissioning import Baseline, as_metrics
from controller.domain.correlation import NODE
from controller.domain.escalation import messages_for
from controller.domain.faults import FaultState, Severity, Value
from controller.domain.functional import Verdict
from controller.domain.hush import Hush
from controller.domain.incidents import Happening, Incident, IncidentEvent
from controller.domain.liveness import NEVER, Liveness
from controller.domain.monthly import CONTROLLER, NodeEvent
from controller.domain.site import Settings
from controller.domain.workorders import Step, taken
from controller.ports import AuditRow, Clock, FaultRow, NodeRow, Store, StoreError, Tx
from controller.services import healthmemory as memory
from controller.services.changes import Changes
from controller.services.commissioning import commission
from controller.services.deadlines import Deadlines
from controller.services.healthbook import PlanMessages, keep_work, settle, work_order_of
from controller.services.healthmemory import NodeView
from controller.services.nodes import Expects, Nodes
from controller.wire.messages import FaultReport, Heartbeat, JournalEntry, Status

log = structlog.get_logger(__name__)

Wish = Literal["ping", "selftest"]
Order = Callable[[str, Wish, dict[str, Any]], Awaitable[str]]
Also = Callable[[Tx], None]
"""What is written in the same transaction; if it raises, nothing was."""

BROKER_LOST_S = 60.0
"""Without the broker for this long the centre itself is broken."""
STORE_AGAIN_S = 5.0
HEARD_UNTIL = "heard-until"
"""The note that says until when the controller surely listened."""
PLAYED = frozenset({"completed", "failed", "skipped"})
"""Kinds of journal entries with which an airing ends on a node."""
KEEP_EVERY_S = 600.0
"""How often what is only good to look at (metrics, last heard) is written down."""

_BY_PERSON: Mapping[Step, tuple[Happening, Callable[[Case, str, Now], Case]]] = {
    Step.ACCEPTED: (Happening.ACKNOWLEDGED, casebook.acknowledge),
    Step.BEGUN: (Happening.REPAIR_BEGUN, casebook.begin),
    Step.REPAIRED: (Happening.REPAIRED, casebook.repair),
}

_BOOK, _REPORTS, _BROKER, _KEEP = "(book)", "(reports)", "(broker)", "(keep)"
"""Deadlines that are not a node's; no node can be called so."""


class Monitoring:
    """Node health. `order` sends a command to a node and returns "" or the reason why not; `on_outbox` is
    called after messages were committed. Handlers raise StoreError when what they found could not be
    written; it is written with the next change, or by `run` seconds later."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        clock: Clock,
        order: Order,
        changes: Changes,
        plan_messages: PlanMessages = messages_for,
        on_outbox: Callable[[], None] = lambda: None,
        on_played: Callable[[str], None] = lambda _: None,
        lag_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._order = order
        self._changes = changes
        self._plan_messages = plan_messages
        self._on_outbox = on_outbox
        self._on_played = on_played
        self._lag_s = lag_s
        self._deadlines: Deadlines[str] = Deadlines()
        self._nodes = Nodes(settings, self._deadlines, clock.monotonic())
        self._cases: Mapping[Key, Case] = {}
        self._kept_faults: dict[str, frozenset[str]] = {}
        self._kept_liveness: dict[str, str] = {}
        self._heard_events: list[NodeEvent] = []
        """When the controller began and ceased to hear, until it is written down."""
        self._unsettled = False
        self._doubtful = False
        self._deaf_from: float | None = None
        self._centre: dict[str, CentreCondition | None] = {}
        self._lock = asyncio.Lock()
        self._orders: asyncio.Queue[tuple[str, Wish, dict[str, Any]]] = asyncio.Queue()

    @property
    def ignored(self) -> Counter[str]:
        """What came and meant nothing, by reason."""
        return self._nodes.ignored

    def reload(self, settings: Settings) -> None:
        """Judge by another configuration from now on."""
        self._settings = settings
        self._nodes.use(settings, self._clock.monotonic())
        self._nodes.touch_all()
        self._unsettled = True
        self._deadlines.set(_BOOK, self._clock.monotonic())

    async def start(self) -> None:
        """Remember what was known before. Sends nothing and judges nothing."""
        now = self._now()
        rows, faults, cases, baselines, heard_until = await self._store.transact(
            lambda tx: (tx.nodes(), tx.faults(), memory.stored_cases(tx, now), tx.baselines(), tx.noted(HEARD_UNTIL))
        )
        for node in {one.node for one in baselines}:
            self._nodes.commission(node, as_metrics(one for one in baselines if one.node == node))
        # From its last word on the controller that was here before heard nothing.
        deaf_from = datetime.fromisoformat(heard_until) if heard_until else now.wall
        self._heard_events = [NodeEvent(CONTROLLER, deaf_from, Liveness.UNKNOWN)]
        for row in rows.values():
            self._kept_liveness[row.node] = row.liveness
            if health := self._nodes.get(row.node):
                memory.restore_node(health, row, now)
        for fault in faults:
            self._kept_faults[fault.node] = self._kept_faults.get(fault.node, frozenset()) | {fault.code}
            if not (health := self._nodes.get(fault.node)) or not memory.restore_fault(health, fault, now):
                self._nodes.touched.add(fault.node)
        for health in self._nodes:
            self._nodes.watch(health, now.mono)
        self._cases = cases
        self._deadlines.set(_KEEP, now.mono + KEEP_EVERY_S)
        self._lose_broker(now.mono)

    # --- the broker -----------------------------------------------------------------------------------------

    async def on_bus_up(self, mono: float) -> None:
        """Connected: from now on, after a grace, silence is the nodes' own."""
        self._deaf_from = None
        self._heard_events.append(NodeEvent(CONTROLLER, self._now().wall, Liveness.ONLINE))
        self._deadlines.drop(_BROKER)
        self._nodes.listen(mono)
        self._deadlines.set(_REPORTS, self._nodes.listening_from)
        await self._settle_if(True)

    async def on_bus_down(self, reason: str, mono: float) -> None:
        """Deaf: nothing is judged until the broker is back."""
        self._nodes.be_deaf()
        self._heard_events.append(NodeEvent(CONTROLLER, self._now().wall, Liveness.UNKNOWN))
        self._lose_broker(mono)

    def _lose_broker(self, mono: float) -> None:
        if self._deaf_from is None:
            self._deaf_from = mono
            self._deadlines.set(_BROKER, mono + BROKER_LOST_S)

    # --- the centre -----------------------------------------------------------------------------------------

    def centre(self, code: str, evidence: Mapping[str, Value] | None, severity: Severity | None = None) -> None:
        """Say whether the centre's own fault `code` is there: what shows it, or None when it was looked for and is not
        there. Say it as often as you look; only a change does anything. Until it was said once since the start, an
        incident of it stays as it was. `severity`: other than its rule says (domain/centre.py). Holds are the
        caller's: what is said counts. `run` writes it down."""
        found = None
        if evidence is not None:
            before = self._centre.get(code)
            since = before.since if before else self._clock.monotonic()
            found = CentreCondition(code, severity or self._severity_of(code), since, dict(evidence))
        if code not in self._centre or self._centre[code] != found:
            self._centre[code] = found
            self._unsettled = True
            self._deadlines.set(_BOOK, self._clock.monotonic())

    @property
    def canary_run(self) -> str:
        """The flight of the canary whose fault report came in and stands; empty if none does."""
        return self._nodes.canary_run

    def _severity_of(self, code: str) -> Severity:
        rule = rule_of(code, self._settings.faults)
        return rule.severity if rule else Severity.MAJOR

    # --- telling people -------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Something that decides who is told has changed: a channel refused or works again."""
        self._unsettled = True
        self._deadlines.set(_BOOK, self._clock.monotonic())

    async def hush(self, hush: Hush) -> Hush:
        """Keep people from hearing of what it matches, from its start until its end."""

        def write(tx: Tx) -> Hush:
            kept = tx.add_hush(hush)
            tx.audit(AuditRow(self._clock.now(), hush.by, hush.kind.value, f"{kept.id}: {hush.reason}"))
            return kept

        kept = await self._store.transact(write)
        self._hush_changed()
        return kept

    async def end_hush(self, id: int, by: str) -> None:
        """End a silence or window now: people hear what is different from what they were told. KeyError if there is
        none of that number, or it has ended."""
        now = self._clock.now()

        def write(tx: Tx) -> bool:
            ended = any(hush.id == id and not hush.over(now) for hush in tx.hushes(now)) and tx.end_hush(id, now, by)
            if ended:
                tx.audit(AuditRow(now, by, "silence ended", str(id)))
            return ended

        if not await self._store.transact(write):
            raise KeyError(f"there is no silence {id} that goes on")
        self._hush_changed()

    def _hush_changed(self) -> None:
        self.look_again()
        self._changes.notify("incidents")

    # --- what nodes say -------------------------------------------------------------------------------------

    async def on_statuses(self, batch: Sequence[tuple[str, Status, float, bool]]) -> None:
        """Births, wills and goodbyes, in order: (node, what it says, when it came, whether the broker had kept it)."""
        changed = False
        for node, status, mono, retain in batch:
            changed |= self._nodes.status(node, status, mono, retain)
        self._ping_suspects()
        await self._settle_if(changed)

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat, float]]) -> None:
        """Live heartbeats (none that was retained), in order."""
        await self._settle_if(self._nodes.heartbeats(batch))

    async def on_fault(self, node: str, code: str, report: FaultReport | None, mono: float, retain: bool) -> None:
        """A node's own fault report; None takes it back."""
        await self._settle_if(self._nodes.fault(node, code, report, mono))

    async def on_journal(self, node: str, entry: JournalEntry, mono: float) -> None:
        """A journal entry that was not seen before."""
        changed = self._nodes.journal(node, entry, mono)
        if entry.kind == "selftest":
            self._changes.notify("nodes")
        if entry.kind in PLAYED and entry.playlist:
            self._on_played(entry.playlist)
        await self._settle_if(changed)

    async def on_airings(self, verdicts: Mapping[str, Verdict]) -> None:
        """What the last airing of each of these nodes was like."""
        await self._settle_if(self._nodes.airings(verdicts, self._clock.monotonic()))

    def expect(self, expects: Expects) -> None:
        """Ask this whether something may sound on a node."""
        self._nodes.expects = expects

    def contact(self, node: str, by: float = NEVER) -> datetime | None:
        """Since when `node` has been in contact without a break of its own; None if it is not, or nobody can tell: it
        has not been heard (`by` then, monotonic) since we last were deaf ourselves."""
        health = self._nodes.get(node)
        heard_from = self._nodes.heard_from(node)
        if health is None or health.pulse.state is not Liveness.ONLINE or heard_from > by or heard_from == NEVER:
            return None
        now = self._now()
        return now.wall - timedelta(seconds=now.mono - health.pulse.since)

    # --- what people do -------------------------------------------------------------------------------------

    async def acknowledge(self, id: int, by: str, note: str = "", also: Also | None = None) -> Incident:
        """`by` takes care of incident `id`. KeyError if it is not open."""
        return await self._by_person(id, by, Step.ACCEPTED, note, also)

    async def begin(self, id: int, by: str, note: str = "", also: Also | None = None) -> Incident:
        """`by` is at it: on the way, or repairing. KeyError if it is not open."""
        return await self._by_person(id, by, Step.BEGUN, note, also)

    async def repaired(self, id: int, by: str, note: str = "", also: Also | None = None) -> Incident:
        """`by` says that incident `id` is mended; a self-test is ordered, measurements decide. KeyError if it
        is not open."""
        incident = await self._by_person(id, by, Step.REPAIRED, note, also)
        if incident.scope == NODE and self._nodes.set_repaired(incident.subject, incident.cause, True):
            self._orders.put_nowait((incident.subject, "selftest", {}))
            await self._settle_if(True)
        return incident

    async def commission(self, node: str, test: int, by: str, note: str = "") -> Baseline:
        """What self-test `test` of `node` measured is its baseline from now on. KeyError: there is no such test;
        ValueError: it measured nothing that has a baseline."""
        now, settings = self._now(), self._settings

        def write(tx: Tx) -> tuple[Baseline, dict[str, float]]:
            made = commission(tx, settings, node, test, by=by, note=note, now=now.wall)
            return made, as_metrics(tx.baselines(node))

        made, baseline = await self._store.transact(write)
        self._nodes.commission(node, baseline)
        self._changes.notify("nodes")
        return made

    async def _by_person(self, id: int, by: str, step: Step, note: str, also: Also | None) -> Incident:
        what, act = _BY_PERSON[step]
        async with self._lock:
            case = next((case for case in self._cases.values() if case.incident.id == id and case.open), None)
            if case is None:
                raise KeyError(f"there is no open incident {id}")
            now = self._now()
            acted, settings = act(case, by, now), self._settings

            def write(tx: Tx) -> None:
                tx.put_incident(acted.incident)
                tx.put_incident_event(IncidentEvent(id, now.wall, what.value, note, by))
                order = work_order_of(tx, acted.incident, settings, now.wall)
                keep_work(tx, taken(order, step, by, now.wall), step.value, now.wall, by)
                tx.audit(AuditRow(now.wall, by, what.value, f"incident {id} {note}".rstrip()))
                if also is not None:
                    also(tx)

            self._doubtful = True
            await self._store.transact(write)
            self._doubtful = False
            self._cases = {**self._cases, acted.key: acted}
        self._deadlines.set(_BOOK, acted.verify)
        self._changes.notify("incidents")
        return acted.incident

    # --- time -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Judge holds and silence when their time comes, send pings and self-tests; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_time(), name="health deadlines")
            tasks.create_task(self._send_orders(), name="health orders")

    async def _keep_time(self) -> None:
        while True:
            await self._deadlines.wait(self._clock)
            try:
                await self._tick(self._clock.monotonic())
            except StoreError as error:
                log.error("health not stored, trying again", reason=str(error))

    async def _tick(self, mono: float) -> None:
        past, read = self._deadlines.past(mono), mono - self._lag_s()
        self._nodes.judge([(when, key) for when, key in past if key in self._nodes], mono, read)
        for _, key in past:
            if key == _REPORTS:
                self._settle_reports(mono, read)
            elif key == _KEEP:
                self._nodes.touch_all()
                self._deadlines.set(_KEEP, mono + KEEP_EVERY_S)
            elif key in (_BOOK, _BROKER):
                self._unsettled = True
        self._ping_suspects()
        await self._settle_if(bool(self._nodes.touched))

    def _settle_reports(self, mono: float, read: float) -> None:
        if read >= self._nodes.listening_from:
            self._nodes.settle_reports(mono)
        else:
            self._deadlines.set(_REPORTS, self._nodes.listening_from + mono - read)

    def _ping_suspects(self) -> None:
        for node in self._nodes.suspects:
            self._orders.put_nowait((node, "ping", {}))
        self._nodes.suspects.clear()

    async def _send_orders(self) -> None:
        while True:
            node, do, args = await self._orders.get()
            if reason := await self._order(node, do, args):
                log.info("order not taken", node=node, order=do, reason=reason)

    # --- writing down ---------------------------------------------------------------------------------------

    async def _settle_if(self, changed: bool) -> None:
        if changed or self._unsettled:
            self._unsettled = True
            async with self._lock:
                if self._unsettled:
                    await self._settle()

    async def _settle(self) -> None:
        now, nodes = self._now(), self._nodes
        touched, nodes.touched = nodes.touched, set()
        self._unsettled = False
        node_rows = [memory.node_row(health, now) for id in sorted(touched) if (health := nodes.get(id))]
        events, deaf = self._events(node_rows), self._deaf_from is not None
        faults = {id: self._fault_rows(id, now) for id in sorted(touched)}
        lost = self._deaf_from is not None and now.mono - self._deaf_from >= BROKER_LOST_S
        scene, settings, before, doubtful = (
            nodes.scene(now.mono, lost, dict(self._centre)),
            self._settings,
            self._cases,
            self._doubtful,
        )

        def write(tx: Tx) -> tuple[Outcome, bool]:
            tx.put_nodes(node_rows)
            tx.put_node_events(events)
            if not deaf:
                tx.note(HEARD_UNTIL, now.wall.isoformat())
            tx.put_faults(row for rows in faults.values() for row in rows)
            cases = memory.true_cases(before, memory.stored_cases(tx, now)) if doubtful else before
            return settle(tx, cases, scene, settings, self._plan_messages, now)

        self._doubtful = True
        try:
            outcome, wrote = await self._store.transact(write)
        except BaseException:
            nodes.touched |= touched
            self._unsettled = True
            self._deadlines.set(_BOOK, now.mono + STORE_AGAIN_S)
            raise
        self._doubtful = False
        self._kept_liveness |= {row.node: row.liveness for row in node_rows}
        self._heard_events = [event for event in self._heard_events if event not in events]
        for id, rows in faults.items():
            self._kept_faults[id] = frozenset(row.code for row in rows if row.state != FaultState.OK)
        self._take(outcome, wrote)

    def _events(self, rows: Iterable[NodeRow]) -> list[NodeEvent]:
        """What changed of who is there. A node of which there was never a word is none yet."""
        known = self._kept_liveness
        changed = (row for row in rows if row.liveness != known.get(row.node, Liveness.UNKNOWN))
        return [*self._heard_events, *(NodeEvent(row.node, row.since, row.liveness) for row in changed)]

    def _take(self, outcome: Outcome, wrote: bool) -> None:
        """What was decided is committed."""
        self._cases = outcome.cases
        self._deadlines.set(_BOOK, outcome.deadline())
        untrue = {change.incident for change in outcome.changes if change.transition == "unverified"}
        for case in outcome.cases.values() if untrue else ():
            if case.incident.id in untrue:
                self._nodes.set_repaired(case.incident.subject, case.incident.cause, False)
        if wrote:
            self._on_outbox()
        self._changes.notify("nodes", *(("incidents",) if outcome.changes else ()))

    def _fault_rows(self, id: str, now: Now) -> list[FaultRow]:
        health = self._nodes.get(id)
        rows = memory.fault_rows(health, now) if health else []
        gone = self._kept_faults.get(id, frozenset()) - {row.code for row in rows}
        return rows + [memory.no_fault(id, code, now) for code in sorted(gone)]

    # --- looking --------------------------------------------------------------------------------------------

    def view(self) -> Mapping[str, NodeView]:
        """Every configured node as it is now."""
        now = self._now()
        return {health.node: memory.view(health, now) for health in self._nodes}

    def unmeasured(self, node: str) -> Mapping[str, tuple[str, ...]]:
        """Rules of which nothing can be said on `node`, with the metrics that they would need."""
        health = self._nodes.get(node)
        return health.unmeasured() if health else {}

    def _now(self) -> Now:
        return Now(self._clock.now(), self._clock.monotonic())
