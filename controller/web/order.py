"""The page behind the link in a message: one work order on a phone, without login and without JavaScript.

GET never changes anything, so that a mail scanner that fetches links acknowledges nothing. POST needs the nonce of
the page it was sent from: it works once, and only for that link, which makes it safe from other sites too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from controller.domain.workorders import MAX_PHOTO_BYTES, PhotoRefused, Step
from controller.services.links import Standing, Ticket
from controller.services.readmodels import Plain
from controller.services.workshop import AlreadyDone
from controller.web.api import picture
from controller.web.i18n import Speaker
from controller.web.needs import Controller
from controller.web.pages import environment
from controller.web.rate import Rate

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}

STEPS: Mapping[str, Step | None] = {
    "ack": Step.ACCEPTED,
    "begin": Step.BEGUN,
    "repaired": Step.REPAIRED,
    "note": None,
}
"""What the page's buttons send, and what it means."""

AT_ONCE = 3
"""Pictures in one form."""
MAX_FORM = AT_ONCE * MAX_PHOTO_BYTES + 64 * 1024
LOOKS, SENDS, MISSES = 120, 20, 30
"""A minute: looks at one link and sends from it; wrong links from one address."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """A genuine link, and what it is good for now."""

    token: str
    ticket: Ticket
    standing: Standing
    order: Plain
    speak: Speaker


def router(app: Controller) -> APIRouter:
    """GET and POST /o/{token}, GET /o/{token}/photos/{sha256}."""
    return _Desk(app).routes()


class _Desk:
    def __init__(self, app: Controller) -> None:
        self._app = app
        self._page = environment().get_template("order.html")
        self._looks, self._sends, self._misses = Rate(LOOKS), Rate(SENDS), Rate(MISSES)

    def routes(self) -> APIRouter:
        routes = APIRouter(prefix="/o/{token}")
        routes.add_api_route("", self.show, methods=["GET"])
        routes.add_api_route("", self.take, methods=["POST"], max_body_size=MAX_FORM)
        routes.add_api_route("/photos/{sha256}", self.photo, methods=["GET"])
        return routes

    async def show(self, token: str, request: Request) -> Response:
        visit = await self._visit(token, request, self._looks)
        if isinstance(visit, Response):
            return visit
        query = request.query_params
        said = next((key for key in ("done", "again") if key in query), "")
        return self._render(visit, said=said, writing="note" in query)

    async def take(self, token: str, request: Request) -> Response:
        visit = await self._visit(token, request, self._sends)
        if isinstance(visit, Response):
            return visit
        try:
            form = await request.form(max_files=AT_ONCE, max_fields=10)
        except HTTPException:  # Starlette's word for a form that is too much, or none
            return self._render(visit, problem="o-too-many", status=413)
        try:
            return await self._taken(visit, form)
        finally:
            await form.close()

    async def photo(self, token: str, sha256: str, request: Request) -> Response:
        visit = await self._visit(token, request, self._looks)
        if isinstance(visit, Response):
            return visit
        return picture(await self._app.workshop.photo(visit.ticket.incident, sha256))

    async def _taken(self, visit: _Visit, form: FormData) -> Response:
        do, nonce, text = (str(form.get(name, "")) for name in ("do", "nonce", "text"))
        text = text.strip()
        if visit.standing is not Standing.GOOD:
            return self._render(visit, problem="o-superseded", text=text, status=409)
        if do not in STEPS or not self._app.links.is_good(visit.token, nonce, self._app.clock.now()):
            return self._render(visit, problem="o-old-page", text=text, status=409)
        photos = [await each.read() for each in form.getlist("photo") if isinstance(each, UploadFile) and each.size]
        if do == "note" and not text and not photos:
            return self._render(visit, problem="o-empty", status=422)
        try:
            await self._app.workshop.act(
                visit.ticket.incident, STEPS[do], visit.ticket.recipient, note=text, photos=photos, once=nonce
            )
        except AlreadyDone:
            return self._back(visit, "again")
        except PhotoRefused as error:
            return self._render(visit, problem=f"o-photo-{error.why}", text=text, status=422)
        except ValueError:
            return self._render(visit, problem="o-too-long", text=text, status=422)
        except KeyError:  # it was closed between the look and the tap
            return self._back(visit, "again")
        return self._back(visit, "done")

    def _back(self, visit: _Visit, said: str) -> Response:
        """To the page as it is now; reloading that sends nothing again."""
        return RedirectResponse(f"/o/{visit.token}?{said}", 303, HEADERS)

    # --- who asks -------------------------------------------------------------------------------------------

    async def _visit(self, token: str, request: Request, rate: Rate) -> _Visit | Response:
        mono, ticket = self._app.clock.monotonic(), self._app.links.read(token)
        if ticket is None:
            where = request.client.host if request.client else ""
            return self._refused(404 if self._misses.allows(where, mono) else 429, "o-unknown")
        if not rate.allows(token, mono):
            return self._refused(429, "o-often")
        found = await self._app.reporting.behind(ticket)
        if found["standing"] is Standing.EXPIRED:
            return self._refused(410, "o-expired")
        return _Visit(token, ticket, found["standing"], found["order"], self._speaker(found["language"]))

    def _speaker(self, language: str) -> Speaker:
        return Speaker(language, self._app.settings.site.zone, self._app.clock.now())

    def _refused(self, status: int, why: str) -> Response:
        """Says no more than that: whoever guesses learns nothing."""
        site = self._app.settings.site
        speak = self._speaker(site.language)
        context = {"lang": speak.language, "site": site, "t": speak.t, "problem": why}
        context |= {"order": None, "measuring": False}
        return HTMLResponse(self._page.render(context), status, HEADERS)

    # --- the page -------------------------------------------------------------------------------------------

    def _render(
        self,
        visit: _Visit,
        *,
        said: str = "",
        problem: str = "",
        text: str = "",
        writing: bool = False,
        status: int = 200,
    ) -> Response:
        speak, order = visit.speak, visit.order
        state = order["work_order"]["state"] if order["work_order"] else "open"
        nonce = self._app.links.nonce(visit.token, secrets.token_urlsafe(12), speak.now)
        context: dict[str, Any] = {
            "lang": speak.language,
            "site": self._app.settings.site,
            "speak": speak,
            "t": speak.t,
            "tx": speak.tx,
            "order": order,
            "state": state,
            "measuring": state == "repaired" and not writing and not problem,
            "ended": order["closed_at"] is not None,
            "good": visit.standing is Standing.GOOD,
            "mine": bool(order["work_order"]) and order["work_order"]["assignee"] == visit.ticket.recipient,
            "path": f"/o/{visit.token}",
            "nonce": nonce,
            "said": said,
            "problem": problem,
            "text": text,
            "at_once": AT_ONCE,
        }
        return HTMLResponse(self._page.render(context), status, HEADERS)


__all__ = ["router"]
