"""Child processes that never outlive their parent.

The kernel sends the death signal when the *thread* that started the child ends: start children from the
main one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from controller.adapters import lifeline


def bound(command: Sequence[str], user: str = "") -> list[str]:
    """`command` as a child that is killed when this process ends, however it ends; `user`: run as that user."""
    return [sys.executable, "-I", "-S", lifeline.__file__, str(os.getpid()), user, *command]


async def end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """Ask `process` to end, kill it if it has not after `grace_s`, and wait for it."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
