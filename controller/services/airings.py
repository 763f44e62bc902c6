"""Holds what was due against the ledger: a minute after each start, after each end, and whenever a journal tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from broadcasts.model import Occurrence
from controller.domain.delivery import Delivery, DeliveryState, OccurrenceRow
from controller.domain.emergencies import Answer, EmergencyRow
from controller.domain.functional import DUE_AFTER, SETTLED_AFTER, Verdict, judge, judge_emergency, newest
from controller.domain.hearing import RETOLD_S
from controller.domain.precedence import REACH, gave_way, latest, sounds_until
from controller.ports import Clock, Store, StoreError, Tx

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 30.0
ARM_AHEAD = timedelta(hours=26)
EARLY, RINGS_OUT = timedelta(seconds=10), timedelta(seconds=60)
"""Around an airing: clocks differ, and players finish."""
JUST_BEFORE = timedelta(minutes=15)
"""What was due so long before may still have the horns."""
ASKED_AFTER = timedelta(hours=1)
"""For how long nodes are asked what they did with an emergency."""
LONGEST = timedelta(days=1)
"""Nothing longer is accepted as an emergency's time."""
REMEMBERED = timedelta(days=7)
"""For how long a node may be away and still be asked what it played."""


class Health(Protocol):
    """The running monitoring service."""

    def contact(self, node: str, by: float) -> datetime | None: ...

    async def on_airings(self, verdicts: dict[str, Verdict]) -> None: ...


