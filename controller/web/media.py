"""Audio for the nodes: content-addressed files with Range, ETag and immutable caching, for enrolled nodes only."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from controller.adapters.credentials import verify
from controller.ports import Clock, Library, Store
from controller.web.guard import Refusal
from controller.web.needs import Dispatch

NAME = re.compile(r"([0-9a-f]{64})\.opus")

DOCUMENT = re.compile(r"([0-9a-f]{64})\.jws")

FOREVER = "private, max-age=31536000, immutable"
"""The name is the hash of the content: what was fetched once never changes."""

TRUSTED_S = 60.0
"""A verified password is believed this long without asking the database; a withdrawn one works no longer."""


@dataclass(frozen=True, slots=True)
class _Verified:
    digest: bytes
    until: float


class Doorkeeper:
    """Checks node credentials. A pair that was verified is remembered for a minute, as a keyed digest, so that a
    node that fetches in ranges costs one key derivation and not hundreds."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._verified: dict[str, _Verified] = {}
        self._deriving = asyncio.Semaphore(2)

    async def admit(self, authorization: str | None) -> str:
        """The node that `authorization` (a Basic header) proves; Refusal otherwise."""
        node, password = _basic(authorization)
        digest = hmac.digest(self._key, f"{node}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        known = self._verified.get(node)
        if known and known.until > self._clock.monotonic() and hmac.compare_digest(known.digest, digest):
            return node
        if not await self._check(node, password):
            raise _unauthorized()
        self._verified[node] = _Verified(digest, self._clock.monotonic() + TRUSTED_S)
        return node

    async def _check(self, node: str, password: str) -> bool:
        stored = await self._store.transact(
            lambda tx: next((row.password_hash for row in tx.credentials() if row.node == node), None)
        )
        if stored is None:
            return False
        async with self._deriving:
            return await asyncio.to_thread(verify, password, stored)


def _basic(authorization: str | None) -> tuple[str, str]:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        raise _unauthorized()
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _unauthorized() from None
    node, _, password = pair.partition(":")
    return node, password


def _unauthorized() -> Refusal:
    return Refusal(401, "node credentials needed", {"WWW-Authenticate": 'Basic realm="loa media", charset="UTF-8"'})


class AssetResponse(FileResponse):
    """One asset from disk. One range is answered with 206; several, legally, with the whole file."""

    max_ranges = 1


def asset_response(library: Library, name: str, if_none_match: str | None) -> Response:
    """The asset called `name`, 304 if the asker has it; Refusal 404 if there is none."""
    match = NAME.fullmatch(name)
    path = library.path(match[1]) if match else None
    if match is None or path is None:
        raise Refusal(404, "no such asset")
    headers = {"ETag": f'"{match[1]}"', "Cache-Control": FOREVER, "Vary": "Authorization"}
    if if_none_match and holds(if_none_match, match[1]):
        return Response(status_code=304, headers=headers)
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        raise Refusal(404, "no such asset") from None
    return AssetResponse(path, headers=headers, media_type="audio/ogg", stat_result=stat)


def holds(if_none_match: str, sha256: str) -> bool:
    """Does an If-None-Match header name this asset (weakly compared, as RFC 9110 says)?"""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{sha256}"' in tags


def document_response(documents: Dispatch, name: str, node: str) -> Response:
    """The document that a `ref` sent to `node` names: its own only, and only while it is the newest."""
    match = DOCUMENT.fullmatch(name)
    document = documents.document(node, match[1]) if match else None
    if document is None:
        raise Refusal(404, "no such document")
    return Response(document, media_type="application/jose", headers={"Cache-Control": "no-store"})


def router(library: Library, documents: Dispatch, doorkeeper: Doorkeeper) -> APIRouter:
    """GET and HEAD /media/{sha256}.opus, and .jws for playlists too long for MQTT."""
    routes = APIRouter()

    @routes.api_route("/media/{name}", methods=["GET", "HEAD"])
    async def media(name: str, request: Request) -> Response:
        node = await doorkeeper.admit(request.headers.get("authorization"))
        if name.endswith(".jws"):
            return document_response(documents, name, node)
        return asset_response(library, name, request.headers.get("if-none-match"))

    return routes
