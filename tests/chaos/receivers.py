"""Where alerts arrive, as a process that can be killed: `python -m tests.chaos.receivers MAIL_PORT WEB_PORT FILE`.

Every message is in FILE, one JSON object a line, before its sender hears that it was taken.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope


class Book:
    """The file of what arrived."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, channel: str, to: str, key: str) -> None:
        os.write(self._file, json.dumps({"channel": channel, "to": to, "key": key}).encode() + b"\n")

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = email.message_from_bytes(content, policy=email.policy.default)
        key = str(message["Message-ID"]).strip("<>").rpartition("@")[0]
        for address in envelope.rcpt_tos:
            self.write("smtp", address, key)
        return "250 taken"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One HTTP request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request, *lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            sent = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.write("webhook", request.split()[1], sent["key"])
            writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a sender that was killed
        finally:
            writer.close()


def arrived(path: Path) -> list[dict[str, str]]:
    """What FILE says."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def _serve(mail_port: int, web_port: int, path: Path) -> None:
    book, loop = Book(path), asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(book, loop=loop), "127.0.0.1", mail_port, reuse_address=True)
    server = await asyncio.start_server(book.answer, "127.0.0.1", web_port, reuse_address=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
