"""How often one may ask: a sliding window for each key, in memory."""

from __future__ import annotations

from collections import OrderedDict, deque

KEYS = 10_000
"""A flood of made-up keys must not grow memory: the oldest are forgotten."""


class Rate:
    """At most `limit` in any `window_s`. Times are monotonic seconds."""

    def __init__(self, limit: int, window_s: float = 60.0) -> None:
        self._limit = limit
        self._window_s = window_s
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def allows(self, key: str, mono: float) -> bool:
        """Count one more of `key`, unless that is too many."""
        times = self._seen.setdefault(key, deque())
        self._seen.move_to_end(key)
        while len(self._seen) > KEYS:
            self._seen.popitem(last=False)
        while times and times[0] <= mono - self._window_s:
            times.popleft()
        if len(times) >= self._limit:
            return False
        times.append(mono)
        return True
