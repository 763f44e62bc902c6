"""The ports of a controller in compressed time: a clock that moves when it is told, a timer on it, a broker in memory,
a store that says when it rests, and a receiver of messages."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from broadcasts.model import Item, Rendered
from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import Channel
from controller.ports import AudioRefused, BusDown, BusEvent, BusUp, Handed, Outgoing, Received, Tx

T = TypeVar("T")

NEVER = float("inf")
ROUNDS = 12
"""Turns of the event loop in which a chain of ready tasks comes to rest; the store is asked after them again."""


class VirtualClock:
    """ports.Clock that stands still until `move`."""

    def __init__(self, start: datetime) -> None:
        self._wall = start
        self._mono = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._mono

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono + seconds, next(self._order), future))
        await future

    def next_wake(self) -> float:
        """The monotonic time at which the next sleeper wakes."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else NEVER

    def move(self, mono: float) -> None:
        """Move both clocks to `mono` and wake whoever has slept so long."""
        passed = max(0.0, mono - self._mono)
        self._mono += passed
        self._wall += timedelta(seconds=passed)
        while self._sleepers and self._sleepers[0][0] <= self._mono:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def step(self, by: timedelta) -> None:
        """Step the wall clock only, as a wrong time server does."""
        self._wall += by


class VirtualTimer:
    """ports.Timer on a VirtualClock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._jobs: dict[str, tuple[datetime, Callable[[], Awaitable[None]]]] = {}

    def at(self, name: str, when: datetime, call: Callable[[], Awaitable[None]]) -> None:
        self._jobs[name] = (when, call)

    def cancel(self, name: str) -> None:
        self._jobs.pop(name, None)

    def start(self) -> None: ...

    def stop(self) -> None:
        self._jobs.clear()

    def next_due(self) -> float:
        """The monotonic time of the next job."""
        due = min((when for when, _ in self._jobs.values()), default=None)
        return NEVER if due is None else self._clock.monotonic() + (due - self._clock.now()).total_seconds()

    async def run_due(self) -> None:
        while due := sorted((when, name) for name, (when, _) in self._jobs.items() if when <= self._clock.now()):
            _, call = self._jobs.pop(due[0][1])
            await call()


class VirtualBus:
    """ports.Bus as the controller sees a broker. `take` gets what it publishes and says what the broker would."""

    def __init__(self, clock: VirtualClock, take: Callable[[str, bytes, bool], str]) -> None:
        self._clock = clock
        self._take = take
        self._connected = False
        self._said: list[BusEvent] = []
        self._queue: asyncio.Queue[Sequence[BusEvent] | None] = asyncio.Queue()
        self.wanted = False
        """Whether a controller runs that would connect."""

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def oldest(self) -> float | None:
        return self._said[0].mono if self._said else None

    async def start(self) -> None:
        self.wanted = True

    async def stop(self) -> None:
        self.wanted = self._connected = False
        self._queue.put_nowait(None)

    def up(self, retained: Iterable[tuple[str, bytes]]) -> None:
        """Connected: the broker first tells what it keeps."""
        self._connected = True
        now = self._clock.monotonic()
        self._said += [BusUp(now), *(Received(topic, payload, True, now) for topic, payload in retained)]

    def down(self) -> None:
        if self._connected:
            self._connected = False
            self._said.append(BusDown("the broker is gone", self._clock.monotonic()))

    def feed(self, topic: str, payload: bytes) -> None:
        """A message of a node, now."""
        if self._connected:
            self._said.append(Received(topic, payload, False, self._clock.monotonic()))

    @property
    def waiting(self) -> bool:
        """Whether something was fed that is not handed over."""
        return bool(self._said)

    def flush(self) -> None:
        """Hand over what was fed since, as one batch."""
        if self._said:
            self._queue.put_nowait(self._said)
            self._said = []

    async def events(self) -> AsyncIterator[Sequence[BusEvent]]:
        while (batch := await self._queue.get()) is not None:
            yield batch

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        qos: int = 1,
        expiry_s: int | None = None,
        bulk: bool = False,
        handed: Handed | None = None,
    ) -> str:
        return self._take(topic, payload, retain) if self._connected else "not connected"


class RestingStore:
    """ports.Store in memory that knows whether it works."""

    def __init__(self) -> None:
        self._inner = SqlStore("sqlite://")
        self._working = 0
        self.rests = asyncio.Event()
        self.rests.set()

    async def open(self) -> None:
        await self._inner.open()

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        return await self._counted(self._inner.transact(work, ahead=ahead))

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._counted(self._inner.read(work))

    async def close(self) -> None:
        """Kept for the next controller; `end` closes it."""

    async def end(self) -> None:
        await self._inner.close()

    async def _counted(self, work: Awaitable[T]) -> T:
        self._working += 1
        self.rests.clear()
        try:
            return await work
        finally:
            self._working -= 1
            if not self._working:
                self.rests.set()


async def quiet(store: RestingStore) -> None:
    """Until nothing moves any more without time."""
    while True:
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        if store.rests.is_set():
            return
        await store.rests.wait()


class Phones:
    """ports.Notifier that takes everything, and counts messages by person (the last part of the address)."""

    def __init__(self) -> None:
        self.rung: Counter[str] = Counter()

    async def send(self, channel: Channel, message: Outgoing) -> None:
        self.rung[channel.address.rpartition("/")[2]] += 1


class Silence:
    """ports.Library of a district in which nothing is on air."""

    async def render(self, items: Sequence[Item]) -> Rendered:
        raise AudioRefused("nothing is on air in a scenario", 0)

    def path(self, sha256: str) -> str | None:
        return None

    def collect(self, needed: Iterable[str]) -> int:
        return 0
