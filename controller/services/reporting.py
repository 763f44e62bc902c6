"""What is going on, as plain data: read models shared by the page, the API and the command line.

Everything is answered from the database alone (`monitoring=None`, as the command line does when no controller
runs); with a live `monitoring` the nodes' states come from its memory, which is newer than what is stored.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol, TypeVar

from broadcasts.difference import held_by
from broadcasts.model import Node, Occurrence, Playlist, Zone
from controller.domain import centre, finding, monthly
from controller.domain.asrun import count
from controller.domain.delivery import Delivery, DeliveryState, OccurrenceRow
from controller.domain.duty import on_call, until
from controller.domain.emergencies import EmergencyRow
from controller.domain.escalation import OutboxRow
from controller.domain.faults import FaultRule, FaultState, Text, Value
from controller.domain.finding import Wanted
from controller.domain.hush import Hush, hushed_by
from controller.domain.incidents import OPEN_STATES, Incident, IncidentEvent
from controller.domain.liveness import Liveness
from controller.domain.preflight import PreflightRow
from controller.domain.site import Settings
from controller.domain.workorders import WorkOrder, is_overdue
from controller.ports import ClimbRow, Clock, Desired, FaultRow, NodeRow, Store, Tx
from controller.services import changelog, emergencyreport, monthreport, story
from controller.services import readmodels as shape
from controller.services.commissioning import compared
from controller.services.leadership import leader_of
from controller.services.links import Ticket, standing
from controller.services.readmodels import Plain
from controller.services.trends import trends
from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import payload_of

AHEAD = timedelta(hours=24)
"""How far the page looks ahead."""

BEHIND = timedelta(days=30)
"""How far back `incidents(all=True)` looks."""

AROUND = timedelta(minutes=30)
"""Incidents this close to an airing belong to its story."""

WHOLE = 20
"""Of up to so many nodes a story is told with what their journals say of revisions."""

CONFIRMED = frozenset({FaultState.OPEN, FaultState.CLEARING})

T = TypeVar("T")
K = TypeVar("K")


class LiveNode(Protocol):
    """What monitoring holds in memory of one node (a part of its NodeView)."""

    @property
    def liveness(self) -> Liveness: ...

    @property
    def since(self) -> datetime: ...

    @property
    def seen_at(self) -> datetime | None: ...

    @property
    def metrics(self) -> Mapping[str, Value]: ...

    @property
    def firmware(self) -> str: ...

    @property
    def held_epoch(self) -> int: ...

    @property
    def held_rev(self) -> int: ...

    @property
    def playing(self) -> str: ...


class Live(Protocol):
    """The running monitoring service."""

    def view(self) -> Mapping[str, LiveNode]: ...

    def unmeasured(self, node: str) -> Mapping[str, tuple[str, ...]]: ...


class Planning(Protocol):
    """The running scheduling service."""

    @property
    def problems(self) -> tuple[str, ...]: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def planned(self) -> tuple[Occurrence, ...]: ...


class UnknownOccurrence(LookupError):
    """No such airing in the ledger; the text names the nearest ones."""


class Reporting:
    """Read models over the store. `settings` is replaced at every reload."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        clock: Clock,
        monitoring: Live | None = None,
        scheduling: Planning | None = None,
        standby: bool = False,
    ) -> None:
        self.standby = standby
        """Whether this speaks for a controller that waits for another one's end."""
        self._settings = settings
        self._store = store
        self._clock = clock
        self._monitoring = monitoring
        self._scheduling = scheduling

    def reload(self, settings: Settings) -> None:
        """Speak of another configuration from now on."""
        self._settings = settings

    async def status(self) -> Plain:
        """The state of the whole in one screen: who leads, counts, problems, what is next."""
        return {**await self._read(lambda reader: reader.status()), "standby": self.standby}

    async def nodes(self, wanted: Wanted = Wanted()) -> Plain:  # noqa: B008 - it is frozen
        """The communes with those of their nodes that are wanted, a page of them: state, faults, what each plays, when
        it was last heard of. `total` nodes are wanted; `next` is the offset of the following page, or None."""
        return await self._read(lambda reader: reader.nodes(wanted))

    async def communes(self) -> Plain:
        """Every commune with how many of its nodes are in each state, and have faults."""
        return await self._read(lambda reader: reader.communes())

    async def node(self, id: str) -> Plain:
        """One node in full: also what cannot be judged there, its self-tests and its commissionings, newest first.
        KeyError: there is no such node."""
        if id not in self._settings.nodes:
            raise KeyError(f"unknown node '{id}'")
        unmeasured = self._monitoring.unmeasured(id) if self._monitoring else {}
        return await self._read(lambda reader: reader.node(id, unmeasured))

    async def incidents(self, all: bool = False) -> Plain:
        """Open incidents, worst first; with `all` those of the last 30 days too, newest first."""
        return await self._read(lambda reader: reader.incidents(all))

    async def orders(self, all: bool = False, person: str = "", overdue: bool = False) -> Plain:
        """Live work orders, the one that is due first at the top; with `all` those that ended within 30 days too. Only
        those of `person`, only those that are overdue."""
        return await self._read(lambda reader: reader.orders(all, person, overdue))

    async def order(self, id: int) -> Plain:
        """One incident with its work order, its pictures and the whole history. KeyError if there is none."""
        return await self._read(lambda reader: reader.order(id))

    async def month(self, month: str, commune: str = "") -> Plain:
        """The figures of a month written as 2026-11, of the whole site or one commune. ValueError: no such month."""
        start, end = monthreport.bounds(month, self._settings.site.zone)
        return await self._read(lambda reader: reader.month(month, start, end, commune))

    async def behind(self, ticket: Ticket) -> Plain:
        """What the page behind a link shows: `standing`, the `language` of its recipient, and the `order` with how its
        history reads for people and whom to call; None if there is none."""
        return await self._read(lambda reader: reader.behind(ticket))

    async def alerts(self) -> Plain:
        """Who is on call now, and what nobody is told of now or later."""
        return await self._read(lambda reader: reader.alerts())

    async def changes(self, limit: int = 20) -> Plain:
        """What edits of the configuration changed of the plan, and what was refused, newest first."""
        return await self._read(lambda reader: reader.changes(limit))

    async def plan(self) -> tuple[Occurrence, ...]:
        """What the rules let nodes hold, as the running controller or its database has it; no orders of the moment."""
        now = self._clock.now()
        ordered = {row.id for row in await self._store.read(lambda tx: tx.now_rows(now))}
        if self._scheduling is not None:
            held = self._scheduling.planned
        else:
            held = held_by(await self._store.read(lambda tx: documents(tx.desired())))
        return tuple(one for one in held if one.id not in ordered)

    async def air(self) -> Plain:
        """What is on air now, and the next 24 hours."""
        return await self._read(lambda reader: reader.air())

    async def emergencies(self) -> Plain:
        """Emergencies going on, and those of the last day, newest first, each with all its nodes."""
        playing = self._playing_now()
        return await self._read(lambda reader: reader.emergencies(playing))

    async def emergency(self, id: str) -> Plain:
        """One emergency with all its nodes; UnknownOccurrence when there never was one."""
        playing = self._playing_now()
        return await self._read(lambda reader: reader.emergency(id, playing))

    def _playing_now(self) -> dict[str, str]:
        """What each node's last heartbeat says that it plays."""
        return {id: view.playing for id, view in self._monitoring.view().items()} if self._monitoring else {}

    async def log(self, day: date) -> Plain:
        """The as-run report of one local day: every occurrence that started then, node by node."""
        return await self._read(lambda reader: reader.log(day))

    async def why(self, occurrence: str, node: str | None = None) -> Plain:
        """The whole story of one airing, in order, per node. UnknownOccurrence when the ledger has none such;
        KeyError when it was never meant for `node`."""
        return await self._read(lambda reader: reader.why(occurrence, node))

    async def _read(self, work: Callable[[_Reader], Plain]) -> Plain:
        """Run `work` beside the transactions, in a thread: what the event loop changes is copied first."""
        settings, now = self._settings, self._clock.now()
        live = {id: _live(view) for id, view in self._monitoring.view().items()} if self._monitoring else {}
        problems = tuple(str(each) for each in self._scheduling.problems) if self._scheduling else ()
        warnings = self._scheduling.warnings if self._scheduling else settings.warnings
        return await self._store.read(lambda tx: work(_Reader(tx, settings, now, live, problems, warnings)))


