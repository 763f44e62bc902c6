"""The real things as processes, each of which can be killed, stopped and cut off on its own, and what brings the
controllers back when they end, as systemd would."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from controller.adapters.broker import READERS, Broker, free_port
from controller.adapters.credentials import hash_password
from controller.adapters.store.sql import SqlStore
from controller.ports import Tx
from tests.chaos.disk import SmallDisk
from tests.chaos.plan import CONTROLLERS
from tests.chaos.proxy import Cable
from tests.chaos.receivers import arrived
from tests.e2e.kills import COMMUNES, NODES, District
from tests.e2e.network import PASSWORD, ROOT, Json
from tests.e2e.nursery import Nursery
from tests.postgresql import Cluster

ACCOUNTS = tuple(f"_controller-{name}" for name in CONTROLLERS)
LIBFAKETIME = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")
AGAIN_S = 1.0
"""What systemd waits before it starts again what ended."""
HEARTBEAT_S = 2

T = TypeVar("T")


def find_libfaketime() -> Path | None:
    """The library that gives a process a wall clock of its own."""
    return next((path for pattern in LIBFAKETIME for path in Path("/").glob(pattern[1:])), None)


@dataclass(slots=True)
class Trouble:
    """Something was not as it should be, from `began` until `ended` (None: it still is). `node` empty: for all."""

    what: str
    began: datetime
    ended: datetime | None = None
    node: str = ""

    def meets(self, start: datetime, end: datetime) -> bool:
        return self.began <= end and (self.ended is None or self.ended >= start)


class Stage(District):
    """Mosquitto, two controllers, a database, nodes, receivers; cables between them; a small disk where that can be
    had (`disk`) and clocks that can be stepped where there is libfaketime (`clocks`)."""

    def __init__(
        self, folder: Path, *, cluster: Cluster | None = None, disk: bool = False, clocks: bool = False
    ) -> None:
        self.cluster = cluster
        self.nurseries = {name: Nursery(self._clock_of(folder, name) if clocks else None) for name in CONTROLLERS}
        super().__init__(folder, next(iter(self.nurseries.values())), store_url=cluster.database() if cluster else "")
        self.pages = {name: free_port() for name in CONTROLLERS}
        self.cables = {name: Cable(free_port(), to) for name, to in self._cables().items()}
        self.disk = SmallDisk(self.data) if disk else None
        self.troubles: list[Trouble] = []
        self.fell: list[str] = []
        """Controllers that ended by themselves, with their last words."""
        self._wanted: set[str] = set()

    def _cables(self) -> dict[str, Iterable[int]]:
        return {"nodes": self._ports[:1], "controllers": self._ports[:1], "audio": self.pages.values()}

    # --- up and down --------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Stage:
        if self.disk is not None and (why := self.disk.mount()):
            raise AssertionError(why)
        for nursery in self.nurseries.values():
            await self._stack.enter_async_context(nursery)
        for cable in self.cables.values():
            await self._stack.enter_async_context(cable)
        self._write_configuration()
        await self._run("enroll", "--all", str(self.folder / "enrolments"))
        self._wire_nodes()
        await self.start_receivers()
        await self.start_broker()
        for name in CONTROLLERS:
            await self.start(name)
        self._watching = asyncio.create_task(self._watch(), name="systemd")
        await self._led()
        await self.spawn_nodes()
        return self

    async def _led(self) -> None:
        try:
            await self.until(self.leader, within=120)
        except AssertionError:
            said = [self.last_words(name) for name in CONTROLLERS]
            raise AssertionError("no controller leads after two minutes:\n" + "\n".join(said)) from None

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        for name in (*CONTROLLERS, "nodes", "receivers"):
            self._wanted.discard(name)
            await self.end(name, signal.SIGKILL)
        await self._broker.stop()
        await self._stack.aclose()
        if self.disk is not None:
            self.disk.unmount()

    def _write_configuration(self) -> None:
        shutil.copytree(ROOT / "config", self.config)
        self._configure()

    def _configure(self) -> None:
        super()._configure()
        site = yaml.safe_load((self.config / "site.yaml").read_text())
        site["mqtt"] |= {"username": "_controller-{instance}", "port": self.cables["controllers"].port}
        self._replace("site.yaml", site)
        alerts = yaml.safe_load((self.config / "alerts.yaml").read_text())
        alerts["fail_over"] = "30s"
        alerts["wait"] = {"critical": "1s", "other": "2s"}
        alerts["silence"] = {"told_after": "20s", "told_after_if_due": "15s"}
        alerts["people"] = [self._technician(alerts["people"][0], commune) for commune in COMMUNES]
        self._replace("alerts.yaml", alerts)
        faults = yaml.safe_load((self.config / "faults.yaml").read_text())
        for rule in faults["faults"]:
            for side, length in dict(rule.get("hold", {})).items():
                if not length.endswith(("test", "tests")):
                    rule["hold"][side] = {"open": "2s", "clear": "3s"}[side]
        self._replace("faults.yaml", faults)

    def _technician(self, pattern: Json, commune: str) -> Json:
        _, _, _, web = self._ports
        id = f"tho-{commune}"
        channels = [{"webhook": f"http://127.0.0.1:{web}/{id}"}, {"smtp": f"{id}@district.example"}]
        if commune == COMMUNES[-1]:
            channels.reverse()  # a receiver is never away for as long as `fail_over`: no mail would ever be sent
        pattern = {name: value for name, value in pattern.items() if name != "also"}
        return {**pattern, "id": id, "communes": [commune], "channels": channels}

    def _wire_nodes(self) -> None:
        """Nodes reach broker and audio over cables of their own."""
        for path in (self.folder / "enrolments").glob("*.json"):
            enrolment = json.loads(path.read_text())
            enrolment["mqtt"]["port"] = self.cables["nodes"].port
            enrolment["media"]["base"] = enrolment["media"]["base"].replace(
                f":{self._ports[1]}", f":{self.cables['audio'].port}"
            )
            path.write_text(json.dumps(enrolment))

    # --- each process -------------------------------------------------------------------------------------------

    async def start_broker(self) -> None:
        rows = await self.stored(lambda tx: tx.credentials()) if not hasattr(self, "_accounts") else []
        if rows:
            self._accounts = {row.node: row.password_hash for row in rows}
        ours = dict.fromkeys((*ACCOUNTS, READERS[0]), hash_password(PASSWORD))
        self._broker = Broker(self.folder / "broker", root="loa/v1", port=self._ports[0], controllers=ACCOUNTS)
        await self._broker.start({**self._accounts, **ours})

    async def end_broker(self) -> None:
        self.signal_broker(signal.SIGKILL)
        await self._broker.stop()

    def signal_broker(self, number: signal.Signals) -> None:
        if self._broker.pid is not None:
            os.kill(self._broker.pid, number)

    async def start(self, name: str) -> None:
        """Start a controller; returns at once."""
        words = ["--config", str(self.config), "run", "--instance", name, "--http-port", str(self.pages[name])]
        self._pids[name] = await self.nurseries[name].start(words, self.folder / f"{name}.log")
        self._wanted.add(name)

    async def end(self, name: str, number: signal.Signals) -> None:
        if name not in CONTROLLERS:
            await super().end(name, number)
            return
        self._wanted.discard(name)
        if (pid := self._pids.pop(name, None)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            await self.nurseries[name].ended(pid)

    async def spawn_nodes(self) -> None:
        command = [sys.executable, "-m", "simulators", "--enrolments", str(self.folder / "enrolments")]
        command += ["--folder", str(self.folder / "nodes"), "--control", str(self.control_path)]
        self.control_path.unlink(missing_ok=True)
        await self._spawn("nodes", command)

    async def start_receivers(self) -> None:
        _, _, mail, web = self._ports
        command = [sys.executable, "-m", "tests.chaos.receivers", str(mail), str(web), str(self._book)]
        await self._spawn("receivers", command)

    @property
    def _book(self) -> Path:
        return self.folder / "arrived.jsonl"

    def arrived(self) -> list[dict[str, str]]:
        """Every message that a receiver took, in order."""
        return arrived(self._book)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self._pids[name] if name in CONTROLLERS else self.pid(name), number)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            for name in sorted(self._wanted & set(CONTROLLERS)):
                if _is_dead(self._pids[name]):
                    await self._bring_back(name)

    async def _bring_back(self, name: str) -> None:
        said = [line for line in self.last_words(name).splitlines() if line and not line.startswith((" ", "Traceback"))]
        self.fell.append(f"controller {name}: " + " | ".join(said[-4:])[-600:])
        trouble = self.trouble(f"controller {name} ended by itself")
        await self.nurseries[name].ended(self._pids[name])
        await asyncio.sleep(AGAIN_S)
        if name in self._wanted:
            await self.start(name)
        self.over(trouble)

    # --- clocks -------------------------------------------------------------------------------------------------

    @staticmethod
    def _clock_of(folder: Path, name: str) -> dict[str, str]:
        library = find_libfaketime()
        assert library is not None
        file = folder / f"clock-{name}"
        file.write_text("+0\n")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def step_clock(self, name: str, seconds: float) -> None:
        """A controller's wall clock is `seconds` off from now on (within a second); its monotonic one goes on."""
        draft = self.folder / f"clock-{name}.new"
        draft.write_text(f"{seconds:+g}\n")
        draft.replace(self.folder / f"clock-{name}")

    # --- what was wrong -----------------------------------------------------------------------------------------

    def trouble(self, what: str, node: str = "") -> Trouble:
        """Something begins to be wrong."""
        trouble = Trouble(what, datetime.now(UTC), node=node)
        self.troubles.append(trouble)
        return trouble

    def over(self, trouble: Trouble) -> None:
        trouble.ended = datetime.now(UTC)

    # --- asking -------------------------------------------------------------------------------------------------

    async def leader(self) -> str:
        """Which controller leads; empty if none says so."""
        for name in CONTROLLERS:
            with suppress(httpx.HTTPError, OSError, ValueError, KeyError):
                status = await self._ask("GET", name, "status")
                if not status["standby"] and status["leader"]["instance"] == name:
                    return name
        return ""

    async def order(self, path: str, /, **body: Any) -> Json | None:
        """POST to whoever leads; None when nobody took it."""
        if not (name := await self.leader()):
            return None
        with suppress(httpx.HTTPError, OSError, ValueError):
            return await self._ask("POST", name, path, body)
        return None

    async def ask(self, path: str) -> Any:
        """GET from whoever leads."""
        return await self._ask("GET", await self.leader() or CONTROLLERS[0], path)

    async def _ask(self, method: str, name: str, path: str, body: Json | None = None) -> Any:
        headers = {}
        if body is not None:
            token = json.loads((self.data / f"controller-{name}.json").read_text())["token"]
            headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(timeout=3 if method == "GET" else 15) as client:
            url = f"http://127.0.0.1:{self.pages[name]}/api/{path}"
            answer = await client.request(method, url, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    async def stored(self, work: Callable[[Tx], T]) -> T:
        store = SqlStore(self.store_url, read_only=True)
        await store.open()
        try:
            return await store.read(work)
        finally:
            await store.close()


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


__all__ = ["HEARTBEAT_S", "NODES", "Stage", "Trouble", "find_libfaketime"]
