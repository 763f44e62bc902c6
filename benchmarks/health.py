"""Losing heartbeats is not dying: false messages and real faults found, over node-months of simulated loss.

A node-month is 30 days of heartbeats every 10 s (259,200). Each is lost on its way at random: by itself (1, 3, 5 %), or
while a burst of 30 s lasts (5 % of the time). The same losses go through our liveness (controller.domain.liveness with
its own deadlines, and the 300 s until somebody is told), through a fixed timeout of 35 s, and through phi accrual
(Hayashibara et al. 2004, as Akka and Cassandra have it: normal distribution over the last 1,000 intervals, threshold
8). A month has some real outages too, which all of them should find.

Only gaps can change a verdict: runs of heartbeats without a loss are handed to our state machine by their last and next
three, which is compared with handing it every single one, in `shortcut differs`.

LOA_BENCH_MONTHS says how many node-months (1,000).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Report
from controller.domain.escalation import AlertSettings
from controller.domain.liveness import NEVER, Liveness, Patience, Pulse

MONTHS = int(os.environ.get("LOA_BENCH_MONTHS", "1000"))
INTERVAL_S = 10.0
MONTH_S = 30 * 86_400.0
BEATS = int(MONTH_S / INTERVAL_S)
BURST_S = 30.0
TIMEOUT_S = 35.0
PHI = 8.0
WINDOW = 1000
LEAST_STD_S = 0.1
"""Akka's `min-std-deviation` is 100 ms; without one, a perfect line would make any delay a death."""
TOLD_S = AlertSettings(people=()).link_told_s
OUTAGES = 4
"""Real ones in every month; each is longer than what a person is told of, or it would not count as one."""
KEEP = 4
"""Heartbeats around a gap that the state machine sees; its return takes three over 60 s, so seven."""

PART = 50
WHOLE_EVERY = 100
"""Every so many months, one is also given whole to our state machine."""

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Month:
    """What arrived of one node's month, and when it was really gone."""

    arrived: Times
    outages: tuple[tuple[float, float], ...]


def losses(rng: np.random.Generator, kind: str) -> NDArray[np.bool_]:
    """Which heartbeats of a month do not arrive."""
    if kind != "bursts":
        return rng.random(BEATS) < float(kind) / 100
    # bursts begin at random, 5 % of all time is in one; they may follow each other
    starts = np.sort(rng.random(rng.poisson(0.05 * MONTH_S / BURST_S)) * MONTH_S)
    at = np.arange(BEATS) * INTERVAL_S
    last = np.searchsorted(starts, at, side="right") - 1
    return (last >= 0) & (at - starts[np.maximum(last, 0)] < BURST_S)


def month(rng: np.random.Generator, kind: str) -> Month:
    """A month with some real outages of 6 minutes to 3 hours, a week apart."""
    jitter = rng.uniform(0, 0.4, BEATS)
    at = np.arange(BEATS) * INTERVAL_S + jitter
    lost = losses(rng, kind)
    outages = []
    for week in range(OUTAGES):
        began = (week + rng.uniform(0.2, 0.8)) * MONTH_S / OUTAGES
        ended = began + rng.uniform(360, 10_800)
        outages.append((began, ended))
        lost |= (at >= began) & (at < ended)
    return Month(at[~lost], tuple(outages))


# --- three detectors: each says when it told somebody that the node is gone -----------------------------------


def ours(arrived: Sequence[float] | Times) -> Iterator[tuple[float, float]]:
    """(told, last heard), by the real state machine at its own deadlines.

    As the casebook has it: the wait for a message runs from the last heartbeat before the node was offline, and no
    message goes while the node is coming back; if it falls silent again before it is back, the message goes then.
    """
    pulse, since, told = Pulse(Patience(INTERVAL_S), 0.0), NEVER, False
    for seq, at in enumerate(arrived):
        now = float(at)
        while True:
            waits = pulse.state is Liveness.OFFLINE and pulse.back_beats == 0 and not told
            deadline = pulse.deadline(0.0)
            if waits and since + TOLD_S <= min(now, deadline):
                told = True
                yield since + TOLD_S, since
            elif deadline > now:
                break
            else:
                since = _offline_since(pulse, deadline, since)
        pulse.heartbeat("b", 1, seq, now)
        if pulse.state is Liveness.ONLINE:
            since, told = NEVER, False


def _offline_since(pulse: Pulse, deadline: float, since: float) -> float:
    """Judge the silence; when it was last heard before it became offline."""
    pulse.due(deadline, 0.0)
    if pulse.state is Liveness.OFFLINE and since == NEVER:
        return deadline if pulse.heard is None else pulse.heard
    return since


def fixed(arrived: Times) -> Iterator[tuple[float, float]]:
    """Gone after 35 s of silence, back with the next heartbeat."""
    gaps = np.diff(arrived)
    for n in np.flatnonzero(gaps > TIMEOUT_S):
        yield float(arrived[n] + TIMEOUT_S), float(arrived[n])