class _Reader:
    """One reading of everything at one moment, inside one transaction."""

    def __init__(
        self,
        tx: Tx,
        settings: Settings,
        now: datetime,
        live: Mapping[str, Plain],
        problems: tuple[str, ...],
        warnings: tuple[str, ...],
    ) -> None:
        self._tx = tx
        self._settings = settings
        self._rules = {**centre.RULES, **{rule.code: rule for rule in settings.faults}}
        self._people = {person.id: person.name for person in settings.alerts.people}
        self._now = now
        self._live = live
        self._problems = problems
        self._warnings = warnings

    # --- status ---------------------------------------------------------------------------------------------

    def status(self) -> Plain:
        states = [view["state"] for view in self._states().values()]
        air = self.air()
        site = self._settings.site
        return {
            "now": shape.iso(self._now),
            "site": {"id": site.id, "name": site.name, "zone": site.zone.key, "language": site.language},
            "epoch": self._tx.epoch(),
            "leader": self._leader(),
            "nodes": {"total": len(states), **{each.value: states.count(each.value) for each in Liveness}},
            "incidents": self._incident_counts(self._tx.open_incidents()),
            "air": {
                "on_air": len(air["on_air"]),
                "titles": [each["title"] for each in air["on_air"]],
                "next": next(_due(air["next"]), None),
                "not_ready": [
                    each for each in _due(air["next"]) if each["preflight"] and each["preflight"]["not_ready"]
                ],
            },
            "config": {
                "problems": list(self._problems),
                "warnings": list(self._warnings),
                "last_change": next(iter(self._changes(1, (changelog.TAKEN,))), None),
            },
        }

    def _leader(self) -> Plain | None:
        leader = leader_of(self._tx)
        return {"instance": leader.instance, "url": leader.url} if leader else None

    def _incident_counts(self, rows: Sequence[Incident]) -> Plain:
        causes = [row for row in rows if row.parent is None]
        return {"open": len(causes), "explained": len(rows) - len(causes), **shape.severities(causes)}

    def changes(self, limit: int) -> Plain:
        rows = self._changes(limit, (changelog.TAKEN, changelog.REFUSED))
        return {"now": shape.iso(self._now), "changes": rows}

    def _changes(self, limit: int, what: Collection[str]) -> list[Plain]:
        return [changelog.shown(row) for row in self._tx.audits(limit, what)]

    # --- nodes ----------------------------------------------------------------------------------------------

    def nodes(self, wanted: Wanted) -> Plain:
        known = self._known()
        page = finding.page(self._matching(wanted, known), wanted)
        shown = _grouped(page.found, lambda node: node.commune)
        return {
            "now": shape.iso(self._now),
            "total": page.total,
            "offset": wanted.offset,
            "next": page.next,
            "communes": [
                {**self._commune(zone, known), "nodes": [self._node(node, known) for node in shown.get(zone.id, ())]}
                for zone in self._communes()
                if zone.id in shown
            ],
        }

    def communes(self) -> Plain:
        known = self._known()
        return {"now": shape.iso(self._now), "communes": [self._commune(zone, known) for zone in self._communes()]}

    def _communes(self) -> list[Zone]:
        return [zone for zone in self._settings.zones.values() if zone.is_commune]

    def _known(self) -> _Known:
        return _Known(
            states=self._states(),
            faults=_grouped(self._confirmed(), lambda row: row.node),
            playing=self._playing(),
            wanted=self._tx.wanted(),
        )

    def _matching(self, wanted: Wanted, known: _Known) -> list[Node]:
        settings = self._settings
        by_commune = [settings.nodes[id] for zone in self._communes() for id in zone.nodes]
        return finding.matching(
            by_commune,
            wanted,
            lambda place: shape.commune_name(settings, place),
            lambda node: str(known.states[node]["state"]),
            lambda node: bool(known.faults.get(node)),
        )

    def _confirmed(self) -> list[FaultRow]:
        """Faults that have been bad for their hold time; suspicions are no news."""
        return [row for row in self._tx.faults() if row.state in CONFIRMED]

    def _states(self) -> dict[str, Plain]:
        stored = self._tx.nodes()
        return {id: {**_stored(stored.get(id)), **self._live.get(id, {})} for id in self._settings.nodes}

    def _playing(self) -> dict[str, Plain]:
        sounding = [each for each in self._tx.sounding() if each.state is DeliveryState.SOUNDING]
        rows = {id: self._tx.occurrence(id) for id in {each.occurrence for each in sounding}}
        return {each.node: _played(each, rows[each.occurrence]) for each in sounding}

    def node(self, id: str, unmeasured: Mapping[str, tuple[str, ...]]) -> Plain:
        node, tests = self._settings.nodes[id], self._tx.selftests(id)
        known = _Known(
            states={id: {**_stored(self._tx.nodes().get(id)), **self._live.get(id, {})}},
            faults=_grouped(self._confirmed(), lambda row: row.node),
            playing=self._playing(),
            wanted=self._tx.wanted(),
        )
        metrics, rules = self._settings.metrics, self._rules
        return {
            "now": shape.iso(self._now),
            **self._node(node, known),
            "unmeasured": [shape.unmeasured(rules[code], names, metrics) for code, names in unmeasured.items()],
            "selftests": [shape.selftest(test, metrics) for test in tests],
            "trends": trends(tests, self._tx.baselines(id), self._settings.faults, metrics),
            "commissioning": [
                shape.compared(each, metrics) for test in tests[:1] for each in compared(self._tx, self._settings, test)
            ],
            "commissioned": [shape.commissioned(one, metrics) for one in reversed(self._tx.baselines(id))],
        }

    def _commune(self, zone: Zone, known: _Known) -> Plain:
        states = [known.states[id]["state"] for id in zone.nodes]
        return {
            "id": zone.id,
            "name": zone.name,
            "counts": {"total": len(states), **{each.value: states.count(each.value) for each in Liveness}},
            "faulty": sum(id in known.faults for id in zone.nodes),
        }

    def _node(self, node: Node, known: _Known) -> Plain:
        wanted = known.wanted.get(node.id)
        return {
            "id": node.id,
            "name": node.name,
            "model": node.model,
            "place": shape.place(node, self._settings),
            **known.states[node.id],
            "wanted": {"epoch": wanted[0], "rev": wanted[1]} if wanted else None,
            "playing": known.playing.get(node.id),
            "faults": [self._fault(row) for row in known.faults.get(node.id, ())],
        }

    def _fault(self, row: FaultRow) -> Plain:
        return shape.fault(row, self._rules.get(row.code), self._settings.metrics)

    # --- incidents ------------------------------------------------------------------------------------------

    def incidents(self, everything: bool) -> Plain:
        rows = self._tx.incidents(self._now - BEHIND) if everything else sorted(self._tx.open_incidents(), key=_urgency)
        orders = {order.incident: order for order in self._tx.work_orders()}
        climbs, hushes = self._tx.climbs(row.id for row in rows), self._hushes()
        sent, events = self._tx.outbox_of(row.id for row in rows), self._tx.incident_events_of(row.id for row in rows)
        children = _grouped((row for row in rows if row.parent is not None), lambda row: row.parent)
        return {
            "now": shape.iso(self._now),
            "incidents": [
                {
                    **self._incident(row, orders.get(row.id), children.get(row.id, ()), sent[row.id], events[row.id]),
                    **self._telling(row, sent[row.id], climbs.get(row.id), hushes),
                    "photos": self._photos(row.id),
                }
                for row in rows
            ],
        }

    def _photos(self, incident: int) -> list[Plain]:
        return [shape.photo(each, self._people) for each in self._tx.work_photos(incident)]

    def _telling(
        self, row: Incident, sent: Sequence[OutboxRow], climb: ClimbRow | None, hushes: Sequence[Hush]
    ) -> Plain:
        zone, is_open = self._settings.site.zone, row.state in OPEN_STATES
        silenced = hushed_by(row, hushes, self._now, zone) if is_open else None
        return shape.telling(sent, climb, silenced, self._people, self._now, zone)

    def _hushes(self) -> list[Hush]:
        every = (*self._settings.alerts.hushes, *self._tx.hushes(self._now))
        return [hush for hush in every if not hush.over(self._now)]

    def alerts(self) -> Plain:
        zone, alerts = self._settings.site.zone, self._settings.alerts
        return {
            "now": shape.iso(self._now),
            "on_call": {
                role: [self._people.get(id, id) for id in on_call(shifts, self._now, zone)]
                for role, shifts in alerts.on_call.items()
            },
            "until": {role: shape.iso(until(shifts, self._now, zone)) for role, shifts in alerts.on_call.items()},
            "communes": [shape.told_of_commune(commune, self._settings) for commune in self._communes()],
            "silences": [shape.hush(hush, self._now, zone) for hush in self._hushes()],
        }

    def _rule(self, incident: Incident) -> FaultRule | None:
        """What follows a `:` in a cause only tells several of one kind apart."""
        return self._rules.get(incident.cause.partition(":")[0])

    def _incident(
        self,
        row: Incident,
        order: WorkOrder | None,
        children: Sequence[Incident],
        sent: Sequence[OutboxRow],
        events: Iterable[IncidentEvent],
    ) -> Plain:
        return {
            **shape.incident(row, self._settings, self._rule(row)),
            "acknowledged_by_name": self._people.get(row.acknowledged_by, row.acknowledged_by),
            "children": [child.id for child in children],
            "messages": shape.messages(sent),
            "work_order": shape.work_order(order, self._people, self._now),
            "history": shape.history(events, self._people),
        }

    def orders(self, everything: bool, person: str, overdue: bool) -> Plain:
        found = [row for row in self._tx.work_orders(live=not everything) if self._is_recent(row)]
        if person:
            found = [row for row in found if row.assignee == person]
        if overdue:
            found = [row for row in found if is_overdue(row, self._now)]
        found.sort(key=lambda row: (row.closed_at is not None, row.due_at))
        return {"now": shape.iso(self._now), "orders": [self._order(row) for row in found]}

    def _is_recent(self, row: WorkOrder) -> bool:
        return row.closed_at is None or row.closed_at >= self._now - BEHIND

    def _order(self, row: WorkOrder) -> Plain:
        incident = self._tx.incident(row.incident)
        told = shape.incident(incident, self._settings, self._rule(incident)) if incident else {}
        return {**told, "work_order": shape.work_order(row, self._people, self._now)}

    def order(self, id: int) -> Plain:
        row = self._tx.incident(id)
        if row is None:
            raise KeyError(f"there is no incident {id}")
        order, sent, events = self._tx.work_order(id), self._tx.outbox(id), self._tx.incident_events(id)
        told = self._incident(row, order, (), sent, events)
        return {"now": shape.iso(self._now), **told, "photos": self._photos(id)}

    def month(self, month: str, start: datetime, end: datetime, commune: str) -> Plain:
        log = monthreport.read(self._tx, self._settings, start, end)
        made = monthly.report(monthreport.only(log, commune) if commune else log, start, end, self._now)
        return {"month": month, "now": shape.iso(self._now), **monthreport.plain(made, self._settings, commune)}

    def behind(self, ticket: Ticket) -> Plain:
        incident, rows = self._tx.incident(ticket.incident), self._tx.outbox(ticket.incident)
        speaks = {person.id: person.language for person in self._settings.alerts.people}
        order = self.order(ticket.incident) if incident else None
        if incident and order:
            node = self._settings.nodes.get(incident.subject)
            order["keeper"] = {"name": node.keeper if node else "", "phone": node.keeper_phone if node else ""}
            events = self._tx.incident_events(ticket.incident)
            order["history"] = [shape.happened(event, self._people) for event in events if shape.is_told(event)]
        return {
            "standing": standing(ticket, incident, rows, speaks, self._now),
            "language": speaks.get(ticket.recipient, self._settings.site.language),
            "order": order,
        }

    # --- air ------------------------------------------------------------------------------------------------

    def air(self) -> Plain:
        rows = self._tx.occurrences(self._now, self._now + AHEAD)
        sounding = {each.occurrence for each in self._tx.sounding()}
        late = [self._tx.occurrence(id) for id in sorted(sounding - {row.id for row in rows})]
        rows = [row for row in late if row] + rows
        deliveries = _grouped(self._tx.deliveries_of([row.id for row in rows]), lambda each: each.occurrence)
        current = [row for row in rows if row.id in sounding or (row.start <= self._now and not row.cancelled_at)]
        coming = [row for row in rows if row not in current and row.start > self._now]
        looked = self._tx.preflights([row.id for row in coming])
        return {
            "now": shape.iso(self._now),
            "on_air": [shape.on_air(row, deliveries.get(row.id, []), self._settings, self._now) for row in current],
            "next": [self._upcoming(row, deliveries.get(row.id, []), looked.get(row.id)) for row in coming],
        }

    def _upcoming(self, row: OccurrenceRow, deliveries: Sequence[Delivery], looked: PreflightRow | None) -> Plain:
        return shape.upcoming(row, deliveries, looked, self._settings)

    # --- as-run ---------------------------------------------------------------------------------------------

    def log(self, day: date) -> Plain:
        zone = self._settings.site.zone
        start = datetime.combine(day, time(), zone)
        end = datetime.combine(day + timedelta(days=1), time(), zone)
        rows = [row for row in self._tx.occurrences(start, end) if start <= row.start < end]
        deliveries = _grouped(self._tx.deliveries_of([row.id for row in rows]), lambda each: each.occurrence)
        logged = [self._logged(row, deliveries.get(row.id, [])) for row in rows]
        urgent = [self._urgent(row) for row in self._tx.emergencies(start, end)]
        logged = sorted(logged + urgent, key=lambda each: str(each["start"])) if urgent else logged
        return {"date": day.isoformat(), "zone": zone.key, "now": shape.iso(self._now), "occurrences": logged}

    def _logged(self, row: OccurrenceRow, deliveries: Sequence[Delivery]) -> Plain:
        lines = [shape.as_run(each, row, self._settings, self._now) for each in deliveries]
        return {**shape.occurrence(row), "counts": count(map(shape.heard_of, lines)), "nodes": lines}

    # --- emergencies ----------------------------------------------------------------------------------------

    def emergencies(self, playing: Mapping[str, str]) -> Plain:
        rows = {row.id: row for row in self._tx.emergencies(self._now - AHEAD, self._now + AHEAD)}
        rows |= {row.id: row for row in self._tx.current_emergencies() if row.active}
        told = self._emergencies(sorted(rows.values(), key=lambda row: row.ordered_at, reverse=True), playing)
        return {
            "now": shape.iso(self._now),
            "active": [each for each in told if each["active"]],
            "recent": [each for each in told if not each["active"]],
            "sounds": [sound.name for sound in self._settings.site.emergency_sounds],
        }

    def emergency(self, id: str, playing: Mapping[str, str]) -> Plain:
        row = self._tx.emergency(id)
        if row is None:
            raise UnknownOccurrence(f"unknown emergency '{id}'")
        return {"now": shape.iso(self._now), **self._emergencies([row], playing)[0]}

    def _emergencies(self, rows: Sequence[EmergencyRow], playing: Mapping[str, str]) -> list[Plain]:
        liveness = {id: view["state"] for id, view in self._states().items()} if rows else {}
        seen = emergencyreport.Seen(playing, liveness)
        return emergencyreport.listed(self._tx, rows, self._settings, seen, self._now)

    def _urgent(self, row: EmergencyRow, node: str | None = None) -> Plain:
        """An emergency as the as-run report tells of occurrences."""
        if node is not None and node not in row.nodes:
            raise KeyError(f"{row.id} was never meant for {node}")
        return emergencyreport.as_occurrence(row, self._emergencies([row], {})[0], node)

    # --- why ------------------------------------------------------------------------------------------------

    def why(self, id: str, node: str | None) -> Plain:
        row = self._tx.occurrence(id)
        if row is None and (emergency := self._tx.emergency(id)) is not None:
            return {"now": shape.iso(self._now), **self._urgent(emergency, node)}
        if row is None:
            raise UnknownOccurrence(_unknown(id, self._tx.occurrences(self._now - BEHIND, self._now + 8 * AHEAD)))
        deliveries = [each for each in self._tx.deliveries(id) if node is None or each.node == node]
        if node is not None and not deliveries:
            raise KeyError(f"{id} was never meant for {node}")
        near = [each for each in self._incidents_since(row.start - BEHIND) if _overlaps(each, row)]
        told = _OfAll(
            story.of_all(self._tx, row, self._settings), self._tx.preflights([id]).get(id), len(deliveries) <= WHOLE
        )
        return {
            "now": shape.iso(self._now),
            **shape.occurrence(row),
            "counts": count(map(shape.heard_of, self._logged(row, deliveries)["nodes"])),
            "rule": story.rule(row, self._settings),
            "nodes": [self._told(row, each, near, told) for each in deliveries],
        }

    def _incidents_since(self, since: datetime) -> list[Incident]:
        """Those that changed since, and those still open however old."""
        rows = {row.id: row for row in (*self._tx.incidents(since), *self._tx.open_incidents())}
        return list(rows.values())

    def _told(self, row: OccurrenceRow, each: Delivery, near: Sequence[Incident], told: _OfAll) -> Plain:
        steps = [*told.steps, *story.of_node(self._tx, row, each, told.looked, self._settings, whole=told.whole)]
        steps += [self._beside(incident) for incident in near if story.concerns(incident, each.node)]
        line = shape.as_run(each, row, self._settings, self._now)
        return {**line, "story": sorted(steps, key=lambda step: str(step["at"]))}

    def _beside(self, row: Incident) -> Plain:
        title = shape.incident_title(row, self._rule(row))
        said = Text(f"Sự cố {row.id}: {title.vi}", f"Incident {row.id}: {title.en}")
        return shape.step(row.opened_at, "incident", said, source="controller", detail={"incident": row.id})


