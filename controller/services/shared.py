"""What is alike, kept once: the documents of ten thousand nodes name the same few airings."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

MANY = 5_000
"""Different things remembered; past that it begins anew, and what is in use stays shared."""


class Shared:
    """Gives for a thing the first one that was equal to it."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Hashable] = {}

    def one(self, thing: T) -> T:
        if len(self._known) >= MANY:
            self._known.clear()
        return self._known.setdefault(thing, thing)  # type: ignore[return-value]


__all__ = ["Shared"]
