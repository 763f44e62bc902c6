"""Rows into plain dicts: one shape for the page, the API and the command line.

Times become RFC 3339 UTC with milliseconds; a text in both languages becomes `{"vi": ..., "en": ...}`; what is
not known is None, never a guess. Nothing here reads the store or a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from broadcasts.model import Node, Zone
from controller.domain import wording
from controller.domain.asrun import Heard, progress, verdict
from controller.domain.commissioning import Baseline, Compared, Selftest
from controller.domain.delivery import TAKEN_BACK, Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.escalation import OutboxRow, OutboxState, responsible
from controller.domain.faults import FaultRule, Severity, Text, Value
from controller.domain.hush import Hush
from controller.domain.incidents import Incident, IncidentEvent
from controller.domain.metrics import METRICS, UNITS_VI, Metric, baselines
from controller.domain.monthly import kind_of
from controller.domain.notready import told
from controller.domain.outbox import TOLD
from controller.domain.preflight import Finding, PreflightRow, by_node
from controller.domain.site import Settings
from controller.domain.workorders import WorkOrder, WorkPhoto, is_overdue
from controller.ports import ClimbRow, FaultRow
from controller.services import labels
from controller.wire.messages import stamp

Plain = dict[str, Any]

WAITING = frozenset({OutboxState.PENDING, OutboxState.CLAIMED, OutboxState.RETRY})


def iso(at: datetime | None) -> str | None:
    """The wire's way of writing a time."""
    return None if at is None else stamp(at)


def text(value: Text) -> Plain:
    return {"vi": value.vi, "en": value.en}


def standing(value: Text) -> Text:
    """A text from the middle of a sentence, made to stand alone."""
    return Text(wording.upper_first(value.vi), wording.upper_first(value.en))


def evidence(values: Mapping[str, Value], metrics: Mapping[str, Metric] = METRICS) -> list[Plain]:
    """Each measurement with its name on screen, its unit, and how it reads in each language."""
    return [_measured(metric, value, metrics) for metric, value in values.items()]


def _measured(metric: str, value: Value, metrics: Mapping[str, Metric]) -> Plain:
    shown = labels.measured(metric, metrics)
    unit = Text(UNITS_VI.get(shown.unit, shown.unit), shown.unit)
    return {
        "metric": metric,
        "name": text(labels.named({metric: shown.label}, metric)),
        "value": value,
        "unit": shown.unit,
        "text": text(Text(_read(value, shown.decimals, unit.vi, vi=True), _read(value, shown.decimals, unit.en))),
    }


def _read(value: Value, decimals: int, unit: str, *, vi: bool = False) -> str:
    if isinstance(value, bool):
        return {True: "có" if vi else "yes", False: "không" if vi else "no"}[value]
    if isinstance(value, str):
        return value
    figure = f"{value:.{decimals}f}" if isinstance(value, float) else str(value)
    return f"{figure.replace('.', ',') if vi else figure} {unit}".rstrip()


def title(rule: FaultRule | None, cause: str) -> Text:
    """What a fault or a cause is called: by its rule in config/faults.yaml, if it has one."""
    return rule.title if rule else labels.named(wording.CAUSES, cause)


def incident_title(row: Incident, rule: FaultRule | None) -> Text:
    """What an incident is called; whoever or whatever its cause names after a `:` (a person, a role) too."""
    code, _, whom = row.cause.partition(":")
    called = title(rule, code)
    who = row.evidence.get(wording.WHO, whom)
    return Text(f"{called.vi} ({who})", f"{called.en} ({who})") if whom else called


# --- nodes --------------------------------------------------------------------------------------------------


def place(node: Node, settings: Settings) -> Plain:
    """Where a node hangs."""
    return {
        "commune": node.commune,
        "commune_name": commune_name(settings, node.commune),
        "hamlet": node.hamlet,
        "pole": node.pole,
        "lat": node.lat,
        "lon": node.lon,
    }


def commune_name(settings: Settings, commune: str) -> str:
    zone = settings.zones.get(commune)
    return zone.name if zone else commune


def fault(row: FaultRow, rule: FaultRule | None, metrics: Mapping[str, Metric] = METRICS) -> Plain:
    """One open fault of a node."""
    return {
        "code": row.code,
        "title": text(title(rule, row.code)),
        "component": rule.component if rule else "",
        "severity": row.severity,
        "state": row.state,
        "since": iso(row.since),
        "evidence": evidence(row.evidence, metrics),
    }


def unmeasured(rule: FaultRule, names: Collection[str], metrics: Mapping[str, Metric]) -> Plain:
    """A rule that nothing can be said of, and what it would take: `commissioning`, a `selftest`, or a `sensor`."""
    bases = set(baselines(metrics).values())
    tested = {name for name in names if name in metrics and metrics[name].baseline}
    needs = "selftest" if tested else "commissioning" if bases & set(names) else "sensor"
    return {
        "code": rule.code,
        "title": text(title(rule, rule.code)),
        "needs": needs,
        "missing": [_named_metric(name, metrics) for name in names],
    }


