"""What is going on: status, nodes, incidents, selftest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from controller.commands import base, commission
from controller.commands.base import CONFIG, ConfigOption, JsonOption
from controller.commands.changes import summary
from controller.commands.words import pick, t

PER_PAGE = 1000
"""Nodes in one answer of the controller, at most."""

COLOURS = {
    "online": "green",
    "suspect": "yellow",
    "offline": "red",
    "unknown": "dim",
    "critical": "bold red",
    "major": "yellow",
    "minor": "cyan",
}


def status(
    config: ConfigOption = CONFIG,
    health: Annotated[
        bool, typer.Option("--health", help=t("Only whether it does its work, and why not; exit status 1 if not."))
    ] = False,
    as_json: JsonOption = False,
) -> None:
    found = base.controller(config)
    if health:
        verdict = found.health()
        base.show(verdict, as_json, _print_health)
        raise typer.Exit(base.OK if verdict["ok"] else base.PROBLEMS)
    base.show(found.get("status"), as_json, _print_status)


def _print_health(data: Any) -> None:
    out = base.console()
    if data["ok"]:
        out.print(t("well, stands by") if data["standby"] else t("well"))
    for reason in data["reasons"]:
        out.print(f"[red]{_plain(reason['code'])}[/red]  {_plain(reason['text'])}")
    for warning in data["warnings"]:
        out.print(f"[yellow]{_plain(warning)}[/yellow]")


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
    for reason in data["health"]["reasons"]:
        grid.add_row(f"[red]{t('not well')}[/red]", _plain(reason["text"]))
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


def nodes(
    node: Annotated[str, typer.Argument(metavar="[NODE]", help=t("One node in full; all of them, if not given."))] = "",
    find: Annotated[
        str, typer.Option("--find", metavar="WORDS", help=t("Only those with these words in name, place or pole."))
    ] = "",
    trouble: Annotated[bool, typer.Option("--trouble", help=t("Only those not online or with a fault."))] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    found = base.controller(config)
    if node:
        base.show(found.get(f"nodes/{node}"), as_json, lambda data: _print_node(data, found.zone))
        return
    asked = {"q": find or None, "state": "trouble" if trouble else None}
    base.show(_every_page(found, asked), as_json, lambda data: _print_nodes(data, found.zone))


def _every_page(found: base.Controller, asked: Mapping[str, Any]) -> Any:
    """All that the API gives out a page at a time, as one answer."""
    data = page = found.get("nodes", limit=PER_PAGE, **asked)
    communes = {each["id"]: each for each in data["communes"]}
    while page["next"] is not None:
        page = found.get("nodes", limit=PER_PAGE, offset=page["next"], **asked)
        for each in page["communes"]:
            if each["id"] in communes:
                communes[each["id"]]["nodes"] += each["nodes"]
            else:
                communes[each["id"]] = each
    return {**data, "next": None, "communes": list(communes.values())}


def _print_nodes(data: Any, zone: ZoneInfo) -> None:
    grid = base.table("", "", "", "", "")
    grid.show_header = False
    for commune in data["communes"]:
        counts = commune["counts"]
        grid.add_row(f"[bold]{_plain(commune['name'])}[/bold]", "", f"{counts['online']}/{counts['total']}", "", "")
        for node in commune["nodes"]:
            grid.add_row(*_node_cells(node, zone))
    base.console().print(grid)


def _print_node(data: Any, zone: ZoneInfo) -> None:
    out = base.console()
    _, name, state, heard, doing = _node_cells(data, zone)
    out.print(f"[bold]{data['id']}[/bold]  {name}  {state}  {heard}  {doing}")
    _print_unmeasured(data["unmeasured"])
    out.print()
    commission.print_history(data, zone)
    if data["selftests"]:
        _print_tests(data["selftests"], zone)


def _print_unmeasured(rules: Any) -> None:
    if not rules:
        return
    needs = {
        "commissioning": t("needs: loa commission"),
        "selftest": t("needs a self-test that measures it"),
        "sensor": t("this node does not measure it"),
    }
    grid = base.table(t("not measured"), t("missing"), "")
    for rule in rules:
        missing = ", ".join(pick(each["name"]) for each in rule["missing"])
        grid.add_row(pick(rule["title"]), missing, needs[rule["needs"]])
    base.console().print(grid)


def _print_tests(tests: Any, zone: ZoneInfo) -> None:
    """The last self-tests, oldest first, and how each metric went."""
    grid = base.table(t("self-tests"), t("last"), t("lowest"), t("highest"), t("trend"))
    for name, values in _trends(tests).items():
        read = [each["value"] for each in values]
        last, low, high = pick(values[-1]["text"]), f"{min(read):g}", f"{max(read):g}"
        grid.add_row(name, last, low, high, sparkline(read))
    out = base.console()
    out.print(grid)
    for test in tests[:5]:
        failed = ", ".join(pick(part["name"]) for part in test["parts"] if part["result"] == "failed")
        said = f"[green]{t('passed')}[/green]" if test["passed"] else f"[red]{t('not passed')}[/red] {failed}"
        out.print(f"{base.local(test['at'], zone)}  {said}".rstrip())


def _trends(tests: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for test in reversed(tests):
        for each in test["results"]:
            if not isinstance(each["value"], bool | str) and "_base_" not in each["metric"]:
                found.setdefault(pick(each["name"]), []).append(each)
    return found


def sparkline(values: Sequence[float]) -> str:
    """A line of blocks, lowest to highest; flat values stand in the middle."""
    low, span = min(values), max(values) - min(values)
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / span * 7) if span else 3] for value in values)


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
    from rich.padding import Padding

    if not data["incidents"]:
        base.console().print(t("No open incidents."))
        return
    out = base.console()
    for each in data["incidents"]:
        head, *more = _incident_lines(each, zone)
        out.print(head, *(Padding(line, (0, 0, 0, 6), expand=False) for line in more), "", sep="\n")


def _incident_lines(each: Any, zone: ZoneInfo) -> list[str]:
    severity = coloured(each["severity"], pick(each["severity_name"]))
    commune = f"{each['place']['commune_name']}, " if each["place"] else ""
    where = _plain(f"{commune}{each['subject_name']} ({each['subject']})")
    facts = [
        pick(each["title"]),
        t("since {time}", time=base.local(each["opened_at"], zone)),
        pick(each["state_name"]).lower(),
        t("{count} message(s)", count=each["messages"]["sent"] + each["messages"]["digested"]),
    ]
    if each["told"]:
        facts.append(t("told: {people}", people=", ".join(each["told"])))
    if each["silenced_until"]:
        facts.append(t("silenced until {time}", time=base.local(each["silenced_until"], zone)))
    elif each["next_step_at"] and not each["closed_at"]:
        facts.append(t("next step {time}", time=base.local(each["next_step_at"], zone)))
    if each["parent"]:
        facts.append(f"{t('explained by')} {each['parent']}")
    lines = [f"[bold]{each['id']:>4}[/bold]  {severity}  {where}", " · ".join(map(_plain, facts))]
    return lines + ([f"[dim]{_plain(pick(each['advice']))}[/dim]"] if each["advice"] else [])


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


_plain = base.escaped
