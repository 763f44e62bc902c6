"""The page: rendered whole at first, then part by part when the event stream says that a part is out of date."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from controller.domain import wording
from controller.domain.faults import Text
from controller.services import labels
from controller.services.readmodels import Plain, evidence, iso
from controller.web.api import full_status
from controller.web.guard import Refusal
from controller.web.i18n import COOKIE, LANGUAGES, UNITS, Speaker, choose
from controller.web.needs import Controller
from controller.web.sketch import sketch

TEMPLATES = Path(__file__).with_name("templates")

HEADERS = {"Cache-Control": "no-store", "Vary": "Accept-Language, Accept-Encoding, Cookie"}

PARTS: Mapping[str, str] = {
    "overview": "emergencies status incidents nodes air config",
    "air": "air",
    "incidents": "incidents",
    "next": "air config",
    "nodes": "nodes incidents air config",
}
"""Parts of the page, in its order, each with the change topics that put it out of date."""

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
    """GET / and GET /part/{name}."""
    templates = environment()
    routes = APIRouter()

    @routes.get("/")
    async def page(request: Request, lang: str | None = None) -> HTMLResponse:
        speaker = _speaker(app, request, lang)
        context = _context(app, speaker)
        for name in PARTS:
            context |= await _models(app)[name]()
        answer = _answer(templates.get_template("page.html").render(context), request)
        if lang in LANGUAGES:
            answer.set_cookie(COOKIE, lang, max_age=YEAR_S, httponly=True, samesite="lax")
        return answer

    @routes.get("/part/{name}")
    async def part(name: str, request: Request, lang: str | None = None) -> HTMLResponse:
        if name not in PARTS:
            raise Refusal(404, f"no part called {name[:40]!r}")
        context = _context(app, _speaker(app, request, lang)) | await _models(app)[name]()
        return _answer(templates.get_template(f"parts/{name}.html").render(context), request)

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


def _models(app: Controller) -> dict[str, Callable[[], Awaitable[Plain]]]:
    async def overview() -> Plain:
        return {"status": await full_status(app), "emergencies": (await app.reporting.emergencies())["active"]}

    async def air() -> Plain:
        return {"air": await app.reporting.air()}

    async def incidents() -> Plain:
        return by_cause((await app.reporting.incidents())["incidents"])

    async def nodes() -> Plain:
        communes = (await app.reporting.nodes())["communes"]
        return {"communes": communes, "sketch": sketch(communes)}

    return {"overview": overview, "air": air, "incidents": incidents, "next": air, "nodes": nodes}


def by_cause(incidents: list[Plain]) -> Plain:
    """The incidents a person must act on, and by the id of each what it explains."""
    ids = {each["id"] for each in incidents}
    explained = {id: [each for each in incidents if each["parent"] == id] for id in ids}
    return {"causes": [each for each in incidents if each["parent"] not in ids], "explained": explained}


def worst(faults: list[Plain]) -> str:
    """The worst severity among a node's faults; empty without any."""
    found = {fault["severity"] for fault in faults}
    return next((severity for severity in ("critical", "major", "minor") if severity in found), "")
