"""When each node tests itself every day: spread over hours of the site, never over people's heads. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

AGAIN_AFTER = timedelta(minutes=10)
"""A node that was ordered and did not tell is ordered again after this."""
CLEAR_FOR = timedelta(minutes=5)
"""Nothing may be due on the node for so long."""


@dataclass(frozen=True, slots=True)
class Daily:
    """Local hours [begin, end) in which nodes test themselves, on the same day; `on` False: not of their own accord."""

    begin: time = time(9)
    end: time = time(11)
    on: bool = True


USUAL_DAILY = Daily()


def slot(node: str, now: datetime, daily: Daily, zone: ZoneInfo) -> datetime:
    """When `node` is to test itself on the local day of `now`: the same time every day, another for each node."""
    begin, end = window(now, daily, zone)
    share = int.from_bytes(hashlib.sha256(f"selftest {node}".encode()).digest()[:4], "big") / 2**32
    return begin + share * (end - begin)


def window(now: datetime, daily: Daily, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The hours of the local day of `now`."""
    day = now.astimezone(zone).date()
    begin, end = (datetime.combine(day, at, tzinfo=zone) for at in (daily.begin, daily.end))
    return begin.astimezone(now.tzinfo), end.astimezone(now.tzinfo)


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of one node. `tested`: its last self-test, `ordered`: when it was last told to; None: never.
    `reachable`: it is in contact. `busy`: something sounds or is due there soon, or an emergency stands. `quiet`: the
    quiet hours of its place."""

    node: str
    tested: datetime | None
    ordered: datetime | None
    reachable: bool
    busy: bool
    quiet: bool


def why_not(case: Case, now: datetime, daily: Daily, zone: ZoneInfo) -> str:
    """Why this node is not to test itself now; empty: it is. What is put off is made up for in the hours."""
    begin, end = window(now, daily, zone)
    if not daily.on or not begin <= now < end:
        return "not within the hours"
    if now < slot(case.node, now, daily, zone):
        return "its time has not come"
    midnight = datetime.combine(now.astimezone(zone).date(), time(), tzinfo=zone)
    if case.tested is not None and case.tested >= midnight:
        return "tested today"
    if case.ordered is not None and now - case.ordered < AGAIN_AFTER:
        return "ordered a moment ago"
    return _not_here(case)


def _not_here(case: Case) -> str:
    if not case.reachable:
        return "not in contact"
    if case.busy:
        return "something sounds or is due"
    return "quiet hours" if case.quiet else ""
