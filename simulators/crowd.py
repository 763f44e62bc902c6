"""A fleet in several processes, each a fleet of its own with a part of the nodes: beyond what one core can play."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from broadcasts import typed
from simulators.summary import Summary, added

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes of one line of a part: the last one has every start."""


class PartFailed(RuntimeError):
    """A process of the fleet ended by itself; the text is the last that it said."""


class Crowd:
    """Runs `commands`, one for each part, and adds up the summaries that each prints, one a line."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self._commands = commands
        self._parts: list[asyncio.subprocess.Process] = []
        self._said: dict[int, Summary] = {}

    def summary(self) -> Summary | None:
        """All parts together; None before each has spoken."""
        return added(list(self._said.values())) if len(self._said) == len(self._commands) else None

    async def run(self) -> None:
        """Run until cancelled; then every node of every part says goodbye. PartFailed when one ends before."""
        for command in self._commands:
            part = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=LINE_LIMIT
            )
            self._parts.append(part)
        listening = [asyncio.create_task(self._listen(n, part)) for n, part in enumerate(self._parts)]
        try:
            await asyncio.wait(listening, return_when=asyncio.FIRST_COMPLETED)
            raise PartFailed("a process of the fleet ended")
        finally:
            for part in self._parts:
                if part.returncode is None:
                    part.terminate()
            await asyncio.gather(*listening, return_exceptions=True)
            await asyncio.gather(*(part.wait() for part in self._parts))

    async def _listen(self, n: int, part: asyncio.subprocess.Process) -> None:
        assert part.stdout is not None
        while line := await part.stdout.readline():
            self._said[n] = typed.decode(line, Summary)


def part_command(arguments: Sequence[str], n: int, of: int) -> list[str]:
    """The command line of part `n` of `of`: the simulator's own, with the same arguments."""
    return [sys.executable, "-m", "simulators", *arguments, "--processes", str(of), "--part", str(n)]
