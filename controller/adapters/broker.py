"""Mosquitto as a child process with a locked-down configuration that is written anew at every start."""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from controller.adapters.process import bound, end
from controller.wire.messages import MAX_PAYLOAD

log = structlog.get_logger(__name__)

INSTALL = (
    "Mosquitto 2.0.11 or newer is needed and was not found. Install it with `apt-get install mosquitto` "
    "(Debian 12, Ubuntu 22.04 or newer), `dnf install mosquitto` (Fedora) or `brew install mosquitto` (macOS)"
)
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
UNPRIVILEGED = ("mosquitto", "nobody")
START_S = 10.0
STOP_S = 1.5
LONGEST_PAUSE_S = 10.0

CONFIG = """\
listener {port} {host}
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
use_username_as_clientid true
max_packet_size {max_packet}
max_queued_messages 100000
max_inflight_messages 100
persistence true
persistence_location {folder}/
autosave_interval 10
log_dest stderr
log_type error
log_type warning
"""
# set_tcp_nodelay stays off: it halves throughput and wins no latency

ACL = """\
{controllers}
{readers}
pattern write {root}/up/%u/#
pattern read {root}/dn/%u/#
pattern read {root}/zones/#
"""

CONTROLLER = "_controller"
"""User of the controller. Node ids begin with a letter or digit, so no node can have this name."""

READERS = tuple(f"_reader-{n}" for n in range(1, 5))
"""Users that may read everything and write nothing (`loa listen`). Several, because the user name is the client
id and two connections with one id would kick each other out for ever."""


class BrokerError(Exception):
    """The broker cannot run; the text says why and what to do."""


def find_mosquitto() -> str:
    """Path of the mosquitto program; BrokerError tells how to install it."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise BrokerError(INSTALL)
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now, and that no connection gets for its own end before we listen: those are
    taken from 32768 upwards."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = random.randrange(15_000, 30_000)  # noqa: S311  no secret
            probe.bind((host, port))
            return port


class Broker:
    """A Mosquitto of our own, in `folder`.

    `port` 0 takes a free one at `start`. `accounts` (user name -> password hash) is replaced by `reload`.
    `controllers`: the users that may read and write everything.
    """

    def __init__(
        self,
        folder: Path,
        *,
        root: str,
        host: str = "127.0.0.1",
        port: int = 0,
        controllers: Sequence[str] = (CONTROLLER,),
    ) -> None:
        self.folder = folder.resolve()
        self.host = host
        self.port = port
        self._root = root
        self._controllers = controllers
        self._user = ""
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def start(self, accounts: Mapping[str, str]) -> None:
        """Returns when the broker listens; BrokerError when it cannot. From the main thread only."""
        program = find_mosquitto()
        self.port = self.port or free_port(self.host)
        self._refuse_taken_port()
        self._prepare(accounts)
        self._process = await self._spawn(program)
        await self._listening()

    def reload(self, accounts: Mapping[str, str]) -> None:
        """Replace all accounts; who is connected stays so until it reconnects."""
        self._write("passwords", _password_file(accounts))
        self._signal(signal.SIGHUP)

    async def keep(self) -> None:
        """Start it again whenever it ends, with growing pauses; runs until cancelled."""
        pause = 0.1
        while self._process is not None:
            code = await self._process.wait()
            if self._stopping:
                return
            log.error("broker ended, starting it again", exit_status=code, said=self._last_words(), pause_s=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            self._process = await self._spawn(find_mosquitto())
            with suppress(BrokerError):  # said above at the next turn: the process has ended
                await self._listening()
                pause = 0.1

    async def stop(self) -> None:
        self._stopping = True
        if self._process is not None:
            await end(self._process, STOP_S)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    # --- files --------------------------------------------------------------------------------------------

    def _prepare(self, accounts: Mapping[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._user = _unprivileged(self.folder) if os.geteuid() == 0 else ""
        if os.geteuid() == 0:
            self._own(self.folder, *self.folder.glob("*.db"))
        self._write("passwords", _password_file(accounts))
        readers = "".join(f"user {name}\ntopic read {self._root}/#\n" for name in READERS)
        controllers = "".join(f"user {name}\ntopic readwrite #\n" for name in self._controllers)
        self._write("acl", ACL.format(controllers=controllers, readers=readers, root=self._root))
        config = CONFIG.format(port=self.port, host=self.host, folder=self.folder, max_packet=MAX_PAYLOAD + 4096)
        # root stays root only where no other user can reach the folder
        self._write("mosquitto.conf", config + ("" if self._user else "user root\n"))

    def _write(self, name: str, text: str) -> None:
        path, temporary = self.folder / name, self.folder / f".{name}.new"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        if os.geteuid() == 0:
            self._own(temporary)
        temporary.replace(path)

    def _own(self, *paths: Path) -> None:
        entry = pwd.getpwnam(self._user or "root")
        for path in paths:
            os.chown(path, entry.pw_uid, entry.pw_gid)

    # --- process ------------------------------------------------------------------------------------------

    async def _spawn(self, program: str) -> asyncio.subprocess.Process:
        command = [program, "-c", str(self.folder / "mosquitto.conf")]
        with (self.folder / "mosquitto.log").open("wb") as output:
            # a session of its own: Ctrl-C in a terminal is for the controller, which then stops the broker
            return await asyncio.create_subprocess_exec(
                *bound(command, self._user),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _refuse_taken_port(self) -> None:
        """Somebody else's listener would look like ours."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise BrokerError(f"the broker cannot listen on {self.host}:{self.port}: {error.strerror}") from None

    async def _listening(self) -> None:
        process = self._process
        deadline = asyncio.get_running_loop().time() + START_S
        while asyncio.get_running_loop().time() < deadline:
            if process is None or process.returncode is not None:
                raise BrokerError(f"Mosquitto did not start on {self.host}:{self.port}: {self._last_words()}")
            with suppress(OSError):
                _, writer = await asyncio.open_connection(self.host, self.port)
                writer.close()
                return
            await asyncio.sleep(0.01)
        raise BrokerError(f"Mosquitto does not listen on {self.host}:{self.port} after {START_S:.0f} s")

    def _last_words(self) -> str:
        lines = (self.folder / "mosquitto.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def _password_file(accounts: Mapping[str, str]) -> str:
    return "".join(f"{name}:{hashed}\n" for name, hashed in sorted(accounts.items()))


def _unprivileged(folder: Path, exists: Callable[[str], object] = pwd.getpwnam) -> str:
    """A user without rights who can reach `folder`; empty when there is none."""
    if any(not parent.stat().st_mode & 0o001 for parent in folder.parents):
        return ""
    for name in UNPRIVILEGED:
        with suppress(KeyError):
            exists(name)
            return name
    return ""
