"""Now: say, play, stop, volume."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.commands import base
from controller.commands.base import CONFIG, USAGE, ConfigOption, Failure, JsonOption, ToOption
from controller.commands.words import t

SHOWN = 5

OverrideOption = Annotated[
    str,
    typer.Option(
        "--override",
        metavar="REASON",
        help=t("Why it must be, in quiet hours or past another guard; the reason is kept."),
    ),
]
VolumeOption = Annotated[int | None, typer.Option("--volume", min=0, max=100, help=t("Volume, 0 to 100."))]


def say(
    text: Annotated[str, typer.Argument(metavar="TEXT", help=t("What to say, in Vietnamese with its diacritics."))],
    to: ToOption = None,
    voice: Annotated[str | None, typer.Option("--voice", help="vi, vi-vn-x-central, vi-vn-x-south")] = None,
    volume: VolumeOption = None,
    override: OverrideOption = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    if not text.strip():
        raise Failure(t("there is nothing to say: the text is empty"), USAGE)
    order = {"text": text, "to": _wanted(to), "voice": voice, "volume": volume, "by": getpass.getuser()}
    order["override"] = override
    _order(config, "say", order, as_json)


def play(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=t("An audio file: WAV, MP3, OGG, Opus, FLAC, M4A."))],
    to: ToOption = None,
    volume: VolumeOption = None,
    override: OverrideOption = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    if not file.is_file():
        raise Failure(t("{file} is not a file", file=file), USAGE)
    order = {"path": str(file.resolve()), "to": _wanted(to), "volume": volume, "by": getpass.getuser()}
    order["override"] = override
    _order(config, "play", order, as_json)


def stop(to: ToOption = None, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    data = base.controller(config).post("stop", to=to or ["all"], by=getpass.getuser())
    base.show(data, as_json, _print_stopped)


def volume(
    percent: Annotated[int, typer.Argument(metavar="PERCENT", min=0, max=100, help=t("Volume, 0 to 100."))],
    to: ToOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    data = base.controller(config).post("volume", volume=percent, to=_wanted(to), by=getpass.getuser())
    base.show(data, as_json, _print_turned)


def _print_turned(data: Any) -> None:
    reached = len(data["nodes"]) - len(data["unreachable"])
    print(t("{count} node(s) turn what sounds to {volume} %.", count=reached, volume=data["volume"]))
    if silent := data["unreachable"]:
        some = ", ".join(list(silent)[:SHOWN]) + (" ..." if len(silent) > SHOWN else "")
        base.complain(t("{count} node(s) are not connected: {some}", count=len(silent), some=some))


def _wanted(to: list[str] | None) -> list[str]:
    if not to:
        raise Failure(t("say where: --to COMMUNE, ZONE or NODE; --to all for everywhere"), USAGE)
    return to


def _order(config: Path, path: str, order: dict[str, Any], as_json: bool) -> None:
    found = base.controller(config)
    with base.console().status(t("rendering and sending to the nodes ...")):
        data = found.post(path, **order)
    base.show(data, as_json, lambda data: _print_aired(data, found))


def _print_aired(data: Any, found: base.Controller) -> None:
    start = base.local(data["start"], found.zone, "%H:%M:%S")
    print(
        t("{id}: starts at {start} on {count} node(s).", id=data["occurrence"], start=start, count=len(data["nodes"]))
    )
    for warning in data["warnings"]:
        base.complain(warning)
    print(t("How it went: loa why {id}", id=data["occurrence"]))


def _print_stopped(data: Any) -> None:
    print(t("Stopped: {what}", what=", ".join(data["stopped"]) or t("nothing was sounding")))
    if silent := data["unreachable"]:
        some = ", ".join(list(silent)[:SHOWN]) + (" ..." if len(silent) > SHOWN else "")
        said = t(
            "{count} node(s) are not connected and learn of it when they are: {some}", count=len(silent), some=some
        )
        base.complain(said)
