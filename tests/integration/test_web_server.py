"""The real server in the controller's own loop: events as they happen, and an end that is prompt."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from controller.web import live
from controller.web.server import ListenError, listen, serve, url_of
from tests.district import TOKEN, District


@pytest.fixture
async def district(tmp_path: Path) -> AsyncIterator[District]:
    opened = await District.opened(tmp_path)
    yield opened
    await opened.store.close()


@asynccontextmanager
async def served(district: District) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Task[None]]]:
    """A client of the served district, and the serving task."""
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(district, TOKEN, "127.0.0.1", 0, ready=told.set_result))
    try:
        async with httpx.AsyncClient(base_url=await told, timeout=10, trust_env=False) as client:
            yield client, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def stream(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of the event stream."""
    async with client.stream("GET", "/api/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield answer.aiter_lines()


async def until(lines: AsyncIterator[str], wanted: str) -> list[str]:
    """Lines up to and including the first that contains `wanted`."""
    seen = []
    async for line in lines:
        seen.append(line)
        if wanted in line:
            return seen
    raise AssertionError(f"the stream ended without {wanted!r}: {seen}")


async def test_a_new_page_is_told_to_look_at_everything_and_then_at_what_changes(district: District) -> None:
    async with served(district) as (client, _), stream(client) as lines:
        first = await until(lines, "data:")
        assert "event: changed" in first
        assert all(topic in first[-1] for topic in live.EVERYTHING)
        await district.broken("na-meo-03")
        told = await until(lines, "incidents")
        assert '"nodes"' in told[-1]
        assert '"air"' not in told[-1]


async def test_a_burst_of_changes_is_one_notice(district: District) -> None:
    async with served(district) as (client, _), stream(client) as lines:
        await until(lines, "data:")
        district.changes.notify("air")
        await until(lines, '"air"')
        for _ in range(500):
            district.changes.notify("air", "nodes")
        told = await until(lines, '"nodes"')
        assert sum("changed" in line for line in told) == 1


async def test_a_quiet_stream_says_that_it_lives(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PING_S", 0.05)
    async with served(district) as (client, _), stream(client) as lines:
        assert "event: ping" in await until(lines, "ping")


async def test_a_lost_broker_reaches_the_page_though_nobody_says_so(
    district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PING_S", 0.05)
    async with served(district) as (client, _), stream(client) as lines:
        await until(lines, "data:")
        district.bus.down()
        assert '{"topics": ["status"], ' in (await until(lines, "topics"))[-1]


async def test_a_closed_page_leaves_no_watcher_behind(district: District) -> None:
    async with served(district) as (client, _):
        async with stream(client) as lines:
            await until(lines, "data:")
            assert len(district.changes._watchers) == 1
        while district.changes._watchers:
            district.changes.notify("nodes")
            await asyncio.sleep(0.01)


async def test_more_pages_than_can_be_served_are_refused(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 1)
    async with served(district) as (client, _), stream(client) as lines:
        await until(lines, "data:")
        answer = await client.get("/api/events")
        assert answer.status_code == 503
        assert answer.json() == {"error": "too many open pages"}


async def test_the_server_ends_promptly_with_open_streams_and_half_sent_requests(district: District) -> None:
    async with served(district) as (client, task), stream(client) as lines:
        await until(lines, "data:")
        port = httpx.URL(str(client.base_url)).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        await writer.drain()
        task.cancel()
        async with asyncio.timeout(3):  # what Ctrl-C promises
            with pytest.raises(asyncio.CancelledError):
                await task
        assert [line async for line in lines if "topics" in line] == []
        writer.close()
        await reader.read()


async def test_the_port_is_free_again_when_the_server_has_ended(district: District) -> None:
    async with served(district) as (client, _):
        port = httpx.URL(str(client.base_url)).port
        assert port
    listen("127.0.0.1", port).close()


async def test_signals_stay_with_whoever_runs_the_loop(district: District) -> None:
    mine = signal.getsignal(signal.SIGINT)
    async with served(district) as (client, _):
        await client.get("/health")
        assert signal.getsignal(signal.SIGINT) is mine


async def test_a_taken_port_says_so_and_what_to_do(district: District) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{port} is taken by another program.*http\.port"):
            await serve(district, TOKEN, "127.0.0.1", port)


async def test_an_address_of_another_machine_says_so(district: District) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:8080: "):
        await serve(district, TOKEN, "192.0.2.1", 8080)


async def test_a_name_that_is_no_address_says_so(district: District) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no\.such\.host\.invalid:8080: "):
        await serve(district, TOKEN, "no.such.host.invalid", 8080)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_address_is_written_as_a_url() -> None:
    with listen("::1", 0) as listening:
        assert url_of(listening) == f"http://[::1]:{listening.getsockname()[1]}"
