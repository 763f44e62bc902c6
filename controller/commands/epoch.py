"""The epoch: whether nodes obey this controller, and what to do after an old database was restored."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, JsonOption
from controller.commands.words import t


def epoch(
    overtake: Annotated[
        bool, typer.Option("--raise", help=t("Raise ours above those of all nodes, so that they obey again."))
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    found = base.controller(config)
    if overtake:
        data = found.post("epoch", by=getpass.getuser())
        said = t("epoch raised from {was} to {epoch}; sent again to {sent} nodes", **_numbers(data))
        base.show(data, as_json, lambda _: print(said))
        return
    data = found.get("epoch")
    base.show(data, as_json, _print)
    raise typer.Exit(base.PROBLEMS if data["ahead"] else base.OK)


def _print(data: Any) -> None:
    print(t("epoch {epoch}", epoch=data["epoch"]))
    if data["ahead"]:
        said = t("{count} nodes know of a later one (up to {highest}) and refuse our orders", **_numbers(data))
        print(f"{said}: {', '.join(sorted(data['ahead']))}")


def _numbers(data: Any) -> dict[str, int]:
    return {name: data[name] for name in ("was", "epoch", "sent", "highest") if name in data} | {
        "count": len(data["ahead"])
    }
