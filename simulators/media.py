"""Assets of one node: fetched ahead over HTTP, resumed, checked, kept while needed.

Soonest first, spread by jitter; what is needed within URGENT (and emergency sounds) at once and beside
whatever else is being fetched.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import aiohttp
from yarl import URL

URGENT = timedelta(seconds=90)
JITTER_S = 60.0
URGENT_AT_ONCE = 4
RETRY_S = (2.0, 60.0)
CONNECTIONS = 100
SILENCE_S = 20.0
CHECKED_AT_ONCE = 256 * 1024
"""Bytes of an asset whose hash is made in the event loop: a thread for it would cost more than the hash."""

FETCH_ERRORS = (aiohttp.ClientError, OSError, ValueError)
"""What a request raises: unreachable, refused, cut off, too slow (TimeoutError), a URL that is none."""


@dataclass(frozen=True, slots=True)
class Want:
    """An asset to hold: `size` in bytes (0: unknown), `needed_at` None for emergency sounds: at once."""

    sha256: str
    url: str
    size: int
    needed_at: datetime | None


class FetchFailed(Exception):
    """A fetch that did not succeed this time; the text says why."""


class Media:
    """What all nodes of a process share for fetching: one HTTP client, bounds, and one copy on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self.bulk = asyncio.Semaphore(24)
        self.urgent = asyncio.Semaphore(64)
        self.fetched = 0
        self.fetched_bytes = 0

    def keep_one_copy(self, asset: Path) -> None:
        """Nodes fetch each for themselves; their equal files may share blocks on this disk."""
        shared = self._folder / asset.name
        try:
            os.link(asset, shared)
        except FileExistsError:
            draft = asset.with_name(asset.name + ".link")
            draft.unlink(missing_ok=True)
            os.link(shared, draft)
            draft.replace(asset)

    async def close(self) -> None:
        await self.http.close()


