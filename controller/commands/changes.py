"""What edits change of the plan: loa changes, and the difference that loa plan --diff and loa import show before."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, JsonOption
from controller.commands.words import pick, t

SHOWN = 40
"""Airings of each kind that a terminal shows; --json has all of them."""

SIGNS = {
    "added": "[green]+[/green]",
    "moved": "[cyan]>[/cyan]",
    "changed": "[cyan]~[/cyan]",
    "cancelled": "[red]-[/red]",
}


def changes(
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help=t("How many, the newest first."))] = 10,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    data, zone = base.ask(config, "changes", lambda reporting: reporting.changes(limit), limit=limit)
    base.show(data, as_json, lambda data: _print_changes(data, zone))


def _print_changes(data: Any, zone: ZoneInfo) -> None:
    if not data["changes"]:
        base.console().print(t("The plan was not changed yet."))
    for each in data["changes"]:
        heading = summary(each) if each["taken"] else t("refused, {count} problem(s)", count=len(each["problems"]))
        base.console().print(f"[bold]{base.local(each['at'], zone)}[/bold]  {base.plain(each['who'])}: {heading}")
        for problem in each["problems"][:SHOWN]:
            base.console().print(f"  {base.plain(problem)}")
        print_difference(each, zone)


def summary(difference: Any) -> str:
    """How many airings are added, moved, changed, cancelled, in words."""
    counts = difference["counts"]
    words = {
        "added": t("{count} added", count=counts["added"]),
        "moved": t("{count} moved", count=counts["moved"]),
        "changed": t("{count} changed", count=counts["changed"]),
        "cancelled": t("{count} cancelled", count=counts["cancelled"]),
    }
    return ", ".join(said for kind, said in words.items() if counts[kind]) or t("no airing changes")


def print_difference(difference: Any, zone: ZoneInfo) -> None:
    """A line for each airing, with its time before and after."""
    for kind, sign in SIGNS.items():
        for each in difference[kind][:SHOWN]:
            base.console().print(f"  {sign} {_line(each, zone)}")
        if (more := difference["counts"][kind] - SHOWN) > 0:
            base.console().print(f"  {sign} {t('and {count} more', count=more)}")


def _line(each: Any, zone: ZoneInfo) -> str:
    stamps = [each["was"]] if each["was"] != each["start"] else []
    times = " -> ".join(base.local(at, zone, "%d/%m/%Y %H:%M") for at in (*stamps, each["start"]) if at)
    what = ", ".join(pick(text) for text in each["what_text"])
    place = f" [dim]{base.plain(each['place'])}[/dim]" if each["place"] else ""
    return f"{times}  {base.plain(each['title'])} [dim]{each['occurrence']}[/dim]{f' ({what})' if what else ''}{place}"
