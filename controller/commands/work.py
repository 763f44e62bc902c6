"""Repairs: orders, assign, ack, begin, repaired, note."""

from __future__ import annotations

import getpass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, JsonOption, plain
from controller.commands.state import coloured
from controller.commands.words import language, pick, t

IncidentArgument = Annotated[int, typer.Argument(metavar="ID", help=t("Number of the incident, see loa incidents."))]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help=t("Who says so; you, if not given."))]
NoteOption = Annotated[str, typer.Option("--note", help=t("What was done."))]
PhotoOption = Annotated[
    list[Path] | None,
    typer.Option("--photo", metavar="FILE", help=t("A picture (JPEG, PNG, WebP); may be given several times.")),
]


def orders(
    id: Annotated[int | None, typer.Argument(metavar="ID", help=t("Only this one, with its whole history."))] = None,
    person: Annotated[str, typer.Option("--person", metavar="PERSON", help=t("Only this person's."))] = "",
    overdue: Annotated[bool, typer.Option("--overdue", help=t("Only those past their time."))] = False,
    everything: Annotated[bool, typer.Option("--all", help=t("Ended ones of the last 30 days too."))] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    if id is not None:
        data, zone = base.ask(config, f"orders/{id}", lambda reporting: reporting.order(id))
        base.show(data, as_json, lambda data: _print_one(data, zone))
        return
    data, zone = base.ask(
        config,
        "orders",
        lambda reporting: reporting.orders(everything, person, overdue),
        all=1 if everything else None,
        person=person or None,
        overdue=1 if overdue else None,
    )
    base.show(data, as_json, lambda data: _print_orders(data, zone))


def _print_orders(data: Any, zone: ZoneInfo) -> None:
    if not data["orders"]:
        base.console().print(t("No work orders."))
        return
    grid = base.table(t("No."), t("What"), t("Where"), t("Assignee"), t("Due"), t("State"))
    for each in data["orders"]:
        order = each["work_order"]
        title = coloured(each["severity"], plain(pick(each["title"])))
        grid.add_row(str(each["id"]), title, _where(each), plain(order["assignee_name"]) or "-", *_due(order, zone))
    base.console().print(grid)


def _where(each: Any) -> str:
    commune = f"{each['place']['commune_name']}, " if each["place"] else ""
    return plain(f"{commune}{each['subject_name']}")


def _due(order: Any, zone: ZoneInfo) -> tuple[str, str]:
    due = base.local(order["due_at"], zone)
    return f"[bold red]{due} {t('overdue')}[/bold red]" if order["overdue"] else due, plain(pick(order["state_name"]))


def _print_one(each: Any, zone: ZoneInfo) -> None:
    out, order = base.console(), each["work_order"]
    out.print(f"[bold]{each['id']}[/bold]  {coloured(each['severity'], plain(pick(each['title'])))}  {_where(each)}")
    if order:
        due, state = _due(order, zone)
        out.print(f"{t('Assignee')}: {plain(order['assignee_name']) or '-'} · {t('Due')}: {due} · {state}")
    for name, text in ((t("To do"), each["advice"]), (t("Safety"), each["safety"]), (t("Bring"), each["parts"])):
        if text:
            out.print(f"{name}: {plain(pick(text))}")
    out.print()
    for step in sorted((*each["history"], *each["photos"]), key=lambda one: datetime.fromisoformat(one["at"])):
        out.print(f"  {base.local(step['at'], zone)}  {_happened(step)}")


def _happened(step: Any) -> str:
    if "sha256" in step:
        return f"{t('picture')} {step['type']} {max(1, round(step['size'] / 1e3))} kB {step['sha256'][:12]}"
    ours = step["by"] == "loa"  # whose reasons are for maintainers, in English
    reason = step["reason"] if not ours or language() == "en" else ""
    said = plain(pick(step["name"]) + (f": {reason}" if reason else ""))
    return f"{said} [dim]({plain(step['by_name'])})[/dim]"


def assign(
    id: IncidentArgument,
    person: Annotated[str, typer.Argument(metavar="PERSON", help=t("Who gets it, as alerts.yaml calls them."))],
    by: ByOption = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    data = base.controller(config).post(f"incidents/{id}/assign", by=by or getpass.getuser(), to=person)
    name = data["work_order"]["assignee_name"]
    base.show(data, as_json, lambda _: print(t("Incident {id}: given to {name}.", id=id, name=name)))


def ack(id: IncidentArgument, by: ByOption = "", config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    _step(config, id, "ack", by, as_json, t("Incident {id}: acknowledged.", id=id))


def begin(id: IncidentArgument, by: ByOption = "", config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    _step(config, id, "begin", by, as_json, t("Incident {id}: in repair.", id=id))


def repaired(
    id: IncidentArgument,
    note: NoteOption = "",
    photo: PhotoOption = None,
    by: ByOption = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    said = t("Incident {id}: repair noted. It closes when the node's own measurements are good again.", id=id)
    _step(config, id, "repaired", by, as_json, said, note, photo)


def note(
    id: IncidentArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help=t("What is worth knowing."))] = "",
    photo: PhotoOption = None,
    by: ByOption = "",
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    said = t("Incident {id}: noted.", id=id)
    _step(config, id, "note" if text or not photo else "", by, as_json, said, text, photo)


def _step(
    config: Path,
    id: int,
    step: str,
    by: str,
    as_json: bool,
    said: str,
    note: str = "",
    photos: list[Path] | None = None,
) -> None:
    """Pictures first: when one is refused, nothing was said yet."""
    brought = [(path, _read(path)) for path in photos or ()]
    running, who = base.controller(config), by or getpass.getuser()
    data = None
    for path, content in brought:
        try:
            data = running.upload(f"incidents/{id}/photos", content, by=who)
        except base.Failure as failure:
            raise base.Failure(f"{path}: {failure}", failure.status) from None
    if step:
        data = running.post(f"incidents/{id}/{step}", by=who, note=note)
    base.show(data, as_json, lambda _: print(said))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise base.Failure(f"{path}: {error.strerror}") from None