def _named_metric(name: str, metrics: Mapping[str, Metric]) -> Plain:
    return {"metric": name, "name": text(labels.named({name: labels.measured(name, metrics).label}, name))}


def selftest(row: Selftest, metrics: Mapping[str, Metric]) -> Plain:
    """One self-test with what each part and each metric came to."""
    return {
        "id": row.id,
        "at": iso(row.at),
        "passed": row.passed,
        "ordered": row.ordered,
        "parts": [
            {"part": part, "name": text(labels.named(labels.COMPONENT, part)), "result": said}
            for part, said in row.parts.items()
        ],
        "results": evidence({name: value for name, value in row.results.items() if value is not None}, metrics),
    }


def commissioned(row: Baseline, metrics: Mapping[str, Metric]) -> Plain:
    """One commissioning: by whom, and what was measured then."""
    values = evidence(row.values, metrics)
    return {"id": row.id, "at": iso(row.at), "by": row.by, "note": row.note, "test": row.test, "values": values}


def compared(each: Compared, metrics: Mapping[str, Metric]) -> Plain:
    """One value that commissioning would write down, beside what its model should measure and what was before."""
    return {
        **_measured(each.metric, each.value, metrics),
        "expected": list(each.expected) if each.expected else None,
        "before": each.before,
        "fits": each.fits,
    }


# --- incidents ----------------------------------------------------------------------------------------------


def incident(row: Incident, settings: Settings, rule: FaultRule | None) -> Plain:
    """What a person must act on, with the repair advice of its rule."""
    node = settings.nodes.get(row.subject)
    return {
        "id": row.id,
        "scope": row.scope,
        "subject": row.subject,
        "subject_name": _subject_name(row, settings),
        "place": place(node, settings) if node else None,
        "commune": row.commune,
        "cause": row.cause,
        "title": text(incident_title(row, rule)),
        "component": row.component,
        "component_name": text(labels.named(labels.COMPONENT, row.component)),
        "severity": row.severity.value,
        "severity_name": text(labels.named(wording.SEVERITIES, row.severity)),
        "state": row.state.value,
        "state_name": text(labels.named(labels.INCIDENT_STATE, row.state)),
        "opened_at": iso(row.opened_at),
        "updated_at": iso(row.updated_at),
        "repaired_at": iso(row.repaired_at),
        "closed_at": iso(row.closed_at),
        "announced": row.announced,
        "announce_at": iso(row.announce_at),
        "parent": row.parent,
        "repeat_of": row.repeat_of,
        "stale": row.stale,
        "flapping": row.flapping,
        "acknowledged_by": row.acknowledged_by,
        "evidence": evidence(row.evidence, settings.metrics),
        "nodes": list(row.nodes),
        **_repair(rule, row.cause),
    }


def _subject_name(row: Incident, settings: Settings) -> str:
    if node := settings.nodes.get(row.subject):
        return node.name
    if zone := settings.zones.get(row.subject):
        return zone.name
    return settings.site.name if row.scope == "centre" else row.subject


def _repair(rule: FaultRule | None, cause: str) -> Plain:
    if rule is None:
        advice = wording.ADVICE.get(cause)
        return {"advice": text(standing(advice)) if advice else None, "parts": None, "safety": None, "visit": None}
    return {
        "advice": text(rule.advice),
        "parts": text(rule.parts) if rule.parts else None,
        "safety": text(rule.safety) if rule.safety else None,
        "visit": {"kind": rule.visit.value, "name": text(labels.named(wording.VISITS, rule.visit))},
    }


def hush(row: Hush, now: datetime, zone: ZoneInfo) -> Plain:
    """A silence or maintenance window; `id` is 0 for one of alerts.yaml."""
    begin, end = row.window(now, zone)
    return {
        "id": row.id,
        "kind": row.kind.value,
        "active": row.active(now, zone),
        "from": iso(begin),
        "until": iso(end),
        "weekly": row.weekly,
        "nodes": list(row.nodes),
        "communes": list(row.communes),
        "codes": list(row.codes),
        "reason": row.reason,
        "by": row.by,
    }


def telling(
    rows: Iterable[OutboxRow],
    climb: ClimbRow | None,
    silenced: Hush | None,
    names: Mapping[str, str],
    now: datetime,
    zone: ZoneInfo,
) -> Plain:
    """Who has heard of an incident, when somebody is told next, and until when nobody is."""
    told = dict.fromkeys(row.recipient for row in sorted(rows, key=lambda row: row.id) if row.state in TOLD)
    return {
        "told": [names.get(person, person) for person in told],
        "next_step_at": iso(climb.due_at) if climb and climb.told else None,
        "silenced_until": iso(silenced.window(now, zone)[1]) if silenced else None,
    }


