"""Up to when what nodes said is in the ledger: what we have not read yet is no silence of theirs. Pure.

What comes in waits in the order in which it came. While it waits for long, nodes are answered late and hold back what
they have to tell (docs/protocol.md, 4.3), so that more of it is still under way than what waits here. What the database
refused comes again, for nobody acknowledged it. Both only make a verdict on silence come later.

Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.domain.liveness import NEVER

BEHIND_S = 5.0
"""Nodes that are answered later than this may be waiting for it with more to tell."""
RETOLD_S = 75.0
"""A node sends what was not acknowledged again every minute at least."""


@dataclass(slots=True)
class Hearing:
    """Told of every batch that is taken in: `behind_at` is when the last one came late, `refused_from` when the oldest
    came that may not be written down, `refused_at` when writing last failed."""

    behind_at: float = -NEVER
    refused_from: float = NEVER
    refused_at: float = -NEVER

    def take(self, oldest: float, mono: float) -> None:
        """What came at `oldest` has its turn at `mono`."""
        if mono - oldest > BEHIND_S:
            self.behind_at = mono

    def refused(self, oldest: float, mono: float) -> None:
        """What came at `oldest` or later could not be written down at `mono`."""
        if oldest - self.refused_at > RETOLD_S:
            self.refused_from = NEVER
        self.refused_from, self.refused_at = min(self.refused_from, oldest), mono

    def upto(self, oldest: float | None, mono: float) -> float:
        """All that nodes had to tell before then is in the ledger. `oldest`: when the oldest came that waits or is
        being taken in; None if nothing does."""
        read = mono if oldest is None else oldest
        lost_from = self.refused_from if read - self.refused_at <= RETOLD_S else NEVER
        is_behind = mono - read > BEHIND_S or mono - self.behind_at <= RETOLD_S
        return min(lost_from, read - RETOLD_S if is_behind else read)


__all__ = ["BEHIND_S", "RETOLD_S", "Hearing"]
