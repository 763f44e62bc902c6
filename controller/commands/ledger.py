"""What was really heard: log, why."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, JsonOption
from controller.commands.words import pick, t

SECONDS = 1000


DayOption = Annotated[
    str | None, typer.Option("--date", metavar="YYYY-MM-DD", help=t("A local day; today if not given."))
]


def log(
    day: DayOption = None,
    everything: Annotated[bool, typer.Option("--nodes", help=t("A line for every node."))] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    found = base.running(config)
    if found is not None:
        zone = found.zone
        data = found.get("log", date=_day(day, zone).isoformat())
    else:
        settings = base.load_settings(config)
        zone = settings.site.zone
        data = base.read_store(settings, lambda reporting: reporting.log(_day(day, zone)))
    base.show(data, as_json, lambda data: _print_log(data, zone, everything))


def _day(written: str | None, zone: ZoneInfo) -> date:
    return base.day(written) if written else datetime.now(zone).date()


def _print_log(data: Any, zone: ZoneInfo, everything: bool) -> None:
    if not data["occurrences"]:
        base.console().print(t("Nothing was due on {date}.", date=data["date"]))
        return
    grid = base.table(t("time"), t("broadcast"), t("nodes"), t("how it went"), title=data["date"])
    for each in data["occurrences"]:
        title = f"{each['title']} [dim]{each['occurrence']}[/dim]"
        went = t("cancelled") if each["cancelled_at"] else _counts(each["counts"])
        grid.add_row(base.local(each["start"], zone, "%H:%M"), title, str(len(each["nodes"])), went)
        for line in each["nodes"] if everything else ():
            grid.add_row("", f"  {line['name']} [dim]{line['node']}[/dim]", "", _went(line))
    base.console().print(grid)


def _counts(counts: Any) -> str:
    return ", ".join(f"{number} {t(kind)}" for kind, number in counts.items() if number)


def _went(line: Any) -> str:
    said = pick(line["heard_name"])
    if line["played_ms"] is not None:
        said += f", {line['played_ms'] / SECONDS:.1f} s"
    return said + (f" ({line['reason']})" if line["reason"] else "")


def why(
    occurrence: Annotated[str, typer.Argument(metavar="OCCURRENCE", help=t("As loa log shows it: broadcast@time."))],
    node: Annotated[str | None, typer.Argument(metavar="NODE", show_default=False)] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    data, zone = base.ask(config, f"why/{occurrence}", lambda reporting: reporting.why(occurrence, node), node=node)
    base.show(data, as_json, lambda data: _print_why(data, zone))


def _print_why(data: Any, zone: ZoneInfo) -> None:
    out = base.console()
    out.print(f"[bold]{data['title']}[/bold]  {data['occurrence']}  {base.local(data['start'], zone)}")
    if rule := data.get("rule"):
        out.print(base.plain(pick(rule["text"])))
    out.print(_counts(data["counts"]))
    for told in data["nodes"]:
        out.print(f"\n[bold]{told['name']}[/bold] [dim]{told['node']}[/dim]: {_went(told)}")
        for step in told["story"]:
            reason = f": {pick(step['reason_text'])}" if step["reason_text"] else ""
            out.print(f"  {base.local(step['at'], zone, '%H:%M:%S')}  {base.plain(pick(step['text']) + reason)}")
