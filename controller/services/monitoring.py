"""Listens to the nodes, keeps their health in memory, and writes incidents, work orders and messages.

What comes in changes the pure state in domain/health.py at once; what that means for people is decided by
domain/casebook.py inside one transaction with everything it writes. If that transaction fails, nothing was
decided: the next one finds the same difference again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import structlog

from controller.domain import casebook
from controller.domain.casebook import Case, Key, Now, Outcome, Scene
from controller.domain.correlation import CENTRE, COMMUNE, FEEDER, LINK, MAINS_LOST, NODE, UPLINK, Shared, Trouble
from controller.domain.escalation import messages_for
from controller.domain.faults import Condition, FaultRule, FaultState, Severity, Value
from controller.domain.health import NodeHealth
from controller.domain.incidents import RELAPSE, Incident, IncidentEvent
from controller.domain.liveness import NEVER, Liveness, Patience, Session
from controller.domain.site import Settings
from controller.domain.watches import Report, checks_for
from controller.ports import AuditRow, Clock, FaultRow, Store, StoreError, Tx
from controller.services import healthmemory as memory
from controller.services.changes import Changes
from controller.services.deadlines import Deadlines
from controller.services.healthbook import PlanMessages, settle
from controller.services.healthmemory import NodeView
from controller.wire.messages import FaultReport, Heartbeat, JournalEntry, Status

log = structlog.get_logger(__name__)

Wish = Literal["ping", "selftest"]
Order = Callable[[str, Wish, dict[str, Any]], Awaitable[str]]

BROKER_LOST_S = 60.0
"""Without the broker for this long the centre itself is broken."""
STORE_AGAIN_S = 5.0
STALLED_S = 5.0
"""Later than this for a deadline, the controller itself was not running; what nodes said meanwhile is still to
be read, and is not silence."""
KEEP_EVERY_S = 600.0
"""How often what is only good to look at (metrics, last heard) is written down."""

_BOOK, _REPORTS, _BROKER, _KEEP = "(book)", "(reports)", "(broker)", "(keep)"
"""Deadlines that are not a node's; no node can be called so."""

