"""What edits change of the plan: loa changes, and the difference that loa plan --diff and loa import show before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, JsonOption
from controller.commands.words import pick, t

if TYPE_CHECKING:
    from broadcasts.model import Occurrence
    from broadcasts.timeline import Ready
    from controller.domain.site import Settings

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


def preview(config: Path, settings: Settings, ready: Sequence[Ready], as_json: bool) -> bool:
    """Show what `settings` would change of what the nodes of `config` hold; whether it is anything."""
    found = difference(config, settings, ready)
    base.show(found, as_json, lambda data: _print_preview(data, settings.site.zone))
    return any(found["counts"].values())


def _print_preview(data: Any, zone: ZoneInfo) -> None:
    base.console().print(summary(data))
    print_difference(data, zone)


def difference(config: Path, settings: Settings, ready: Sequence[Ready]) -> dict[str, Any]:
    """What nodes would play otherwise if `settings` took effect now, as plain data."""
    from broadcasts.difference import compare
    from broadcasts.recurrence import midnight_after
    from broadcasts.timeline import occurrences
    from controller.services import changelog

    now = datetime.now(UTC)
    site = settings.site
    window = (now, midnight_after(now, site.zone, site.horizon_days))
    wanted = occurrences(ready, site.zone, now - timedelta(days=1), window[1], settings.calendar)
    return changelog.plain(compare(_held(config), wanted, window, site.zone), settings.broadcasts)


def _held(config: Path) -> tuple[Occurrence, ...]:
    """What the nodes are to hold, from the running controller or its database."""
    from broadcasts import typed
    from broadcasts.model import Occurrence

    found = base.running(config)
    if found is not None:
        return typed.convert(found.get("plan"), tuple[Occurrence, ...], strict=False)
    settings = base.load_settings(config)
    return tuple(base.read_store(settings, lambda reporting: reporting.plan())) if base.recorded(settings) else ()


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
