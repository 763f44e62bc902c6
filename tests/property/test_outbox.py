"""Whatever receivers answer and wherever the controller dies: nothing is lost, and no story is told backwards."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import Channel, OutboxRow, OutboxState, messages_for
from controller.domain.outbox import key_of
from controller.domain.site import Settings
from controller.ports import NotifyError, Outgoing, Tx
from controller.services.alerting import Alerting
from controller.services.changes import Changes
from tests import alerts_support
from tests.alerts_support import FACTS, CountingStore, incident, person, quiet
from tests.always import Fate, Killed
from tests.fakes import FakeClock

T = TypeVar("T")

STORY = ("opened", "severity", "recovered", "reopened", "severity-2", "recovered-2")
"""What happens to one incident, in this order."""

numbers = itertools.count(1)


class MortalStore(CountingStore):
    """A store whose user may die before a transaction, or after it was committed."""

    def __init__(self, store: SqlStore, fate: Fate) -> None:
        super().__init__(store)
        self._fate = fate

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        self._fate.here()
        result = await super().transact(work, ahead=ahead)
        self._fate.here()
        return result


@dataclass
class World:
    """One channel's receiver behind a line that can fail in every way."""

    fate: Fate
    wire: list[Outgoing] = field(default_factory=list)
    mood: str = "takes"
    unsure: int = 0

    async def send(self, channel: Channel, message: Outgoing) -> None:
        self.fate.here()
        if self.mood == "busy":
            raise NotifyError("450 busy")
        if self.mood == "asks for a pause":
            raise NotifyError("429", retry_after_s=40)
        if self.mood == "loses it and is silent":
            self.unsure += 1
            raise NotifyError("silence", uncertain=True)
        self.wire.append(message)
        self.fate.here()
        if self.mood == "takes it and is silent":
            self.unsure += 1
            raise NotifyError("silence", uncertain=True)


MOODS = ("takes", "busy", "asks for a pause", "loses it and is silent", "takes it and is silent")

steps = st.one_of(
    st.tuples(st.just("happens"), st.integers(0, 3)),
    st.tuples(st.just("pass"), st.sampled_from([1, 5, 20, 90, 400, 1000])),
    st.tuples(st.just("mood"), st.sampled_from(MOODS)),
    st.tuples(st.just("dies after"), st.integers(0, 9)),
)


