"""A PostgreSQL cluster of our own: a real server in a temporary folder, for as long as it is wanted."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

PR_SET_PDEATHSIG = 1


def binaries() -> Path | None:
    """The newest installed server's programs; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3].split(".")[0]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


class Cluster:
    """A server, reached over a socket in its folder."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self.folder = folder
        self._programs = programs
        self._user = user
        self._made = 0

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "log").open("ab") as log:
            words = ["-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses=", "-c", "fsync=off"]
            self._server = subprocess.Popen(
                [self._programs / "postgres", *words],
                user=self._user,
                cwd=self.folder,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        _wait_until_up(self.folder, self._server)

    def freeze(self, frozen: bool) -> None:
        """Stop all its processes where they are, or let them go on."""
        number = signal.SIGSTOP if frozen else signal.SIGCONT
        for pid in (*self._children(), self._server.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _children(self) -> list[int]:
        pid = self._server.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """By SIGINT, which is "fast": it ends its sessions, then itself."""
        self._server.send_signal(number)
        self._server.wait(timeout=20)

    def database(self) -> str:
        """The URL of a new, empty database; in Vietnamese, which orders words unlike Python."""
        self._made += 1
        name = f"loa{self._made}"
        with psycopg.connect(f"host={self.folder} user=loa dbname=postgres", autocommit=True) as connection:
            language = "LOCALE_PROVIDER icu ICU_LOCALE 'vi-VN'" if connection.info.server_version >= 150000 else ""
            connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' {language} TEMPLATE template0")
        return f"postgresql+psycopg://loa@/{name}?host={self.folder}"


@contextmanager
def cluster(programs: Path) -> Iterator[Cluster]:
    """Start a server that refuses to outlive this process and leaves nothing behind."""
    folder = Path(tempfile.mkdtemp(prefix="loa-pg-"))
    data = folder / "data"
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL will not run as root
    if user:
        shutil.chown(folder, user)
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "loa", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            user=user,
            cwd=folder,
        )
        server = Cluster(folder, programs, user)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)  # at once: hundreds of databases need not be written down to be thrown away
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _wait_until_up(folder: Path, server: subprocess.Popen[bytes]) -> None:
    patience = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"host={folder} user=loa dbname=postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > patience:
                raise AssertionError((folder / "log").read_text()) from None
            time.sleep(0.02)
        else:
            return
