"""Some nodes in a process that is to die, for the benchmark of silence: each with a connection of its own, a birth,
heartbeats at its own moments of the interval and, unless WILL is "none", a will. Words: HOST PORT PASSWORD SECONDS
(between heartbeats) WILL NODE..."""

from __future__ import annotations

import random
import sys
import threading
import time
from datetime import UTC, datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from controller.wire.messages import Heartbeat, Status, encode
from controller.wire.topics import Topics

KEEPALIVE_S = 20
"""As the protocol asks of a node."""


def live(host: str, port: int, password: str, interval_s: float, will: bool, node: str) -> None:
    """Until the process ends."""
    topics, now = Topics(), datetime.now(UTC)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=node, protocol=paho.MQTTv5)
    client.username_pw_set(node, password)
    if will:
        farewell = Status(online=False, boot="b1", conn=1, at=now, reason="will")
        client.will_set(topics.status(node), encode(farewell), qos=1, retain=True)
    client.connect(host, port, KEEPALIVE_S)
    client.loop_start()
    birth = Status(online=True, boot="b1", conn=1, at=now, reason="birth")
    client.publish(topics.status(node), encode(birth), qos=1, retain=True).wait_for_publish()
    time.sleep(random.uniform(0, interval_s))
    seq = 0
    while True:
        seq += 1
        client.publish(topics.heartbeat(node), encode(Heartbeat("b1", 1, seq, datetime.now(UTC))), qos=0)
        time.sleep(interval_s)


if __name__ == "__main__":
    host, port, password, interval_s, will, *nodes = sys.argv[1:]
    for node in nodes:
        words = (host, int(port), password, float(interval_s), will != "none", node)
        threading.Thread(target=live, args=words, daemon=True).start()
    threading.Event().wait()
