"""Putting a node into service: what it measures now is what its rules compare with from then on."""

from __future__ import annotations

import getpass
import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, Controller, Failure, JsonOption
from controller.commands.words import pick, t

PATIENCE_S = 60.0
"""A node has this long to test itself and to say so."""
LOOK_EVERY_S = 0.5

NodeArgument = Annotated[str, typer.Argument(metavar="NODE")]


def commission(
    node: NodeArgument,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help=t("Who says so; you, if not given."))] = "",
    note: Annotated[str, typer.Option("--note", help=t("What was done."))] = "",
    newest: Annotated[bool, typer.Option("--newest", help=t("Take the newest self-test; order none."))] = False,
    yes: Annotated[bool, typer.Option("--yes", help=t("Ask nothing; refuse what is outside the range."))] = False,
    show: Annotated[bool, typer.Option("--show", help=t("Only show the commissionings so far."))] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    found = base.controller(config)
    if show:
        base.show(found.get(f"nodes/{node}"), as_json, lambda data: print_history(data, found.zone))
        return
    data = found.get(f"nodes/{node}") if newest else _tested(found, node)
    if not data["commissioning"]:
        raise Failure(t("{node}: no self-test that measured anything with a baseline", node=node))
    if not as_json:
        _print_measured(data, found.zone)
    outside = [each["metric"] for each in data["commissioning"] if not each["fits"]]
    _ask(outside, yes or as_json)
    done = found.post(
        f"nodes/{node}/commission", test=data["selftests"][0]["id"], by=by or getpass.getuser(), note=note
    )
    said = t("{node}: commissioned. Its rules compare with these values from now on.", node=node)
    base.show(done, as_json, lambda _: print(said))


def _ask(outside: list[str], sure: bool) -> None:
    if sure and outside:
        raise Failure(t("outside the expected range: {metrics}; nothing was written", metrics=", ".join(outside)))
    question = t("Outside the expected range. Take these values all the same?") if outside else t("Take these values?")
    if not sure and not typer.confirm(question, default=not outside):
        raise Failure(t("nothing was written"))


def _tested(found: Controller, node: str) -> Any:
    """The node after a self-test that was ordered now. Failure if none comes."""
    before = found.get(f"nodes/{node}")
    known = before["selftests"][0]["id"] if before["selftests"] else 0
    found.post(f"nodes/{node}/selftest")
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        data = found.get(f"nodes/{node}")
        if data["selftests"] and data["selftests"][0]["id"] > known:
            return data
        time.sleep(LOOK_EVERY_S)
    raise Failure(t("{node}: no result of the self-test within {seconds} s", node=node, seconds=int(PATIENCE_S)))


def _print_measured(data: Any, zone: ZoneInfo) -> None:
    test = data["selftests"][0]
    title = t("Self-test of {time}", time=base.local(test["at"], zone))
    grid = base.table(t("measured"), t("value"), t("expected"), t("so far"), title=title)
    for each in data["commissioning"]:
        low_high = "-" if each["expected"] is None else f"{each['expected'][0]:g}..{each['expected'][1]:g}"
        before = "-" if each["before"] is None else f"{each['before']:g}"
        colour = "green" if each["fits"] else "red"
        grid.add_row(pick(each["name"]), f"[{colour}]{pick(each['text'])}[/{colour}]", low_high, before)
    base.console().print(grid)


def print_history(data: Any, zone: ZoneInfo) -> None:
    """Every commissioning of a node, newest first."""
    if not data["commissioned"]:
        base.console().print(t("{node}: never commissioned; start with: loa commission {node}", node=data["id"]))
        return
    grid = base.table(t("when"), t("who"), t("values"), t("note"))
    for each in data["commissioned"]:
        values = "\n".join(f"{pick(value['name'])}: {pick(value['text'])}" for value in each["values"])
        grid.add_row(base.local(each["at"], zone), base.escaped(each["by"]), values, base.escaped(each["note"]))
    base.console().print(grid)
