"""The writing side of monitoring: incidents, their history, work orders and messages in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import fmean

from broadcasts.model import Node
from controller.domain import canary, maintenance, workorders
from controller.domain.casebook import Case, Change, Key, Now, Outcome, Scene, reconcile
from controller.domain.centre import rule_of
from controller.domain.climb import Climb
from controller.domain.correlation import CENTRE, FEEDER, NODE, UPLINK
from controller.domain.delivery import DeliveryState, OccurrenceRow
from controller.domain.escalation import (
    FRESH,
    AlertSettings,
    Escalation,
    OutboxRow,
    Transition,
    listeners,
    numbered,
    told_of,
)
from controller.domain.incidents import REPEAT, Incident, IncidentEvent
from controller.domain.reach import people_faults
from controller.domain.site import Settings
from controller.domain.wording import Due, Facts, bare
from controller.domain.workorders import ENDED, OPENED, OrderState, Step, WorkOrder
from controller.ports import Tx
from controller.services.healthmemory import climb_row

PlanMessages = Callable[[Incident, str, AlertSettings, Facts, datetime], tuple[OutboxRow, ...]]

SOON = timedelta(minutes=40)
"""How far ahead a broadcast can make silence urgent."""
AHEAD = timedelta(hours=24)
"""How far ahead a message says what it threatens."""
_GUESSED = frozenset({OPENED, Step.RELAPSED})
_GIVES = _GUESSED | {Step.ASSIGNED, Step.ACCEPTED, Step.BEGUN, Step.REPAIRED}
"""Steps that say whose an order is; those that Loa takes by itself."""
NOT_COMING = frozenset({DeliveryState.CANCELLED, DeliveryState.SKIPPED, DeliveryState.COMPLETED, DeliveryState.FAILED})


class TxLedger:
    """casebook.Ledger over one transaction."""

    def __init__(self, tx: Tx, now: datetime, plan: Escalation) -> None:
        self._tx = tx
        self._now = now
        self._plan = plan
        self._soon: list[tuple[OccurrenceRow, frozenset[str]]] | None = None
        self._ahead: list[tuple[OccurrenceRow, frozenset[str]]] | None = None
        self._recent: dict[Key, Incident] | None = None

    def new(self, incident: Incident) -> Incident:
        return self._tx.new_incident(incident)

    def previous(self, key: Key) -> int | None:
        if self._recent is None:
            rows = [row for row in self._tx.incidents(self._now - REPEAT) if row.closed_at]
            rows.sort(key=lambda row: (row.closed_at, row.id))
            self._recent = {(row.scope, row.subject, row.cause): row for row in rows}
        found = self._recent.get(key)
        return found.id if found else None

    def due_in_s(self, nodes: Iterable[str]) -> float | None:
        if self._soon is None:
            self._soon = _coming(self._tx, self._now, SOON)
        wanted = frozenset(nodes)
        starts = [(row.start - self._now).total_seconds() for row, on in self._soon if on & wanted]
        return min(starts, default=None)

    def repair_due_in_s(self, incident: Incident) -> float:
        order = self._tx.work_order(incident.id)
        due = order.due_at if order else incident.opened_at + timedelta(seconds=self._plan.overdue_s[incident.severity])
        return (due - self._now).total_seconds()

    def next_due(self, nodes: Iterable[str]) -> Due | None:
        """The next broadcast on any of `nodes` that a fault threatens. Read once for all that are told together."""
        if self._ahead is None:
            self._ahead = _coming(self._tx, self._now, AHEAD)
        wanted = frozenset(nodes)
        return next((Due(row.title, row.start) for row, on in self._ahead if on & wanted), None)


def _coming(tx: Tx, now: datetime, within: timedelta) -> list[tuple[OccurrenceRow, frozenset[str]]]:
    """Occurrences that sound or will within that time, by start, with the nodes that still wait for them."""
    rows = [row for row in tx.occurrences(now, now + within) if row.cancelled_at is None]
    nodes: dict[str, set[str]] = {row.id: set() for row in rows}
    for delivery in tx.deliveries_of([row.id for row in rows]) if rows else ():
        if delivery.state not in NOT_COMING:
            nodes[delivery.occurrence].add(delivery.node)
    return [(row, frozenset(nodes[row.id])) for row in rows]


def settle(
    tx: Tx, cases: Mapping[Key, Case], scene: Scene, settings: Settings, plan_messages: PlanMessages, now: Now
) -> tuple[Outcome, bool]:
    """Reconcile and write down what changed; whether messages were written."""
    ledger = TxLedger(tx, now.wall, settings.alerts.escalation)
    scene = _with_people(tx, cases, scene, settings, now)
    _keep_maintenance(tx, scene, settings, now.wall)
    outcome = reconcile(cases, scene, ledger, now)
    for key, case in outcome.cases.items():
        before = cases.get(key)
        if before is None or before.incident != case.incident:
            tx.put_incident(case.incident)
        if case.climb != (before.climb if before and before.incident.id == case.incident.id else Climb()):
            tx.put_climb(climb_row(case, now))
    by_id = {case.incident.id: case for case in outcome.cases.values()}
    wrote = False
    for change in outcome.changes:
        wrote |= _record(tx, ledger, by_id[change.incident], change, settings, plan_messages, now.wall)
    return outcome, wrote


def _with_people(tx: Tx, cases: Mapping[Key, Case], scene: Scene, settings: Settings, now: Now) -> Scene:
    """`scene` with what keeps messages from people: silences, refusing channels, gaps in the rota."""
    zone, alerts = settings.site.zone, settings.alerts
    refused = {(row.recipient, row.channel) for row in tx.reach() if not row.works}
    known = [case.incident.cause for case in cases.values() if case.open and case.incident.scope == CENTRE]
    lost = people_faults(alerts, refused, known, zone, now.wall, now.mono)
    hushes = (*alerts.hushes, *tx.hushes(now.wall))
    return replace(scene, centre={**scene.centre, **lost}, hushes=hushes, zone=zone)


def _keep_maintenance(tx: Tx, scene: Scene, settings: Settings, now: datetime) -> None:
    """Write down which maintenance windows begin, end or are others now: alerts.yaml forgets what is deleted."""
    communes = {node.id: node.commune for node in settings.nodes.values()}
    found = maintenance.changes(tx.under_maintenance(now), scene.hushes, communes, now, scene.zone)
    tx.put_maintenance_events(found)


def _record(
    tx: Tx,
    ledger: TxLedger,
    case: Case,
    change: Change,
    settings: Settings,
    plan_messages: PlanMessages,
    now: datetime,
) -> bool:
    incident = case.incident
    _follow_work(tx, incident, change, settings, now)
    if change.tell is None:
        tx.put_incident_event(IncidentEvent(incident.id, now, change.transition, change.reason))
        return False
    events = tx.incident_events(incident.id)
    earlier = [event.transition for event in events]
    name = numbered(_kind(change.tell, earlier), earlier)
    tx.put_incident_event(IncidentEvent(incident.id, now, name, change.reason))
    facts = replace(_facts(tx, ledger, incident, settings), step=case.climb.step, waited=_waited(events, now))
    return _enqueue(tx, plan_messages(incident, name, settings.alerts, facts, now))


def _enqueue(tx: Tx, rows: Iterable[OutboxRow]) -> bool:
    """Whether any of them was new."""
    new = [tx.enqueue(row) for row in rows]
    return any(new)


def tell_assignee(
    tx: Tx, incident: Incident, before: str, by: str, settings: Settings, plan_messages: PlanMessages, now: datetime
) -> bool:
    """Write that `by` (an id or a name) gave the work order to the one whose it is now, and the message to them: not if
    it was theirs `before`, nor if nobody knows of the incident yet, since its first message goes to them too. Whether
    a message was written."""
    assignee = _given_to(tx, incident)
    name = numbered(Transition.ASSIGNED, [event.transition for event in tx.incident_events(incident.id)])
    tx.put_incident_event(IncidentEvent(incident.id, now, name, assignee, by))
    climb = tx.climbs([incident.id]).get(incident.id)
    if climb is None or not climb.told or assignee in (before, by):
        return False
    who = next((person.name for person in settings.alerts.people if person.id == by), by)
    facts = replace(_facts(tx, TxLedger(tx, now, settings.alerts.escalation), incident, settings), assigned_by=who)
    return _enqueue(tx, plan_messages(incident, name, settings.alerts, facts, now))


def _waited(events: Iterable[IncidentEvent], now: datetime) -> timedelta | None:
    """How long ago people were told that it is open, or worse."""
    fresh = {kind.value for kind in FRESH}
    times = [event.at for event in events if event.transition.partition("-")[0] in fresh]
    return now - max(times) if times else None


def _kind(tell: Transition, earlier: Iterable[str]) -> Transition:
    """People who heard that it opened once already hear that it opened again."""
    if tell is Transition.OPENED and Transition.OPENED.value in earlier:
        return Transition.REOPENED
    return tell


# --- work orders --------------------------------------------------------------------------------------------


def work_order_of(tx: Tx, incident: Incident, settings: Settings, now: datetime) -> WorkOrder:
    """The live work order of an open incident; begun, or begun anew, if it has none."""
    order = tx.work_order(incident.id)
    if order is not None and order.state not in ENDED:
        return order
    within = _due_within(incident, settings)
    people = listeners(incident, settings.alerts.people, _sharing(incident, settings))
    assignee = people[0].id if people else ""
    if order is None:
        order, step = workorders.opened(incident.id, within, assignee, incident.opened_at, now), OPENED
    else:
        order, step = workorders.relapsed(order, within, assignee, now), Step.RELAPSED.value
    return keep_work(tx, order, step, now)


def _due_within(incident: Incident, settings: Settings) -> timedelta:
    """The same time after which the reminders say that it is overdue."""
    return timedelta(seconds=settings.alerts.escalation.overdue_s[incident.severity])


def keep_work(tx: Tx, order: WorkOrder, step: str, now: datetime, by: str = "loa") -> WorkOrder:
    """Write down what `order` became by `step`, with its history."""
    tx.put_work_order(order)
    tx.put_work_order_event(workorders.event_of(order, step, now, by))
    return order


def _follow_work(tx: Tx, incident: Incident, change: Change, settings: Settings, now: datetime) -> None:
    """What a change of an incident means for its work order. Nobody has one before somebody is told."""
    if incident.scope == canary.SCOPE:
        return
    if change.tell in (Transition.OPENED, Transition.REOPENED):
        work_order_of(tx, incident, settings, now)
        return
    order = tx.work_order(incident.id)
    if order is None or order.state in ENDED:
        return
    match change.transition:
        case "severity":
            keep_work(tx, workorders.worse(order, _due_within(incident, settings), now), Step.WORSE.value, now)
        case "unverified" if order.state is OrderState.REPAIRED:
            keep_work(tx, workorders.moved(order, Step.UNVERIFIED, now), Step.UNVERIFIED.value, now)
        case "closed":
            keep_work(tx, workorders.moved(order, Step.CLEARED, now), Step.CLEARED.value, now)


def _facts(tx: Tx, ledger: TxLedger, incident: Incident, settings: Settings) -> Facts:
    node = settings.nodes.get(incident.subject) if incident.scope == NODE else None
    commune = settings.zones.get(incident.commune)
    affected = (incident.subject,) if node else incident.nodes
    children, hit = _covered(incident, settings)
    lat, lon = _position(node, incident, settings)
    return Facts(
        site=settings.site.name,
        zone=settings.site.zone,
        language=settings.site.language,
        node=node.name if node else "",
        commune=commune.name if commune else "",
        communes=_sharing(incident, settings),
        hamlet=_hamlet(settings, node.hamlet) if node else "",
        pole=node.pole if node else "",
        lat=lat,
        lon=lon,
        keeper=node.keeper if node else "",
        keeper_phone=node.keeper_phone if node else "",
        rule=rule_of(incident.cause, settings.faults),
        next_due=ledger.next_due(affected),
        children=children,
        hit=hit,
        told=told_of(tx.outbox(incident.id)),
        metrics=settings.metrics,
        assignee=_given_to(tx, incident),
    )


def _position(node: Node | None, incident: Incident, settings: Settings) -> tuple[float | None, float | None]:
    """Degrees of latitude and longitude: of the node, or of the middle of those that an incident of an area covers."""
    if node is not None or incident.scope == CENTRE:
        return (node.lat, node.lon) if node is not None else (None, None)
    found = [settings.nodes[id] for id in incident.nodes if id in settings.nodes]
    placed = [(one.lat, one.lon) for one in found if one.lat is not None and one.lon is not None]
    return (fmean(lat for lat, _ in placed), fmean(lon for _, lon in placed)) if placed else (None, None)


def _covered(incident: Incident, settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the nodes that an incident covers, and of their communes where it is no single one's: every commune has
    its "UBND xã"."""
    nodes = [settings.nodes[id] for id in incident.nodes if id in settings.nodes]
    if incident.commune:
        return tuple(node.name for node in nodes), ()
    zones = {node.commune: settings.zones[node.commune].name for node in nodes if node.commune in settings.zones}
    names = (f"{node.name} ({bare(zones.get(node.commune, node.commune))})" for node in nodes)
    return tuple(names), tuple(zones.values()) if incident.scope in (FEEDER, UPLINK) else ()


def _sharing(incident: Incident, settings: Settings) -> frozenset[str]:
    """The communes on a feeder or an uplink, all of them: what fails of another one later is explained by this
    incident, and its people have heard of it then."""
    if incident.scope not in (FEEDER, UPLINK):
        return frozenset()
    feeder = incident.scope == FEEDER
    shared = [one for one in settings.nodes.values() if incident.subject == (one.feeder if feeder else one.uplink)]
    return frozenset(node.commune for node in shared)


def _given_to(tx: Tx, incident: Incident) -> str:
    """Whose its repair is by the word of a person; empty if nobody said so: the one it begins with is only a guess."""
    order = tx.work_order(incident.id)
    if order is None or order.state in ENDED:
        return ""
    events = tx.work_order_events_of([incident.id])[incident.id]
    last = next((event.step for event in reversed(events) if event.step in _GIVES), OPENED)
    return "" if last in _GUESSED else order.assignee


def _hamlet(settings: Settings, hamlet: str) -> str:
    zone = settings.zones.get(hamlet)
    return zone.name if zone else hamlet
