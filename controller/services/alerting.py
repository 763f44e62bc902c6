"""Delivers the outbox: one worker a channel address, so that a hung receiver delays nobody else.

Each message is claimed (the attempt is on record) before it is sent and its outcome is written after; a
crash in between repeats it under the same key once the claim's lease is over. What to send and what an
attempt led to is decided in domain/outbox.py.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, runtime_checkable

import structlog

from controller.domain.escalation import Channel, OutboxRow, OutboxState, Person
from controller.domain.outbox import (
    Failure,
    Held,
    Outcome,
    Policy,
    Room,
    Sending,
    after_failure,
    caught_up,
    digest_of,
    key_of,
    next_channel,
    next_of_thread,
    room_for,
)
from controller.domain.site import Settings
from controller.ports import Clock, Notifier, NotifyError, Outgoing, ReachRow, Store, StoreError, Tx
from controller.services.changes import Changes
from controller.services.steadytime import SteadyTime

T = TypeVar("T")

REPEATABLE = frozenset({"webhook"})
"""Kinds of channel whose receivers drop a second message of the same key."""

AT_ONCE, IN_DIGEST = 50, 1000
"""Rows of a channel that are looked at to choose the next message; and to put what waits into a digest."""

STORE_PAUSES_S = (1.0, 5.0, 15.0, 60.0)

log = structlog.get_logger(__name__)


@runtime_checkable
class Configured(Protocol):
    """A sender that takes something from the configuration beside the channel's address."""

    def reload(self, settings: Settings) -> None: ...


