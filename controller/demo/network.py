"""What the demo sees and does: the controller's API and the simulator's control socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from controller.demo.home import DemoError

TIMEOUT_S = 20.0


class Api:
    """The controller that `controller.json` in the data folder tells of."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.page: str = told["url"]
        headers = {"Authorization": f"Bearer {told['token']}"}
        # trust_env off: a proxy for the outside world has no business between us and this machine
        self._client = httpx.AsyncClient(
            base_url=f"{self.page}/api/", headers=headers, timeout=TIMEOUT_S, trust_env=False
        )

    async def get(self, path: str, **params: Any) -> Any:
        return await self._ask("GET", path, params=params)

    async def post(self, path: str, **body: Any) -> Any:
        return await self._ask("POST", path, json=body)

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise DemoError(f"the controller does not answer: {error!r}") from None
        if not answer.is_success:
            raise DemoError(f"the controller refused {path}: {answer.text[:200]}")
        return answer.json()

    async def close(self) -> None:
        await self._client.aclose()


async def found(file: Path) -> dict[str, Any]:
    """What `file` (JSON, written atomically) says, as soon as it is there."""
    while (text := _read(file)) is None:  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.05)
    told: dict[str, Any] = json.loads(text)
    return told


def _read(file: Path) -> str | None:
    try:
        return file.read_text()
    except FileNotFoundError:
        return None


async def order(control: Path, **request: Any) -> dict[str, Any]:
    """One order to the simulated nodes. DemoError when it is refused."""
    reader, writer = await asyncio.open_unix_connection(str(control))
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
    finally:
        writer.close()
    if not answer["ok"]:
        raise DemoError(f"the simulated nodes refused {request}: {answer['error']}")
    return answer
