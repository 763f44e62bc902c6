"""Emergencies over HTTP: begin, change, end, and what the nodes make of it."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel, ConfigDict, Field

from controller.services.emergencies import Amendment, Manner, Message
from controller.services.readmodels import Plain
from controller.services.reporting import UnknownOccurrence
from controller.web.guard import Refusal, require_token
from controller.web.needs import Controller

PREFIX = "/api/emergency"

Name = Annotated[str, Field(min_length=1, max_length=100)]
Text = Annotated[str, Field(max_length=5000)]
Seconds = Annotated[int, Field(ge=10, le=24 * 3600)]
Times = Annotated[int, Field(ge=1, le=100)]
Gap = Annotated[int, Field(ge=0, le=600_000)]
Loudness = Annotated[int, Field(ge=1, le=100)]

R = TypeVar("R")
_USUAL = Manner()


class _Order(BaseModel):
    """What an order may say; anything it does not know is refused, so that a typing error is not ignored."""

    model_config = ConfigDict(extra="forbid")
    by: Name = "api"


class _Words(_Order):
    text: Text = ""
    path: Annotated[str, Field(max_length=1000)] = ""
    sound: Annotated[str, Field(max_length=100)] = ""
    voice: str = ""

    def message(self) -> Message:
        return Message(self.text, self.path, self.sound, self.voice)


class Begin(_Words):
    to: Annotated[list[Name], Field(min_length=1, max_length=1000)]
    drill: bool = False
    for_s: Seconds = int(_USUAL.life.total_seconds())
    times: Times = _USUAL.times
    gap_ms: Gap = _USUAL.gap_ms
    volume: Loudness = _USUAL.volume


class Update(_Words):
    for_s: Seconds | None = None
    times: Times | None = None
    gap_ms: Gap | None = None
    volume: Loudness | None = None


class End(_Order):
    pass


def router(app: Controller, token: str) -> APIRouter:
    """GET /api/emergency[/{id}]; with the token POST /api/emergency, /api/emergency/{id}/update and /end."""
    routes = APIRouter()
    routes.include_router(_reading(app))
    routes.include_router(_ordering(app, token))
    return routes


def _reading(app: Controller) -> APIRouter:
    routes = APIRouter(prefix=PREFIX)

    @routes.get("")
    async def listed() -> Plain:
        return await app.reporting.emergencies()

    @routes.get("/{id}")
    async def one(id: str) -> Plain:
        try:
            return await app.reporting.emergency(id)
        except UnknownOccurrence as error:
            raise Refusal(404, str(error)) from None

    return routes


def _ordering(app: Controller, token: str) -> APIRouter:
    def authorised(authorization: Annotated[str | None, Header()] = None) -> None:
        require_token(authorization, token)

    routes = APIRouter(prefix=PREFIX, dependencies=[Depends(authorised)])

    @routes.post("")
    async def begin(order: Begin) -> dict[str, Any]:
        manner = Manner(timedelta(seconds=order.for_s), order.times, order.gap_ms, order.volume)
        return await _taken(
            app.emergencies.sound(order.message(), order.to, manner, drill=order.drill, by=order.by), refused=422
        )

    @routes.post("/{id}/update")
    async def update(id: str, order: Update) -> dict[str, Any]:
        message = order.message()
        life = None if order.for_s is None else timedelta(seconds=order.for_s)
        says = message if message.text or message.path or message.sound else None
        amendment = Amendment(says, life, order.times, order.gap_ms, order.volume)
        return await _taken(app.emergencies.update(id, amendment, order.by), refused=409)

    @routes.post("/{id}/end")
    async def end(id: str, order: End) -> dict[str, Any]:
        return await _taken(app.emergencies.end(id, order.by), refused=409)

    return routes


async def _taken(order: Awaitable[R], *, refused: int) -> R:
    """No such emergency is 404; what cannot be done is `refused`, with the reason."""
    try:
        return await order
    except KeyError as error:
        raise Refusal(404, str(error.args[0])) from None
    except ValueError as error:
        raise Refusal(refused, str(error)) from None


__all__ = ["router"]
