"""Controllers that begin without the second and a half of imports: forked from a process that has them.

`loa run` all the same, by its own command line, in a process of its own that can be killed. Run as
`python -m tests.e2e.nursery`; one JSON request a line, one answer a line. Another module may raise children of its own
kind: it calls `serve` and is named to `Nursery`.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import controller.cli
import controller.runtime
from controller.adapters.process import bound, end

PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).parent.parent.parent


class Nursery:
    """The parent of the controllers, from the test's side. `environment`: what they find there besides; `module`: who
    raises them."""

    def __init__(self, environment: Mapping[str, str] | None = None, *, module: str = __name__) -> None:
        self._environment = environment or {}
        self._module = module

    async def __aenter__(self) -> Nursery:
        self._process = await asyncio.create_subprocess_exec(
            *bound([sys.executable, "-m", self._module]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **self._environment},
        )
        self._asking = asyncio.Lock()
        await self._ask(do="hello")
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(self._process, 5)
        for left in Path("/dev/shm").glob(f"*faketime_*_{self._process.pid}"):  # libfaketime leaves them
            left.unlink(missing_ok=True)

    async def start(self, words: Sequence[str], log: Path) -> int:
        """`loa WORDS`, saying what it says to `log`; its process id."""
        return int((await self._ask(do="start", words=list(words), log=str(log)))["pid"])

    async def ended(self, pid: int) -> None:
        """Wait for a process that was killed, or asked to end."""
        await self._ask(do="wait", pid=pid)

    async def _ask(self, **request: Any) -> dict[str, Any]:
        async with self._asking:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
            return answer


def _answer(request: dict[str, Any], begin: Callable[[list[str]], None]) -> dict[str, Any]:
    match request["do"]:
        case "start":
            return {"pid": _fork(request["words"], request["log"], begin)}
        case "wait":
            with suppress(ChildProcessError):  # two wait for one that ended by itself as it was about to be killed
                os.waitpid(request["pid"], 0)
    return {}


def _fork(words: list[str], log: str, begin: Callable[[list[str]], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_APPEND | os.O_CREAT)):
        os.dup2(os.open(os.devnull if number == 0 else log, flags, 0o600), number)
    os.dup2(1, 2)
    status = 1
    try:
        begin(words)
    except SystemExit as end:  # it has said why
        status = end.code if isinstance(end.code, int) else 1
    finally:
        if sys.exc_info()[1] is not None:
            traceback.print_exc()
        os._exit(status)


def _loa(words: list[str]) -> None:
    sys.argv = ["loa", *words]
    controller.cli.main()


def serve(begin: Callable[[list[str]], None]) -> None:
    """Raise children that do `begin` with the words they are given, until nobody asks any more."""
    if os.environ.pop("LD_PRELOAD", None):  # it is in every fork of ours already, and is nothing for their ffmpeg
        # libfaketime 0.9.10 answers EINVAL to the call that `time.sleep` makes
        time.sleep = lambda seconds: select.select((), (), (), seconds) and None
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), begin)), flush=True)


if __name__ == "__main__":
    serve(_loa)
