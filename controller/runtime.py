"""The real things around `app.build`: what `loa run` starts, keeps and ends."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from broadcasts.studio.library import Studio
from broadcasts.studio.targets import Targets
from controller.adapters import keys
from controller.adapters.broker import CONTROLLER, READERS, Broker
from controller.adapters.clock import SystemClock
from controller.adapters.credentials import hash_password, random_password
from controller.adapters.mqtt import MqttBus, Will
from controller.adapters.notify.apprise import AppriseNotifier
from controller.adapters.notify.smtp import SmtpNotifier
from controller.adapters.notify.webhook import WebhookNotifier
from controller.adapters.process import Lock
from controller.adapters.store.sql import SqlStore
from controller.adapters.timer import ApsTimer
from controller.adapters.watch import edits
from controller.app import App, build
from controller.domain.site import Mqtt, Settings
from controller.ports import ConfigRefused, Notifier, Store
from controller.settings import ConfigError, load
from controller.web.server import listen, serve_on, url_of
from controller.wire.messages import ControllerStatus, encode
from controller.wire.topics import Topics

log = structlog.get_logger(__name__)

LOCK_FILE = "lock"
CONTROLLER_FILE = "controller.json"
KEYS_FOLDER = "keys"
BROKER_FOLDER = "broker"
AUDIO_FOLDER = "audio"


async def serve(settings: Settings) -> None:
    """Run the controller of `settings` until SIGINT or SIGTERM. AlreadyRunning, BrokerError, KeyFault, StoreError,
    ListenError: it could not start. From the main thread only."""
    data = Path(settings.site.data)
    _make(data)
    lock = Lock(data / LOCK_FILE)
    (data / CONTROLLER_FILE).unlink(missing_ok=True)  # of one that was killed
    try:
        async with AsyncExitStack() as stack:
            await _serve(settings, data, stack)
    finally:
        lock.release()
    log.info("stopped")


def _make(data: Path) -> None:
    """The data folder: others may pass through, for the broker gives up root's rights, but see nothing."""
    if not data.exists():
        data.mkdir(parents=True)
        data.chmod(0o711)


async def _serve(settings: Settings, data: Path, stack: AsyncExitStack) -> None:
    stopping, enrolled = stack.enter_context(_signals())
    # Taken before anything else starts: a second Loa is the usual reason that it is not free.
    listening = stack.enter_context(listen(settings.site.http.host, settings.site.http.port))
    store = SqlStore(settings.site.store_url)
    await store.open()
    stack.push_async_callback(store.close)
    access = await stack.enter_async_context(_broker(settings, store, data))
    app = await stack.enter_async_context(_app(settings, store, access.mqtt, data))
    token = secrets.token_urlsafe(24)
    stack.enter_context(_told(data, listening, token, access))
    parts = {
        "signal": stopping.wait(),
        "controller": app.run(),
        "broker": access.keep(enrolled),
        "web": serve_on(app, token, listening),
    }
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
async def _broker(settings: Settings, store: Store, data: Path) -> AsyncIterator[_Access]:
    mqtt = settings.site.mqtt
    if not mqtt.managed:
        yield _Access(mqtt, store)
        return
    broker = Broker(data / BROKER_FOLDER, root=mqtt.root, host=mqtt.host, port=mqtt.port)
    access = _Access(mqtt, store, broker)
    try:
        await access.start()
        log.info("broker listens", host=broker.host, port=broker.port, pid=broker.pid)
        yield access
    finally:
        await broker.stop()


# --- controller ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def _app(settings: Settings, store: SqlStore, mqtt: Mqtt, data: Path) -> AsyncIterator[App]:
    clock = SystemClock()
    key = keys.load_or_create(data / KEYS_FOLDER).signing
    folder = Path(settings.folder)
    studio = Studio(data / AUDIO_FOLDER, Targets(**asdict(settings.site.studio)))
    app = build(
        settings,
        clock=clock,
        bus=await _bus(settings, store, mqtt, clock),
        store=store,
        timer=ApsTimer(),
        library=studio,
        notifiers=_notifiers(settings, clock),
        key=key,
        load=lambda: _load(folder),
        edits=edits(folder),
    )
    try:
        await app.start()
        yield app
    finally:
        await app.stop()
        await asyncio.to_thread(studio.close)


async def _bus(settings: Settings, store: Store, mqtt: Mqtt, clock: SystemClock) -> MqttBus:
    topics = Topics(mqtt.root)
    epoch = await store.transact(lambda tx: tx.epoch())
    # the will is for the epoch that this start raises to
    gone = ControllerStatus(online=False, epoch=epoch + 1, at=clock.now())
    will = Will(topics.controller_status(settings.site.id), encode(gone))
    name = mqtt.username or f"loa-{settings.site.id}"
    return MqttBus(mqtt, client_id=name, subscribe=topics.all_up, clock=clock, will=will)


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


# --- web ----------------------------------------------------------------------------------------------------


@contextmanager
def _told(data: Path, listening: socket.socket, token: str, access: _Access) -> Iterator[None]:
    """Tell the command line where to find us, for as long as we run."""
    told: dict[str, Any] = {
        "url": url_of(listening).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:"),
        "token": token,
        "pid": os.getpid(),
        "listen": {"host": access.mqtt.host, "port": access.mqtt.port, "accounts": access.readers},
    }
    path = data / CONTROLLER_FILE
    keys.write_private(path, msgspec.json.encode(told))
    log.info("ready", page=told["url"])
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
