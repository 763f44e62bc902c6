"""A scenario in compressed time: the whole controller, as `app.build` wires it, over a district of simulated nodes.

One event after the other: time moves to whatever comes next (a heartbeat, a step of the scenario, a deadline of
the controller), and everything comes to rest before it moves again. So a night takes seconds, and every run of a
seed is the same run.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, timedelta

from controller.app import App, build
from controller.domain.site import Settings
from controller.ports import NOBODY_SUBSCRIBED, ConfigRefused
from controller.rehearsal.scenario import Scenario, StepIn, members
from controller.rehearsal.verdict import Concluded, concluded
from controller.rehearsal.world import (
    NEVER,
    Phones,
    RestingStore,
    Silence,
    VirtualBus,
    VirtualClock,
    VirtualTimer,
    quiet,
)
from controller.wire.signing import generate_key, key_from_seed
from controller.wire.topics import Topics
from simulators.trust import Rejected
from simulators.weather import Moment, Post, Radio, Said

WARM_UP = timedelta(minutes=5)
"""Before the scenario begins: everybody connects and is well."""

KEEPALIVE_S = 20.0
UNNOTICED_S = 1.5 * KEEPALIVE_S
"""How long a broker takes a silent connection for a living one."""

RETRY_S = (1.0, 5.0)
BROKER_RETRY_S = (1.0, 30.0)
BOOT_S = 3.0
REPEAT_S = 1.0
"""A step of a value is told a second time so much later."""

KEY = key_from_seed(bytes(range(1, 33)))


@dataclass(slots=True)
class Session:
    """A connection as the broker sees it."""

    post: Post
    will: Said


class Stage:
    """Plays `scenario` with a controller of `settings`, which are those of its district."""

    def __init__(self, scenario: Scenario, settings: Settings) -> None:
        self._scenario = scenario
        self._settings = settings
        zone = settings.site.zone
        self._began = scenario.starts.replace(tzinfo=zone).astimezone(UTC)
        self._clock = VirtualClock(self._began - WARM_UP)
        self._zero = self._clock.monotonic() + WARM_UP.total_seconds()
        self._rng = random.Random(scenario.seed)  # noqa: S311  must repeat by seed
        self._topics = Topics(settings.site.mqtt.root)
        self._members = members(scenario.network)
        self._posts = {id: self._post(id) for id in self._members["all"]}
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, bytes] = {}
        self._broker_up = True
        self._delay_s = 0.0
        self._drowned: dict[str, float] = {}
        self._wet: dict[str, list[Said]] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._later: list[Callable[[], object]] = []
        self._beating: dict[int, float] = {}
        self._store = RestingStore()
        self._phones = Phones()
        self._app: App | None = None
        self._bus: VirtualBus | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: VirtualTimer | None = None
        self.heartbeats = 0

    # --- from outside ---------------------------------------------------------------------------------------

    async def play(self) -> Concluded:
        """From before the beginning to the end; what the controller then has on record."""
        await self._store.open()
        try:
            await self._begin_controller()
            self._schedule()
            end = self._zero + self._scenario.lasts.total_seconds()
            await self._until(end)
            since = self._began - WARM_UP
            rows = await self._store.read(lambda tx: {i.id: i for i in [*tx.incidents(since), *tx.open_incidents()]})
            return concluded(rows.values(), self._began, self._phones.rung)
        finally:
            await self._end_controller()
            await self._store.end()

    # --- time -----------------------------------------------------------------------------------------------

    def _at(self, mono: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._due, (mono, next(self._order), call))

    def _in(self, seconds: float, call: Callable[[], None]) -> None:
        self._at(self._clock.monotonic() + seconds, call)

    def _now(self) -> Moment:
        return Moment(self._clock.now(), self._clock.monotonic())

    async def _until(self, end: float) -> None:
        while True:
            await self._rest()
            jobs = self._timer.next_due() if self._timer else NEVER
            upcoming = min(self._due[0][0] if self._due else NEVER, self._clock.next_wake(), jobs)
            if upcoming > end:
                break
            self._clock.move(upcoming)
            while self._due and self._due[0][0] <= self._clock.monotonic():
                heapq.heappop(self._due)[2]()
            if self._timer:
                await self._timer.run_due()
        self._clock.move(end)
        await self._rest()

    async def _rest(self) -> None:
        """Hand over what was said, until nobody says anything more."""
        while True:
            if self._bus is not None:
                self._bus.flush()
            await quiet(self._store)
            if self._task is not None and self._task.done():
                self._task.result()
                raise AssertionError("the controller ended by itself")
            orders, self._later = self._later, []
            for order in orders:
                await self._ordered(order)
            if not orders and (self._bus is None or not self._bus.waiting):
                return

    async def _ordered(self, order: Callable[[], object]) -> None:
        done = order()
        if asyncio.iscoroutine(done):
            await done

    # --- the controller -------------------------------------------------------------------------------------

    async def _begin_controller(self) -> None:
        self._bus = VirtualBus(self._clock, self._take)
        self._timer = VirtualTimer(self._clock)
        self._app = build(
            self._settings,
            clock=self._clock,
            bus=self._bus,
            store=self._store,
            timer=self._timer,
            library=Silence(),
            notifiers={"webhook": self._phones},
            key=KEY,
            load=self._unchanged,
        )
        await self._app.start()
        self._task = asyncio.create_task(self._app.run())
        if self._broker_up:
            self._bus.up(self._retained_now())

    async def _end_controller(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await quiet(self._store)
        self._task = self._app = self._bus = self._timer = None

    def _unchanged(self) -> Settings:
        raise ConfigRefused(("a scenario has one configuration",))

    # --- the broker -----------------------------------------------------------------------------------------

    def _retained_now(self) -> list[tuple[str, bytes]]:
        mine = f"{self._topics.root}/up/"
        return [(topic, payload) for topic, payload in self._retained.items() if topic.startswith(mine)]

    def _take(self, topic: str, payload: bytes, retain: bool) -> str:
        """What the controller publishes."""
        if retain:
            self._retained[topic] = payload
        parts = topic.split("/")
        node = parts[-2] if parts[-3:-2] == ["dn"] else ""
        session = self._sessions.get(node)
        if session is None:
            return "" if retain else NOBODY_SUBSCRIBED
        if session.post.connected:
            self._in(self._delay_s, lambda: self._hears(session.post, topic, payload))
        return ""

    def _hears(self, post: Post, topic: str, payload: bytes) -> None:
        if post.connected and post.powered and not self._is_drowned(post):
            self._says(post, post.hear(topic, payload, self._now()))

    def _says(self, post: Post, messages: Iterable[Said]) -> None:
        """On its way, if the connection is one: lost at QoS 0 while nothing passes, otherwise late."""
        for said in messages:
            if not post.connected:
                continue
            if self._is_drowned(post):
                if said.qos:
                    self._wet.setdefault(post.id, []).append(said)
            elif self._delay_s:
                late = self._delay_s * self._rng.uniform(0.5, 1.5)
                self._in(late, lambda said=said: self._arrives(said))  # type: ignore[misc]
            else:
                self._arrives(said)

    def _arrives(self, said: Said) -> None:
        if not self._broker_up:
            return
        if said.retain:
            self._retained[said.topic] = said.payload
        if self._bus is not None:
            self._bus.feed(said.topic, said.payload)

    def _connect(self, post: Post, tries: tuple[float, float] = RETRY_S) -> None:
        """A node finds its broker, unless something keeps it from it."""
        if not post.powered or post.connected or "link" in post.parts.faults:
            return
        if not self._broker_up:
            self._in(self._rng.uniform(*tries), lambda: self._connect(post, BROKER_RETRY_S))
            return
        old = self._sessions.pop(post.id, None)
        if old is not None:
            self._taken_over(old)
        will = post.will(self._now())
        post.connected = True
        self._sessions[post.id] = Session(post, will)
        self._says(post, post.birth(self._now()))
        kept = self._retained.get(self._topics.playlists(post.id))
        if kept is not None:
            self._hears(post, self._topics.playlists(post.id), kept)

    def _taken_over(self, old: Session) -> None:
        """Somebody else came under its name: the broker ends the old connection, and its will is told."""
        self._arrives(old.will)
        if old.post.connected:
            old.post.connected = False
            self._in(self._rng.uniform(*RETRY_S), lambda: self._connect(old.post))

    def _cut(self, post: Post, *, unnoticed: bool) -> None:
        """The connection is gone; the broker learns of it at once, or when its keepalive is over."""
        post.connected = False
        session = self._sessions.get(post.id)
        if session is None or session.post is not post:
            return
        self._in(UNNOTICED_S if unnoticed else 0.0, lambda: self._dead(session))

    def _dead(self, session: Session) -> None:
        if self._sessions.get(session.post.id) is session:
            del self._sessions[session.post.id]
            self._arrives(session.will)

    # --- nodes ----------------------------------------------------------------------------------------------

    def _post(self, id: str, device: str = "") -> Post:
        network = self._scenario.network
        return Post(
            id,
            self._topics,
            (KEY.public_jwk,),
            seed=f"{self._scenario.seed}:{id}{device}",
            heartbeat_s=network.heartbeat.total_seconds(),
            battery_wh=network.battery_wh,
        )

    def _boot(self, post: Post) -> None:
        post.power_on()
        self._connect(post)
        self._beats(post, post.rng.uniform(0, post.heartbeat_s))

    def _beats(self, post: Post, after_s: float) -> None:
        """The next heartbeat; on whole seconds, so that those of a fleet come in batches. One chain a node."""
        due = float(int(self._clock.monotonic() + after_s) + 1)
        self._beating[id(post)] = due
        self._at(due, lambda: self._beat(post, due))

    def _beat(self, post: Post, due: float) -> None:
        now = self._now()
        if self._beating.get(id(post)) != due or not post.powered:
            return
        if not post.live(now):
            self._dies(post)
            return
        self._says(post, post.overdue(now))
        if post.connected and not post.drowned():
            self.heartbeats += 1
            self._says(post, [post.beat(now)])
        self._beats(post, REPEAT_S if post.stepped() else post.heartbeat_s * post.rng.uniform(0.9, 1.1) - 0.5)

    def _dies(self, post: Post) -> None:
        """The battery is empty."""
        post.powered = False
        self._cut(post, unnoticed=True)

    def _is_drowned(self, post: Post) -> bool:
        return self._drowned.get(post.id, 0.0) > self._clock.monotonic()

    # --- what befalls them ----------------------------------------------------------------------------------

    def _schedule(self) -> None:
        for post in self._posts.values():
            self._in(self._rng.uniform(0, 10), lambda post=post: self._boot(post))  # type: ignore[misc]
        for step in self._scenario.steps:
            self._at(self._zero + step.at.total_seconds(), lambda step=step: self._happens(step))  # type: ignore[misc]

    def _happens(self, step: StepIn) -> None:
        act = getattr(self, f"_do_{step.action}")
        if step.action in ("broker", "controller", "step", "delay", "acknowledge", "repair"):
            act(step)
            return
        for node in dict.fromkeys(node for name in step.to for node in self._members[name]):
            late = self._rng.uniform(0, step.spread.total_seconds())
            self._in(late, lambda post=self._posts[node]: act(step, post))  # type: ignore[misc]

    def _do_break(self, step: StepIn, post: Post) -> None:
        assert step.broken is not None
        post.live(self._now())
        given = post.parts.inject(step.broken, step.arguments)
        match step.broken:
            case "link":
                self._cut(post, unnoticed=bool(given["silent"]))
            case "reboots":
                self._reboot(post, int(given["times"]))
            case "security":
                self._says(post, self._forged(post))
            case "clock" | "clock-drift":
                offset = timedelta(milliseconds=float(given["offset_ms"]))
                self._says(post, post.set_clock(offset, synced=step.broken != "clock", now=self._now()))
        self._stepped(post)

    def _forged(self, post: Post) -> list[Said]:
        return post.refuse("playlists", Rejected("unknown-key", alarming=True), self._now())

    def _reboot(self, post: Post, times: int) -> None:
        for n in range(times):
            self._in(6.0 * n, lambda: self._restart(post))

    def _restart(self, post: Post) -> None:
        post.powered = False
        self._cut(post, unnoticed=False)
        self._in(BOOT_S, lambda: self._boot(post))

    def _do_mend(self, step: StepIn, post: Post) -> None:
        post.live(self._now())
        mended = post.parts.mend(None if step.mend == "everything" else step.mend)
        if {"clock", "clock-drift"} & set(mended):
            self._says(post, post.set_clock(timedelta(0), synced=True, now=self._now()))
        if not post.powered and post.parts.powered():
            self._in(BOOT_S, lambda: self._boot(post))
        elif "link" in mended:
            self._in(self._rng.uniform(*RETRY_S), lambda: self._connect(post))
        self._stepped(post)

    def _stepped(self, post: Post) -> None:
        """A step of a value is told at once."""
        if post.powered and post.parts.state() != post.told:
            self._beats(post, 0.0)

    def _do_battery(self, step: StepIn, post: Post) -> None:
        assert step.battery is not None
        post.parts.battery_wh = step.battery

    def _do_fade(self, step: StepIn, post: Post) -> None:
        assert step.fade is not None
        post.radio = Radio(step.fade.rsrp, step.fade.sinr, step.fade.loss)
        self._in(step.lasts.total_seconds(), lambda: setattr(post, "radio", None))

    def _do_lose(self, step: StepIn, post: Post) -> None:
        """Bursts at random that take the share of the time they are to take."""
        assert step.lose is not None
        burst, end = step.lose.burst.total_seconds(), self._clock.monotonic() + step.lasts.total_seconds()
        pause = burst * (1 / step.lose.share - 1) if step.lose.share else NEVER
        start = self._clock.monotonic() + self._rng.expovariate(1 / pause)
        while start < end:
            self._at(start, lambda: self._drown(post, burst))
            start += burst + self._rng.expovariate(1 / pause)

    def _drown(self, post: Post, burst_s: float) -> None:
        self._drowned[post.id] = self._clock.monotonic() + burst_s
        self._in(burst_s, lambda: self._surface(post))

    def _surface(self, post: Post) -> None:
        """What the transport kept comes now."""
        if not self._is_drowned(post):
            self._says(post, self._wet.pop(post.id, []))

    def _do_delay(self, step: StepIn) -> None:
        assert step.delay is not None
        self._delay_s = step.delay.total_seconds()
        self._in(step.lasts.total_seconds(), lambda: setattr(self, "_delay_s", 0.0))

    def _do_broker(self, step: StepIn) -> None:
        """It is killed: no will is told, and everybody comes back when it does."""
        self._broker_up = False
        if self._bus is not None:
            self._bus.down()
        self._sessions.clear()
        self._in(step.lasts.total_seconds(), self._broker_back)
        for post in self._posts.values():
            if post.connected:
                post.connected = False
                self._in(self._rng.uniform(*RETRY_S), lambda post=post: self._connect(post))  # type: ignore[misc]

    def _broker_back(self) -> None:
        self._broker_up = True
        if self._bus is not None and self._bus.wanted:
            self._bus.up(self._retained_now())

    def _do_controller(self, step: StepIn) -> None:
        self._later.append(self._end_controller)
        self._in(step.lasts.total_seconds(), lambda: self._later.append(self._begin_controller))

    def _do_step(self, step: StepIn) -> None:
        assert step.step is not None
        self._clock.step(step.step)

    def _do_clone(self, step: StepIn, post: Post) -> None:
        """A second device with the same identity, until it is found and switched off."""
        twin = self._post(post.id, device="'")
        self._boot(twin)
        self._in(step.lasts.total_seconds(), lambda: self._switch_off(twin))

    def _switch_off(self, post: Post) -> None:
        post.powered = False
        self._cut(post, unnoticed=False)

    def _do_keys(self, step: StepIn, post: Post) -> None:
        """Its board was exchanged for one that trusts another controller."""
        post.forget((generate_key().public_jwk,))
        self._restart(post)

    def _do_acknowledge(self, step: StepIn) -> None:
        assert step.acknowledge is not None
        name = step.acknowledge
        self._later.append(lambda: self._by_person(step, name.subject, name.cause, repaired=False))

    def _do_repair(self, step: StepIn) -> None:
        assert step.repair is not None
        name = step.repair
        self._later.append(lambda: self._by_person(step, name.subject, name.cause, repaired=True))

    async def _by_person(self, step: StepIn, subject: str, cause: str, *, repaired: bool) -> None:
        """A technician tells the controller, if there is anything of that kind to tell of."""
        if self._app is None:
            return
        rows = await self._store.read(lambda tx: tx.open_incidents())
        for row in rows:
            if (row.subject, row.cause) == (subject, cause):
                act = self._app.monitoring.repaired if repaired else self._app.monitoring.acknowledge
                await act(row.id, step.by)
