"""The story that the demo tells: nodes come up, an announcement sounds everywhere, three things break, and the
technicians hear of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from controller.commands.words import t
from controller.demo.account import Break, Json, incident_of
from controller.demo.home import DemoError
from controller.demo.network import Api, order
from controller.demo.screen import Screen
from controller.domain.site import Settings

WORDS = "Kính thưa bà con. Đây là buổi phát thử của hệ thống truyền thanh thông minh."
NODES_UP_S = 12.0
"""The announcement waits this long for the last nodes; then it goes on air without them."""
LOOK_S = 0.4
AFTER_END_S = 15.0


class Plot(NamedTuple):
    """What breaks: an amplifier and a line on single nodes, the power of one whole commune."""

    amplifier: str
    line: str
    power: str


def plot(settings: Settings) -> Plot:
    """Three communes: the largest loses its power, another technician's has the broken amplifier. DemoError when
    there are not enough."""
    communes = sorted((zone for zone in settings.zones.values() if zone.is_commune), key=lambda zone: -len(zone.nodes))
    if len(communes) < 3 or len(communes[0].nodes) < 3:
        raise DemoError("the demo needs three communes, one of them with three nodes")
    power, *others = communes
    others.sort(key=lambda zone: _technicians(settings, zone.id) == _technicians(settings, power.id))
    amplifier, line = others[0], others[-1]
    return Plot(amplifier=amplifier.nodes[0], line=line.nodes[0], power=power.id)


def _technicians(settings: Settings, commune: str) -> frozenset[str]:
    people = settings.alerts.people
    return frozenset(one.id for one in people if not one.communes or commune in one.communes)


class Story:
    """Runs once. What happened so far is in the attributes."""

    def __init__(self, settings: Settings, plot: Plot, api: Api, control: Path, screen: Screen) -> None:
        self.airing: Json | None = None
        self.incidents: list[Json] = []
        self.breaks: list[Break] = []
        self.over = False
        self._settings = settings
        self._plot = plot
        self._api = api
        self._control = control
        self._screen = screen
        self._occurrence = ""
        self._flagged: set[int] = set()

    async def tell(self) -> None:
        """From the first node to the last fault, then watch until cancelled."""
        await self._nodes_up()
        await self._cut_power()
        await self._announce()
        await self._break(self._plot.amplifier, "amplifier")
        await self._break(self._plot.line, "line-open")
        while True:
            await self.look()
            if not self.over and self._all_told():
                self.over = True
                self._screen.note(t("All three are known and told. The page: {url}", url=self._api.page))
            await asyncio.sleep(LOOK_S)

    # --- chapters -------------------------------------------------------------------------------------------

    async def _nodes_up(self) -> None:
        deadline = asyncio.get_running_loop().time() + NODES_UP_S
        while True:
            nodes = (await self._api.get("status"))["nodes"]
            self._screen.count(nodes["online"], nodes["total"])
            if nodes["online"] == nodes["total"] or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(LOOK_S)
        self._screen.note(t("{online} of {total} nodes are online", online=nodes["online"], total=nodes["total"]))

    async def _cut_power(self) -> None:
        """The nodes live on by their batteries: they still play, and say that the mains are gone."""
        commune = self._settings.zones[self._plot.power]
        for node in commune.nodes:
            await order(self._control, do="inject", node=node, fault="mains-lost")
        self.breaks.append(Break(commune.id, "power", datetime.now(UTC)))
        self._screen.broken(t("the power of {name} fails ({count} nodes)", name=commune.name, count=len(commune.nodes)))

    async def _announce(self) -> None:
        aired = await self._api.post("say", text=WORDS, to=["all"], by="demo")
        self._occurrence = aired["occurrence"]
        start, end = (datetime.fromisoformat(aired[key]) for key in ("start", "end"))
        said = t("announcement to all nodes at {start}: {words}", start=self._screen.time(start), words=WORDS)
        self._screen.note(said)
        last = end.timestamp() + AFTER_END_S
        while datetime.now(UTC).timestamp() < last:
            await self.look()
            if self._settled():
                break
            await asyncio.sleep(LOOK_S)
        heard = sum(line["heard"] == "heard" for line in self._lines())
        self._screen.note(t("heard by {heard} of {total} nodes", heard=heard, total=len(self._lines())))

    async def _break(self, node: str, fault: str) -> None:
        await order(self._control, do="inject", node=node, fault=fault)
        self.breaks.append(Break(node, fault, datetime.now(UTC)))
        what = {"amplifier": t("the amplifier dies"), "line-open": t("the loudspeaker line is cut")}[fault]
        self._screen.broken(f"{self._settings.nodes[node].name} ({node}): {what}")

    # --- watching -------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Bring what is known up to date."""
        self.incidents = (await self._api.get("incidents", all=1))["incidents"]
        for each in sorted(self.incidents, key=lambda each: int(each["id"])):
            if each["id"] not in self._flagged and each["parent"] is None:
                self._flagged.add(each["id"])
                self._screen.flagged(each, self._delay(each))
        if self._occurrence and not self._settled():
            self.airing = await self._api.get(f"why/{self._occurrence}")
        nodes = (await self._api.get("status"))["nodes"]
        self._screen.count(nodes["online"], nodes["total"])

    def _lines(self) -> list[Any]:
        return list(self.airing["nodes"]) if self.airing else []

    def _settled(self) -> bool:
        lines = self._lines()
        return bool(lines) and all(line["heard"] not in ("pending", "sounding") for line in lines)

    def _delay(self, incident: Json) -> float | None:
        """Seconds from the fault that we put in to the incident; None for one that we did not cause."""
        for each in self.breaks:
            if incident_of(each, [incident]) is not None:
                return (datetime.fromisoformat(incident["opened_at"]) - each.at).total_seconds()
        return None

    def _all_told(self) -> bool:
        found = [incident_of(each, self.incidents) for each in self.breaks]
        return all(each is not None and each["messages"]["sent"] for each in found)
