"""Emergencies: begin, change, end, list; and node by node what came of it."""

from __future__ import annotations

import getpass
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.commands import base
from controller.commands.air import VolumeOption
from controller.commands.base import CONFIG, OK, PROBLEMS, USAGE, ConfigOption, Failure, JsonOption, ToOption
from controller.commands.listing import CommandGroup, Commands
from controller.commands.words import pick, t

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rich.console import Group

ANSWER_S = 10.0
LOOK_EVERY_S = 0.25
SPARED = 4
"""Times as long as an answer took, nothing is asked: of ten thousand nodes it is work that their own words wait for."""
SHOWN = 20
GOOD = ("sounding", "ended")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


class _Group(CommandGroup):
    """`loa emergency WHAT` is `loa emergency start WHAT`: nobody looks up a word in an emergency."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


emergency_app = Commands(cls=_Group, no_args_is_help=True)

WhatArgument = Annotated[
    str,
    typer.Argument(metavar="TEXT|FILE|NAME", help=t("A text, an audio file, or the name of a sound that nodes hold.")),
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help=t("As loa emergency list shows it."))]
ForOption = Annotated[
    str | None, typer.Option("--for", metavar="TIME", help=t("So long it may begin or go on: 10m if not given."))
]
RepeatOption = Annotated[
    int | None, typer.Option("--repeat", min=1, max=100, help=t("How often each node sounds it: 3 if not given."))
]
GapOption = Annotated[str | None, typer.Option("--gap", metavar="TIME", help=t("Silence between: 5s if not given."))]
VoiceOption = Annotated[str | None, typer.Option("--voice", help="vi, vi-vn-x-central, vi-vn-x-south")]


@emergency_app.command("start", help=t("Begin one, at once, over everything; the word start may be left out."))
def start(
    what: WhatArgument,
    to: ToOption = None,
    drill: Annotated[bool, typer.Option("--drill", help=t("A drill: says so on air and on every screen."))] = False,
    life: ForOption = None,
    repeat: RepeatOption = None,
    gap: GapOption = None,
    volume: VolumeOption = None,
    voice: VoiceOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    if not to:
        raise Failure(t("say where: --to COMMUNE or ZONE; --to all for everywhere"), USAGE)
    order = {**_message(what), **_manner(life, repeat, gap, volume), "voice": voice, "to": to, "drill": drill}
    found = base.controller(config)
    done = found.post("emergency", **order, by=getpass.getuser())
    _follow(found, done, as_json, _all_answered)


@emergency_app.command("update", help=t("Change what a running one says, how long, how often, how loud."))
def update(
    id: IdArgument,
    what: Annotated[str | None, typer.Argument(metavar="TEXT|FILE|NAME", show_default=False)] = None,
    life: ForOption = None,
    repeat: RepeatOption = None,
    gap: GapOption = None,
    volume: VolumeOption = None,
    voice: VoiceOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    order = {**(_message(what) if what else {}), **_manner(life, repeat, gap, volume), "voice": voice}
    if not any(value is not None for value in order.values()):
        raise Failure(t("say what changes: the text, --for, --repeat, --gap or --volume"), USAGE)
    found = base.controller(config)
    done = found.post(f"emergency/{id}/update", **order, by=getpass.getuser())
    _follow(found, done, as_json, _all_answered)


@emergency_app.command("end", help=t("Take one back: silence, and nobody begins it any more."))
def end(id: IdArgument, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    found = base.controller(config)
    done = found.post(f"emergency/{id}/end", by=getpass.getuser())
    _follow(found, done, as_json, _all_silent)


@emergency_app.command("list", help=t("Those going on, those of the last day, and the sounds that nodes hold."))
def list_(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    data, zone = base.ask(config, "emergency", lambda reporting: reporting.emergencies())
    base.show(data, as_json, lambda data: _print_list(data, zone))


# --- what is ordered ------------------------------------------------------------------------------------------


def _message(what: str) -> dict[str, Any]:
    """A file that is there, the name of a held sound, or else a text; a lone word is no text: it is a typing error."""
    if not what.strip():
        raise Failure(t("there is nothing to say: the text is empty"), USAGE)
    if "\n" not in what and len(what) < 1000 and Path(what).is_file():
        return {"path": str(Path(what).resolve())}
    return {"sound": what} if _NAME.fullmatch(what) else {"text": what}


def _manner(life: str | None, repeat: int | None, gap: str | None, volume: int | None) -> dict[str, Any]:
    gap_s = _seconds(gap, "0s", "10m")
    return {
        "for_s": _seconds(life, "10s", "24h"),
        "times": repeat,
        "gap_ms": None if gap_s is None else gap_s * 1000,
        "volume": volume,
    }


def _seconds(written: str | None, least: str, most: str) -> int | None:
    if written is None:
        return None
    from controller.settings.values import duration  # a third of a second, which only those who ask for it wait

    try:
        return int(duration(least, most)(written).total_seconds())
    except ValueError as error:
        raise Failure(str(error), USAGE) from None


# --- what came of it ------------------------------------------------------------------------------------------


def _all_answered(data: Any) -> bool:
    return not data["counts"]["waiting"]


def _all_silent(data: Any) -> bool:
    return not data["counts"]["sounding"]


def _follow(found: base.Controller, done: Any, as_json: bool, complete: Callable[[Any], bool]) -> None:
    """Show what the nodes say until all have answered, or time is up; the exit status says whether all is well."""
    data = _watch(found, done["id"], as_json, complete)
    if as_json:
        base.print_json({**data, "unpublished": done["unpublished"], "warnings": done["warnings"]})
    elif not sys.stdout.isatty():
        print()  # what is shown live ends without a line break in a file or a pipe
    for warning in done["warnings"]:
        base.complain(warning)
    for zone, why in done["unpublished"].items():
        base.complain(
            t("zone {zone}: not handed to the broker ({why}); it goes out as soon as it is there", zone=zone, why=why)
        )
    raise typer.Exit(PROBLEMS if done["unpublished"] or not _well(data, complete) else OK)


def _well(data: Any, complete: Callable[[Any], bool]) -> bool:
    return complete(data) and (not data["active"] or all(node["state"] in GOOD for node in data["nodes"]))


def _watch(found: base.Controller, id: str, as_json: bool, complete: Callable[[Any], bool]) -> Any:
    from rich.live import Live

    zone, began = found.zone, time.monotonic()
    out = base.console()
    with Live(console=out, auto_refresh=False, transient=False) if not as_json else _Quiet() as live:
        while True:
            asked = time.monotonic()
            data = found.get(f"emergency/{id}")
            took = time.monotonic() - asked
            live.update(_screen(data, zone), refresh=True)
            if complete(data) or time.monotonic() - began > ANSWER_S:
                return data
            time.sleep(max(LOOK_EVERY_S, SPARED * took))


class _Quiet:
    """Shows nothing, for programs."""

    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, *_: object, **__: object) -> None: ...


def _screen(data: Any, zone: ZoneInfo) -> Group:
    """The state of one emergency: what, where, how many nodes do what, and each that does not as it should."""
    from rich.console import Group
    from rich.markup import escape

    colour = "dark_orange3" if data["drill"] else "red"
    title = f"[bold white on {colour}] {_badge(data)} [/] [bold]{escape(data['title'])}[/]"
    zones = ", ".join(each["name"] for each in data["zones"])
    until = base.local(data["not_after"], zone, "%H:%M:%S")
    lines = [
        title,
        t(
            "{id}  {zones}  {state}, until {until}",
            id=data["id"],
            zones=zones,
            state=pick(data["state_name"]),
            until=until,
        ),
        "  ".join(f"{_said(data, state)}: [bold]{number}[/]" for state, number in data["counts"].items() if number),
    ]
    poor = [node for node in data["nodes"] if node["state"] not in GOOD]
    lines += [f"  {escape(_line(node))}" for node in poor[:SHOWN]]
    if len(poor) > SHOWN:
        lines.append(t("  and {count} more: loa why {id}", count=len(poor) - SHOWN, id=data["id"]))
    return Group(*lines)


def _badge(data: Any) -> str:
    return t("DRILL") if data["drill"] else t("EMERGENCY")


def _said(data: Any, state: str) -> str:
    return next(pick(node["state_name"]) for node in data["nodes"] if node["state"] == state)


def _line(node: Any) -> str:
    reason = f": {node['reason']}" if node["reason"] else ""
    return f"{node['name']} ({node['node']})  {pick(node['state_name'])}{reason}"


def _print_list(data: Any, zone: ZoneInfo) -> None:
    out = base.console()
    rows = data["active"] + data["recent"]
    if not rows:
        out.print(t("No emergency, and none on the last day."))
    else:
        grid = base.table(base.whole("ID"), t("what"), t("where"), t("state"), t("ordered"), t("nodes"))
        for each in rows:
            counts = ", ".join(f"{_said(each, state)} {number}" for state, number in each["counts"].items() if number)
            ordered = f"{base.local(each['ordered_at'], zone)} {each['ordered_by']}"
            what = f"{_badge(each)}: {each['title']}"
            zones = ", ".join(one["name"] for one in each["zones"])
            grid.add_row(each["id"], what, zones, pick(each["state_name"]), ordered, counts)
        out.print(grid)
    out.print(t("Sounds that nodes hold: {names}", names=", ".join(data["sounds"]) or "-"))
