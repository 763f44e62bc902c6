"""The JSON API: what `loa` on the command line and other programs ask of a running controller (docs/api.md)."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable
from datetime import date, datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from controller.adapters.notify.webhook import signature
from controller.domain.centre import RULES
from controller.domain.finding import Wanted
from controller.domain.hush import Hush, HushKind
from controller.domain.site import Settings
from controller.domain.watching import Ailment
from controller.domain.wording import CAUSES
from controller.domain.workorders import MAX_NOTE, MAX_PHOTO_BYTES, Step
from controller.services import changelog
from controller.services import readmodels as shape
from controller.services.gauges import tally
from controller.services.readmodels import Plain
from controller.services.reporting import UnknownOccurrence
from controller.web import metrics
from controller.web.guard import Refusal, require_token
from controller.web.live import Live
from controller.web.needs import Controller

CANARY_PATH = "/canary"
"""Where the controller receives its own canary's webhooks."""

USUAL_NODES, MOST_NODES = 200, 1000
"""Nodes in one answer of /api/nodes, if nothing else is asked for, and at most."""

Name = Annotated[str, Field(min_length=1, max_length=100)]
Targets = Annotated[list[Name], Field(min_length=1, max_length=1000)]
Volume = Annotated[int, Field(ge=0, le=100)]
Reason = Annotated[str, Field(max_length=200)]
"""Why an order passes quiet hours or another guard."""

R = TypeVar("R")


class Order(BaseModel):
    """What every order may say; anything it does not know is refused, so that a typing error is not ignored."""

    model_config = ConfigDict(extra="forbid")
    by: Name = "api"


class SayOrder(Order):
    text: Annotated[str, Field(min_length=1, max_length=5000)]
    to: Targets
    voice: str = ""
    volume: Volume | None = None
    override: Reason = ""


class PlayOrder(Order):
    path: Annotated[str, Field(min_length=1, max_length=1000)]
    to: Targets
    volume: Volume | None = None
    override: Reason = ""


class StopOrder(Order):
    to: Targets


class VolumeOrder(Order):
    volume: Volume
    to: Targets


class Remark(Order):
    note: Annotated[str, Field(max_length=MAX_NOTE)] = ""


class Commissioning(Order):
    test: Annotated[int, Field(ge=1, le=2**53)]
    note: Annotated[str, Field(max_length=1000)] = ""


class SilenceOrder(Order):
    places: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=500)] = []
    codes: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)] = []
    until: AwareDatetime
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Assignment(Order):
    to: Name


def router(app: Controller, token: str, live: Live) -> APIRouter:
    """All of /api, /health and /metrics."""
    routes = APIRouter()
    routes.include_router(_reading(app, live))
    routes.include_router(_ordering(app, token))
    routes.include_router(_watching(app))
    return routes


# --- reading ------------------------------------------------------------------------------------------------


def _reading(app: Controller, live: Live) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.get("/status")
    async def status() -> Plain:
        return await full_status(app)

    @routes.get("/nodes")
    async def nodes(
        q: Annotated[str, Query(max_length=200)] = "",
        commune: str = "",
        state: Literal["", "trouble", "online", "suspect", "offline", "unknown"] = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_NODES)] = USUAL_NODES,
    ) -> Plain:
        return await app.reporting.nodes(Wanted(q, commune, state, offset, limit))

    @routes.get("/communes")
    async def communes() -> Plain:
        return await app.reporting.communes()

    @routes.get("/nodes/{id}")
    async def node(id: str) -> Plain:
        return await _found(app.reporting.node(id))

    @routes.get("/incidents")
    async def incidents(all: bool = False) -> Plain:
        return await app.reporting.incidents(all=all)

    @routes.get("/orders")
    async def orders(all: bool = False, person: str = "", overdue: bool = False) -> Plain:
        return await app.reporting.orders(all=all, person=person, overdue=overdue)

    @routes.get("/orders/{id}")
    async def one_order(id: int) -> Plain:
        return await _found(app.reporting.order(id))

    @routes.get("/alerts")
    async def alerts() -> Plain:
        return await app.reporting.alerts()

    @routes.get("/air")
    async def air() -> Plain:
        return await app.reporting.air()

    @routes.get("/epoch")
    async def epoch() -> Plain:
        return app.epochs.told()

    @routes.get("/changes")
    async def changes(limit: Annotated[int, Query(ge=1, le=500)] = 20) -> Plain:
        return await app.reporting.changes(limit)

    @routes.get("/plan")
    async def plan() -> Response:
        planned = await app.reporting.plan()
        return Response(await asyncio.to_thread(msgspec.json.encode, planned), media_type="application/json")

    @routes.get("/log")
    async def log(date: date | None = None) -> Plain:
        today = app.clock.now().astimezone(app.settings.site.zone).date()
        return await app.reporting.log(date or today)

    @routes.get("/why/{occurrence:path}")
    async def why(occurrence: str, node: str | None = None) -> Plain:
        return await _found(app.reporting.why(occurrence, node))

    @routes.get("/events")
    async def events() -> Response:
        if live.full:
            raise Refusal(503, "too many open pages")
        return live.response()

    return routes


