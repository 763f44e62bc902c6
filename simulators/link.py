"""A node's connection to the broker: paho driven from the event loop, one client per connection.

paho's own loops use select() and fail silently at file descriptors over 1,023; here the event loop watches
the socket. Connecting happens in an executor, so that an unreachable broker blocks nobody. A client is used
for one connection only: nothing queued or half done survives into the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from controller.wire.messages import MqttAccess
from simulators.pace import Pace

KEEPALIVE_S = 20
MISC_S = 4.0
CONNACK_S = 15.0
RETRY_FIRST_S = (1.0, 5.0)
RETRY_LONGEST_S = 30.0

SOCKET_ERRORS = (OSError, ValueError)
"""What connecting raises: unreachable, refused, TLS, an address that is none."""


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes


class Owner(Protocol):
    """Who is told. All calls come from the event loop, never from inside paho."""

    def will(self) -> Will:
        """The will of the connection that is about to be made."""

    def topics_to_hear(self) -> list[str]:
        """What to subscribe to on every new connection."""

    def on_up(self) -> None:
        """Connected, and the broker has confirmed the subscriptions."""

    def on_down(self, reason: str) -> None: ...

    def on_message(self, topic: str, payload: bytes, retain: bool) -> None: ...


class Link:
    """Connects and keeps connecting, with jitter, until closed."""

    def __init__(self, access: MqttAccess, owner: Owner, executor: Executor, pace: Pace) -> None:
        self._access = access
        self._owner = owner
        self._executor = executor
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._client: Client | None = None
        self._ghosts: list[Client] = []
        self._inbox: deque[MQTTMessage] = deque()
        self._task: asyncio.Task[None] | None = None
        self._down: asyncio.Event = asyncio.Event()
        self._came_to_be = False
        self.connected = False
        self.attempts = 0
        self.trouble = ""
        """What the last attempt failed of; nothing while there is a connection."""

    def open(self) -> None:
        """Start connecting, when the process has a turn for it."""
        for ghost in self._ghosts:
            self._forget(ghost)
        self._ghosts.clear()
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected(), name="link")

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> bool:
        """Hand over to the broker; False if not connected. Nothing is queued for later."""
        if self._client is None or not self.connected:
            return False
        return self._client.publish(topic, payload, qos=qos, retain=retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def subscribe(self, topics: Sequence[str]) -> None:
        """Add subscriptions to this connection."""
        if self._client is not None and self.connected and topics:
            options = SubscribeOptions(qos=1)
            self._client.subscribe([(topic, options) for topic in topics])

    def unsubscribe(self, topics: Sequence[str]) -> None:
        if self._client is not None and self.connected and topics:
            self._client.unsubscribe(list(topics))

    def abort(self, *, silent: bool = False) -> None:
        """As a power cut: the connection is reset, no goodbye, and none is made again.

        `silent`: as a cut cable: nothing is sent any more, and the broker must find out by itself.
        """
        self._stop()
        client, self._client = self._client, None
        if client is None:
            return
        if silent:
            self._unwatch(client)
            self._ghosts.append(client)
        else:
            self._forget(client, reset=True)

    async def close(self) -> None:
        """Disconnect as the protocol says; what was published before is on its way first."""
        self._stop()
        client, self._client = self._client, None
        if client is None:
            return
        client.disconnect()
        for _ in range(20):
            if client.socket() is None or not client.want_write():
                break
            client.loop_write()
            await asyncio.sleep(0.005)
        self._forget(client)

    # --- connecting -----------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self.connected, self.trouble = False, ""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _keep_connected(self) -> None:
        pause = random.uniform(*RETRY_FIRST_S)  # noqa: S311  jitter
        while True:
            await asyncio.sleep(self._pace.wait_s(self._loop.time()))
            self.attempts += 1
            self._down.clear()
            # before connecting: on a busy machine the SUBACK can be read before the connecting thread's end is noticed
            self.connected = self._came_to_be = False
            client = self._client = self._new_client()
            if await self._connect(client) and await self._connection(client):
                pause = random.uniform(*RETRY_FIRST_S)  # noqa: S311  jitter
            self._forget(client)
            self._client = None
            await asyncio.sleep(pause)
            pause = min(RETRY_LONGEST_S, pause * random.uniform(1.5, 2.5))  # noqa: S311  jitter

    async def _connect(self, client: Client) -> bool:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0

        def connect() -> None:
            client.connect(
                self._access.host,
                self._access.port,
                keepalive=KEEPALIVE_S,
                clean_start=True,
                properties=properties,
            )

        attempt = self._loop.run_in_executor(self._executor, connect)
        try:
            await asyncio.shield(attempt)
        except SOCKET_ERRORS as error:
            self._failed(getattr(error, "strerror", None) or str(error))
            return False
        except asyncio.CancelledError:
            attempt.add_done_callback(lambda done: self._after_cancelled(client, done))
            raise
        return True

    def _failed(self, why: str) -> None:
        self.trouble = f"{self._access.host}:{self._access.port}: {why}"

    def _after_cancelled(self, client: Client, attempt: asyncio.Future[None]) -> None:
        """A connect that nobody waits for any more still has a socket to close."""
        if not attempt.cancelled():
            attempt.exception()
        self._forget(client)

    async def _connection(self, client: Client) -> bool:
        """Live through one connection; whether it ever came up."""
        waited = 0.0
        while not self._down.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._down.wait(), MISC_S)
            waited += MISC_S
            if not self._came_to_be and waited > CONNACK_S:
                self._failed("no answer")
                break
            if client.socket() is not None:
                client.loop_misc()
        return self._came_to_be

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._access.username,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.username_pw_set(self._access.username, self._access.password)
        client.max_inflight_messages_set(20)
        client.max_queued_messages_set(500)
        client.connect_timeout = 5.0
        if self._access.tls:
            client.tls_set(ca_certs=self._access.ca)
        will = self._owner.will()
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._set_callbacks(client)
        return client

    def _set_callbacks(self, client: Client) -> None:
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write

    def _forget(self, client: Client, *, reset: bool = False) -> None:
        """Take a client out of the loop and close its socket."""
        sock = self._unwatch(client)
        if sock is None:
            return
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _unwatch(self, client: Client) -> Any:
        """Stop serving a client; its socket, if it has an open one."""
        sock: Any = client.socket()
        client.on_connect = client.on_disconnect = client.on_message = None
        client.on_socket_close = client.on_socket_register_write = client.on_socket_unregister_write = None
        if sock is None or sock.fileno() < 0:
            return None
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)
        return sock

    # --- paho's callbacks: hand over to the loop, decide nothing -------------------------------------------------

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._loop.call_soon(self._came_up, client, code)

    def _came_up(self, client: Client, code: ReasonCode) -> None:
        if client is not self._client:
            return
        if code.is_failure:
            self._failed(str(code))
            self._down.set()
            return
        options = SubscribeOptions(qos=1)
        client.subscribe([(topic, options) for topic in self._owner.topics_to_hear()])

    def _on_subscribe(
        self, client: Client, _: Any, mid: int, codes: list[ReasonCode], properties: Properties | None
    ) -> None:
        self._loop.call_soon(self._subscribed, client)

    def _subscribed(self, client: Client) -> None:
        """The first SUBACK of a connection: what is said from now on can be answered."""
        if client is self._client and not self.connected and not self._down.is_set():
            self.connected = self._came_to_be = True
            self.trouble = ""
            self._pace.came_up(self._loop.time())
            self._owner.on_up()

    def _on_disconnect(
        self, client: Client, _: Any, flags: DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._loop.call_soon(self._went_down, client, str(code))

    def _went_down(self, client: Client, reason: str) -> None:
        if client is not self._client:
            return
        was_up, self.connected = self.connected, False
        self._down.set()
        if was_up:
            self._failed(reason)
            self._owner.on_down(reason)

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        self._inbox.append(message)

    def _hand_over(self, client: Client) -> None:
        """In the very callback that read them, not in one of the loop's next: there a thousand nodes that all hear of
        an emergency would each wait until every other has read."""
        while self._inbox:
            message = self._inbox.popleft()
            if client is self._client:
                self._owner.on_message(message.topic, bytes(message.payload), message.retain)

    def _on_socket_open(self, client: Client, _: Any, sock: Any) -> None:
        self._in_loop(self._watch, client, sock)

    def _watch(self, client: Client, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock, self._readable, client, sock)

    def _readable(self, client: Client, sock: Any) -> None:
        client.loop_read()
        while getattr(sock, "pending", None) is not None and sock.fileno() >= 0 and sock.pending():
            client.loop_read()
        self._hand_over(client)

    def _on_socket_close(self, client: Client, _: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)

    def _on_register_write(self, client: Client, _: Any, sock: Any) -> None:
        self._in_loop(self._write_soon, client, sock)

    def _write_soon(self, client: Client, sock: Any) -> None:
        """In the loop's next turn, after all that is to be read in this one: what ten thousand nodes have to answer
        holds up what they hear. Watching each socket until it can be written costs more than writing."""
        self._loop.call_soon(self._write, client, sock)

    def _write(self, client: Client, sock: Any) -> None:
        if client.on_socket_register_write is None or sock.fileno() < 0:
            return
        client.loop_write()
        if client.want_write() and sock.fileno() >= 0:
            self._loop.add_writer(sock, client.loop_write)

    def _on_unregister_write(self, client: Client, _: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    def _in_loop(self, call: Callable[[Client, Any], None], client: Client, sock: Any) -> None:
        if threading.get_ident() == self._thread:
            call(client, sock)
        else:
            self._loop.call_soon_threadsafe(call, client, sock)
