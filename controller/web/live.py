"""Server-sent events: which parts of the page are out of date. What they are now, the page asks for itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

from starlette.responses import StreamingResponse

from controller.ports import Bus, Clock
from controller.services.changes import Changes
from controller.wire.messages import stamp

EVERYTHING = ("emergencies", "air", "incidents", "nodes", "config", "status")

PING_S = 10.0
"""How often a quiet stream says that it lives; the page gives up after three."""

GAP_S = 0.4
"""At least this long between two notices to one page: a burst of journal entries is one notice."""

MAX_STREAMS = 200
"""More pages than this are refused: each holds a socket."""


class Live:
    """All open event streams; `close` ends them so that the server can stop at once."""

    def __init__(self, changes: Changes, bus: Bus, clock: Clock) -> None:
        self._changes = changes
        self._bus = bus
        self._clock = clock
        self._closing = asyncio.Event()
        self._open = 0

    def close(self) -> None:
        """End every stream now; new ones end as they begin."""
        self._closing.set()

    @property
    def full(self) -> bool:
        return self._open >= MAX_STREAMS

    def response(self) -> StreamingResponse:
        """One stream: `changed` with `{"topics": [...], "now": time}`, and `ping` with `now` alone in between."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        self._open += 1
        queue: asyncio.Queue[frozenset[str]] = asyncio.Queue(1)
        feeder = asyncio.create_task(self._feed(queue), name="live-feed")
        try:
            yield "retry: 1000\n\n" + self._event(EVERYTHING)
            connected = self._bus.connected
            while not self._closing.is_set():
                topics = await self._next(queue)
                if connected != self._bus.connected:
                    connected, topics = self._bus.connected, topics | {"status"}
                yield self._event(sorted(topics))
        finally:
            self._open -= 1
            feeder.cancel()

    async def _feed(self, queue: asyncio.Queue[frozenset[str]]) -> None:
        async for topics in self._changes.watch():
            await queue.put(topics)
            await asyncio.sleep(GAP_S)

    async def _next(self, queue: asyncio.Queue[frozenset[str]]) -> frozenset[str]:
        """The next notice; empty when it is time to ping, or to end."""
        getting = asyncio.ensure_future(queue.get())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((getting, closing), timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else frozenset()
        finally:
            getting.cancel()
            closing.cancel()

    def _event(self, topics: Sequence[str]) -> str:
        """One event on the wire; the reader's clock may be wrong, so each says what time it is."""
        now = stamp(self._clock.now())
        if not topics:
            return f"event: ping\ndata: {json.dumps({'now': now})}\n\n"
        return f"event: changed\ndata: {json.dumps({'topics': list(topics), 'now': now})}\n\n"
