"""The demo's own folder: a copy of the configuration that can do no harm, and everything that is written."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from broadcasts.guards import Guard
from controller.adapters.broker import free_port
from controller.adapters.lock import AlreadyRunning, Lock

PREFIX = "loa-demo-"
LOCK = "lock"
YOUNG_S = 60.0
"""A folder without a lock may be one that is just being made."""
TRIES = 100


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@dataclass(frozen=True)
class Home:
    """Where everything of one demo lies, and the ports it uses."""

    folder: Path
    page_port: int
    broker_port: int
    mail_port: int
    web_port: int

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def enrolments(self) -> Path:
        return self.folder / "enrolments"

    @property
    def nodes(self) -> Path:
        return self.folder / "nodes"

    @property
    def control(self) -> Path:
        return self.folder / "control.sock"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def home(config: Path, port: int) -> Iterator[Home]:
    """A fresh home with a copy of `config`, removed at the end; homes of killed demos are removed first."""
    _remove_dead()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = Lock(folder / LOCK)
    try:
        folder.chmod(0o711)  # the broker, which gives up root's rights, must reach its part of it
        made = Home(folder, _page_port(port), free_port(), free_port(), free_port())
        shutil.copytree(config, made.config)
        _change(made.config / "site.yaml", lambda site: _our_site(site, made))
        _change(made.config / "alerts.yaml", lambda alerts: _our_alerts(alerts, made))
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _remove_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not (folder / LOCK).exists() and time.time() - folder.stat().st_mtime < YOUNG_S:
            continue
        with suppress(AlreadyRunning, PermissionError):
            lock = Lock(folder / LOCK)
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()


def _page_port(wanted: int) -> int:
    """`wanted`, or the next one that is free."""
    for port in range(wanted, min(wanted + TRIES, 65536)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoError(f"no free port from {wanted} on")


def _change(path: Path, change: Any) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _our_site(site: dict[str, Any], home: Home) -> None:
    site["data"] = str(home.data)
    site["guards"] = {guard.value: "none" for guard in Guard}  # people try it at night, too
    site.pop("store", None)
    root = site.get("mqtt", {}).get("root")
    site["mqtt"] = {"managed": True, "host": "127.0.0.1", "port": home.broker_port, **({"root": root} if root else {})}
    site["http"] = {"host": "127.0.0.1", "port": home.page_port}


def _our_alerts(alerts: dict[str, Any], home: Home) -> None:
    """Every message of the demo comes to us, whoever is named in the configuration: one channel a person, so that
    one cause is visibly one message."""
    alerts["page_url"] = f"http://127.0.0.1:{home.page_port}"
    alerts["smtp"] = {"host": "127.0.0.1", "port": home.mail_port, "sender": "loa@demo.example", "tls": "none"}
    for number, person in enumerate(alerts.get("people", ())):
        web, mail = (
            {"webhook": f"http://127.0.0.1:{home.web_port}/{person['id']}"},
            {"smtp": f"{person['id']}@demo.example"},
        )
        person["channels"] = [mail if number % 2 else web]
        person.pop("also", None)
