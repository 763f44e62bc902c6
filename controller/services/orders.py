"""Orders of the moment: say, play, stop, volume. What sounds goes through plan, ledger and documents like all else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from broadcasts.arbitration import rank
from broadcasts.model import (
    Chime,
    File,
    IfLate,
    InterruptAction,
    Item,
    LateAction,
    Level,
    Occurrence,
    Playlist,
    Priority,
    Rendered,
    Say,
)
from broadcasts.recurrence import midnight_after
from broadcasts.timeline import KEEP_AFTER_END, occurrence_id, of_playlist
from controller.domain.acceptance import hindrance
from controller.domain.delivery import FINAL, DeliveryState
from controller.ports import AuditRow, Clock, Library, NowRow, Store, Tx
from controller.services.dispatch import Dispatch
from controller.services.scheduling import Scheduling, definition_of

NOW_LEAD = timedelta(seconds=4)
"""From an order to its first sample: time for nodes to take the playlist and fetch its audio."""
NOW_LATE = IfLate(LateAction.RESTART, 120)


class Orders:
    """What operators order by command. ValueError says what cannot be done, AudioRefused what cannot be played."""

    def __init__(
        self, *, scheduling: Scheduling, store: Store, clock: Clock, library: Library, dispatch: Dispatch
    ) -> None:
        self._scheduling = scheduling
        self._store = store
        self._clock = clock
        self._library = library
        self._dispatch = dispatch

    async def say(
        self,
        text: str,
        to: Sequence[str],
        voice: str = "",
        volume: int | None = None,
        by: str = "?",
        override: str = "",
    ) -> dict[str, Any]:
        """Speak `text` now; past a guard with `override`, a reason. ValueError (target, guard), AudioRefused."""
        words = Say(text, voice or self._scheduling.settings.site.studio.voice)
        return await self._now("say", _title(text), (Chime("open"), words), to, volume, by, override)

    async def play(
        self, path: str, to: Sequence[str], volume: int | None = None, by: str = "?", override: str = ""
    ) -> dict[str, Any]:
        """Play an audio file of this machine now; `path` is absolute. `override` and errors as of `say`."""
        if not PurePath(path).is_absolute():
            raise ValueError(f"not an absolute path: {path!r}")
        return await self._now("play", PurePath(path).name, (File(path),), to, volume, by, override)

    async def _now(
        self,
        kind: str,
        title: str,
        items: tuple[Item, ...],
        to: Sequence[str],
        volume: int | None,
        by: str,
        override: str,
    ) -> dict[str, Any]:
        nodes = self._targets(to)
        rendered = await self._library.render(items)

        async def order() -> Occurrence:
            one = self._order_of_the_moment(kind, title, rendered, nodes, volume)
            passed = hindrance(one, self._scheduling.settings, await self._sounded_today())
            if passed and not override.strip():
                raise ValueError(f"{passed}; if it must be now, give a reason: --override REASON")
            why = f" ({passed}; overridden: {override.strip()})" if passed else ""
            await self._keep(one, by, f"{kind} to {', '.join(to)}: {title}{why}")
            return one

        one = await self._scheduling.amend(f"{kind} ordered by {by}", order)
        return {
            "occurrence": one.id,
            "start": one.start.isoformat(),
            "end": one.end.isoformat(),
            "nodes": list(nodes),
            "warnings": list(rendered.warnings),
        }

    async def _sounded_today(self) -> dict[str, int]:
        now, zone = self._clock.now(), self._scheduling.settings.site.zone
        return await self._store.read(lambda tx: tx.airtime(midnight_after(now, zone, 0), now))

    def _order_of_the_moment(
        self, kind: str, title: str, rendered: Rendered, nodes: tuple[str, ...], volume: int | None
    ) -> Occurrence:
        start = (self._clock.now() + NOW_LEAD).replace(microsecond=0) + timedelta(seconds=1)
        zone = self._scheduling.settings.site.zone
        taken = {one.id for one in self._scheduling.planned}
        while (id := occurrence_id(kind, start.astimezone(zone).replace(tzinfo=None))) in taken:
            start += timedelta(seconds=1)
        playlist = Playlist(
            id=id,
            broadcast=kind,
            title=title,
            priority=Priority.PRIORITY,
            rank=rank(Priority.PRIORITY, Level.DISTRICT),
            start=start,
            end=start + timedelta(milliseconds=rendered.duration_ms),
            if_late=NOW_LATE,
            if_interrupted=InterruptAction.RESUME,
            volume=70 if volume is None else volume,
            tracks=rendered.tracks,
        )
        return of_playlist(playlist, nodes)

    async def _keep(self, one: Occurrence, by: str, what: str) -> None:
        now = self._clock.now()
        expires = one.end + timedelta(seconds=NOW_LATE.within_s) + KEEP_AFTER_END
        row = NowRow(one.id, definition_of(one), now, by, expires)

        def work(tx: Tx) -> None:
            tx.put_now(row)
            tx.audit(AuditRow(now, by, "now", what))

        await self._store.transact(work)

    async def stop_air(self, to: Sequence[str], by: str = "?") -> dict[str, Any]:
        """Silence what sounds or is about to on the nodes of `to`, and keep it silent. ValueError: unknown target."""
        nodes = self._targets(to)
        stopped = await self._scheduling.amend(f"stop ordered by {by}", lambda: self._silence(nodes, to, by))
        outcomes = await asyncio.gather(*(self._dispatch.order(node, "stop") for node in nodes))
        return {
            "nodes": list(nodes),
            "stopped": sorted(stopped),
            "unreachable": {node: why for node, why in zip(nodes, outcomes, strict=True) if why},
        }

    async def volume(self, percent: int, to: Sequence[str], by: str = "?") -> dict[str, Any]:
        """Turn what sounds on the nodes of `to` up or down, until it ends; never an emergency. ValueError: unknown
        target, or louder than the site allows."""
        limit = self._scheduling.settings.site.volume_max
        if not 0 <= percent <= limit:
            raise ValueError(f"volume '{percent}' is not from 0 to the site's volume_max of {limit}")
        nodes = self._targets(to)
        row = AuditRow(self._clock.now(), by, "volume", f"{', '.join(to)}: {percent}")
        await self._store.transact(lambda tx: tx.audit(row))
        outcomes = await asyncio.gather(*(self._dispatch.order(node, "volume", {"volume": percent}) for node in nodes))
        return {
            "nodes": list(nodes),
            "volume": percent,
            "unreachable": {node: why for node, why in zip(nodes, outcomes, strict=True) if why},
        }

    async def _silence(self, nodes: tuple[str, ...], to: Sequence[str], by: str) -> set[str]:
        """Note that what sounds on `nodes`, or is about to, stays silent there; ids of those airings."""
        now = self._clock.now()
        current = {one.id for node in nodes for one in self._dispatch.wanted(node) if _may_sound(one, now)}

        def work(tx: Tx) -> set[str]:
            over = FINAL | {DeliveryState.CANCELLED}
            rows = [one for one in tx.deliveries_of(sorted(current), nodes) if one.state not in over]
            for row in rows:
                tx.put_stop(row.occurrence, row.node, now)
            tx.audit(AuditRow(now, by, "stop", f"{', '.join(to)}: {len(rows)} airings"))
            return {row.occurrence for row in rows}

        return await self._store.transact(work)

    def _targets(self, to: Sequence[str]) -> tuple[str, ...]:
        try:
            nodes = self._scheduling.settings.targets(to)
        except KeyError as error:
            raise ValueError(f"unknown commune, zone or node {error.args[0]!r}") from None
        if not nodes:
            raise ValueError(f"no node in {', '.join(to) or 'nothing'}")
        return nodes


def _may_sound(playlist: Playlist, now: datetime) -> bool:
    """Whether a node may be sounding `playlist` now, or is about to."""
    last = playlist.end + timedelta(seconds=playlist.if_late.within_s)
    return playlist.start <= now + NOW_LEAD and now < last


def _title(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