class Run:
    """The steps of one example, on incidents and a channel of its own in a shared database."""

    def __init__(self, store: SqlStore, kind: str) -> None:
        self.fate = Fate()
        self.world = World(self.fate)
        self.clock = FakeClock()
        self.store = store
        self.mortal = MortalStore(store, self.fate)
        self.first = next(numbers) * 10
        self.told = [0, 0, 0, 0]
        channel = Channel(kind, f"{self.first}@example.org")
        self.person = f"lan-{self.first}"
        self.settings: Settings = alerts_support.settings(person(self.person, channel))
        self.channel = channel.id
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.fate.dead = False
        self.alerting = Alerting(
            self.settings,
            store=self.mortal,
            clock=self.clock,
            notifiers={"smtp": self.world, "webhook": self.world},
            changes=Changes(),
        )
        self.task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        try:
            await self.alerting.run()
        except BaseExceptionGroup as group:
            if group.split(Killed)[1] is not None:
                raise
        except Killed:
            return

    async def step(self, what: str, value: int | str) -> None:
        match what, value:
            case "happens", int(which):
                await self.happens(which)
            case "pass", int(seconds):
                await self.pass_time(seconds)
            case "mood", str(mood):
                self.world.mood = mood
            case "dies after", int(count):
                self.fate.at = count
        await self.quiet()

    async def happens(self, which: int) -> None:
        if self.told[which] == len(STORY):
            return
        transition = STORY[self.told[which]]
        self.told[which] += 1
        about = incident(self.first + which)
        rows = messages_for(about, transition, self.settings.alerts, FACTS, self.clock.now())
        await self.store.transact(lambda tx: [tx.enqueue(row) for row in rows])
        self.alerting.wake()

    async def pass_time(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            await self.clock.advance(min(left, self.clock.until_next_alarm(left)))
            await self.quiet()

    async def quiet(self) -> None:
        """Wait until nothing moves; start a dead controller again."""
        await quiet(self.store, self.mortal)
        while self.task is not None and self.task.done():
            self.task.result()
            self.start()
            await quiet(self.store, self.mortal)

    async def rows(self) -> list[OutboxRow]:
        rows = await self.store.transact(lambda tx: tx.outbox(limit=200))
        return sorted((row for row in rows if row.channel == self.channel), key=lambda row: row.id)

    async def finish(self) -> list[OutboxRow]:
        """Good days: everything works and nobody dies, for as long as the slowest retry takes."""
        self.fate.at = None
        self.world.mood = "takes"
        await self.pass_time(3000)
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return await self.rows()


async def _example(store: SqlStore, kind: str, script: list[tuple[str, int | str]]) -> int:
    """Run `script` and check everything; how often the controller died."""
    run = Run(store, kind)
    run.start()
    for what, value in script:
        await run.step(what, value)
    rows = await run.finish()
    _nothing_is_lost(run, rows)
    _no_story_is_told_backwards(run, rows)
    _no_more_doubles_than_deaths(run)
    return run.fate.deaths


def _nothing_is_lost(run: Run, rows: list[OutboxRow]) -> None:
    assert len(rows) == sum(run.told)
    arrived = {message.key: message for message in run.world.wire}
    for row in rows:
        own = key_of("quan-son", row)
        match row.state:
            case OutboxState.SENT:
                assert own in arrived
            case OutboxState.MERGED:
                teller = arrived.get(row.last_error.removeprefix("told with "))
                assert teller is not None or run.world.unsure
                assert teller is None or row.body in teller.body or f"số {row.incident}: " in teller.body
            case OutboxState.UNCERTAIN:
                assert run.world.unsure >= 2
            case state:
                pytest.fail(f"{row.transition} of {row.incident} is left {state}")


def _no_story_is_told_backwards(run: Run, rows: list[OutboxRow]) -> None:
    order = {key_of("quan-son", row): row.id for row in rows}
    for which in range(len(run.told)):
        told = [m.key for m in run.world.wire if m.data["incident"] == run.first + which]
        ids = [order[key] for key in told]
        assert ids == sorted(ids)


def _no_more_doubles_than_deaths(run: Run) -> None:
    doubles = len(run.world.wire) - len({message.key for message in run.world.wire})
    assert doubles <= run.fate.deaths + run.world.unsure


@contextmanager
def database() -> Iterator[tuple[asyncio.Runner, SqlStore]]:
    with asyncio.Runner() as runner:
        store = SqlStore("sqlite://")
        runner.run(store.open())
        yield runner, store
        runner.run(store.close())


@pytest.mark.parametrize("kind", ["webhook", "smtp"])
def test_no_message_is_lost_or_told_backwards_whenever_anything_fails(kind: str) -> None:
    with database() as (runner, store):

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(steps, max_size=25))
        def holds(script: list[tuple[str, int | str]]) -> None:
            runner.run(_example(store, kind, script))

        holds()


def test_a_death_at_every_single_place_of_a_story_loses_nothing() -> None:
    """Not left to chance: each of the first forty places once."""
    deaths = 0
    with database() as (runner, store):
        for place in range(40):
            script: list[tuple[str, int | str]] = [
                ("dies after", place),
                ("happens", 0),
                ("mood", "busy"),
                ("happens", 0),
                ("pass", 20),
                ("mood", "takes"),
                ("happens", 1),
                ("happens", 0),
                ("pass", 90),
            ]
            deaths += runner.run(_example(store, "webhook", script))
        assert deaths >= 20, "the places are there"


