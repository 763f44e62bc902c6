"""What keeps watch over the watcher: what it measures of itself, and what that means. Pure; `mono` in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from controller.domain.faults import Severity, Value
from controller.domain.hearing import BEHIND_S

STALE_OUTBOX_S = 300.0
"""A message that has been due for longer is stuck."""
BROKER_LOST_S = 60.0
LOOP_STALLED_S = 5.0
"""Longer than this without a turn, the event loop stood still."""
TIMER_DEAD_S = 120.0
PROBE_S = 30.0
"""How often the centre is looked at."""
SLOW_S = 2.0
HELD = 3
"""So many looks in a row must agree that the database is slow or refuses."""
UNSYNCED_S = 600.0
STEP_S = 2.0
STEPPED_FOR_S = 600.0
"""How long a stepped clock is told of after its last step."""
INODES_LOW, INODES_FULL = 0.05, 0.01
INTAKE_BEHIND_S = 60.0
"""What nodes said longer ago than this and is still to be read is too much."""
BEHIND_HELD = 10
"""So many looks in a row must find it so: a burst of ten thousand answers passes."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """`watch:` of config/alerts.yaml. `canary_s` 0: none. `dead_man_url` empty: none."""

    canary_s: float = 900
    dead_man_url: str = ""
    dead_man_s: float = 300
    life_sign_at: time = time(6, 30)
    life_sign_to: tuple[str, ...] = ()
    disk_low_mb: float = 2000
    disk_full_mb: float = 500


# --- disk ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Space:
    """Of the disk that holds the data folder. `inodes_free` is a share, None where a disk has no such count."""

    free_mb: float
    inodes_free: float | None = None


Found = tuple[Mapping[str, Value], Severity | None]
"""Evidence, and a severity other than the rule's."""


def disk_fault(space: Space, settings: WatchSettings) -> Found | None:
    """What is wrong with the disk, if anything."""
    inodes = 1.0 if space.inodes_free is None else space.inodes_free
    evidence: dict[str, Value] = {"free_mb": round(space.free_mb, -1)}
    if inodes < INODES_LOW:
        evidence["inodes_free_pct"] = round(inodes * 100, 1)
    if space.free_mb < settings.disk_full_mb or inodes < INODES_FULL:
        return evidence, Severity.CRITICAL
    return (evidence, None) if space.free_mb < settings.disk_low_mb or inodes < INODES_LOW else None


# --- clock --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ClockWatch:
    """Wall clock against monotonic clock, and whether the system says that it is synchronised."""

    last: tuple[datetime, float] | None = None
    unsynced_since: float | None = None
    stepped_at: float | None = None
    stepped_s: float = 0.0
    _was_synced: bool = False

    def look(self, wall: datetime, mono: float, synced: bool | None) -> Mapping[str, Value] | None:
        """Evidence of a fault, or None. `synced` None: this system does not tell."""
        if self.last is not None:
            step = (wall - self.last[0]).total_seconds() - (mono - self.last[1])
            if abs(step) >= STEP_S:
                self.stepped_at, self.stepped_s = mono, round(step, 1)
        self.last = (wall, mono)
        if synced is False:
            self.unsynced_since = mono if self.unsynced_since is None else self.unsynced_since
        else:
            self.unsynced_since, self._was_synced = None, True
        return self._fault(mono)

    def knows(self, mono: float) -> bool:
        """Whether no evidence means a good clock. Not yet for one that is unsynchronised since this controller began:
        a fault that was told before the start stands meanwhile."""
        return self.unsynced_since is None or self._was_synced or mono - self.unsynced_since >= UNSYNCED_S

    def _fault(self, mono: float) -> Mapping[str, Value] | None:
        evidence: dict[str, Value] = {}
        if self.stepped_at is not None and mono - self.stepped_at < STEPPED_FOR_S:
            evidence["stepped_s"] = self.stepped_s
        if self.unsynced_since is not None and mono - self.unsynced_since >= UNSYNCED_S:
            evidence["clock.synced"] = False
        return evidence or None


# --- database -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DatabaseWatch:
    """What probes of the database said."""

    refused: int = 0
    slow: int = 0
    reason: str = ""
    damage: str = ""
    checked: bool = False
    """Its files were looked at since the start, or it was found at fault by other signs: then no fault is none."""

    def look(self, reason: str, took_s: float) -> Found | None:
        """`reason`: why a probe could not be written, or ""."""
        self.refused = self.refused + 1 if reason else 0
        self.slow = self.slow + 1 if not reason and took_s > SLOW_S else 0
        self.reason = reason
        self.checked |= self.refused >= HELD or self.slow >= HELD
        if self.damage:
            return {"reason": self.damage}, None
        if self.refused >= HELD:
            return {"reason": reason}, None
        return ({"write_s": round(took_s, 1)}, Severity.MAJOR) if self.slow >= HELD else None


# --- intake -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class IntakeWatch:
    """How far behind with reading the last looks found us. Caught up is only who is not behind at all."""

    looks: int = 0

    def look(self, lag_s: float) -> Mapping[str, Value] | None:
        """Evidence of a fault, or None."""
        if lag_s > INTAKE_BEHIND_S:
            self.looks += 1
        elif lag_s <= BEHIND_S or self.looks < BEHIND_HELD:
            self.looks = 0
        return {"behind_s": round(lag_s, -1)} if self.looks >= BEHIND_HELD else None


