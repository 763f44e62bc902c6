"""What will be done to the network, and when: everything follows from a seed. Pure.

An act takes hold of one or more things (a process, a cable, a disk) and lets go of them after `lasts_s`; nothing is
broken twice at once. How the machine keeps up changes nothing of the list, so a seed replays the same acts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

CONTROLLERS = ("a", "b")
FAULTS = ("mains-high", "overload", "enclosure", "unscheduled-sound")
"""Put in and mended again, each told of by an alert within seconds."""


class Kind(StrEnum):
    """What can be done. The words are those of the report."""

    KILL_CONTROLLER = "controller killed"
    STOP_CONTROLLER = "controller stopped"
    STEP_CLOCK = "controller's clock stepped"
    KILL_BROKER = "broker killed"
    STOP_BROKER = "broker stopped"
    KILL_DATABASE = "database killed"
    STOP_DATABASE = "database stopped"
    KILL_NODES = "all nodes killed"
    STOP_NODES = "all nodes stopped"
    KILL_RECEIVERS = "receivers killed"
    STOP_RECEIVERS = "receivers stopped"
    FILL_DISK = "disk filled"
    CUT_NODES = "nodes cut from the broker"
    CUT_CONTROLLERS = "controllers cut from the broker"
    CUT_AUDIO = "nodes cut from the audio"
    POWER_CUT = "node without power"
    FREEZE = "node frozen"
    NODE_CLOCK = "node's clock stepped"
    FAULT = "fault put in"
    EMERGENCY = "emergency"
    EDIT = "configuration edited"
    BAD_EDIT = "configuration spoilt"
    ORDER = "order of the moment"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing done at `at_s` after the beginning and undone `lasts_s` later. `target`: a controller, node or commune,
    where the kind has one; `way`: how (of a cut: drop, delay, reset; a fault's code); `amount`: seconds of a clock."""

    at_s: float
    kind: Kind
    lasts_s: float
    target: str = ""
    way: str = ""
    amount: float = 0.0

    @property
    def until_s(self) -> float:
        return self.at_s + self.lasts_s

    def __str__(self) -> str:
        words = (
            f"{self.at_s:7.1f}",
            self.kind.value,
            self.target,
            self.way,
            f"{self.amount:+g} s" if self.amount else "",
        )
        return " ".join(word for word in words if word) + (f" for {self.lasts_s:.1f} s" if self.lasts_s else "")


@dataclass(frozen=True, slots=True)
class _Rule:
    """How often of all acts, for how long, and what is held meanwhile."""

    weight: int
    lasts_s: tuple[float, float]
    holds: str
    targets: str = ""
    ways: tuple[str, ...] = ("",)
    amounts: tuple[float, ...] = (0.0,)


CUTS = ("drop", "delay", "reset")

RULES: Mapping[Kind, _Rule] = {
    Kind.KILL_CONTROLLER: _Rule(16, (0.2, 6), "controller", "controllers"),
    Kind.STOP_CONTROLLER: _Rule(6, (2, 25), "controller", "controllers"),
    Kind.STEP_CLOCK: _Rule(4, (3, 12), "clock", "controllers", amounts=(-3600, -90, -5, 3, 40, 600, 3600)),
    Kind.KILL_BROKER: _Rule(6, (0.2, 6), "broker"),
    Kind.STOP_BROKER: _Rule(3, (1, 12), "broker"),
    Kind.KILL_DATABASE: _Rule(4, (0.2, 6), "database"),
    Kind.STOP_DATABASE: _Rule(3, (1, 15), "database"),
    Kind.KILL_NODES: _Rule(3, (0.5, 6), "nodes"),
    Kind.STOP_NODES: _Rule(2, (1, 8), "nodes"),
    Kind.KILL_RECEIVERS: _Rule(4, (0.5, 15), "receivers"),
    Kind.STOP_RECEIVERS: _Rule(3, (2, 25), "receivers"),
    Kind.FILL_DISK: _Rule(4, (2, 12), "database"),
    Kind.CUT_NODES: _Rule(6, (1, 15), "cable of nodes", ways=CUTS),
    Kind.CUT_CONTROLLERS: _Rule(6, (1, 15), "cable of controllers", ways=CUTS),
    Kind.CUT_AUDIO: _Rule(3, (1, 15), "cable of audio", ways=CUTS),
    Kind.POWER_CUT: _Rule(6, (1, 15), "node", "nodes"),
    Kind.FREEZE: _Rule(3, (1, 8), "node", "nodes"),
    Kind.NODE_CLOCK: _Rule(3, (5, 15), "node", "nodes", amounts=(-90, -3, 2, 60)),
    Kind.FAULT: _Rule(10, (8, 40), "node", "nodes", ways=FAULTS),
    Kind.EMERGENCY: _Rule(8, (4, 15), "emergency", "communes"),
    Kind.EDIT: _Rule(8, (0, 0), "configuration"),
    Kind.BAD_EDIT: _Rule(3, (1, 6), "configuration"),
    Kind.ORDER: _Rule(5, (0, 0), "order", "communes"),
}
PAUSE_S = (0.2, 3.0)


