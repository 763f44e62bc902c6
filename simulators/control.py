"""The control socket: break and mend nodes from outside. JSON lines, one answer per request.

{"do": "inject", "node": "na-meo-01", "fault": "mains-high", "volts": 270}
{"ok": true, "args": {"volts": 270}}
{"do": "inject", "node": "na-meo-01", "fault": "amplifire"}
{"ok": false, "error": "unknown fault 'amplifire' (did you mean 'amplifier'?)"}
"""

from __future__ import annotations

import asyncio
import difflib
import json
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from controller.wire.messages import WireError, stamp
from simulators.agent import Node
from simulators.parts import UnknownFault
from simulators.sabotage import inject, mend

if TYPE_CHECKING:
    from simulators.fleet import Fleet

LINE_LIMIT = 64 * 1024

Request = Mapping[str, Any]
Answer = dict[str, Any]


class BadRequest(ValueError):
    """A request that cannot be carried out; the text says why."""


def place_of(control: Path, part: int) -> Path:
    """The socket of one of several processes that were given `control`."""
    return control.with_name(f"{control.name}.{part}")


def taken(control: Path) -> bool:
    """Whether a fleet, in one process or several, listens at `control` now."""
    return any(listens(path) for path in (control, place_of(control, 0)))


def listens(path: Path) -> bool:
    """Whether somebody listens at `path`; what a killed fleet left there is nobody."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True


class Control:
    """Serves the control socket of a fleet at `path` while entered."""

    def __init__(self, fleet: Fleet, path: Path) -> None:
        self._fleet = fleet
        self._path = path
        self._server: asyncio.Server | None = None
        self._doing: dict[str, Callable[[Request], Answer]] = {
            "list": self._list,
            "summary": self._summary,
            "inject": self._inject,
            "mend": self._mend,
            "kill": self._kill,
            "start": self._start,
            "freeze": self._freeze,
            "hear": self._hear,
            "offset": self._offset,
            "battery": self._battery,
            "replace-key": self._replace_key,
        }

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=LINE_LIMIT)
        self._path.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the other side left, or sent a line without end: nobody is there to be told
        finally:
            writer.close()

    def answer(self, line: bytes) -> Answer:
        """Carry out one request."""
        try:
            request = _request(line)
            do = _one_of(request.get("do"), self._doing, "'do'")
            return {"ok": True, **self._doing[do](request)}
        except (BadRequest, UnknownFault, WireError, ValueError) as error:
            return {"ok": False, "error": str(error)}

    # --- what can be asked ----------------------------------------------------------------------------------

    def _list(self, request: Request) -> Answer:
        wanted = request.get("node")
        nodes = [self._node(request)] if wanted is not None else list(self._fleet.nodes.values())
        return {"nodes": {node.id: _describe(node) for node in nodes}}

    def _summary(self, request: Request) -> Answer:
        return {"summary": self._fleet.summary(whole=True).plain()}

    def _inject(self, request: Request) -> Answer:
        node = self._node(request)
        args = {name: value for name, value in request.items() if name not in ("do", "node", "fault", "battery_wh")}
        self._size_battery(node, request)
        return {"args": inject(node, str(request.get("fault")), args)}

    def _mend(self, request: Request) -> Answer:
        fault = request.get("fault")
        return {"mended": mend(self._node(request), None if fault is None else str(fault))}

    def _kill(self, request: Request) -> Answer:
        self._node(request).power_off()
        return {}

    def _start(self, request: Request) -> Answer:
        self._node(request).power_on()
        return {}

    def _freeze(self, request: Request) -> Answer:
        self._node(request).freeze(_flag(request, "on"))
        return {}

    def _hear(self, request: Request) -> Answer:
        node = self._node(request)
        self._fleet.hear(node.id, _flag(request, "on"))
        return {"folder": str(node.folder)}

    def _offset(self, request: Request) -> Answer:
        node = self._node(request)
        milliseconds = timedelta(milliseconds=_number(request, "ms"))
        node.set_clock(milliseconds, synced=bool(request.get("synced", True)))
        return {}

    def _battery(self, request: Request) -> Answer:
        if "battery_wh" not in request:
            raise BadRequest("'battery_wh' is missing")
        self._size_battery(self._node(request), request)
        return {}

    def _replace_key(self, request: Request) -> Answer:
        keys = request.get("keys")
        if isinstance(keys, dict):
            keys = keys.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise BadRequest("'keys' is not a JWK set")
        self._node(request).replace_keys(tuple(keys))
        return {}

    # --- reading a request ----------------------------------------------------------------------------------

    def _node(self, request: Request) -> Node:
        return self._fleet.nodes[_one_of(request.get("node"), self._fleet.nodes, "'node'")]

    @staticmethod
    def _size_battery(node: Node, request: Request) -> None:
        if "battery_wh" in request:
            capacity = _number(request, "battery_wh")
            if capacity <= 0:
                raise BadRequest("'battery_wh' is not above 0")
            node.parts.battery_wh = capacity


def _request(line: bytes) -> Request:
    try:
        request = json.loads(line)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise BadRequest("a request is one JSON object on one line")
    return request


def _describe(node: Node) -> Answer:
    return {
        "connected": node.link.connected,
        "powered": node.powered,
        "playing": node.playing(),
        "faults": node.faults,
        "started": {id: stamp(at) for id, at in node.started.items()},
        "journal_backlog": node.journal.backlog,
        "missing": node.assets.missing,
    }


def _one_of(value: object, known: Mapping[str, object], what: str) -> str:
    if isinstance(value, str) and value in known:
        return value
    close = difflib.get_close_matches(str(value), known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise BadRequest(f"{what} is unknown: {value!r}{hint}")


def _flag(request: Request, name: str) -> bool:
    value = request.get(name, True)
    if not isinstance(value, bool):
        raise BadRequest(f"{name!r} is not true or false")
    return value


def _number(request: Request, name: str) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{name!r} is not a number")
    return float(value)
