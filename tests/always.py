"""The world of the eight lines that are always true (tests/property/test_always_true.py): a small district, everything
that befalls it, the people and their receivers, and a controller that dies where a test says and is begun anew from its
database. Monitoring, alerting and the SQLite store are the real ones; time is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st

from controller.adapters.store.sql import SqlStore
from controller.domain.duty import Shift
from controller.domain.escalation import AlertSettings, Channel, Escalation, OutboxRow, OutboxState, Person
from controller.domain.hush import Hush, HushKind
from controller.domain.incidents import IncidentEvent
from controller.domain.outbox import key_of
from controller.domain.site import Settings
from controller.ports import NotifyError, Outgoing, Tx
from controller.services.alerting import Alerting
from controller.services.changes import Changes
from tests.fakes import FakeClock, settle
from tests.health_support import REBOOTS, RULES, Busy, Speaker, Ward, district

T = TypeVar("T")

# --- dying ------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here, at once."""


@dataclass
class Fate:
    """Counts the places where the controller can die: before and after every commit, before and after every delivery.
    At the place `at` from now it does, and everything of it with it."""

    at: int | None = None
    dead: bool = False
    deaths: int = 0

    def here(self) -> None:
        if self.at is not None and not self.dead:
            self.dead = self.at == 0
            self.deaths += self.dead
            self.at = None if self.dead else self.at - 1
        if self.dead:
            raise Killed


class MortalStore(Busy):
    """A real store whose user may die right before a commit, or right after it."""

    def __init__(self, inner: SqlStore, fate: Fate) -> None:
        super().__init__(inner)
        self.fate = fate

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        self.fate.here()
        result = await super().transact(work, ahead=ahead)
        self.fate.here()
        return result


# --- people and what they hear ----------------------------------------------------------------------------------

LAN = Person(
    "lan", "Lan", "vi", (Channel("webhook", "http://127.0.0.1:9/lan"), Channel("smtp", "lan@example.org")), phone="0900"
)
DINH = Person(
    "dinh", "Định", "vi", (Channel("smtp", "dinh@example.org"),), also=(Channel("webhook", "http://127.0.0.1:9/dinh"),)
)
TUAN = Person("tuan", "Tuấn", "vi", (Channel("smtp", "tuan@example.org"),), technician=False)
HOA = Person("hoa", "Hòa", "vi", (Channel("smtp", "hoa@example.org"),), technician=False)
PEOPLE = (LAN, DINH, TUAN, HOA)
TECHNICIANS = ("lan", "dinh")
ROTA = {"district": (Shift(("tuan",)),), "manager": (Shift(("hoa",)),)}

CHANNELS = tuple(channel.id for person in PEOPLE for channel in person.every_channel)
FAILING = ("busy", "loses it and is silent", "takes it and is silent")
MOODS = ("takes", *FAILING, "refuses for good")

STAFFED = AlertSettings(people=PEOPLE, on_call=ROTA)


@dataclass(frozen=True)
class Arrival:
    """A message at its receiver. `at`: true seconds, whatever the clock on the wall says."""

    at: float
    recipient: str
    channel: str
    message: Outgoing


@dataclass
class Post:
    """The receivers of one kind of channel."""

    world: World

    async def send(self, channel: Channel, message: Outgoing) -> None:
        fate, mood = self.world.fate, self.world.moods.get(channel.id, "takes")
        fate.here()
        await asyncio.sleep(0)
        if mood == "busy":
            raise NotifyError("450 busy")
        if mood == "refuses for good":
            raise NotifyError("550 no such user", permanent=True)
        if mood != "loses it and is silent":
            self.world.wire.append(Arrival(self.world.clock.mono, str(message.data["recipient"]), channel.id, message))
        await asyncio.sleep(0)
        fate.here()
        if mood != "takes":
            self.world.unsure += 1
            raise NotifyError("silence", uncertain=True)


# --- what happens -----------------------------------------------------------------------------------------------

FAULTS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mains": ({"mains_v": 0.0}, {"mains_v": 221.0}),
    "battery": ({"batt_v": 10.5}, {"batt_v": 13.1}),
    "hot": ({"amp_temp_c": 80.0}, {"amp_temp_c": 41.0}),
    "very-hot": ({"amp_temp_c": 95.0}, {"amp_temp_c": 41.0}),
    "line": ({"line_z_ohm": 90.0}, {"line_z_ohm": 8.0}),
    "amplifier": ({"amp_pilot_db": -90.0}, {"amp_pilot_db": -30.0}),
}