async def full_status(app: Controller) -> Plain:
    """`Reporting.status` and what only the running controller knows: is the broker there, is all well with itself?"""
    return {
        **await app.reporting.status(),
        "broker": {"connected": app.bus.connected},
        "health": health_of(await _ailments(app)),
    }


async def _found(asked: Awaitable[R]) -> R:
    try:
        return await asked
    except (UnknownOccurrence, KeyError) as error:
        raise Refusal(404, _text(error)) from None


def _text(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


# --- ordering -----------------------------------------------------------------------------------------------


def _ordering(app: Controller, token: str) -> APIRouter:
    def authorised(authorization: Annotated[str | None, Header()] = None) -> None:
        require_token(authorization, token)

    routes = APIRouter(prefix="/api", dependencies=[Depends(authorised)])

    @routes.post("/say")
    async def say(order: SayOrder) -> Plain:
        return await _taken(app.orders.say(order.text, order.to, order.voice, order.volume, order.by, order.override))

    @routes.post("/play")
    async def play(order: PlayOrder) -> Plain:
        return await _taken(app.orders.play(order.path, order.to, order.volume, order.by, order.override))

    @routes.post("/stop")
    async def stop(order: StopOrder) -> Plain:
        return await _taken(app.orders.stop_air(order.to, order.by))

    @routes.post("/volume")
    async def volume(order: VolumeOrder) -> Plain:
        return await _taken(app.orders.volume(order.volume, order.to, order.by))

    routes.include_router(_repairing(app))
    routes.include_router(_silencing(app))

    @routes.post("/nodes/{id}/selftest")
    async def selftest(id: str) -> Plain:
        if id not in app.settings.nodes:
            raise Refusal(404, f"unknown node '{id}'")
        if reason := await app.dispatch.order(id, "selftest"):
            raise Refusal(503, reason)
        return {"ok": True, "node": id}

    @routes.post("/nodes/{id}/commission")
    async def commission(id: str, order: Commissioning) -> Plain:
        made = await _changed(app.monitoring.commission(id, order.test, order.by, order.note))
        return {"ok": True, "node": id, "id": made.id, "values": dict(made.values)}

    @routes.post("/epoch")
    async def overtake(order: Order) -> Plain:
        return {"ok": True, **await _taken(app.epochs.overtake(order.by))}

    @routes.post("/reload")
    async def reload() -> Plain:
        difference = await _taken(app.scheduling.reload("api"))
        return {"ok": True, "difference": changelog.plain(difference)}

    return routes


def _silencing(app: Controller) -> APIRouter:
    routes = APIRouter(prefix="/alerts/silences")

    @routes.post("")
    async def silence(order: SilenceOrder) -> Plain:
        kept = await app.monitoring.hush(_hush(order, app.settings, app.clock.now()))
        return {"ok": True, **shape.hush(kept, app.clock.now(), app.settings.site.zone)}

    @routes.post("/{id}/end")
    async def end(id: int, order: Order) -> Plain:
        await _found(app.monitoring.end_hush(id, order.by))
        return {"ok": True, "id": id}

    return routes


def _hush(order: SilenceOrder, settings: Settings, now: datetime) -> Hush:
    """Refusal for names that are none, and for a silence of everything or nothing."""
    communes = {zone.id for zone in settings.zones.values() if zone.is_commune}
    rules = {rule.code for rule in settings.faults} | CAUSES.keys() | RULES.keys()
    unknown = [name for name in order.places if name not in settings.nodes and name not in communes]
    unknown += [code for code in order.codes if code not in rules]
    if unknown:
        raise Refusal(422, f"no node, commune or fault is called {', '.join(map(repr, unknown))}")
    if not (order.places or order.codes):
        raise Refusal(422, "say 'places' or 'codes'")
    if order.until <= now:
        raise Refusal(422, "'until' is in the past")
    return Hush(
        HushKind.SILENCE,
        now,
        order.until,
        order.reason,
        order.by,
        nodes=tuple(name for name in order.places if name in settings.nodes),
        communes=tuple(name for name in order.places if name in communes),
        codes=tuple(order.codes),
    )


def _repairing(app: Controller) -> APIRouter:
    """What people do with work orders. Answers with the order as it is then."""
    routes = APIRouter(prefix="/incidents/{id}")

    async def done(id: int, change: Awaitable[None]) -> Plain:
        await _changed(change)
        return {"ok": True, **await _found(app.reporting.order(id))}

    def step(name: str, taken: Step | None) -> None:
        @routes.post(f"/{name}", name=name)
        async def say(id: int, order: Remark) -> Plain:
            return await done(id, app.workshop.act(id, taken, order.by, note=order.note))

    step("ack", Step.ACCEPTED)
    step("begin", Step.BEGUN)
    step("repaired", Step.REPAIRED)
    step("note", None)

    @routes.post("/assign")
    async def assign(id: int, order: Assignment) -> Plain:
        return await done(id, app.workshop.assign(id, order.to, order.by))

    @routes.post("/photos", max_body_size=MAX_PHOTO_BYTES + 1)
    async def add_photo(id: int, request: Request, by: Name = "api") -> Plain:
        return await done(id, app.workshop.act(id, None, by, photos=[await request.body()]))

    @routes.get("/photos/{sha256}")
    async def photo(id: int, sha256: str) -> Response:
        return picture(await app.workshop.photo(id, sha256))

    return routes


def picture(found: tuple[str, bytes] | None) -> Response:
    """A picture as its own bytes say that it is one: no browser may take it for anything else."""
    if found is None:
        raise Refusal(404, "no such picture")
    kind, content = found
    headers = {"Cache-Control": "private, max-age=86400, immutable", "Content-Security-Policy": "sandbox"}
    return Response(content, media_type=kind, headers=headers)


async def _taken(order: Awaitable[R]) -> R:
    """An order that cannot be carried out as it stands is 422, with the reason."""
    try:
        return await order
    except ValueError as error:
        raise Refusal(422, _text(error)) from None


async def _changed(change: Awaitable[R]) -> R:
    """No such incident is 404; not possible in its state is 409."""
    try:
        return await change
    except KeyError as error:
        raise Refusal(404, _text(error)) from None
    except ValueError as error:
        raise Refusal(409, _text(error)) from None


# --- watching -----------------------------------------------------------------------------------------------


def _watching(app: Controller) -> APIRouter:
    routes = APIRouter()

    @routes.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> Response:
        found = await _ailments(app)
        warnings = [f"configuration: {problem}" for problem in app.scheduling.problems]
        body = {**health_of(found), "standby": app.reporting.standby, "warnings": warnings}
        return JSONResponse(body, 503 if found else 200, {"Cache-Control": "no-store"})

    @routes.post(CANARY_PATH)
    async def canary(request: Request) -> Response:
        body = await request.body()
        if app.loopback is None or not _is_signed(request, body, app.loopback.secret):
            raise Refusal(401, "this takes only the controller's own test messages")
        app.watching.canary.arrived(msgspec.json.decode(body))
        return Response(status_code=204)

    @routes.get("/metrics")
    async def exposition(request: Request) -> Response:
        figures = await _figures(app)
        return Response(metrics.exposition(figures), media_type=CONTENT_TYPE_LATEST)

    return routes


async def _figures(app: Controller) -> metrics.Figures:
    settings, now = app.settings, app.clock.now()
    return metrics.Figures(
        status=await full_status(app),
        counters=dict(app.intake.counters),
        tally=await app.store.read(lambda tx: tally(tx, settings, now)),
        vitals=await app.watching.vitals(leads=not app.reporting.standby),
        gauges=app.gauges,
        loop_lag_s=app.watching.loop_lag_s,
        canary_s=app.watching.canary.took_s,
        flights=dict(app.watching.canary.flights),
        pings=dict(app.watching.pings),
    )


async def _ailments(app: Controller) -> tuple[Ailment, ...]:
    """Why this controller is not doing its work; empty when it is."""
    return await app.watching.verdict(leads=not app.reporting.standby)


def health_of(found: tuple[Ailment, ...]) -> Plain:
    """The verdict as /health and the status tell it."""
    return {"ok": not found, "reasons": [{"code": each.code, "text": each.text} for each in found]}


def _is_signed(request: Request, body: bytes, secret: str) -> bool:
    wanted = signature(secret, request.headers.get("X-Loa-Timestamp", ""), body)
    return hmac.compare_digest(request.headers.get("X-Loa-Signature", "").encode(), wanted.encode())
