"""How `make test` shares the tests out between its workers; a run without workers is as pytest does it."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

FIRST = ("e2e", "property", "integration", "browser", "contract", "unit")
"""Rooms in the order in which they are begun: long files first, so that no worker ends with one alone."""


class RealNetworksInOne(LoadFileScheduling):
    """A file to a worker, whole; tests/e2e as if it were one file. Each of its networks is some dozen processes that
    must be in time, and waits much: beside another one it would be late, beside everything else it is not."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RealNetworksInOne | None:
    if config.option.dist != "loadfile":
        return None
    config.option.loadscopereorder = False  # it would begin with the file of the most tests
    return RealNetworksInOne(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, room in enumerate(FIRST) if item.nodeid.startswith(f"tests/{room}/")), len(FIRST))
