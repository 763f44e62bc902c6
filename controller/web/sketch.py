"""A small map without tiles: where the nodes are, drawn to scale from their coordinates. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 1000.0
MARGIN = 48.0
LETTER = (12.0, 28.0)
"""Width and height of a letter at the size that phones get."""
LEAST_HEIGHT = 300.0
MOST_HEIGHT = 560.0


@dataclass(frozen=True, slots=True)
class Dot:
    """One node. `x`, `y` in the drawing's units; `node` is its read model."""

    x: float
    y: float
    node: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Label:
    """A commune's name: the middle of its base line."""

    x: float
    y: float
    text: str

    @property
    def reach(self) -> float:
        """Half its width, about."""
        return len(self.text) * LETTER[0] / 2


@dataclass(frozen=True, slots=True)
class Sketch:
    width: float
    height: float
    dots: tuple[Dot, ...]
    labels: tuple[Label, ...]


def sketch(communes: Sequence[dict[str, Any]]) -> Sketch | None:
    """The map of the nodes that have coordinates, faulty ones on top; None when fewer than two places are known."""
    placed = [node for commune in communes for node in commune["nodes"] if _known(node)]
    if len({(node["place"]["lat"], node["place"]["lon"]) for node in placed}) < 2:
        return None
    frame = _Frame.around(placed)
    dots = {node["id"]: Dot(*frame.at(node), node) for node in placed}
    drawn = sorted(dots.values(), key=lambda dot: bool(dot.node["faults"]))
    return Sketch(WIDTH, frame.height, tuple(drawn), _labels(communes, dots))


def _known(node: dict[str, Any]) -> bool:
    return node["place"]["lat"] is not None and node["place"]["lon"] is not None


def _labels(communes: Sequence[dict[str, Any]], dots: dict[str, Dot]) -> tuple[Label, ...]:
    """Each name at the first place beside its nodes where it covers least."""
    taken = [(dot.x, dot.y) for dot in dots.values()]
    labels: list[Label] = []
    for commune in communes:
        mine = [dots[node["id"]] for node in commune["nodes"] if node["id"] in dots]
        if mine:
            label = min(_places(mine, commune["name"]), key=lambda each: _covered(each, taken))
            taken += [(label.x + label.reach * share, label.y) for share in (-1, -0.5, 0, 0.5, 1)]
            labels.append(label)
    return tuple(labels)


def _places(mine: Sequence[Dot], name: str) -> tuple[Label, ...]:
    """Above, below, right and left of the nodes, as a reader would look for it."""
    xs, ys = [dot.x for dot in mine], [dot.y for dot in mine]
    middle, level = sum(xs) / len(xs), sum(ys) / len(ys) + 6
    beside = len(name) * LETTER[0] / 2 + 18
    places = (
        (middle, min(ys) - 16),
        (middle, max(ys) + 32),
        (max(xs) + beside, level),
        (min(xs) - beside, level),
    )
    return tuple(Label(round(x, 1), round(y, 1), name) for x, y in places)


def _covered(label: Label, taken: Sequence[tuple[float, float]]) -> int:
    """How many dots and names lie where `label` would be written; one that leaves the frame covers everything."""
    if not label.reach < label.x < WIDTH - label.reach:
        return len(taken) + 1
    return sum(abs(x - label.x) < label.reach + 8 and -LETTER[1] < y - label.y < 8 for x, y in taken)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Equirectangular around the middle latitude: true to scale over a district."""

    west: float
    north: float
    scale: float
    squeeze: float
    left: float
    top: float
    height: float

    @classmethod
    def around(cls, nodes: Sequence[dict[str, Any]]) -> _Frame:
        lats = [node["place"]["lat"] for node in nodes]
        lons = [node["place"]["lon"] for node in nodes]
        squeeze = math.cos(math.radians((min(lats) + max(lats)) / 2))
        wide = max((max(lons) - min(lons)) * squeeze, 1e-6)
        tall = max(max(lats) - min(lats), 1e-6)
        scale = min((WIDTH - 2 * MARGIN) / wide, (MOST_HEIGHT - 2 * MARGIN) / tall)
        height = max(LEAST_HEIGHT, tall * scale + 2 * MARGIN)
        left, top = (WIDTH - wide * scale) / 2, (height - tall * scale) / 2
        return cls(min(lons), max(lats), scale, squeeze, left, top, round(height, 1))

    def at(self, node: dict[str, Any]) -> tuple[float, float]:
        place = node["place"]
        x = self.left + (place["lon"] - self.west) * self.squeeze * self.scale
        y = self.top + (self.north - place["lat"]) * self.scale
        return round(x, 1), round(y, 1)
