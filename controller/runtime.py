"""The real things around `app.build`: what `loa run` starts, keeps and ends."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from broadcasts.studio.library import Studio
from broadcasts.studio.targets import Targets
from controller.adapters import keys
from controller.adapters.beacon import HttpBeacon
from controller.adapters.broker import CONTROLLER, READERS, Broker
from controller.adapters.clock import SystemClock, uptime
from controller.adapters.credentials import hash_password, random_password
from controller.adapters.datafolder import DataFolder, of_instance
from controller.adapters.host import Host
from controller.adapters.lock import Lock
from controller.adapters.mqtt import MqttBus, Will
from controller.adapters.notify.apprise import AppriseNotifier
from controller.adapters.notify.smtp import SmtpNotifier
from controller.adapters.notify.webhook import WebhookNotifier
from controller.adapters.store.sql import SqlStore
from controller.adapters.timer import ApsTimer
from controller.adapters.watch import edits
from controller.app import App, Loopback, build
from controller.domain.site import Mqtt, Settings
from controller.ports import BusEvent, ConfigRefused, Handed, Notifier, Store
from controller.services.leadership import Candidate, Deposed, FencedStore, Leadership
from controller.services.reporting import Reporting
from controller.settings import ConfigError, load
from controller.web.api import CANARY_PATH
from controller.web.guard import Refusal
from controller.web.live import EVERYTHING
from controller.web.server import listen, serve_on, url_of
from controller.wire.messages import ControllerStatus, encode
from controller.wire.signing import SigningKey
from controller.wire.topics import Topics

log = structlog.get_logger(__name__)


class CannotStart(Exception):
    """The service cannot run as it is configured; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What tells several controllers of one configuration apart: a name, and the port of the page (None: as
    configured). The lock is one for each name, so that one data folder may serve several."""

    name: str = ""
    http_port: int | None = None

    def of(self, settings: Settings) -> Settings:
        """`settings` as this instance takes them. CannotStart: not for more than one controller."""
        site = settings.site
        if self.name and site.mqtt.managed:
            raise CannotStart(
                "several controllers need a broker that runs on its own: set mqtt.managed to 'no' in site.yaml "
                "(docs/maintainer.md)"
            )
        port = site.http.port if self.http_port is None else self.http_port
        account = site.mqtt.username.replace("{instance}", self.name)
        http, mqtt = replace(site.http, port=port), replace(site.mqtt, username=account)
        return replace(settings, site=replace(site, http=http, mqtt=mqtt))


async def serve(settings: Settings, instance: Instance = Instance()) -> None:
    """Run the controller of `settings` until SIGINT or SIGTERM. AlreadyRunning, BrokerError, KeyFault, StoreError,
    ListenError, CannotStart, SharedAccount: it could not start. From the main thread only."""
    settings = instance.of(settings)
    data = DataFolder(Path(settings.site.data))
    _make(data.path)
    lock = Lock(data.lock(instance.name))
    run = f"{instance.name or 'loa'}-{secrets.token_hex(6)}"
    with _stored_in(data.path):
        dead = lock.claim(run)
    data.controller(instance.name).unlink(missing_ok=True)  # of one that was killed
    try:
        async with AsyncExitStack() as stack:
            await _serve(settings, instance, run, dead, stack)
    finally:
        lock.release()
    log.info("stopped")


def _make(data: Path) -> None:
    """The data folder: others may pass through, for the broker gives up root's rights, but see nothing."""
    if not data.exists():
        data.mkdir(parents=True)
        data.chmod(0o711)


@contextmanager
def _stored_in(data: Path) -> Iterator[None]:
    """A full disk is nothing that should not have happened."""
    try:
        yield
    except OSError as error:
        raise CannotStart(f"{data}: {error.strerror}: make it writable for this user and free some space") from None


async def _serve(
    settings: Settings, instance: Instance, run: str, dead: Collection[str], stack: AsyncExitStack
) -> None:
    data = DataFolder(Path(settings.site.data))
    stopping, enrolled = stack.enter_context(_signals())
    # Taken before anything else starts: a second Loa is the usual reason that it is not free.
    listening = stack.enter_context(listen(settings.site.http.host, settings.site.http.port))
    store = SqlStore(settings.site.store_url)
    await store.open()
    stack.push_async_callback(store.close)
    access = await stack.enter_async_context(_broker(settings, store, data))
    studio = Studio(data.audio, Targets(**asdict(settings.site.studio)))
    stack.push_async_callback(asyncio.to_thread, studio.close)
    key = keys.load_or_create(data.keys).signing
    me = Candidate(run, instance.name, _reachable(listening), access.mqtt.username, key.kid)
    leadership = Leadership(me, store=store, clock=SystemClock(), uptime=uptime, dead=dead)
    post = stack.enter_context(_Post.open(data.controller(instance.name), listening, access))
    controller = _Controller(settings, instance, store, access.mqtt, studio, key, leadership, listening, post)
    parts = {"signal": stopping.wait(), "controller": controller.run(), "broker": access.keep(enrolled)}
    await _until_one_ends(parts)


