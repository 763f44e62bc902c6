"""What nobody is told of for a while: silences, maintenance windows, and small faults at night. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from controller.domain.correlation import CANARY
from controller.domain.faults import Severity
from controller.domain.incidents import Incident

WEEK = timedelta(days=7)
SINCE_EVER = datetime(2000, 1, 1, tzinfo=UTC)
"""The start of a silence that names none."""


class HushKind(StrEnum):
    SILENCE = "silence"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Hush:
    """A silence or a maintenance window: incidents that match are not told from `start` until `until`.

    It matches an incident of one of `nodes` or `communes`, and of one of `codes` (an empty one of the two does not
    narrow it). `weekly`: again each week at the same local time, for ever. `id` is 0 for one that stands in
    alerts.yaml: those are ended there.
    """

    kind: HushKind
    start: datetime
    until: datetime
    reason: str
    by: str = ""
    nodes: tuple[str, ...] = ()
    communes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    weekly: bool = False
    id: int = 0
    ended_at: datetime | None = None
    ended_by: str = ""

    def matches(self, incident: Incident) -> bool:
        if incident.scope == CANARY:  # a silence of everything must not look like a broken way
            return False
        code = incident.cause.partition(":")[0]
        return (not self.codes or code in self.codes) and (not (self.nodes or self.communes) or self._is_at(incident))

    def _is_at(self, incident: Incident) -> bool:
        if incident.commune in self.communes and incident.commune:
            return True
        affected = {incident.subject} if incident.scope == "node" else set(incident.nodes)
        return bool(affected) and affected <= set(self.nodes)

    def window(self, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Its present or else its next window; the last one once all are over."""
        if not self.weekly or now < self.start:
            return self.start, self.until
        weeks = (now - self.start) // WEEK
        for ahead in (weeks - 1, weeks, weeks + 1):
            begin, end = _later(self.start, ahead, zone), _later(self.until, ahead, zone)
            if ahead >= 0 and end > now:
                return begin, end
        raise AssertionError("a window that repeats has a next one")

    def active(self, now: datetime, zone: ZoneInfo) -> bool:
        begin, end = self.window(now, zone)
        return self.ended_at is None and begin <= now < end

    def over(self, now: datetime) -> bool:
        """It will not be active any more."""
        return self.ended_at is not None or (not self.weekly and self.until <= now)


def _later(at: datetime, weeks: int, zone: ZoneInfo) -> datetime:
    """The same local time so many weeks later."""
    local = at.astimezone(zone).replace(tzinfo=None) + weeks * WEEK
    return local.replace(tzinfo=zone).astimezone(UTC)


def hushed_by(incident: Incident, hushes: Iterable[Hush], now: datetime, zone: ZoneInfo) -> Hush | None:
    """What keeps `incident` from being told now: of several that which lasts longest."""
    found = [hush for hush in hushes if hush.active(now, zone) and hush.matches(incident)]
    return max(found, key=lambda hush: hush.window(now, zone)[1], default=None)


def next_edge(hushes: Iterable[Hush], now: datetime, zone: ZoneInfo) -> datetime | None:
    """When one begins or ends next."""
    live = [hush for hush in hushes if not hush.over(now)]
    return min((edge for hush in live for edge in hush.window(now, zone) if edge > now), default=None)


@dataclass(frozen=True, slots=True)
class Night:
    """Local times between which faults of `severities` wait for the digest, which goes at `until`."""

    start: time = time(21)
    until: time = time(6, 30)
    severities: frozenset[Severity] = frozenset({Severity.MINOR})

    def digest_at(self, severity: Severity, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When a message of `severity` may go if it must wait; None if it may go now. Critical never waits."""
        if severity not in self.severities or severity is Severity.CRITICAL or self.start == self.until:
            return None
        local = now.astimezone(zone).replace(tzinfo=None)
        end = datetime.combine(local.date(), self.until)
        end = end if local < end else end + timedelta(days=1)
        begin = datetime.combine(end.date(), self.start)
        begin = begin if begin < end else begin - timedelta(days=1)
        return end.replace(tzinfo=zone).astimezone(UTC) if begin <= local < end else None
