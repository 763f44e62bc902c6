"""What somebody sees who has the page open: its event stream, and the parts that it asks for again when the stream says
that they are out of date, at the page's own pace (web/static/page.js).

Which incidents and nodes a part shows is for the view that somebody chose, so it is read from the API, which is asked
after the part: seen is what stands in both answers. What a browser takes to draw is not in it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from controller.web.pages import PARTS

GAP_S: Mapping[str, float] = {"nodes": 2.0}
"""GAP_MS of page.js."""

PING = frozenset({"nodes"})
"""What the page asks for anew at every ping."""


class Onlooker:
    """Notes when an incident of a node, and its being offline, was first seen: seconds of `time.monotonic`."""

    def __init__(self, page: str) -> None:
        self._page = page
        self.incidents: dict[str, float] = {}
        self.offline: dict[str, float] = {}
        self.news = asyncio.Event()
        """Set whenever a part was asked for; for who waits to clear."""
        self._due = {part: asyncio.Event() for part in PARTS}

    async def watch(self) -> None:
        """Until cancelled."""
        async with httpx.AsyncClient(timeout=30, base_url=self._page) as client, asyncio.TaskGroup() as tasks:
            for part in self._due:
                tasks.create_task(self._keep(client, part))
            async with client.stream("GET", "/api/events") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data:"):
                        self._changed(frozenset(json.loads(line[5:]).get("topics", PING)))

    def _changed(self, topics: frozenset[str]) -> None:
        for part, due in self._due.items():
            if topics & set(PARTS[part].split()):
                due.set()

    async def _keep(self, client: httpx.AsyncClient, part: str) -> None:
        """Ask for the part when it is out of date, and not sooner after the last time than the page does."""
        asked = 0.0
        while True:
            await self._due[part].wait()
            await asyncio.sleep(asked + GAP_S.get(part, 0.0) - time.monotonic())
            self._due[part].clear()
            asked = time.monotonic()
            (await client.get(f"/part/{part}")).raise_for_status()
            if part == "incidents":
                answer = (await client.get("/api/incidents")).raise_for_status().json()
                _note(self.incidents, (row["subject"] for row in answer["incidents"]))
            elif part == "nodes":
                answer = (
                    (await client.get("/api/nodes", params={"state": "offline", "limit": "1000"}))
                    .raise_for_status()
                    .json()
                )
                _note(self.offline, _offline(answer["communes"]))
            self.news.set()


def _offline(communes: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (node["id"] for commune in communes for node in commune["nodes"] if node["state"] == "offline")


def _note(seen: dict[str, float], ids: Iterable[str]) -> None:
    now = time.monotonic()
    for id in ids:
        seen.setdefault(id, now)


async def stop(work: asyncio.Future[Any]) -> None:
    """Cancel a watch and wait until it has ended; what it failed with before is raised."""
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
