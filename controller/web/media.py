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
from functools import lru_cache
from pathlib import Path

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
"""What the database says of passwords is believed this long; a withdrawn one works no longer."""

SMALL = 1024 * 1024
"""Bytes of an asset that is answered from memory: the newest announcement is fetched by every node at once."""

SMALL_KEPT = 16


@dataclass(frozen=True, slots=True)
class _Verified:
    digest: bytes
    stored: str


class Doorkeeper:
    """Checks node credentials. A pair that was verified is remembered as a keyed digest for as long as the database has
    that password, so that a node that fetches in ranges costs one key derivation and not hundreds; and the database is
    asked for all nodes at once, so that a thousand that fetch together cost one reading."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._stored: dict[str, str] = {}
        self._read_at = -TRUSTED_S
        self._reading = asyncio.Lock()
        self._verified: dict[str, _Verified] = {}
        self._deriving = asyncio.Semaphore(2)

    async def admit(self, authorization: str | None) -> str:
        """The node that `authorization` (a Basic header) proves; Refusal otherwise."""
        node, password = _basic(authorization)
        await self._refresh()
        digest = hmac.digest(self._key, f"{node}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        known = self._verified.get(node)
        if known and known.stored == self._stored.get(node) and hmac.compare_digest(known.digest, digest):
            return node
        if not await self._proves(node, password) and not await self._proves_now(node, password):
            raise _unauthorized()
        self._verified[node] = _Verified(digest, self._stored[node])
        return node

    async def _refresh(self) -> None:
        async with self._reading:
            now = self._clock.monotonic()
            if now - self._read_at >= TRUSTED_S:
                rows = await self._store.read(lambda tx: tx.credentials())
                self._stored = {row.node: row.password_hash for row in rows}
                self._read_at = now

    async def _proves(self, node: str, password: str) -> bool:
        stored = self._stored.get(node)
        if stored is None:
            return False
        async with self._deriving:
            return await asyncio.to_thread(verify, password, stored)

    async def _proves_now(self, node: str, password: str) -> bool:
        """By what the database says at this moment: a node that was just enrolled must not wait."""
        row = await self._store.read(lambda tx: tx.credential(node))
        if row is None or row.password_hash == self._stored.get(node):
            return False
        self._stored[node] = row.password_hash
        return await self._proves(node, password)


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


def asset_response(library: Library, name: str, if_none_match: str | None, *, whole: bool = False) -> Response:
    """The asset called `name`, 304 if the asker has it; Refusal 404 if there is none. `whole`: no range is asked."""
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
    if whole and stat.st_size <= SMALL:
        content = _content(path, stat.st_size)
        return Response(content, media_type="audio/ogg", headers={**headers, "Accept-Ranges": "bytes"})
    return AssetResponse(path, headers=headers, media_type="audio/ogg", stat_result=stat)


@lru_cache(maxsize=SMALL_KEPT)
def _content(path: str, size: int) -> bytes:
    """The name is the hash of the content; `size` so that a file still being replaced is not taken for it."""
    return Path(path).read_bytes()


def holds(if_none_match: str, sha256: str) -> bool:
    """Does an If-None-Match header name this asset (weakly compared, as RFC 9110 says)?"""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{sha256}"' in tags


async def document_response(documents: Dispatch, name: str, node: str) -> Response:
    """The document that a `ref` sent to `node` names: its own only, and only while it is the newest."""
    match = DOCUMENT.fullmatch(name)
    document = await documents.published_document(node, match[1]) if match else None
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
            return await document_response(documents, name, node)
        whole = request.method == "GET" and "range" not in request.headers
        return asset_response(library, name, request.headers.get("if-none-match"), whole=whole)

    return routes
