"""paho-mqtt that reads in large pieces, and takes the short way with the messages that come most.

paho asks the socket for single bytes, four times a message, and builds objects for the properties of each. Here one
read takes what is there; whole packets are cut out of it, a QoS 0 PUBLISH is taken apart at once, and every other
packet is given to paho in its turn, so that nothing overtakes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import paho.mqtt.client as paho

READ_BYTES = 256 * 1024
PUBLISH_QOS0 = 0x30
IGNORING_RETAIN = 0xFF ^ 1
RETAIN = 1

Taken = Callable[[str, bytes, bool], None]
"""Topic, payload, retain."""


class BufferedClient(paho.Client):
    """Drive it with `read_all` instead of `loop_read`, on one thread only."""

    taken: Taken
    """Called for each QoS 0 message; those of QoS 1 come to paho's `on_message`."""

    _rest = b""
    _fed = b""
    _ended = False

    def forget(self) -> None:
        """A new connection: what was read of the last one is nothing to it."""
        self._rest, self._fed, self._ended = b"", b"", False

    def read_all(self) -> None:
        """Take what has come, at most one large piece. Ends the connection as paho's `loop_read` does."""
        connection = self.socket()
        if connection is None:
            return
        try:
            data = super()._sock_recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        with suppress(OSError):  # told by the next read
            while pending := getattr(connection, "pending", int)():  # decrypted already: the selector cannot see it
                data += super()._sock_recv(pending)
        if data:
            with self._msgtime_mutex:  # as paho notes it: a busy connection is alive, however late its ping is answered
                self._last_bytes_received = paho.time_func()
            self._take(self._rest + data if self._rest else data)
        else:
            self._ended = True
            self.loop_read()

    def _take(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end:
            start, length = varint(data, at + 1)
            if start < 0 or start + length > end:
                break
            stop = start + length
            if data[at] & IGNORING_RETAIN != PUBLISH_QOS0 or not self._publish(data, at, start, stop):
                self._fed = data[at:stop]
                self.loop_read()
                if self.socket() is None:
                    return
            at = stop
        self._rest = data[at:]

    def _publish(self, data: bytes, at: int, start: int, stop: int) -> bool:
        """Whether it was a well-formed message; what is not is paho's to judge."""
        properties_at = start + 2 + int.from_bytes(data[start : start + 2], "big")
        if properties_at >= stop:
            return False
        payload_at, properties = varint(data, properties_at)
        payload_at += properties
        if payload_at > stop or payload_at < properties_at:
            return False
        try:
            topic = data[start + 2 : properties_at].decode()
        except UnicodeDecodeError:
            return False
        self.taken(topic, data[payload_at:stop], bool(data[at] & RETAIN))
        return True

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._ended:
            return b""
        if not self._fed:
            raise BlockingIOError
        data, self._fed = self._fed[:bufsize], self._fed[bufsize:]
        return data


def varint(data: bytes, at: int) -> tuple[int, int]:
    """MQTT's variable length at `at`: (where it ends, value); (-1, 0) if it is not all there yet.

    One of more than four bytes is no length. It ends where it stands, so that paho sees the packet and refuses it.
    """
    value = shift = 0
    for place in range(at, min(at + 4, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return place + 1, value
        shift += 7
    return (at + 5, 0) if len(data) > at + 4 else (-1, 0)
