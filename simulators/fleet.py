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
from typing import Any

import msgspec

from broadcasts import typed
from controller.wire.messages import Enrolment
from simulators.agent import Node, Shared
from simulators.audio import Decoder
from simulators.connecting import DaemonPool
from simulators.control import Control
from simulators.disk import Disk
from simulators.media import Media
from simulators.pace import Pace
from simulators.summary import FAULTS_SHOWN, Summary
from simulators.timeline import Timeline
from simulators.words import t

CONNECTS_AT_ONCE = 16
CONNECTS_PER_S = 250
"""Of all processes together."""
BOOTS_AT_ONCE = 50
HEARD_S = 0.5
CLOCK_STEP_S = 0.05
GOODBYE_S = 0.8
COLLECT_S = 60.0


class BadEnrolment(ValueError):
    """An enrolment file that is none; the text names the file."""


def read_enrolments(folder: Path) -> list[Enrolment]:
    """All enrolment files (`*.json`) of a folder, by node id. Raises BadEnrolment, OSError."""
    if not folder.is_dir():
        raise BadEnrolment(t("{folder}: there is no such folder", folder=folder))
    enrolments = []
    for path in sorted(folder.glob("*.json")):
        try:
            enrolments.append(typed.decode(path.read_bytes(), Enrolment))
        except msgspec.MsgspecError as error:
            raise BadEnrolment(f"{path}: {error}") from None
    return sorted(enrolments, key=lambda enrolment: enrolment.node)


class Fleet:
    """Nodes made from `enrolments`, each keeping its files in `folder`/{node}.

    The first `listen` nodes write what was heard there to `heard.wav`. `control`: path of the control socket.
    `part`, `parts`: this is one of several processes that keep their nodes in the same folder.
    """

    def __init__(
        self,
        enrolments: Sequence[Enrolment],
        folder: Path,
        *,
        listen: int = 0,
        control: Path | None = None,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self._enrolments = enrolments
        self._folder = folder
        self._listen = listen
        self._control_path = control
        self._suffix = f".{part}" if parts > 1 else ""
        self._pace = Pace(CONNECTS_PER_S / parts)
        self._began = time.monotonic()
        self._told = (self._began, 0)
        self.nodes: dict[str, Node] = {}
        self._timelines: dict[str, Timeline] = {}
        self._decoder: Decoder | None = None
        self._media: Media | None = None
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; then every node says goodbye."""
        raise_file_limit()
        self._folder.mkdir(parents=True, exist_ok=True)
        executor = DaemonPool(min(CONNECTS_AT_ONCE, max(1, len(self._enrolments))))
        shared = Shared(
            disk=Disk(),
            media=Media(self._folder / f".media{self._suffix}"),
            decoder=Decoder(self._folder / f".decoded{self._suffix}"),
            executor=executor,
            pace=self._pace,
            rng=random.Random(),  # noqa: S311  jitter
        )
        self._decoder, self._media = shared.decoder, shared.media
        try:
            for index, enrolment in enumerate(self._enrolments):
                self._add(enrolment, shared, index)
                if index % BOOTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            _leave_alone_what_stays()
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

    def summary(self, *, whole: bool = False) -> Summary:
        """What all nodes amount to now; `whole`: with every start, for the end."""
        nodes = list(self.nodes.values())
        occurrence, starts = self._last_start(nodes)
        broken = [node for node in nodes if node.faults]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Summary(
            nodes=len(self._enrolments),
            connected=sum(node.link.connected for node in nodes),
            without_power=sum(not node.powered for node in nodes),
            playing=sum(node.playing() is not None for node in nodes),
            missing=sum(node.assets.missing for node in nodes),
            journal_waiting=sum(node.journal.backlog for node in nodes),
            broken=len(broken),
            trouble=self._trouble(nodes),
            faults=tuple(f"{node.id}: {', '.join(node.faults)}" for node in broken[:FAULTS_SHOWN]),
            heartbeats=sum(node.vitals.sent for node in nodes),
            connections=self._pace.connections,
            peak_per_s=self._pace.peak_per_s,
            connect_s=round(max(0.0, self._pace.last_up - self._began), 1),
            occurrence=occurrence,
            started=len(starts),
            first=min(starts, default=0.0),
            last=max(starts, default=0.0),
            starts=tuple(starts) if whole else (),
            memory_mb=round(process_memory_mb(), 1),
            cpu_s=round(usage.ru_utime + usage.ru_stime, 1),
            **self._fetching(),
        )

    @staticmethod
    def _last_start(nodes: Sequence[Node]) -> tuple[str, list[float]]:
        """What most nodes began last, and when each did."""
        last = [next(reversed(node.started.items())) for node in nodes if node.started]
        if not last:
            return "", []
        common, _ = Counter(id for id, _ in last).most_common(1)[0]
        return common, [at.timestamp() for id, at in last if id == common]

    @staticmethod
    def _trouble(nodes: Sequence[Node]) -> str:
        common = Counter(node.link.trouble for node in nodes if node.link.trouble).most_common(1)
        return common[0][0] if common else ""

    def _fetching(self) -> dict[str, Any]:
        if self._media is None:
            return {}
        now, before = time.monotonic(), self._told
        self._told = (now, self._media.fetched_bytes)
        rate = (self._media.fetched_bytes - before[1]) / 1e6 / max(0.1, now - before[0])
        mb = round(self._media.fetched_bytes / 1e6, 3)
        return {"fetched": self._media.fetched, "fetched_mb": mb, "fetch_mb_s": round(rate, 3)}

    def _add(self, enrolment: Enrolment, shared: Shared, index: int) -> None:
        node = Node(enrolment, self._folder / enrolment.node, shared)
        self.nodes[node.id] = node
        if index < self._listen:
            self.hear(node.id, True)
        node.power_on()

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
    for as long as that takes, with 10,000 nodes for seconds; through what one emergency makes, for tenths of one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def raise_file_limit() -> None:
    """A connection is a file; the soft limit of 1,024 is for other times."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def process_memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