class Alerting:
    """Sends what `messages_for` put into the outbox. `run` it as a task; `wake` it after new rows. `on_outcome` is
    called when a channel begins to take messages, or to refuse them."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        clock: Clock,
        notifiers: Mapping[str, Notifier],
        changes: Changes,
        policy: Policy | None = None,
        on_outcome: Callable[[], None] = lambda: None,
        also: tuple[Person, ...] = (),
        link_of: Callable[[OutboxRow, str], str] = lambda row, page_url: "",
    ) -> None:
        """`also`: recipients that are nobody of alerts.yaml (the canary's). `link_of`: where a message of that page is
        answered."""
        self.on_outcome = on_outcome
        self._settings = settings
        self._store = store
        self._clock = clock
        self._notifiers = dict(notifiers)
        self._changes = changes
        self._policy = policy or Policy()
        self._also = also
        self._link_of = link_of
        self._time = SteadyTime(clock)
        self._lanes: dict[str, _Lane] = {}
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled. A send under way then counts as one that the next start repeats."""
        self._lanes.clear()
        await self._transact(self._catch_up)
        async with asyncio.TaskGroup() as workers:
            while True:
                self._woken.clear()
                for channel in await self._transact(lambda tx: tx.outbox_channels()):
                    if known := self._lanes.get(channel):
                        known.woken.set()
                    else:
                        lane = self._lanes[channel] = _Lane(channel)
                        workers.create_task(self._serve(lane), name=f"alerts {channel}")
                await self._woken.wait()

    def _catch_up(self, tx: Tx) -> None:
        now = self._time.now()
        for row in tx.outbox_ahead(now):
            if moved := caught_up(row, self._policy, now):
                tx.reschedule(moved)

    def wake(self) -> None:
        """New rows were committed. From the event loop's thread."""
        self._woken.set()

    def reload(self, settings: Settings) -> None:
        """Take new settings, senders too; channels that pause try again."""
        self._settings = settings
        for notifier in self._notifiers.values():
            if isinstance(notifier, Configured):
                notifier.reload(settings)
        for lane in self._lanes.values():
            lane.paused_until = None
        self.wake()

    async def _serve(self, lane: _Lane) -> None:
        while True:
            lane.woken.clear()
            now = self._time.now()
            if lane.paused_until is not None and lane.paused_until > now:
                await self._wait(lane, lane.paused_until - now)
                continue
            picked = await self._transact(self._pick(lane, now).run)
            if isinstance(picked, _Errand):
                await self._deliver(lane, picked)
            else:
                await self._wait(lane, None if picked is None else picked - now)

    def _pick(self, lane: _Lane, now: datetime) -> _Pick:
        """Everything the decision needs, as it is now: it is taken in the store's thread."""
        known = (self._settings, self._also, self._policy, self._time)
        return _Pick(*known, lane.channel, now, lane.failures, self._link_of)

    async def _wait(self, lane: _Lane, length: timedelta | None) -> None:
        """Until woken, or for `length` at most."""
        if length is None:
            await lane.woken.wait()
            return
        tasks = [
            asyncio.ensure_future(self._clock.sleep(length.total_seconds())),
            asyncio.ensure_future(lane.woken.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _deliver(self, lane: _Lane, errand: _Errand) -> None:
        failure = await self._send(errand)
        now = self._time.now()
        if failure is None:
            lane.succeeded()
            outcome = Outcome(OutboxState.SENT, "")
        else:
            outcome = self._judge(lane, errand, failure, now)
            lane.failed(outcome, now)
        # Ahead of all that waits for the store: until this is written, a death repeats the message.
        await self._transact(lambda tx: _record(tx, errand, outcome, now), ahead=True)
        self._changes.notify("alerts", "incidents")
        self._wake_spares(errand)
        if lane.news(errand.row.recipient, outcome.state):
            self.on_outcome()

    def _wake_spares(self, errand: _Errand) -> None:
        """The person's other channels waited for this one. Only these: each worker that wakes asks the database."""
        for spare in errand.spares:
            if lane := self._lanes.get(spare.channel):
                lane.woken.set()

    async def _send(self, errand: _Errand) -> Failure | None:
        """None when the receiver took it."""
        notifier = self._notifiers.get(errand.channel.kind)
        if notifier is None:
            return Failure(f"no sender for {errand.channel.kind!r}")
        try:
            async with asyncio.timeout(self._policy.send_s):
                await notifier.send(errand.channel, errand.outgoing)
        except NotifyError as error:
            return Failure(str(error), error.permanent, error.uncertain, error.retry_after_s)
        except TimeoutError:
            return Failure(f"no verdict within {self._policy.send_s:.0f} s", uncertain=True)
        except Exception as error:  # a sender's bug must not silence all others, at every start anew
            log.exception("a sender failed in a way that nobody expected", channel=errand.channel.id)
            return Failure(f"{type(error).__name__}: {error}", uncertain=True)
        return None

    def _judge(self, lane: _Lane, errand: _Errand, failure: Failure, now: datetime) -> Outcome:
        outcome = after_failure(
            errand.row,
            failure,
            failures=lane.failures // 2,
            repeatable=errand.channel.kind in REPEATABLE,
            policy=self._policy,
            now=now,
        )
        log.warning(
            "alert not delivered",
            key=errand.outgoing.key,
            kind=errand.channel.kind,
            recipient=errand.row.recipient,
            outcome=outcome.state.value,
            error=outcome.error,
        )
        return outcome

    async def _transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        """A transaction that must succeed: a store in trouble delays messages and loses none."""
        pauses = itertools.chain(STORE_PAUSES_S, itertools.repeat(STORE_PAUSES_S[-1]))
        while True:
            try:
                return await self._store.transact(work, ahead=ahead)
            except StoreError as error:
                log.error("alerts wait for the store", error=str(error))
                await self._clock.sleep(next(pauses))


@dataclass(slots=True)
class _Lane:
    """One channel's worker: what it remembers between messages."""

    channel: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    paused_until: datetime | None = None
    works: dict[str, bool] = field(default_factory=dict)
    """Whether each person's newest message here was taken, as far as is known since the start."""

    def news(self, recipient: str, state: OutboxState) -> bool:
        """Whether this outcome says something new of the channel."""
        if state not in (OutboxState.SENT, OutboxState.DEAD):
            return False
        before, self.works[recipient] = self.works.get(recipient), state is OutboxState.SENT
        return before is not self.works[recipient]

    def succeeded(self) -> None:
        self.failures, self.paused_until = 0, None

    def failed(self, outcome: Outcome, now: datetime) -> None:
        if outcome.state is OutboxState.RETRY:
            self.failures += 1
            if self.failures % 2 == 0:  # the oldest failed, and another one
                self.paused_until = now + timedelta(seconds=outcome.pause_s)


@dataclass(frozen=True, slots=True)
class _Errand:
    """One claimed message on its way."""

    row: OutboxRow
    channel: Channel
    outgoing: Outgoing
    merged: tuple[OutboxRow, ...]
    spares: tuple[OutboxRow, ...]


@dataclass(frozen=True, slots=True)
class _Pick:
    """One decision on what a channel sends next, in one transaction."""

    settings: Settings
    also: tuple[Person, ...]
    policy: Policy
    time: SteadyTime
    channel: str
    now: datetime
    failures: int
    link_of: Callable[[OutboxRow, str], str]

    def run(self, tx: Tx) -> _Errand | datetime | None:
        """The message that was claimed; else the time to look again, None if only after new rows."""
        ready, held = self._threads(tx)
        ready = sorted(ready, key=lambda sending: sending.row.id)
        while ready:
            # The oldest finds out whether the channel is back, so that all goes in order then. If it fails another one
            # tries at once: one that is always refused blocks nobody.
            chosen = ready[(self.failures // 2) % len(ready) if self.failures % 2 else 0]
            person, channel = self._address(chosen.row)
            if person is None or channel is None:
                ready.remove(chosen)
                _give_up(tx, chosen, self.now)
                continue
            room = self._room(tx, person)
            if room.slot <= self.now:
                return self._claim(tx, person, channel, self._crowd(tx, chosen, ready, person, room))
            held.append(room.slot)
            ready = [sending for sending in ready if sending.row.recipient != person.id]
        return self._look_again(tx, held)

    def _room(self, tx: Tx, person: Person) -> Room:
        since = self.now - timedelta(seconds=self.policy.window_s) - self.time.set_forward
        got = [] if person in self.also else tx.reached(person.id, since, self.now)
        got = [(self.time.as_it_was(at), channel) for at, channel in got]
        copies = person.copies if person.channels else frozenset()
        return room_for(got, self.channel, copies, self.policy, self.now)

    def _threads(self, tx: Tx, limit: int = AT_ONCE) -> tuple[list[Sending], list[datetime]]:
        """What each due thread wants to send, and until when the others are held; of the `limit` oldest rows."""
        ready: list[Sending] = []
        held: list[datetime] = []
        seen: set[tuple[int, str]] = set()
        for row in tx.due_outbox(self.channel, self.now, limit):
            if (row.incident, row.recipient) in seen:
                continue
            seen.add((row.incident, row.recipient))
            match self._next(tx, row):
                case Held(until):
                    held.append(until)
                case Sending() as sending:
                    ready.append(sending)
        return ready, held

    def _next(self, tx: Tx, row: OutboxRow) -> Held | Sending | None:
        person = self._person(row.recipient)
        rows = [other for other in tx.outbox(row.incident) if other.recipient == row.recipient]
        copies = person.copies if person else ()
        language = person.language if person else self.settings.site.language
        return next_of_thread(rows, self.channel, copies, language, self.now)

    def _look_again(self, tx: Tx, held: list[datetime]) -> datetime | None:
        if not held:
            return tx.next_outbox_due(self.channel)
        upcoming = (row.due_at for row in tx.due_outbox(self.channel, min(held), AT_ONCE))
        return min([*held, *(due for due in upcoming if due > self.now)])

    def _crowd(self, tx: Tx, chosen: Sending, ready: list[Sending], person: Person, room: Room) -> Sending:
        """`chosen` alone; or with what waited for the morning too; or with all that waits, if that is too much."""
        waiting = [sending for sending in ready if sending.row.recipient == person.id]
        if room.is_crowded(len(waiting)):
            # after a day without the channel: what is left out would wait for its turn behind the limit
            waiting = [sending for sending in self._threads(tx, IN_DIGEST)[0] if sending.row.recipient == person.id]
        elif not chosen.row.held:
            return chosen
        else:
            waiting = [sending for sending in waiting if sending.row.held]
        page_url = self.settings.alerts.page_url
        return digest_of(waiting, person.language, page_url, lambda row: self.link_of(row, page_url))

    def _claim(self, tx: Tx, person: Person, channel: Channel, sending: Sending) -> _Errand | datetime:
        row = sending.row
        if not tx.claim(row.id, self.now + timedelta(seconds=self.policy.lease_s), self.now):
            return self.now + timedelta(seconds=self.policy.backoff_s[0])
        outgoing = Outgoing(
            key=key_of(self.settings.site.id, row),
            subject=sending.message.subject,
            body=sending.message.body,
            data=_data(tx, sending, person),
        )
        claimed = replace(row, attempts=row.attempts + 1)
        return _Errand(claimed, channel, outgoing, sending.merged, sending.spares)

    def _address(self, row: OutboxRow) -> tuple[Person | None, Channel | None]:
        person = self._person(row.recipient)
        channels = person.every_channel if person else ()
        return person, next((channel for channel in channels if channel.id == row.channel), None)

    def _person(self, id: str) -> Person | None:
        return next((person for person in (*self.settings.alerts.people, *self.also) if person.id == id), None)


def _give_up(tx: Tx, sending: Sending, now: datetime) -> None:
    error = "this person or channel is no longer in alerts.yaml"
    for row in (sending.row, *sending.merged):
        tx.finish(row.id, OutboxState.DEAD, now, error=error)


def _record(tx: Tx, errand: _Errand, outcome: Outcome, now: datetime) -> None:
    """The outcome of the message, and of the rows it told too: they share its fate unless it is tried again."""
    row, state = errand.row, outcome.state
    tx.finish(row.id, state, now, due_at=outcome.due_at, error=outcome.error)
    if state in (OutboxState.SENT, OutboxState.DEAD):
        tx.put_reach(ReachRow(row.recipient, row.channel, state is OutboxState.SENT, now, outcome.error))
    if state is OutboxState.RETRY:
        return
    dead = state is OutboxState.DEAD
    error = outcome.error if dead else f"told with {errand.outgoing.key}"
    for merged in errand.merged:
        tx.finish(merged.id, OutboxState.DEAD if dead else OutboxState.MERGED, now, error=error)
    if state is OutboxState.SENT:
        for spare in errand.spares:
            tx.finish(spare.id, OutboxState.MERGED, now, error=error)
        return
    for spare in next_channel(errand.spares):
        if spare.due_at > now:
            tx.finish(spare.id, OutboxState.RETRY, now, due_at=now, error=spare.last_error)


def _data(tx: Tx, sending: Sending, person: Person) -> dict[str, object]:
    """What a program may want to know of the message (docs/alerts.md)."""
    row = sending.row
    data: dict[str, object] = {
        "incident": row.incident,
        "transition": row.transition,
        "recipient": person.id,
        "created_at": row.created_at.isoformat(),
        "merged": [{"incident": told.incident, "transition": told.transition} for told in sending.merged],
    }
    incident = tx.incident(row.incident)
    if incident is not None:
        data |= {
            "severity": incident.severity.value,
            "state": incident.state.value,
            "scope": incident.scope,
            "subject_id": incident.subject,
            "commune": incident.commune,
            "cause": incident.cause,
            "component": incident.component,
            "opened_at": incident.opened_at.isoformat(),
            "closed_at": incident.closed_at.isoformat() if incident.closed_at else None,
            "nodes": list(incident.nodes),
            "evidence": dict(incident.evidence),
        }
    return data
