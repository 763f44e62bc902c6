"""A whole network of real processes on this machine: Mosquitto, controller, nodes, and where alerts arrive.

Each can be killed and started again on its own, which `loa run` with its own broker does not allow. Used by the
end-to-end tests and by `benchmarks.main_job`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from broadcasts.guards import Guard
from broadcasts.model import assets_of
from controller.adapters.broker import CONTROLLER, Broker, free_port
from controller.adapters.credentials import hash_password
from controller.adapters.process import bound
from controller.adapters.store.sql import SqlStore
from controller.demo.receivers import Alert, receivers
from controller.ports import Tx
from controller.wire.messages import PlaylistsDoc
from controller.wire.signing import payload_of
from tests.e2e import hearing
from tests.e2e.hearing import Match, decoded, heard, match, recorded_until

ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")
PASSWORD = "of the tests' controller"
Json = dict[str, Any]


def reachable(folder: Path) -> Path:
    """The folder, opened to the broker, which gives up root's rights; so are those above it, as far as the system's
    own: however deep pytest and its workers nest them."""
    system = Path(tempfile.gettempdir())
    for each in (folder, *folder.parents):
        if system in each.parents:
            each.chmod(0o711)
    return folder


class Network:
    """60 nodes of the shipped district, at most `listen` of them writing what is heard.

    `intruders`: users whom the broker lets write anything, as if its password had been stolen. `host`: the address by
    which nodes reach broker and audio."""

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 60,
        listen: int = 2,
        intruders: Sequence[str] = (),
        host: str = "127.0.0.1",
    ) -> None:
        self.folder = folder
        self.config = folder / "config"
        self.data = folder / "data"
        self.nodes = nodes
        self.alerts: list[tuple[float, Alert]] = []
        self._listen = listen
        self._intruders = intruders
        self.host = host
        self._ports = [free_port() for _ in range(4)]
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stack = AsyncExitStack()

    # --- up and down --------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Network:
        broker_port, _, mail_port, web_port = self._ports
        shutil.copytree(ROOT / "config", self.config)
        self._configure()
        await self._stack.enter_async_context(receivers(mail_port, web_port, self._take))
        await self._run("enroll", "--all", str(self.folder / "enrolments"))
        users = (CONTROLLER, *self._intruders)
        self._broker = Broker(
            self.folder / "broker", root="loa/v1", host=self.host, port=broker_port, controllers=users
        )
        await self.start_broker()
        await self.start_controller()
        await self.start_nodes()
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in ("nodes", "controller"):
            await self.end(name, signal.SIGTERM)
        await self._broker.stop()
        await self._stack.aclose()

    async def stored(self, work: Callable[[Tx], T]) -> T:
        """What the database says, asked beside the controller."""
        store = SqlStore(f"sqlite:///{self.data / 'loa.db'}", read_only=True)
        await store.open()
        try:
            return await store.transact(work)
        finally:
            await store.close()

    async def asset(self, occurrence: str, node: str) -> Path:
        """The file that was rendered for the (one) track of an occurrence."""
        desired = await self.stored(lambda tx: tx.desired_of(node))
        assert desired is not None
        playlists = payload_of(PlaylistsDoc, desired.document).playlists
        (track,) = next(one.tracks for one in playlists if one.id == occurrence)
        (asset,) = assets_of(track)
        (path,) = (self.data / "audio").rglob(f"{asset.sha256}.opus")
        return path

    async def start_broker(self) -> None:
        rows = await self.stored(lambda tx: tx.credentials())
        accounts = {row.node: row.password_hash for row in rows}
        await self._broker.start(
            {**accounts, **{user: hash_password(PASSWORD) for user in (CONTROLLER, *self._intruders)}}
        )

    def kill_broker(self) -> None:
        pid = self._broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    async def start_controller(self) -> None:
        await self._spawn("controller", self._loa("run"))

        async def planned() -> bool:
            return (await self.get("status"))["air"]["next"] is not None

        await self.until(planned, within=120)

    async def start_nodes(self) -> None:
        command = [sys.executable, "-m", "simulators", "--enrolments", str(self.folder / "enrolments")]
        command += ["--folder", str(self.folder / "nodes"), "--nodes", str(self.nodes)]
        command += ["--listen", str(self._listen), "--control", str(self.control_path)]
        await self._spawn("nodes", command)

        async def online() -> bool:
            return bool((await self.get("status"))["nodes"]["online"] == self.nodes)

        await self.until(online, within=90)

    async def end(self, name: str, number: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is not None and process.returncode is None:
            process.send_signal(number)
            await process.wait()

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    # --- talking to it ------------------------------------------------------------------------------------------

    @property
    def control_path(self) -> Path:
        return self.folder / "ctl"

    @property
    def broker_port(self) -> int:
        return self._broker.port

    @property
    def page(self) -> str:
        return f"http://{self.host}:{self._ports[1]}"

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{self.page}/api/{path}")
        answer.raise_for_status()
        return answer.json()

    async def part(self, name: str) -> str:
        """A part of the page, as HTML in Vietnamese."""
        async with httpx.AsyncClient(timeout=10) as client:
            answer = await client.get(f"{self.page}/part/{name}?lang=vi")
        answer.raise_for_status()
        return answer.text

    async def post(self, path: str, /, **body: Any) -> Any:
        token = json.loads((self.data / "controller.json").read_text())["token"]
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(
                f"{self.page}/api/{path}", json=body, headers={"Authorization": f"Bearer {token}"}
            )
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def control(self, **request: Any) -> Json:
        reader, writer = await asyncio.open_unix_connection(str(self.control_path), limit=2**20)
        writer.write(json.dumps(request).encode() + b"\n")
        answer: Json = json.loads(await reader.readline())
        writer.close()
        assert answer["ok"], answer
        return answer

    async def until(self, condition: Callable[[], Awaitable[T]], *, within: float = 60, every: float = 0.05) -> T:
        """The first true answer of `condition`; an API that does not answer yet counts as none."""
        end = time.monotonic() + within
        while time.monotonic() < end and all(one.returncode is None for one in self._processes.values()):
            try:
                if found := await condition():
                    return found
            except (httpx.HTTPError, OSError):
                pass
            await asyncio.sleep(every)
        raise AssertionError(
            f"not within {within:g} s, or a process ended; controller says:\n{self.last_words('controller')}"
        )

    async def queue(self, id: str, seconds: float, text: str) -> tuple[str, datetime]:
        """Add a broadcast to all nodes that airs once, in about `seconds`; its occurrence id and planned start."""
        local = (datetime.now(UTC) + timedelta(seconds=seconds, hours=7)).replace(microsecond=0, tzinfo=None)
        once = f"{local:%Y-%m-%d %H:%M:%S}"
        what: Json = {"id": id, "title": text[:60], "to": ["all"], "once": once, "play": [{"say": text}]}
        what["allow_conflict"] = True  # the district's own programme may be on then
        folder = self.config / "broadcasts"
        folder.mkdir(exist_ok=True)
        (folder / f"{id}.yaml").write_text(yaml.safe_dump({"broadcasts": [what]}, allow_unicode=True))
        seconds_part = "" if local.second == 0 else f":{local.second:02d}"
        return f"{id}@{local:%Y-%m-%dT%H:%M}{seconds_part}", (local - timedelta(hours=7)).replace(tzinfo=UTC)

    async def airing(self, occurrence: str) -> Json | None:
        """The story of an airing; None while the controller does not know it."""
        try:
            answer: Json = await self.get(f"why/{occurrence}")
        except httpx.HTTPStatusError:
            return None
        return answer

    async def heard(self, occurrence: str, *, within: float = 60) -> list[Json]:
        """The lines of all nodes, once each of them has completed."""

        async def complete() -> list[Json]:
            story = await self.airing(occurrence)
            lines = story["nodes"] if story else []
            return lines if lines and all(line["heard"] == "heard" for line in lines) else []

        return await self.until(complete, within=within, every=0.2)

    async def match(self, occurrence: str, node: str, start: datetime) -> Match:
        """What `node`, one that is listened to, gave against what was rendered, once its recording reaches so far."""
        rendered = decoded(await self.asset(occurrence, node))
        seconds = len(rendered) / hearing.RATE
        folder = self.folder / "nodes" / node
        end = start + timedelta(seconds=seconds + hearing.AROUND_S)

        async def recorded() -> bool:
            return recorded_until(folder) >= end

        await self.until(recorded)
        return match(rendered, heard(folder, start, seconds))

    async def incident(self, subject: str, cause: str, *, within: float = 60) -> Json:
        """The open incident of `cause` at `subject`, as soon as there is one."""

        async def found() -> Json | None:
            rows = (await self.get("incidents"))["incidents"]
            return next((row for row in rows if (row["subject"], row["cause"]) == (subject, cause)), None)

        incident = await self.until(found, within=within)
        assert incident is not None
        return incident

    def last_words(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text()[-3000:] if path.exists() else "(no log)"

    # --- inside -------------------------------------------------------------------------------------------------

    def _take(self, alert: Alert) -> None:
        self.alerts.append((time.time(), alert))

    def _configure(self) -> None:
        broker, page, mail, web = self._ports
        site = yaml.safe_load((self.config / "site.yaml").read_text())
        site["data"] = str(self.data)
        site["guards"] = {guard.value: "none" for guard in Guard}  # whatever the time is
        site["mqtt"] = {"managed": False, "host": self.host, "port": broker, "username": CONTROLLER}
        site["mqtt"]["password"] = PASSWORD
        site["http"] = {"host": self.host, "port": page}
        (self.config / "site.yaml").write_text(yaml.safe_dump(site, allow_unicode=True))
        alerts = yaml.safe_load((self.config / "alerts.yaml").read_text())
        alerts["smtp"] = {"host": "127.0.0.1", "port": mail, "sender": "loa@district.example", "tls": "none"}
        for person in alerts["people"]:
            person["channels"] = [{"webhook": f"http://127.0.0.1:{web}/{person['id']}"}]
            person["also"] = [{"smtp": f"{person['id']}@district.example"}]
        (self.config / "alerts.yaml").write_text(yaml.safe_dump(alerts, allow_unicode=True))

    def _loa(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "controller.cli", "--config", str(self.config), *words]

    async def _run(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._loa(*words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=ROOT
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()

    async def _spawn(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *bound(command), stdout=log, stderr=log, cwd=ROOT
            )
