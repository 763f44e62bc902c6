"""Tells that a folder changed, within a second; editors' temporary files and half-written saves settle first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

SETTLE_MS = 300


async def changes_of(folder: Path) -> AsyncIterator[None]:
    """One item for each burst of changes below `folder`, until cancelled."""
    async for _ in awatch(folder, debounce=SETTLE_MS, step=50, rust_timeout=1000):
        yield None