def told_of_commune(zone: Zone, settings: Settings) -> Plain:
    """Who hears first of what breaks in a commune: names and telephones."""
    people = responsible(frozenset({zone.id}), settings.alerts.people)
    told = [{"id": each.id, "name": each.name, "phone": each.phone} for each in people]
    return {"id": zone.id, "name": zone.name, "told": told}


def messages(rows: Sequence[OutboxRow]) -> Plain:
    """How many messages an incident cost, and whether they arrived. `digested`: those that came within another one."""
    sent = {(row.recipient, row.transition) for row in rows if row.state is OutboxState.SENT}
    merged = {(row.recipient, row.transition) for row in rows if row.state is OutboxState.MERGED}
    return {
        "total": len(rows),
        "sent": sum(row.state is OutboxState.SENT for row in rows),
        "digested": len(merged - sent),
        "waiting": sum(row.state in WAITING for row in rows),
        "uncertain": sum(row.state is OutboxState.UNCERTAIN for row in rows),
        "dead": sum(row.state is OutboxState.DEAD for row in rows),
        "last_at": iso(max((row.sent_at for row in rows if row.sent_at), default=None)),
    }


def work_order(order: WorkOrder | None, names: Mapping[str, str], now: datetime) -> Plain | None:
    """`names`: the people of config/alerts.yaml by id."""
    if order is None:
        return None
    return {
        "assignee": order.assignee,
        "assignee_name": names.get(order.assignee, order.assignee),
        "due_at": iso(order.due_at),
        "state": order.state.value,
        "state_name": text(labels.named(labels.ORDER_STATE, order.state)),
        "overdue": is_overdue(order, now),
        "created_at": iso(order.created_at),
        "closed_at": iso(order.closed_at),
    }


def photo(photo: WorkPhoto, names: Mapping[str, str]) -> Plain:
    """A picture of an order; its bytes are had by its sha256."""
    by = {"by": photo.by, "by_name": names.get(photo.by, photo.by)}
    return {"at": iso(photo.at), **by, "sha256": photo.sha256, "type": photo.kind, "size": photo.size}


def history(events: Iterable[IncidentEvent], names: Mapping[str, str]) -> list[Plain]:
    return [_event(event, names) for event in events]


def _event(event: IncidentEvent, names: Mapping[str, str]) -> Plain:
    return {
        "at": iso(event.at),
        "transition": event.transition,
        "name": text(labels.named(labels.HAPPENED, kind_of(event.transition))),
        "reason": event.reason,
        "by": event.by,
        "by_name": names.get(event.by, event.by),
    }


def is_told(event: IncidentEvent) -> bool:
    """Is it something to read on a phone, and not how Loa came to it?"""
    return kind_of(event.transition) in labels.HAPPENED


def happened(event: IncidentEvent, names: Mapping[str, str]) -> Plain:
    """One step of an incident's history, in words. `names`: the people of config/alerts.yaml by id."""
    kind = kind_of(event.transition)
    said = event.reason if event.by != "loa" else ""
    return {
        "at": iso(event.at),
        "name": text(labels.HAPPENED[kind]),
        "by": event.by,
        "by_name": names.get(event.by, event.by),
        "words": names.get(said, said) if kind == "assigned" else said,
    }


def because(reason: str) -> Plain | None:
    """A reason for people; one that is in words already stays as it is."""
    return text(labels.REASON.get(reason) or Text(reason, reason)) if reason else None


# --- air ----------------------------------------------------------------------------------------------------


def occurrence(row: OccurrenceRow) -> Plain:
    return {
        "occurrence": row.id,
        "broadcast": row.broadcast,
        "title": row.title,
        "start": iso(row.start),
        "end": iso(row.end),
        "priority": row.priority.value,
        "priority_name": text(labels.named(labels.PRIORITY, row.priority)),
        "rank": row.rank,
        "source": row.source,
        "planned_at": iso(row.planned_at),
        "cancelled_at": iso(row.cancelled_at),
        "reason": row.reason,
    }


def targets(nodes: Collection[str], settings: Settings) -> Plain:
    """Which communes a set of nodes covers, and how much of each."""
    communes = [_share(zone.id, zone.name, zone.nodes, nodes) for zone in settings.zones.values() if zone.is_commune]
    return {
        "nodes": len(nodes),
        "everywhere": len(nodes) == len(settings.nodes) > 0,
        "communes": [share for share in communes if share["nodes"]],
    }


def _share(id: str, name: str, members: Sequence[str], nodes: Collection[str]) -> Plain:
    return {"id": id, "name": name, "nodes": sum(node in nodes for node in members), "of": len(members)}


