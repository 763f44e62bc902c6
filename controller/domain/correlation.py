"""One cause, one incident: which faults are explained by another one.

On one node a lost mains explains a low battery, and both explain silence; silence hides everything else, since
nobody measures it. Among nodes that share something (a commune, a feeder, an uplink, the centre) what befalls
most of them together is one fault of what they share.

All of this looks at the state of things, never at the order in which it was reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

LINK, MAINS_LOST, BATTERY_LOW = "link", "mains-lost", "battery-low"
POWER, NETWORK, CENTRE, BROKER = "power", "network", "centre", "broker"
MISSED, MISSED_TOGETHER = "missed-broadcast", "missed-together"

NODE, COMMUNE, FEEDER, UPLINK = "node", "commune", "feeder", "uplink"
CANARY = "canary"
"""Scopes of incidents; the centre's is also its subject and its cause. Of the canary's nobody is told."""

SHARE, AT_LEAST, WINDOW_S = 0.6, 3, 120.0
CENTRE_SHARE, CENTRE_WINDOW_S = 0.5, 60.0

EXPLAINS: Mapping[str, tuple[str, ...]] = {
    BATTERY_LOW: (MAINS_LOST,),
    LINK: (MAINS_LOST, BATTERY_LOW),
    MISSED: (
        LINK,
        MAINS_LOST,
        BATTERY_LOW,
        "amplifier",
        "line-open",
        "line-short",
        "storage",
        "clock",
        "reboots",
        "storage-full",
        "horn",
        "horn-silent",
        "signal",
    ),
}
"""Fault -> what explains it on the same node, first choice first. All others are explained by silence."""

GROUP_EXPLAINS: Mapping[str, frozenset[str]] = {
    POWER: frozenset({MAINS_LOST, BATTERY_LOW, LINK}),
    NETWORK: frozenset({LINK}),
    CENTRE: frozenset({LINK}),
    BROKER: frozenset({LINK}),
    MISSED_TOGETHER: frozenset({MISSED}),
}
"""Cause of a group's incident -> faults of its nodes that it explains."""

