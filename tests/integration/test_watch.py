"""An edit is noticed however it was made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.adapters.watch import edits

WITHIN_S = 2.0
"""A changed file is picked up in this time."""


class Watching:
    """A folder under watch, and how many notices came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notices = 0
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for _ in edits(self.folder)():
            self.notices += 1

    async def begun(self) -> None:
        """It says itself when it watches, and from there on is counted."""
        await self.noticed()
        self.notices = 0

    async def noticed(self) -> None:
        """Something new was noticed in time."""
        before = self.notices
        async with asyncio.timeout(WITHIN_S):
            while self.notices == before:
                await asyncio.sleep(0.02)
        await asyncio.sleep(2 * WITHIN_S / 3)  # all that belongs to the same change


@pytest.fixture
async def watching(tmp_path: Path) -> AsyncIterator[Watching]:
    made(tmp_path / "config", "1")
    watching = Watching(tmp_path / "config")
    await watching.begun()
    yield watching
    watching.task.cancel()
    await asyncio.gather(watching.task, return_exceptions=True)


def made(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "site.yaml").write_text(text)
    return folder


async def test_what_was_saved_before_anybody_watched_is_looked_at_once(tmp_path: Path) -> None:
    """A controller reads its configuration, starts for seconds, and only then watches."""
    watching = Watching(made(tmp_path / "config", "1"))
    await watching.noticed()
    assert watching.notices == 1
    watching.task.cancel()


async def test_a_file_that_is_saved(watching: Watching) -> None:
    (watching.folder / "site.yaml").write_text("2")
    await watching.noticed()
    assert watching.notices == 1


async def test_a_folder_that_another_one_takes_the_place_of_and_what_is_saved_in_it_later(
    watching: Watching, tmp_path: Path
) -> None:
    other = made(tmp_path / "new", "2")
    watching.folder.rename(tmp_path / "old")
    other.rename(watching.folder)
    await watching.noticed()
    (watching.folder / "site.yaml").write_text("3")
    await watching.noticed()


async def test_a_link_that_is_turned_to_another_folder(tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(made(tmp_path / "one", "1"))
    watching = Watching(link)
    await watching.begun()
    (tmp_path / "next").symlink_to(made(tmp_path / "two", "2"))
    (tmp_path / "next").replace(link)
    await watching.noticed()
    (tmp_path / "two" / "site.yaml").write_text("3")
    await watching.noticed()
    watching.task.cancel()
