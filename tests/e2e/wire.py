"""A cable between this machine and a network namespace: it loses, delays and can be cut.

Every packet passes through this process, from one tun device to the other, so that the kernel's own TCP meets loss and
delay on both ends. (`tc netem` does the same inside the kernel, but not every kernel has it.)
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from dataclasses import dataclass

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 1500
QUEUE = 1000
"""Packets under way; a radio has no more either."""


@dataclass(frozen=True)
class Weather:
    """Of each direction: the share of packets that is lost, and how long the others take."""

    loss: float = 0.0
    delay_s: float = 0.0


def missing() -> str:
    """Why this machine cannot have such a cable; empty if it can."""
    probe = f"lw{os.getpid() % 10000}p"
    try:
        if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode:
            return "network namespaces need root"
        subprocess.run(["ip", "netns", "del", probe], capture_output=True)
        os.close(_tun(probe))
    except FileNotFoundError as error:
        return f"{error.filename} is missing (scripts/setup test installs iproute2)"
    except OSError as error:
        return f"no tun device can be made: {error.strerror}"
    return ""


class Wire:
    """From the namespace `name`, with address `inside`, to `centre`, an address of this machine."""

    def __init__(self, name: str, *, inside: str, centre: str, seed: int) -> None:
        self.name = name
        self.weather = Weather()
        self.cut = False
        self.passed = self.lost = 0
        self._inside, self._centre = inside, centre
        self._rng = random.Random(seed)
        self._ended = threading.Event()

    def __enter__(self) -> Wire:
        here, there = f"{self.name}h", f"{self.name}n"
        self._ends = _tun(here), _tun(there)
        _ip("netns", "add", self.name)
        _ip("link", "set", there, "netns", self.name)
        _ip("link", "set", here, "up")
        _ip("route", "add", f"{self._inside}/32", "dev", here)
        for words in (
            ["addr", "add", f"{self._inside}/32", "dev", there],
            ["link", "set", there, "up"],
            ["link", "set", "lo", "up"],
            ["route", "add", f"{self._centre}/32", "dev", there],
        ):
            _ip("-n", self.name, *words)
        self._thread = threading.Thread(target=self._carry, name=f"wire {self.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for end in self._ends:
            os.close(end)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def command(self, words: list[str]) -> list[str]:
        """`words` run at the far end."""
        return ["ip", "netns", "exec", self.name, *words]

    def _carry(self) -> None:
        way: list[tuple[float, int, int, bytes]] = []
        count = 0
        while not self._ended.is_set():
            now = time.monotonic()
            while way and way[0][0] <= now:
                _, _, end, packet = heapq.heappop(way)
                _send(end, packet)
            readable, _, _ = select.select(self._ends, [], [], min(0.05, way[0][0] - now) if way else 0.05)
            for end in readable:
                packet = os.read(end, MTU + 100)
                weather = self.weather
                if self.cut or len(way) >= QUEUE or self._rng.random() < weather.loss:
                    self.lost += 1
                    continue
                self.passed += 1
                count += 1
                other = self._ends[1] if end == self._ends[0] else self._ends[0]
                heapq.heappush(way, (time.monotonic() + weather.delay_s, count, other, packet))


def _send(end: int, packet: bytes) -> None:
    try:
        os.write(end, packet)
    except OSError:  # the device is not up yet, or not any more
        return


def _tun(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError:
        os.close(end)
        raise
    return end


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
