"""For integration tests: a Mosquitto with the protocol's ACL, a media server with Range, a district with its page."""

from __future__ import annotations

import base64
import ctypes
import functools
import hashlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.district import District, reader

CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
use_username_as_clientid true
max_queued_messages 100000
max_inflight_messages 100
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
log_type error
"""

ACL = """\
user controller
topic readwrite #
pattern write loa/v1/up/%u/#
pattern read loa/v1/dn/%u/#
pattern read loa/v1/zones/#
"""


OWNER = "mosquitto" if os.getuid() == 0 else None
"""Mosquitto gives up root by itself, and with it the death signal of its parent: so it starts without root."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def hashed(password: str) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101, 64)
    return f"$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


@dataclass
class Mosquitto:
    """A running broker. User `controller` (same password) may do everything; add nodes with `add_user`."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "mosquitto.conf").write_text(CONFIG.format(port=self.port, folder=self.folder))
        (self.folder / "acl").write_text(ACL)
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert program, "mosquitto is not installed"
        self._process = subprocess.Popen(
            [program, "-c", str(self.folder / "mosquitto.conf")],
            user=OWNER,
            preexec_fn=_die_with_parent,
            stderr=subprocess.DEVNULL,
        )
        self._await_port()

    def add_user(self, name: str, password: str) -> None:
        """A new user, known to the broker when this returns."""
        with (self.folder / "passwords").open("a") as file:
            file.write(f"{name}:{hashed(password)}\n")
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _await_port(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("mosquitto does not listen")


@pytest.fixture
def mosquitto() -> Iterator[Mosquitto]:
    """A locked-down Mosquitto on a free loopback port, gone when the test is."""
    with tempfile.TemporaryDirectory(prefix="loa-mosquitto-") as folder:
        broker = Mosquitto(Path(folder))
        if OWNER is not None:
            os.chown(folder, pwd.getpwnam(OWNER).pw_uid, -1)
        broker.add_user("controller", "controller")
        try:
            broker.start()
            yield broker
        finally:
            broker.stop()


@dataclass
class MediaServer:
    """Serves bytes by SHA-256 at /media/{sha256}.opus to whoever has a password. `requests` is what was asked:
    (path, Range header or None). `cut_at`: break the connection once after so many bytes of a body."""

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    cut_at: int | None = None

    def put(self, data: bytes) -> str:
        """Serve `data`; returns its SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.files[f"/media/{sha256}.opus"] = data
        return sha256


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, server: MediaServer, *args: object) -> None:
        self.media = server
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        ranged = self.headers.get("Range")
        self.media.requests.append((self.path, ranged))
        data = self.media.files.get(self.path)
        if not self._allowed():
            self._answer(401, b"")
        elif data is None:
            self._answer(404, b"")
        elif ranged and (match := re.fullmatch(r"bytes=(\d+)-", ranged)):
            self._answer(206, data[int(match[1]) :])
        else:
            self._answer(200, data)

    def _allowed(self) -> bool:
        scheme, _, code = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return False
        user, _, password = base64.b64decode(code).decode().partition(":")
        return self.media.users.get(user) == password

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, self.media.cut_at = self.media.cut_at, None
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def media_server() -> Iterator[MediaServer]:
    """A real HTTP server for assets, with Basic authentication and Range."""
    media = MediaServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, media))
    media.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield media
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[District]:
    """A district as its page tells of it, in a database of its own."""
    opened = await District.opened(tmp_path)
    yield opened
    await opened.store.close()


@pytest.fixture
async def web(place: District) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody before its page."""
    async with reader(place) as client:
        yield client
