"""Wording of a mistake: the value as it was written, and what was probably meant."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

MAX_SHOWN = 60
MAX_WORD = 64
MAX_CANDIDATES = 500
"""Of more, only those that begin with the same two letters are looked at."""


def shown(value: object) -> str:
    """`value` in quotes for a message: one line, shortened, nothing that could confuse a terminal."""
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list):
        return "a list"
    text = "".join(letter if letter.isprintable() else " " for letter in str(value)[: MAX_SHOWN + 1])
    return f"'{text[:MAX_SHOWN]}...'" if len(text) > MAX_SHOWN else f"'{text}'"


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be; None when nothing is near."""
    if len(word) > MAX_WORD:
        return None
    form = _folded(word)
    by_form = {_folded(name): name for name in sorted(candidates)}
    if len(by_form) > MAX_CANDIDATES:
        by_form = {folded: name for folded, name in by_form.items() if folded[:2] == form[:2]}
    near = difflib.get_close_matches(form, by_form, n=1, cutoff=0.6)
    return by_form[near[0]] if near else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or nothing."""
    near = closest(word, candidates)
    return f" (did you mean '{near}'?)" if near else ""


def slug(text: str) -> str:
    """`text` in the form of an id: `Bản Na Mèo` becomes `ban-na-meo`. Empty when nothing of it is left."""
    words = "".join(letter if letter.isalnum() else " " for letter in _folded(text)).split()
    return "-".join(words).encode("ascii", "ignore").decode()[:48].strip("-")


def _folded(text: str) -> str:
    """Small letters without diacritics, so that `Na Mèo` is near `na-meo`."""
    letters = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
