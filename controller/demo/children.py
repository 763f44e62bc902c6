"""The demo's child processes: each with a log of its own, none that outlives the demo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from controller.adapters.process import bound, end
from controller.demo.home import DemoError

GRACE_S = 2.2
"""A child that has not ended by then is killed: Ctrl-C must end all within 3 s."""


class Child:
    """One running child; `gone` raises DemoError with its last words when it ends by itself."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    async def gone(self) -> None:
        status = await self.process.wait()
        raise DemoError(f"{self.name} ended with status {status}: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else "it said nothing"


@asynccontextmanager
async def child(name: str, command: Sequence[str], log: Path) -> AsyncIterator[Child]:
    """Start `command`; at the end it is asked to end, and killed if it does not. From the main thread only."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *bound(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for the demo, which then ends its children
        )
    try:
        yield Child(name, process, log)
    finally:
        await end(process, GRACE_S)
