"""What came in together, put together by kind: few large transactions instead of many small ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

BARRIER = "bus"
"""The kind of what changes for everybody: nothing passes it."""


def gathered(said: Iterable[tuple[str, str, T]]) -> list[tuple[str, list[T]]]:
    """Groups of one kind, in order, of (kind, sender, what was said).

    What one sender said stays in the order in which it was said, whatever its kind; what others said in between may
    come later than it.
    """
    groups: list[tuple[str, list[T]]] = []
    newest: dict[str, int] = {}
    last: dict[str, int] = {}
    for kind, sender, one in said:
        at = newest.get(kind, -1)
        if at < last.get(sender, 0) or (kind == BARRIER and at < len(groups) - 1):
            at = len(groups)
            groups.append((kind, []))
            newest = {kind: at} if kind == BARRIER else {**newest, kind: at}
        groups[at][1].append(one)
        last[sender] = at
    return groups


__all__ = ["BARRIER", "gathered"]
