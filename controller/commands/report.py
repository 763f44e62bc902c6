"""The figures of a month: report."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, JsonOption, plain
from controller.commands.words import language, t


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    HTML = "html"


def report(
    month: Annotated[str, typer.Option("--month", help=t("As 2026-11; this month if not given."))] = "",
    commune: Annotated[str, typer.Option("--commune", metavar="ID", help=t("Only this commune."))] = "",
    format: Annotated[
        Format, typer.Option("--format", help=t("table for people, csv for spreadsheets, html to print."))
    ] = Format.TABLE,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    found = base.running(config)
    with base.failing(ValueError):
        if found is not None:
            data = found.get("report", month=month or None, commune=commune or None)
        else:
            settings = base.load_settings(config)
            if commune and commune not in settings.zones:
                raise base.Failure(t("unknown commune '{commune}'", commune=commune))
            asked = month or f"{datetime.now(settings.site.zone):%Y-%m}"
            data = base.read_store(settings, lambda reporting: reporting.month(asked, commune))
    if format is Format.TABLE or as_json:
        base.show(data, as_json, _print_table)
    else:
        print(_written(data, format), end="")


def _written(data: Any, format: Format) -> str:
    from zoneinfo import ZoneInfo

    from controller.web.i18n import Speaker
    from controller.web.report import as_csv, render

    if format is Format.CSV:
        return as_csv(data)
    zone = ZoneInfo(data["zone"])
    return render(data, data["site"], Speaker(language(), zone, datetime.fromisoformat(data["now"])))


def _print_table(data: Any) -> None:
    columns = (
        t("Nodes"),
        t("Up (%)"),
        t("MTTA h:min"),
        t("MTTR h:min"),
        t("Verified (%)"),
        t("Overdue"),
        t("Repeats"),
        t("Air missed min"),
    )
    title = f"[bold]{plain(data['site'])} · {data['month']}[/bold]"
    grid = base.table("", *columns, title=title)
    grid.add_row(f"[bold]{t('Total')}[/bold]", *_cells(data["total"]))
    for heading, rows in ((t("Communes"), data["communes"]), (t("Models"), data["models"])):
        grid.add_row(f"[bold]{heading}[/bold]", *[""] * len(columns))
        for row in rows:
            grid.add_row(f"  {plain(row['name']) or t('(of none)')}", *_cells(row))
    every = [_cells(row) for row in (data["total"], *data["communes"], *data["models"])]
    for column, cells in zip(grid.columns[1:], zip(*every, strict=True), strict=True):
        column.min_width = max(map(len, cells))  # names and headings may break on a narrow terminal, figures may not
    base.console().print(grid)
    total = data["total"]
    spent = {name: _length(total[f"{name}_s"]) for name in ("unknown", "commissioning", "maintenance")}
    said = t(
        "Not counted: unknown {unknown}, before the first word {commissioning}, maintenance {maintenance}.", **spent
    )
    base.console().print(said)


def _cells(row: Any) -> list[str]:
    missed, planned = (round(row[f"air_{name}_s"] / 60) for name in ("missed", "planned"))
    counts = [str(row["overdue"]), str(row["repeats"]), f"{missed}/{planned}"]
    times = [_clock(row["mtta_s"]), _clock(row["mttr_s"])]
    return [str(row["nodes"]), _share(row["availability"]), *times, _share(row["verified_share"]), *counts]


def _share(value: float | None) -> str:
    """Percent. 100 is said of nothing less."""
    if value is None or value == 1:
        return "-" if value is None else "100"
    return f"{min(99.99, 100 * value):.2f}"


def _clock(seconds: float | None) -> str:
    """Hours and minutes, rounded: a column of a table has no room for words."""
    minutes = None if seconds is None else round(seconds / 60)
    return "-" if minutes is None else f"{minutes // 60}:{minutes % 60:02}"


def _length(seconds: float | None) -> str:
    from controller.domain.wording import duration

    return "-" if seconds is None else duration(timedelta(seconds=seconds), language())
