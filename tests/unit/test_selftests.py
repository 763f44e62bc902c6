"""The daily self-test: each node once, at its own minute, and never while somebody listens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.store.sql import SqlStore
from controller.domain.commissioning import Selftest
from controller.domain.metrics import Model
from controller.domain.selftests import Case, Daily, slot, why_not, window
from controller.services.selftests import Selftests
from tests.fakes import FakeClock
from tests.health_support import district

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
DAILY = Daily(time(9), time(11))
NOON = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
LAST = datetime(2026, 11, 23, 3, 59, tzinfo=UTC)
"""A minute before 11:00 there."""
WELL = Case("c1-1", None, None, reachable=True, busy=False, quiet=False)


def test_nodes_are_spread_over_the_hours_and_keep_their_minute() -> None:
    begin, end = window(NOON, DAILY, ZONE)
    slots = [slot(f"node-{n}", NOON, DAILY, ZONE) for n in range(1000)]
    assert all(begin <= at < end for at in slots)
    minutes = [int((at - begin).total_seconds() // 60) for at in slots]
    assert max(minutes.count(minute) for minute in range(120)) < 30
    tomorrow = slot("node-1", NOON + timedelta(days=1), DAILY, ZONE)
    assert tomorrow - slots[1] == timedelta(days=1)


@pytest.mark.parametrize(
    ("case", "now", "why"),
    [
        (WELL, LAST, ""),
        (WELL, NOON, "not within the hours"),
        (replace(WELL, tested=LAST - timedelta(hours=9)), LAST, "tested today"),
        (replace(WELL, tested=LAST - timedelta(hours=12)), LAST, ""),
        (replace(WELL, ordered=LAST - timedelta(minutes=9)), LAST, "ordered a moment ago"),
        (replace(WELL, reachable=False), LAST, "not in contact"),
        (replace(WELL, busy=True), LAST, "something sounds or is due"),
        (replace(WELL, quiet=True), LAST, "quiet hours"),
    ],
)
def test_why_a_node_is_not_tested_now(case: Case, now: datetime, why: str) -> None:
    assert why_not(case, now, DAILY, ZONE) == why


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), st.text(max_size=5))
def test_nothing_is_tested_outside_the_hours_or_twice_a_day(now: datetime, node: str) -> None:
    if why_not(replace(WELL, node=node), now, DAILY, ZONE) == "":
        assert time(9) <= now.astimezone(ZONE).time() < time(11)
        assert why_not(replace(WELL, node=node, tested=now - timedelta(minutes=1)), now, DAILY, ZONE) == "tested today"


class House:
    """Stands for dispatch, monitoring and the plan."""

    def __init__(self) -> None:
        self.ordered: list[tuple[str, str]] = []
        self.taken: set[str] = set()

    async def order(self, node: str, do: str, args: dict[str, str]) -> str:  # type: ignore[override]
        self.ordered.append((node, args["sound"]))
        return ""

    def contact(self, node: str) -> datetime | None:
        return None if node == "c1-2" else NOON - timedelta(days=1)

    def free(self, node: str, begin: datetime, end: datetime) -> bool:
        return node not in self.taken


async def test_what_was_tested_today_is_not_tested_again_even_by_a_new_controller() -> None:
    store, house, clock = SqlStore("sqlite://"), House(), FakeClock(LAST)
    await store.open()
    settings = district(communes=1, nodes_each=4, models={"loa-sim-1": Model(soundless=True)})
    house.taken = {"c1-3"}
    await store.transact(lambda tx: tx.put_selftests([Selftest("c1-4", LAST - timedelta(hours=1), True, {}, {})]))
    for _ in range(2):
        made = Selftests(settings, store=store, clock=clock, orders=house, health=house, horns=house)  # type: ignore[arg-type]
        await made.look()
        await made.look()
        await store.transact(lambda tx: tx.put_selftests([Selftest("c1-1", LAST, True, {}, {})]))
    assert house.ordered == [("c1-1", "none")]
    await store.close()
