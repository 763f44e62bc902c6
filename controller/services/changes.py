"""Tells whoever watches that something changed, by topic; what it is now they ask for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Changes:
    """Fan-out of change notices ("nodes", "incidents", "air", "config"). Slow watchers get one merged notice."""

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()

    def notify(self, *topics: str) -> None:
        """Say that `topics` changed. From the event loop's thread only."""
        for watcher in self._watchers:
            watcher.pending.update(topics)
            watcher.wake.set()

    async def watch(self) -> AsyncIterator[frozenset[str]]:
        """The sets of topics that changed since the last one taken."""
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            while True:
                await watcher.wake.wait()
                watcher.wake.clear()
                topics, watcher.pending = frozenset(watcher.pending), set()
                yield topics
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    def __init__(self) -> None:
        self.pending: set[str] = set()
        self.wake = asyncio.Event()
