"""Our epoch against that of the nodes.

A node refuses what has a lower epoch than the highest it has seen, so a database that was restored from an old backup
leads with orders that nobody obeys, until a person has its epoch raised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from controller.domain.faults import Value
from controller.ports import Clock

MARGIN = 100
"""Orders may have carried later epochs than the documents that nodes tell of: one for each start since."""
BELIEVABLE = 1_000_000
"""No site has started so often more than we know of: a node that says so must not use up the numbers that are left."""


class Dispatch(Protocol):
    epoch: int

    @property
    def ahead(self) -> Mapping[str, int]: ...

    def raise_epoch(self, above: int, by: str) -> Awaitable[int]: ...

    def on_bus_up(self) -> Awaitable[list[str]]: ...

    def send(self, nodes: Collection[str]) -> Awaitable[list[str]]: ...


class Alarms(Protocol):
    def on_bus_up(self) -> Awaitable[None]: ...


class Ledger(Protocol):
    async def published(self, nodes: Sequence[str], at: datetime) -> None: ...


class Epochs:
    """What to do about nodes that are ahead of us."""

    def __init__(self, dispatch: Dispatch, alarms: Alarms, ledger: Ledger, clock: Clock) -> None:
        self._dispatch = dispatch
        self._alarms = alarms
        self._ledger = ledger
        self._clock = clock

    def trouble(self) -> dict[str, Value] | None:
        """Evidence that nodes refuse us; None if none is known to."""
        ahead = self._dispatch.ahead
        if not ahead:
            return None
        return {"epoch": self._dispatch.epoch, "nodes_epoch": max(ahead.values()), "nodes_ahead": len(ahead)}

    def told(self) -> dict[str, Any]:
        """Ours, the highest of any node, and the nodes that are ahead."""
        ahead = self._dispatch.ahead
        return {"epoch": self._dispatch.epoch, "highest": max(ahead.values(), default=None), "ahead": dict(ahead)}

    async def overtake(self, by: str) -> dict[str, Any]:
        """Raise our epoch above those of all nodes, and send everything again under it. ValueError: no node is ahead,
        or what one says cannot be believed."""
        ours, ahead = self._dispatch.epoch, self._dispatch.ahead
        if not ahead:
            raise ValueError(f"no node knows of a later epoch than ours, which is {ours}")
        highest = max(ahead.values())
        if highest > ours + BELIEVABLE:
            liar = max(ahead, key=lambda node: ahead[node])
            raise ValueError(
                f"{liar} says that it holds a document of epoch {highest}: enrol it anew with an empty memory"
            )
        await self._dispatch.raise_epoch(highest + MARGIN, by)
        await self._alarms.on_bus_up()
        at = self._clock.now()
        if sent := await self._dispatch.send(await self._dispatch.on_bus_up()):
            await self._ledger.published(sent, at)
        return {**self.told(), "was": ours, "sent": len(sent)}


__all__ = ["Epochs"]
