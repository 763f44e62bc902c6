"""What was measured (build/bench/*.json) as docs/performance.md, with a plot for each benchmark.

`make performance`, or `python -m benchmarks plots`. Targets are in benchmarks/targets.yaml; a figure that misses its
own is shown as missed. What was not measured now stays on the page as it was, with its date; what never was is named,
not invented.
"""

from __future__ import annotations

import json
import operator
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import matplotlib
import yaml

from benchmarks.report import FOLDER

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
IMAGES = HERE.parent / "docs" / "images" / "performance"
MOST_BARS = 14
COMPARE = {"<=": operator.le, ">=": operator.ge}
BLUE, ORANGE, GREY = "#2b6cb0", "#c05621", "#718096"

HEAD = """\
# Performance

Measured by `make bench`, written by `make performance`. Each table says on what machine, with which versions and how
busy it was: `load` is the machine's load over the minute before the end. Where several rounds were made the value is
their median, with the least and the most beside it. A target is what was wanted before it was measured; **missed**
means that it was not reached, on this machine, this time.
"""

Figures = dict[str, dict[str, Any]]


def main() -> None:
    targets: dict[str, dict[str, str]] = yaml.safe_load((HERE / "targets.yaml").read_text())
    found = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    IMAGES.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams |= {"svg.hashsalt": "loa", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    kept = sections_of(PAGE.read_text()) if PAGE.exists() else {}
    names = _names({**kept, **found})
    for name in found:
        _forget_plots(name)
    sections = {name: _section(name, found, targets) if name in found else kept.get(name) for name in names}
    whole = {name: text or _section(name, {}, targets) for name, text in sections.items()}
    PAGE.write_text("\n".join([HEAD, "\n".join(summary(whole)), *whole.values()]))
    print(f"{PAGE}: {len(found)} benchmarks of {len(whole)} new, the others as they were")


def sections_of(page: str) -> dict[str, str]:
    """The sections of benchmarks on the page, by name, as they are."""
    parts = re.split(r"(?m)^## (?=\w+$)", page)[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def _forget_plots(name: str) -> None:
    for path in IMAGES.glob(f"{name}*.svg"):
        if re.fullmatch(rf"{name}(-\d+)?", path.stem):
            path.unlink()


def _names(found: Mapping[str, Any]) -> list[str]:
    """Every benchmark that there is, and whatever else was measured."""
    written = {path.stem for path in HERE.glob("*.py") if "Report(" in path.read_text()} - {"report", "plots"}
    return sorted({*written, *found})


# --- targets ------------------------------------------------------------------------------------------------


def target_of(figure: str, wanted: Mapping[str, str]) -> str:
    """The target of `figure`: its own, or that of the first pattern that fits; empty if there is none."""
    return wanted.get(figure) or next((text for name, text in wanted.items() if fnmatchcase(figure, name)), "")


def verdict(value: float, target: str) -> str:
    """How `value` stands to a target as "<= 5"."""
    if not target:
        return ""
    sign, _, limit = target.partition(" ")
    return "held" if COMPARE[sign](value, float(limit)) else "**missed**"


def summary(sections: Mapping[str, str]) -> Iterator[str]:
    """All figures that have a target, from the tables of the sections."""
    rows = [(name, *row) for name, text in sections.items() for row in _ROW.findall(text)]
    missed = sum(stands != "held" for *_, stands in rows)
    yield f"\n## Targets: {len(rows) - missed} of {len(rows)} held\n"
    yield "| benchmark | figure | value | target | |"
    yield "|---|---|--:|--:|---|"
    for name, figure, value, unit, target, stands in rows:
        yield f"| [{name}](#{name}) | {figure} | {value} {unit} | {target} | {stands} |"
    yield ""


_ROW = re.compile(r"(?m)^\| ([^|]+) \| ([^|]+) \| ([^|]*) \| [^|]* \| ([<>]= [^|]+) \| (held|\*\*missed\*\*) \|$")
"""Figure, value, unit, target and how it stands, in `_table`."""


# --- one benchmark ------------------------------------------------------------------------------------------


def _section(name: str, found: Mapping[str, Figures], targets: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f"## {name}\n", _about(name), ""]
    if name not in found:
        return "\n".join([*lines, f"Not measured here: `make bench ONLY={name}`.\n"])
    figures = {figure: told for figure, told in found[name].items() if not figure.startswith("_")}
    lines += [_machine(found[name].get("_machine", {})), "", *_table(figures, targets.get(name, {})), ""]
    lines += [f"![{name}](images/performance/{path.name})\n" for path in _plots(name, figures)]
    return "\n".join(lines)


def _about(name: str) -> str:
    """The first sentence of the benchmark's own description."""
    path = HERE / f"{name}.py"
    if not path.exists():
        path = HERE / f"{name.partition('_')[0]}.py"
    text = path.read_text() if path.exists() else ""
    return text.split('"""')[1].split("\n\n")[0].replace("\n", " ").strip() if '"""' in text else ""


def _machine(told: Mapping[str, Any]) -> str:
    versions = [f"{name} {value}" for name, value in told.items() if name not in {*_PLACE, "load_1min", "date"}]
    place = f"{told.get('cores', '?')} cores, {told.get('system', '?')}, Python {told.get('python', '?')}"
    load = f"load {told.get('load_1min', '?')}"
    return f"{told.get('date', 'date not recorded')}; {place}, {load}; {', '.join(versions)}."


_PLACE = ("cores", "system", "python")


def _table(figures: Figures, wanted: Mapping[str, str]) -> Iterator[str]:
    yield "| figure | value | unit | least to most | target | |"
    yield "|---|--:|---|---|--:|---|"
    for figure, told in figures.items():
        span = f"{_number(told['min'])} to {_number(told['max'])} (n={told['n']})" if "n" in told else ""
        target = target_of(figure, wanted)
        stands = verdict(told["value"], target)
        yield f"| {figure} | {_number(told['value'])} | {told['unit']} | {span} | {target} | {stands} |"


def _number(value: float) -> str:
    if value == 0 or 0.001 <= abs(value) < 1e15:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:.2e}"


# --- plots --------------------------------------------------------------------------------------------------


def _plots(name: str, figures: Figures) -> Iterator[Path]:
    curves = {figure: told for figure, told in figures.items() if "points" in told}
    if curves:
        yield _drawn_curves(name, curves)
    groups: dict[str, Figures] = defaultdict(dict)
    for figure, told in figures.items():
        if told["unit"] and told["value"] > 0 and figure not in curves and not figure.endswith("target"):
            groups[told["unit"]][figure] = told
    for number, (unit, group) in enumerate(sorted(groups.items())):
        if len(group) > 1:
            yield _drawn_bars(f"{name}-{number}", unit, dict(list(group.items())[:MOST_BARS]))


def _drawn_bars(name: str, unit: str, group: Figures) -> Path:
    values = [told["value"] for told in group.values()]
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.3 * len(group)), layout="constrained")
    places = range(len(group))
    axes.barh(places, values, color=BLUE, height=0.6)
    for place, told in zip(places, group.values(), strict=True):
        if "n" in told:
            axes.plot([told["min"], told["max"]], [place, place], color=ORANGE, linewidth=2)
        axes.annotate(
            _number(told["value"]),
            (told.get("max", told["value"]), place),
            (4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(places, list(group))
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    if max(values) > 50 * min(values):
        axes.set_xscale("log")
    axes.margins(x=0.15)
    return _saved(figure, name)


def _drawn_curves(name: str, curves: Figures) -> Path:
    figure, panes = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3.2), layout="constrained", squeeze=False)
    for axes, (title, told) in zip(panes[0], curves.items(), strict=True):
        x, y = zip(*told["points"], strict=True)
        axes.loglog(x, y, "o-", color=BLUE)
        axes.loglog(x, [y[0] * each / x[0] for each in x], "--", color=GREY, linewidth=1)
        axes.set_title(f"{title}: exponent {told['exponent']:.2f}", fontsize=9)
        axes.set_xlabel(told["of"])
        axes.set_ylabel(told["unit"])
        axes.annotate("in proportion", (x[-1], y[0] * x[-1] / x[0]), color=GREY, ha="right", va="bottom")
    return _saved(figure, name)


def _saved(figure: Any, name: str) -> Path:
    path = IMAGES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


if __name__ == "__main__":
    main()
