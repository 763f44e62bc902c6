"""Before anything is on air: check, plan."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.commands import alerts, base, changes
from controller.commands.base import CONFIG, ConfigOption, Failure, FolderArgument, JsonOption
from controller.commands.words import t

if TYPE_CHECKING:
    from broadcasts.model import Broadcast, Occurrence
    from broadcasts.review import Review
    from broadcasts.timeline import LeftOut, Ready
    from controller.domain.site import Settings


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ICS = "ics"


FromOption = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help=t("First local day, as 2026-11-25; now if not given."))
]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=366, help=t("How many days."))]
NodeOption = Annotated[str | None, typer.Option("--node", metavar="NODE", help=t("What this node plays only."))]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help=t("table for people, json for programs, csv for spreadsheets, ics for calendars.")),
]
DiffOption = Annotated[
    bool, typer.Option("--diff", help=t("Instead, what DIR would change of what the nodes hold now."))
]


ReplayOption = Annotated[
    Path | None,
    typer.Option(
        "--replay",
        metavar="FILE",
        help=t("Instead, what the rules would have said of a record of loa listen --record."),
    ),
]


@dataclass(frozen=True)
class Rendering:
    """What listening to all audio gave. Lines carry the place of the broadcast."""

    ready: tuple[Ready, ...]
    refused: tuple[str, ...]
    warnings: tuple[str, ...]


def check(
    folder: FolderArgument = None,
    recorded: ReplayOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    from controller.domain import acceptance

    config = folder or config
    settings = base.load_settings(config)
    if recorded is not None:
        from controller.commands.replay import replay

        replay(recorded, settings, as_json)
        return
    rendering = render(settings)
    problems = [*rendering.refused, *acceptance.refused(rendering.ready, settings, datetime.now(UTC))]
    found = {"problems": problems, "warnings": [*settings.warnings, *rendering.warnings, *alerts.rota_gaps(settings)]}
    base.show(found, as_json, lambda _: base.complain(*problems, *_marked(found["warnings"])))
    if problems:
        raise Failure(t("{count} problem(s) in {folder}", count=len(problems), folder=config))
    if not as_json:
        nodes, broadcasts = len(settings.nodes), len(settings.broadcasts)
        print(
            t(
                "{folder} is fine: {nodes} nodes, {broadcasts} broadcasts.",
                folder=config,
                nodes=nodes,
                broadcasts=broadcasts,
            )
        )


def _marked(warnings: Sequence[str]) -> list[str]:
    return [t("warning: {text}", text=text) for text in warnings]


def plan(
    folder: FolderArgument = None,
    first: FromOption = None,
    days: DaysOption = 7,
    node: NodeOption = None,
    form: FormatOption = Format.TABLE,
    diff: DiffOption = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    from broadcasts.review import lines
    from broadcasts.timeline import left_out, occurrences
    from controller.domain import acceptance

    settings = base.load_settings(folder or config)
    if node is not None and node not in settings.nodes:
        raise Failure(t("unknown node '{node}'", node=node))
    start, end = _window(first, days, settings)
    rendering = render(settings)
    if diff:
        changes.preview(config, settings, rendering.ready, as_json or form is Format.JSON)
        return
    window = (settings.site.zone, start, end, settings.calendar)
    found = acceptance.look(rendering.ready, settings, start, end)
    rows = [_row(one, settings, _notes(found, one.id, node)) for one in occurrences(rendering.ready, *window)]
    rows += [_skipped_row(one, settings) for one in left_out(settings.broadcasts.values(), *window)]
    rows = sorted((row for row in rows if node is None or node in row["nodes"]), key=_by_start)
    _print(rows, Format.JSON if as_json else form, settings)
    forbidden = lines(found.refusals, settings.broadcasts)
    base.complain(*rendering.refused, *forbidden)
    if rendering.refused:
        raise Failure(t("{count} broadcast(s) are left out: their audio is refused", count=len(rendering.refused)))
    if forbidden:
        raise Failure(t("{count} problem(s) in {folder}", count=len(forbidden), folder=folder or config))


def _print(rows: list[dict[str, Any]], form: Format, settings: Settings) -> None:
    from controller.commands import planfiles

    if form is Format.CSV:
        typer.echo(planfiles.as_csv(rows), nl=False)
    elif form is Format.ICS:
        typer.echo(planfiles.as_ical(rows, settings, datetime.now(UTC)), nl=False)
    else:
        base.show(rows, form is Format.JSON, _print_plan)


def _notes(found: Review, occurrence: str, node: str | None) -> list[dict[str, Any]]:
    """What will happen to an airing on some nodes, or on `node`: it waits, or gives way."""
    return [
        {"text": note.text, "nodes": list(note.nodes)}
        for note in found.notes.get(occurrence, ())
        if node is None or node in note.nodes
    ]


def _window(first: str | None, days: int, settings: Settings) -> tuple[datetime, datetime]:
    zone = settings.site.zone
    if first is None:
        start = datetime.now(UTC).astimezone(zone)
        day = start.date()
    else:
        day = _covered(base.day(first), days)
        start = datetime(day.year, day.month, day.day, tzinfo=zone)
    after = day + timedelta(days=days)
    return start.astimezone(UTC), datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)


def _covered(day: date, days: int) -> date:
    from broadcasts import calendar

    if calendar.FIRST + calendar.MARGIN <= day <= calendar.LAST - calendar.MARGIN - timedelta(days=days):
        return day
    years = {"first": calendar.FIRST.year + 1, "last": calendar.LAST.year - 1}
    raise Failure(t("the calendar reaches from {first} to {last}", **years), base.USAGE)


def _row(one: Occurrence, settings: Settings, notes: list[dict[str, Any]]) -> dict[str, Any]:
    zone = settings.site.zone
    return {
        "occurrence": one.id,
        "broadcast": one.broadcast,
        "title": one.title,
        "start": one.start.astimezone(zone).isoformat(),
        "end": one.end.astimezone(zone).isoformat(),
        "priority": one.priority.value,
        "to": list(settings.broadcasts[one.broadcast].to),
        "except": list(settings.broadcasts[one.broadcast].exclude),
        "nodes": list(one.nodes),
        "skipped": None,
        "notes": notes,
    }


def _skipped_row(one: LeftOut, settings: Settings) -> dict[str, Any]:
    """As `_row`, of an airing that there is not: without id and end, and with the reason."""
    broadcast, skipped = one.broadcast, one.skipped
    return {
        "occurrence": None,
        "broadcast": broadcast.id,
        "title": broadcast.title,
        "start": skipped.start.astimezone(settings.site.zone).isoformat(),
        "end": None,
        "priority": broadcast.priority.value,
        "to": list(broadcast.to),
        "except": list(broadcast.exclude),
        "nodes": list(settings.targets(broadcast.to, broadcast.exclude)),
        "skipped": {"reason": skipped.reason.value, "detail": skipped.detail},
        "notes": [],
    }


def _by_start(row: dict[str, Any]) -> tuple[datetime, str]:
    return datetime.fromisoformat(row["start"]), row["broadcast"]


def _print_plan(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print(t("Nothing is planned."))
        return
    grid = base.table(t("time"), t("length"), t("broadcast"), t("where"), t("nodes"))
    for day, of_day in groupby(rows, key=lambda row: datetime.fromisoformat(row["start"]).date()):
        grid.add_row(f"[bold]{day:%d/%m/%Y}[/bold]")
        for row in of_day:
            grid.add_row(*_cells(row))
            for note in row["notes"]:
                grid.add_row("", "", f"[dim]{note['text']}[/dim]", "", str(len(note["nodes"])))
    base.console().print(grid)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row["skipped"]:
        return _skipped_cells(row)
    start, end = (datetime.fromisoformat(row[key]) for key in ("start", "end"))
    length = int((end - start).total_seconds() + 0.5)
    where = ", ".join(row["to"]) + (f" - {', '.join(row['except'])}" if row["except"] else "")
    title = f"{row['title']} [dim]{row['broadcast']}[/dim]"
    return f"  {start:%H:%M}", f"{length // 60}:{length % 60:02}", title, where, str(len(row["nodes"]))


def _skipped_cells(row: dict[str, Any]) -> tuple[str, ...]:
    start, skipped = datetime.fromisoformat(row["start"]), row["skipped"]
    why = {
        "holiday": t("holiday: {name}", name=skipped["detail"]),
        "skipped": t("skipped: {dates}", dates=skipped["detail"]),
        "no such date": t("no such date: {date}", date=skipped["detail"]),
    }[skipped["reason"]]
    return f"[dim]  {start:%H:%M}", "[dim]-", f"[dim]{row['title']} {row['broadcast']}", f"[dim]{why}", "[dim]-"


# --- audio --------------------------------------------------------------------------------------------------


def render(settings: Settings) -> Rendering:
    """Render the audio of every broadcast, with a progress bar on a terminal; what was rendered before is quick."""
    from rich.console import Console
    from rich.progress import Progress

    from broadcasts.studio.ffmpeg import FfmpegMissing

    broadcasts = list(settings.broadcasts.values())
    console = Console(stderr=True)
    with (
        base.failing(FfmpegMissing),
        Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as progress,
    ):
        task = progress.add_task(t("listening to the audio"), total=len(broadcasts))
        outcomes = asyncio.run(_render(settings, broadcasts, lambda: progress.advance(task)))
    return _sorted_out(settings, broadcasts, outcomes)


async def _render(settings: Settings, broadcasts: Sequence[Broadcast], step: Any) -> list[Any]:
    from broadcasts.studio.errors import AudioRefused
    from broadcasts.studio.library import Studio
    from broadcasts.studio.targets import Targets
    from controller.adapters.datafolder import DataFolder

    # the controller's own: what is rendered here need not be rendered again there
    studio = Studio(DataFolder(Path(settings.site.data)).audio, Targets(**asdict(settings.site.studio)))

    async def one(broadcast: Broadcast) -> Any:
        try:
            return await studio.render(broadcast.play)
        except AudioRefused as error:
            return str(error)
        finally:
            step()

    try:
        return list(await asyncio.gather(*map(one, broadcasts)))
    finally:
        studio.close()


def _sorted_out(settings: Settings, broadcasts: Sequence[Broadcast], outcomes: Sequence[Any]) -> Rendering:
    from broadcasts.timeline import Ready

    ready, refused, warnings = [], [], []
    for broadcast, outcome in zip(broadcasts, outcomes, strict=True):
        place = f"{broadcast.place}: broadcast '{broadcast.id}'"
        if isinstance(outcome, str):
            refused.append(f"{place}: {outcome}")
        else:
            ready.append(Ready(broadcast, outcome, settings.targets(broadcast.to, broadcast.exclude)))
            warnings += [f"{place}: {text}" for text in outcome.warnings]
    return Rendering(tuple(ready), tuple(refused), tuple(warnings))
