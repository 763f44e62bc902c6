"""A scenario in real time: its steps over the control socket of simulated nodes, its district a controller that runs.
What came of it is read from that controller's database, and from the messages that arrive here."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from controller.adapters.broker import free_port
from controller.adapters.store.sql import SqlStore
from controller.commands.words import t
from controller.demo.receivers import Alert, receivers
from controller.domain.site import Settings
from controller.rehearsal.scenario import IncidentName, Scenario, StepIn, members
from controller.rehearsal.verdict import Concluded, clock, concluded

Say = Callable[[str], object]
Tell = Callable[[str, str, str, str], object]
"""What a technician tells the controller: (subject, cause, "ack" or "repaired", who)."""

BY_A_TECHNICIAN = ("acknowledge", "repair")

STARTED_S = 120.0
"""How long the nodes may take to open their control socket and to connect."""

SETTLED_S = 60.0
"""Before the beginning everybody has been there for so long."""


async def play(scenario: Scenario, settings: Settings, controls: Sequence[Path], tell: Tell, say: Say) -> Concluded:
    """From the beginning to the end, as long as it lasts. OSError when nobody listens at one of `controls`."""
    rung: Counter[str] = Counter()

    def take(alert: Alert) -> None:
        rung[alert.to] += 1

    async with receivers(free_port(), _phone_port(settings), take):
        count = len(members(scenario.network)["all"])
        say(t("waiting for {count} nodes to connect", count=count))
        homes = await everybody_there(controls, count)
        begins = datetime.now(UTC) + timedelta(seconds=SETTLED_S)
        ends = (begins + scenario.lasts).astimezone(settings.site.zone)
        seconds = round(SETTLED_S)
        say(t("all are there; it begins in {seconds} s and ends at {ends}", seconds=seconds, ends=f"{ends:%H:%M:%S}"))
        await asyncio.sleep(SETTLED_S)
        began = datetime.now(UTC)
        await perform(scenario, homes, tell, say)
        await asyncio.sleep(max(0.0, (began + scenario.lasts - datetime.now(UTC)).total_seconds()))
    store = SqlStore(settings.site.store_url, read_only=True)
    await store.open()
    try:
        rows = await store.read(lambda tx: {i.id: i for i in [*tx.incidents(began), *tx.open_incidents()]})
    finally:
        await store.close()
    return concluded(rows.values(), began, rung)


async def everybody_there(controls: Sequence[Path], count: int) -> Mapping[str, Path]:
    """The socket of every node, when all are connected."""
    end = asyncio.get_running_loop().time() + STARTED_S
    while asyncio.get_running_loop().time() < end:
        with suppress(FileNotFoundError, ConnectionRefusedError):  # not open yet
            fleets = {control: (await _ask(control, {"do": "list"}))["nodes"] for control in controls}
            if sum(node["connected"] for nodes in fleets.values() for node in nodes.values()) >= count:
                return {node: control for control, nodes in fleets.items() for node in nodes}
        await asyncio.sleep(0.5)
    raise OSError(t("not all of {count} nodes are connected after {seconds} s", count=count, seconds=round(STARTED_S)))


async def perform(scenario: Scenario, homes: Mapping[str, Path], tell: Tell, say: Say) -> None:
    """Every node has its own instant within the spread of a step, the same in every run of a seed."""
    rng = random.Random(scenario.seed)  # noqa: S311  must repeat by seed
    names = members(scenario.network)
    orders: list[tuple[timedelta, StepIn, str]] = []
    for step in scenario.steps:
        orders.append((step.at, step, ""))
        if step.action not in BY_A_TECHNICIAN:
            hit = dict.fromkeys(node for name in step.to for node in names[name])
            orders += [(step.at + step.spread * rng.random(), step, node) for node in hit]
    began = asyncio.get_running_loop().time()
    for at, step, node in sorted(orders, key=lambda order: order[0]):
        await asyncio.sleep(max(0.0, began + at.total_seconds() - asyncio.get_running_loop().time()))
        if node:
            await _ask(homes[node], _request(step, node))
            continue
        say(f"{clock(at)}  {_words(step)}")
        if step.action in BY_A_TECHNICIAN:
            await asyncio.to_thread(_told, step, tell)


def _words(step: StepIn) -> str:
    """As the file says it: `break mains-lost: x01-f1`."""
    if name := step.acknowledge or step.repair:
        return f"{step.action} {name.cause}: {name.subject} ({step.by})"
    what = step.broken or step.mend or f"{step.battery:g} Wh"
    return f"{step.action} {what}: {', '.join(step.to)}"


def _request(step: StepIn, node: str) -> dict[str, Any]:
    match step.action:
        case "break":
            return {"do": "inject", "node": node, "fault": step.broken, **step.arguments}
        case "mend":
            return {"do": "mend", "node": node, **({} if step.mend == "everything" else {"fault": step.mend})}
        case _:
            return {"do": "battery", "node": node, "battery_wh": step.battery}


def _told(step: StepIn, tell: Tell) -> None:
    name = step.acknowledge or step.repair
    assert isinstance(name, IncidentName)
    tell(name.subject, name.cause, "ack" if step.acknowledge else "repaired", step.by)


def _phone_port(settings: Settings) -> int:
    """Where the messages of the district's people go: district.py wrote it."""
    return urlsplit(settings.alerts.people[0].channels[0].address).port or 80


async def _ask(control: Path, request: dict[str, Any]) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(control), limit=2**24)
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
    finally:
        writer.close()
    if not answer.get("ok"):
        raise OSError(str(answer.get("error", answer)))
    return answer
