"""Orders the daily self-test of each node. What was tested today is in the store: a restart repeats nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime, time
from typing import Any, Literal, Protocol

import structlog

from broadcasts.guards import quiet_at
from controller.domain.selftests import CLEAR_FOR, Case, slot, why_not, window
from controller.domain.site import Settings
from controller.ports import Clock, Store, StoreError

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 60.0
AT_ONCE = 50
"""Orders of one look: a controller that starts late in the hours does not wake everybody in the same minute."""


class Orders(Protocol):
    """The running dispatch service."""

    def order(self, node: str, do: Literal["selftest"], args: Mapping[str, Any]) -> Awaitable[str]: ...


class Health(Protocol):
    """The running monitoring service."""

    def contact(self, node: str) -> datetime | None: ...


class Horns(Protocol):
    """What may sound where."""

    def free(self, node: str, begin: datetime, end: datetime) -> bool: ...


class Selftests:
    """`run` it as a task."""

    def __init__(
        self, settings: Settings, *, store: Store, clock: Clock, orders: Orders, health: Health, horns: Horns
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._orders = orders
        self._health = health
        self._horns = horns
        self._ordered: dict[str, datetime] = {}

    def reload(self, settings: Settings) -> None:
        """Test by another configuration from now on."""
        self._settings = settings

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except StoreError as error:
                log.error("self-tests not ordered, trying again", reason=str(error))

    async def look(self) -> None:
        """Order what is due now."""
        now, site = self._clock.now(), self._settings.site
        begin, end = window(now, site.selftest, site.zone)
        if not site.selftest.on or not begin <= now < end:
            self._ordered.clear()
            return
        due = [id for id in self._settings.nodes if slot(id, now, site.selftest, site.zone) <= now]
        midnight = datetime.combine(now.astimezone(site.zone).date(), time(), tzinfo=site.zone)
        tested = await self._store.read(lambda tx: tx.tested_since(midnight))
        ready = [id for id in due if not why_not(self._case(id, tested, now), now, site.selftest, site.zone)]
        for id in ready[:AT_ONCE]:
            await self._order(id, now)

    def _case(self, id: str, tested: Mapping[str, datetime], now: datetime) -> Case:
        until = now + CLEAR_FOR
        return Case(
            id,
            tested.get(id),
            self._ordered.get(id),
            reachable=self._health.contact(id) is not None,
            busy=not self._horns.free(id, now, until),
            quiet=quiet_at(self._settings.guards_of(id), self._settings.site.zone, now, until) is not None,
        )

    async def _order(self, id: str, now: datetime) -> None:
        model = self._settings.models.get(self._settings.nodes[id].model)
        sound = "none" if model is not None and model.soundless else "quiet"
        self._ordered[id] = now
        if reason := await self._orders.order(id, "selftest", {"sound": sound}):
            log.info("self-test not ordered", node=id, reason=reason)
