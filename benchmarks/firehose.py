"""The other side of the intake benchmark: heartbeats as real nodes send them, poured into a broker at full speed.

A process of its own, so that none of its work counts for who receives: `python -m benchmarks.firehose PORT USER
PASSWORD NODES ROUNDS RATE`. Bytes are made ahead and written to the socket as they are; RATE 0 is as fast as the
broker takes them, otherwise messages a second, evenly. It begins when a line comes in, and says "done".
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from controller.wire.messages import ClockState, Heartbeat, Held, encode
from controller.wire.topics import Topics
from simulators.parts import IDLE, Parts

SHAPES = 64
"""Different sets of measurements; every heartbeat differs from its node's last."""
AT_ONCE = 256


def payloads() -> list[bytes]:
    """Heartbeats of a healthy node, with `"seq":0` to be replaced."""
    parts = Parts("benchmark")
    shapes = []
    for n in range(SHAPES):
        metrics = parts.metrics(IDLE)
        beat = Heartbeat("b1", 1, 0, datetime.now(UTC), 1000 + n, ClockState(True, n / 10), Held(), None, metrics)
        shapes.append(encode(beat))
    return shapes


def name(n: int) -> str:
    """The id of the `n`-th node."""
    return f"node-{n:06d}"


def publish(topic: bytes, payload: bytes) -> bytes:
    """One MQTT 3.1.1 PUBLISH of QoS 0."""
    body = len(topic).to_bytes(2, "big") + topic + payload
    return b"\x30" + length(len(body)) + body


def length(n: int) -> bytes:
    """MQTT's variable length."""
    made = bytearray()
    while True:
        n, low = divmod(n, 128)
        made.append(low | (128 if n else 0))
        if not n:
            return bytes(made)


def connected(port: int, user: str, password: str, host: str = "127.0.0.1") -> socket.socket:
    """A socket on which the broker takes publishes."""
    connection = socket.create_connection((host, port))
    words = b"".join(len(word).to_bytes(2, "big") + word for word in (b"", user.encode(), password.encode()))
    body = b"\x00\x04MQTT\x04\xc2\x00\x00" + words
    connection.sendall(b"\x10" + length(len(body)) + body)
    answer = connection.recv(4)
    if answer[3] != 0:
        sys.exit(f"the broker refuses: {answer[3]}")
    return connection


def chunks(nodes: int, rounds: int) -> Iterator[tuple[int, bytes]]:
    """(messages, bytes) of all heartbeats: every node in turn, `rounds` times."""
    shapes, topics = payloads(), Topics()
    named = [topics.heartbeat(name(n)).encode() for n in range(nodes)]
    made: list[bytes] = []
    for turn in range(1, rounds + 1):
        seq = b'"seq":%d' % turn
        now = [shape.replace(b'"seq":0', seq) for shape in shapes]
        for n, topic in enumerate(named):
            made.append(publish(topic, now[(n + turn) % SHAPES]))
            if len(made) == AT_ONCE:
                yield len(made), b"".join(made)
                made.clear()
    if made:
        yield len(made), b"".join(made)


def main(words: list[str]) -> None:
    port, user, password, nodes, rounds, rate = words
    connection = connected(int(port), user, password)
    ready = chunks(int(nodes), int(rounds)) if float(rate) else iter(list(chunks(int(nodes), int(rounds))))
    print("ready", flush=True)
    sys.stdin.readline()
    began, sent = time.monotonic(), 0
    for count, data in ready:
        connection.sendall(data)
        sent += count
        if float(rate):
            time.sleep(max(0.0, began + sent / float(rate) - time.monotonic()))
    print("done", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1:])
