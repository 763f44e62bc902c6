"""What a fleet amounts to at a moment: for the table, for `--json`, and for adding up processes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

FAULTS_SHOWN = 20


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """`starts`: epoch seconds at which each node began what most of them began last, `occurrence`; its first and last
    stand in `first` and `last` also where the list is left out. `heartbeats`: sent since the nodes' last boot.
    `connect_s`: from the start to the newest connection. `fetch_mb_s`: since the summary before. `memory_mb`, `cpu_s`:
    of the simulator itself. `trouble`: what keeps most of those that are not connected from it."""

    nodes: int
    connected: int
    without_power: int
    playing: int
    missing: int
    journal_waiting: int
    broken: int
    trouble: str = ""
    faults: tuple[str, ...] = ()
    heartbeats: int = 0
    fetched: int = 0
    fetched_mb: float = 0.0
    fetch_mb_s: float = 0.0
    connections: int = 0
    peak_per_s: int = 0
    connect_s: float = 0.0
    occurrence: str = ""
    started: int = 0
    first: float = 0.0
    last: float = 0.0
    starts: tuple[float, ...] = ()
    memory_mb: float = 0.0
    cpu_s: float = 0.0

    @property
    def skew_ms(self) -> float | None:
        """How far apart the first and the last began; None before two have."""
        return (self.last - self.first) * 1000 if self.started > 1 else None

    def plain(self) -> dict[str, object]:
        """For `--json`: the list of starts as quantiles of what each was behind the first."""
        told = {name: value for name, value in msgspec.to_builtins(self).items() if name not in ("starts", "faults")}
        behind = sorted((at - self.first) * 1000 for at in self.starts)
        skew = {name: round(_quantile(behind, share), 1) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
        return {**told, "faults": list(self.faults), "skew_ms": skew if behind else None}


def added(parts: Sequence[Summary]) -> Summary:
    """Several processes as one fleet. Skew is that of the occurrence that most nodes began last."""
    common, _ = Counter({part.occurrence: part.started for part in parts}).most_common(1)[0]
    same = [part for part in parts if part.started and part.occurrence == common]
    sums = ("nodes", "connected", "without_power", "playing", "missing", "journal_waiting", "broken", "fetched")
    more = ("heartbeats", "fetched_mb", "fetch_mb_s", "connections", "peak_per_s", "memory_mb", "cpu_s")
    return Summary(
        **{name: round(sum(getattr(part, name) for part in parts), 3) for name in (*sums, *more)},
        trouble=next((part.trouble for part in parts if part.trouble), ""),
        faults=tuple(fault for part in parts for fault in part.faults)[:FAULTS_SHOWN],
        connect_s=max(part.connect_s for part in parts),
        occurrence=common,
        started=sum(part.started for part in same),
        first=min((part.first for part in same), default=0.0),
        last=max((part.last for part in same), default=0.0),
        starts=tuple(at for part in same for at in part.starts),
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
