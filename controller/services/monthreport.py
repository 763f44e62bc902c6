"""The month's report between the store's rows, domain/monthly.py and whoever prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from controller.domain.delivery import DeliveryEvent
from controller.domain.maintenance import windows
from controller.domain.monthly import CONTROLLER, Figures, Log, Place, Report
from controller.domain.site import Settings
from controller.ports import Tx
from controller.services.readmodels import Plain, commune_name, iso

BEYOND = timedelta(minutes=10)
"""A suspect at the end of a month has its verdict by then."""


def bounds(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Local midnight at both ends of a month written as 2026-11; ValueError for another text."""
    try:
        start = datetime.strptime(month, "%Y-%m").replace(tzinfo=zone)
    except ValueError:
        raise ValueError(f"'{month[:20]}' is not a month; write it as 2026-11") from None
    return start, (start + timedelta(days=32)).replace(day=1)


def read(tx: Tx, settings: Settings, start: datetime, end: datetime) -> Log:
    """The raw rows of [start, end)."""
    incidents = {row.id: row for row in (*tx.incidents(start), *tx.open_incidents()) if row.opened_at < end}
    airings = {row.id: row for row in tx.occurrences(start, end) if start <= row.start < end}
    deliveries: dict[tuple[str, str], list[DeliveryEvent]] = {
        (each.occurrence, each.node): [] for each in tx.deliveries_of(sorted(airings))
    }
    for id in airings:
        for event in tx.delivery_events(id):
            deliveries.setdefault((id, event.node), []).append(event)
    heard = groupby(tx.node_events(start, end + BEYOND), key=lambda event: event.node)
    return Log(
        places={node.id: Place(node.commune, node.model) for node in settings.nodes.values()},
        nodes={node: list(events) for node, events in heard},
        maintenance=windows(tx.maintenance_events(start, end), end),
        incidents=incidents,
        incident_events=tx.incident_events_of(incidents),
        order_events=tx.work_order_events_of(incidents),
        occurrences=airings,
        deliveries=deliveries,
    )


def only(log: Log, commune: str) -> Log:
    """Those rows of `log` that are about `commune`."""
    places = {node: place for node, place in log.places.items() if place.commune == commune}
    incidents = {id: row for id, row in log.incidents.items() if row.commune == commune}
    return replace(
        log,
        places=places,
        nodes={node: events for node, events in log.nodes.items() if node in places or node == CONTROLLER},
        incidents=incidents,
        deliveries={key: events for key, events in log.deliveries.items() if key[1] in places},
    )


def plain(report: Report, settings: Settings, commune: str = "") -> Plain:
    return {
        "site": settings.site.name,
        "zone": settings.site.zone.key,
        "start": iso(report.start),
        "end": iso(report.end),
        "commune": {"id": commune, "name": commune_name(settings, commune)} if commune else None,
        "total": figures(report.total),
        "communes": _rows(report.communes, {id: commune_name(settings, id) for id in report.communes}),
        "models": _rows(report.models, {}),
    }


def _rows(groups: Mapping[str, Figures], names: Mapping[str, str]) -> list[Plain]:
    return [{"id": id, "name": names.get(id, id), **figures(each)} for id, each in groups.items()]


def figures(of: Figures) -> Plain:
    """Sums and what follows from them; None where there is nothing to divide by."""
    derived = {
        "availability": of.availability,
        "mtta_s": of.mtta_s,
        "mttr_s": of.mttr_s,
        "verified_share": of.verified_share,
    }
    return {**derived, **asdict(of)}


__all__ = ["bounds", "figures", "only", "plain", "read"]
