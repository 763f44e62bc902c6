"""The broker connection against a real Mosquitto: what it says is what happened."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.adapters.broker import CONTROLLER, Broker
from controller.adapters.clock import SystemClock
from controller.adapters.credentials import hash_password
from controller.adapters.mqtt import MqttBus, Will
from controller.domain.site import Mqtt
from controller.ports import NOBODY_SUBSCRIBED, BusDown, BusEvent, BusUp, Received
from tests.fakes import settle

ACCOUNTS = {name: hash_password("secret") for name in (CONTROLLER, "na-meo-01")}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker(tmp_path / "broker", root="loa/v1")
    await broker.start(ACCOUNTS)
    yield broker
    await broker.stop()


class Heard:
    """A bus that runs, and what came over it."""

    def __init__(self, broker: Broker, user: str, subscribe: str, **more: Any) -> None:
        access = Mqtt(host=broker.host, port=broker.port, username=user, password="secret")
        self.bus = MqttBus(access, client_id=user, subscribe=subscribe, clock=SystemClock(), **more)
        self.events: list[BusEvent] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Heard:
        await self.bus.start()
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.bus.stop()
        await self._task

    async def _listen(self) -> None:
        async for batch in self.bus.events():
            self.events.extend(batch)
            self._news.set()

    async def until(self, condition: Callable[[BusEvent], bool]) -> BusEvent:
        async with asyncio.timeout(20):
            while not (found := [event for event in self.events if condition(event)]):
                self._news.clear()
                await self._news.wait()
        return found[0]

    async def up(self) -> None:
        await self.until(lambda event: isinstance(event, BusUp))


def controller(broker: Broker, **more: Any) -> Heard:
    return Heard(broker, CONTROLLER, "loa/v1/up/#", **more)


def node(broker: Broker) -> Heard:
    return Heard(broker, "na-meo-01", "loa/v1/dn/na-meo-01/#")


async def test_a_message_goes_both_ways_and_its_outcome_is_known(broker: Broker) -> None:
    async with controller(broker) as ours, node(broker) as theirs:
        await ours.up()
        await theirs.up()
        assert await ours.bus.publish("loa/v1/dn/na-meo-01/command", b"order", expiry_s=30) == ""
        event = await theirs.until(lambda event: isinstance(event, Received))
        assert isinstance(event, Received)
        assert (event.payload, event.retain) == (b"order", False)
        assert await theirs.bus.publish("loa/v1/up/na-meo-01/journal", b"{}") == ""
        await ours.until(lambda event: isinstance(event, Received) and event.payload == b"{}")


async def test_what_waits_for_us_is_as_old_as_its_first_message(broker: Broker) -> None:
    async with node(broker) as theirs:
        await theirs.up()
        bus = controller(broker).bus
        await bus.start()
        events = bus.events()
        assert isinstance((await anext(events))[0], BusUp)
        assert bus.oldest is None
        await theirs.bus.publish("loa/v1/up/na-meo-01/journal", b"{}")
        oldest = await _until_set(lambda: bus.oldest)
        assert (await anext(events))[0].mono == oldest
        assert bus.oldest is None
        await bus.stop()


async def _until_set(read: Callable[[], float | None]) -> float:
    async with asyncio.timeout(20):
        while (found := read()) is None:
            await asyncio.sleep(0.01)
    return found


async def test_what_is_urgent_goes_before_a_thousand_that_wait(broker: Broker) -> None:
    async with controller(broker) as ours, node(broker) as theirs:
        await ours.up()
        await theirs.up()
        left: list[float] = []
        waiting = [ours.bus.publish(f"loa/v1/dn/na-meo-01/{n}", b"playlists") for n in range(1000)]
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)  # nothing is acknowledged before all of them wait
        tasks = [asyncio.create_task(one) for one in waiting]
        tasks.append(asyncio.create_task(ours.bus.publish("loa/v1/dn/na-meo-01/warning", b"flood", handed=left.append)))
        await settle()
        os.kill(broker.pid, signal.SIGCONT)
        assert await asyncio.gather(*tasks) == [""] * 1001
        await theirs.until(lambda event: isinstance(event, Received) and event.topic.endswith("/999"))
        topics = [event.topic.rpartition("/")[2] for event in theirs.events if isinstance(event, Received)]
        assert topics.index("warning") < 500
        assert len(left) == 1


async def test_an_order_to_an_absent_node_is_known_to_have_reached_nobody(broker: Broker) -> None:
    async with controller(broker) as ours:
        await ours.up()
        assert await ours.bus.publish("loa/v1/dn/na-meo-01/command", b"order") == NOBODY_SUBSCRIBED


async def test_a_node_cannot_write_what_another_obeys(broker: Broker) -> None:
    async with node(broker) as theirs:
        await theirs.up()
        assert "authorized" in (await theirs.bus.publish("loa/v1/dn/na-meo-02/command", b"forged")).lower()


async def test_a_retained_document_waits_for_the_node(broker: Broker) -> None:
    async with controller(broker) as ours:
        await ours.up()
        await ours.bus.publish("loa/v1/dn/na-meo-01/playlists", b"week", retain=True, expiry_s=3600)
        async with node(broker) as theirs:
            event = await theirs.until(lambda event: isinstance(event, Received))
            assert isinstance(event, Received)
            assert (event.payload, event.retain) == (b"week", True)


async def test_nothing_is_queued_for_a_broker_that_is_away_and_its_return_is_told(broker: Broker) -> None:
    async with controller(broker) as ours:
        await ours.up()
        await broker.stop()
        await ours.until(lambda event: isinstance(event, BusDown))
        assert await ours.bus.publish("loa/v1/dn/na-meo-01/command", b"order") == "not connected"
        ours.events.clear()
        await broker.start(ACCOUNTS)
        await ours.up()
        assert await ours.bus.publish("loa/v1/dn/na-meo-01/command", b"order") == NOBODY_SUBSCRIBED
        assert not [event for event in ours.events if isinstance(event, Received)]


async def test_a_wrong_password_is_told_and_tried_again(broker: Broker) -> None:
    async with Heard(broker, "nobody", "loa/v1/up/#") as ours:
        event = await ours.until(lambda event: isinstance(event, BusDown))
        assert isinstance(event, BusDown)
        assert "refused" in event.reason
        assert not ours.bus.connected


async def test_many_publishes_at_once_are_all_answered(broker: Broker) -> None:
    async with controller(broker) as ours, node(broker) as theirs:
        await ours.up()
        await theirs.up()
        orders = [ours.bus.publish("loa/v1/dn/na-meo-01/journal-ack", b"%d" % n) for n in range(1000)]
        assert set(await asyncio.gather(*orders)) == {""}
        await theirs.until(lambda event: isinstance(event, Received) and event.payload == b"999")
        got = [int(event.payload) for event in theirs.events if isinstance(event, Received)]
        assert got == list(range(1000))


async def test_it_connects_in_a_process_with_more_than_1024_open_files(broker: Broker) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        async with controller(broker) as ours:
            await ours.up()
            assert await ours.bus.publish("loa/v1/dn/na-meo-01/command", b"order") == NOBODY_SUBSCRIBED
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_will_tells_when_the_controller_is_gone_without_a_word(broker: Broker) -> None:
    topic = "loa/v1/dn/na-meo-01/will"
    async with node(broker) as theirs:
        await theirs.up()
        async with controller(broker, will=Will(topic, b"gone")) as ours:
            await ours.up()
            connection = ours.bus._client.socket()
            assert connection is not None
            connection.shutdown(2)
            await theirs.until(lambda event: isinstance(event, Received) and event.payload == b"gone")


async def test_a_connection_that_fails_in_an_unforeseen_way_is_told_and_tried_again() -> None:
    """A name that IDNA refuses is no OSError."""
    bus = MqttBus(Mqtt(host="x" * 64 + ".vn", port=1), client_id="c", subscribe="#", clock=SystemClock())
    await bus.start()
    told: list[BusEvent] = []
    async with asyncio.timeout(10):
        async for batch in bus.events():
            told.extend(batch)
            if len(told) > 1:
                break
    await bus.stop()
    assert all(isinstance(event, BusDown) for event in told)


async def test_a_connection_lost_while_a_message_is_handed_over_answers_it(broker: Broker) -> None:
    class Losing(deque[Any]):
        """Between the look at the connection and the message's place in the queue, it is lost."""

        def append(self, order: Any) -> None:
            ours.bus._fail_all("disconnected")
            super().append(order)

    async with controller(broker) as ours:
        await ours.up()
        ours.bus._orders = Losing()
        async with asyncio.timeout(5):
            assert await ours.bus.publish("loa/v1/dn/na-meo-01/command", b"order") == "not connected"


