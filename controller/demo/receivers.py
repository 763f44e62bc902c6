"""Where the demo's alerts arrive: a mail server and a web server of our own, as real as those of a technician."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Alert:
    """One message as a technician gets it. `channel`: "smtp" or "webhook"; `to`: the person's id."""

    channel: str
    to: str
    subject: str
    body: str


Take = Callable[[Alert], None]


@asynccontextmanager
async def receivers(mail_port: int, web_port: int, take: Take) -> AsyncIterator[None]:
    """Both servers, listening on loopback; `take` gets every message."""
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(lambda: SMTP(_Mailbox(take), loop=loop), "127.0.0.1", mail_port)
    web = await asyncio.start_server(
        lambda reader, writer: _answer(reader, writer, take), "127.0.0.1", web_port, limit=LIMIT
    )
    try:
        yield
    finally:
        for server in (mail, web):
            server.close()


class _Mailbox:
    """aiosmtpd's handler; its method names are aiosmtpd's."""

    def __init__(self, take: Take) -> None:
        self._take = take

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        message = email.message_from_bytes(content, policy=email.policy.default)
        body = message.get_body(("plain",))
        text = body.get_content() if body is not None else ""
        for address in envelope.rcpt_tos:
            self._take(Alert("smtp", address.partition("@")[0], str(message["Subject"]), text.strip()))
        return "250 taken"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, take: Take) -> None:
    """One HTTP request: 204 for a message, 400 for anything else."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        sent = json.loads(await reader.readexactly(int(headers["content-length"])))
        take(Alert("webhook", request.split()[1].rpartition("/")[2], sent["subject"], sent["body"]))
        status = "204 No Content"
    except (ValueError, KeyError, IndexError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        status = "400 Bad Request"
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    writer.close()
