"""The composition root: the only place where services meet their adapters.

`build` takes everything from outside, so that tests call the same one with their fakes; `controller.runtime` brings
the real things.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from broadcasts.model import Occurrence
from controller.adapters.photos import PhotoShelf
from controller.domain import canary
from controller.domain.escalation import Channel, messages_for
from controller.domain.site import Settings
from controller.ports import Beacon, Bus, Clock, ConfigRefused, Host, Library, Notifier, Store, StoreError, Timer, Tx
from controller.services.airings import Airings
from controller.services.alerting import Alerting
from controller.services.canary import Canary
from controller.services.changes import Changes
from controller.services.commissioning import record_selftests
from controller.services.dispatch import Dispatch
from controller.services.emergencies import Emergencies, record_answers
from controller.services.epochs import Epochs
from controller.services.gauges import Gauges, MeasuredBus, MeasuredNotifier, MeasuredStore
from controller.services.intake import Intake
from controller.services.ledger import Ledger
from controller.services.lifesign import LifeSign
from controller.services.links import Links
from controller.services.monitoring import Monitoring
from controller.services.orders import Orders
from controller.services.preflight import Preflight
from controller.services.reporting import Reporting
from controller.services.scheduling import Scheduling
from controller.services.selftests import Selftests
from controller.services.sounds import Sounds
from controller.services.watching import Watching
from controller.services.workshop import Workshop
from controller.wire.messages import JournalEntry
from controller.wire.signing import SigningKey

log = structlog.get_logger(__name__)

LINKS = b"loa links"
"""What the secret of the links in messages is derived for."""

PHOTOS_FOLDER = "photos"
"""Within the data folder."""


@dataclass(frozen=True, slots=True)
class Loopback:
    """Where this controller receives the canary's webhooks itself, and the key of their signature."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class App:
    """The controller, wired. `start`, then `run` until cancelled, then `stop`."""

    clock: Clock
    store: Store
    bus: Bus
    timer: Timer
    library: Library
    changes: Changes
    dispatch: Dispatch
    ledger: Ledger
    scheduling: Scheduling
    orders: Orders
    emergencies: Emergencies
    monitoring: Monitoring
    alerting: Alerting
    workshop: Workshop
    links: Links
    reporting: Reporting
    intake: Intake
    watching: Watching
    epochs: Epochs
    gauges: Gauges
    loopback: Loopback | None
    airings: Airings
    selftests: Selftests
    edits: Callable[[], AsyncIterator[None]] | None
    on_planned: Callable[[], None]

    @property
    def settings(self) -> Settings:
        """The configuration that is in effect."""
        return self.scheduling.settings

    async def start(self) -> None:
        """Take over from whoever led before, and connect."""
        await self.dispatch.start()
        await self.emergencies.start()
        await self.monitoring.start()
        self.timer.start()
        await self.bus.start()

    async def run(self) -> None:
        """Until cancelled. A failure in one part ends all: it is reported, and the service starts anew."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_in(), name="intake")
            tasks.create_task(self.intake.send(), name="playlists owed")
            tasks.create_task(self.intake.answer(), name="journals stored")
            tasks.create_task(self.monitoring.run(), name="monitoring")
            tasks.create_task(self.alerting.run(), name="alerting")
            tasks.create_task(self.watching.run(), name="watching")
            tasks.create_task(self.airings.run(), name="airings")
            tasks.create_task(self.selftests.run(), name="self-tests")
            tasks.create_task(self._plan(), name="first plan")
            if self.edits is not None:
                tasks.create_task(self._take_edits(self.edits), name="configuration")

    async def stop(self) -> None:
        """A clean end fires no will: say goodbye."""
        self.timer.stop()
        await self.dispatch.say_goodbye()
        await self.bus.stop()
        await self.store.close()

    async def _plan(self) -> None:
        await self.scheduling.start()
        self.on_planned()

    async def _take_in(self) -> None:
        async for batch in self.bus.events():
            await self.intake.take(batch)

    async def _take_edits(self, edits: Callable[[], AsyncIterator[None]]) -> None:
        async for _ in edits():
            try:
                await self.scheduling.reload()
            except ConfigRefused:
                continue  # written down, logged and shown by scheduling; the last good one stays
            except StoreError as error:
                log.error("configuration not taken over; save it again", reason=str(error))
                continue


def _beside(tx: Tx, entries: Sequence[tuple[str, JournalEntry]]) -> bool:
    """What else takes journal entries in; whether they meant something to the emergencies."""
    record_selftests(tx, entries)
    return record_answers(tx, entries)


def build(
    settings: Settings,
    *,
    clock: Clock,
    bus: Bus,
    store: Store,
    timer: Timer,
    library: Library,
    notifiers: Mapping[str, Notifier],
    key: SigningKey,
    load: Callable[[], Settings],
    edits: Callable[[], AsyncIterator[None]] | None = None,
    name: str = "",
    host: Host | None = None,
    beacon: Beacon | None = None,
    loopback: Loopback | None = None,
    on_planned: Callable[[], None] = lambda: None,
) -> App:
    """Wire the controller. `load` reads the configuration anew (ConfigRefused), `edits` tells when to. `name` is what
    it calls itself at the broker; the site's id, if empty. `host`, `beacon` and `loopback` (where the canary's messages
    come in) are needed to watch the controller itself; without one, that is not watched. `on_planned` is called when
    the first plan is made."""
    changes, gauges = Changes(), Gauges()
    store, bus = MeasuredStore(store, gauges, clock), MeasuredBus(bus, gauges, clock)
    notifiers = {kind: MeasuredNotifier(each, gauges) for kind, each in notifiers.items()}
    sounds = Sounds(library)
    dispatch = Dispatch(settings, store=store, bus=bus, clock=clock, key=key, sounds=sounds.on_nodes, name=name)
    ledger = Ledger(
        store=store, clock=clock, changes=changes, wanted=dispatch.wanted, version=dispatch.version, also=_beside
    )
    emergencies = Emergencies(
        settings,
        store=store,
        bus=bus,
        clock=clock,
        timer=timer,
        library=library,
        sounds=sounds,
        key=key,
        epoch=lambda: dispatch.epoch,
        changes=changes,
    )
    links = Links(key.secret(LINKS))
    channel = Channel("webhook", loopback.url, loopback.secret) if loopback else None
    also = (canary.receiver(channel),) if channel else ()
    alerting = Alerting(
        settings, store=store, clock=clock, notifiers=notifiers, changes=changes, also=also, link_of=links.of
    )
    monitoring = Monitoring(
        settings,
        store=store,
        clock=clock,
        order=dispatch.order,
        plan_messages=canary.told_to(channel, links.linking(messages_for)),
        on_played=lambda occurrence: airings.told(occurrence),
        changes=changes,
        on_outbox=alerting.wake,
        lag_s=lambda: intake.lag_s(),
    )
    photos = PhotoShelf(Path(settings.site.data) / PHOTOS_FOLDER)
    workshop = Workshop(
        settings,
        store=store,
        clock=clock,
        changes=changes,
        cases=monitoring,
        photos=photos,
        plan_messages=links.linking(messages_for),
        on_outbox=alerting.wake,
    )
    alerting.on_outcome = monitoring.look_again
    airings = Airings(store=store, clock=clock, health=monitoring, upto=lambda: intake.upto())
    monitoring.expect(airings.expects)
    selftests = Selftests(settings, store=store, clock=clock, orders=dispatch, health=monitoring, horns=airings)
    intake = Intake(
        settings,
        clock=clock,
        bus=bus,
        dispatch=dispatch,
        ledger=ledger,
        health=monitoring,
        changes=changes,
        alarms=emergencies,
    )
    preflight = Preflight(
        settings,
        store=store,
        clock=clock,
        timer=timer,
        health=monitoring,
        dispatch=dispatch,
        changes=changes,
        on_outbox=alerting.wake,
    )
    epochs = Epochs(dispatch, emergencies, ledger, clock)
    watching = Watching(
        settings,
        clock=clock,
        store=store,
        bus=bus,
        timer=timer,
        monitoring=monitoring,
        canary=Canary(
            settings,
            clock=clock,
            store=store,
            bus=bus,
            complain=monitoring.centre,
            came_in=lambda: monitoring.canary_run,
            receives=loopback is not None,
        ),
        life_sign=LifeSign(settings, clock=clock, store=store, on_outbox=alerting.wake),
        epochs=epochs,
        lag_s=intake.lag_s,
        host=host,
        beacon=beacon,
    )
    told = [
        dispatch.reload,
        monitoring.reload,
        alerting.reload,
        workshop.reload,
        intake.reload,
        emergencies.reload,
        preflight.reload,
        selftests.reload,
        watching.reload,
    ]

    def on_plan(planned: Sequence[Occurrence]) -> None:
        preflight.arm(planned)
        airings.arm(planned)

    scheduling = Scheduling(
        settings,
        store=store,
        clock=clock,
        timer=timer,
        library=library,
        dispatch=dispatch,
        ledger=ledger,
        changes=changes,
        sounds=sounds,
        load=load,
        on_settings=told,
        on_plan=on_plan,
    )
    orders = Orders(scheduling=scheduling, store=store, clock=clock, library=library, dispatch=dispatch)
    reporting = Reporting(settings, store=store, clock=clock, monitoring=monitoring, scheduling=scheduling)
    told.append(reporting.reload)
    return App(
        clock=clock,
        store=store,
        bus=bus,
        timer=timer,
        library=library,
        changes=changes,
        dispatch=dispatch,
        ledger=ledger,
        scheduling=scheduling,
        orders=orders,
        emergencies=emergencies,
        monitoring=monitoring,
        alerting=alerting,
        workshop=workshop,
        links=links,
        reporting=reporting,
        intake=intake,
        watching=watching,
        epochs=epochs,
        gauges=gauges,
        loopback=loopback,
        airings=airings,
        selftests=selftests,
        edits=edits,
        on_planned=on_planned,
    )
