"""The broker's bytes as they really come: cut anywhere, many messages in one piece, and now and then broken."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from benchmarks.firehose import length
from controller.adapters.clock import SystemClock
from controller.adapters.mqtt import MqttBus
from controller.domain.site import Mqtt
from controller.ports import BusDown, BusEvent, BusUp, Received

CONNACK = b"\x20\x03\x00\x00\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x01"
NOT_AUTHORISED = b"\x90\x04\x00\x01\x00\x87"
EXPIRES_IN_A_MINUTE = b"\x05\x02\x00\x00\x00\x3c"


def publish(topic: bytes, payload: bytes, *, qos: int = 0, mid: int = 1, properties: bytes = b"\x00") -> bytes:
    """One MQTT 5 PUBLISH."""
    body = len(topic).to_bytes(2, "big") + topic
    body += (mid.to_bytes(2, "big") if qos else b"") + properties + payload
    return bytes([0x30 | qos << 1]) + length(len(body)) + body


class Broker:
    """Sends the pieces it is given to whoever connects; then waits for the client to go, the first time or not."""

    def __init__(self, pieces: Sequence[bytes], after_hanging_up: Sequence[bytes] = ()) -> None:
        self.answers = bytearray()
        self.subacks: list[bytes] = []
        """What the first subscriptions are answered with; later ones are granted."""
        self.tasks: set[asyncio.Task[None] | None] = set()
        self._first, self._then = pieces, after_hanging_up

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hang_up = bool(self._then) and not self.tasks
        pieces = self._then if self._then and self.tasks else self._first
        self.tasks.add(asyncio.current_task())
        with suppress(ConnectionError):
            await reader.read(1)  # the client's CONNECT
            suback = self.subacks.pop(0) if self.subacks else SUBACK
            for piece in (CONNACK, suback, *(pieces if suback is SUBACK else ())):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            while not hang_up and (data := await reader.read(1024)):
                self.answers += data
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def listening(
    pieces: Sequence[bytes], after_hanging_up: Sequence[bytes] = ()
) -> AsyncIterator[tuple[MqttBus, Broker]]:
    broker = Broker(pieces, after_hanging_up)
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        access = Mqtt("127.0.0.1", server.sockets[0].getsockname()[1], username="x", password="x")
        bus = MqttBus(access, client_id="x", subscribe="#", clock=SystemClock())
        await bus.start()
        try:
            yield bus, broker
        finally:
            await bus.stop()
            await asyncio.gather(*(task for task in broker.tasks if task))


async def received(bus: MqttBus, count: int) -> list[Received]:
    """The next `count` messages, whatever else happens."""
    found: list[Received] = []
    async with asyncio.timeout(20):
        async for batch in bus.events():
            found += [event for event in batch if isinstance(event, Received)]
            if len(found) >= count:
                return found
    return found


def cut(data: bytes, rng: random.Random, longest: int) -> list[bytes]:
    pieces = []
    while data:
        size = rng.randint(1, longest)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.mark.parametrize("longest", [1, 3, 40, 100_000])
async def test_wherever_the_bytes_are_cut_the_same_messages_come_in_the_same_order(longest: int) -> None:
    rng = random.Random(longest)
    sent, data = [], b""
    for n in range(60):
        qos = rng.choice([0, 0, 1])
        topic, payload = f"loa/v1/up/na-mèo-{n}/heartbeat", b"%d " % n + b"x" * rng.choice([0, 5, 200, 20_000])
        properties = rng.choice([b"\x00", EXPIRES_IN_A_MINUTE])
        data += publish(topic.encode(), payload, qos=qos, mid=n + 1, properties=properties)
        sent.append((topic, payload))
    pieces = cut(data, rng, longest) if longest > 1 else [bytes([byte]) for byte in data[:2000]] + [data[2000:]]
    async with listening(pieces) as (bus, _):
        got = await received(bus, len(sent))
    assert [(one.topic, one.payload) for one in got] == sent


async def test_a_retained_message_is_known_as_one() -> None:
    kept = bytes([0x31]) + publish(b"a", b"kept")[1:]
    async with listening([kept + publish(b"a", b"live")]) as (bus, _):
        got = await received(bus, 2)
    assert [(one.payload, one.retain) for one in got] == [(b"kept", True), (b"live", False)]


async def test_what_wants_an_acknowledgement_gets_it() -> None:
    async with listening([publish(b"a", b"0") + publish(b"a", b"1", qos=1, mid=77)]) as (bus, broker):
        await received(bus, 2)
        async with asyncio.timeout(10):
            while b"\x40\x02\x00\x4d" not in broker.answers:  # PUBACK 77
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "broken",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length that never ends
        b"\x30\x04\x00\x09ab",  # a topic longer than its packet
        b"\x30\x05\x00\x01a\x7fx",  # properties longer than their packet
        b"\x30\x02\x00\x01",
        b"\x00\x00",  # no kind of packet
    ],
)
async def test_broken_packets_end_the_connection_and_not_the_service(broken: bytes) -> None:
    """It connects again, and what came before the broken one has come."""
    async with listening([publish(b"a", b"before") + broken]) as (bus, _):
        kinds: list[type] = []
        async with asyncio.timeout(20):
            async for batch in bus.events():
                kinds += [type(event) for event in batch]
                if kinds.count(BusUp) == 2:
                    break
        assert kinds[:4] == [BusUp, Received, BusDown, BusUp]


async def test_a_refused_subscription_is_told_and_tried_again_on_a_connection_of_its_own() -> None:
    """Deaf but connected it would wait for ever: nothing but a new connection asks again."""
    async with listening([publish(b"a", b"heard")]) as (bus, broker):
        broker.subacks = [NOT_AUTHORISED, NOT_AUTHORISED]
        seen: list[BusEvent] = []
        async with asyncio.timeout(20):
            async for batch in bus.events():
                seen += batch
                if any(isinstance(event, Received) for event in seen):
                    break
        assert [type(event) for event in seen] == [BusDown, BusDown, BusUp, Received]
        assert all("subscription refused: Not authorized" in event.reason for event in seen[:2])  # type: ignore[union-attr]
        assert len(broker.tasks) == 3
        assert broker.answers.count(b"\xe0\x00") == 2, "it said goodbye to the broker each time"


async def test_what_was_read_of_a_lost_connection_does_not_spoil_the_next() -> None:
    half = publish(b"a", b"never whole" * 10)[:30]
    async with listening([half], after_hanging_up=[publish(b"a", b"whole")]) as (bus, _):
        got = await received(bus, 1)
    assert [one.payload for one in got] == [b"whole"]
