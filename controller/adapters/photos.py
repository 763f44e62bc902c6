"""Pictures of repairs as files named by their SHA-256: written once, never changed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

from controller.adapters import pictures
from controller.ports import Picture


class PhotoShelf:
    """ports.Photos in a folder of its own, that only its owner can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, content: bytes) -> Picture:
        return await asyncio.to_thread(self._put_bare, content)

    async def get(self, sha256: str) -> bytes | None:
        return await asyncio.to_thread(self._get, sha256)

    async def small(self, sha256: str) -> bytes | None:
        return await asyncio.to_thread(self._small, sha256)

    def _put_bare(self, content: bytes) -> Picture:
        made = pictures.bare(content)
        return Picture(self._put(made.content), made.kind, len(made.content))

    def _small(self, sha256: str) -> bytes | None:
        content = self._get(sha256)
        return None if content is None else pictures.small(content)

    def _put(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        path = self._path(name)
        if path.exists():
            return name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{name}.{secrets.token_hex(4)}")
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return name

    def _get(self, sha256: str) -> bytes | None:
        try:
            return self._path(sha256).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name
