"""How fast the nodes of one process connect, and how fast they did."""

from __future__ import annotations

from collections import Counter


class Pace:
    """At most `per_s` connections a second are begun, in the order of asking, however many want one: ten thousand
    nodes of one machine that lose their broker together must not all knock in the second in which it is back."""

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next = 0.0
        self._came_up: Counter[int] = Counter()
        self.last_up = 0.0

    def wait_s(self, mono: float) -> float:
        """Seconds from `mono` until the asker's turn."""
        at = max(mono, self._next)
        self._next = at + self._gap_s
        return at - mono

    def came_up(self, mono: float) -> None:
        """A connection is there."""
        self._came_up[int(mono)] += 1
        self.last_up = mono

    @property
    def peak_per_s(self) -> int:
        """The most connections that came up within one second."""
        return max(self._came_up.values(), default=0)

    @property
    def connections(self) -> int:
        return self._came_up.total()
