"""Calls back at an instant: APScheduler with date triggers, in UTC, on the running event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

log = structlog.get_logger(__name__)


class ApsTimer:
    """Implements `ports.Timer`. A call that fails is reported to `on_error` and ends nothing else."""

    def __init__(self, on_error: Callable[[str, BaseException], None] | None = None) -> None:
        self._on_error = on_error
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            # Late is better than never: the default grace of one second drops jobs when the loop is busy.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_listener(self._report, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)

    def at(self, name: str, when: datetime, call: Callable[[], Awaitable[None]]) -> None:
        trigger = DateTrigger(when, timezone=UTC)
        self._scheduler.add_job(_awaited, trigger, args=(call,), id=name, name=name, replace_existing=True)

    def cancel(self, name: str) -> None:
        try:
            self._scheduler.remove_job(name)
        except JobLookupError:
            return  # it has run already

    def start(self) -> None:
        # It sleeps on the monotonic clock: without a tick, a wall clock stepped forward would make jobs late.
        self._scheduler.add_job(_tick, IntervalTrigger(seconds=1, timezone=UTC), id="_tick")
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _report(self, event: JobEvent) -> None:
        if event.code == EVENT_JOB_ERROR:
            error: Any = event.exception
            log.error("timed work failed", job=event.job_id, exc_info=error)
            if self._on_error is not None:
                self._on_error(event.job_id, error)
        elif event.job_id != "_tick":
            log.warning("timed work was not run", job=event.job_id, code=event.code)


async def _awaited(call: Callable[[], Awaitable[None]]) -> None:
    # It runs in a thread, and drops the coroutine, whatever is not itself an `async def`: a lambda, a partial.
    await call()


async def _tick() -> None:
    return None
