"""Webhooks: one signed JSON document a message, POSTed to the person's URL (docs/alerts.md)."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from controller.domain.escalation import Channel
from controller.ports import Clock, NotifyError, Outgoing

TRANSIENT = frozenset({408, 425, 429})
"""Answers of the 4xx range that ask to come again."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Value of X-Loa-Signature: HMAC-SHA256 over timestamp, a dot and the body as sent."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def check_url(url: str) -> str:
    """Why nothing can be posted to `url`, in one line; empty when it can."""
    try:
        parsed = httpx.URL(url)
        scheme, host, port = parsed.scheme, parsed.host, parsed.port
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: names that IDNA refuses
        return f"not a URL: {error}"
    if scheme not in ("http", "https") or not host:
        return "not a URL of the form http://host/..."
    return "" if port is None or 0 < port < 65536 else f"no port: {port}"


class WebhookNotifier:
    """Sends to channels of kind "webhook", whose address is a URL."""

    def __init__(self, clock: Clock, *, timeout_s: float = 20) -> None:
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, channel: Channel, message: Outgoing) -> None:
        """Returns when the receiver answered 2xx. NotifyError: permanent for 3xx and most 4xx, uncertain
        when no answer came to a request that may have arrived."""
        if reason := check_url(channel.address):
            raise NotifyError(f"{channel.address}: {reason}", permanent=True)
        body = _document(message)
        headers = self._headers(channel.secret, message.key, body)
        try:
            async with self._client.stream("POST", channel.address, content=body, headers=headers) as answer:
                status, retry_after = answer.status_code, answer.headers.get("Retry-After", "")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise NotifyError(f"{channel.address}: {_reason(error)}") from error
        except httpx.HTTPError as error:
            raise NotifyError(f"{channel.address}: {_reason(error)}", uncertain=True) from error
        if not 200 <= status < 300:
            raise self._refused(channel, status, retry_after)

    def _headers(self, secret: str, key: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Idempotency-Key": key,
            "User-Agent": "loa",
            "X-Loa-Timestamp": timestamp,
        }
        if secret:
            headers["X-Loa-Signature"] = signature(secret, timestamp, body)
        return headers

    def _refused(self, channel: Channel, status: int, retry_after: str) -> NotifyError:
        return NotifyError(
            f"{channel.address}: answered {status}",
            permanent=status < 500 and status not in TRANSIENT,
            retry_after_s=pause_asked(retry_after, self._clock.now()),
        )


def pause_asked(retry_after: str, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which is a number or an HTTP date; None if it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


def _document(message: Outgoing) -> bytes:
    content = {**message.data, "key": message.key, "subject": message.subject, "body": message.body}
    return json.dumps(content, ensure_ascii=False).encode()


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
