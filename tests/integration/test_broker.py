"""The managed Mosquitto: who gets in, what they may do, and that it ends with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from controller.adapters import broker as module
from controller.adapters.broker import CONTROLLER, READERS, Broker, BrokerError, free_port
from controller.adapters.credentials import hash_password

ROOT = "loa/v1"
PASSWORDS = {CONTROLLER: "c", READERS[0]: "r", "na-meo-01": "n1", "na-meo-02": "n2"}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    running = Broker(tmp_path / "broker", root=ROOT)
    await running.start({name: hash_password(password) for name, password in PASSWORDS.items()})
    yield running
    await running.stop()


class Client:
    """A paho client that remembers what it got."""

    def __init__(self, broker: Broker, name: str, password: str | None = None, client_id: str = "") -> None:
        self.got: list[tuple[str, bytes]] = []
        self.connected: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        if name:
            self.client.username_pw_set(name, PASSWORDS.get(name) if password is None else password)
        self.client.on_connect = lambda *given: self._say(self._on_connect, given[3])
        self.client.on_message = lambda *given: self._say(self.got.append, (given[2].topic, given[2].payload))
        self.client.on_disconnect = lambda *given: self._say(lambda _: self.gone.set(), None)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def _say(self, call: Callable[[Any], object], value: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, value)

    def _on_connect(self, code: Any) -> None:
        if not self.connected.done():
            self.connected.set_result(code)

    async def publish(self, topic: str, payload: bytes = b"x") -> Any:
        """The broker's reason code."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self.client.on_publish = lambda *given: self._say(answer.set_result, given[3])
        self.client.publish(topic, payload, qos=1)
        return await asyncio.wait_for(answer, 5)

    async def subscribe(self, topic: str) -> None:
        done: asyncio.Future[Any] = self._loop.create_future()
        self.client.on_subscribe = lambda *given: self._say(done.set_result, None)
        self.client.subscribe(topic, qos=1)
        await asyncio.wait_for(done, 5)

    async def received(self, count: int) -> list[tuple[str, bytes]]:
        async with asyncio.timeout(5):
            while len(self.got) < count:
                await asyncio.sleep(0.01)
        return self.got

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
async def connect(broker: Broker) -> AsyncIterator[Callable[..., Any]]:
    clients: list[Client] = []

    async def _connect(name: str, password: str | None = None, client_id: str = "") -> Client:
        client = Client(broker, name, password, client_id)
        clients.append(client)
        await asyncio.wait_for(asyncio.shield(client.connected), 5)
        return client

    yield _connect
    for client in clients:
        client.close()


async def test_nobody_gets_in_without_a_password(connect: Callable[..., Any]) -> None:
    assert (await connect("")).connected.result().is_failure
    assert (await connect("na-meo-01", "wrong")).connected.result().is_failure
    assert (await connect("na-meo-99", "n1")).connected.result().is_failure
    assert not (await connect("na-meo-01")).connected.result().is_failure


async def test_a_node_cannot_speak_for_another_or_for_the_controller(connect: Callable[..., Any]) -> None:
    node = await connect("na-meo-01")
    assert not (await node.publish(f"{ROOT}/up/na-meo-01/status")).is_failure
    for topic in ("up/na-meo-02/status", "dn/na-meo-02/command", "zones/all/emergency", "controller/loa/status"):
        assert (await node.publish(f"{ROOT}/{topic}")).is_failure, topic


async def test_a_node_reads_its_own_orders_and_no_other(connect: Callable[..., Any]) -> None:
    node, controller = await connect("na-meo-01"), await connect(CONTROLLER)
    await node.subscribe("#")
    await controller.publish(f"{ROOT}/dn/na-meo-02/command", b"not yours")
    await controller.publish(f"{ROOT}/up/na-meo-02/heartbeat", b"not yours")
    await controller.publish(f"{ROOT}/dn/na-meo-01/command", b"yours")
    await controller.publish(f"{ROOT}/zones/all/emergency", b"everybody's")
    assert await node.received(2) == [
        (f"{ROOT}/dn/na-meo-01/command", b"yours"),
        (f"{ROOT}/zones/all/emergency", b"everybody's"),
    ]


async def test_who_listens_hears_all_and_says_nothing(connect: Callable[..., Any]) -> None:
    reader, node = await connect(READERS[0]), await connect("na-meo-01")
    await reader.subscribe(f"{ROOT}/#")
    await node.publish(f"{ROOT}/up/na-meo-01/heartbeat", b"alive")
    assert await reader.received(1) == [(f"{ROOT}/up/na-meo-01/heartbeat", b"alive")]
    assert (await reader.publish(f"{ROOT}/dn/na-meo-01/command")).is_failure


async def test_a_node_that_borrows_another_client_id_kicks_nobody_out(connect: Callable[..., Any]) -> None:
    victim = await connect("na-meo-01", client_id="na-meo-01")
    thief = await connect("na-meo-02", client_id="na-meo-01")
    await thief.publish(f"{ROOT}/up/na-meo-02/status")
    await victim.publish(f"{ROOT}/up/na-meo-01/status")
    assert not victim.gone.is_set()


async def test_a_node_enrolled_while_it_runs_can_join_at_once(broker: Broker, connect: Callable[..., Any]) -> None:
    assert (await connect("na-meo-03", "n3")).connected.result().is_failure
    more = {**PASSWORDS, "na-meo-03": "n3"}
    broker.reload({name: hash_password(password) for name, password in more.items()})
    async with asyncio.timeout(5):
        while (await connect("na-meo-03", "n3")).connected.result().is_failure:
            await asyncio.sleep(0.02)


async def test_a_huge_packet_ends_its_sender_and_not_the_broker(connect: Callable[..., Any]) -> None:
    node, other = await connect("na-meo-01"), await connect("na-meo-02")
    node.client.publish(f"{ROOT}/up/na-meo-01/heartbeat", b"x" * 1_000_000)
    await asyncio.wait_for(node.gone.wait(), 5)
    assert not (await other.publish(f"{ROOT}/up/na-meo-02/status")).is_failure


async def test_a_killed_broker_comes_back_on_its_port(broker: Broker, connect: Callable[..., Any]) -> None:
    keeper = asyncio.create_task(broker.keep())
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while True:
            try:
                client = await connect("na-meo-01")
                break
            except (OSError, TimeoutError):
                await asyncio.sleep(0.02)
    assert not client.connected.result().is_failure
    await broker.stop()
    await asyncio.wait_for(keeper, 5)


async def test_secrets_are_readable_by_the_broker_alone(broker: Broker) -> None:
    for name in ("passwords", "acl", "mosquitto.conf"):
        assert (broker.folder / name).stat().st_mode & 0o077 == 0, name


async def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"127.0.0.1:{port}"):
            await Broker(tmp_path, root=ROOT, port=port).start({})


async def test_a_missing_mosquitto_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "PLACES", ())
    with pytest.raises(BrokerError, match="apt-get install mosquitto"):
        await Broker(tmp_path, root=ROOT).start({})


PARENT = """
import asyncio, sys
from pathlib import Path
from controller.adapters.broker import Broker

async def main():
    broker = Broker(Path(sys.argv[1]), root="loa/v1", port=int(sys.argv[2]))
    await broker.start({})
    print(broker.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_killed_parent_leaves_no_broker_behind(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", PARENT, str(tmp_path / "b"), str(free_port())]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}").exists()
