"""Tells when the files of a folder were changed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

STEP_MS = 50
SETTLE_MS = 400
"""Editors write a file in several steps; a change counts when this long nothing more came."""
LOOK_MS = 500
"""How often it is made sure that the folder is still the one that is watched."""


class _Operators(DefaultFilter):
    """What operators save; not an editor's own leavings."""

    def __call__(self, change: Change, path: str) -> bool:
        return super().__call__(change, path) and not Path(path).name.startswith(".")


def edits(folder: Path) -> Callable[[], AsyncIterator[None]]:
    """A source of one notice per burst of changes anywhere below `folder`, whatever folder that is by then: who
    renames another one into its place, or turns a link, changes everything at once. The first notice says that it is
    watched: what was saved shortly before is told by nothing else."""

    async def notices() -> AsyncIterator[None]:
        untold = True
        while True:
            watched = _identity(folder)
            async with aclosing(_changes(folder)) as changes:
                async for changed in changes:
                    if changed or untold:  # told only now that it is watched: no edit is missed in between
                        untold = False
                        yield None
                    if untold := _identity(folder) not in (watched, None):
                        break  # what was watched lies elsewhere now

    return notices


async def _changes(folder: Path) -> AsyncGenerator[bool, None]:
    """Whether anything changed, at every change and every LOOK_MS."""
    found = awatch(
        folder,
        step=STEP_MS,
        debounce=SETTLE_MS,
        watch_filter=_Operators(),
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
    )
    async for changes in found:
        yield bool(changes)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        stat = folder.stat()
    except OSError:
        return None  # between two renames there is none
    return stat.st_dev, stat.st_ino
