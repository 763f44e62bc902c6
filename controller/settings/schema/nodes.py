"""nodes.yaml: communes with their hamlets, zones, and the nodes on their poles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from broadcasts.guards import GuardChange, Guards, of_zones
from broadcasts.model import Node, Zone
from controller.settings.context import CommuneName, Context, Names, known, of
from controller.settings.schema.guards import GuardsIn, change
from controller.settings.sheet import Sheet, Steps, Strict
from controller.settings.values import Id, Line, Many, Phone, number
from controller.settings.yaml_source import Map

ALL = "all"
"""The zone of every node."""


def _member(value: Any, info: ValidationInfo) -> str:
    names = of(info).names
    if names is not None and isinstance(value, str) and value in names.zones | {ALL}:
        raise ValueError(f"'{value}' is a zone: zones are made of communes, hamlets and nodes")
    return known(value, info, "commune, hamlet or node", names.targets - names.zones - {ALL} if names else None)


def _hamlet(value: Any, info: ValidationInfo) -> str:
    names, commune = of(info).names, info.data.get("commune")
    of_commune = None if names is None or commune is None else names.hamlets.get(commune, frozenset())
    return known(value, info, f"hamlet of {commune}", of_commune)


def _latitude(value: Any) -> float:
    return _degrees(value, 90, "lat")


def _longitude(value: Any) -> float:
    return _degrees(value, 180, "lon")


def _degrees(value: Any, limit: int, key: str) -> float:
    try:
        return number(-limit, limit)(value)
    except ValueError as error:
        swapped = key == "lat" and "is not from" in str(error)
        raise ValueError(f"{error}{' (did you swap lat and lon?)' if swapped else ''}") from None


class HamletIn(Strict):
    id: Id
    name: Line
    guards: GuardsIn | None = None


class CommuneIn(Strict):
    id: Id
    name: Line
    hamlets: tuple[Any, ...] = ()
    guards: GuardsIn | None = None


class ZoneIn(Strict):
    id: Id
    name: Line
    members: Many[Annotated[str, BeforeValidator(_member)]]
    guards: GuardsIn | None = None


class NodeIn(Strict):
    id: Id
    name: Line
    commune: CommuneName
    hamlet: Annotated[str, BeforeValidator(_hamlet)] = ""
    pole: Line = ""
    lat: Annotated[float, BeforeValidator(_latitude)] | None = None
    lon: Annotated[float, BeforeValidator(_longitude)] | None = None
    model: Line = "loa-sim-1"
    feeder: Line = ""
    uplink: Line = ""
    keeper: Line = ""
    phone: Phone = ""


class NodesIn(Strict):
    communes: tuple[Any, ...]
    zones: tuple[Any, ...] = ()
    nodes: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """All nodes and zones by id; communes, hamlets and `all` are zones too.

    `guards`: what areas say for themselves, by id; communes first, then hamlets, then zones.
    """

    nodes: dict[str, Node]
    zones: dict[str, Zone]
    guards: tuple[dict[str, GuardChange], ...] = ()

    def guards_of(self, site: Guards) -> dict[str, Guards]:
        """Guards of each node for which an area says something. A zone's word counts before a hamlet's, that before
        a commune's, that before the site's; of several zones the strictest."""
        held: dict[str, Guards] = {}
        for areas in self.guards:
            of_node: dict[str, list[GuardChange]] = defaultdict(list)
            for area, said in areas.items():
                for node in self.zones[area].nodes:
                    of_node[node].append(said)
            held |= {node: of_zones(held.get(node, site), said) for node, said in of_node.items()}
        return held


def names_in(sheet: Sheet) -> Names:
    """All ids that the file gives, right or wrong otherwise; records ids that are given twice."""
    found: dict[str, set[str]] = defaultdict(set)
    hamlets: dict[str, frozenset[str]] = {}
    first: dict[str, tuple[str, int]] = {ALL: ("zone of every node", 0)}
    for kind, steps, block in _definitions(sheet):
        name = block.get("id")
        if not isinstance(name, str):
            continue
        if name in first:
            sheet.problem((*steps, "id"), f"id '{name}' is taken: {_owner(*first[name])}")
        first.setdefault(name, (kind, sheet.place((*steps, "id")).line))
        found[kind].add(name)
        if kind == "commune":
            hamlets[name] = frozenset(_ids(block.get("hamlets")))
    return Names(
        communes=frozenset(found["commune"]),
        zones=frozenset(found["zone"]),
        nodes=frozenset(found["node"]),
        hamlets=hamlets,
        targets=frozenset().union({ALL}, *found.values()),
    )


def _owner(kind: str, line: int) -> str:
    return f"it is the {kind} of line {line}" if line else f"it is the {kind}"


def _ids(entries: Any) -> Iterator[str]:
    blocks = entries if isinstance(entries, list) else []
    yield from (block["id"] for block in blocks if isinstance(block, dict) and isinstance(block.get("id"), str))


def _definitions(sheet: Sheet) -> Iterator[tuple[str, Steps, Map]]:
    for steps, commune in sheet.blocks("communes"):
        yield "commune", steps, commune
        if "hamlets" in commune:
            for inner, hamlet in sheet.blocks(*steps, "hamlets"):
                yield "hamlet", inner, hamlet
    for kind in ("zone", "node"):
        for steps, block in sheet.blocks(f"{kind}s"):
            yield kind, steps, block


def read(sheet: Sheet, context: Context) -> Network:
    """The network of all entries without mistakes; the mistakes of the others are recorded."""
    whole = sheet.read(NodesIn, (), context)
    communes = [sheet.read(CommuneIn, steps, context) for steps, _ in sheet.blocks("communes")]
    hamlets = [
        sheet.read(HamletIn, inner, context)
        for steps, _ in sheet.blocks("communes")
        for inner, _ in sheet.blocks(*steps, "hamlets")
    ]
    zones = [sheet.read(ZoneIn, steps, context) for steps, _ in sheet.blocks("zones")]
    nodes = [sheet.read(NodeIn, steps, context) for steps, _ in sheet.blocks("nodes")]
    if whole is not None and not whole.nodes:
        sheet.problem(("nodes",), "no node at all: nothing could ever sound")
    named = {hamlet.id: hamlet.name for hamlet in hamlets if hamlet}
    return _network(
        [commune for commune in communes if commune],
        named,
        [zone for zone in zones if zone],
        [node for node in nodes if node],
        tuple(
            {one.id: change(one.guards) for one in areas if one and one.guards} for areas in (communes, hamlets, zones)
        ),
    )


def _network(
    communes: list[CommuneIn],
    hamlets: dict[str, str],
    zones: list[ZoneIn],
    nodes: list[NodeIn],
    guards: tuple[dict[str, GuardChange], ...],
) -> Network:
    inside: dict[str, set[str]] = {ALL: set(), **{name.id: set() for name in communes}, **{h: set() for h in hamlets}}
    for node in nodes:
        for name in filter(None, (ALL, node.commune, node.hamlet, node.id)):
            inside.setdefault(name, set()).add(node.id)
    for zone in zones:
        inside[zone.id] = {node for member in zone.members for node in inside.get(member, ())}
    titles = {ALL: "Toàn mạng", **hamlets, **{c.id: c.name for c in communes}, **{z.id: z.name for z in zones}}
    is_commune = {commune.id for commune in communes}
    made = {
        name: Zone(name, title, tuple(sorted(inside[name])), is_commune=name in is_commune)
        for name, title in titles.items()
    }
    belongs = {node.id: tuple(sorted(zone.id for zone in zones if node.id in inside[zone.id])) for node in nodes}
    return Network({node.id: _node(node, hamlets, belongs[node.id]) for node in nodes}, made, guards)


def _node(given: NodeIn, hamlets: dict[str, str], zones: tuple[str, ...]) -> Node:
    return Node(
        id=given.id,
        name=given.name,
        commune=given.commune,
        model=given.model,
        hamlet=hamlets.get(given.hamlet, ""),
        pole=given.pole,
        lat=given.lat,
        lon=given.lon,
        zones=zones,
        feeder=given.feeder,
        uplink=given.uplink,
        keeper=given.keeper,
        keeper_phone=given.phone,
    )