@dataclass(frozen=True, slots=True)
class _OfAll:
    """What the stories of all nodes of one airing share."""

    steps: Sequence[Plain]
    looked: PreflightRow | None
    whole: bool


class _Known:
    """Everything that was read for the nodes' page, by node."""

    def __init__(
        self,
        states: Mapping[str, Plain],
        faults: Mapping[str, Sequence[FaultRow]],
        playing: Mapping[str, Plain],
        wanted: Mapping[str, tuple[int, int]],
    ) -> None:
        self.states = states
        self.faults = faults
        self.playing = playing
        self.wanted = wanted


def documents(desired: Mapping[str, Desired]) -> dict[str, tuple[Playlist, ...]]:
    """The playlists of every node's newest document."""
    return {node: payload_of(PlaylistsDoc, row.document).playlists for node, row in desired.items()}


def _stored(row: NodeRow | None) -> Plain:
    if row is None:
        return _believed(Liveness.UNKNOWN, None, None, {}, "", (0, 0))
    held = (row.held_epoch, row.held_rev)
    return _believed(Liveness(row.liveness), row.since, row.seen_at, row.metrics or {}, row.firmware, held)


def _live(view: LiveNode) -> Plain:
    held = (view.held_epoch, view.held_rev)
    return _believed(view.liveness, view.since, view.seen_at, view.metrics, view.firmware, held)