async def _until_one_ends(work: Mapping[str, Coroutine[Any, Any, Any]]) -> None:
    """Whatever ends first ends all; a failure is raised."""
    parts = [asyncio.create_task(each, name=name) for name, each in work.items()]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping", because=", ".join(part.get_name() for part in done))
    finally:
        for part in parts:
            part.cancel()
        outcomes = await asyncio.gather(*parts, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


@contextmanager
def _signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Events that are set at SIGINT or SIGTERM (stop), and at SIGHUP (a node was enrolled)."""
    loop, stopping, enrolled = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    meaning = {signal.SIGINT: stopping, signal.SIGTERM: stopping, signal.SIGHUP: enrolled}
    for number, event in meaning.items():
        loop.add_signal_handler(number, event.set)
    try:
        yield stopping, enrolled
    finally:
        for number in meaning:
            loop.remove_signal_handler(number)


# --- broker -------------------------------------------------------------------------------------------------


class _Access:
    """How to reach the broker. With one of our own: its accounts, kept in step with the database."""

    def __init__(self, mqtt: Mqtt, store: Store, broker: Broker | None = None) -> None:
        self.mqtt = mqtt
        self.readers: dict[str, str] = {}
        self._store = store
        self._broker = broker

    async def start(self) -> None:
        if self._broker is None:
            return
        self.readers = {name: random_password() for name in READERS}
        password = random_password()
        self._ours = {name: hash_password(word) for name, word in {**self.readers, CONTROLLER: password}.items()}
        await self._broker.start(await self._accounts())
        self.mqtt = replace(
            self.mqtt, host=self._broker.host, port=self._broker.port, username=CONTROLLER, password=password
        )

    async def keep(self, enrolled: asyncio.Event) -> None:
        """Keep the broker running, and take enrolments over whenever `enrolled` is set."""
        if self._broker is None:
            await asyncio.Event().wait()
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._broker.keep())
            tasks.create_task(self._take_enrolments(self._broker, enrolled))

    async def _take_enrolments(self, broker: Broker, enrolled: asyncio.Event) -> None:
        while await enrolled.wait():
            enrolled.clear()
            broker.reload(await self._accounts())
            log.info("accounts read again")

    async def _accounts(self) -> dict[str, str]:
        rows = await self._store.transact(lambda tx: tx.credentials())
        return {**{row.node: row.password_hash for row in rows}, **self._ours}


@asynccontextmanager
async def _broker(settings: Settings, store: Store, data: DataFolder) -> AsyncIterator[_Access]:
    mqtt = settings.site.mqtt
    if not mqtt.managed:
        yield _Access(mqtt, store)
        return
    broker = Broker(data.broker, root=mqtt.root, host=mqtt.host, port=mqtt.port)
    access = _Access(mqtt, store, broker)
    try:
        await access.start()
        log.info("broker listens", host=broker.host, port=broker.port, pid=broker.pid)
        yield access
    finally:
        await broker.stop()


# --- controller ---------------------------------------------------------------------------------------------


class _Controller:
    """Waits until it may lead, leads until it is deposed, and so on. Each term is led by an App of its own: nothing of
    an earlier one is believed, and nothing of it can still act."""

    def __init__(
        self,
        settings: Settings,
        instance: Instance,
        store: SqlStore,
        mqtt: Mqtt,
        studio: Studio,
        key: SigningKey,
        leadership: Leadership,
        listening: socket.socket,
        post: _Post,
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._store = store
        self._mqtt = mqtt
        self._studio = studio
        self._leadership = leadership
        self._listening = listening
        self._post = post
        self._clock = SystemClock()
        self._key = key

    async def run(self) -> None:
        """Until cancelled; a failure while leading is raised."""
        leads = await self._leadership.win() or await self._wait()
        while leads:
            try:
                await self._lead()
            finally:
                await self._leadership.release()
            leads = self._leadership.lost and await self._wait()

    async def _wait(self) -> bool:
        """As a standby: a page that reads what is stored, and refuses orders. Whether it leads now."""
        app = self._standby()
        self._tell(leads=False)
        leader = self._leadership.leader
        log.info("standing by", leader=leader and leader.url)
        if leader is not None and leader.key != self._key.kid:
            log.error("signs with another key than the leader: copy its keys", ours=self._key.kid, leaders=leader.key)
        web = self._web(app, self._refusal)
        await _until_one_ends({"lease": self._leadership.wait(lambda: app.changes.notify(*EVERYTHING)), "web": web})
        return not self._leadership.refusal()

    async def _lead(self) -> None:
        """One term, until deposed."""
        app = await self._app(await self._newest())
        log.info("leading", instance=self._instance.name)
        gc.set_threshold(*SELDOM)  # a sixth of a first plan for 10,000 nodes
        try:
            await app.start()
            self._tell(leads=True)
            parts = {"lease": self._leadership.keep(), "service": app.run(), "web": self._web(app)}
            await _until_one_ends(parts)
        except (Deposed, ExceptionGroup):
            if not self._leadership.lost:
                raise
        finally:
            gc.unfreeze()
            await app.stop()

    async def _newest(self) -> Settings:
        """The configuration as it is now: it may have been edited while another controller led."""
        try:
            self._settings = await asyncio.to_thread(self._load)
        except ConfigRefused as error:
            log.error("configuration refused; leading with the last good one", problems=list(error.problems))
        return self._settings

    def _load(self) -> Settings:
        return self._instance.of(_load(Path(self._settings.folder)))

    async def _app(self, settings: Settings) -> App:
        folder = Path(settings.folder)
        epoch = await self._store.transact(lambda tx: tx.epoch())
        return build(
            settings,
            clock=self._clock,
            bus=self._bus(epoch + 1),  # the will is for the epoch that this start raises to
            store=FencedStore(self._store, self._leadership),
            timer=ApsTimer(),
            library=self._studio,
            notifiers=_notifiers(settings, self._clock),
            key=self._key,
            load=self._load,
            edits=edits(folder),
            name=self._name,
            host=Host(settings.site.data),
            beacon=HttpBeacon(),
            loopback=Loopback(self._post.page + CANARY_PATH, secrets.token_urlsafe(24)),
            on_planned=leave_alone_what_stays,
        )

    def _standby(self) -> App:
        """Wired like the other, but never started: its page reads the database."""
        app = build(
            self._settings,
            clock=self._clock,
            bus=_NoBus(),
            store=self._store,
            timer=ApsTimer(),
            library=self._studio,
            notifiers={},
            key=self._key,
            load=self._load,
        )
        return replace(app, reporting=Reporting(self._settings, store=self._store, clock=self._clock, standby=True))

    @property
    def _name(self) -> str:
        """What nodes and people see this controller called at the broker. One each: a will that comes late, of one
        that was stopped, must not speak for the other."""
        return of_instance(self._settings.site.id, self._instance.name)

    def _bus(self, epoch: int) -> MqttBus:
        mqtt = self._mqtt
        gone = ControllerStatus(online=False, epoch=epoch, at=self._clock.now())
        will = Will(Topics(mqtt.root).controller_status(self._name), encode(gone))
        return MqttBus(
            mqtt,
            client_id=mqtt.username or f"loa-{self._name}",
            subscribe=Topics(mqtt.root).all_up,
            clock=self._clock,
            will=will,
            refusal=self._leadership.refusal,
        )

    def _web(self, app: App, refusal: Callable[[], Refusal] | None = None) -> Coroutine[Any, Any, None]:
        # a socket of its own: the server closes what it is given, and who connects meanwhile waits in the queue
        return serve_on(app, self._post.token, self._listening.dup(), refusal=refusal)

    def _refusal(self) -> Refusal:
        leader = self._leadership.leader
        where = f"controller '{leader.instance}' at {leader.url}" if leader else "another controller"
        return Refusal(503, f"this controller stands by; {where} leads: give orders there")

    def _tell(self, *, leads: bool) -> None:
        self._post.write(leads=leads, since=self._clock.now().isoformat())


SELDOM = (20_000, 20, 100)
"""When the collector looks again (gc.set_threshold)."""


def leave_alone_what_stays() -> None:
    """Documents and rules of all nodes are there until the end. A collector that looks through all of them again and
    again takes a third of what journals of 10,000 nodes cost, and stops everything for as long as that takes."""
    gc.collect()
    gc.freeze()


class _NoBus:
    """The broker connection of a controller that does not lead: none."""

    connected = False
    oldest = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def events(self) -> AsyncIterator[Sequence[BusEvent]]:
        await asyncio.Event().wait()
        yield ()

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
        return "this controller does not lead"


def _notifiers(settings: Settings, clock: SystemClock) -> dict[str, Notifier]:
    return {
        "smtp": SmtpNotifier(settings.alerts.smtp, clock),
        "webhook": WebhookNotifier(clock),
        "apprise": AppriseNotifier(),
    }


def _load(folder: Path) -> Settings:
    try:
        return load(folder)
    except ConfigError as error:
        raise ConfigRefused(tuple(map(str, error.problems))) from None


# --- where to find us ---------------------------------------------------------------------------------------


class _Post:
    """The file that tells the command line where we are, for as long as we run."""

    def __init__(self, path: Path, listening: socket.socket, access: _Access) -> None:
        self.token = secrets.token_urlsafe(24)
        self._path = path
        self._told: dict[str, Any] = {
            "url": url_of(listening).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:"),
            "token": self.token,
            "pid": os.getpid(),
            "listen": {"host": access.mqtt.host, "port": access.mqtt.port, "accounts": access.readers},
        }

    @classmethod
    @contextmanager
    def open(cls, path: Path, listening: socket.socket, access: _Access) -> Iterator[_Post]:
        post = cls(path, listening, access)
        try:
            yield post
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    @property
    def page(self) -> str:
        """The page's address, from this machine."""
        return str(self._told["url"])

    def write(self, **more: Any) -> None:
        with _stored_in(self._path.parent):
            keys.write_private(self._path, msgspec.json.encode({**self._told, **more}))
        log.info("ready", page=self._told["url"])


def _reachable(listening: socket.socket) -> str:
    """The page's address as another machine has it."""
    return url_of(listening).replace("//0.0.0.0:", f"//{socket.gethostname()}:")
