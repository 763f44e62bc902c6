"""Which zones a node is in, as the zones say which nodes are in them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.site import Zone
from tests.health_support import RULES, district

NODES = ("c1-1", "c1-2", "nobody")
ZONES = st.dictionaries(st.sampled_from(["all", "c1", "thon", "z"]), st.lists(st.sampled_from(NODES[:2]), unique=True))


@given(ZONES)
def test_a_node_is_in_the_zones_that_name_it_in_order(zones: dict[str, list[str]]) -> None:
    settings = replace(district(1, 2, faults=RULES), zones={id: Zone(id, id, tuple(of)) for id, of in zones.items()})
    for node in NODES:
        assert settings.zones_of(node) == tuple(sorted(id for id, of in zones.items() if node in of))