def acts(
    seed: int, length_s: float, *, nodes: Sequence[str], communes: Sequence[str], without: Collection[Kind] = ()
) -> list[Act]:
    """The acts of `length_s` seconds, by beginning; all are undone by then. `without`: kinds that are left out."""
    rng = random.Random(f"acts {seed}")
    kinds = {kind: rule.weight for kind, rule in RULES.items() if kind not in without}
    targets = {"controllers": CONTROLLERS, "nodes": tuple(nodes), "communes": tuple(communes), "": ("",)}
    held: dict[str, float] = {}
    return list(_acts(rng, length_s, kinds, targets, held))


def _acts(
    rng: random.Random,
    length_s: float,
    kinds: Mapping[Kind, int],
    targets: Mapping[str, tuple[str, ...]],
    held: dict[str, float],
) -> Iterator[Act]:
    at = 0.0
    while (at := at + rng.uniform(*PAUSE_S)) < length_s:
        act = _drawn(rng, at, kinds, targets)
        things = list(_things(act, targets["nodes"]))
        if act.until_s > length_s or any(held.get(thing, 0) > at for thing in things):
            continue
        for thing in things:
            held[thing] = act.until_s + 1
        yield act


def _drawn(rng: random.Random, at: float, kinds: Mapping[Kind, int], targets: Mapping[str, tuple[str, ...]]) -> Act:
    kind = rng.choices(tuple(kinds), tuple(kinds.values()))[0]
    rule = RULES[kind]
    lasts, target = round(rng.uniform(*rule.lasts_s), 1), rng.choice(targets[rule.targets])
    return Act(round(at, 1), kind, lasts, target, rng.choice(rule.ways), rng.choice(rule.amounts))


def _things(act: Act, nodes: Sequence[str]) -> Iterator[str]:
    """What an act holds. All nodes are one process: while it is down, nothing can be done to a single one."""
    holds = RULES[act.kind].holds
    if holds == "nodes":
        yield from (f"node {node}" for node in nodes)
    else:
        yield f"{holds} {act.target}".strip()


# --- the programme ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Airing:
    """One announcement: saved `ahead_s` before it is due at `at_s`; `late`: its `if_late`; `own_audio`: a file of its
    own, which nodes have to fetch; `taken_back_s` before it is due the operator deletes it (None: never)."""

    number: int
    at_s: float
    to: str
    late: str
    own_audio: bool
    ahead_s: float
    taken_back_s: float | None

    @property
    def id(self) -> str:
        return f"tin-{self.number}"


AIRING_EVERY_S = 3
LATE = ("restart", "restart", "restart", "join", "drop")


def programme(seed: int, length_s: float, targets: Collection[str]) -> list[Airing]:
    """What is announced while acts go on, by time."""
    rng = random.Random(f"programme {seed}")
    return [_airing(rng, number, sorted(targets)) for number in range(1, int(length_s / AIRING_EVERY_S))]


def _airing(rng: random.Random, number: int, targets: Sequence[str]) -> Airing:
    ahead = round(rng.uniform(6, 14), 1)
    back = round(rng.uniform(0.5, 5), 1) if rng.random() < 0.1 else None
    at = float(12 + number * AIRING_EVERY_S)
    return Airing(number, at, rng.choice(targets), rng.choice(LATE), rng.random() < 0.2, ahead, back)


def counted(done: Collection[Act], said: Callable[[Act], str] = lambda act: act.kind.value) -> dict[str, int]:
    """How many of each kind."""
    counts: dict[str, int] = {}
    for act in done:
        counts[said(act)] = counts.get(said(act), 0) + 1
    return dict(sorted(counts.items()))
