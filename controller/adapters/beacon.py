"""Pings the dead-man URL: an outside service that raises the alarm when nobody calls any more."""

from __future__ import annotations

import httpx


class HttpBeacon:
    """Implements `ports.Beacon`."""

    def __init__(self, *, timeout_s: float = 10) -> None:
        self._timeout_s = timeout_s

    async def ping(self, url: str) -> str:
        """GET `url`; "" for an answer of 2xx, else the reason in one line. The URL itself is in no text: it is the
        secret of whoever may ping."""
        try:
            async with httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=True) as client:
                answer = await client.get(url, headers={"User-Agent": "loa"})
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        return "" if answer.is_success else f"answered {answer.status_code}"