async def test_packets_that_share_a_tls_record_are_all_read_at_once(tmp_path: Path) -> None:
    """The selector sees nothing of what TLS has decrypted already."""
    ours = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ours)
    connack, suback = b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01"
    publish = b"\x30\x06\x00\x01a\x00hi"

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(connack)
        await reader.read(1000)
        writer.write(suback + publish * 20)
        await reader.read(1000)
        writer.close()

    server = await asyncio.start_server(broker, "127.0.0.1", 0, ssl=context)
    access = Mqtt(host="localhost", port=server.sockets[0].getsockname()[1], tls=True, ca=str(ours))
    bus = MqttBus(access, client_id="c", subscribe="a", clock=SystemClock())
    await bus.start()
    came: list[BusEvent] = []
    async with asyncio.timeout(5):
        async for batch in bus.events():
            came.extend(event for event in batch if isinstance(event, Received))
            if len(came) == 20:
                break
    await bus.stop()
    server.close()


def certificate(folder: Path) -> Path:
    """Certificate and key of localhost, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "localhost.pem"
    path.write_bytes(made.public_bytes(pem) + private)
    return path


async def test_who_may_not_publish_is_asked_at_the_last_moment_for_every_message(broker: Broker) -> None:
    """A controller that was stopped for long must not send what it was about to send when it was stopped."""
    allowed = iter([*[""] * 30, *["does not lead"] * 30])
    async with controller(broker, refusal=lambda: next(allowed)) as ours, node(broker) as theirs:
        await ours.up()
        await theirs.up()
        topic = "loa/v1/dn/na-meo-01/command"
        outcomes = await asyncio.gather(*(ours.bus.publish(topic, str(n).encode()) for n in range(60)))
        await theirs.until(lambda event: isinstance(event, Received) and event.payload == b"29")
        came = [event.payload for event in theirs.events if isinstance(event, Received)]
    assert came == [str(n).encode() for n in range(30)]
    assert outcomes == [""] * 30 + ["does not lead"] * 30
