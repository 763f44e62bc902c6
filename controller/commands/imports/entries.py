"""What an import finds, whatever the file: broadcasts as operators write them, and what could not be read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from controller.commands.words import t

T = TypeVar("T")

MAX_BYTES = 4_000_000
"""As the configuration's own files; a larger one is no list of announcements."""


@dataclass(frozen=True)
class Flaw:
    """Something in the file that cannot be taken over, and why."""

    line: int
    message: str


@dataclass(frozen=True)
class Entry:
    """One broadcast as broadcasts.yaml writes it; `line` is where it stands in the file that is imported."""

    line: int
    keys: Mapping[str, Any]


@dataclass
class Found:
    """All of a file. `notes` are worth knowing, and no reason to stop."""

    entries: list[Entry] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    notes: list[Flaw] = field(default_factory=list)


class Mistakes:
    """What is wrong with one row or event: all of it is told, not only what was found first."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def add(self, message: str) -> None:
        if message not in self.told:
            self.told.append(message)

    def unless(self, read: Callable[..., T], *given: Any) -> T | None:
        """What `read` makes of `given`; None, and its ValueError told, if it cannot be."""
        try:
            return read(*given)
        except ValueError as error:
            self.add(str(error))
            return None

    def all_of(self, read: Callable[[str], T], words: str) -> list[T]:
        """What `read` makes of each word of a list as people write one."""
        made = [self.unless(read, word) for word in re.split(r"[;,]", words) if word.strip()]
        return [one for one in made if one is not None]


class Unreadable(Exception):
    """The file as a whole is none that can be imported; the text says why and what to do."""


def slug(title: str) -> str:
    """`Bản tin sáng` -> `ban-tin-sang`: an id that people recognise."""
    plain = unicodedata.normalize("NFD", title.replace("đ", "d").replace("Đ", "D"))
    letters = "".join(char for char in plain if not unicodedata.combining(char)).lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[:44].strip("-") or "thong-bao"


def folded(word: str) -> str:
    """`word` for comparing names that people type: no case, no accents, single spaces."""
    return slug(word) if word.strip() else ""


def finished(entries: Iterable[Entry], taken: Iterable[str]) -> list[Entry]:
    """Entries with ids of their own; those that differ in nothing but their dates become one."""
    used, done = set(taken), []
    for entry in _merged(entries):
        id = entry.keys.get("id") or _free(slug(str(entry.keys["title"])), used)
        used.add(id)
        keys = {"id": id, **{key: value for key, value in entry.keys.items() if key != "id"}}
        done.append(replace(entry, keys=keys))
    return done


def _merged(entries: Iterable[Entry]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for number, entry in enumerate(entries):
        rest = {key: value for key, value in entry.keys.items() if key != "once"}
        key = repr(rest) if "once" in entry.keys else f"{number}"
        if key in found:
            once = sorted({*found[key].keys["once"], *entry.keys["once"]})
            entry = replace(found[key], keys={**found[key].keys, "once": once})
        found[key] = entry
    return list(found.values())


def _free(name: str, used: set[str]) -> str:
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name}-{number}"
    return free


def targets(written: str, names: Mapping[str, str], wrong: Mistakes) -> list[str]:
    """Ids for a list of places as people write them."""
    words = [word.strip() for word in re.split(r"[;,\n|]", written) if word.strip()]
    for word in words:
        if folded(word) not in names:
            wrong.add(_unknown(word, set(names.values())))
    return [names.get(folded(word), word) for word in words]


def _unknown(word: str, ids: Iterable[str]) -> str:
    from controller.settings.suggest import closest

    if near := closest(word, ids):
        return t("unknown zone '{word}' (did you mean '{near}'?)", word=word, near=near)
    return t("unknown zone '{word}'", word=word)


def sorted_flaws(flaws: Sequence[Flaw]) -> list[Flaw]:
    return sorted(flaws, key=lambda flaw: flaw.line)