def _believed(
    state: Liveness,
    since: datetime | None,
    seen_at: datetime | None,
    metrics: Mapping[str, Value],
    firmware: str,
    held: tuple[int, int],
) -> Plain:
    return {
        "state": state.value,
        "since": shape.iso(since),
        "seen_at": shape.iso(seen_at),
        "metrics": dict(metrics),
        "firmware": firmware,
        "held": {"epoch": held[0], "rev": held[1]} if held != (0, 0) else None,
    }


def _played(each: Delivery, row: OccurrenceRow | None) -> Plain:
    return {
        "occurrence": each.occurrence,
        "title": row.title if row else each.occurrence,
        "since": shape.iso(each.started_at or each.at),
        "end": shape.iso(row.end) if row else None,
    }


def _due(coming: Iterable[Plain]) -> Iterator[Plain]:
    return (each for each in coming if each["cancelled_at"] is None)


def _urgency(row: Incident) -> tuple[bool, int, datetime]:
    order = ("critical", "major", "minor")
    return (row.parent is not None, order.index(row.severity), row.opened_at)


def _overlaps(incident: Incident, row: OccurrenceRow) -> bool:
    closed = incident.closed_at
    return incident.opened_at <= row.end + AROUND and (closed is None or closed >= row.start - AROUND)


def _unknown(id: str, near: Sequence[OccurrenceRow]) -> str:
    likely = difflib.get_close_matches(id, [row.id for row in near], n=3, cutoff=0.5)
    return f"unknown occurrence '{id}'" + (f" (did you mean {', '.join(likely)}?)" if likely else "")


def _grouped(rows: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


__all__ = ["Live", "LiveNode", "Planning", "Reporting", "UnknownOccurrence"]
