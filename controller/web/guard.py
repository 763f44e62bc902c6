"""Who may ask: host names against DNS rebinding, a bearer token for orders, headers that keep a page at home."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.domain.site import Settings

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Refusal(Exception):
    """A request that is answered with `status` and `{"error": text}`."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


def names_of(settings: Settings) -> frozenset[str]:
    """Host names this site answers to, lower case."""
    urls = (settings.site.http.public_url, settings.alerts.page_url)
    named = {urlsplit(url).hostname or "" for url in urls}
    return frozenset({"localhost", settings.site.http.host.lower(), *named} - {""})


def is_ours(host: str, names: Collection[str]) -> bool:
    """May a request for `host` (a Host header) be answered?

    A rebound name always arrives as a name, so an address is safe whatever it is.
    """
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and (name in names or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def require_token(authorization: str | None, token: str) -> None:
    """Refusal unless `authorization` is `Bearer <token>`; compared in constant time."""
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Refusal(401, "this needs the controller's token", {"WWW-Authenticate": "Bearer"})


class Guard:
    """ASGI: refuses foreign hosts, and puts the protective headers on every answer."""

    def __init__(self, app: ASGIApp, names: Callable[[], Collection[str]]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if is_ours(host, self._names()):
            await self._app(scope, receive, protected)
        else:
            refused = JSONResponse({"error": f"this server does not answer to the name {host[:80]!r}"}, 421)
            await refused(scope, receive, protected)


class ReadOnly:
    """ASGI: answers questions; whatever would change something is refused, without a look at what it is."""

    def __init__(self, app: ASGIApp, refusal: Callable[[], Refusal]) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal()
        await JSONResponse({"error": str(refusal)}, refusal.status)(scope, receive, send)
