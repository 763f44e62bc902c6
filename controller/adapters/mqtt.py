"""The broker connection: paho-mqtt, MQTT 5, on a network thread of its own.

Every call into paho happens on that one thread, which waits with epoll: paho's own loop uses `select` and fails
silently once a file descriptor is 1024 or higher, and locks held around its `publish` deadlock with its callbacks.
The event loop hands orders over through a queue and is handed events in batches: one wake-up for all that one read
of the socket brought (see adapters/frames.py).
"""

from __future__ import annotations

import asyncio
import random
import selectors
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from controller.adapters.frames import BufferedClient
from controller.domain.site import Mqtt
from controller.ports import NOBODY_SUBSCRIBED, BusDown, BusEvent, BusUp, Clock, Handed, Received

log = structlog.get_logger(__name__)

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
BACKOFF_S = (0.3, 1.5)
"""Bounds of the random pause before the next attempt: short, because a warning may be waiting."""
MAX_INFLIGHT = 20
"""Sent and not yet acknowledged: as many as Mosquitto takes unless it is configured otherwise."""
KEPT_FREE = 4
"""Of these, for what is urgent; and as many again for what is not bulk."""
MAX_WAITING = 20_000
"""Publishes of one urgency that may wait; more are refused with a reason."""
NO_SUBSCRIBERS = 0x10
MAX_BATCH = 1000
"""Events handed over at once: what is taken in together holds up the event loop."""


@dataclass(frozen=True, slots=True)
class Will:
    """Retained message the broker sends when this connection is lost."""

    topic: str
    payload: bytes


@dataclass(slots=True)
class _Order:
    topic: str
    payload: bytes
    qos: int
    retain: bool
    expiry_s: int | None
    handed: Handed | None
    done: asyncio.Future[str]


