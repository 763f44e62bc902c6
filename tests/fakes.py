"""Hand-written stand-ins for the ports, used by tests through the same `app.build` as the service."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.ports import BusDown, BusEvent, BusUp, Handed, Received

START = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


class FakeClock:
    """Time that moves when a test says so. `advance` runs what wakes on the way, in order."""

    def __init__(self, start: datetime = START) -> None:
        self.wall = start
        self.mono = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.mono + seconds, next(self._order), future))
        await future

    def until_next_alarm(self, limit: float) -> float:
        """Seconds to the next sleeper's time, `limit` at most."""
        waiting = [due for due, _, future in self._sleepers if not future.done()]
        return min([limit, *(max(0.0, due - self.mono) for due in waiting)])

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock only, as NTP does."""
        self.wall += timedelta(seconds=seconds)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks, waking sleepers at their times."""
        end = self.mono + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move_to(due)
            if not future.done():
                future.set_result(None)
            await settle()
        self._move_to(end)
        await settle()

    def _move_to(self, mono: float) -> None:
        passed = max(0.0, mono - self.mono)
        self.mono += passed
        self.wall += timedelta(seconds=passed)


async def settle(rounds: int = 50) -> None:
    """Let every ready task run until nothing new happens (bounded)."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class FakeTimer:
    """Timer over a FakeClock: `run_due` fires what is due."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.jobs: dict[str, tuple[datetime, Callable[[], Awaitable[None]]]] = {}

    def at(self, name: str, when: datetime, call: Callable[[], Awaitable[None]]) -> None:
        self.jobs[name] = (when, call)

    def cancel(self, name: str) -> None:
        self.jobs.pop(name, None)

    def start(self) -> None: ...

    def stop(self) -> None:
        self.jobs.clear()

    async def run_due(self) -> int:
        """Fire everything due by the clock, earliest first; how many."""
        fired = 0
        while due := sorted((when, name) for name, (when, _) in self.jobs.items() if when <= self.clock.now()):
            _, call = self.jobs.pop(due[0][1])
            await call()
            fired += 1
        return fired


@dataclass(frozen=True, slots=True)
class Published:
    topic: str
    payload: bytes
    retain: bool
    qos: int
    expiry_s: int | None


class FakeBus:
    """A broker in memory: records what is published, plays back what a test feeds."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.published: list[Published] = []
        self.refuse = ""
        self._connected = False
        self._inbox: deque[BusEvent] = deque()
        self._news = asyncio.Event()
        self._stopped = False

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def oldest(self) -> float | None:
        return self._inbox[0].mono if self._inbox else None

    async def start(self) -> None:
        self.up()

    async def stop(self) -> None:
        self._connected, self._stopped = False, True
        self._news.set()

    def up(self) -> None:
        self._connected = True
        self._say(BusUp(self.clock.monotonic()))

    def down(self, reason: str = "gone") -> None:
        self._connected = False
        self._say(BusDown(reason, self.clock.monotonic()))

    def feed(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self._say(Received(topic, payload, retain, self.clock.monotonic()))

    def _say(self, event: BusEvent) -> None:
        self._inbox.append(event)
        self._news.set()

    async def events(self) -> AsyncIterator[Sequence[BusEvent]]:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._inbox:
                yield [self._inbox.popleft()]
            if self._stopped:
                return

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
        if not self._connected:
            return "not connected"
        if self.refuse:
            return self.refuse
        if handed is not None:
            handed(self.clock.monotonic())
        self.published.append(Published(topic, payload, retain, qos, expiry_s))
        return ""
