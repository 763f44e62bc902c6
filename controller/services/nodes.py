"""The nodes as the controller hears them: what comes in changes their health, and what changed is remembered
until it has been written down. Decides nothing about people; services/monitoring.py does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import structlog

from controller.domain import canary
from controller.domain.casebook import Scene
from controller.domain.centre import CentreCondition
from controller.domain.correlation import CENTRE, COMMUNE, FEEDER, LINK, MAINS_LOST, MISSED, UPLINK, Shared, Trouble
from controller.domain.faults import Condition, Severity, Value
from controller.domain.functional import Verdict
from controller.domain.health import NodeHealth
from controller.domain.liveness import NEVER, Liveness, Patience, Session
from controller.domain.site import Settings
from controller.domain.watches import Passed, Report, checks_for
from controller.services.deadlines import Deadlines
from controller.wire.messages import FaultReport, Heartbeat, JournalEntry, Status

log = structlog.get_logger(__name__)

STALLED_S = 5.0
"""Later than this for a deadline, the controller itself was not running; what nodes said meanwhile is still to
be read, and is not silence."""
SECURITY = "security"

NO_FORGERY = frozenset({"older", "epoch", "expired", "unreachable", "storage"})
"""Why a node refuses a document that nobody need have forged (docs/protocol.md, 5): an old copy, one that a killed
broker has again, a bad clock, no way to the file, a full disk. Where it is an attack, the node reports `security`."""

Expects = Callable[[str, datetime, str], bool | None]
_PAST = Session.PAST

TWINS = "two devices"
"""Evidence of fault `security`: a second device says that it is this node."""


class Nodes:
    """Every configured node's health. Methods that take something in say whether something changed that must
    be written down: then the node is in `touched`. `mono` is the controller's monotonic receive time."""

    def __init__(self, settings: Settings, deadlines: Deadlines[str], mono: float) -> None:
        self._deadlines = deadlines
        self._nodes: dict[str, NodeHealth] = {}
        self._canary = NodeHealth(
            canary.NODE, checks_for((canary.RULE,), ""), Patience(settings.site.heartbeat_s), mono
        )
        self._unwell: set[str] = set()
        self._heard: set[str] = set()
        self._deaf = True
        self._again: dict[str, float] = {}
        """When each node was first heard since the broker is there."""
        self._said: set[str] = set()
        self.listening_from = NEVER
        """From when on silence counts; NEVER while the broker is away."""
        self.touched: set[str] = set()
        self.suspects: list[str] = []
        """Nodes that became suspect and are to be pinged; whoever pings them takes them out."""
        self.ignored: Counter[str] = Counter()
        """What came and meant nothing, by reason."""
        self.expects: Expects = lambda node, at, playing: None
        """Whether something may sound on a node at a time, by the plan; None if nobody can tell."""
        self.use(settings, mono)

    def use(self, settings: Settings, mono: float) -> None:
        """Know these nodes, and judge by these rules, from now on."""
        self._settings = settings
        self._link_rule = next((rule for rule in settings.faults if rule.code == LINK), None)
        self._shared = _shared(settings)
        self._places = {node.id: node.commune for node in settings.nodes.values()}
        checks = {model: checks_for(settings.faults, model) for model in {n.model for n in settings.nodes.values()}}
        for id in self._nodes.keys() - settings.nodes.keys():
            self._forget(id)
        for id, node in settings.nodes.items():
            if id in self._nodes:
                self._nodes[id].watches.use(checks[node.model])
                self._nodes[id].pulse.patience = self._patience
            else:
                self._nodes[id] = NodeHealth(id, checks[node.model], self._patience, mono)

    def _forget(self, id: str) -> None:
        del self._nodes[id]
        self._unwell.discard(id)
        self._heard.discard(id)
        self._again.pop(id, None)
        self._deadlines.drop(id)
        self.touched.add(id)

    @property
    def _patience(self) -> Patience:
        return Patience(self._settings.site.heartbeat_s)

    def get(self, id: str) -> NodeHealth | None:
        return self._nodes.get(id)

    def __contains__(self, id: str) -> bool:
        return id in self._nodes

    def __iter__(self) -> Iterator[NodeHealth]:
        return iter(self._nodes.values())

    @property
    def canary_run(self) -> str:
        """The flight that the canary's fault report, as it stands, is of."""
        watch = self._canary.watches.bad.get(canary.CODE)
        return str(watch.evidence.get("run", "")) if watch else ""

    def touch_all(self) -> None:
        """Have everything written down anew."""
        self.touched |= self._nodes.keys()

    # --- the broker -----------------------------------------------------------------------------------------

    def listen(self, mono: float) -> None:
        """The broker is there: silence counts again after a grace, and reports that stand will come again."""
        self._deaf = False
        self._again.clear()
        self.listening_from = mono + self._patience.grace_s
        for health in self:
            health.watches.doubt_reports()
            self.watch(health, mono)

    def be_deaf(self) -> None:
        """The broker is away: nobody's silence counts."""
        self._deaf = True
        self._again.clear()
        self.listening_from = NEVER

    def heard_from(self, node: str) -> float:
        """When `node` was first heard since the broker is there; NEVER if it was not."""
        return self._again.get(node, NEVER)

    def settle_reports(self, mono: float) -> None:
        """What nodes still report has come again by now."""
        for health in self:
            self._note(health, health.watches.settle_reports(mono))
            self.watch(health, mono)

    # --- what nodes say -------------------------------------------------------------------------------------

    def status(self, node: str, status: Status, mono: float, retain: bool) -> bool:
        """A birth, will or goodbye."""
        if (health := self._known(node)) is None:
            return False
        pulse, before = health.pulse, (health.pulse.state, health.pulse.boot, health.pulse.conn)
        if status.online:
            self._birth(health, status, mono, retain)
        elif pulse.farewell(status.boot, status.conn, mono, bye=status.reason == "bye", retained=retain) is _PAST:
            self.ignored["past will"] += 1
        self.watch(health, mono)
        self._suspect(health, before[0])
        return self._note(health, (pulse.state, pulse.boot, pulse.conn) != before)

    def _birth(self, health: NodeHealth, status: Status, mono: float, retain: bool) -> None:
        session = health.pulse.birth(status.boot, status.conn, status.at, mono, retained=retain)
        if session is _PAST:
            self.ignored["past birth"] += 1
            return
        if not retain:
            self._again.setdefault(health.node, mono)
        if session is Session.TWIN and self._has_rule(health, SECURITY):
            health.watches.struck(SECURITY, {"reason": TWINS}, mono)
        health.session(session, mono)
        health.firmware = status.firmware
        health.held = (status.playlists.epoch, status.playlists.rev)

    def heartbeats(self, batch: Sequence[tuple[str, Heartbeat, float]]) -> bool:
        """Live heartbeats, in order."""
        changed = False
        for node, heartbeat, mono in batch:
            health = self._known(node)
            if health is not None and self._heartbeat(health, heartbeat, mono):
                changed |= self._note(health, True)
        return changed

    def _heartbeat(self, health: NodeHealth, heartbeat: Heartbeat, mono: float) -> bool:
        pulse = health.pulse
        before, returning = pulse.state, pulse.returning
        session = pulse.heartbeat(heartbeat.boot, heartbeat.conn, heartbeat.seq, mono)
        if session is _PAST:
            self.ignored["past heartbeat"] += 1
            return False
        self._again.setdefault(health.node, mono)
        health.session(session, mono)
        health.playing = heartbeat.playing.id if heartbeat.playing else ""
        health.held = (heartbeat.playlists.epoch, heartbeat.playlists.rev)
        metrics = _metrics(heartbeat)
        metrics["sound_due"] = self.expects(health.node, heartbeat.at, health.playing)
        changed = health.measure(metrics, heartbeat.at, mono)
        if health.watches.bad or health.node in self._unwell or pulse.state is not before:
            self.watch(health, mono)
        return changed or pulse.state is not before or pulse.returning is not returning

    def fault(self, node: str, code: str, report: FaultReport | None, mono: float) -> bool:
        """A node's own fault report; None takes it back."""
        health = self._known(node)
        if health is None or not self._has_rule(health, code):
            return False
        if report is None:
            changed = health.watches.retract(code, mono)
        else:
            severity = Severity(report.severity) if report.severity else None
            evidence = {name: value for name, value in report.evidence.items() if value is not None}
            changed = health.watches.report(code, Report(severity, evidence), mono, report.at)
        self.watch(health, mono)
        return self._note(health, changed)

    def journal(self, node: str, entry: JournalEntry, mono: float) -> bool:
        """A journal entry that was not seen before: self-tests and refused playlists say something of health."""
        if (health := self._known(node)) is None:
            return False
        health.pulse.answered = True
        changed = False
        match entry.kind:
            case "selftest":
                changed = self._selftest(health, entry, mono)
            case "playlists" if entry.result == "rejected" and entry.reason not in NO_FORGERY:
                evidence = {"reason": entry.reason or "?"}
                changed = self._has_rule(health, SECURITY) and health.watches.struck(SECURITY, evidence, mono)
        self.watch(health, mono)
        return self._note(health, changed)

    def _selftest(self, health: NodeHealth, entry: JournalEntry, mono: float) -> bool:
        changed = health.test(dict(entry.results or {}), entry.at, mono)
        parts = {part: said == "passed" for part, said in (entry.parts or {}).items()}
        passed = Passed(parts, whole=entry.result == "passed")
        return changed | health.watches.passed_selftest(passed, health.tested, mono, entry.at)

    def airings(self, verdicts: Mapping[str, Verdict], mono: float) -> bool:
        """What the last airing of each of these nodes was like."""
        changed = False
        for node, verdict in verdicts.items():
            if health := self._nodes.get(node):
                changed |= self._note(health, health.judge(verdict, mono))
                self.watch(health, mono)
        return changed

    def commission(self, node: str, baseline: Mapping[str, Value]) -> None:
        """Compare this node's measurements with these."""
        if health := self._nodes.get(node):
            health.commission(baseline)

    def set_repaired(self, node: str, code: str, repaired: bool) -> bool:
        """A person's word that a fault is mended, or that the word was not true."""
        health = self._nodes.get(node)
        if health is None:
            return False
        health.watches.set_repaired(code, repaired)
        return self._note(health, True)

    def _known(self, node: str) -> NodeHealth | None:
        health = self._canary if node == canary.NODE else self._nodes.get(node)
        if health is None:
            self._ignore("unknown node", node=node)
        return health

    def _has_rule(self, health: NodeHealth, code: str) -> bool:
        if (check := health.watches.check(code)) is None or check.judged:
            self._ignore("no rule for this fault", node=health.node, code=code)
            return False
        return True

    def _ignore(self, why: str, **about: str) -> None:
        """Count it; say so the first time."""
        self.ignored[why] += 1
        said = f"{why}: {' '.join(about.values())}"
        if said not in self._said and len(self._said) < 1000:
            self._said.add(said)
            log.warning(why, **about)

    # --- time -----------------------------------------------------------------------------------------------

    def judge(self, past: Sequence[tuple[float, str]], mono: float, read: float | None = None) -> None:
        """Look at the nodes whose deadline has come: (deadline, node). What came after `read` is still to be read, and
        nobody's silence: it is judged up to there."""
        read = mono if read is None else read
        if not self._deaf and any(read - when > STALLED_S for when, _ in past):
            self.listening_from = mono + self._patience.grace_s
        for _, id in past:
            health = self._nodes[id]
            before = health.pulse.state
            self._note(health, health.due(read, self.listening_from))
            self._suspect(health, before)
            self.watch(health, mono, mono - read)

    def watch(self, health: NodeHealth, mono: float, lag_s: float = 0.0) -> None:
        """Look at this node when its next hold or silence ends and what it said by then is read, and mind whether
        anything is wrong with it."""
        # What is overdue by what was learned just now (a will, 40 s after the last heartbeat) is due now: nobody was
        # late to look at it.
        self._deadlines.set(health.node, max(mono, health.deadline(self.listening_from) + lag_s))
        if health.watches.bad or health.stale:
            self._unwell.add(health.node)
        else:
            self._unwell.discard(health.node)
        if health.pulse.expected and health.node not in self._heard:
            self._heard.add(health.node)

    def _suspect(self, health: NodeHealth, before: Liveness) -> None:
        if health.pulse.state is Liveness.SUSPECT and before is not Liveness.SUSPECT:
            self.suspects.append(health.node)

    def _note(self, health: NodeHealth, changed: bool) -> bool:
        if changed:
            self.touched.add(health.node)
        return changed

    # --- what is wrong --------------------------------------------------------------------------------------

    def scene(self, mono: float, broker_lost: bool, centre: Mapping[str, CentreCondition | None]) -> Scene:
        """What is wrong now, as casebook.reconcile wants to know it."""
        conditions: dict[tuple[str, str], Condition] = {}
        for id in sorted(self._unwell):
            health = self._nodes.get(id, self._canary)
            found = health.conditions(self._link(health, mono))
            conditions |= {(id, code): condition for code, condition in found.items()}
        silent = _since(conditions, LINK)
        trouble = Trouble(
            known=frozenset(self._heard),
            silent=silent,
            dark=_since(conditions, MAINS_LOST),
            on_battery=frozenset(id for id in silent if self._nodes[id].on_battery),
            broker_lost=broker_lost,
            missed=_since(conditions, MISSED),
        )
        unheard = frozenset(id for id in silent if self._nodes[id].pulse.gone and not self._nodes[id].pulse.answered)
        return Scene(conditions, trouble, self._shared, self._places, unheard, self._settings.alerts, centre)

    def _link(self, health: NodeHealth, mono: float) -> Condition:
        """How this node's silence is described; its last measurements are the evidence."""
        rule, heard, metrics = self._link_rule, health.pulse.heard, health.metrics
        return Condition(
            health.node,
            LINK,
            rule.component if rule else "network",
            rule.severity if rule else Severity.MAJOR,
            since=health.pulse.since if heard is None else heard,
            seen=mono,
            clearing=health.pulse.returning,
            evidence={name: metrics[name] for name in (rule.evidence if rule else ()) if name in metrics},
        )


def _since(conditions: Mapping[tuple[str, str], Condition], code: str) -> dict[str, float]:
    return {id: condition.since for (id, found), condition in conditions.items() if found == code}


def _shared(settings: Settings) -> tuple[Shared, ...]:
    """What nodes of this site have in common: communes, feeders, uplinks, the centre."""
    groups: dict[tuple[str, str], set[str]] = {}
    for node in settings.nodes.values():
        for scope, subject in ((COMMUNE, node.commune), (FEEDER, node.feeder), (UPLINK, node.uplink), (CENTRE, CENTRE)):
            if subject:
                groups.setdefault((scope, subject), set()).add(node.id)
    return tuple(Shared(scope, subject, frozenset(nodes)) for (scope, subject), nodes in sorted(groups.items()))


def _metrics(heartbeat: Heartbeat) -> dict[str, Value | None]:
    """A heartbeat's metrics by the names that rules use (see FaultRule)."""
    metrics: dict[str, Value | None] = {**heartbeat.metrics, "assets_missing": heartbeat.playlists.missing}
    if heartbeat.clock is not None:
        metrics["clock.synced"] = heartbeat.clock.synced
        metrics["clock.offset_ms"] = heartbeat.clock.offset_ms
    return metrics
