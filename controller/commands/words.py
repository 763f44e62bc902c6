"""Vietnamese or English on the terminal. English is the key, `vietnamese.py` the catalogue.

The language comes from LOA_LANG, LC_ALL, LC_MESSAGES, LANG, the first that is set; anything that does not begin
with "vi" is English.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from controller.commands.vietnamese import CATALOGUE

VARIABLES = ("LOA_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def language(environ: Mapping[str, str] | None = None) -> str:
    """ "vi" or "en"."""
    environ = os.environ if environ is None else environ
    chosen = next((environ[name] for name in VARIABLES if environ.get(name)), "")
    return "vi" if chosen.lower().startswith("vi") else "en"


def t(text: str, /, **values: object) -> str:
    """`text` in the language of the terminal, its {places} filled."""
    said = CATALOGUE.get(text, text) if language() == "vi" else text
    return said.format(**values) if values else said


def pick(both: Mapping[str, str] | None) -> str:
    """The right one of a text that comes in both languages (`{"vi": ..., "en": ...}`)."""
    return both.get(language(), "") if both else ""
