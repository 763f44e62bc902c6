"""A line of measured values as a small drawing: lowest below, highest above, the baseline between them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 120.0, 32.0, 4.0
LEAST_SPAN = 0.2
"""Of the baseline, or of the mean: noise must not look like a cliff."""


@dataclass(frozen=True, slots=True)
class Line:
    """`points` of an SVG polyline, the last of them once more, and the height of the baseline, if there is one."""

    points: str
    last: tuple[float, float]
    base: float | None


def line(values: Sequence[float], baseline: float | None) -> Line:
    """`values` (at least one), oldest first and evenly spaced."""
    every = [*values, *([] if baseline is None else [baseline])]
    middle = (min(every) + max(every)) / 2
    usual = abs(baseline if baseline is not None else sum(values) / len(values))
    span = max(max(every) - min(every), LEAST_SPAN * usual, 1e-9)

    def height(value: float) -> float:
        return round(HEIGHT / 2 - (value - middle) / span * (HEIGHT - 2 * MARGIN), 1)

    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    dots = [(round(MARGIN + n * step, 1), height(value)) for n, value in enumerate(values)]
    return Line(" ".join(f"{x},{y}" for x, y in dots), dots[-1], None if baseline is None else height(baseline))
