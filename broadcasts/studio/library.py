"""The studio as the controller sees it: items in, tracks of rendered assets out, each rendered once.

Blocking work runs in two pools of threads, so that an urgent text never waits behind an hour of audio.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from broadcasts.model import (
    Chime,
    File,
    FileTrack,
    Item,
    Pause,
    PauseTrack,
    Rendered,
    Say,
    Stream,
    StreamTrack,
    Track,
    assets_of,
)
from broadcasts.studio import encode, listening, workshop
from broadcasts.studio.decode import FileFacts
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.espeak import Espeak
from broadcasts.studio.ffmpeg import locate
from broadcasts.studio.listening import Listener
from broadcasts.studio.piper import Piper
from broadcasts.studio.segments import Relay, Segment, about, divide
from broadcasts.studio.shelf import Shelf
from broadcasts.studio.speech import Speech, Voices
from broadcasts.studio.speech_http import HttpSpeech
from broadcasts.studio.targets import Targets
from broadcasts.studio.workshop import Entry, Workshop

T = TypeVar("T")
Stamps = tuple[str, ...]

_YOUNG_S = 3600.0
_UNASKED_S = 90 * 24 * 3600.0
_LARGE_BYTES = 4_000_000


class Studio:
    """Content-addressed rendered audio in `folder`; implements the Library port.

    FfmpegMissing when no ffmpeg runs. `close` it when done.
    """

    def __init__(self, folder: Path, settings: Targets | None = None, speech: Speech | None = None) -> None:
        self._targets = settings or Targets()
        self._ffmpeg = locate(self._targets.ffmpeg)
        self._shelf = Shelf(Path(folder))
        self._listener = Listener(self._ffmpeg, self._shelf, self._targets.max_item_s)
        self._speech = speech or Voices([Espeak(), Piper(), HttpSpeech()])
        self._workshop = Workshop(self._ffmpeg, self._shelf, self._listener, self._speech, self._targets)
        self._known: dict[tuple[Item, ...], tuple[Stamps, Rendered]] = {}
        self._closed = False
        self._quick = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="studio")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="studio-long")

    async def render(self, items: Sequence[Item]) -> Rendered:
        """Tracks for `items`; what was rendered before is not rendered again. AudioRefused with the reason
        and the index of the item."""
        wanted = tuple(items)
        stamps, known = await asyncio.to_thread(self._recalled, wanted)
        if known is not None:
            return known
        rendered = await self._render(wanted)
        if stamps is not None:
            self._known[wanted] = (stamps, rendered)
        return rendered

    async def inspect(self, path: str | Path) -> FileFacts:
        """Listen to all of an operator's file. AudioRefused with the reason."""
        large = await asyncio.to_thread(_is_large, Path(path))
        return await self._in(self._slow if large else self._quick, lambda: self._listener.facts(Path(path)))

    def path(self, sha256: str) -> str | None:
        """File of an asset, None if not held."""
        held = self._shelf.asset(sha256)
        return None if held is None else str(held)

    def collect(self, needed: Iterable[str]) -> int:
        """Delete assets not in `needed` that nobody asked for within the last hour, and what the index says
        of them; return how many assets."""
        wanted = frozenset(needed)
        gone = self._shelf.sweep("assets", _YOUNG_S, lambda path: path.stem not in wanted)
        self._shelf.sweep(workshop.KIND, _YOUNG_S, self._is_orphan)
        self._shelf.sweep(listening.KIND, _UNASKED_S, lambda _: True)
        self._known = {items: known for items, known in self._known.items() if self._is_held(known[1])}
        return gone

    def close(self) -> None:
        """End running children and threads. What was in the making is lost; nothing half made is left."""
        self._closed = True
        self._ffmpeg.close()
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=True, cancel_futures=True)

    async def _render(self, items: tuple[Item, ...]) -> Rendered:
        if all(isinstance(item, Pause) for item in items):
            raise AudioRefused("there is nothing to play")
        alone = frozenset([place for place, item in enumerate(items) if await self._is_alone(place, item)])
        tracks: list[Track] = []
        warnings: list[str] = []
        for piece in divide(items, alone):
            track, said = await self._track(piece)
            tracks.append(track)
            warnings.extend(said)
        return Rendered(tuple(tracks), sum(track.duration_ms for track in tracks), tuple(warnings))

    def _recalled(self, items: tuple[Item, ...]) -> tuple[Stamps | None, Rendered | None]:
        """Stamps of what `items` depend on, and what they were rendered to if nothing changed since."""
        try:
            stamps = tuple(self._stamp(item) for item in items)
        except (OSError, AudioRefused):
            return None, None
        before, rendered = self._known.get(items, (None, None))
        if rendered is None or before != stamps:
            return stamps, None
        intact = all(self._shelf.intact(asset.sha256) for track in rendered.tracks for asset in assets_of(track))
        return stamps, rendered if intact else None

    def _is_held(self, rendered: Rendered) -> bool:
        return all(self.path(asset.sha256) for track in rendered.tracks for asset in assets_of(track))

    def _stamp(self, item: Item) -> str:
        match item:
            case File():
                return self._listener.stamp(Path(item.path))
            case Stream(fallback=File() as fallback):
                return self._listener.stamp(Path(fallback.path))
            case Say():
                return self._speech.identity(item.voice or self._targets.voice)
            case _:
                return ""

    async def _track(self, piece: Segment | Pause | Relay) -> tuple[Track, list[str]]:
        match piece:
            case Segment():
                return await self._file_track(piece)
            case Pause():
                return PauseTrack(piece.duration_ms), []
            case Relay():
                return await self._stream_track(piece)

    async def _file_track(self, segment: Segment) -> tuple[FileTrack, list[str]]:
        pool = self._slow if segment.long else self._quick
        entry = await self._in(pool, lambda: self._workshop.rendered(segment))
        warnings = [f"{_label(segment, index)} {text}" for index, text in entry.warnings]
        url = f"/media/{entry.sha256}{encode.SUFFIX}"
        return FileTrack(entry.sha256, url, entry.bytes, entry.duration_ms, encode.MIME), warnings

    async def _stream_track(self, relay: Relay) -> tuple[StreamTrack, list[str]]:
        """The stream itself is fetched by the nodes, when it is time; its fallback is rendered now."""
        stream = relay.stream
        fallback, warnings = None, list[str]()
        if stream.fallback is not None:
            long = await self._is_alone(relay.first, stream.fallback)
            fallback, warnings = await self._file_track(Segment(relay.first, (stream.fallback,), long))
        return StreamTrack(stream.url, stream.duration_ms, stream.on_silence_s, fallback), warnings

    async def _is_alone(self, place: int, item: Item) -> bool:
        """Is `item` a track of its own: a stream, or a file or pause too long to be joined with others?"""
        match item:
            case Stream():
                return True
            case Pause():
                return item.duration_ms > self._targets.assemble_up_to_s * 1000
            case File():
                with about(place):
                    return (await self.inspect(item.path)).sound_s > self._targets.assemble_up_to_s
            case _:
                return False

    def _is_orphan(self, entry: Path) -> bool:
        said = self._shelf.recall(workshop.KIND, entry.stem, Entry)
        return said is None or self._shelf.asset(said.sha256) is None

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise AudioRefused("the studio is closed", permanent=False)
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except OSError as error:
            detail = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
            raise AudioRefused(f"the studio's files could not be used: {detail}", permanent=False) from error


def _is_large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > _LARGE_BYTES


def _label(segment: Segment, index: int) -> str:
    """What a part is called in messages to people."""
    if index == workshop.WHOLE:
        return "the audio"
    match segment.parts[index]:
        case File() as file:
            return Path(file.path).name
        case Say() as say:
            return f"'{say.text if len(say.text) <= 40 else say.text[:40] + '...'}'"
        case Chime() as chime:
            return f"chime {chime.name}"
        case Pause():
            return "pause"
