"""The page: rendered whole at first, then part by part when the event stream says that a part is out of date."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from controller.domain import wording
from controller.domain.faults import Text
from controller.domain.finding import STATES, Wanted
from controller.services import labels
from controller.services.readmodels import Plain, evidence, iso
from controller.web.api import full_status, picture
from controller.web.guard import Refusal
from controller.web.i18n import COOKIE, LANGUAGES, UNITS, Speaker, choose
from controller.web.needs import Controller
from controller.web.sketch import sketch
from controller.web.trend import line

TEMPLATES = Path(__file__).with_name("templates")

HEADERS = {"Cache-Control": "no-store", "Vary": "Accept-Language, Accept-Encoding, Cookie"}

PARTS: Mapping[str, str] = {
    "overview": "emergencies status incidents nodes air config",
    "air": "air",
    "incidents": "incidents",
    "next": "air config",
    "people": "config alerts",
    "nodes": "nodes incidents air config",
}
"""Parts of the page, in its order, each with the change topics that put it out of date."""

PAGE = 100
"""Nodes of one page of the list."""
MAP_MOST = 300
"""With more nodes the map would be a blot, and larger than all the rest: communes are listed instead."""

YEAR_S = 365 * 24 * 3600


def environment() -> Environment:
    """Templates that escape everything and refuse names nobody defined."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def router(app: Controller) -> APIRouter:
    """GET /, GET /part/{name}, GET /node/{id} and the pictures on the cards."""
    templates = environment()
    routes = APIRouter()

    @routes.get("/")
    async def page(request: Request, lang: str | None = None) -> HTMLResponse:
        speaker, wanted = _speaker(app, request, lang), _wanted(request)
        context = _context(app, speaker)
        for name in PARTS:
            context |= await _models(app, wanted)[name]()
        answer = _answer(templates.get_template("page.html").render(context), request)
        if lang in LANGUAGES:
            answer.set_cookie(COOKIE, lang, max_age=YEAR_S, httponly=True, samesite="lax")
        return answer

    @routes.get("/part/{name}")
    async def part(name: str, request: Request, lang: str | None = None) -> HTMLResponse:
        if name not in PARTS:
            raise Refusal(404, f"no part called {name[:40]!r}")
        context = _context(app, _speaker(app, request, lang)) | await _models(app, _wanted(request))[name]()
        return _answer(templates.get_template(f"parts/{name}.html").render(context), request)

    @routes.get("/node/{id}")
    async def node(id: str, request: Request, lang: str | None = None) -> HTMLResponse:
        try:
            told = await app.reporting.node(id)
        except KeyError:
            raise Refusal(404, f"no node called {id[:50]!r}") from None
        context = _context(app, _speaker(app, request, lang)) | {"node": told, "line": line}
        return _answer(templates.get_template("parts/node.html").render(context), request)

    @routes.get("/incidents/{id}/photos/{sha256}")
    async def photo(id: int, sha256: str, small: bool = False) -> Response:
        return picture(await app.workshop.photo(id, sha256, small=small))

    return routes


def _answer(html: str, request: Request) -> HTMLResponse:
    """`html`, compressed for those who can take it: a technician reads this over 4G, at every change anew."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return HTMLResponse(html, headers=HEADERS)
    return HTMLResponse(gzip.compress(html.encode(), 1), headers={**HEADERS, "Content-Encoding": "gzip"})


def _speaker(app: Controller, request: Request, asked: str | None) -> Speaker:
    site = app.settings.site
    accept = request.headers.get("accept-language")
    language = choose(asked, request.cookies.get(COOKIE), accept, site.language)
    return Speaker(language, site.zone, app.clock.now())


def _context(app: Controller, speaker: Speaker) -> dict[str, Any]:
    return {
        "lang": speaker.language,
        "languages": LANGUAGES,
        "now": iso(speaker.now),
        "site": app.settings.site,
        "site_communes": [zone for zone in app.settings.zones.values() if zone.is_commune],
        "parts": PARTS,
        "speak": speaker,
        "t": speaker.t,
        "tx": speaker.tx,
        "ticking": {key: speaker.t(key, n="{n}") for key, _ in UNITS}
        | {"now": speaker.t("just-now"), "ago": speaker.t("ago", t="{t}"), "in": speaker.t("in", t="{t}")},
        "liveness": _names(labels.LIVENESS, speaker),
        "difference": _names(labels.DIFFERENCE, speaker),
        "severity": _names(wording.SEVERITIES, speaker),
        "evidence": lambda values: evidence(values, app.settings.metrics),
        "worst": worst,
    }


def _names(table: Mapping[Any, Text], speaker: Speaker) -> dict[str, str]:
    return {str(key): labels.named(table, key).in_language(speaker.language) for key in table}


def _wanted(request: Request) -> Wanted:
    """What the form above the list asks for; nonsense is as if nobody had asked."""
    asked = request.query_params
    number, state = asked.get("page", "1"), asked.get("state", "")
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
    return Wanted(
        asked.get("q", "")[:200],
        asked.get("commune", ""),
        state if state in STATES else "",
        offset=PAGE * (max(1, page) - 1),
        limit=PAGE,
    )


def _models(app: Controller, wanted: Wanted) -> dict[str, Callable[[], Awaitable[Plain]]]:
    async def overview() -> Plain:
        return {"status": await full_status(app), "emergencies": (await app.reporting.emergencies())["active"]}

    async def air() -> Plain:
        return {"air": await app.reporting.air()}

    async def incidents() -> Plain:
        return by_cause((await app.reporting.incidents())["incidents"])

    async def nodes() -> Plain:
        listed = await app.reporting.nodes(wanted)
        found = {"wanted": wanted, "listed": listed, "per_page": PAGE, "states": STATES, "sketch": None, "places": []}
        if listed["total"] > MAP_MOST:
            return {**found, "places": (await app.reporting.communes())["communes"]}
        drawn = listed if listed["total"] <= PAGE else await app.reporting.nodes(replace(wanted, offset=0, limit=None))
        return {**found, "sketch": sketch(drawn["communes"])}

    async def people() -> Plain:
        return {"alerts": on_duty(await app.reporting.alerts())}

    return {"overview": overview, "air": air, "incidents": incidents, "next": air, "people": people, "nodes": nodes}


def on_duty(alerts: Plain) -> Plain:
    """`alerts` with the communes that the same people are told of put together, in the order of the first."""
    teams: dict[tuple[str, ...], Plain] = {}
    for commune in alerts["communes"]:
        ids = tuple(each["id"] for each in commune["told"])
        team = teams.setdefault(ids, {"told": commune["told"], "communes": []})
        team["communes"].append(commune["name"])
    times = [*alerts["until"].values(), *(each["until"] for each in alerts["silences"] if each["active"])]
    return {**alerts, "teams": list(teams.values()), "next": min(filter(None, times), default=None)}


def by_cause(incidents: list[Plain]) -> Plain:
    """The incidents a person must act on, and by the id of each what it explains."""
    ids = {each["id"] for each in incidents}
    explained = {id: [each for each in incidents if each["parent"] == id] for id in ids}
    return {"causes": [each for each in incidents if each["parent"] not in ids], "explained": explained}


def worst(faults: list[Plain]) -> str:
    """The worst severity among a node's faults; empty without any."""
    found = {fault["severity"] for fault in faults}
    return next((severity for severity in ("critical", "major", "minor") if severity in found), "")