class Assets:
    """One node's held assets. `arrived` is called with the SHA-256 of each that becomes whole."""

    def __init__(
        self,
        folder: Path,
        media: Media,
        *,
        base: str,
        auth: tuple[str, str],
        now: Callable[[], datetime],
        arrived: Callable[[str], None],
    ) -> None:
        self.folder = folder / "assets"
        self._media = media
        self._base = URL(base)
        self._login = {"Authorization": f"Basic {base64.b64encode(':'.join(auth).encode()).decode()}"}
        self._now = now
        self._arrived = arrived
        self.held: set[str] = set()
        self.failures = 0
        self._wanted: dict[str, Want] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._retry_at: dict[str, float] = {}
        self._retries: dict[str, int] = {}
        self._bulk_from = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """See what the disk holds; a file in the making is not an asset."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.held = {path.name for path in self.folder.iterdir() if len(path.name) == 64}

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(self._wanted)

    @property
    def missing(self) -> int:
        return sum(1 for sha256 in self._wanted if sha256 not in self.held)

    def want(self, wanted: Mapping[str, Want]) -> None:
        """Hold these. What is held and no longer wanted is deleted."""
        new = [want for want in wanted.values() if want.sha256 not in self._wanted]
        self._wanted = dict(wanted)
        for sha256 in [sha256 for sha256 in self._running if sha256 not in wanted]:
            self._running.pop(sha256).cancel()
        for sha256 in self.held - wanted.keys():
            self.path(sha256).unlink(missing_ok=True)
        self.held &= wanted.keys()
        loop = asyncio.get_running_loop()
        if new and self._bulk_from <= loop.time():
            self._bulk_from = loop.time() + random.uniform(0, JITTER_S)  # noqa: S311  spread, not secrecy
        self._pump()

    def corrupt(self, held: Iterable[str]) -> list[str]:
        """Which of these held assets are not what their names say. Blocking; from any thread."""
        return [sha256 for sha256 in held if not _is(self.path(sha256), sha256)]

    async def fetch_document(self, url: str) -> bytes:
        """A document that lies at a URL of the controller. Raises FETCH_ERRORS."""
        target = self._base.join(URL(url))
        async with self._media.http.get(target, headers=self._headers(target), allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise ValueError(f"{target} answers {response.status}")
            return await response.read()

    def _headers(self, target: URL) -> dict[str, str]:
        """The node's credentials are for the controller only."""
        return {"Accept-Encoding": "identity", **(self._login if target.origin() == self._base.origin() else {})}

    def drop(self, sha256: str) -> None:
        """Forget a bad file and fetch it again."""
        self.held.discard(sha256)
        self.path(sha256).unlink(missing_ok=True)
        self._pump()

    def close(self) -> None:
        """Stop fetching; parts stay for a resume."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._running.values():
            task.cancel()
        self._running.clear()
        self._wanted.clear()

    # --- inside ---------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Start every fetch that may start now, and come back when the next one may."""
        loop, now = asyncio.get_running_loop(), self._now()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        later: list[float] = []
        for want in self._missing_soonest_first():
            urgent = want.needed_at is None or want.needed_at - now < URGENT
            free = len(self._running) < URGENT_AT_ONCE if urgent else not self._running
            start = max(self._retry_at.get(want.sha256, 0.0), 0.0 if urgent else self._bulk_from)
            if start > loop.time():
                later.append(start)
            elif free:
                self._start(want, urgent)
            if not urgent and want.needed_at is not None:
                later.append(loop.time() + (want.needed_at - URGENT - now).total_seconds() + 0.01)
        if later:
            self._timer = loop.call_at(min(later), self._pump)

    def _missing_soonest_first(self) -> list[Want]:
        def soonest(want: Want) -> tuple[bool, float, str]:
            needed = want.needed_at
            return (needed is not None, needed.timestamp() if needed else 0.0, want.sha256)

        missing = (want for sha, want in self._wanted.items() if sha not in self.held and sha not in self._running)
        return sorted(missing, key=soonest)

    def _start(self, want: Want, urgent: bool) -> None:
        task = asyncio.create_task(self._fetch(want, urgent), name=f"fetch {want.sha256[:8]}")
        self._running[want.sha256] = task

    async def _fetch(self, want: Want, urgent: bool) -> None:
        try:
            async with self._media.urgent if urgent else self._media.bulk:
                await self._download(want)
                if 0 < want.size <= CHECKED_AT_ONCE:
                    self._check(want)
                else:
                    await asyncio.to_thread(self._check, want)
        except (FetchFailed, *FETCH_ERRORS):
            self._failed(want)
        else:
            self._succeeded(want)
        finally:
            if self._running.get(want.sha256) is asyncio.current_task():
                del self._running[want.sha256]
                self._pump()

    async def _download(self, want: Want) -> None:
        part = self.path(want.sha256).with_suffix(".part")
        have = part.stat().st_size if part.exists() else 0
        if want.size and have >= want.size:
            return
        url = self._base.join(URL(want.url))
        headers = self._headers(url)
        if have:
            headers["Range"] = f"bytes={have}-"
        async with self._media.http.get(url, headers=headers, allow_redirects=False) as response:
            await self._receive(want, response, part, have)

    async def _receive(self, want: Want, response: aiohttp.ClientResponse, part: Path, have: int) -> None:
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _discard(part)
        if response.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise FetchFailed(f"{response.url} answers {response.status}")
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        size = have if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if want.size and size > want.size:
                    raise FetchFailed(f"{response.url} is longer than the {want.size} bytes it should have")
                file.write(chunk)
                self._media.fetched_bytes += len(chunk)

    def _check(self, want: Want) -> None:
        part = self.path(want.sha256).with_suffix(".part")
        if _hash(part) != want.sha256:
            part.unlink(missing_ok=True)
            raise FetchFailed(f"{want.url} is not what its SHA-256 says")
        part.replace(self.path(want.sha256))
        self._media.keep_one_copy(self.path(want.sha256))

    def _succeeded(self, want: Want) -> None:
        self._retries.pop(want.sha256, None)
        self._retry_at.pop(want.sha256, None)
        self._media.fetched += 1
        if want.sha256 in self._wanted:
            self.held.add(want.sha256)
            self._arrived(want.sha256)

    def _failed(self, want: Want) -> None:
        self.failures += 1
        tries = self._retries[want.sha256] = self._retries.get(want.sha256, 0) + 1
        first, longest = RETRY_S
        pause = min(longest, first * 2 ** (tries - 1)) * random.uniform(0.7, 1.3)  # noqa: S311  jitter
        self._retry_at[want.sha256] = asyncio.get_running_loop().time() + pause


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is(path: Path, sha256: str) -> bool:
    try:
        return _hash(path) == sha256
    except OSError:
        return False