class MqttBus:
    """Implements `ports.Bus`. One instance, one connection, one thread."""

    def __init__(
        self,
        mqtt: Mqtt,
        *,
        client_id: str,
        subscribe: str,
        clock: Clock,
        will: Will | None = None,
        refusal: Callable[[], str] = str,
    ) -> None:
        """`refusal` is asked on the network thread right before a message is sent: why it must not be, or ""."""
        self._mqtt = mqtt
        self._refusal = refusal
        self._subscribe = subscribe
        self._clock = clock
        self._inbox: deque[BusEvent] = deque()
        self._urgent: deque[_Order] = deque()
        self._orders: deque[_Order] = deque()
        self._bulk: deque[_Order] = deque()
        self._waiting: dict[int, _Order] = {}
        self._stopping = False
        self._up = False
        self._refused = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._told = False
        self._read_at = 0.0
        self._thread: threading.Thread | None = None
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_r.setblocking(False)
        self._wake_w.setblocking(False)
        self._client = self._make_client(client_id, will)

    # --- the event loop's side ------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._up

    @property
    def oldest(self) -> float | None:
        with suppress(IndexError):
            return self._inbox[0].mono
        return None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Say goodbye to the broker and end the thread; waits for it at most 2 s."""
        self._stopping = True
        self._wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 2.0)
        self._news.set()

    async def events(self) -> AsyncIterator[Sequence[BusEvent]]:
        while True:
            await self._news.wait()
            self._news.clear()
            self._told = False  # before looking: what comes now is told of again
            while self._inbox:
                yield [self._inbox.popleft() for _ in range(min(len(self._inbox), MAX_BATCH))]
                await asyncio.sleep(0)  # others want the event loop too
            if self._stopping:
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
        if not self._up or self._loop is None:
            return "not connected"
        queue = self._bulk if bulk else self._orders if handed is None else self._urgent
        if len(queue) >= MAX_WAITING:
            return f"{MAX_WAITING} messages are waiting for the broker already"
        order = _Order(topic, payload, qos, retain, expiry_s, handed, self._loop.create_future())
        queue.append(order)
        if not self._up:  # lost since we looked: nobody answers what came after the last clean-up
            with suppress(ValueError):
                queue.remove(order)
                return "not connected"
        self._wake()
        return await order.done

    # --- the network thread's side ---------------------------------------------------------------------------

    def _make_client(self, client_id: str, will: Will | None) -> BufferedClient:
        client = BufferedClient(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        client.suppress_exceptions = True  # an exception in a callback would end the thread, silently
        client.max_inflight_messages_set(MAX_INFLIGHT)
        client.max_queued_messages_set(MAX_WAITING)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._mqtt.username:
            client.username_pw_set(self._mqtt.username, self._mqtt.password)
        if self._mqtt.tls:
            client.tls_set(ca_certs=self._mqtt.ca or None)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.taken = self._on_taken
        client.on_publish = self._on_publish
        return client

    def _run(self) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        self._client.connect_async(
            self._mqtt.host, self._mqtt.port, KEEPALIVE_S, clean_start=True, properties=properties
        )
        while not self._stopping:
            try:
                self._client.forget()
                self._client.reconnect()
                self._serve()
            except OSError as error:
                self._emit(BusDown(self._at(error), self._clock.monotonic()))
            except Exception as error:  # the thread would end, and nobody would hear anything any more
                log.exception("broker connection failed")
                self._emit(BusDown(f"{self._where}: {error!r}", self._clock.monotonic()))
            self._fail_all("disconnected")
            if not self._stopping:
                self._pause(random.uniform(*BACKOFF_S))  # noqa: S311 (jitter, not a secret)
        self._goodbye()

    def _serve(self) -> None:
        """Until the connection ends: packets in, orders out."""
        connection = self._client.socket()
        if connection is None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._wake_r, selectors.EVENT_READ)
            while not self._stopping and self._client.socket() is connection:
                wanted = selectors.EVENT_READ
                if self._client.want_write():
                    wanted |= selectors.EVENT_WRITE
                selector.modify(connection, wanted)
                for key, happened in selector.select(timeout=1.0):
                    if key.fileobj is self._wake_r:
                        self._drain_wake()
                    else:
                        self._network(happened)
                self._client.loop_misc()
                self._hand_out_orders()
                self._tell()

    def _network(self, happened: int) -> None:
        if happened & selectors.EVENT_READ:
            self._read_at = self._clock.monotonic()
            self._client.read_all()
        if happened & selectors.EVENT_WRITE:
            self._client.loop_write()

    def _hand_out_orders(self) -> None:
        # No more than paho sends at once: what waits in its own queue is sent later, without being asked about again.
        # A warning goes before a thousand playlists, and finds room among what the broker lets be under way.
        rooms = (MAX_INFLIGHT, MAX_INFLIGHT - KEPT_FREE, MAX_INFLIGHT - 2 * KEPT_FREE)
        for queue, room in zip((self._urgent, self._orders, self._bulk), rooms, strict=True):
            while queue and self._up and len(self._waiting) < room:
                self._hand_out(queue.popleft())

    def _hand_out(self, order: _Order) -> None:
        if reason := self._refusal():
            self._settle(order, reason)
            return
        info = self._client.publish(order.topic, order.payload, order.qos, order.retain, _expiry(order.expiry_s))
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._settle(order, paho.error_string(info.rc))
            return
        if order.handed is not None:
            self._call(order.handed, self._clock.monotonic())
        if order.qos == 0:
            self._settle(order, "")
        else:
            self._waiting[info.mid] = order

    def _goodbye(self) -> None:
        if self._up:
            self._client.disconnect()
            self._client.loop_write()
        self._up = False
        if (connection := self._client.socket()) is not None:
            connection.close()
        self._fail_all("stopping")
        self._wake_r.close()
        self._wake_w.close()

    def _pause(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_r, selectors.EVENT_READ)
            if selector.select(timeout=seconds):
                self._drain_wake()

    # --- paho's callbacks: on the network thread, they only enqueue ------------------------------------------------

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._emit(BusDown(f"{self._where}: refused: {reason}", self._clock.monotonic()))
            return
        client.drop_out_messages()  # what was in flight was answered "disconnected"; paho would send it again
        client.subscribe(self._subscribe, options=SubscribeOptions(qos=1))

    def _on_subscribe(self, client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any) -> None:
        """Up only now: an answer to what is published from here on cannot come before somebody listens to it."""
        if refused := [reason for reason in reasons if reason.is_failure]:
            self._refused = f"subscription refused: {refused[0]}"
            client.disconnect()  # deaf it is of no use; the next attempt may find the broker's rules mended
            return
        self._up = True
        self._emit(BusUp(self._clock.monotonic()))

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._up = False
        said, self._refused = self._refused or str(reason), ""
        if not self._stopping:
            self._emit(BusDown(f"{self._where}: {said}", self._clock.monotonic()))

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._inbox.append(Received(message.topic, bytes(message.payload), message.retain, self._read_at))

    def _on_taken(self, topic: str, payload: bytes, retain: bool) -> None:
        self._inbox.append(Received(topic, payload, retain, self._read_at))

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        order = self._waiting.pop(mid, None)
        if order is not None:
            self._settle(order, _outcome(reason))

    # --- between the two ------------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return f"broker {self._mqtt.host}:{self._mqtt.port}"

    def _at(self, error: OSError) -> str:
        return f"{self._where}: {error.strerror or error}"

    def _emit(self, event: BusEvent) -> None:
        self._inbox.append(event)
        self._tell()

    def _tell(self) -> None:
        """Wake the event loop for what is in the inbox, once until it has looked."""
        if self._inbox and not self._told:
            self._told = True
            self._call(self._news.set)

    def _settle(self, order: _Order, outcome: str) -> None:
        self._call(_resolve, order.done, outcome)

    def _fail_all(self, reason: str) -> None:
        self._up = False
        orders = [*self._waiting.values(), *self._urgent, *self._orders, *self._bulk]
        for each in (self._waiting, self._urgent, self._orders, self._bulk):
            each.clear()
        for order in orders:
            self._settle(order, reason)

    def _call(self, function: Any, *args: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def _wake(self) -> None:
        try:
            self._wake_w.send(b"!")
        except BlockingIOError:
            pass  # it is awake: its buffer is full of wake-ups
        except OSError:
            log.debug("bus is stopped")

    def _drain_wake(self) -> None:
        try:
            while self._wake_r.recv(4096):
                pass
        except BlockingIOError:
            return


def _outcome(reason: ReasonCode) -> str:
    if reason.is_failure:
        return str(reason)
    return NOBODY_SUBSCRIBED if reason.value == NO_SUBSCRIBERS else ""


def _resolve(future: asyncio.Future[str], outcome: str) -> None:
    if not future.done():
        future.set_result(outcome)


def _expiry(seconds: int | None) -> Properties | None:
    if seconds is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = max(1, seconds)
    return properties