NETWORK = ("break", "mend", "flap", "worsen", "selftest", "die", "will", "live", "reboot", "report", "retract")
AREAS = ("dark", "light", "cut", "joined", "storm")
"""Of a whole commune, its nodes in an order of their own: without mains, with it, silent, back, each broken in its own
way."""
PEOPLES = ("ack", "repaired", "silence", "unsilence", "maintain", "maintained")
SENDING = ("mood", "kill", "restart")


@dataclass(frozen=True)
class Step:
    """`do`, to `node` if it is about one, then `wait_s` go by with heartbeats. `n`: anything it must choose."""

    do: str
    node: str
    wait_s: int
    fault: str
    n: int


def histories(
    nodes: Sequence[str], do: Iterable[str], waits: Sequence[int] = (0, 5, 20, 70, 400, 1000, 2000), most: int = 10
) -> st.SearchStrategy[list[Step]]:
    """Up to `most` steps of these kinds."""
    step = st.builds(
        Step,
        do=st.sampled_from([*do, "break"]),
        node=st.sampled_from(nodes),
        wait_s=st.sampled_from(waits),
        fault=st.sampled_from(sorted(FAULTS)),
        n=st.integers(0, 99),
    )
    return st.lists(step, max_size=most)


class World(Ward):
    """A whole running controller: what it hears, whom it tells. Dies by `fate`, begun anew from its database."""

    def __init__(self, configured: Settings) -> None:
        self.fate = Fate()
        store = MortalStore(SqlStore("sqlite://"), self.fate)
        super().__init__(configured, store=store, clock=FakeClock())
        self.fresh = True
        self.wire: list[Arrival] = []
        self.moods: dict[str, str] = {}
        self.unsure = self.cut_off = 0
        """How many deliveries ended without a word of the receiver, and how many in the death of the controller."""
        self.on_reborn: Callable[[], Any] | None = None
        """Awaited each time the controller died, before it is begun anew."""
        self._sending: asyncio.Task[None] | None = None
        self._echo: list[list[Any]] | None = None

    # --- living and dying ---------------------------------------------------------------------------------------

    async def begin(self, bus: bool = True) -> None:
        notifiers: Any = {kind: Post(self) for kind in ("webhook", "smtp")}
        self.alerting = Alerting(
            self.settings,
            store=self.store,
            clock=self.clock,
            notifiers=notifiers,
            changes=Changes(),
            on_outcome=lambda: self.monitoring.look_again(),
        )
        await super().begin(bus)
        self._sending = asyncio.create_task(self.alerting.run())
        await self.retained()
        await self.quiet()

    async def end(self) -> None:
        for task in (self._sending, self._task):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Killed, BaseExceptionGroup):
                    await task
        self._sending = self._task = None
        await self.quiet()

    def _wake(self) -> None:
        super()._wake()
        self.alerting.wake()

    async def retained(self) -> None:
        """What the broker kept of each node comes first."""
        for speaker in self.speakers.values():
            if speaker.said is not None:
                await self.monitoring.on_statuses([(speaker.id, speaker.said, self.clock.monotonic(), True)])
            if speaker.id in self.reports:
                await speaker.fault("clock")

    async def reborn(self) -> None:
        """If the controller died, begin it anew from what it wrote down."""
        while self.fate.dead:
            await self.end()
            self.fate.dead = False
            self.cut_off += sum(row.state is OutboxState.CLAIMED for row in (await self.book()).rows)
            if self.on_reborn is not None:
                await self.on_reborn()
            with suppress(Killed):
                await self.begin()

    async def quiet(self) -> None:
        """As every ward's, with fewer looks: these worlds live long."""
        await settle(6)
        while self.store.under_way:
            await asyncio.sleep(0.0001)
            await settle(6)

    async def wait(self, seconds: float) -> None:
        await super().wait(seconds)
        await self.reborn()

    async def beat_all(self) -> None:
        with suppress(Killed):
            await super().beat_all()
        if self._echo is not None:
            await self._hear_again()
        await self.reborn()

    # --- echoes -------------------------------------------------------------------------------------------------

    def echo(self) -> None:
        """From now on everything comes twice, and old things after newer ones."""
        self._echo = []

    async def _hear_again(self) -> None:
        assert self._echo is not None
        said = [(each.id, each.last) for each in self.speakers.values() if each.last is not None]
        self._echo.append(said)
        for old in (said, self._echo[max(0, len(self._echo) - 4)], self._echo[0]):
            batch = [(id, beat, self.clock.monotonic()) for id, beat in old if self.speakers[id].alive]
            with suppress(Killed):
                await self.monitoring.on_heartbeats(batch)
        for speaker in self.speakers.values():
            if speaker.said is not None and speaker.said.online:
                with suppress(Killed):
                    await self.monitoring.on_statuses([(speaker.id, speaker.said, self.clock.monotonic(), True)])
        await self.quiet()

    # --- what happens -------------------------------------------------------------------------------------------

    async def play(self, history: Iterable[Step]) -> None:
        for step in history:
            with suppress(Killed):
                await self._act(step)
            await self.reborn()
            await self.beat_all()
            await self.pass_time(step.wait_s, step=10 if step.wait_s <= 400 else 30)

    async def _act(self, step: Step) -> None:
        if step.do in AREAS:
            await self._area(step)
        elif step.do in PEOPLES:
            await self._people(step)
        elif step.do in SENDING:
            await self._controller(step)
        else:
            await self._node(self[step.node], step)

    async def _node(self, speaker: Speaker, step: Step) -> None:
        bad, good = FAULTS[step.fault]
        match step.do:
            case "break":
                speaker.metrics |= bad
            case "mend":
                speaker.metrics |= good
            case "worsen":
                speaker.metrics |= FAULTS["very-hot"][0]
            case "flap":
                for _ in range(3 + step.n % 4):
                    for metrics in (bad, good):
                        speaker.metrics |= metrics
                        await self.pass_time(75, step=25)
            case "selftest" if speaker.alive:
                passed = speaker.metrics["amp_pilot_db"] > -60
                await speaker.selftest("passed" if passed else "failed", **speaker.metrics)
            case "die":
                speaker.alive = False
            case "will" if speaker.alive:
                await speaker.farewell()
            case "live" if not speaker.alive:
                speaker.conn += 1
                await speaker.birth()
            case "reboot":
                await speaker.reboot(f"b{self.clock.mono}")
            case "report" if speaker.alive:
                self.reports.add(speaker.id)
                await speaker.fault("clock")
            case "retract" if speaker.alive:
                self.reports.discard(speaker.id)
                await speaker.fault("clock", raised=False)

    async def _area(self, step: Step) -> None:
        ids = sorted(each.id for each in self.commune(self.settings.nodes[step.node].commune))
        turn = step.n % len(ids)
        ids = [*ids[turn:], *ids[:turn]][:: -1 if step.n % 2 else 1]
        for id, fault in zip(ids, ("hot", "line", "amplifier", "battery", "very-hot", "hot"), strict=False):
            speaker = self[id]
            match step.do:
                case "storm":
                    speaker.metrics |= FAULTS[fault][0]
                case "dark":
                    speaker.metrics |= FAULTS["mains"][0]
                case "light":
                    speaker.metrics |= FAULTS["mains"][1]
                case "cut" if speaker.alive:
                    await speaker.farewell()
                case "joined" if not speaker.alive:
                    speaker.conn += 1
                    await speaker.birth()
            await self.wait(step.n % 3)

    async def _people(self, step: Step) -> None:
        now = self.clock.now()
        until = now + timedelta(seconds=(60, 600, 3000)[step.n % 3])
        match step.do:
            case "ack" | "repaired":
                opens = [each.id for each in await self.seen(lambda tx: tx.open_incidents()) if each.announced]
                act = self.monitoring.acknowledge if step.do == "ack" else self.monitoring.repaired
                if opens:
                    with suppress(KeyError):
                        await act(opens[step.n % len(opens)], "lan")
            case "silence":
                where: Any = ({"nodes": (step.node,)}, {"communes": ("c1",)}, {"codes": ("mains-lost", "link")})
                await self.monitoring.hush(Hush(HushKind.SILENCE, now, until, "x", "an", **where[step.n % 3]))
            case "unsilence":
                live = [each for each in await self.seen(lambda tx: tx.hushes(now)) if not each.over(now)]
                if live:
                    with suppress(KeyError):
                        await self.monitoring.end_hush(live[-1].id, "an")
            case "maintain":
                await self.configure(Hush(HushKind.MAINTENANCE, now, until, "x", communes=("c1",)))
            case "maintained":
                await self.configure()

    async def configure(self, *hushes: Hush) -> None:
        """alerts.yaml has these windows from now on."""
        self.settings = replace(self.settings, alerts=replace(self.settings.alerts, hushes=hushes))
        self.monitoring.reload(self.settings)
        self.alerting.reload(self.settings)
        await self.quiet()

    async def _controller(self, step: Step) -> None:
        match step.do:
            case "mood":
                self.moods[CHANNELS[step.n % len(CHANNELS)]] = MOODS[step.n % len(MOODS)]
            case "kill":
                self.fate.at = step.n % 24
            case "restart":
                await self.restart((0, 30, 600)[step.n % 3])

    async def finish(self) -> None:
        """Good days: nobody dies, receivers take everything, nothing is silenced; long enough for what waits."""
        await self.calm()
        await self.recover()
        await self.pass_time(2400, step=30)

    async def calm(self) -> None:
        """Nobody dies any more, receivers work, nothing is silenced. The faults stay as they are."""
        self.fate.at = None
        self.moods.clear()
        await self.configure()
        now = self.clock.now()
        for hush in await self.seen(lambda tx: tx.hushes(now)):
            if not hush.over(now):
                await self.monitoring.end_hush(hush.id, "an")

    async def recover(self) -> None:
        """Everything is mended, tested and given the time it needs."""
        for speaker in self.speakers.values():
            for _, good in FAULTS.values():
                speaker.metrics |= good
            if not speaker.alive:
                speaker.conn += 1
                await speaker.birth()
            self.reports.discard(speaker.id)
            await speaker.fault("clock", raised=False)
        await self.pass_time(90)
        for _ in range(2):
            for speaker in self.speakers.values():
                await speaker.selftest("passed", **speaker.metrics)
            await self.pass_time(700, step=30)
        await self.pass_time(3600, step=30)  # for flapping to calm down

    # --- looking ------------------------------------------------------------------------------------------------

    async def seen(self, work: Callable[[Tx], T]) -> T:
        """What stands in the database, read past the place counter."""
        inner: Any = self.store.inner
        found: T = await inner.transact(work)
        return found

    async def book(self) -> Book:
        def read(tx: Tx) -> Book:
            rows = sorted(tx.outbox(limit=100_000), key=lambda row: row.id)
            ids = range(1, 1 + max((row.id for row in tx.incidents(self.clock.wall - timedelta(days=365))), default=0))
            every = {id: tx.incident_events(id) for id in (*ids, *(row.id for row in tx.open_incidents()))}
            return Book(rows, every)

        return await self.seen(read)

    def key(self, row: OutboxRow) -> str:
        return key_of(self.settings.site.id, row)

    async def heard(self) -> dict[str, list[tuple[int, str]]]:
        """What each person read, word by word: (incident, transition), also what one message told along."""
        rows = {self.key(row): row for row in (await self.book()).rows}
        found: dict[str, list[tuple[int, str]]] = {}
        for arrival in self.wire:
            carrier, text = rows[arrival.message.key], arrival.message.body
            along: Any = arrival.message.data["merged"]
            merged = {(each["incident"], each["transition"]) for each in along}
            words = [
                (row.incident, row.transition)
                for row in rows.values()
                if row.recipient == carrier.recipient and row.id < carrier.id
                # what never arrived is in the text of what comes after it, or a line of a digest
                if (row.incident == carrier.incident and row.body in text)
                or ((row.incident, row.transition) in merged and f"số {row.incident}: " in text)
            ]
            order = {(row.incident, row.transition): row.id for row in reversed(rows.values())}
            told = sorted(set(words), key=lambda word: order[word])
            found.setdefault(arrival.recipient, []).extend([*told, (carrier.incident, carrier.transition)])
        return found


@dataclass
class Book:
    """The outbox, oldest first, and the history of each incident."""

    rows: list[OutboxRow]
    events: Mapping[int, Sequence[IncidentEvent]] = field(default_factory=dict)

    def states(self, incident: int, transition: str, recipient: str) -> set[OutboxState]:
        wanted = (incident, transition, recipient)
        return {row.state for row in self.rows if (row.incident, row.transition, row.recipient) == wanted}


def staffed(communes: int = 3, nodes_each: int = 3, escalation: Escalation | None = None) -> Settings:
    """A small district with everybody who may be told."""
    alerts = STAFFED if escalation is None else replace(STAFFED, escalation=escalation)
    rules = tuple(rule for rule in RULES if rule is not REBOOTS)  # a day long; has tests of its own
    return district(communes, nodes_each, alerts=alerts, faults=rules)