# --- a person with two channels ----------------------------------------------------------------------------------

REFUSALS = ("takes", "busy", "refuses for good", "takes it and is silent")


@dataclass
class Line:
    """One of a person's two channels; what arrives goes to the person."""

    fate: Fate
    heard: list[str]
    mood: str = "takes"
    unsure: int = 0

    async def send(self, channel: Channel, message: Outgoing) -> None:
        self.fate.here()
        if self.mood == "busy":
            raise NotifyError("503")
        if self.mood == "refuses for good":
            raise NotifyError("410", permanent=True)
        self.heard.append(str(message.data["transition"]))
        self.fate.here()
        if self.mood == "takes it and is silent":
            self.unsure += 1
            raise NotifyError("silence", uncertain=True)


class TwoLines(Run):
    """One incident told to somebody with a webhook and, if that fails, a mailbox."""

    def __init__(self, store: SqlStore) -> None:
        super().__init__(store, "webhook")
        self.heard: list[str] = []
        self.lines = {kind: Line(self.fate, self.heard) for kind in ("webhook", "smtp")}
        first, second = Channel("webhook", f"http://{self.first}"), Channel("smtp", f"{self.first}@example.org")
        self.settings = alerts_support.settings(person(self.person, first, second))

    def start(self) -> None:
        self.fate.dead = False
        self.alerting = Alerting(
            self.settings, store=self.mortal, clock=self.clock, notifiers=dict(self.lines), changes=Changes()
        )
        self.task = asyncio.create_task(self._live())

    async def step(self, what: str, value: int | str) -> None:
        if what == "mood":
            kind, _, mood = str(value).partition(": ")
            self.lines[kind].mood = mood
            await self.quiet()
        else:
            await super().step(what, 0 if what == "happens" else value)

    async def rows(self) -> list[OutboxRow]:
        return await self.store.transact(lambda tx: tx.outbox(self.first))


two_line_steps = st.one_of(
    st.tuples(st.just("happens"), st.just(0)),
    st.tuples(st.just("pass"), st.sampled_from([1, 20, 90, 310, 1000])),
    st.tuples(
        st.just("mood"), st.sampled_from([f"{kind}: {mood}" for kind in ("webhook", "smtp") for mood in REFUSALS])
    ),
    st.tuples(st.just("dies after"), st.integers(0, 9)),
)


async def _two_lines(store: SqlStore, script: list[tuple[str, int | str]]) -> None:
    run = TwoLines(store)
    run.start()
    for what, value in script:
        await run.step(what, value)
    for line in run.lines.values():
        line.mood = "takes"
    rows = await run.finish()
    assert {row.state for row in rows} <= {
        OutboxState.SENT, OutboxState.MERGED, OutboxState.DEAD, OutboxState.UNCERTAIN,
    }  # fmt: skip
    for transition in STORY[: run.told[0]]:
        told = {row.state for row in rows if row.transition == transition}
        assert told & {OutboxState.SENT, OutboxState.MERGED, OutboxState.UNCERTAIN} or told == {OutboxState.DEAD}
    order = [STORY.index(transition) for transition in run.heard]
    assert order == sorted(order), "across both channels no story is told backwards"
    doubles = len(run.heard) - len(set(run.heard))
    assert doubles <= run.fate.deaths + sum(line.unsure for line in run.lines.values())


def test_two_channels_of_a_person_tell_every_story_once_and_in_order() -> None:
    with database() as (runner, store):

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @example(
            [
                *[("happens", 0)] * 4,
                ("mood", "webhook: refuses for good"),
                ("mood", "smtp: takes it and is silent"),
                *[("happens", 0)] * 2,
            ]
        )
        @example([*[("happens", 0)] * 4, ("dies after", 8), ("happens", 0), ("happens", 0)])
        @given(st.lists(two_line_steps, max_size=25))
        def holds(script: list[tuple[str, int | str]]) -> None:
            runner.run(_two_lines(store, script))

        holds()
