"""How little `loa emergency` brings along: people wait for what it imports before the order leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from controller.adapters.datafolder import DataFolder
from controller.adapters.lock import Lock

HEAVY = (
    "rich",
    "pydantic",
    "httpx",
    "asyncio",
    "msgspec",
    "sqlalchemy",
    "zoneinfo",
    "broadcasts",
    "controller.settings",
)
"""Each costs more than one part in twenty of what an order may take from Enter to the first sample."""


class _Api(BaseHTTPRequestHandler):
    """A controller that takes an order down and refuses it."""

    orders: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.orders.append((self.path, json.loads(body)))
        answer = json.dumps({"error": "không có vùng này"}).encode()
        self.send_response(409)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """A configuration on which a controller runs, as the command line sees it."""
    _Api.orders.clear()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "site.yaml").write_text("data: ../data\n")
    data = DataFolder(tmp_path / "data")
    with HTTPServer(("127.0.0.1", 0), _Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        lock = Lock(data.lock())
        told = {"url": f"http://127.0.0.1:{server.server_port}", "token": "t", "pid": 1, "leads": True, "since": ""}
        data.controller().write_text(json.dumps(told))
        yield tmp_path / "config"
        lock.release()
        server.shutdown()
        thread.join()


def imported(*words: str) -> tuple[set[str], str]:
    """The modules that `loa` with these words imports, and the last line of what it says."""
    command = [sys.executable, "-X", "importtime", "-m", "controller.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LANG": "C.UTF-8"}, check=False)
    found = re.findall(r"^import time:.*\| +(\S+)$", ended.stderr, re.MULTILINE)
    return set(found), ended.stderr.strip().splitlines()[-1]


def test_an_emergency_is_ordered_before_anything_heavy_is_imported(config: Path) -> None:
    modules, said = imported("--config", str(config), "emergency", "lu-quet", "--to", "all", "--drill")
    assert said == "loa: không có vùng này"
    [(path, order)] = _Api.orders
    assert path == "/api/emergency"
    assert (order["sound"], order["to"], order["drill"]) == ("lu-quet", ["all"], True)
    assert not [name for name in modules if name.startswith(tuple(f"{each}." for each in HEAVY)) or name in HEAVY]
    other = {name for name in modules if name.startswith("controller.commands.")}
    assert other <= {
        f"controller.commands.{name}" for name in ("base", "listing", "words", "vietnamese", "emergency", "air")
    }


def test_the_help_of_one_command_imports_no_other(config: Path) -> None:
    modules, _ = imported("emergency", "--help")
    assert not modules & {"httpx", "pydantic", "asyncio", "controller.settings", "controller.commands.plan"}
    modules, _ = imported("--help")
    assert not {name for name in modules if name.startswith("controller.commands.")} - {
        f"controller.commands.{name}" for name in ("base", "listing", "words", "vietnamese")
    }
