"""The map without tiles: true to scale, and no name over another."""

from __future__ import annotations

import math
from typing import Any

from controller.web.sketch import WIDTH, sketch


def commune(name: str, *places: tuple[float | None, float | None]) -> dict[str, Any]:
    nodes = [
        {"id": f"{name}-{n}", "faults": [], "place": {"lat": lat, "lon": lon}} for n, (lat, lon) in enumerate(places)
    ]
    return {"name": name, "nodes": nodes}


def test_distances_on_the_map_are_those_on_the_ground() -> None:
    drawn = sketch([commune("a", (20.0, 104.0), (20.1, 104.0), (20.0, 104.1))])
    assert drawn is not None
    origin, north, east = drawn.dots
    up, right = origin.y - north.y, east.x - origin.x
    assert north.x == origin.x
    assert math.isclose(right / up, math.cos(math.radians(20.05)), rel_tol=0.01)


def test_everything_lies_within_the_frame() -> None:
    for places in ([(20.0, 104.0), (20.9, 104.1)], [(20.0, 104.0), (20.01, 105.9)], [(-5.0, -3.0), (5.0, 3.0)]):
        drawn = sketch([commune("a", *places)])
        assert drawn is not None
        assert all(0 <= dot.x <= WIDTH and 0 <= dot.y <= drawn.height for dot in drawn.dots)
        assert all(0 <= label.y <= drawn.height for label in drawn.labels)
        assert all(label.reach < label.x < WIDTH - label.reach for label in drawn.labels)


def test_a_faulty_node_is_never_hidden_behind_its_neighbours() -> None:
    crowd = commune("a", (20.0, 104.0), (20.0001, 104.0), (20.1, 104.1))
    crowd["nodes"][0]["faults"] = [{"severity": "critical"}]
    drawn = sketch([crowd])
    assert drawn is not None
    assert drawn.dots[-1].node["id"] == "a-0"


def test_without_two_known_places_there_is_no_map() -> None:
    assert sketch([]) is None
    assert sketch([commune("a", (None, None), (20.0, 104.0), (20.0, 104.0))]) is None


def test_nodes_without_coordinates_are_left_out_not_put_at_zero() -> None:
    drawn = sketch([commune("a", (20.0, 104.0), (None, None), (20.1, 104.1)), commune("b", (None, None))])
    assert drawn is not None
    assert len(drawn.dots) == 2
    assert [label.text for label in drawn.labels] == ["a"]


def test_a_name_that_would_cover_a_neighbour_goes_below_its_nodes() -> None:
    north = commune("Bắc", (20.2, 104.0), (20.2, 104.2), (20.2, 104.4))
    south = commune("Nam", (20.189, 104.2))
    drawn = sketch([north, south])
    assert drawn is not None
    label = {label.text: label.y for label in drawn.labels}
    dots = {dot.node["id"]: dot.y for dot in drawn.dots}
    assert label["Bắc"] < dots["Bắc-0"]
    assert label["Nam"] > dots["Nam-0"]
