"""Shortly before air: is every node that is meant to sound able to? Pure.

Each look asks the same questions of every node; what is lacking is pushed again where that can help, and told to
people once, from the second look on: the first one gives the push time to work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from controller.domain.delivery import ON_AIR, DeliveryState
from controller.domain.faults import Text, Value
from controller.domain.liveness import Liveness

LOOKS = (timedelta(minutes=10), timedelta(minutes=9), timedelta(minutes=5), timedelta(minutes=1))
"""Before air, earliest first."""

TOLD_FROM = LOOKS[1]

CLOCK_OFF_MS = 2000
"""As the fault `clock` of config/faults.yaml: a node this far off is not on time."""


class Lack(StrEnum):
    """What a node lacks; the order is the order in which they are told."""

    OFFLINE = "offline"
    FAULT = "fault"
    CLOCK = "clock"
    DOCUMENT = "document"
    AUDIO = "audio"


LACKS: Mapping[Lack, Text] = {
    Lack.OFFLINE: Text("mất liên lạc", "no contact"),
    Lack.FAULT: Text("đang có lỗi làm mất tiếng", "has a fault that silences it"),
    Lack.CLOCK: Text("đồng hồ chưa đúng", "its clock is not right"),
    Lack.DOCUMENT: Text("chưa nhận lịch mới nhất", "has not taken the newest playlists"),
    Lack.AUDIO: Text("chưa tải đủ âm thanh", "has not fetched all audio"),
}

SILENCING = frozenset({"amplifier", "line-open", "line-short", "horn-silent", "clock", "storage", "link"})
"""Codes of config/faults.yaml with which a node gives no sound, or none on time. The others are repaired after air."""

HEALED_BY: Mapping[Lack, str] = {Lack.DOCUMENT: "send", Lack.AUDIO: "log"}
"""What may mend it from here: the document again, or the journal again, of which words may have been lost."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one node before an airing. `held` and `wanted` are (epoch, rev) of its document."""

    node: str
    state: DeliveryState
    liveness: Liveness
    held: tuple[int, int]
    wanted: tuple[int, int]
    metrics: Mapping[str, Value]
    faults: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that one node lacks; `detail` is the code of a fault."""

    node: str
    lack: Lack
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PreflightRow:
    """The newest look at one occurrence: at how many nodes, and what they lack. `told_at`: people were told."""

    occurrence: str
    at: datetime
    nodes: int
    findings: tuple[Finding, ...]
    told_at: datetime | None = None


def examine(standing: Standing) -> tuple[Finding, ...]:
    """What a node lacks, in the order of Lack. A node that is silent is asked for nothing else: nobody knows."""
    node = standing.node
    if standing.state in ON_AIR:
        return ()
    if standing.liveness is not Liveness.ONLINE:
        return (Finding(node, Lack.OFFLINE),)
    found = [Finding(node, Lack.FAULT, code) for code in sorted(SILENCING & set(standing.faults) - {"clock"})]
    if _clock_is_off(standing):
        found.append(Finding(node, Lack.CLOCK))
    if standing.held != standing.wanted:
        found.append(Finding(node, Lack.DOCUMENT))
    elif standing.state is not DeliveryState.READY:
        found.append(Finding(node, Lack.AUDIO))
    return tuple(found)


def _clock_is_off(standing: Standing) -> bool:
    offset = standing.metrics.get("clock.offset_ms")
    far = isinstance(offset, int | float) and abs(offset) > CLOCK_OFF_MS
    return standing.metrics.get("clock.synced") is False or far or "clock" in standing.faults


def next_look(start: datetime, now: datetime) -> datetime | None:
    """When to look next at an occurrence that starts at `start`; None when it is too late for any."""
    return next((start - before for before in LOOKS if start - before > now), None)


def is_told(start: datetime, now: datetime) -> bool:
    """Whether people are told of what is lacking now."""
    return now >= start - TOLD_FROM


def by_node(findings: Iterable[Finding]) -> dict[str, tuple[Finding, ...]]:
    """Findings of each node that has any."""
    found: dict[str, tuple[Finding, ...]] = {}
    for finding in findings:
        found[finding.node] = (*found.get(finding.node, ()), finding)
    return found
