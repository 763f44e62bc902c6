"""Prometheus figures, gathered at each scrape; names are stable (docs/api.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.services.readmodels import Plain

LIVENESS = ("online", "suspect", "offline", "unknown")
SEVERITY = ("critical", "major", "minor")


@dataclass(frozen=True, slots=True)
class Figures:
    """One moment: the full status and the intake's counters."""

    status: Plain
    counters: Mapping[str, int]


def exposition(figures: Figures) -> bytes:
    """The text format of `figures`, from a registry of their own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(figures))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        status = self._figures.status
        yield _gauge("loa_broker_connected", "1 while the broker connection is up", status["broker"]["connected"])
        yield _gauge("loa_epoch", "Epoch of this controller", status["epoch"])
        yield _labelled("loa_nodes", "Nodes by state", "state", status["nodes"], LIVENESS)
        yield _labelled("loa_incidents_open", "Open incidents", "severity", status["incidents"], SEVERITY)
        yield _gauge("loa_on_air", "Occurrences on air", status["air"]["on_air"])
        yield _gauge("loa_config_problems", "Problems in the last configuration", len(status["config"]["problems"]))
        yield _messages(self._figures.counters)


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=float(value))


def _labelled(name: str, help: str, label: str, values: Plain, keys: tuple[str, ...]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=[label])
    for key in keys:
        family.add_metric([key], float(values[key]))
    return family


def _messages(counters: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily("loa_intake", "What came from nodes, by what became of it", labels=["what"])
    for what, number in sorted(counters.items()):
        family.add_metric([what], float(number))
    return family