def phi_accrual(arrived: Times) -> Iterator[tuple[float, float]]:
    """Gone when -log10 of the chance that a heartbeat comes later than this reaches 8."""
    gaps = np.diff(arrived)
    # mean and spread of the last WINDOW intervals before each one
    sums, squares = np.cumsum(np.insert(gaps, 0, 0.0)), np.cumsum(np.insert(gaps**2, 0, 0.0))
    ends = np.arange(1, len(gaps))
    begins = np.maximum(0, ends - WINDOW)
    count = ends - begins
    mean = (sums[ends] - sums[begins]) / count
    std = np.sqrt(np.maximum((squares[ends] - squares[begins]) / count - mean**2, LEAST_STD_S**2))
    limit = mean + std * quantile_of(PHI)
    for n in np.flatnonzero(gaps[1:] > limit):
        yield float(arrived[n + 1] + limit[n]), float(arrived[n + 1])


def quantile_of(phi: float) -> float:
    """How many standard deviations late have phi: the upper tail of a normal distribution is 10 ** -phi."""
    low, high = 0.0, 40.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(middle / math.sqrt(2)) / 2 > 10**-phi else (low, middle)
    return low


# --- the shortcut ---------------------------------------------------------------------------------------------


def around_gaps(arrived: Times) -> Times:
    """Only the heartbeats near a gap that can make the node suspect, and the next ones, by which it returns."""
    gaps = np.flatnonzero(np.diff(arrived) >= Patience(INTERVAL_S).suspect_s)
    wanted = np.zeros(len(arrived), bool)
    wanted[:KEEP] = wanted[-KEEP:] = True
    for shift in range(-KEEP, 2 * KEEP + 2):
        wanted[np.clip(gaps + shift, 0, len(arrived) - 1)] = True
    return arrived[wanted]


def stretches(arrived: Times) -> Iterator[Times]:
    """The shortcut's input cut where heartbeats were left out: what was left out was no silence."""
    full, near = arrived, around_gaps(arrived)
    place = np.searchsorted(full, near)
    cuts = np.flatnonzero(np.diff(place) > 1) + 1
    yield from np.split(near, cuts)


def ours_quickly(arrived: Times) -> Iterator[tuple[float, float]]:
    """`ours` over the stretches around gaps; between them the node is online, as it began."""
    for stretch in stretches(arrived):
        yield from ours(stretch)


# --- the account ----------------------------------------------------------------------------------------------


@dataclass
class Account:
    """Of one detector under one kind of loss."""

    false: int = 0
    found: int = 0
    missed: int = 0
    late_s: list[float] = field(default_factory=list)

    def add(self, month: Month, told: Iterator[tuple[float, float]], hold_s: float) -> None:
        verdicts = list(told)
        for began, ended in month.outages:
            real = [at for at, _ in verdicts if began <= at <= ended]
            if real:
                self.found += 1
                self.late_s.append(min(real) - began)
            elif ended - began > hold_s:
                self.missed += 1
        self.false += sum(not any(began <= at <= ended for began, ended in month.outages) for at, _ in verdicts)

    def join(self, other: Account) -> None:
        self.false += other.false
        self.found += other.found
        self.missed += other.missed
        self.late_s += other.late_s


Detector = Callable[[Times], Iterator[tuple[float, float]]]

DETECTORS: Mapping[str, tuple[Detector, float]] = {
    "ours": (ours_quickly, TOLD_S),
    "fixed_35s": (fixed, TIMEOUT_S),
    "phi_accrual_8": (phi_accrual, TIMEOUT_S),
}


def simulate(kind: str, first: int, months: int) -> tuple[dict[str, Account], int]:
    """Accounts by detector, and in how many of the months that were also done whole the shortcut differs."""
    accounts = {name: Account() for name in DETECTORS}
    differs = 0
    for n in range(first, first + months):
        rng = np.random.default_rng([n, *kind.encode()])
        made = month(rng, kind)
        for name, (detector, hold_s) in DETECTORS.items():
            accounts[name].add(made, detector(made.arrived), hold_s)
        if n % WHOLE_EVERY == 0:
            differs += list(ours(made.arrived)) != list(ours_quickly(made.arrived))
    return accounts, differs


def _in_parts(kind: str, pool: ProcessPoolExecutor) -> tuple[dict[str, Account], int]:
    """All months, on all cores."""
    parts = [pool.submit(simulate, kind, first, min(PART, MONTHS - first)) for first in range(0, MONTHS, PART)]
    whole, differs = {name: Account() for name in DETECTORS}, 0
    for part in parts:
        accounts, differ = part.result()
        differs += differ
        for name, account in accounts.items():
            whole[name].join(account)
    return whole, differs


def main() -> None:
    report = Report("health")
    report.add("node_months_each", MONTHS, "")
    with ProcessPoolExecutor() as pool:
        for kind in ("1", "3", "5", "bursts"):
            _tell(report, kind, *_in_parts(kind, pool))
    report.write()


def _tell(report: Report, kind: str, accounts: Mapping[str, Account], differs: int) -> None:
    label = "bursts_5pct" if kind == "bursts" else f"loss_{kind}pct"
    for name, account in accounts.items():
        report.add(f"{label} {name}: false", account.false, "messages")
        report.add(f"{label} {name}: false a month", account.false / MONTHS, "/node-month")
        report.add(f"{label} {name}: found", account.found, "outages")
        report.add(f"{label} {name}: missed", account.missed, "outages")
        report.spread(f"{label} {name}: told after", account.late_s, "s")
    report.add(f"{label}: shortcut differs", differs, f"of {len(range(0, MONTHS, WHOLE_EVERY))} months")


if __name__ == "__main__":
    main()
