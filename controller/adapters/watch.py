"""Tells when the files of a folder were changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

STEP_MS = 50
SETTLE_MS = 400
"""Editors write a file in several steps; a change counts when this long nothing more came."""


class _Operators(DefaultFilter):
    """What operators save; not an editor's own leavings."""

    def __call__(self, change: Change, path: str) -> bool:
        return super().__call__(change, path) and not Path(path).name.startswith(".")


def edits(folder: Path) -> Callable[[], AsyncIterator[None]]:
    """A source of one notice per burst of changes anywhere below `folder`."""

    async def notices() -> AsyncIterator[None]:
        async for _ in awatch(folder, step=STEP_MS, debounce=SETTLE_MS, watch_filter=_Operators()):
            yield None

    return notices
