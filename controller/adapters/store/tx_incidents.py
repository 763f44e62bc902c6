"""Incidents, their histories and their work orders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import delete, insert, select, union, update

from controller.adapters.store import schema
from controller.adapters.store.mapping import Mapped, chunks, insert_into
from controller.adapters.store.tx_base import TxBase
from controller.domain.canary import SCOPE
from controller.domain.incidents import OPEN_STATES, Incident, IncidentEvent
from controller.domain.workorders import ENDED, WorkOrder, WorkOrderEvent, WorkPhoto

INCIDENTS = Mapped(schema.incidents, Incident)
EVENTS = Mapped(schema.incident_events, IncidentEvent)
WORK_ORDERS = Mapped(schema.work_orders, WorkOrder)
ORDER_EVENTS = Mapped(schema.work_order_events, WorkOrderEvent)
PHOTOS = Mapped(schema.work_photos, WorkPhoto)


class IncidentsTx(TxBase):
    def new_incident(self, incident: Incident) -> Incident:
        values = INCIDENTS.values(incident)
        del values["id"]
        numbered = insert(schema.incidents).values(values).returning(schema.incidents.c.id)
        return replace(incident, id=self.conn.execute(numbered).scalar_one())

    def put_incident(self, incident: Incident) -> None:
        values = INCIDENTS.values(incident)
        changed = update(schema.incidents).where(schema.incidents.c.id == incident.id).values(values)
        if self.conn.execute(changed).rowcount == 0:
            raise KeyError(f"no incident {incident.id}")

    def incident(self, id: int) -> Incident | None:
        return INCIDENTS.first(self.conn, INCIDENTS.select().where(schema.incidents.c.id == id))

    def open_incidents(self, *, canary: bool = False) -> list[Incident]:
        rows = schema.incidents.c
        found = INCIDENTS.select().where(rows.state.in_(sorted(OPEN_STATES))).order_by(rows.id)
        return INCIDENTS.all(self.conn, found if canary else found.where(rows.scope != SCOPE))

    def incidents(self, since: datetime, *, canary: bool = False) -> list[Incident]:
        rows = schema.incidents.c
        # two questions and not one OR: with that SQLite walks through all incidents there ever were
        recent = union(select(rows.id).where(rows.opened_at >= since), select(rows.id).where(rows.updated_at >= since))
        found = INCIDENTS.select().where(rows.id.in_(recent)).order_by(rows.opened_at.desc(), rows.id.desc())
        return INCIDENTS.all(self.conn, found if canary else found.where(rows.scope != SCOPE))

    def prune_canaries(self) -> None:
        rows, messages, tries = schema.incidents.c, schema.outbox.c, schema.outbox_attempts.c
        ids = list(self.conn.execute(select(rows.id).where(rows.scope == SCOPE).order_by(rows.id)).scalars())
        told = select(messages.id).where(messages.incident.in_(ids))
        self.conn.execute(delete(schema.outbox_attempts).where(tries.outbox.in_(told)))
        self.conn.execute(delete(schema.outbox).where(messages.incident.in_(ids)))
        self.conn.execute(delete(schema.incident_events).where(schema.incident_events.c.incident.in_(ids)))
        self.conn.execute(delete(schema.climbs).where(schema.climbs.c.incident.in_(ids)))
        self.conn.execute(delete(schema.incidents).where(rows.id.in_(ids[:-1])))

    def put_incident_event(self, event: IncidentEvent) -> None:
        self.conn.execute(insert(schema.incident_events), EVENTS.values(event))

    def incident_events(self, incident: int) -> list[IncidentEvent]:
        rows = schema.incident_events.c
        found = EVENTS.select().where(rows.incident == incident).order_by(rows.at, rows.id)
        return EVENTS.all(self.conn, found)

    def incident_events_of(self, incidents: Iterable[int]) -> dict[int, list[IncidentEvent]]:
        rows = schema.incident_events.c
        found: dict[int, list[IncidentEvent]] = {id: [] for id in incidents}
        for chunk in chunks(found):
            query = EVENTS.select().where(rows.incident.in_(chunk)).order_by(rows.at, rows.id)
            for event in EVENTS.all(self.conn, query):
                found[event.incident].append(event)
        return found

    def put_work_order(self, order: WorkOrder) -> None:
        WORK_ORDERS.put(self.conn, [order])

    def work_order(self, incident: int) -> WorkOrder | None:
        found = WORK_ORDERS.select().where(schema.work_orders.c.incident == incident)
        return WORK_ORDERS.first(self.conn, found)

    def work_orders(self, live: bool = False) -> list[WorkOrder]:
        rows = schema.work_orders.c
        found = WORK_ORDERS.select().order_by(rows.incident)
        return WORK_ORDERS.all(self.conn, found.where(rows.state.not_in(sorted(ENDED))) if live else found)

    def put_work_order_event(self, event: WorkOrderEvent) -> None:
        self.conn.execute(insert(schema.work_order_events), ORDER_EVENTS.values(event))

    def work_order_events_of(self, incidents: Iterable[int]) -> dict[int, list[WorkOrderEvent]]:
        rows = schema.work_order_events.c
        found: dict[int, list[WorkOrderEvent]] = {id: [] for id in incidents}
        for chunk in chunks(found):
            query = ORDER_EVENTS.select().where(rows.incident.in_(chunk)).order_by(rows.at, rows.id)
            for event in ORDER_EVENTS.all(self.conn, query):
                found[event.incident].append(event)
        return found

    def put_work_photo(self, photo: WorkPhoto) -> None:
        added = insert_into(schema.work_photos, self.dialect).values(PHOTOS.values(photo))
        self.conn.execute(added.on_conflict_do_nothing(index_elements=["incident", "sha256"]))

    def work_photos(self, incident: int) -> list[WorkPhoto]:
        rows = schema.work_photos.c
        return PHOTOS.all(self.conn, PHOTOS.select().where(rows.incident == incident).order_by(rows.at, rows.id))

    def use_once(self, nonce: str, at: datetime) -> bool:
        used = insert_into(schema.used_nonces, self.dialect).values(nonce=nonce, at=at)
        added = used.on_conflict_do_nothing().returning(schema.used_nonces.c.nonce)
        return self.conn.execute(added).first() is not None

    def prune_used(self, before: datetime, limit: int = 5000) -> int:
        rows = schema.used_nonces.c
        old = select(rows.nonce).where(rows.at < before).order_by(rows.at).limit(limit)
        return self.conn.execute(delete(schema.used_nonces).where(rows.nonce.in_(old))).rowcount
