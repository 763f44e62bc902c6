"""loa check --replay: what the rules would have said of a recorded file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import Failure
from controller.commands.words import language, t

if TYPE_CHECKING:
    from controller.domain.site import Settings
    from controller.services.replay import Happening, Replay

BROKEN_SHOWN = 20
COLOURS = {"raised": "red", "worse": "red", "cleared": "green"}


def replay(file: Path, settings: Settings, as_json: bool) -> None:
    """Print what would have been raised and cleared, when and why. Ends with status 1 if anything was raised, or if
    the file has lines that are no messages."""
    from controller.services.replay import Replay

    running = Replay(settings, _baselines(settings))
    broken: list[str] = []
    happened = []
    for each in _happenings(file, running, broken):
        happened.append(each)
        if not as_json:
            _print(each, settings)
    data = _plain(running, happened, broken)
    base.show(data, as_json, lambda data: _print_summary(data, settings.site.zone))
    if broken or any(each.what == "raised" for each in happened):
        raise typer.Exit(1)


def _baselines(settings: Settings) -> Any:
    """What nodes were commissioned with, as far as there is a database."""
    if not base.recorded(settings):
        return ()

    async def read(store: Any) -> Any:
        return await store.read(lambda tx: tx.baselines())

    return base.with_store(settings, read, read_only=True)


def _happenings(file: Path, running: Replay, broken: list[str]) -> Iterator[Happening]:
    from controller.services.replay import WireError, parse

    for number, line in _lines(file):
        try:
            record = parse(line) if line.strip() else None
            if record is not None:
                yield from running.feed(record)
        except (ValueError, WireError) as error:
            broken.append(f"{file}:{number}: {error}")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers; how far it is shows on a terminal."""
    from rich.console import Console
    from rich.progress import open as open_with_progress

    try:
        console = Console(stderr=True)
        with open_with_progress(
            file, "rt", encoding="utf-8", errors="replace", description=file.name, console=console, transient=True,
            disable=not console.is_terminal,
        ) as lines:  # fmt: skip
            yield from enumerate(lines, 1)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None


def _plain(running: Replay, happened: list[Happening], broken: list[str]) -> dict[str, Any]:
    from controller.services.readmodels import iso

    return {
        "until": iso(running.now),
        "messages": dict(running.counted),
        "nodes": sorted(running.heard),
        "ignored": dict(running.ignored),
        "broken": broken,
        "events": [
            {
                "at": iso(each.at),
                "what": each.what,
                "node": each.node,
                "code": each.code,
                "severity": each.severity.value,
                "since": iso(each.since),
                "evidence": dict(each.evidence),
            }
            for each in happened
        ],
        "standing": [{"node": node, "code": code} for node, code in sorted(running.standing)],
    }


def _print(each: Happening, settings: Settings) -> None:
    from rich.padding import Padding

    from controller.domain.wording import measured

    rule = next((rule for rule in settings.faults if rule.code == each.code), None)
    title = rule.title.in_language(language()) if rule else each.code
    shown = [measured(name, value, language(), settings.metrics) for name, value in sorted(each.evidence.items())]
    colour = COLOURS[each.what]
    at = each.at.astimezone(settings.site.zone)
    head = f"{at:%d/%m %H:%M:%S}  [{colour}]{t(each.what):8}[/{colour}]  {each.node}  {each.code} ({t(each.severity)})"
    base.console().print(f"{head}  {base.escaped(title)}")
    if shown:
        line = Padding(f"[dim]{base.escaped('; '.join(shown))}[/dim]", (0, 0, 0, 16), expand=False)
        base.console().print(line)


def _print_summary(data: Any, zone: ZoneInfo) -> None:
    base.complain(*data["broken"][:BROKEN_SHOWN])
    if len(data["broken"]) > BROKEN_SHOWN:
        base.complain(t("and {count} more", count=len(data["broken"]) - BROKEN_SHOWN))
    for why, count in sorted(data["ignored"].items()):
        base.complain(t("warning: {text}", text=f"{why}: {count}"))
    events = data["events"]
    print(
        t(
            "{messages} messages of {nodes} nodes: {raised} faults raised, {open} still there, {broken} broken lines",
            messages=sum(data["messages"].values()),
            nodes=len(data["nodes"]),
            raised=sum(each["what"] == "raised" for each in events),
            open=len(data["standing"]),
            broken=len(data["broken"]),
        )
    )
