"""What is going on: status, nodes, incidents, selftest."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base
from controller.commands.base import CONFIG, ConfigOption, JsonOption
from controller.commands.changes import summary
from controller.commands.words import pick, t

COLOURS = {
    "online": "green",
    "suspect": "yellow",
    "offline": "red",
    "unknown": "dim",
    "critical": "bold red",
    "major": "yellow",
    "minor": "cyan",
}


def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    data = base.controller(config).get("status")
    base.show(data, as_json, _print_status)


def _print_status(data: Any) -> None:
    zone = ZoneInfo(data["site"]["zone"])
    grid = base.table(title=f"[bold]{data['site']['name']}[/bold]")
    nodes = data["nodes"]
    counts = [f"{coloured(name, str(nodes[name]))} {t(name)}" for name in ("online", "suspect", "offline", "unknown")]
    grid.add_row(t("nodes"), f"{nodes['total']}: " + ", ".join(counts))
    open_ = data["incidents"]
    grid.add_row(t("open incidents"), f"{open_['open']} ({open_['critical']} {t('critical')})")
    if leader := data["leader"]:
        grid.add_row(t("leads"), _plain(f"{leader['url']} {leader['instance']}".rstrip()))
    grid.add_row(t("on air now"), str(data["air"]["on_air"]))
    if coming := data["air"]["next"]:
        grid.add_row(t("next"), f"{base.local(coming['start'], zone)}  {coming['title']}")
    for each in data["air"]["not_ready"]:
        grid.add_row(f"[red]{t('not ready')}[/red]", _not_ready(each, zone))
    if change := data["config"]["last_change"]:
        grid.add_row(t("last change"), f"{base.local(change['at'], zone)}  {_plain(change['who'])}: {summary(change)}")
    for problem in data["config"]["problems"]:
        grid.add_row(f"[red]{t('configuration')}[/red]", _plain(problem))
    for warning in data["config"]["warnings"]:
        grid.add_row(f"[yellow]{t('configuration')}[/yellow]", _plain(warning))
    base.console().print(grid)


def _not_ready(each: Any, zone: ZoneInfo) -> str:
    lacking = each["preflight"]["not_ready"]
    named = (f"{node['name']} ({', '.join(pick(lack['text']) for lack in node['lacks'])})" for node in lacking[:5])
    more = [t("and {count} more", count=len(lacking) - 5)] if len(lacking) > 5 else []
    return f"{base.local(each['start'], zone)}  {_plain(each['title'])}: {_plain(', '.join((*named, *more)))}"


def nodes(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    found = base.controller(config)
    base.show(found.get("nodes"), as_json, lambda data: _print_nodes(data, found.zone))


def _print_nodes(data: Any, zone: ZoneInfo) -> None:
    grid = base.table("", "", "", "", "")
    grid.show_header = False
    for commune in data["communes"]:
        counts = commune["counts"]
        grid.add_row(f"[bold]{_plain(commune['name'])}[/bold]", "", f"{counts['online']}/{counts['total']}", "", "")
        for node in commune["nodes"]:
            grid.add_row(*_node_cells(node, zone))
    base.console().print(grid)


def _node_cells(node: Any, zone: ZoneInfo) -> tuple[str, ...]:
    heard = base.local(node["seen_at"], zone)
    doing = [t("plays {title}", title=_plain(node["playing"]["title"]))] if node["playing"] else []
    doing += [coloured(fault["severity"], pick(fault["title"])) for fault in node["faults"]]
    return f"  {node['id']}", _plain(node["name"]), coloured(node["state"], t(node["state"])), heard, ", ".join(doing)


def incidents(
    config: ConfigOption = CONFIG,
    everything: Annotated[bool, typer.Option("--all", help=t("Closed ones of the last 30 days too."))] = False,
    as_json: JsonOption = False,
) -> None:
    data, zone = base.ask(
        config, "incidents", lambda reporting: reporting.incidents(everything), all=1 if everything else None
    )
    base.show(data, as_json, lambda data: _print_incidents(data, zone))


def _print_incidents(data: Any, zone: ZoneInfo) -> None:
    if not data["incidents"]:
        base.console().print(t("No open incidents."))
        return
    out = base.console()
    for each in data["incidents"]:
        out.print(*_incident_lines(each, zone), sep="\n", end="\n\n")


def _incident_lines(each: Any, zone: ZoneInfo) -> list[str]:
    severity = coloured(each["severity"], pick(each["severity_name"]))
    commune = f"{each['place']['commune_name']}, " if each["place"] else ""
    where = _plain(f"{commune}{each['subject_name']} ({each['subject']})")
    facts = [
        pick(each["title"]),
        t("since {time}", time=base.local(each["opened_at"], zone)),
        pick(each["state_name"]).lower(),
        t("{count} message(s)", count=each["messages"]["sent"]),
    ]
    if each["parent"]:
        facts.append(f"{t('explained by')} {each['parent']}")
    lines = [f"[bold]{each['id']:>4}[/bold]  {severity}  {where}", f"      {' · '.join(map(_plain, facts))}"]
    return lines + ([f"      [dim]{_plain(pick(each['advice']))}[/dim]"] if each["advice"] else [])


def selftest(
    node: Annotated[str, typer.Argument(metavar="NODE")], config: ConfigOption = CONFIG, as_json: JsonOption = False
) -> None:
    data = base.controller(config).post(f"nodes/{node}/selftest")
    said = t("{node}: self-test ordered; its result comes as a journal entry.", node=node)
    base.show(data, as_json, lambda _: print(said))


def coloured(kind: str, text: str) -> str:
    """`text` in the colour of a state or severity."""
    colour = COLOURS.get(kind)
    return f"[{colour}]{text}[/{colour}]" if colour else text


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
