"""One node as a process to be killed, for the benchmark of silence: a will, a birth, heartbeats. Words: HOST PORT USER
PASSWORD NODE SECONDS (between heartbeats)."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from controller.wire.messages import Heartbeat, Status, encode
from controller.wire.topics import Topics

KEEPALIVE_S = 20


def live(host: str, port: int, user: str, password: str, node: str, interval_s: float) -> None:
    topics, now = Topics(), datetime.now(UTC)
    will = Status(online=False, boot="b1", conn=1, at=now, reason="will")
    birth = Status(online=True, boot="b1", conn=1, at=now, reason="birth")
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=user, protocol=paho.MQTTv5)
    client.username_pw_set(user, password)
    client.will_set(topics.status(node), encode(will), qos=1, retain=True)
    client.connect(host, port, KEEPALIVE_S)
    client.loop_start()
    client.publish(topics.status(node), encode(birth), qos=1, retain=True).wait_for_publish()
    seq = 0
    while True:
        seq += 1
        client.publish(topics.heartbeat(node), encode(Heartbeat("b1", 1, seq, datetime.now(UTC))), qos=0)
        time.sleep(interval_s)


if __name__ == "__main__":
    host, port, user, password, node, interval_s = sys.argv[1:]
    live(host, int(port), user, password, node, float(interval_s))
