"""The month's report as a page that prints well; the command line writes the same one to a file."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from controller.domain import wording
from controller.services.readmodels import Plain
from controller.web.guard import Refusal
from controller.web.i18n import COOKIE, LANGUAGES, Speaker, choose
from controller.web.needs import Controller
from controller.web.pages import environment


def router(app: Controller) -> APIRouter:
    """GET /report[?month=2026-11][&commune=ID][&lang=vi], and the same figures under /api/report."""
    routes = APIRouter()

    async def asked(month: str, commune: str) -> Plain:
        settings = app.settings
        if commune and commune not in settings.zones:
            raise Refusal(404, f"unknown commune '{commune[:40]}'")
        now = app.clock.now().astimezone(settings.site.zone)
        try:
            return await app.reporting.month(month or f"{now:%Y-%m}", commune)
        except ValueError as error:
            raise Refusal(422, str(error)) from None

    @routes.get("/report")
    async def page(request: Request, month: str = "", commune: str = "", lang: str | None = None) -> Response:
        site = app.settings.site
        accept = request.headers.get("accept-language")
        language = choose(lang, request.cookies.get(COOKIE), accept, site.language)
        data = await asked(month, commune)
        html = render(data, site.name, Speaker(language, site.zone, app.clock.now()))
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    @routes.get("/api/report")
    async def figures(month: str = "", commune: str = "") -> Plain:
        return await asked(month, commune)

    @routes.get("/report.csv")
    async def table(month: str = "", commune: str = "") -> Response:
        data = await asked(month, commune)
        headers = {"Content-Disposition": f'attachment; filename="loa-{data["month"]}.csv"'}
        return Response(as_csv(data), media_type="text/csv; charset=utf-8", headers=headers)

    return routes


def render(data: Plain, site: str, speak: Speaker) -> str:
    """The whole page."""

    def share(value: float | None) -> str:
        text = "–" if value is None else f"{100 * value:.2f} %"
        return text.replace(".", ",") if speak.language == "vi" else text

    def length(seconds: float | None) -> str:
        return "–" if seconds is None else wording.duration(timedelta(seconds=seconds), speak.language)

    def minutes(seconds: float) -> str:
        return f"{seconds / 60:.0f}"

    return (
        environment()
        .get_template("report.html")
        .render(
            data=data,
            site=site,
            lang=speak.language,
            languages=LANGUAGES,
            speak=speak,
            t=speak.t,
            share=share,
            length=length,
            minutes=minutes,
        )
    )


def as_csv(data: Plain) -> str:
    """One line for the whole, each commune and each model; the names of the columns are those of the JSON."""
    rows = [{"group": "total", "id": "", "name": "", **data["total"]}]
    rows += [{"group": kind, **row} for kind in ("commune", "model") for row in data[f"{kind}s"]]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


__all__ = ["as_csv", "render", "router"]
