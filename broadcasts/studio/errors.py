"""Why audio was not taken, in words for the operator."""

from __future__ import annotations


class AudioRefused(ValueError):
    """Audio that must not be scheduled; the text is the reason, naming the file or the text it is about.

    `item` is the index among the items that were to be rendered. `permanent` is False when nothing is wrong
    with the content itself (a speech service that does not answer, a full disk): the same content may be
    tried again later.
    """

    def __init__(self, reason: str, item: int = 0, *, permanent: bool = True) -> None:
        super().__init__(reason)
        self.item = item
        self.permanent = permanent
