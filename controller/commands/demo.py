"""A whole network on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from controller.commands import base
from controller.commands.base import CONFIG, USAGE, ConfigOption, Failure
from controller.commands.words import t

UNITS = {"s": 1, "m": 60, "h": 3600}

ForOption = Annotated[
    str | None, typer.Option("--for", metavar="TIME", help=t("End by itself, as 60s or 5m; with Ctrl-C if not given."))
]
JsonFileOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help=t("Write the summary there as JSON."))
]
PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help=t("The page's port, or the next free one."))]


def demo(
    lasting: ForOption = None, report: JsonFileOption = None, port: PortOption = 8080, config: ConfigOption = CONFIG
) -> None:
    from controller.demo.home import DemoError
    from controller.demo.stage import perform

    seconds = seconds_of(lasting) if lasting else None
    base.load_settings(config)
    with base.failing(DemoError):
        raise typer.Exit(perform(config, seconds=seconds, report=report, port=port))


def seconds_of(text: str) -> float:
    """A length of time, as 60s, 5m, 1h or plain seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    try:
        seconds = float(number) * UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise Failure(t("'{text}' is not a length of time; write it as 60s or 5m", text=text), USAGE)
    return seconds
