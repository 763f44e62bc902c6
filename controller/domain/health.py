"""Everything the controller knows of one node's health: its pulse, its measurements, its faults. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from controller.domain.correlation import LINK, MAINS_LOST
from controller.domain.faults import CONFIRMED, Condition, FaultState, Value
from controller.domain.functional import MISSED_BROADCAST, Verdict
from controller.domain.liveness import NEVER, Liveness, Patience, Pulse, Session
from controller.domain.watches import Check, Measured, Watch, Watches

DAY_S = 24 * 3600.0
NO_METRICS: Mapping[str, Value] = {}


class NodeHealth:
    """One node. Times are monotonic seconds. Methods that take something in say whether anything changed
    that somebody should hear of: liveness, a confirmed fault."""

    __slots__ = (
        "aired",
        "baseline",
        "boots",
        "firmware",
        "held",
        "measured",
        "node",
        "playing",
        "pulse",
        "tested",
        "watches",
    )

    def __init__(self, node: str, checks: Mapping[str, Check], patience: Patience, mono: float) -> None:
        self.node = node
        self.pulse = Pulse(patience, mono)
        self.watches = Watches(checks, patience.suspect_s)
        self.measured: Measured = NO_METRICS
        """The last heartbeat's metrics, with the controller's own (see FaultRule)."""
        self.tested: Measured = NO_METRICS
        """The last self-test's."""
        self.baseline: Mapping[str, Value] = {}
        """What was measured when it was commissioned, by the names that rules use."""
        self.aired: datetime | None = None
        """The start of the last airing that was judged."""
        self.playing = ""
        self.held = (0, 0)
        self.firmware = ""
        self.boots: tuple[float, ...] = ()
        """When it was seen to boot in the last 24 hours. A tuple: an empty deque takes 600 bytes of every node."""

    # --- what comes in --------------------------------------------------------------------------------------

    def session(self, session: Session, mono: float) -> None:
        """Count a reboot."""
        if session is Session.REBOOTED:
            self.boots = (*self.boots, mono)

    def measure(self, metrics: dict[str, Value | None], at: datetime, mono: float) -> bool:
        """A live heartbeat's metrics; they become this node's and must not be changed afterwards. `at` is the
        node's clock."""
        while self.boots and mono - self.boots[0] > DAY_S:
            self.boots = self.boots[1:]
        metrics["boots_24h"] = len(self.boots)
        metrics |= self.baseline  # over what the node itself claims to remember
        self.measured = metrics
        return self.watches.measure(metrics, mono, at)

    def test(self, results: Measured, at: datetime, mono: float) -> bool:
        """A self-test's results. `at` is the node's clock."""
        self.tested = {**results, **self.baseline}
        return self.watches.measure({**self.measured, **self.tested}, mono, at)

    def judge(self, verdict: Verdict, mono: float) -> bool:
        """What an airing was like; of an earlier one than the last that was judged, nothing is said any more."""
        if self.aired is not None and verdict.start < self.aired:
            return False
        self.aired = verdict.start
        bad = verdict.flaw is not None
        return self.watches.judged(MISSED_BROADCAST, bad, verdict.severity, verdict.evidence, mono)

    def commission(self, baseline: Mapping[str, Value]) -> None:
        """Compare with these from the next measurement on."""
        self.baseline = baseline
        self.measured, self.tested = {**self.measured, **baseline}, {**self.tested, **baseline}

    def unmeasured(self) -> dict[str, tuple[str, ...]]:
        """Rules that nothing can be said of, by code, with the metrics that they would need."""
        return self.watches.unmeasured({**self.tested, **self.measured})

    @property
    def metrics(self) -> dict[str, Value]:
        """The last known value of everything that was measured."""
        return {name: value for name, value in {**self.tested, **self.measured}.items() if value is not None}

    # --- time -----------------------------------------------------------------------------------------------

    def deadline(self, listening_from: float) -> float:
        """When to call `due` if nothing comes in before; NEVER if nothing will change by itself."""
        holds = self.watches.deadline() if self.pulse.state is Liveness.ONLINE else NEVER
        return min(self.pulse.deadline(listening_from), holds)

    def due(self, mono: float, listening_from: float) -> bool:
        """Judge silence and holds at `mono`. What is silent is not judged for anything else."""
        changed = self.pulse.due(mono, listening_from)
        if self.pulse.state is Liveness.ONLINE:
            changed |= self.watches.due(mono)
        return changed

    # --- what is wrong --------------------------------------------------------------------------------------

    @property
    def stale(self) -> bool:
        """Nothing measures its faults now."""
        return self.pulse.state is Liveness.OFFLINE

    @property
    def on_battery(self) -> bool:
        """Its last word was that the mains are gone."""
        watch = self.watches.bad.get(MAINS_LOST)
        return watch is not None and watch.state in (FaultState.SUSPECT, FaultState.OPEN)

    def faults(self) -> Iterator[tuple[str, Watch]]:
        """Confirmed faults by code; silence is not among them."""
        return ((code, watch) for code, watch in self.watches.bad.items() if watch.state in CONFIRMED)

    def conditions(self, link: Condition) -> dict[str, Condition]:
        """Confirmed faults by code; `link` is how its silence is to be described."""
        found = {code: self._condition(code, watch) for code, watch in self.faults()}
        if self.pulse.state is Liveness.OFFLINE:
            found[LINK] = link
        return found

    def _condition(self, code: str, watch: Watch) -> Condition:
        return Condition(
            self.node,
            code,
            watch.check.rule.component,
            watch.severity,
            since=watch.began,
            seen=watch.last if watch.latched else watch.bad_seen,
            clearing=watch.state is FaultState.CLEARING,
            stale=self.stale,
            evidence=watch.evidence,
        )
