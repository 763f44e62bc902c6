"""How a benchmark tells what it measured: a table on the terminal, and JSON with machine, versions and spread."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path("build/bench")
PACKAGES = ("paho-mqtt", "APScheduler", "SQLAlchemy", "msgspec", "pydub")


def size(name: str, default: int, full: int) -> int:
    """How much of `name` to measure: as LOA_BENCH_NAME says, else all that was asked for if LOA_BENCH_FULL is set, else
    what takes at most three minutes."""
    return int(os.environ.get(f"LOA_BENCH_{name}") or (full if os.environ.get("LOA_BENCH_FULL") else default))


def add_quantiles(report: Report, name: str, values: Sequence[float], unit: str = "s") -> None:
    """`NAME_p50`, `NAME_p99` and `NAME_max`: values that were measured, none between two of them."""
    ordered = sorted(values)
    for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        report.add(f"{name}_{label}", ordered[max(0, math.ceil(share * len(ordered)) - 1)], unit)


class Report:
    """Figures of one benchmark: {figure: {"value", "unit", ...}}."""

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        self._name = name
        self._folder = folder
        self._figures: dict[str, dict[str, Any]] = {}

    def add(self, figure: str, value: float, unit: str) -> None:
        self._figures[figure] = {"value": round(value, 3), "unit": unit}

    def spread(self, figure: str, values: Sequence[float], unit: str) -> None:
        """The median of `values`, with the least and the most."""
        self._figures[figure] = {
            "value": round(statistics.median(values), 3),
            "unit": unit,
            "min": round(min(values), 3),
            "max": round(max(values), 3),
            "n": len(values),
        }

    def curve(self, figure: str, points: Sequence[tuple[float, float]], unit: str, of: str) -> None:
        """How a figure grows: (size, value) from small to large. The value told is the last; the exponent is fitted:
        1 is in proportion to `of`."""
        exponent = statistics.linear_regression(
            *zip(*((math.log(x), math.log(y)) for x, y in points), strict=True)
        ).slope
        told = {"value": round(points[-1][1], 3), "unit": unit, "of": of, "exponent": round(exponent, 3)}
        self._figures[figure] = {**told, "points": [[x, round(y, 4)] for x, y in points]}
        self.add(f"{figure} exponent", exponent, "")

    def write(self) -> None:
        """Print the table and write build/bench/NAME.json."""
        self._folder.mkdir(parents=True, exist_ok=True)
        whole: Mapping[str, Any] = {**self._figures, "_machine": machine()}
        (self._folder / f"{self._name}.json").write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
        table = Table("figure", "value", "unit", "least to most", title=self._name)
        for figure, told in self._figures.items():
            span = f"{told['min']:g} to {told['max']:g} (n={told['n']})" if "n" in told else ""
            table.add_row(figure, f"{told['value']:g}", told["unit"], span)
        Console(width=110).print(table)


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }
