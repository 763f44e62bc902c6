"""What a node says of itself unasked: heartbeats, its own fault reports, and its death when the battery ends."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from controller.wire.messages import ClockState, FaultReport, Heartbeat, Playing, encode
from simulators.parts import Value

if TYPE_CHECKING:
    from simulators.agent import Node

STEP_S = 1.0
"""A value step is told at once, at most this often."""

DISCHARGING_S = 1.0
"""How often the voltage is looked at on battery; on mains nothing moves that a heartbeat does not ask for."""

SECURITY_CLEARS_S = 600.0


class Vitals:
    """Heartbeats and fault reports of `node`. Sent by the player's side: a hung player is silent."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._seq = 0
        self._beat_at = 0.0
        self._told = node.parts.state()
        self._booted = time.monotonic()
        self._faults: dict[str, FaultReport] = {}

    # --- heartbeat ------------------------------------------------------------------------------------------

    def schedule(self, *, first: bool = False) -> None:
        """The next beat: every `heartbeat_s` +-10 %, the first at a phase that the id decides."""
        interval = float(self._node.heartbeat_s)
        interval *= phase_of(self._node.id) if first else self._node.shared.rng.uniform(0.9, 1.1)
        self._node.timers.at("beat", time.monotonic() + interval, self.beat)

    def beat(self) -> None:
        """One heartbeat now, and the next one due."""
        node = self._node
        if node.frozen:
            return
        mono = time.monotonic()
        self.advance(mono)
        self._beat_at = mono
        stepped = node.parts.state() != self._told
        self._told = node.parts.state()
        if node.link.connected:
            self._seq += 1
            node.link.publish(node.topics.heartbeat(node.id), encode(self._heartbeat(mono)), qos=0)
        if stepped:  # a second measurement: nobody should wait for the interval to learn that it was no glitch
            node.timers.at("beat", mono + STEP_S, self.beat)
        else:
            self.schedule()

    @property
    def sent(self) -> int:
        """Heartbeats of this boot that were handed to a connection."""
        return self._seq

    def changed(self) -> None:
        """Something may have stepped: tell at once, at most once a second."""
        if self._node.parts.state() != self._told:
            self._node.timers.at("beat", max(time.monotonic(), self._beat_at + STEP_S), self.beat)

    def _heartbeat(self, mono: float) -> Heartbeat:
        node = self._node
        sounding = node.speaker.playing(node.moment())
        playing = None
        if sounding is not None:
            playing = Playing(sounding.id, sounding.track, sounding.position_ms, sounding.volume)
        metrics = node.parts.metrics(node.output.load(mono))
        metrics["journal_backlog"] = node.journal.backlog
        return Heartbeat(
            boot=node.boot,
            conn=node.conn,
            seq=self._seq,
            at=node.now(),
            uptime_s=int(mono - self._booted),
            clock=ClockState(node.synced, round(node.clock_offset.total_seconds() * 1000, 1)),
            playlists=node.held(),
            playing=playing,
            metrics=metrics,
        )

    # --- fault reports --------------------------------------------------------------------------------------

    def born(self) -> None:
        """After a birth: say again what is wrong, and take back what a former boot said and is no longer so."""
        for report in self._faults.values():
            self._publish(report)
        for code in self._node.memory.known.faults - self._faults.keys():
            self._take_back(code)

    def raise_fault(self, code: str, component: str, evidence: Mapping[str, Value]) -> None:
        """Report a fault that only the node itself can know of."""
        report = FaultReport(code, component, self._node.now(), evidence=dict(evidence))
        self._faults[code] = report
        self._node.note_written(self._node.memory.remember_fault(code, raised=True))
        self._publish(report)

    def clear_fault(self, code: str) -> None:
        """It is well again."""
        if self._faults.pop(code, None) is not None:
            self._take_back(code)

    def alarm(self, evidence: Mapping[str, Value]) -> None:
        """Somebody tried: fault `security`, until nobody tries for a while."""
        self.raise_fault("security", "identity", evidence)
        clear_at = time.monotonic() + SECURITY_CLEARS_S
        self._node.timers.at("security", clear_at, lambda: self.clear_fault("security"))

    def reports(self, code: str) -> bool:
        """Whether the node itself reports this fault now."""
        return code in self._faults

    def _publish(self, report: FaultReport) -> None:
        node = self._node
        node.link.publish(node.topics.fault(node.id, report.code), encode(report), qos=1, retain=True)

    def _take_back(self, code: str) -> None:
        node = self._node
        if node.link.publish(node.topics.fault(node.id, code), b"", qos=1, retain=True):
            node.note_written(node.memory.remember_fault(code, raised=False))

    # --- power ----------------------------------------------------------------------------------------------

    def advance(self, mono: float) -> None:
        """Let the parts live up to `mono`, under what the player asked of them until now."""
        node = self._node
        node.output.account(mono)
        node.parts.advance(mono, node.output.load(mono), running=node.powered)

    def watch_battery(self) -> None:
        """On battery: look until mains are back or the voltage is below what the node runs on."""
        node = self._node
        mono = time.monotonic()
        self.advance(mono)
        if not node.parts.powered(node.output.load(mono)):
            node.power_off()
        elif not node.parts.mains_on:
            node.timers.at("battery", mono + DISCHARGING_S, self.watch_battery)


def phase_of(node: str) -> float:
    """Where in the interval a node's beats fall, 0..1, so that a fleet's beats are spread."""
    return int.from_bytes(hashlib.sha256(node.encode()).digest()[:4], "big") / 2**32
