"""Timed work by APScheduler: every instant is kept, late ones too, and a failure ends nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from controller.adapters.timer import ApsTimer


@pytest.fixture
async def timer() -> AsyncIterator[ApsTimer]:
    timer = ApsTimer()
    timer.start()
    yield timer
    timer.stop()


def soon(seconds: float = 0.05) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_call_whose_time_has_passed_is_made_all_the_same(timer: ApsTimer) -> None:
    called = asyncio.Event()

    async def call() -> None:
        called.set()

    timer.at("late", datetime.now(UTC) - timedelta(hours=5), call)
    async with asyncio.timeout(20):
        await called.wait()


async def test_fifty_calls_at_one_instant_are_all_made(timer: ApsTimer) -> None:
    calls: asyncio.Queue[int] = asyncio.Queue()
    when = soon()
    for n in range(50):
        timer.at(f"job-{n}", when, lambda n=n: calls.put(n))  # type: ignore[misc]
    async with asyncio.timeout(20):
        assert sorted([await calls.get() for _ in range(50)]) == list(range(50))


async def test_a_failure_is_reported_and_ends_nothing_else() -> None:
    failed: asyncio.Queue[tuple[str, BaseException]] = asyncio.Queue()
    timer = ApsTimer(on_error=lambda name, error: failed.put_nowait((name, error)))
    timer.start()
    called = asyncio.Event()

    async def fail() -> None:
        raise ValueError("broken")

    async def call() -> None:
        called.set()

    timer.at("bad", soon(), fail)
    async with asyncio.timeout(20):
        name, error = await failed.get()
        timer.at("good", soon(), call)
        await called.wait()
    timer.stop()
    assert (name, str(error)) == ("bad", "broken")


async def test_setting_a_name_again_moves_it_and_cancelling_twice_is_no_error(timer: ApsTimer) -> None:
    calls: asyncio.Queue[str] = asyncio.Queue()
    timer.at("one", soon(3600), lambda: calls.put("first"))
    timer.at("one", soon(), lambda: calls.put("second"))
    timer.at("never", soon(3600), lambda: calls.put("never"))
    timer.cancel("never")
    timer.cancel("never")
    async with asyncio.timeout(20):
        assert await calls.get() == "second"
    assert calls.empty()
