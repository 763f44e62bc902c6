"""A recorded file of messages through the same rules and the same liveness as in service, in the record's own time.

One line is one message as `loa listen --json` writes it. Time passes as the record says, and deadlines between two
messages come at their own time. Nothing is known after the last line: the record ends then, not the nodes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from controller.domain import canary
from controller.domain.commissioning import Baseline, as_metrics
from controller.domain.faults import RANK, Condition, Severity, Value
from controller.domain.site import Settings
from controller.services.deadlines import Deadlines
from controller.services.nodes import Nodes
from controller.wire.messages import FaultReport, Heartbeat, JournalEntry, Status, WireError, decode
from controller.wire.topics import Topics, Up

Conditions = Mapping[tuple[str, str], Condition]


@dataclass(frozen=True, slots=True)
class Record:
    """One message of a node as it was heard. `payload` is empty for what was taken back."""

    at: datetime
    up: Up
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that people would have been told of. `at` is when it was known, `since` when it began."""

    at: datetime
    what: Literal["raised", "worse", "cleared"]
    node: str
    code: str
    severity: Severity
    since: datetime
    evidence: Mapping[str, Value]


def parse(line: str) -> Record | None:
    """One line of a record; None for what no node said. ValueError: it is none, and why."""
    try:
        told = json.loads(line)
        at, topic, retain = datetime.fromisoformat(told["at"]), told["topic"], bool(told.get("retain", False))
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} (column {error.colno})") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no message with 'at' and 'topic' as loa listen --json writes it: {error}") from None
    if at.tzinfo is None:
        raise ValueError("'at' has no time zone")
    up = Topics("r").parse_up(f"r/{topic}")
    if up is None or up.node == canary.NODE:
        return None
    message = told.get("message")
    if message is None and told.get("verdict") != "cleared":
        raise ValueError(f"undecodable when it was recorded: {told.get('verdict', '?')}")
    return Record(at, up, b"" if message is None else json.dumps(message).encode(), retain)


class Replay:
    """Feeds records, in the order in which they were heard, to what judges nodes in service."""

    def __init__(self, settings: Settings, baselines: Iterable[Baseline] = ()) -> None:
        self._deadlines: Deadlines[str] = Deadlines()
        self._nodes = Nodes(settings, self._deadlines, 0.0)
        self._silent_s = settings.site.heartbeat_s * 6.0
        self._start: datetime | None = None
        self._mono = 0.0
        self._said: set[str] = set()
        self._known: Conditions = {}
        self.counted: Counter[str] = Counter()
        """Messages by kind."""
        history = list(baselines)
        for node in {one.node for one in history}:
            self._nodes.commission(node, as_metrics(one for one in history if one.node == node))

    @property
    def ignored(self) -> Counter[str]:
        """What meant nothing, by reason: nodes that are not configured, sessions that were over."""
        return self._nodes.ignored

    @property
    def heard(self) -> frozenset[str]:
        """Nodes that said anything."""
        return frozenset(self._said)

    @property
    def now(self) -> datetime | None:
        """The time of the record; None before the first message."""
        return self._wall(self._mono) if self._start else None

    @property
    def standing(self) -> Conditions:
        """What is wrong at the end of what was fed."""
        return self._known

    def feed(self, record: Record) -> Iterator[Happening]:
        """What one more message, and the time before it, brought. WireError: it is not what its topic says."""
        if self._start is None:
            self._start = record.at
            self._nodes.listen(0.0)
        mono = max(self._mono, (record.at - self._start).total_seconds())  # a clock set back stops time for a while
        if mono - self._mono > self._silent_s and len(self._said) > 1:
            self._nodes.be_deaf()  # nobody said anything: it was the recorder that was away
            yield from self._pass(mono)
            self._nodes.listen(mono)
        else:
            yield from self._pass(mono)
        self._take(record, mono)
        self.counted[record.up.kind] += 1
        self._said.add(record.up.node)
        yield from self._difference()

    def _pass(self, mono: float) -> Iterator[Happening]:
        """Let time pass, deadline by deadline."""
        while self._deadlines.next <= mono:
            self._mono = max(self._mono, self._deadlines.next)
            self._nodes.judge(self._deadlines.past(self._mono), self._mono)
            yield from self._difference()
        self._mono = mono
        if mono >= self._nodes.listening_from:
            self._nodes.settle_reports(mono)

    def _take(self, record: Record, mono: float) -> None:
        node, nodes = record.up.node, self._nodes
        match record.up.kind:
            case "heartbeat" if not record.retain:
                nodes.heartbeats([(node, decode(Heartbeat, record.payload), mono)])
            case "status" if record.payload:
                nodes.status(node, decode(Status, record.payload), mono, record.retain)
            case "journal":
                nodes.journal(node, decode(JournalEntry, record.payload), mono)
            case "fault":
                report = decode(FaultReport, record.payload) if record.payload else None
                nodes.fault(node, record.up.code, report, mono)

    def _difference(self) -> Iterator[Happening]:
        self._nodes.suspects.clear()
        if not self._nodes.touched:
            return
        self._nodes.touched.clear()
        before, self._known = self._known, dict(self._nodes.scene(self._mono, False, {}).conditions)
        for key in sorted(before.keys() | self._known.keys()):
            old, new = before.get(key), self._known.get(key)
            if old is None and new is not None:
                yield self._happening("raised", new, new.evidence)
            elif new is None and old is not None:
                yield self._happening("cleared", old, self._measured(old))
            elif old and new and RANK[new.severity] > RANK[old.severity]:
                yield self._happening("worse", new, new.evidence)

    def _measured(self, condition: Condition) -> dict[str, Value]:
        health = self._nodes.get(condition.node)
        metrics = health.metrics if health else {}
        return {name: metrics[name] for name in condition.evidence if name in metrics}

    def _happening(
        self, what: Literal["raised", "worse", "cleared"], of: Condition, evidence: Mapping[str, Value]
    ) -> Happening:
        at, since = self._wall(self._mono), self._wall(of.since)
        return Happening(at, what, of.node, of.code, of.severity, since, dict(evidence))

    def _wall(self, mono: float) -> datetime:
        assert self._start is not None
        return self._start + timedelta(seconds=mono)


__all__ = ["Happening", "Record", "Replay", "WireError", "parse"]