class Airings:
    """`run` it as a task. `arm` and `told` say what to look at next; looking is one read of the ledger."""

    def __init__(self, *, store: Store, clock: Clock, health: Health, upto: Callable[[], float]) -> None:
        """`upto`: everything that nodes had to tell by then (monotonic) is in the ledger."""
        self._store = store
        self._clock = clock
        self._health = health
        self._upto = upto
        self._due: dict[str, datetime] = {}
        """Occurrence -> when to look at it next."""
        self._windows: dict[str, list[tuple[datetime, datetime]]] | None = None
        """Node -> when something may sound there; None before the first plan."""
        self._ids: set[str] = set()
        self._alarmed: dict[str, datetime] = {}
        """Node -> until when an emergency may sound there."""
        self._unheard: dict[tuple[str, int], frozenset[str]] = {}
        """Emergency and revision -> nodes that have not said that it sounded there: only they are asked after again."""

    def arm(self, planned: Sequence[Occurrence]) -> None:
        """Look at these when they are due and when they are over."""
        now = self._clock.now()
        for one in planned:
            if now - REMEMBERED < one.start < now + ARM_AHEAD:
                due = min(at for at in (one.start + DUE_AFTER, max(now, one.end + SETTLED_AFTER)) if at >= now)
                self._due[one.id] = min(due, self._due.get(one.id, due))
        near = [one for one in planned if now - ARM_AHEAD < one.start < now + ARM_AHEAD]
        self._ids = {one.id for one in near} | (self._ids & self._due.keys())
        windows: dict[str, list[tuple[datetime, datetime]]] = {}
        for one in near:
            for node in one.nodes:
                windows.setdefault(node, []).append((one.start - EARLY, one.end + RINGS_OUT))
        self._windows = windows

    def expects(self, node: str, at: datetime, playing: str) -> bool | None:
        """Whether something may sound on `node` now, by the plan and by the emergencies; None if nobody can tell: no
        plan yet, or it plays what is not known here (yet). `at` is the node's clock, by which it plays."""
        if self._windows is None or (playing and playing not in self._ids and node not in self._alarmed):
            return None
        if playing or self._alarmed.get(node, at) > at:
            return True
        return any(start <= at <= end for start, end in self._windows.get(node, ()))

    def told(self, occurrence: str) -> None:
        """A node's journal has told of it."""
        self._due[occurrence] = self._clock.now()

    def free(self, node: str, begin: datetime, end: datetime) -> bool:
        """Whether nothing may sound on `node` in [begin, end), as far as is known; False before the first plan."""
        if self._windows is None or self._alarmed.get(node, begin) > begin:
            return False
        return not any(start < end and stop > begin for start, stop in self._windows.get(node, ()))

    async def run(self) -> None:
        """Until cancelled. What was due while no controller ran is looked at first."""
        await self._guarded(self._remember)
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            await self._guarded(self.look)

    async def _guarded(self, work: Callable[[], object]) -> None:
        try:
            await work()  # type: ignore[misc]
        except StoreError as error:
            log.error("airings not judged, trying again", reason=str(error))

    async def _remember(self) -> None:
        now = self._clock.now()
        rows = await self._store.read(lambda tx: tx.occurrences(now - timedelta(days=1), now))
        for row in rows:
            self._due.setdefault(row.id, now + DUE_AFTER)

    async def look(self) -> None:
        """Judge what is due to be looked at."""
        now, mono, upto = self._clock.now(), self._clock.monotonic(), self._upto()  # before the ledger is read
        heard = _Heard(now - timedelta(seconds=mono - upto), upto - RETOLD_S)
        due, unheard = [id for id, at in self._due.items() if at <= now], self._unheard

        def read(tx: Tx) -> _Read:
            found = [row for id in due if (row := tx.occurrence(id)) is not None]
            first = min((row.start for row in found), default=now)
            urgent = [one for one in tx.emergencies(first - REACH - LONGEST, now) if sounds_until(one) > first - REACH]
            since = min([first - JUST_BEFORE, *(one.ordered_at for one in urgent)])
            beside = tx.occurrences(since, now) if found else []
            ids = sorted({row.id for row in (*found, *beside)})
            asked = _to_be_asked(urgent, now)
            answers = [one for row in asked for one in tx.answers([row.id], unheard.get((row.id, row.rev), row.nodes))]
            return found, beside, tx.deliveries_of(ids) if ids else [], urgent, asked, answers

        rows, beside, deliveries, urgent, asked, answers = await self._store.read(read)
        self._alarmed = latest((row.nodes, row.not_after + RINGS_OUT) for row in urgent)  # its end may not be heard
        verdicts = [*self._judged(rows, beside, deliveries, urgent, now, heard), *self._urgent(asked, answers, heard)]
        if verdicts:
            await self._health.on_airings(newest(verdicts))

    def _judged(
        self,
        rows: Sequence[OccurrenceRow],
        beside: Sequence[OccurrenceRow],
        deliveries: Sequence[Delivery],
        urgent: Sequence[EmergencyRow],
        now: datetime,
        heard: _Heard,
    ) -> list[Verdict]:
        by_occurrence: dict[str, list[Delivery]] = {}
        for each in deliveries:
            by_occurrence.setdefault(each.occurrence, []).append(each)
        verdicts = []
        for row in rows:
            until = gave_way(row, beside, by_occurrence, urgent)
            undecided = False
            for one in by_occurrence.get(row.id, ()):
                contact = self._health.contact(one.node, heard.by)
                found = judge(row, one, contact, heard.upto, gave_way=until.get(one.node))
                undecided |= found is None and one.state in _OPEN
                verdicts += [found] if found else []
            self._again(row, now, heard.upto, undecided=undecided)
        return verdicts

    def _again(self, row: OccurrenceRow, now: datetime, upto: datetime, *, undecided: bool) -> None:
        """A node that is away may come back and tell; what is over and decided everywhere is done with."""
        over = now >= row.end + SETTLED_AFTER
        if (over and not undecided) or now > row.end + REMEMBERED:
            self._due.pop(row.id, None)
        elif undecided and upto < row.start + DUE_AFTER:
            self._due[row.id] = now  # what nodes said of its beginning is still to be read
        else:
            self._due[row.id] = now + timedelta(minutes=2) if over else max(row.end + SETTLED_AFTER, now)

    def _urgent(self, rows: Sequence[EmergencyRow], answers: Sequence[Answer], heard: _Heard) -> list[Verdict]:
        known = {(each.emergency, each.node): each for each in answers}
        verdicts: list[Verdict] = []
        unheard: dict[tuple[str, int], frozenset[str]] = {}
        for row in rows:
            asked = self._unheard.get((row.id, row.rev), row.nodes)
            said = [
                judge_emergency(row, node, known.get((row.id, node)), self._health.contact(node, heard.by), heard.upto)
                for node in asked
            ]
            verdicts += [each for each in said if each is not None]
            well = {each.node for each in said if each is not None and each.flaw is None}
            unheard[row.id, row.rev] = frozenset(asked) - well
        self._unheard = unheard
        return verdicts


@dataclass(frozen=True, slots=True)
class _Heard:
    """Up to when all that nodes had to tell is in the ledger; and `by` when (monotonic) a node must have been heard
    again, since the controller itself was deaf, to have told what it had to tell."""

    upto: datetime
    by: float


_Read = tuple[
    list[OccurrenceRow], list[OccurrenceRow], list[Delivery], list[EmergencyRow], list[EmergencyRow], list[Answer]
]
_OPEN = frozenset(DeliveryState) - {
    DeliveryState.COMPLETED,
    DeliveryState.FAILED,
    DeliveryState.SKIPPED,
    DeliveryState.CANCELLED,
}


def _to_be_asked(urgent: Sequence[EmergencyRow], now: datetime) -> list[EmergencyRow]:
    """Those whose answers say something by now. Before that nodes are answering, and reading what ten thousand of them
    said would only be in their way."""
    return [row for row in urgent if now - ASKED_AFTER <= row.ordered_at <= now - DUE_AFTER]