_PAST = Session.PAST


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
    ) -> None:
        self._store = store
        self._clock = clock
        self._order = order
        self._changes = changes
        self._plan_messages = plan_messages
        self._on_outbox = on_outbox
        self._nodes: dict[str, NodeHealth] = {}
        self._cases: Mapping[Key, Case] = {}
        self._kept_faults: dict[str, frozenset[str]] = {}
        self._touched: set[str] = set()
        self._unwell: set[str] = set()
        """Nodes of which anything is wrong or may be."""
        self._heard: frozenset[str] = frozenset()
        """Nodes that were ever heard."""
        self._unsettled = False
        self._lock = asyncio.Lock()
        self._deadlines: Deadlines[str] = Deadlines()
        self._orders: asyncio.Queue[tuple[str, Wish, dict[str, Any]]] = asyncio.Queue()
        self._listening_from = NEVER
        self._deaf_from: float | None = None
        self._said: set[str] = set()
        self.ignored: Counter[str] = Counter()
        """What came and meant nothing, by reason."""
        self._use(settings)

    # --- configuration --------------------------------------------------------------------------------------

    def reload(self, settings: Settings) -> None:
        """Judge by another configuration from now on."""
        self._use(settings)
        self._touched |= self._nodes.keys()
        self._unsettled = True
        self._deadlines.set(_BOOK, self._clock.monotonic())

    def _use(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = {rule.code: rule for rule in settings.faults}
        self._shared = _shared(settings)
        self._places = {node.id: node.commune for node in settings.nodes.values()}
        checks = {model: checks_for(settings.faults, model) for model in {n.model for n in settings.nodes.values()}}
        patience = Patience(settings.site.heartbeat_s)
        for id in self._nodes.keys() - settings.nodes.keys():
            del self._nodes[id]
            self._unwell.discard(id)
            self._deadlines.drop(id)
        for id, node in settings.nodes.items():
            if id in self._nodes:
                self._nodes[id].watches.use(checks[node.model])
                self._nodes[id].pulse.patience = patience
            else:
                self._nodes[id] = NodeHealth(id, checks[node.model], patience, self._clock.monotonic())

    # --- start ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Remember what was known before. Sends nothing and judges nothing."""
        now = self._now()
        rows, faults, incidents = await self._store.transact(
            lambda tx: (tx.nodes(), tx.faults(), tx.incidents(now.wall - RELAPSE) + tx.open_incidents())
        )
        for row in rows.values():
            if row.node in self._nodes:
                memory.restore_node(self._nodes[row.node], row, now)
        for fault in faults:
            self._kept_faults[fault.node] = self._kept_faults.get(fault.node, frozenset()) | {fault.code}
            if fault.node not in self._nodes or not memory.restore_fault(self._nodes[fault.node], fault, now):
                self._touched.add(fault.node)
        for health in self._nodes.values():
            self._watch(health)
        self._cases = memory.restored_cases(incidents, now)
        self._deadlines.set(_KEEP, now.mono + KEEP_EVERY_S)

    # --- the broker -----------------------------------------------------------------------------------------

    async def on_bus_up(self, mono: float) -> None:
        """Connected: from now on, after a grace, silence is the nodes' own."""
        self._deaf_from = None
        self._listen_from(mono)
        self._deadlines.set(_REPORTS, self._listening_from)
        for health in self._nodes.values():
            health.watches.doubt_reports()
            self._watch(health)
        await self._settle_if(True)

    def _listen_from(self, mono: float) -> None:
        """Silence counts again, after a grace."""
        if self._deaf_from is None:
            self._listening_from = mono + Patience(self._settings.site.heartbeat_s).grace_s

    async def on_bus_down(self, reason: str, mono: float) -> None:
        """Deaf: nothing is judged until the broker is back."""
        self._listening_from = NEVER
        if self._deaf_from is None:
            self._deaf_from = mono
            self._deadlines.set(_BROKER, mono + BROKER_LOST_S)

    @property
    def _broker_lost(self) -> bool:
        return self._deaf_from is not None and self._clock.monotonic() - self._deaf_from >= BROKER_LOST_S

    # --- what nodes say -------------------------------------------------------------------------------------

    async def on_status(self, node: str, status: Status, mono: float, retain: bool) -> None:
        """A birth, will or goodbye."""
        if (health := self._known(node)) is None:
            return
        pulse, before = health.pulse, (health.pulse.state, health.pulse.boot, health.pulse.conn)
        if status.online:
            self._birth(health, status, mono, retain)
        elif pulse.farewell(status.boot, status.conn, mono, bye=status.reason == "bye", retained=retain) is _PAST:
            self.ignored["past will"] += 1
        self._watch(health)
        self._ping_suspect(health, before[0])
        await self._settle_if(self._note(health, (pulse.state, pulse.boot, pulse.conn) != before))

    def _birth(self, health: NodeHealth, status: Status, mono: float, retain: bool) -> None:
        session = health.pulse.birth(status.boot, status.conn, status.at, mono, retained=retain)
        if session is _PAST:
            self.ignored["past birth"] += 1
            return
        health.session(session, mono)
        health.firmware = status.firmware
        health.held = (status.playlists.epoch, status.playlists.rev)

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat, float]]) -> None:
        """Live heartbeats (none that was retained), in order."""
        changed = False
        for node, heartbeat, mono in batch:
            health = self._known(node)
            if health is not None and self._heartbeat(health, heartbeat, mono):
                changed |= self._note(health, True)
        await self._settle_if(changed)

    def _heartbeat(self, health: NodeHealth, heartbeat: Heartbeat, mono: float) -> bool:
        pulse = health.pulse
        before = pulse.state
        returning = pulse.returning
        session = pulse.heartbeat(heartbeat.boot, heartbeat.conn, heartbeat.seq, mono)
        if session is _PAST:
            self.ignored["past heartbeat"] += 1
            return False
        health.session(session, mono)
        playing = heartbeat.playing.id if heartbeat.playing else ""
        if playing != health.playing:
            health.playing = playing
            self._changes.notify("nodes")
        health.held = (heartbeat.playlists.epoch, heartbeat.playlists.rev)
        changed = health.measure(_metrics(heartbeat), heartbeat.at, mono)
        if health.watches.bad or health.node in self._unwell or pulse.state is not before:
            self._watch(health)
        return changed or pulse.state is not before or pulse.returning is not returning

    async def on_fault(self, node: str, code: str, report: FaultReport | None, mono: float, retain: bool) -> None:
        """A node's own fault report; None takes it back."""
        health = self._known(node)
        if health is None or not self._has_rule(health, code):
            return
        if report is None:
            changed = health.watches.retract(code, mono)
        else:
            severity = Severity(report.severity) if report.severity else None
            changed = health.watches.report(code, Report(severity, _known_values(report.evidence)), mono, report.at)
        self._watch(health)
        await self._settle_if(self._note(health, changed))

    async def on_journal(self, node: str, entry: JournalEntry, mono: float) -> None:
        """A journal entry that was not seen before."""
        if (health := self._known(node)) is None:
            return
        health.pulse.answered = True
        changed = False
        match entry.kind:
            case "selftest":
                changed = self._selftest(health, entry, mono)
            case "playlists" if entry.result == "rejected" and entry.reason != "older":
                changed = self._has_rule(health, "security") and health.watches.struck(
                    "security", {"reason": entry.reason or "?"}, mono
                )
        self._watch(health)
        await self._settle_if(self._note(health, changed))

    def _selftest(self, health: NodeHealth, entry: JournalEntry, mono: float) -> bool:
        health.tested = dict(entry.results or {})
        changed = health.watches.measure({**health.measured, **health.tested}, mono, entry.at)
        if entry.result == "passed":
            changed |= health.watches.passed_selftest(health.tested, mono, entry.at)
        self._changes.notify("nodes")
        return changed

    def _known(self, node: str) -> NodeHealth | None:
        health = self._nodes.get(node)
        if health is None:
            self._ignore("unknown node", node=node)
        return health

    def _has_rule(self, health: NodeHealth, code: str) -> bool:
        if health.watches.check(code) is None:
            self._ignore("no rule for this fault", node=health.node, code=code)
            return False
        return True

    def _ignore(self, why: str, **about: str) -> None:
        """Count it; say so the first time."""
        self.ignored[why] += 1
        said = f"{why}: {' '.join(about.values())}"
        if said not in self._said and len(self._said) < 1000:
            self._said.add(said)
            log.warning(why, **about)

    # --- what people do -------------------------------------------------------------------------------------

    async def acknowledge(self, id: int, by: str) -> Incident:
        """`by` takes care of incident `id`. KeyError if it is not open."""
        return await self._by_person(id, by, "acknowledged", "", casebook.acknowledge)

    async def repaired(self, id: int, by: str, note: str = "") -> Incident:
        """`by` says that incident `id` is mended; a self-test is ordered, measurements decide. KeyError if it
        is not open."""
        incident = await self._by_person(id, by, "repaired", note, casebook.repair)
        if incident.scope == NODE and (health := self._nodes.get(incident.subject)):
            health.watches.set_repaired(incident.cause, True)
            self._orders.put_nowait((incident.subject, "selftest", {}))
            await self._settle_if(self._note(health, True))
        return incident

    async def _by_person(
        self, id: int, by: str, what: str, note: str, act: Callable[[Case, str, Now], Case]
    ) -> Incident:
        async with self._lock:
            case = next((case for case in self._cases.values() if case.incident.id == id and case.open), None)
            if case is None:
                raise KeyError(f"there is no open incident {id}")
            now = self._now()
            acted = act(case, by, now)

            def write(tx: Tx) -> None:
                tx.put_incident(acted.incident)
                tx.put_incident_event(IncidentEvent(id, now.wall, what, note, by))
                tx.audit(AuditRow(now.wall, by, what, f"incident {id} {note}".rstrip()))

            await self._store.transact(write)
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
        past = self._deadlines.past(mono)
        if any(mono - when > STALLED_S and key in self._nodes for when, key in past):
            self._listen_from(mono)
        for _, key in past:
            if key in self._nodes:
                self._judge(self._nodes[key], mono)
            elif key == _REPORTS:
                self._settle_reports(mono)
            elif key == _KEEP:
                self._touched |= self._nodes.keys()
                self._deadlines.set(_KEEP, mono + KEEP_EVERY_S)
            else:
                self._unsettled = True
        await self._settle_if(bool(self._touched))

    def _judge(self, health: NodeHealth, mono: float) -> None:
        before = health.pulse.state
        self._note(health, health.due(mono, self._listening_from))
        self._ping_suspect(health, before)
        self._watch(health)

    def _ping_suspect(self, health: NodeHealth, before: Liveness) -> None:
        if health.pulse.state is Liveness.SUSPECT and before is not Liveness.SUSPECT:
            self._orders.put_nowait((health.node, "ping", {}))

    def _settle_reports(self, mono: float) -> None:
        if mono < self._listening_from:
            self._deadlines.set(_REPORTS, self._listening_from)
            return
        for health in self._nodes.values():
            self._note(health, health.watches.settle_reports(mono))
            self._watch(health)

    def _watch(self, health: NodeHealth) -> None:
        """Look at this node when its next hold or silence ends, and mind whether anything is wrong with it."""
        self._deadlines.set(health.node, health.deadline(self._listening_from))
        if health.watches.bad or health.stale:
            self._unwell.add(health.node)
        else:
            self._unwell.discard(health.node)
        if health.pulse.expected and health.node not in self._heard:
            self._heard |= {health.node}

    async def _send_orders(self) -> None:
        while True:
            node, do, args = await self._orders.get()
            if reason := await self._order(node, do, args):
                log.info("order not taken", node=node, order=do, reason=reason)

    # --- writing down ---------------------------------------------------------------------------------------

    def _note(self, health: NodeHealth, changed: bool) -> bool:
        if changed:
            self._touched.add(health.node)
        return changed

    async def _settle_if(self, changed: bool) -> None:
        if changed or self._unsettled:
            self._unsettled = True
            async with self._lock:
                if self._unsettled:
                    await self._settle()

    async def _settle(self) -> None:
        now = self._now()
        touched, self._touched = self._touched, set()
        self._unsettled = False
        nodes = [memory.node_row(self._nodes[id], now) for id in sorted(touched & self._nodes.keys())]
        faults = {id: self._fault_rows(id, now) for id in sorted(touched)}
        scene, cases, settings = self._scene(now.mono), self._cases, self._settings

        def write(tx: Tx) -> tuple[Outcome, bool]:
            tx.put_nodes(nodes)
            tx.put_faults(row for rows in faults.values() for row in rows)
            return settle(tx, cases, scene, settings, self._plan_messages, now)

        try:
            outcome, wrote = await self._store.transact(write)
        except BaseException:
            self._touched |= touched
            self._unsettled = True
            self._deadlines.set(_BOOK, now.mono + STORE_AGAIN_S)
            raise
        for id, rows in faults.items():
            self._kept_faults[id] = frozenset(row.code for row in rows if row.state != FaultState.OK)
        self._cases = outcome.cases
        self._deadlines.set(_BOOK, outcome.deadline())
        self._tell(touched, outcome, wrote)

    def _tell(self, touched: Iterable[str], outcome: Outcome, wrote: bool) -> None:
        if wrote:
            self._on_outbox()
        if outcome.changes:
            self._changes.notify("incidents")
        untrue = {change.incident for change in outcome.changes if change.transition == "unverified"}
        for case in self._cases.values() if untrue else ():
            if case.incident.id in untrue and (health := self._nodes.get(case.incident.subject)):
                health.watches.set_repaired(case.incident.cause, False)
                self._touched.add(health.node)
        self._changes.notify("nodes")

    def _scene(self, mono: float) -> Scene:
        conditions: dict[tuple[str, str], Condition] = {}
        silent, dark = {}, {}
        for id in sorted(self._unwell):
            health = self._nodes[id]
            found = health.conditions(self._link(health, mono))
            conditions |= {(id, code): condition for code, condition in found.items()}
            if LINK in found:
                silent[id] = found[LINK].since
            if MAINS_LOST in found:
                dark[id] = found[MAINS_LOST].since
        trouble = Trouble(
            known=self._heard,
            silent=silent,
            dark=dark,
            on_battery=frozenset(id for id in silent if self._nodes[id].on_battery),
            broker_lost=self._broker_lost,
        )
        unheard = frozenset(id for id in silent if self._nodes[id].pulse.gone and not self._nodes[id].pulse.answered)
        return Scene(conditions, trouble, self._shared, self._places, unheard, self._settings.alerts)

    def _link(self, health: NodeHealth, mono: float) -> Condition:
        """How this node's silence is described; its last measurements are the evidence."""
        rule: FaultRule | None = self._rules.get(LINK)
        heard = health.pulse.heard
        metrics = health.metrics
        return Condition(
            health.node,
            LINK,
            rule.component if rule else "network",
            rule.severity if rule else Severity.MAJOR,
            since=health.pulse.since if heard is None else heard,
            seen=mono,
            clearing=health.pulse.returning,
            evidence={name: metrics[name] for name in (rule.evidence if rule else ()) if name in metrics},
        )

    def _fault_rows(self, id: str, now: Now) -> list[FaultRow]:
        rows = memory.fault_rows(self._nodes[id], now) if id in self._nodes else []
        gone = self._kept_faults.get(id, frozenset()) - {row.code for row in rows}
        return rows + [memory.no_fault(id, code, now) for code in sorted(gone)]

    # --- looking --------------------------------------------------------------------------------------------

    def view(self) -> Mapping[str, NodeView]:
        """Every configured node as it is now."""
        now = self._now()
        return {id: memory.view(health, now) for id, health in self._nodes.items()}

    def _now(self) -> Now:
        return Now(self._clock.now(), self._clock.monotonic())


def _shared(settings: Settings) -> tuple[Shared, ...]:
    """What nodes of this site have in common: communes, feeders, uplinks, the centre."""
    groups: dict[tuple[str, str], set[str]] = {}
    for node in settings.nodes.values():
        for scope, subject in ((COMMUNE, node.commune), (FEEDER, node.feeder), (UPLINK, node.uplink), (CENTRE, CENTRE)):
            if subject:
                groups.setdefault((scope, subject), set()).add(node.id)
    return tuple(Shared(scope, subject, frozenset(nodes)) for (scope, subject), nodes in sorted(groups.items()))


def _metrics(heartbeat: Heartbeat) -> dict[str, Value | None]:
    """A heartbeat's metrics by the names that rules use (see FaultRule)."""
    metrics = dict(heartbeat.metrics)
    if heartbeat.clock is not None:
        metrics["clock.synced"] = heartbeat.clock.synced
        metrics["clock.offset_ms"] = heartbeat.clock.offset_ms
    return metrics


def _known_values(values: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}
