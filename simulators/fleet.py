"""Many nodes in one process: what they share, their start and end, the writing of what was heard."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from controller.wire.messages import Enrolment
from simulators.agent import Node, Shared
from simulators.audio import Decoder
from simulators.connecting import DaemonPool
from simulators.control import Control
from simulators.disk import Disk
from simulators.media import Media
from simulators.timeline import Timeline

CONNECTS_AT_ONCE = 16
CONNECTS_PER_S = 200
HEARD_S = 0.5
CLOCK_STEP_S = 0.05
GOODBYE_S = 0.8
COLLECT_S = 60.0


class BadEnrolment(ValueError):
    """An enrolment file that is none; the text names the file."""


def read_enrolments(folder: Path) -> list[Enrolment]:
    """All enrolment files (`*.json`) of a folder, by node id. Raises BadEnrolment, OSError."""
    enrolments = []
    for path in sorted(folder.glob("*.json")):
        try:
            enrolments.append(msgspec.json.decode(path.read_bytes(), type=Enrolment))
        except msgspec.MsgspecError as error:
            raise BadEnrolment(f"{path}: {error}") from None
    return sorted(enrolments, key=lambda enrolment: enrolment.node)


class Fleet:
    """Nodes made from `enrolments`, each keeping its files in `folder`/{node}.

    The first `listen` nodes write what was heard there to `heard.wav`. `control`: path of the control socket.
    """

    def __init__(
        self, enrolments: Sequence[Enrolment], folder: Path, *, listen: int = 0, control: Path | None = None
    ) -> None:
        self._enrolments = enrolments
        self._folder = folder
        self._listen = listen
        self._control_path = control
        self.nodes: dict[str, Node] = {}
        self._timelines: dict[str, Timeline] = {}
        self._decoder: Decoder | None = None
        self._media: Media | None = None
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; then every node says goodbye."""
        _raise_file_limit()
        self._folder.mkdir(parents=True, exist_ok=True)
        executor = DaemonPool(min(CONNECTS_AT_ONCE, max(1, len(self._enrolments))))
        shared = Shared(
            disk=Disk(),
            media=Media(self._folder / ".media"),
            decoder=Decoder(self._folder / ".decoded"),
            executor=executor,
            rng=random.Random(),  # noqa: S311  jitter
        )
        self._decoder, self._media = shared.decoder, shared.media
        for index, enrolment in enumerate(self._enrolments):
            self._add(enrolment, shared, index)
        _leave_alone_what_stays()
        try:
            async with contextlib.AsyncExitStack() as stack:
                if self._control_path is not None:
                    await stack.enter_async_context(Control(self, self._control_path))
                self.ready.set()
                await self._keep_books()
        finally:
            await self._end(shared)
            executor.shutdown()

    def hear(self, node: str, listened: bool) -> None:
        """Begin or end writing what is heard at a node. KeyError for an unknown one."""
        known = self.nodes[node]
        known.output.listened = listened
        if not listened:
            self._timelines.pop(node, None)
        elif node not in self._timelines:
            timeline = self._timelines[node] = Timeline(known.folder)
            timeline.open(time.time())

    def skew_ms(self) -> float | None:
        """How far apart the nodes began what most of them began last; None before two have."""
        last = [next(reversed(node.started.items())) for node in self.nodes.values() if node.started]
        if not last:
            return None
        common, count = Counter(id for id, _ in last).most_common(1)[0]
        at = [instant for id, instant in last if id == common]
        return (max(at) - min(at)).total_seconds() * 1000 if count > 1 else None

    def fetched_mb(self) -> float:
        """Audio fetched by all nodes together."""
        return self._media.fetched_bytes / 1e6 if self._media is not None else 0.0

    def _add(self, enrolment: Enrolment, shared: Shared, index: int) -> None:
        node = Node(enrolment, self._folder / enrolment.node, shared)
        self.nodes[node.id] = node
        if index < self._listen:
            self.hear(node.id, True)
        node.power_on(connect_after_s=index / CONNECTS_PER_S)

    async def _keep_books(self) -> None:
        """Twice a second: write what was heard; notice a step of the host's clock."""
        offset = time.time() - time.monotonic()
        collect_at = time.monotonic() + COLLECT_S
        while True:
            await asyncio.sleep(HEARD_S)
            await self._write_heard()
            if abs(time.time() - time.monotonic() - offset) > CLOCK_STEP_S:
                offset = time.time() - time.monotonic()
                for node in self.nodes.values():
                    node.step()
            if time.monotonic() >= collect_at:
                collect_at = time.monotonic() + COLLECT_S
                self._collect()

    async def _write_heard(self) -> None:
        now, mono = time.time(), time.monotonic()
        jobs = []
        for name, timeline in self._timelines.items():
            output = self.nodes[name].output
            output.account(mono)
            jobs.append((timeline, output.take()))

        def write() -> None:
            for timeline, pieces in jobs:
                timeline.write(pieces, now)

        if jobs:
            await asyncio.to_thread(write)

    def _collect(self) -> None:
        if self._decoder is not None:
            self._decoder.collect({sha256 for node in self.nodes.values() for sha256 in node.assets.wanted})

    async def _end(self, shared: Shared) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await asyncio.gather(*(node.shut_down() for node in self.nodes.values()))
                await self._write_heard()
                await shared.disk.close()
        await shared.decoder.close()
        await shared.media.close()


def _leave_alone_what_stays() -> None:
    """The nodes are there until the end. A collector that looks through all of them each time would hold up every sound
    for as long as that takes, with 10,000 nodes for seconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _raise_file_limit() -> None:
    """A connection is a file; the soft limit of 1,024 is for other times."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def process_memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