SCOPE_ORDER: Mapping[str, int] = {CENTRE: 0, UPLINK: 1, FEEDER: 2, COMMUNE: 3}
"""Widest first: which group a node's fault is filed under when several explain it."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Something that several nodes share; `nodes` are all of them."""

    scope: str
    subject: str
    nodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the network now. Times are monotonic seconds at which it began for each node.

    `known`: nodes that have ever been heard. `on_battery`: nodes whose last word was that the mains are gone.
    `broker_lost`: the controller's own connection has been gone for too long. `missed`: nodes that did not air their
    last broadcast as they should.
    """

    known: frozenset[str]
    silent: Mapping[str, float]
    dark: Mapping[str, float]
    on_battery: frozenset[str]
    broker_lost: bool = False
    missed: Mapping[str, float] = field(default_factory=dict)

    def bad(self, cause: str, nodes: Iterable[str]) -> frozenset[str]:
        """Those of `nodes` that suffer from what `cause` does to a node."""
        if cause == MISSED_TOGETHER:
            return frozenset(nodes) & self.missed.keys()
        suffering = self.silent.keys() | self.dark.keys() if cause == POWER else self.silent.keys()
        return frozenset(nodes) & suffering


@dataclass(frozen=True, slots=True)
class Outage:
    """A fault of something shared; `nodes` suffer from it. `together`: those that failed within one window."""

    scope: str
    subject: str
    cause: str
    nodes: frozenset[str]
    together: frozenset[str] = field(default=frozenset(), compare=False)


def outages(shared: Sequence[Shared], trouble: Trouble) -> tuple[Outage, ...]:
    """The shared faults that explain the trouble with the fewest causes: widest first, and none whose nodes
    are all explained by a wider one."""
    if trouble.broker_lost:
        return (Outage(CENTRE, CENTRE, BROKER, frozenset()),)
    communes = [each.nodes for each in shared if each.scope == COMMUNE]
    return (*_losses(shared, communes, trouble), *_misses(shared, communes, trouble))


def _losses(shared: Sequence[Shared], communes: Sequence[frozenset[str]], trouble: Trouble) -> tuple[Outage, ...]:
    """Of power and of contact."""
    if max(len(trouble.silent), len(trouble.dark)) < AT_LEAST:
        return ()
    centre = [each for each in shared if each.scope == CENTRE]
    found = [outage for each in centre if (outage := _centre_outage(each, communes, trouble))]
    others = _narrowed([one for each in shared if each.scope != CENTRE and (one := _outage(each, trouble))])
    return _widest([*found, *sorted(others, key=_widest_first)])


def _misses(shared: Sequence[Shared], communes: Sequence[frozenset[str]], trouble: Trouble) -> tuple[Outage, ...]:
    """Of a broadcast: by most nodes of a commune, or of the whole network."""
    found = []
    for each in shared if len(trouble.missed) >= AT_LEAST else ():
        if each.scope not in (CENTRE, COMMUNE):
            continue
        together = _together(each.nodes & trouble.known, trouble.missed, WINDOW_S, SHARE)
        if together and not (each.scope == CENTRE and any(together <= nodes for nodes in communes)):
            nodes = trouble.bad(MISSED_TOGETHER, each.nodes)
            found.append(Outage(each.scope, each.subject, MISSED_TOGETHER, nodes, together))
    return _widest(sorted(found, key=_widest_first))


def _widest(found: Iterable[Outage]) -> tuple[Outage, ...]:
    """Without those that a wider one explains, which comes before them."""
    kept: list[Outage] = []
    for outage in found:
        if not any(outage.nodes <= wider.nodes and _covers(wider, outage) for wider in kept):
            kept.append(outage)
    return tuple(kept)


def _narrowed(found: list[Outage]) -> list[Outage]:
    """Without those that one narrower outage shows: a commune half of which has been dark for hours has not failed
    when its other feeder does."""

    def shown_by(narrow: Outage, wide: Outage) -> bool:
        return narrow.nodes < wide.nodes and wide.together <= narrow.nodes and narrow.cause == wide.cause

    return [wide for wide in found if not any(shown_by(narrow, wide) for narrow in found)]


def holds(outage_cause: str, shared: Shared, trouble: Trouble) -> bool:
    """Whether an outage that was found still has the share of nodes that makes it one, whenever they failed."""
    bad = trouble.bad(outage_cause, shared.nodes)
    share = CENTRE_SHARE if shared.scope == CENTRE else SHARE
    return _is_share(len(bad), len(shared.nodes & trouble.known), share)


def _widest_first(outage: Outage) -> tuple[int, int, str]:
    """Most nodes first; of equally many the commune, because people know communes."""
    return (-len(outage.nodes), -SCOPE_ORDER[outage.scope], outage.subject)


def _covers(wider: Outage, outage: Outage) -> bool:
    return GROUP_EXPLAINS[wider.cause] >= GROUP_EXPLAINS[outage.cause] or wider.scope == CENTRE


def _outage(shared: Shared, trouble: Trouble) -> Outage | None:
    members = shared.nodes & trouble.known
    if shared.scope != UPLINK:
        dark = _together(members, trouble.dark, WINDOW_S, SHARE)
        if dark:
            return Outage(shared.scope, shared.subject, POWER, trouble.bad(POWER, members), dark)
    silent = _together(members, trouble.silent, WINDOW_S, SHARE)
    if not silent:
        return None
    on_battery = len(silent & trouble.on_battery) * 2 >= len(silent)
    if shared.scope == FEEDER and not on_battery:
        return None
    cause = POWER if on_battery and shared.scope != UPLINK else NETWORK
    return Outage(shared.scope, shared.subject, cause, trouble.bad(cause, members), silent)


def _centre_outage(centre: Shared, communes: Sequence[frozenset[str]], trouble: Trouble) -> Outage | None:
    """Half of everything silent at once; within one commune it would be that commune's own fault."""
    members = centre.nodes & trouble.known
    silent = _together(members, trouble.silent, CENTRE_WINDOW_S, CENTRE_SHARE)
    if not silent or any(silent <= nodes for nodes in communes):
        return None
    return Outage(CENTRE, CENTRE, CENTRE, trouble.bad(CENTRE, members))


def _together(members: frozenset[str], since: Mapping[str, float], window_s: float, share: float) -> frozenset[str]:
    """The largest set of `members` that began within one window, if it is a large enough share of those that
    had not failed before it; empty otherwise."""
    if len(since) < AT_LEAST:
        return frozenset()
    times = sorted((began, node) for node, began in since.items() if node in members)
    best: tuple[int, int] = (0, 0)
    first = 0
    for last in range(len(times)):
        while times[last][0] - times[first][0] > window_s:
            first += 1
        if last + 1 - first > best[1] - best[0] and _is_share(last + 1 - first, len(members) - first, share):
            best = (first, last + 1)
    return frozenset(node for _, node in times[best[0] : best[1]])


def _is_share(count: int, of: int, share: float) -> bool:
    return count >= AT_LEAST and count >= share * of
