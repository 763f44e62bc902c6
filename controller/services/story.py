"""The story of one airing, from the rule in a file to the sound on a node, in order, in both languages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from broadcasts.difference import KINDS
from controller.domain.correlation import CENTRE
from controller.domain.delivery import Delivery, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.faults import Text
from controller.domain.incidents import Incident
from controller.domain.preflight import PreflightRow
from controller.domain.site import Settings
from controller.ports import AuditRow, Tx
from controller.services import changelog, labels
from controller.services import readmodels as shape
from controller.services.readmodels import Plain
from controller.wire.messages import JournalEntry

STARTED = "started"
"""`AuditRow.what` of a controller that took over."""

AROUND = timedelta(minutes=30)
"""A start of the controller this close to an airing belongs to its story."""
AUDITS = 500
"""Rows of the audit trail that are looked through."""
ENTRIES = 500
"""Newest entries of a node's journal that are looked through."""

ON_TIME_S = 0.1

RESUMED = Text("Phát tiếp", "Went on")
ORDERED = Text("Lệnh phát ngay của người vận hành", "Ordered by an operator")


def rule(row: OccurrenceRow, settings: Settings) -> Plain:
    """Which line of which file says that it is to air; `place` is empty when it no longer stands there."""
    broadcast = settings.broadcasts.get(row.broadcast)
    place = broadcast.place if broadcast and row.source == "config" else ""
    if row.source != "config":
        return {"place": "", "text": shape.text(ORDERED)}
    if not place:
        gone = Text("Không còn trong các tệp cấu hình", "No longer in the configuration files")
        return {"place": "", "text": shape.text(gone)}
    return {"place": place, "text": shape.text(Text(f"Theo {place}", f"As {place} says"))}


def of_all(tx: Tx, row: OccurrenceRow, settings: Settings) -> list[Plain]:
    """What concerns every node: the rule and the plan, edits, starts of the controller."""
    return [
        _planned(row, settings),
        *_edits(tx.audits(AUDITS, (changelog.TAKEN,)), row.id),
        *_starts(tx.audits(AUDITS, (STARTED,)), row),
        *_orders(tx.audits(AUDITS, ("now", "stop")), row),
    ]


def _planned(row: OccurrenceRow, settings: Settings) -> Plain:
    said = labels.named(labels.DELIVERY, DeliveryState.PLANNED)
    because = rule(row, settings)
    told = Text(f"{said.vi}: {_lower(because['text']['vi'])}", f"{said.en}: {_lower(because['text']['en'])}")
    detail = {"from": row.source, "place": because["place"]}
    return shape.step(row.planned_at, "planned", told, source="controller", detail=detail)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _edits(rows: Iterable[AuditRow], id: str) -> list[Plain]:
    """Changes of the configuration that added, moved, altered or cancelled this airing."""
    lines = ((change, kind, line) for change in map(changelog.shown, rows) for kind in KINDS for line in change[kind])
    return [_edit(change, kind, line) for change, kind, line in lines if line["occurrence"] == id]


def _edit(change: Plain, kind: str, line: Plain) -> Plain:
    name = labels.named(labels.DIFFERENCE, kind)
    parts = ", ".join(text["vi"] for text in line["what_text"]), ", ".join(text["en"] for text in line["what_text"])
    vi, en = (f" ({part})" if part else "" for part in parts)
    said = Text(
        f"Cấu hình thay đổi ({change['who']}): {_lower(name.vi)}{vi}",
        f"The configuration changed ({change['who']}): {_lower(name.en)}{en}",
    )
    detail = {"by": change["who"], "was": line["was"], "place": line["place"]}
    return shape.step(datetime.fromisoformat(change["at"]), "edited", said, source="controller", detail=detail)


def _starts(rows: Iterable[AuditRow], row: OccurrenceRow) -> list[Plain]:
    """While it was not running, the nodes played by themselves; what they did came in afterwards."""
    near = [each for each in rows if row.start - AROUND <= each.at <= row.end + AROUND]
    said = Text("Bộ điều khiển khởi động (lại)", "The controller (re)started")
    return [
        shape.step(each.at, "controller", said, source="controller", detail={"epoch": each.detail}) for each in near
    ]


def _orders(rows: Iterable[AuditRow], row: OccurrenceRow) -> list[Plain]:
    """Orders of people from when it was planned until it was over."""
    near = [each for each in rows if row.planned_at <= each.at <= row.end and row.start - AROUND <= each.at]
    return [
        shape.step(
            each.at,
            "order",
            Text(f"{each.who} ra lệnh: {each.what} {each.detail}", f"{each.who} ordered: {each.what} {each.detail}"),
            source="operator",
            detail={"by": each.who},
        )
        for each in near
    ]


# --- one node ---------------------------------------------------------------------------------------------------


