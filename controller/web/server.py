"""The web room's front door: one FastAPI application, and the server that runs it inside the controller's loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from controller.ports import StoreError
from controller.web import api, emergency, media, order, pages, report
from controller.web.guard import Guard, ReadOnly, Refusal, names_of
from controller.web.live import Live
from controller.web.needs import Controller

STATIC = Path(__file__).with_name("static")

MAX_BODY = 64 * 1024
"""Bytes; the largest order is a text of 5,000 characters."""

GRACE_S = 1
"""Requests that are being answered when the server stops get this long (whole seconds, uvicorn's unit)."""


class ListenError(Exception):
    """The page's address cannot be had; the text says why and what to do."""


def create(app: Controller, *, token: str, refusal: Callable[[], Refusal] | None = None) -> FastAPI:
    """Page, API, events and media over a running controller; orders need `token`. `refusal`: the answer to every order,
    of a controller that does not lead."""
    live = Live(app.changes, app.bus, app.clock)
    site = FastAPI(
        title="Loa", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, max_body_size=MAX_BODY
    )
    site.state.live = live
    site.include_router(api.router(app, token, live))
    site.include_router(emergency.router(app, token))
    site.include_router(media.router(app.library, app.dispatch, media.Doorkeeper(app.store, app.clock)))
    site.include_router(pages.router(app))
    site.include_router(order.router(app))
    site.include_router(report.router(app))
    site.mount("/static", StaticFiles(directory=STATIC), name="static")
    if refusal is not None:
        site.add_middleware(ReadOnly, refusal=refusal)
    site.add_middleware(Guard, names=lambda: names_of(app.settings))
    site.add_exception_handler(Refusal, _refused)
    site.add_exception_handler(HTTPException, _http_error)
    site.add_exception_handler(RequestValidationError, _invalid)
    site.add_exception_handler(StoreError, _store_error)
    return site


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse({"error": str(error)}, error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"error": "; ".join(said)}, 422)


async def _store_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"database: {error}"}, 503)


async def serve(
    app: Controller, token: str, host: str, port: int, *, ready: Callable[[str], None] | None = None
) -> None:
    """`serve_on` a socket of its own. Port 0 takes a free one; `ready` is told the URL once connections are
    accepted. ListenError when the address cannot be had."""
    with listen(host, port) as listening:
        if ready is not None:
            ready(url_of(listening))
        await serve_on(app, token, listening)


async def serve_on(
    app: Controller, token: str, listening: socket.socket, *, refusal: Callable[[], Refusal] | None = None
) -> None:
    """Serve until cancelled; then end within two seconds, open event streams and all. Signals are left to the
    caller, `listening` is closed."""
    site = create(app, token=token, refusal=refusal)
    server = _Server(_config(site))
    running = asyncio.create_task(server.serve(sockets=[listening]), name="web")
    try:
        await asyncio.shield(running)
    finally:
        site.state.live.close()
        server.should_exit = True
        await running


def _config(site: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        site,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signal handlers alone: Ctrl-C belongs to whoever runs the loop."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections on `host`:`port`; ListenError says why there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise ListenError(
                f"{where} is taken by another program (another `loa run`?); "
                "stop it, or choose another http.port in config/site.yaml"
            ) from None
        raise ListenError(f"cannot listen on {where}: {error.strerror or error}") from None


def url_of(listening: socket.socket) -> str:
    """http://host:port of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
