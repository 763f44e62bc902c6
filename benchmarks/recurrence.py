"""Next occurrences a second: our rules, APScheduler's CronTrigger and python-dateutil's rrule, in one run.

Only rules that all three can express, in a zone without changes of the clock and in one with them; they must agree on
every instant before they are timed. `chain`: one airing after the other; `cold`: the next one after a random instant.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from itertools import islice
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from dateutil.rrule import DAILY, MONTHLY, rrule
from rich.console import Console
from rich.table import Table

from benchmarks.report import Report
from broadcasts.calendar import VIETNAM
from broadcasts.model import EVERY_DAY, Broadcast, MonthDay, Weekday
from broadcasts.recurrence import Airing, expand

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=40 * 365)
CHAIN, COLD, ROUNDS = 400, 200, 5
ZONES = {"Hà Nội": ZoneInfo("Asia/Ho_Chi_Minh"), "Berlin": ZoneInfo("Europe/Berlin")}
WEEKDAYS = frozenset(Weekday) - {Weekday.SAT, Weekday.SUN}

Next = Callable[[datetime], datetime]
Chain = Callable[[datetime], Iterator[datetime]]


@dataclass(frozen=True)
class Rule:
    """One rule in three languages. `rrule` is a wall-clock rule: its instants are attached to the zone afterwards."""

    name: str
    ours: Broadcast
    cron: dict[str, str]
    frequency: int
    by: dict[str, object]


def series(**fields: object) -> Broadcast:
    return Broadcast(id="tin", title="Tin", to=("all",), play=(), **fields)  # type: ignore[arg-type]


RULES = (
    Rule(
        "daily 05:30",
        series(at=(time_of_day(5, 30),), days=EVERY_DAY),
        {"hour": "5", "minute": "30"},
        DAILY,
        {"byhour": 5, "byminute": 30},
    ),
    Rule(
        "weekdays 05:30, 17:30",
        series(at=(time_of_day(5, 30), time_of_day(17, 30)), days=WEEKDAYS),
        {"day_of_week": "mon-fri", "hour": "5,17", "minute": "30"},
        DAILY,
        {"byweekday": (0, 1, 2, 3, 4), "byhour": (5, 17), "byminute": 30},
    ),
    Rule(
        "first of every month 06:15",
        series(at=(time_of_day(6, 15),), solar=(MonthDay(1),)),
        {"day": "1", "hour": "6", "minute": "15"},
        MONTHLY,
        {"bymonthday": 1, "byhour": 6, "byminute": 15},
    ),
)


def ours(rule: Rule, zone: ZoneInfo) -> Chain:
    def chain(after: datetime) -> Iterator[datetime]:
        found = expand(rule.ours, zone, VIETNAM, after + timedelta(microseconds=1), END)
        return (one.start for one in found if isinstance(one, Airing))

    return chain


def cron(rule: Rule, zone: ZoneInfo) -> Chain:
    trigger = CronTrigger(**rule.cron, timezone=zone)

    def chain(after: datetime) -> Iterator[datetime]:
        last = after
        while True:
            found = trigger.get_next_fire_time(None, last + timedelta(microseconds=1))
            last = found.astimezone(UTC)
            yield last

    return chain


def by_rrule(rule: Rule, zone: ZoneInfo) -> Chain:
    def chain(after: datetime) -> Iterator[datetime]:
        local = after.astimezone(zone).replace(tzinfo=None)
        begin = datetime.combine(
            local.date() if rule.frequency == DAILY else local.date().replace(day=1), time_of_day()
        )
        found = rrule(rule.frequency, dtstart=begin, bysecond=0, **rule.by)  # type: ignore[arg-type]
        return (one.replace(tzinfo=zone).astimezone(UTC) for one in found.xafter(local))

    return chain


PEERS: dict[str, Callable[[Rule, ZoneInfo], Chain]] = {"Loa": ours, "CronTrigger": cron, "rrule": by_rrule}


def instants(seed: int) -> list[datetime]:
    dice = random.Random(seed)
    return [START + timedelta(seconds=dice.randrange(3 * 366 * 86400)) for _ in range(COLD)]


def agreed(rule: Rule, zone: ZoneInfo) -> None:
    """AssertionError unless all of them name the same instants."""
    chains = [peer(rule, zone) for peer in PEERS.values()]
    first, *others = [list(islice(chain(START), CHAIN)) for chain in chains]
    assert all(first == other for other in others), rule.name
    for at in instants(0):
        assert len({next(chain(at)) for chain in chains}) == 1, (rule.name, at)


def a_second(work: Callable[[], int]) -> float:
    begin = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - begin)


def chained(chain: Chain) -> int:
    return sum(1 for _ in islice(chain(START), CHAIN))


def cold(chain: Chain, round: int) -> int:
    return sum(1 for at in instants(round) if next(chain(at)))


def lunar_chain() -> float:
    """What no peer can express: rằm and mùng một, over fifty years."""
    rule = series(at=(time_of_day(6, 15),), lunar=(MonthDay(1), MonthDay(15)), skip_holidays=True)
    begin = datetime.combine(date(2026, 1, 1), time_of_day(), UTC)
    found = expand(rule, ZONES["Hà Nội"], VIETNAM, begin, begin + timedelta(days=50 * 365))
    return a_second(lambda: sum(1 for _ in found))


def main() -> None:
    report = Report("recurrence")
    table = Table("rule", "zone", "way", *PEERS, "to CronTrigger", "to rrule", title="next occurrences a second")
    for rule in RULES:
        for place, zone in ZONES.items():
            agreed(rule, zone)
            for way, work in {"chain": lambda chain, _: chained(chain), "cold": cold}.items():
                rates: dict[str, list[float]] = {name: [] for name in PEERS}
                for round in range(ROUNDS):  # the peers take turns, so that a busy machine is busy for all
                    for name, peer in PEERS.items():
                        chain = peer(rule, zone)
                        rates[name].append(a_second(lambda: work(chain, round)))  # noqa: B023 - called at once
                best = {name: max(values) for name, values in rates.items()}
                for name, values in rates.items():
                    report.spread(f"{rule.name}, {place}, {way}, {name}", values, "/s")
                ratios = [best["Loa"] / best[name] for name in ("CronTrigger", "rrule")]
                table.add_row(
                    rule.name,
                    place,
                    way,
                    *(f"{value:,.0f}" for value in best.values()),
                    *(f"{r:.1f} x" for r in ratios),
                )
                for name, ratio in zip(("CronTrigger", "rrule"), ratios, strict=True):
                    report.add(f"{rule.name}, {place}, {way}, Loa to {name}", ratio, "x")
    report.spread("rằm and mùng một without holidays", [lunar_chain() for _ in range(ROUNDS)], "/s")
    report.write()
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
