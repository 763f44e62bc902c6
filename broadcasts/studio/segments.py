"""How a broadcast's items become tracks: what is joined into one asset, and what stands alone.

Neighbouring chimes, texts, short files and the pauses between them are one asset, so that their gaps are
exact to the sample whatever the node's player does. A long file is an asset of its own, a stream a track of
its own; a pause beside either is a pause track.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from broadcasts.model import Chime, File, Item, Pause, Say, Stream
from broadcasts.studio.errors import AudioRefused

Part = Chime | File | Say | Pause


@dataclass(frozen=True, slots=True)
class Segment:
    """Parts of one asset; `first` is the index of the first among the broadcast's items. `long`: a single
    file that is to be streamed, not held in memory."""

    first: int
    parts: tuple[Part, ...]
    long: bool = False


@dataclass(frozen=True, slots=True)
class Relay:
    """A stream, with its index among the broadcast's items."""

    first: int
    stream: Stream


def divide(items: Sequence[Item], alone: frozenset[int]) -> tuple[Segment | Pause | Relay, ...]:
    """Segments, pauses and relays in order. `alone` are the indexes of items that are not to be joined with
    others: all streams, and files and pauses that are too long for it."""
    divided: list[Segment | Pause | Relay] = []
    for joined, group in groupby(range(len(items)), lambda place: _joins(items, alone, place)):
        places = list(group)
        if joined:
            parts = tuple(item for place in places if not isinstance(item := items[place], Stream))
            divided.append(Segment(places[0], parts))
        else:
            divided.extend(_on_its_own(place, items[place]) for place in places)
    return tuple(divided)


@contextmanager
def about(place: int) -> Iterator[None]:
    """What is refused inside is refused as the item with this index."""
    try:
        yield
    except AudioRefused as refused:
        raise AudioRefused(str(refused), place, permanent=refused.permanent) from None


def _joins(items: Sequence[Item], alone: frozenset[int], place: int) -> bool:
    """Sound joins; a pause does if what is beside it on either side does, or is the end of the broadcast."""
    if place in alone or not isinstance(items[place], Pause):
        return place not in alone
    sides = (range(place - 1, -1, -1), range(place + 1, len(items)))
    return not any(_next_to(items, alone, side) for side in sides)


def _next_to(items: Sequence[Item], alone: frozenset[int], side: Iterable[int]) -> bool:
    """Does the first thing on this side that decides (joinable pauses do not) stand alone?"""
    return next((place in alone for place in side if place in alone or not isinstance(items[place], Pause)), False)


def _on_its_own(place: int, item: Item) -> Segment | Pause | Relay:
    match item:
        case Pause():
            return item
        case Stream():
            return Relay(place, item)
        case _:
            return Segment(place, (item,), long=True)
