"""What the configuration says once it is loaded and valid: the site, its network and its rules.

Plain frozen values; `controller.settings` makes them from the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from broadcasts.calendar import VIETNAM, Calendar
from broadcasts.guards import USUAL, Guards
from broadcasts.model import Broadcast, File, Node, Say, Zone
from controller.domain.escalation import AlertSettings
from controller.domain.faults import FaultRule
from controller.domain.metrics import METRICS, Metric, Model
from controller.domain.selftests import USUAL_DAILY, Daily


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker. `managed`: `loa run` starts Mosquitto itself, on this host and port (0: a free one)."""

    host: str = "127.0.0.1"
    port: int = 1883
    root: str = "loa/v1"
    managed: bool = True
    tls: bool = False
    ca: str = ""
    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Http:
    """Page, API and media. `public_url` is where nodes fetch media; empty: http://host:port."""

    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class StudioSettings:
    """Targets for horns and limits for what operators bring. Lengths in seconds, levels as named."""

    loudness_lufs: float = -18.0
    true_peak_dbtp: float = -3.0
    highpass_hz: int = 200
    bitrate_kbps: int = 24
    voice: str = "vi"
    words_per_minute: int = 150
    max_item_s: int = 3 * 3600
    assemble_up_to_s: int = 180
    ffmpeg: str = ""


@dataclass(frozen=True, slots=True)
class HeldSound:
    """A common emergency sound that every node holds ahead. `place` is file:line, for messages."""

    name: str
    message: Say | File
    place: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """config/site.yaml. `zone` is the IANA zone of all local times; `data` the folder for what Loa writes."""

    id: str
    name: str
    zone: ZoneInfo
    language: str
    data: str
    store_url: str
    horizon_days: int = 7
    heartbeat_s: int = 10
    volume_max: int = 100
    mqtt: Mqtt = Mqtt()
    http: Http = Http()
    studio: StudioSettings = StudioSettings()
    selftest: Daily = USUAL_DAILY
    guards: Guards = USUAL
    """Unless commune, hamlet or zone of a node say something else."""
    emergency_sounds: tuple[HeldSound, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration folder. `digest` changes when anything in it does."""

    folder: str
    site: Site
    nodes: Mapping[str, Node]
    zones: Mapping[str, Zone]
    """Every zone by id, communes and `all` among them."""
    broadcasts: Mapping[str, Broadcast]
    faults: tuple[FaultRule, ...]
    alerts: AlertSettings
    warnings: tuple[str, ...] = ()
    digest: str = ""
    files: tuple[str, ...] = field(default=())
    calendar: Calendar = VIETNAM
    guards: Mapping[str, Guards] = field(default_factory=dict)
    """Of nodes for which a commune, hamlet or zone says something else than the site."""

    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    """Everything that rules may look at and how it is shown, baselines too."""
    models: Mapping[str, Model] = field(default_factory=dict)
    """Hardware models of which something is known."""

    _zones_of: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    """Looked through for each node anew, the zones of 100,000 cost more than all the rest of a start."""

    def __post_init__(self) -> None:
        found: dict[str, list[str]] = {}
        for zone in sorted(self.zones.values(), key=lambda zone: zone.id):
            for node in zone.nodes:
                found.setdefault(node, []).append(zone.id)
        object.__setattr__(self, "_zones_of", {node: tuple(ids) for node, ids in found.items()})

    def guards_of(self, node: str) -> Guards:
        """When and how much `node` may be talked to."""
        return self.guards.get(node, self.site.guards)

    def targets(self, to: Iterable[str], exclude: Iterable[str] = ()) -> tuple[str, ...]:
        """Node ids that `to` names and `exclude` does not, sorted. KeyError for an unknown name."""
        wanted = {node for name in to for node in self._expand(name)}
        unwanted = {node for name in exclude for node in self._expand(name)}
        return tuple(sorted(wanted - unwanted))

    def zones_of(self, node: str) -> tuple[str, ...]:
        """Ids of all zones that `node` is in, sorted; `all` is one of them."""
        return self._zones_of.get(node, ())

    def _expand(self, name: str) -> tuple[str, ...]:
        if name in self.zones:
            return self.zones[name].nodes
        return (self.nodes[name].id,)
