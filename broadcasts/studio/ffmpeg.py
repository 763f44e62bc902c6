"""The ffmpeg child: found once, run with a time limit, never outliving us.

Looked for in this order: the configured path, LOA_FFMPEG, PATH, the one that imageio-ffmpeg brings.
Everything the studio asks of it suits ffmpeg 5.1 to 9.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

import imageio_ffmpeg

from broadcasts.studio.errors import AudioRefused

_QUIET = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info")
_LOG_LIMIT = 200_000
_ERROR = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\] (?P<text>.*)$", re.MULTILINE)


class FfmpegMissing(RuntimeError):
    """No ffmpeg that runs; the text says which one was tried."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended: exit status, and its log with a level in front of each message."""

    code: int
    log: str

    @property
    def errors(self) -> tuple[str, ...]:
        """Messages of level error and above, in order."""
        return tuple(match["text"] for match in _ERROR.finditer(self.log))


class Ffmpeg:
    """Runs one ffmpeg at a time per call; safe from several threads."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = tuple(command)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._closed = False

    def run(
        self, arguments: Sequence[str], *, limit_s: float, listen: Callable[[IO[bytes]], None] | None = None
    ) -> Ran:
        """Run with `arguments`; `listen` reads its standard output to the end. A run of over `limit_s`
        seconds is killed (and so ends with a negative status). AudioRefused once closed."""
        with tempfile.TemporaryFile() as log:
            process = self._start(arguments, log, piped=listen is not None)
            timer = threading.Timer(limit_s, process.kill)
            timer.start()
            try:
                if listen is not None and process.stdout is not None:
                    listen(process.stdout)
                process.wait()
            finally:
                timer.cancel()
                self._finish(process)
            log.seek(0)
            return Ran(process.returncode, log.read(_LOG_LIMIT).decode(errors="replace"))

    def close(self) -> None:
        """Kill what runs; later runs are refused."""
        with self._guard:
            self._closed = True
            for process in self._running:
                process.kill()

    def _start(self, arguments: Sequence[str], log: IO[bytes], *, piped: bool) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._closed:
                raise AudioRefused("the studio is closing", permanent=False)
            process = subprocess.Popen(
                [*self.command, *_QUIET, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else subprocess.DEVNULL,
                stderr=log,
            )
            self._running.add(process)
            return process

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """However `listen` ended: no child and no pipe is left."""
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        with self._guard:
            self._running.discard(process)


def locate(configured: str = "") -> Ffmpeg:
    """The first ffmpeg of the search order. FfmpegMissing when it does not run."""
    exe = configured or os.environ.get("LOA_FFMPEG") or shutil.which("ffmpeg") or _packaged()
    for prefix in (_dying_with_us(), ()):
        if _answers([*prefix, exe]):
            return Ffmpeg([*prefix, exe])
    raise FfmpegMissing(f"{exe} does not run as ffmpeg (set studio.ffmpeg or LOA_FFMPEG to one that does)")


def _packaged() -> str:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise FfmpegMissing(f"no ffmpeg found: {error}") from None


def _dying_with_us() -> tuple[str, ...]:
    """setpriv asks the kernel to kill the child when the thread that started it ends, also by SIGKILL.
    (A preexec_fn could too, but is unsafe, and warned about, where threads run.)"""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


def _answers(command: Sequence[str]) -> bool:
    try:
        tried = subprocess.run([*command, "-version"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0 and tried.stdout.startswith(b"ffmpeg version")
