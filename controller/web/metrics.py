"""Prometheus figures, gathered at each scrape; names are stable (docs/maintainer.md lists them)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.domain.delivery import DeliveryState
from controller.domain.escalation import OutboxState
from controller.domain.watching import Vitals, ailments
from controller.services.gauges import BOUNDS_S, Gauges, Histogram, Tally
from controller.services.readmodels import Plain

LIVENESS = ("online", "suspect", "offline", "unknown")
SEVERITY = ("critical", "major", "minor")
ARRIVED = ("heartbeat", "status", "journal", "fault")
"""Counters of what came; all others are of what was dropped."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One moment."""

    status: Plain
    counters: Mapping[str, int]
    tally: Tally
    vitals: Vitals
    gauges: Gauges
    loop_lag_s: float = 0.0
    canary_s: float | None = None
    flights: Mapping[str, int] = field(default_factory=dict)
    pings: Mapping[str, int] = field(default_factory=dict)


def exposition(figures: Figures) -> bytes:
    """The text format of `figures`, from a registry of their own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(figures))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        yield from _network(self._figures)
        yield from _messages(self._figures)
        yield from _air(self._figures)
        yield from _controller(self._figures)
        yield from _watching(self._figures)


def _network(figures: Figures) -> Iterator[Metric]:
    status, tally = figures.status, figures.tally
    yield _labelled("loa_nodes", "Nodes by state", "state", {key: status["nodes"][key] for key in LIVENESS})
    open_ = {key: status["incidents"][key] for key in SEVERITY}
    yield _labelled("loa_incidents_open", "Open incidents that no other explains", "severity", open_)
    causes = GaugeMetricFamily("loa_incident_causes", "The same by cause", labels=["severity", "cause"])
    for (severity, cause), count in sorted(tally.incidents.items()):
        causes.add_metric([severity, cause], count)
    yield causes
    counters = figures.counters
    yield _counted("loa_intake", "What came from nodes, by what became of it", "what", counters)
    heard = CounterMetricFamily("loa_heartbeats_received", "Heartbeats of nodes of this site")
    heard.add_metric([], counters.get("heartbeat", 0))
    yield heard
    dropped = CounterMetricFamily("loa_messages_dropped", "Messages from the broker that were refused or not stored")
    dropped.add_metric([], sum(number for what, number in counters.items() if what not in ARRIVED))
    yield dropped
    yield _gauge("loa_journal_backlog", "Journal entries missing before later ones", tally.journal_backlog)


def _messages(figures: Figures) -> Iterator[Metric]:
    outbox = {state.value: figures.tally.outbox.get(state, 0) for state in OutboxState}
    yield _labelled("loa_outbox", "Messages to people by state", "state", outbox)
    due = figures.vitals.outbox_due_s
    yield _gauge("loa_outbox_oldest_due_seconds", "How long the oldest due message has been due", due or 0)
    sent = CounterMetricFamily("loa_notifications", "Tries to send, by channel and outcome", labels=["kind", "outcome"])
    for (kind, outcome), number in sorted(figures.gauges.messages.items()):
        sent.add_metric([kind, outcome], number)
    yield sent


def _air(figures: Figures) -> Iterator[Metric]:
    tally = figures.tally
    yield _gauge("loa_on_air", "Occurrences on air", figures.status["air"]["on_air"])
    today = {"planned": tally.occurrences, "cancelled": tally.cancelled}
    yield _labelled("loa_occurrences_today", "Occurrences that start today", "state", today)
    states = {state.value: tally.deliveries.get(state, 0) for state in DeliveryState}
    yield _labelled("loa_deliveries_today", "Occurrences of today times nodes, by what became of it", "state", states)


def _controller(figures: Figures) -> Iterator[Metric]:
    status, gauges = figures.status, figures.gauges
    yield _gauge("loa_up", "1 while /health is green", not ailments(figures.vitals))
    yield _gauge("loa_leader", "1 while this controller leads, 0 while it stands by", figures.vitals.leads)
    yield _gauge("loa_broker_connected", "1 while the broker connection is up", status["broker"]["connected"])
    yield _gauge("loa_epoch", "Epoch of this controller", status["epoch"])
    yield _gauge("loa_config_problems", "Problems in the last configuration", len(status["config"]["problems"]))
    yield _timed("loa_db_transaction_seconds", "Database transactions, waiting included", gauges.transactions)
    yield _timed("loa_publish_seconds", "Until the broker acknowledged a message", gauges.publishes)
    yield _gauge("loa_intake_behind_seconds", "How long ago the oldest came that waits", figures.vitals.intake_lag_s)
    yield _timed("loa_intake_lag_seconds", "How long what came in had waited", gauges.intake)


def _watching(figures: Figures) -> Iterator[Metric]:
    vitals = figures.vitals
    yield _gauge("loa_event_loop_lag_seconds", "How late the event loop came to its last turn", figures.loop_lag_s)
    yield _counted("loa_canary_flights", "Canaries by outcome", "outcome", dict(figures.flights))
    yield _gauge("loa_canary_ok", "1 unless the last canary was lost", not vitals.canary_lost)
    yield _gauge("loa_canary_duration_seconds", "Of the last that passed; 0: none yet", figures.canary_s or 0)
    yield _counted("loa_dead_man_pings", "Calls of the dead-man URL by outcome", "outcome", dict(figures.pings))


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=float(value))


def _labelled(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _counted(name: str, help: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, help, labels=[label])
    for what, number in sorted(values.items()):
        family.add_metric([what], float(number))
    return family


def _timed(name: str, help: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, help)
    buckets: list[tuple[str, float]] = []
    so_far = 0
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), histogram.counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    family.add_metric([], buckets, histogram.total_s)
    return family
