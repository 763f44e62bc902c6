"""A cable that can be cut: a TCP proxy that passes everything on, nothing, late, or with a reset."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

CHUNK = 64 * 1024
SLOW_S = (0.2, 1.5)
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST."""


class Cable:
    """Listens on `port` of loopback and connects to the first of `to` that answers.

    `way`: "" passes; "drop" keeps connections and loses what is sent until it is mended, when what was lost ends them;
    "delay" passes everything late; "reset" ends every connection and takes no new one.
    """

    def __init__(self, port: int, to: Iterable[int]) -> None:
        self.port = port
        self._to = tuple(to)
        self._way = ""
        self._mended = asyncio.Event()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Cable:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._end_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, way: str) -> None:
        """Spoil it: "drop", "delay" or "reset"."""
        self._way = way
        self._mended.clear()
        if way == "reset":
            self._end_all()

    def mend(self) -> None:
        way, self._way = self._way, ""
        if way == "drop":  # bytes are missing now: no connection can go on, as after TCP's own patience
            self._end_all()
        self._mended.set()

    def _end_all(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._way == "drop":
                await self._mended.wait()
            await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = None if self._way == "reset" else await self._connected()
        if answered is None:
            return
        far_reader, far_writer = answered
        pair = (writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        finally:
            self._pairs.discard(pair)
            _reset(far_writer)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in self._to:
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # one end is gone: so is the other, in a moment
            while data := await reader.read(CHUNK):
                if self._way == "delay":
                    await asyncio.sleep(random.uniform(*SLOW_S))
                if self._way != "drop":
                    writer.write(data)
                    await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, as a router does that has forgotten it."""
    opened = writer.get_extra_info("socket")
    with suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
