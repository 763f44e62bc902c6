"""`loa demo`: sets everything up, lets the story run, takes everything down."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controller.adapters.datafolder import DataFolder
from controller.commands import enroll, simulate
from controller.commands.words import t
from controller.demo.account import Account, account, broken_promises
from controller.demo.children import child
from controller.demo.home import DemoError, Home, home
from controller.demo.network import Api, found
from controller.demo.receivers import Alert, receivers
from controller.demo.screen import Screen
from controller.demo.story import Story, plot
from controller.domain.site import Settings
from controller.settings import load

PROMISED = ("power", "amplifier", "line-open")
LAST_LOOK_S = 0.5
LAST_WORDS_S = 1.0
"""So long after a failure a child may be noticed to have ended."""
INTERRUPTED = 130


def perform(config: Path, *, seconds: float | None, report: Path | None, port: int) -> int:
    """Run the demo for `seconds` (None: until SIGINT). The exit status: 0 when all happened that it promises.

    DemoError: it cannot run. From the main thread only.
    """
    began = datetime.now(UTC)
    with home(config, port) as place:
        settings = load(place.config)
        enroll.enroll_missing(settings, {node: place.enrolments / f"{node}.json" for node in settings.nodes})
        show = _Show(place, settings, began)
        if place.page_port != port:
            show.screen.note(t("port {port} is taken: the page is at {other}", port=port, other=place.page_port))
        asyncio.run(show.run(seconds))
    return show.conclude(report)


class _Show:
    """One performance."""

    def __init__(self, place: Home, settings: Settings, began: datetime) -> None:
        self.screen = Screen(settings.site.zone, {person.id: person.name for person in settings.alerts.people})
        self._place = place
        self._settings = settings
        self._began = began
        self._plot = plot(settings)
        self._alerts: list[Alert] = []
        self._story: Story | None = None
        self._interrupted = False

    async def run(self, seconds: float | None) -> None:
        """Until the time is over, or a signal, or something fails."""
        passed = (datetime.now(UTC) - self._began).total_seconds()
        with self.screen:
            async with AsyncExitStack() as stack:
                stopping = stack.enter_context(_signals())
                await stack.enter_async_context(receivers(self._place.mail_port, self._place.web_port, self._take))
                parts = [stopping.wait(), self._perform(stack)]
                await _first(parts if seconds is None else [*parts, asyncio.sleep(seconds - passed)])
                self._interrupted = stopping.is_set()
                await self._look_once_more()
                self.screen.note(t("ending ..."))

    def conclude(self, report: Path | None) -> int:
        """Print the summary and write the report; the exit status."""
        story = self._story
        breaks = story.breaks if story else []
        airing, incidents = (story.airing, story.incidents) if story else (None, [])
        outcome = account(len(self._settings.nodes), airing, incidents, breaks, len(self._alerts), self._began)
        missing = broken_promises(outcome, breaks, PROMISED)
        early = self._interrupted and bool(missing)
        said = [t("interrupted before the story was over")] if early else [t(text, **each) for text, each in missing]
        self.screen.summary(outcome, said)
        if report is not None:
            _write(report, outcome)
        return INTERRUPTED if early else 1 if missing else 0

    # --- parts ----------------------------------------------------------------------------------------------

    async def _perform(self, stack: AsyncExitStack) -> None:
        place = self._place
        program = [sys.executable, "-m", "controller.cli", "run", str(place.config)]
        controller = await stack.enter_async_context(child("controller", program, place.log("controller")))
        told = await _first([found(DataFolder(place.data).controller()), controller.gone()])
        program = simulate.command(place.enrolments, place.nodes, control=place.control)
        nodes = await stack.enter_async_context(child("nodes", program, place.log("nodes")))
        api = Api(told)
        stack.push_async_callback(api.close)
        self.screen.note(t("the page: {url}", url=api.page))
        self.screen.note(t("the configuration, which you may edit while it runs: {folder}", folder=place.config))
        self._story = Story(self._settings, self._plot, api, place.control, self.screen)
        try:
            await _first([self._story.tell(), controller.gone(), nodes.gone()])
        except DemoError:  # of a child that is no more its last words say more than whoever got no answer from it
            with suppress(TimeoutError):
                await asyncio.wait_for(_first([controller.gone(), nodes.gone()]), LAST_WORDS_S)
            raise

    def _take(self, alert: Alert) -> None:
        self._alerts.append(alert)
        self.screen.alert(alert)

    async def _look_once_more(self) -> None:
        if self._story is not None:
            try:
                await asyncio.wait_for(self._story.look(), LAST_LOOK_S)
            except (TimeoutError, DemoError) as error:
                self.screen.note(t("the last state could not be read: {error}", error=error))


def _write(report: Path, outcome: Account) -> None:
    report.write_text(json.dumps(outcome.as_json(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


async def _first(parts: list[Coroutine[Any, Any, Any]]) -> Any:
    """Run all until one ends, whose outcome this is; the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Set at SIGINT or SIGTERM."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