# --- the verdict --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is known of the controller at `mono`. None: not measured, or has not happened."""

    mono: float
    leads: bool = True
    broker_lost_since: float | None = None
    database: str = ""
    disk: Found | None = None
    loop_lag_s: float = 0.0
    intake_lag_s: float = 0.0
    """How long ago the oldest came that is still to be read."""
    timer_seen: float | None = None
    outbox_due_s: float | None = None
    """Age of the oldest message that is due."""
    canary_s: float = 0.0
    canary_limit_s: float = 0.0
    canary_begun: float | None = None
    """When the first canary was to fly."""
    canary_passed: float | None = None
    canary_lost: str = ""
    """The stage at which the last one was lost; empty: it passed, or none has flown."""


@dataclass(frozen=True, slots=True)
class Ailment:
    """One reason why the controller is not doing its work: `code` for programs, `text` for people."""

    code: str
    text: str


def ailments(vitals: Vitals) -> tuple[Ailment, ...]:
    """All reasons for red; empty is green. One that stands by sends nothing and has no broker: its database counts."""
    found = [Ailment("database", f"database: {vitals.database}")] if vitals.database else []
    if not vitals.leads:
        return tuple(found)
    return (*found, *_broker(vitals), *_machine(vitals), *_work(vitals))


def _broker(vitals: Vitals) -> list[Ailment]:
    lost = vitals.broker_lost_since
    if lost is None or vitals.mono - lost <= BROKER_LOST_S:
        return []
    return [Ailment("broker", f"broker: not connected for {vitals.mono - lost:.0f} s")]


def _machine(vitals: Vitals) -> list[Ailment]:
    found = []
    if vitals.loop_lag_s > LOOP_STALLED_S:
        found.append(Ailment("event-loop", f"event loop: stood still for {vitals.loop_lag_s:.1f} s in the last minute"))
    if vitals.timer_seen is not None and vitals.mono - vitals.timer_seen > TIMER_DEAD_S:
        found.append(Ailment("scheduler", f"scheduler: no timed work for {vitals.mono - vitals.timer_seen:.0f} s"))
    if vitals.disk is not None and vitals.disk[1] is Severity.CRITICAL:
        found.append(Ailment("disk", f"disk: {vitals.disk[0].get('free_mb', 0):.0f} MB free"))
    return found


def _work(vitals: Vitals) -> list[Ailment]:
    found = []
    if vitals.intake_lag_s > INTAKE_BEHIND_S:
        found.append(Ailment("intake", f"intake: what nodes said {vitals.intake_lag_s:.0f} s ago is still to be read"))
    if reason := stuck(vitals):
        found.append(Ailment("outbox", f"outbox: {reason}"))
    if vitals.canary_lost:
        found.append(Ailment("canary", f"canary: lost at stage {vitals.canary_lost}"))
    elif vitals.canary_s and vitals.canary_begun is not None and not _is_recent(vitals):
        found.append(Ailment("canary", "canary: none has come through for too long"))
    return found


def stuck(vitals: Vitals) -> str:
    """Why messages count as stuck, or ""."""
    due = vitals.outbox_due_s
    return f"a message has been due for {due:.0f} s" if due is not None and due > STALE_OUTBOX_S else ""


def _is_recent(vitals: Vitals) -> bool:
    last = max(vitals.canary_passed or vitals.canary_begun or 0.0, vitals.canary_begun or 0.0)
    return vitals.mono - last <= 2 * vitals.canary_s + 2 * vitals.canary_limit_s


def why_silent(vitals: Vitals) -> str:
    """Why the dead-man URL must not be pinged now; empty when it may be."""
    if not vitals.leads:
        return "this controller does not lead"
    if vitals.database:
        return f"database: {vitals.database}"
    if vitals.canary_passed is None:
        return "no canary has come through yet"
    if vitals.canary_lost:
        return f"the last canary was lost at stage {vitals.canary_lost}"
    if not _is_recent(vitals):
        return "the last canary is too long ago"
    return stuck(vitals)


# --- the event loop -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lags:
    """How late the event loop came to things, over the last minute."""

    seen: list[tuple[float, float]] = field(default_factory=list)
    last: float = 0.0

    def add(self, mono: float, lag_s: float) -> None:
        self.last = lag_s
        self.seen = [(at, lag) for at, lag in self.seen if at > mono - 60] + [(mono, lag_s)]

    def worst(self, mono: float) -> float:
        return max((lag for at, lag in self.seen if at > mono - 60), default=0.0)


# --- the daily life sign ------------------------------------------------------------------------------------


def life_sign_due(now_local: datetime, at: time, last_day: str) -> str:
    """The local date (ISO) whose life sign is to be written now, or "". `last_day`: the last one written. One that
    was missed by more than six hours is left out: in the evening nobody wants the morning's."""
    day = now_local.date().isoformat()
    due = datetime.combine(now_local.date(), at, now_local.tzinfo)
    return day if day > last_day and due <= now_local < due + timedelta(hours=6) else ""