def of_node(
    tx: Tx,
    row: OccurrenceRow,
    each: Delivery,
    looked: PreflightRow | None,
    settings: Settings,
    *,
    whole: bool,
) -> list[Plain]:
    """What became of it on one node. `whole`: with the revisions that its journal tells."""
    events = [event for event in tx.delivery_events(row.id, each.node) if event.state is not DeliveryState.PLANNED]
    journal = tx.journal(each.node, ENTRIES) if whole else []
    events += _told_after_it_was_ready(events, journal, row)
    steps = [_event(event, each, journal) for event in events]
    if looked is not None:
        steps.append(_preflight(looked, each.node, settings))
    if row.cancelled_at and each.state is not DeliveryState.CANCELLED:
        said = labels.named(labels.DELIVERY, DeliveryState.CANCELLED)
        steps.append(shape.step(row.cancelled_at, "cancelled", said, source="controller", reason=row.reason))
    return steps


def _told_after_it_was_ready(
    events: Sequence[DeliveryEvent], journal: Sequence[JournalEntry], row: OccurrenceRow
) -> list[DeliveryEvent]:
    """The word that it holds the document, of a node that had fetched all audio before it said so, or whose heartbeat
    did: the ledger was past that word when it came."""
    states = {event.state for event in events}
    if DeliveryState.READY not in states or DeliveryState.ACCEPTED in states:
        return []
    told = (one for one in journal if one.kind == "playlists" and one.result == "accepted" and one.at >= row.planned_at)
    first = sorted(told, key=lambda one: one.at)[:1]
    return [DeliveryEvent(row.id, events[0].node, one.at, DeliveryState.ACCEPTED) for one in first]


def _event(event: DeliveryEvent, each: Delivery, journal: Sequence[JournalEntry]) -> Plain:
    step = shape.event_step(event, each)
    if event.state is DeliveryState.ACCEPTED:
        entry = next((one for one in journal if one.kind == "playlists" and one.at == event.at), None)
        if entry is not None and entry.rev is not None:
            rev = f"{entry.epoch}.{entry.rev}"
            return {**step, "rev": rev, "text": _with(step, f"bản {rev}", f"revision {rev}")}
    if event.state is DeliveryState.SOUNDING and each.started_at not in (None, event.at):
        return {**step, "text": shape.text(RESUMED)}
    if event.state is DeliveryState.SOUNDING and step.get("late_ms") is not None:
        return {**step, "text": _with(step, *_punctual(step["late_ms"] / 1000))}
    if event.state is DeliveryState.INTERRUPTED and event.reason:
        return {**step, "text": _with(step, f"bởi {event.reason}", f"by {event.reason}"), "reason_text": None}
    if event.state is DeliveryState.COMPLETED:
        return {**step, "text": _with(step, *_heard(each))}
    return step


def _punctual(late_s: float) -> tuple[str, str]:
    if late_s < ON_TIME_S:
        return "đúng giờ", "on time"
    return f"trễ {late_s:.1f} s".replace(".", ","), f"{late_s:.1f} s late"


def _heard(each: Delivery) -> tuple[str, str]:
    """How long it was, and how loud behind the amplifier."""
    vi, en = [], []
    if each.played_ms is not None:
        vi.append(f"{each.played_ms / 1000:.1f} s".replace(".", ","))
        en.append(f"{each.played_ms / 1000:.1f} s")
    vi.append("không đo được tiếng" if each.level_db is None else f"mức {each.level_db:.1f} dB".replace(".", ","))
    en.append("no level measured" if each.level_db is None else f"level {each.level_db:.1f} dB")
    return ", ".join(vi), ", ".join(en)


def _with(step: Plain, vi: str, en: str) -> Plain:
    return {"vi": f"{step['text']['vi']} ({vi})", "en": f"{step['text']['en']} ({en})"}


def _preflight(looked: PreflightRow, node: str, settings: Settings) -> Plain:
    rules = {rule.code: rule for rule in settings.faults}
    lacks = [shape.lack(finding, rules) for finding in looked.findings if finding.node == node]
    if not lacks:
        said = Text("Kiểm tra trước giờ phát: sẵn sàng", "Checked before air: ready")
    else:
        vi, en = (", ".join(lack["text"][language] for lack in lacks) for language in ("vi", "en"))
        said = Text(f"Kiểm tra trước giờ phát: {vi}", f"Checked before air: {en}")
    detail = {"lacks": lacks, "told_at": shape.iso(looked.told_at)}
    return shape.step(looked.at, "preflight", said, source="controller", detail=detail)


def concerns(incident: Incident, node: str) -> bool:
    """Whether an incident is of this node, of something it shares, or of the centre itself."""
    return incident.subject == node or node in incident.nodes or incident.scope == CENTRE
