"""Who holds a node at an instant: the rank of a broadcast.

Priority class first, then the level that ordered it. A higher rank interrupts a lower one; equal ranks never do.
"""

from __future__ import annotations

from broadcasts.model import Level, Priority

_CLASS = {Priority.NORMAL: 0, Priority.PRIORITY: 100, Priority.EMERGENCY: 200}
_LEVEL = {Level.COMMUNE: 10, Level.DISTRICT: 20, Level.PROVINCE: 30, Level.NATIONAL: 40}


def rank(priority: Priority, level: Level) -> int:
    """Rank of a broadcast, 10 to 240."""
    return _CLASS[priority] + _LEVEL[level]
