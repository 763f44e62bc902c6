"""The system's clocks."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


def uptime() -> float:
    """Monotonic seconds that go on counting while the machine is suspended, which `monotonic` may not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SystemClock:
    """Wall clock in aware UTC, monotonic clock in seconds."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
