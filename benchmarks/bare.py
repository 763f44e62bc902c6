"""What the broker alone needs to reach many: as many subscribers as nodes, and nothing behind them.

The subscribers use the connection of the simulated nodes, under the nodes' own names, and note when a message came:
what a node takes longer than this is its own work, and the controller's. Run while the nodes are not there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from controller.wire.messages import Enrolment
from controller.wire.topics import Topics
from simulators.connecting import DaemonPool
from simulators.fleet import CONNECTS_AT_ONCE, raise_file_limit
from simulators.link import Link, Will
from simulators.pace import Pace

CONNECTS_PER_S = 1000
ZONE = "all"
SIZE = 900
"""Bytes, as of an emergency with its signature."""


class Subscriber:
    """Hears the emergencies of one zone. Owner of a Link."""

    def __init__(self, enrolment: Enrolment, executor: DaemonPool, pace: Pace) -> None:
        self._topics = Topics(enrolment.root)
        self._node = enrolment.node
        self.heard_at: list[float] = []
        self.link = Link(enrolment.mqtt, self, executor, pace)

    def will(self) -> Will:
        return Will(self._topics.fault(self._node, "bare"), b"")

    def topics_to_hear(self) -> list[str]:
        return [self._topics.emergency(ZONE)]

    def on_up(self) -> None: ...

    def on_down(self, reason: str) -> None: ...

    def on_message(self, topic: str, payload: bytes, retain: bool) -> None:
        self.heard_at.append(time.time())


async def fan_out(enrolments: Sequence[Enrolment], publisher: tuple[str, str], rounds: int) -> list[float]:
    """Milliseconds from the publish to each subscriber, of all rounds. `publisher`: user and password."""
    raise_file_limit()
    access, topic = enrolments[0].mqtt, Topics(enrolments[0].root).emergency(ZONE)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, publisher[0], protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(*publisher)
    # Before the others: paho's own loop is deaf on a file descriptor of 1,024 or higher.
    await asyncio.to_thread(client.connect, access.host, access.port)
    client.loop_start()
    executor, pace = DaemonPool(CONNECTS_AT_ONCE), Pace(CONNECTS_PER_S)
    subscribers = [Subscriber(enrolment, executor, pace) for enrolment in enrolments]
    for one in subscribers:
        one.link.open()
    await _until(lambda: all(one.link.connected for one in subscribers))
    taken: list[float] = []
    for n in range(rounds):
        await asyncio.sleep(1)
        began = time.time()
        client.publish(topic, b"x" * SIZE, qos=1)
        await _until(lambda n=n: all(len(one.heard_at) > n for one in subscribers))  # type: ignore[misc]
        taken += [(one.heard_at[n] - began) * 1000 for one in subscribers]
    client.disconnect()
    client.loop_stop()
    await asyncio.gather(*(one.link.close() for one in subscribers))
    executor.shutdown()
    return taken


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  asked of thousands, none of which should have to tell
        await asyncio.sleep(0.05)
