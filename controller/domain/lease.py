"""Who leads: one row in the database, judged by monotonic clocks alone. Pure.

The holder renews the row every RENEW_S. Whoever waits takes it when it has not changed for TTL_S on its own clock, so
that wall clocks that differ between machines elect nobody. The holder trusts a renewal for FENCE_S from the moment it
asked for it, which is over before anybody else's TTL_S can be: it stops publishing first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

TTL_S = 15.0
RENEW_S = 5.0
FENCE_S = 13.0
LOOK_S = 1.0
"""How often a waiting controller looks at the row."""
AGAIN_S = 1.0
"""Until the next try to renew when the database did not answer."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The row. `holder` names one run of one process; `until` is the holder's wall clock, for people, and makes every
    renewal another row."""

    holder: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """The row as it was last read, and since when (monotonic seconds) it has read the same."""

    lease: Lease | None
    since: float


def look(before: Seen | None, lease: Lease | None, mono: float) -> Seen:
    """What is known after reading `lease` at `mono`."""
    return before if before is not None and before.lease == lease else Seen(lease, mono)


def why_wait(seen: Seen, me: str, dead: Collection[str], mono: float) -> str:
    """Why `me` must not take the lease yet; empty when it may. `dead`: holders that are known to run no more."""
    lease = seen.lease
    if lease is None or lease.holder == me or lease.holder in dead:
        return ""
    left = TTL_S - (mono - seen.since)
    return f"{lease.holder} leads; free in {left:.0f} s unless renewed" if left > 0 else ""