def on_air(row: OccurrenceRow, deliveries: Sequence[Delivery], settings: Settings, now: datetime) -> Plain:
    """One occurrence that is sounding, or should be."""
    sounding = {each.node for each in deliveries if each.state is DeliveryState.SOUNDING}
    started = [each.started_at for each in deliveries if each.started_at]
    return {
        **occurrence(row),
        "started_at": iso(min(started, default=None)),
        "progress": round(progress(row.start, row.end, now), 4),
        "sounding": sorted(sounding),
        "interrupted": sum(each.state is DeliveryState.INTERRUPTED for each in deliveries),
        "expected": targets({each.node for each in deliveries}, settings),
        "heard_in": targets(sounding, settings),
    }


def upcoming(
    row: OccurrenceRow, deliveries: Sequence[Delivery], looked: PreflightRow | None, settings: Settings
) -> Plain:
    """One occurrence to come, and how many nodes hold it already. Cancelled ones say so. `looked`: at its nodes."""
    live = [each for each in deliveries if each.state is not DeliveryState.CANCELLED]
    return {
        **occurrence(row),
        "to": targets({each.node for each in live}, settings),
        "accepted": sum(each.state in (DeliveryState.ACCEPTED, DeliveryState.READY) for each in live),
        "ready": sum(each.state is DeliveryState.READY for each in live),
        "preflight": preflight(looked, settings) if looked else None,
    }


def preflight(row: PreflightRow, settings: Settings) -> Plain:
    """The newest look at the nodes of one occurrence: which are not ready, and what each lacks."""
    rules = {rule.code: rule for rule in settings.faults}
    lacking = by_node(row.findings)
    return {
        "at": iso(row.at),
        "nodes": row.nodes,
        "told_at": iso(row.told_at),
        "not_ready": [
            {
                "node": id,
                "name": settings.nodes[id].name if id in settings.nodes else id,
                "lacks": [lack(finding, rules) for finding in found],
            }
            for id, found in lacking.items()
        ],
    }


def lack(finding: Finding, rules: Mapping[str, FaultRule]) -> Plain:
    """One thing that a node lacks."""
    said = Text(told(finding, rules, "vi"), told(finding, rules, "en"))
    return {"code": finding.lack.value, "detail": finding.detail, "text": text(said)}


# --- as-run -------------------------------------------------------------------------------------------------


def as_run(each: Delivery, row: OccurrenceRow, settings: Settings, now: datetime) -> Plain:
    """One line of the as-run report: what can be claimed of one node."""
    heard = verdict(each, row, now)
    node = settings.nodes.get(each.node)
    return {
        "node": each.node,
        "name": node.name if node else each.node,
        "commune": node.commune if node else "",
        "state": each.state.value,
        "heard": heard.value,
        "heard_name": text(labels.named(labels.HEARD, heard)),
        "reason": each.reason,
        "reason_text": because(each.reason),
        "at": iso(each.at),
        "started_at": iso(each.started_at),
        "late_ms": each.late_ms,
        "played_ms": each.played_ms,
        "level_db": each.level_db,
    }


def heard_of(line: Plain) -> Heard:
    return Heard(line["heard"])


# --- why ----------------------------------------------------------------------------------------------------


def step(
    at: datetime | None, what: str, said: Text, *, source: str, reason: str = "", detail: Plain | None = None
) -> Plain:
    """One line of a story: when, what, who knows it, and why."""
    return {
        "at": iso(at),
        "what": what,
        "text": text(said),
        "source": source,
        "reason": reason,
        "reason_text": because(reason),
        **(detail or {}),
    }


NODE_SAYS = frozenset(DeliveryState) - {
    DeliveryState.PLANNED,
    DeliveryState.PUBLISHED,
    DeliveryState.CANCELLED,
    DeliveryState.UNKNOWN,
}
"""States that only the node's own journal can bring about; the rest the controller concluded."""


def event_step(event: DeliveryEvent, each: Delivery) -> Plain:
    """One ledger transition, with what was measured when it started or completed."""
    detail: Plain = {}
    if event.state is DeliveryState.SOUNDING and each.late_ms is not None:
        detail = {"late_ms": each.late_ms}
    if event.state is DeliveryState.COMPLETED:
        detail = {"played_ms": each.played_ms, "level_db": each.level_db}
    source = "node" if event.state in NODE_SAYS else "controller"
    said = labels.named(labels.DELIVERY, event.state)
    if event.state is DeliveryState.FAILED and event.reason == TAKEN_BACK:
        said = labels.named(labels.HEARD, Heard.STOPPED)
    return step(event.at, event.state.value, said, source=source, reason=event.reason, detail=detail)


def severities(rows: Iterable[Incident]) -> dict[str, int]:
    """How many incidents of each severity, zeros too."""
    found = [row.severity for row in rows]
    return {severity.value: found.count(severity) for severity in Severity}
