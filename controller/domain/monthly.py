"""The figures of a month, from event rows and from nothing else. Pure; what each figure means is in docs/operator.md.

Everything is a sum over nodes, incidents and airings, so that a commune, a model and the whole are the same
arithmetic over different rows. Time that says nothing of a node (before its first word, maintenance, the controller
away or deaf) is told as such and counts neither as up nor as down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from controller.domain.delivery import TAKEN_BACK, DeliveryEvent, DeliveryState, OccurrenceRow
from controller.domain.incidents import Incident, IncidentEvent
from controller.domain.liveness import Liveness
from controller.domain.workorders import WAITS_FOR_PERSON, WorkOrderEvent

CONTROLLER = ""
"""In node events: the controller itself."""

PLAYED = 0.95
"""Of its length: what was heard of so much is whole."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """What was believed of a node's connection from `at` on. Node CONTROLLER: `online` while the controller listens,
    `unknown` while it cannot."""

    node: str
    at: datetime
    liveness: str


@dataclass(frozen=True, slots=True)
class Window:
    """A node under maintenance in [start, end)."""

    node: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is counted."""

    commune: str
    model: str


@dataclass(frozen=True, slots=True)
class Log:
    """The raw rows that a month is made of. All of them by time. `places`: every configured node."""

    places: Mapping[str, Place]
    nodes: Mapping[str, Sequence[NodeEvent]] = field(default_factory=dict)
    maintenance: Sequence[Window] = ()
    incidents: Mapping[int, Incident] = field(default_factory=dict)
    incident_events: Mapping[int, Sequence[IncidentEvent]] = field(default_factory=dict)
    order_events: Mapping[int, Sequence[WorkOrderEvent]] = field(default_factory=dict)
    occurrences: Mapping[str, OccurrenceRow] = field(default_factory=dict)
    deliveries: Mapping[tuple[str, str], Sequence[DeliveryEvent]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums; seconds end in `_s`. Figures of two groups add up to those of both."""

    nodes: int = 0
    up_s: float = 0
    down_s: float = 0
    unknown_s: float = 0
    commissioning_s: float = 0
    maintenance_s: float = 0
    told: int = 0
    acknowledged: int = 0
    acknowledged_s: float = 0
    mended: int = 0
    mended_s: float = 0
    verified: int = 0
    unverified: int = 0
    overdue: int = 0
    repeats: int = 0
    air_planned_s: float = 0
    air_missed_s: float = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def availability(self) -> float | None:
        """Share of the time that counts; None when none does."""
        return _ratio(self.up_s, self.up_s + self.down_s)

    @property
    def mtta_s(self) -> float | None:
        return _ratio(self.acknowledged_s, self.acknowledged)

    @property
    def mttr_s(self) -> float | None:
        return _ratio(self.mended_s, self.mended)

    @property
    def verified_share(self) -> float | None:
        return _ratio(self.verified, self.verified + self.unverified)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class Report:
    """One month, [start, end) cut at now. Keys of `communes` and `models` are ids; "" is what belongs to none."""

    start: datetime
    end: datetime
    total: Figures
    communes: Mapping[str, Figures]
    models: Mapping[str, Figures]


def report(log: Log, start: datetime, end: datetime, now: datetime) -> Report:
    """The figures of [start, end), as far as it has passed by `now`."""
    month = _Month(log, start, max(start, min(end, now)))
    rows = [*month.of_nodes(), *month.of_incidents(), *month.of_air()]
    return Report(
        start,
        month.end,
        sum((figures for _, figures in rows), Figures()),
        _grouped(rows, lambda place: place.commune),
        _grouped(rows, lambda place: place.model),
    )


def _grouped(rows: Iterable[tuple[Place, Figures]], key: Callable[[Place], str]) -> dict[str, Figures]:
    groups: dict[str, Figures] = {}
    for place, figures in rows:
        groups[key(place)] = groups.get(key(place), Figures()) + figures
    return dict(sorted(groups.items()))


class _Time(StrEnum):
    """What a stretch of a node's time counts as, in the order of Figures."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    COMMISSIONING = "commissioning"
    MAINTENANCE = "maintenance"


_NOWHERE = Place("", "")


class _Month:
    def __init__(self, log: Log, start: datetime, end: datetime) -> None:
        self.log = log
        self.start = start
        self.end = end

    def _is_in(self, at: datetime) -> bool:
        return self.start <= at < self.end

    # --- nodes ----------------------------------------------------------------------------------------------

    def of_nodes(self) -> Iterator[tuple[Place, Figures]]:
        """Each configured node's time."""
        for node, place in self.log.places.items():
            spent = dict.fromkeys(_Time, 0.0)
            for begin, finish, what in self._stretches(node):
                spent[what] += (finish - begin).total_seconds()
            up, down, unknown, before, maintenance = (spent[what] for what in _Time)
            yield place, Figures(1, up, down, unknown, before, maintenance)

    def _stretches(self, node: str) -> Iterator[tuple[datetime, datetime, _Time]]:
        """The month cut where anything changes for `node`."""
        windows = [window for window in self.log.maintenance if window.node == node]
        events = self.log.nodes.get(node, ())
        cuts = {event.at for event in (*events, *self.log.nodes.get(CONTROLLER, ()))}
        cuts |= {at for window in windows for at in (window.start, window.end)}
        inside = sorted(at for at in cuts if self.start < at < self.end)
        for begin, finish in pairwise((self.start, *inside, self.end)):
            yield begin, finish, self._time(events, windows, begin)

    def _time(self, events: Sequence[NodeEvent], windows: Iterable[Window], at: datetime) -> _Time:
        """What the stretch that begins at `at` counts as."""
        past = _until(events, at)
        if not past:
            return _Time.COMMISSIONING
        if any(window.start <= at < window.end for window in windows):
            return _Time.MAINTENANCE
        listening = _until(self.log.nodes.get(CONTROLLER, ()), at)
        if listening and listening[-1].liveness == Liveness.UNKNOWN:
            return _Time.UNKNOWN
        return _believed(past[-1], events[len(past)] if len(past) < len(events) else None)

    # --- incidents ------------------------------------------------------------------------------------------

    def of_incidents(self) -> Iterator[tuple[Place, Figures]]:
        for id, incident in self.log.incidents.items():
            known = self.log.places.get(incident.subject)
            place = Place(incident.commune, known.model if known else "")
            yield place, self._of_incident(incident, self.log.incident_events.get(id, ())) + self._of_order(id)

    def _of_incident(self, incident: Incident, events: Sequence[IncidentEvent]) -> Figures:
        sums = Figures()
        began, told, proposed = incident.opened_at, None, False
        for event in events:
            kind, here = kind_of(event.transition), self._is_in(event.at)
            if kind in BEGINNINGS:
                began, proposed = event.at, False
            elif kind in TELLINGS:
                told = event.at
                first = kind == "opened" and incident.repeat_of is not None
                sums += Figures(told=1, repeats=int(first)) if here else Figures()
            elif kind in WORDS:
                if told is not None and self._is_in(told):
                    # however late: the month in which it was told has it
                    sums += Figures(acknowledged=1, acknowledged_s=(event.at - told).total_seconds())
                told = None
                proposed = kind == "repaired" or (proposed and kind == "acknowledged")
            elif kind in REFUSALS and proposed:
                sums += Figures(unverified=int(here))
                proposed = False
            elif kind in ENDS:
                if here:
                    lasted = (event.at - began).total_seconds()
                    sums += Figures(verified=int(proposed))
                    sums += Figures(mended=1, mended_s=lasted) if kind == "recovered" else Figures()
                told, proposed = None, False
        return sums

    def _of_order(self, id: int) -> Figures:
        events = self.log.order_events.get(id, ())
        ends = [*(event.at for event in events[1:]), self.end]
        for event, until in zip(events, ends, strict=False):
            late = max(event.at, event.due_at)
            if event.state in WAITS_FOR_PERSON and late < until and self._is_in(late):
                return Figures(overdue=1)
        return Figures()

    # --- air ------------------------------------------------------------------------------------------------

    def of_air(self) -> Iterator[tuple[Place, Figures]]:
        for (id, node), events in self.log.deliveries.items():
            row = self.log.occurrences[id]
            if self._is_in(row.start) and row.end <= self.end and not _taken_back(row, events):
                planned = (row.end - row.start).total_seconds()
                missed = _missed_s(planned, events)
                yield self.log.places.get(node, _NOWHERE), Figures(air_planned_s=planned, air_missed_s=missed)


# --- what rows mean -----------------------------------------------------------------------------------------

BEGINNINGS = frozenset({"found", "relapsed"})
TELLINGS = frozenset({"opened", "reopened"})
WORDS = frozenset({"acknowledged", "repair-begun", "repaired"})
REFUSALS = frozenset({"unverified", "severity"})
ENDS = frozenset({"recovered", "closed"})
"""`recovered`: people were told of it; `closed`: nobody had been."""


def kind_of(transition: str) -> str:
    """ "severity-2" is a "severity"; "repair-begun" is itself."""
    kind, _, count = transition.rpartition("-")
    return kind if count.isdigit() else transition


def _until(events: Sequence[NodeEvent], at: datetime) -> Sequence[NodeEvent]:
    """Those that were true at `at` or before."""
    low, high = 0, len(events)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if events[middle].at <= at else (low, middle)
    return events[:low]


def _believed(event: NodeEvent, following: NodeEvent | None) -> _Time:
    """A suspect that turned out to be gone was gone already; one that came back had never left."""
    match event.liveness:
        case Liveness.ONLINE:
            return _Time.UP
        case Liveness.OFFLINE:
            return _Time.DOWN
        case Liveness.SUSPECT:
            gone = following is not None and following.liveness == Liveness.OFFLINE
            return _Time.DOWN if gone else _Time.UP
        case _:
            return _Time.UNKNOWN


def _taken_back(row: OccurrenceRow, events: Sequence[DeliveryEvent]) -> bool:
    """Nobody wanted it to sound there any more: an edit, or an operator who stopped it."""
    last = events[-1] if events else None
    if last is None:
        return row.cancelled_at is not None
    if last.state is DeliveryState.CANCELLED:
        return True
    if last.state in (DeliveryState.FAILED, DeliveryState.SKIPPED):
        return last.reason == TAKEN_BACK
    return row.cancelled_at is not None and last.state is not DeliveryState.COMPLETED


def _missed_s(planned: float, events: Sequence[DeliveryEvent]) -> float:
    """Of `planned` seconds those that were not heard. What sounded and was never heard of again is not known to
    have been heard; what is whole but for a little is whole."""
    heard = sum(
        (after.at - event.at).total_seconds()
        for event, after in pairwise(events)
        if event.state is DeliveryState.SOUNDING and after.state is not DeliveryState.UNKNOWN
    )
    whole = bool(events) and events[-1].state is DeliveryState.COMPLETED and heard >= PLAYED * planned
    return 0.0 if whole else max(0.0, planned - heard)
