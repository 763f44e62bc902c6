"""Does what the plan says, each act begun and undone at its time, and writes down what was wrong when and for whom."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from controller.ports import StoreError
from tests.chaos.operator import Operator
from tests.chaos.plan import Act, Kind
from tests.chaos.stage import NODES, Stage


@dataclass(slots=True)
class Alarm:
    """An emergency that was ordered. `id` empty: nobody took the order, or nobody answered."""

    commune: str
    asked: datetime
    id: str = ""
    end_asked: datetime | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that a node was given."""

    node: str
    code: str


@dataclass(slots=True)
class Hands:
    """Carries out acts on `stage`; `tell` gets a line for each."""

    stage: Stage
    operator: Operator
    tell: Callable[[str], None]
    done: list[Act] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Acts that could not be done as the network was then: a fault for nodes that are just coming up."""
    alarms: list[Alarm] = field(default_factory=list)
    faults: list[Injected] = field(default_factory=list)

    async def carry_out(self, acts: Sequence[Act], began: float) -> None:
        """All of them, `began` being the plan's zero on the monotonic clock."""
        async with asyncio.TaskGroup() as tasks:
            for act in acts:
                await asyncio.sleep(max(0.0, began + act.at_s - time.monotonic()))
                tasks.create_task(self._one(act, began), name=str(act))

    async def _one(self, act: Act, began: float) -> None:
        self.tell(str(act))
        doing = _DOING[act.kind]
        try:
            async with doing(self, act):
                self.done.append(act)
                await asyncio.sleep(max(0.0, began + act.until_s - time.monotonic()))
        except (OSError, AssertionError, StoreError) as error:
            self.refused.append(f"{act}: {type(error).__name__} {error}")

    @contextmanager
    def _trouble(self, what: str, node: str = "") -> Iterator[None]:
        trouble = self.stage.trouble(what, node)
        try:
            yield
        finally:
            self.stage.over(trouble)

    # --- processes ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def kill_controller(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            await self.stage.end(act.target, signal.SIGKILL)
            yield
            await self.stage.start(act.target)

    @asynccontextmanager
    async def stop_controller(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            self.stage.signal(act.target, signal.SIGSTOP)
            yield
            with suppress(KeyError, ProcessLookupError):
                self.stage.signal(act.target, signal.SIGCONT)

    @asynccontextmanager
    async def step_clock(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            self.stage.step_clock(act.target, act.amount)
            yield
            self.stage.step_clock(act.target, 0)

    @asynccontextmanager
    async def kill_broker(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            await self.stage.end_broker()
            yield
            await self.stage.start_broker()

    @asynccontextmanager
    async def stop_broker(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            self.stage.signal_broker(signal.SIGSTOP)
            yield
            self.stage.signal_broker(signal.SIGCONT)

    @asynccontextmanager
    async def kill_database(self, act: Act) -> AsyncIterator[None]:
        assert self.stage.cluster is not None
        with self._trouble(act.kind):
            await asyncio.to_thread(self.stage.cluster.stop, signal.SIGKILL)
            yield
            self.stage.cluster.start()  # from this thread: the server dies with the one that started it

    @asynccontextmanager
    async def stop_database(self, act: Act) -> AsyncIterator[None]:
        assert self.stage.cluster is not None
        with self._trouble(act.kind):
            self.stage.cluster.freeze(True)
            yield
            self.stage.cluster.freeze(False)

    @asynccontextmanager
    async def kill_nodes(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            await self.stage.end("nodes", signal.SIGKILL)
            yield
            await self.stage.spawn_nodes()

    @asynccontextmanager
    async def stop_nodes(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            self.stage.signal("nodes", signal.SIGSTOP)
            yield
            self.stage.signal("nodes", signal.SIGCONT)

    @asynccontextmanager
    async def kill_receivers(self, act: Act) -> AsyncIterator[None]:
        await self.stage.end("receivers", signal.SIGKILL)
        yield
        await self.stage.start_receivers()

    @asynccontextmanager
    async def stop_receivers(self, act: Act) -> AsyncIterator[None]:
        self.stage.signal("receivers", signal.SIGSTOP)
        yield
        self.stage.signal("receivers", signal.SIGCONT)

    # --- disk and cables ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def fill_disk(self, act: Act) -> AsyncIterator[None]:
        assert self.stage.disk is not None
        with self._trouble(act.kind):
            await asyncio.to_thread(self.stage.disk.fill)
            yield
            self.stage.disk.free()

    @asynccontextmanager
    async def cut(self, act: Act) -> AsyncIterator[None]:
        cable = self.stage.cables[_CABLES[act.kind]]
        with self._trouble(f"{act.kind}: {act.way}"):
            cable.cut(act.way)
            yield
            cable.mend()

    # --- nodes --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def power_cut(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind, act.target):
            await self.stage.control(do="kill", node=act.target)
            yield
            await self.stage.control(do="start", node=act.target)

    @asynccontextmanager
    async def freeze(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind, act.target):
            await self.stage.control(do="freeze", node=act.target, on=True)
            yield
            await self.stage.control(do="freeze", node=act.target, on=False)

    @asynccontextmanager
    async def node_clock(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind, act.target):
            await self.stage.control(do="offset", node=act.target, ms=act.amount * 1000, synced=False)
            yield
            await self.stage.control(do="offset", node=act.target, ms=0, synced=True)

    @asynccontextmanager
    async def fault(self, act: Act) -> AsyncIterator[None]:
        await self.stage.control(do="inject", node=act.target, fault=act.way)
        self.faults.append(Injected(act.target, act.way))
        yield
        await self.stage.control(do="mend", node=act.target, fault=act.way)

    # --- people -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def emergency(self, act: Act) -> AsyncIterator[None]:
        alarm = Alarm(act.target, datetime.now(UTC))
        self.alarms.append(alarm)
        with self._trouble(act.kind):
            ordering = asyncio.create_task(self._order(alarm), name=str(act))
            yield
            await ordering
            alarm.end_asked = datetime.now(UTC)
            if alarm.id:
                alarm.ended = await self.stage.order(f"emergency/{alarm.id}/end", by="đình") is not None

    async def _order(self, alarm: Alarm) -> None:
        """Who warns people tries again when nobody answers; not for ever."""
        for _ in range(8):
            alarm.asked = datetime.now(UTC)
            answer = await self.stage.order("emergency", sound="thu-nghiem", to=[alarm.commune], by="hương")
            if answer is not None:
                alarm.id = answer["id"]
                return
            await asyncio.sleep(0.5)

    @asynccontextmanager
    async def edit(self, act: Act) -> AsyncIterator[None]:
        self.operator.disturb()
        yield

    @asynccontextmanager
    async def bad_edit(self, act: Act) -> AsyncIterator[None]:
        with self._trouble(act.kind):
            self.operator.spoil()
            yield
            self.operator.mend()

    @asynccontextmanager
    async def order_now(self, act: Act) -> AsyncIterator[None]:
        await self.operator.play(act.target)
        yield

    async def lay_down(self) -> None:
        """Whatever was refused its undoing is undone: every node has power, a good clock and no fault."""
        for node in NODES:
            for request in (
                {"do": "start"},
                {"do": "freeze", "on": False},
                {"do": "offset", "ms": 0, "synced": True},
                {"do": "mend"},
            ):
                await self.stage.control(node=node, **request)
        if self.stage.disk is not None:
            self.stage.disk.free()


_CABLES = {Kind.CUT_NODES: "nodes", Kind.CUT_CONTROLLERS: "controllers", Kind.CUT_AUDIO: "audio"}

_DOING = {
    Kind.KILL_CONTROLLER: Hands.kill_controller,
    Kind.STOP_CONTROLLER: Hands.stop_controller,
    Kind.STEP_CLOCK: Hands.step_clock,
    Kind.KILL_BROKER: Hands.kill_broker,
    Kind.STOP_BROKER: Hands.stop_broker,
    Kind.KILL_DATABASE: Hands.kill_database,
    Kind.STOP_DATABASE: Hands.stop_database,
    Kind.KILL_NODES: Hands.kill_nodes,
    Kind.STOP_NODES: Hands.stop_nodes,
    Kind.KILL_RECEIVERS: Hands.kill_receivers,
    Kind.STOP_RECEIVERS: Hands.stop_receivers,
    Kind.FILL_DISK: Hands.fill_disk,
    **dict.fromkeys(_CABLES, Hands.cut),
    Kind.POWER_CUT: Hands.power_cut,
    Kind.FREEZE: Hands.freeze,
    Kind.NODE_CLOCK: Hands.node_clock,
    Kind.FAULT: Hands.fault,
    Kind.EMERGENCY: Hands.emergency,
    Kind.EDIT: Hands.edit,
    Kind.BAD_EDIT: Hands.bad_edit,
    Kind.ORDER: Hands.order_now,
}
