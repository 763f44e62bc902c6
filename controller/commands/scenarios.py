"""A scenario: played by simulated nodes against a running controller, or verified in compressed time."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from rich.table import Column

from controller.adapters.process import bound
from controller.commands import base
from controller.commands.base import Failure
from controller.commands.words import t
from controller.domain.site import Settings
from controller.rehearsal import district, real, scenario, verdict
from controller.rehearsal.scenario import Scenario
from controller.rehearsal.stage import Stage
from controller.rehearsal.verdict import Concluded, Difference
from controller.settings import ConfigError, load
from simulators.control import taken


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scenario, played. `differences` is None when nothing was compared; `took_s` is what it cost."""

    scenario: Scenario
    got: Concluded
    differences: list[Difference] | None
    took_s: float


def listed(as_json: bool) -> None:
    """The scenarios that ship."""
    rows = [{"name": name, "story": str(opened(name).story)} for name in scenario.names()]
    base.show(rows, as_json, lambda rows: print("\n".join(f"{row['name']:20} {row['story']}" for row in rows)))


def opened(name: str) -> Scenario:
    """That scenario; Failure with every mistake in its file."""
    if not name.endswith(".yaml") and name not in scenario.names():
        hint = base.meant(name, scenario.names())
        raise Failure(
            t("no scenario '{name}' ships{hint}; those that do: loa simulate --scenario list", name=name, hint=hint)
        )
    try:
        return scenario.load(name)
    except ConfigError as error:
        raise Failure(str(error)) from None


def written(name: str, rules: Path, folder: Path) -> None:
    """The configuration of a scenario's district, for a controller that runs for real."""
    chosen = opened(name)
    base.load_settings(rules)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise Failure(t("{folder}: there is something already; name a folder that is new or empty", folder=folder))
    try:
        district.write(chosen, rules, folder)
    except OSError as error:
        raise Failure(str(error)) from None
    print(t("written: {folder}. Now: loa --config {folder} run", folder=folder))


def verified(name: str, rules: Path, as_json: bool) -> None:
    """Play in compressed time and compare; Failure if anything is not as it was to be. `all`: every one that ships."""
    chosen = [opened(each) for each in (scenario.names() if name == "all" else [name])]
    base.load_settings(rules)  # its mistakes, in the operator's own files
    outcomes = []
    for each in chosen:
        outcomes.append(_verify(each, rules))
        if not as_json:
            _print(outcomes[-1])  # all of them take a minute: each as it comes
    plain = [_plain(outcome) for outcome in outcomes]
    base.show(plain if name == "all" else plain[0], as_json, lambda _: None)
    _end(outcomes)


def for_real(
    name: str, config: Path, fleet: list[str], controls: Sequence[Path], *, verify: bool, as_json: bool
) -> None:
    """Play in real time: `fleet` starts the nodes, which listen at `controls`. With `verify` compare at the end."""
    chosen = opened(name)
    if chosen.only_compressed:
        words, how = ", ".join(chosen.only_compressed), f"loa simulate --scenario {name} --verify"
        raise Failure(t("'{name}' needs compressed time ({steps}): {how}", name=chosen.name, steps=words, how=how))
    settings, controller = base.load_settings(config), base.controller(config)
    _same_district(chosen, settings)
    if any(taken(path) for path in controls):
        raise Failure(t("another simulator listens at {control}; end it first", control=controls[0]))

    def tell(subject: str, cause: str, what: str, by: str) -> None:
        for row in controller.get("incidents")["incidents"]:
            if (row["subject"], row["cause"]) == (subject, cause):
                controller.post(f"incidents/{row['id']}/{what}", by=by)

    began = time.monotonic()
    nodes = subprocess.Popen(bound(fleet), stdout=subprocess.DEVNULL)
    try:
        say = (lambda line: None) if as_json else (lambda line: print(line, flush=True))
        got = asyncio.run(real.play(chosen, settings, controls, tell, say))
    except OSError as error:
        raise Failure(str(error)) from None
    finally:
        nodes.terminate()
        nodes.wait()
    outcome = Outcome(chosen, got, verdict.compare(chosen.expect, got) if verify else None, time.monotonic() - began)
    base.show(_plain(outcome), as_json, lambda _: _print(outcome))
    _end([outcome])


def _same_district(chosen: Scenario, settings: Settings) -> None:
    if set(settings.nodes) != set(scenario.members(chosen.network)["all"]):
        name, how = chosen.name, f"loa simulate --scenario {chosen.name} --write-config {chosen.name}"
        raise Failure(t("this configuration is not the district of '{name}'; write it: {how}", name=name, how=how))


def _verify(chosen: Scenario, rules: Path) -> Outcome:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="loa-scenario-") as folder:
        try:
            district.write(chosen, rules, Path(folder))
            settings = load(folder)
        except (OSError, ConfigError) as error:
            raise Failure(str(error)) from None
    got = asyncio.run(Stage(chosen, settings).play())
    return Outcome(chosen, got, verdict.compare(chosen.expect, got), time.monotonic() - began)


def _end(outcomes: list[Outcome]) -> None:
    wrong = [outcome.scenario.name for outcome in outcomes if outcome.differences]
    if wrong:
        raise Failure(t("not as it was to be: {names}", names=", ".join(wrong)))


def _plain(outcome: Outcome) -> dict[str, Any]:
    found = [{**asdict(one), "opened": verdict.clock(one.opened)} for one in outcome.got.incidents]
    return {
        "scenario": outcome.scenario.name,
        "as_expected": None if outcome.differences is None else not outcome.differences,
        "differences": [asdict(each) for each in outcome.differences or ()],
        "incidents": found,
        "untold": outcome.got.untold,
        "messages": dict(outcome.got.messages),
        "took_s": round(outcome.took_s, 1),
    }


def _print(outcome: Outcome) -> None:
    got, console = outcome.got, base.console()
    mark = "·" if outcome.differences is None else "[red]✗[/red]" if outcome.differences else "[green]✓[/green]"
    sums = t(
        "{incidents} incident(s), {messages} message(s) in {took} s",
        incidents=len(got.incidents),
        messages=sum(got.messages.values()),
        took=f"{outcome.took_s:.1f}",
    )
    console.print(f"{mark} [bold]{base.plain(outcome.scenario.name)}[/bold]  {sums}")
    if not outcome.differences:
        return
    table = base.table(*(Column(title, overflow="fold") for title in (t("what"), t("had to be"), t("found"))))
    for each in verdict.compare(outcome.scenario.expect, got, t):
        table.add_row(*(base.plain(text) for text in (each.what, each.expected, each.found)))
    console.print(table)
