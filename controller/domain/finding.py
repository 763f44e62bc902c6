"""Which nodes somebody looks for: by name, place and state, a page at a time. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from broadcasts.model import Node
from controller.domain.liveness import Liveness

T = TypeVar("T")

TROUBLE = "trouble"
"""As a state: every node that is not online or has a fault."""
STATES = (TROUBLE, *(each.value for each in Liveness))


@dataclass(frozen=True, slots=True)
class Wanted:
    """`words` must all be in a node's name, id, commune, hamlet or pole, whatever their accents and capitals; `commune`
    is an id, `state` one of STATES; empty: all. `limit` None: all that are left after `offset`."""

    words: str = ""
    commune: str = ""
    state: str = ""
    offset: int = 0
    limit: int | None = None

    @property
    def everything(self) -> bool:
        return not (self.words or self.commune or self.state)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of what was found, of `total`. `next`: where the following page begins; None on the last one."""

    found: Sequence[T]
    total: int
    next: int | None


def folded(text: str) -> str:
    """`text` as it is compared: `Xã Na Mèo` and `xa na meo`, `Đèo` and `deo` are the same."""
    bare = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


def matching(
    nodes: Iterable[Node],
    wanted: Wanted,
    name_of: Callable[[str], str],
    state_of: Callable[[str], str],
    is_faulty: Callable[[str], bool],
) -> list[Node]:
    """Those of `nodes` that are wanted, in their order. `name_of` a commune or hamlet, `state_of` a node."""
    words = folded(wanted.words).split()

    def is_wanted(node: Node) -> bool:
        if wanted.commune and node.commune != wanted.commune:
            return False
        if wanted.state == TROUBLE:
            if state_of(node.id) == Liveness.ONLINE and not is_faulty(node.id):
                return False
        elif wanted.state and state_of(node.id) != wanted.state:
            return False
        if not words:
            return True
        places = (name_of(node.commune), name_of(node.hamlet), node.commune, node.hamlet)
        said = folded(" ".join((node.name, node.id, node.pole, *places)))
        return all(word in said for word in words)

    return [node for node in nodes if is_wanted(node)]


def page(found: Sequence[T], wanted: Wanted) -> Page[T]:
    """The part of `found` that was asked for."""
    end = len(found) if wanted.limit is None else min(len(found), wanted.offset + wanted.limit)
    return Page(found[wanted.offset : end], len(found), end if end < len(found) else None)
