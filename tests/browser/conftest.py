"""A real Chromium, and the district served to it by the real server in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from controller.web.server import serve
from tests.browser import installed
from tests.district import TOKEN, District

SCREENS = Path(__file__).parents[2] / "build" / "screens"

WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}

T = TypeVar("T")


class Served:
    """The district behind its server. `do` runs a coroutine in the server's loop; the server can go and return."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="district")
        self._thread.start()
        self.district = self.do(District.opened(folder))
        self._port = 0
        self._task: asyncio.Task[None] | None = None
        self.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def start(self) -> None:
        self.url = self.do(self._start())
        self._port = int(self.url.rsplit(":", 1)[1])

    async def _start(self) -> str:
        told: asyncio.Future[str] = self._loop.create_future()
        self._task = asyncio.create_task(
            serve(self.district, TOKEN, "127.0.0.1", self._port, ready=told.set_result), name="serve"
        )
        return await told

    def stop(self) -> None:
        self.do(self._stop())

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def end(self) -> None:
        self.stop()
        self.do(self.district.store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module, not the session: while it is there its event loop runs in the tests' thread."""
    program = installed.browser()
    if program is None:
        pytest.skip("no Chromium that can be driven (a snap cannot): install chromium or Google Chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Open]:
    """Opens the page and waits until it is live; at the end no page may have complained of anything."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(path: str = "/", *, size: str = "desktop", locale: str = "vi-VN", **options: Any) -> Page:
        width, height = WIDTHS[size]
        context = browser.new_context(viewport={"width": width, "height": height}, locale=locale, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message.text) else None)
        page.goto(served.url + path, wait_until="domcontentloaded")
        page.wait_for_selector('#connection[data-state="live"]')
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


EXPECTED = ("ERR_CONNECTION", "ERR_INCOMPLETE", "ERR_EMPTY", "Failed to fetch")
"""What Chromium and htmx say by themselves while the server is away; some tests are about that."""


def is_complaint(text: str) -> bool:
    return not any(each in text for each in EXPECTED)


@pytest.fixture
def screens() -> Path:
    """Where screenshots are kept for people to look at."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    return SCREENS
