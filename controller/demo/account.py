"""The demo's account of itself: what was heard, what broke, what was told, and whether that is what was promised.

Pure: it reads answers of the controller's API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Break:
    """A fault that the demo put in: where (a node's id or a commune's), which incident must follow, and when."""

    subject: str
    cause: str
    at: datetime


@dataclass(frozen=True)
class Account:
    """What happened. `told` counts messages that arrived; times in milliseconds."""

    nodes: int
    heard: int
    start_skew_ms: int | None
    broken: frozenset[str]
    """Nodes and communes that the demo broke."""
    fault_to_flag_ms: Mapping[str, int]
    incidents: tuple[Json, ...]
    alerts_sent: int
    first_word_s: float | None
    """From the demo's start to the announcement's first sample."""

    def delay_ms(self, incident: Json) -> int | None:
        """From the fault to this incident; None when the demo did not cause it."""
        return self.fault_to_flag_ms.get(incident["cause"]) if incident["subject"] in self.broken else None

    def as_json(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {
            "nodes": self.nodes,
            "heard": self.heard,
            "start_skew_ms": self.start_skew_ms,
            "fault_to_flag_ms": dict(self.fault_to_flag_ms),
            "incidents": [
                {
                    "node_or_commune": each["subject"],
                    "code": each["cause"],
                    "component": each["component"],
                    "opened_at": each["opened_at"],
                    "message_count": each["messages"]["sent"],
                }
                for each in self.incidents
            ],
            "alerts_sent": self.alerts_sent,
        }


def account(
    nodes: int, airing: Json | None, incidents: Sequence[Json], breaks: Sequence[Break], told: int, began: datetime
) -> Account:
    """`airing` is the API's answer to why of the announcement, None if it never came to that."""
    lines: Sequence[Json] = airing["nodes"] if airing else ()
    starts = sorted(datetime.fromisoformat(line["started_at"]) for line in lines if line["started_at"])
    flagged = {each.cause: flag for each in breaks if (flag := incident_of(each, incidents)) is not None}
    return Account(
        nodes=nodes,
        heard=sum(line["heard"] == "heard" for line in lines),
        start_skew_ms=_ms(starts[0], starts[-1]) if starts else None,
        broken=frozenset(each.subject for each in breaks),
        fault_to_flag_ms={
            each.cause: _ms(each.at, datetime.fromisoformat(flagged[each.cause]["opened_at"]))
            for each in breaks
            if each.cause in flagged
        },
        incidents=tuple(each for each in sorted(incidents, key=lambda each: int(each["id"])) if each["parent"] is None),
        alerts_sent=told,
        first_word_s=(starts[0] - began).total_seconds() if starts else None,
    )


def incident_of(broken: Break, incidents: Sequence[Json]) -> Json | None:
    """The incident that a fault led to."""
    for each in incidents:
        if (each["subject"], each["cause"]) == (broken.subject, broken.cause):
            return each
    return None


def broken_promises(found: Account, breaks: Sequence[Break], causes: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """What the demo promises and what did not happen, as texts with their values; empty: all is well."""
    missing: list[tuple[str, dict[str, Any]]] = []
    if found.heard < found.nodes:
        missing.append(("only {heard} of {nodes} nodes heard the announcement", vars(found)))
    for cause in causes:
        incident = next(
            (one for each in breaks if each.cause == cause and (one := incident_of(each, found.incidents))), None
        )
        if incident is None:
            missing.append(("{cause}: no incident", {"cause": cause}))
        elif not incident["messages"]["sent"]:
            missing.append(("{cause}: nobody was told", {"cause": cause}))
    return missing


def _ms(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
