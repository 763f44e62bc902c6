"""Nodes in software: run them, break their parts, mend them."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.commands import base, enroll
from controller.commands.base import CONFIG, ConfigOption, Failure, JsonOption
from controller.commands.words import t

FOLDER = "simulated"
ENROLMENTS = "enrolments"
NODES = "nodes"
SOCKET = "control.sock"
EVERYTHING = "everything"
TIMEOUT_S = 10.0

EnrolmentsOption = Annotated[
    Path | None,
    typer.Option(
        "--enrolments", metavar="DIR", help=t("Files that loa enroll wrote; if not given, nodes are enrolled.")
    ),
]
NodesOption = Annotated[int, typer.Option("--nodes", min=0, help=t("How many nodes; 0: all."))]
FolderOption = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help=t("Where the nodes keep what a node keeps."))
]
ListenOption = Annotated[
    int, typer.Option("--listen", min=0, help=t("So many nodes write what they play as heard.wav."))
]
ControlOption = Annotated[
    Path | None, typer.Option("--control", metavar="SOCKET", help=t("The control socket of the simulated nodes."))
]
ProcessesOption = Annotated[int, typer.Option("--processes", min=1, help=t("Share the nodes among so many processes."))]
SumOption = Annotated[bool, typer.Option("--json", help=t("No table; at the end, the sum of it as JSON."))]
ScenarioOption = Annotated[
    str,
    typer.Option(
        "--scenario", metavar="NAME", help=t("Play a scenario: a name, a .yaml file, or 'list' for those that ship.")
    ),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify", help=t("Play it in compressed time and compare what the controller concludes ('all': every one).")
    ),
]
RealTimeOption = Annotated[
    bool, typer.Option("--real-time", help=t("With --verify: against the running controller, in real time."))
]
WriteOption = Annotated[
    Path | None,
    typer.Option("--write-config", metavar="DIR", help=t("Write the configuration of the scenario's district.")),
]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE")]
FaultArgument = Annotated[str, typer.Argument(metavar="FAULT", help=t("A fault's code, as amplifier or line-open."))]
MendedArgument = Annotated[
    str, typer.Argument(metavar="FAULT", help=t("A fault's code, as amplifier or line-open; everything if not given."))
]


def simulate(
    enrolments: EnrolmentsOption = None,
    nodes: NodesOption = 0,
    listen: ListenOption = 0,
    folder: FolderOption = None,
    control: ControlOption = None,
    processes: ProcessesOption = 1,
    as_json: SumOption = False,
    config: ConfigOption = CONFIG,
    scenario: ScenarioOption = "",
    verify: VerifyOption = False,
    real_time: RealTimeOption = False,
    write_config: WriteOption = None,
) -> None:
    _belong_together(scenario, nodes, verify=verify, real_time=real_time, written=write_config is not None)
    if scenario and (scenario == "list" or write_config or (verify and not real_time)):
        from controller.commands import scenarios  # the whole controller, which nobody else here needs

        if scenario == "list":
            scenarios.listed(as_json)
        elif write_config:
            scenarios.written(scenario, config, write_config)
        else:
            scenarios.verified(scenario, config, as_json)
        return
    home = folder or base.data_folder(config) / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    files = enrolments or _enrolled(config, home / ENROLMENTS, nodes)
    place = control or home / SOCKET
    program = command(files, home / NODES, nodes=nodes, listen=listen, control=place)
    program += ["--processes", str(processes)]
    if scenario:
        from controller.commands import scenarios
        from simulators.control import place_of

        sockets = [place] if processes == 1 else [place_of(place, n) for n in range(processes)]
        scenarios.for_real(scenario, config, program, sockets, verify=verify, as_json=as_json)
        return
    program += ["--json"] if as_json else []
    os.execv(program[0], program)  # noqa: S606 - the simulator is a program of its own


def _belong_together(scenario: str, nodes: int, *, verify: bool, real_time: bool, written: bool) -> None:
    """Failure when an option would be of no effect with the others."""
    given = (("--verify", verify), ("--real-time", real_time), ("--write-config", written))
    for option, is_given in given:
        if is_given and not scenario:
            raise Failure(t("{option} needs a scenario: --scenario NAME", option=option), base.USAGE)
    if scenario and nodes:
        raise Failure(t("a scenario brings its own nodes: leave out --nodes"), base.USAGE)
    if scenario == "all" and (written or real_time or not verify):
        raise Failure(t("'all' can only be verified in compressed time: --scenario all --verify"), base.USAGE)


def command(enrolments: Path, folder: Path, *, nodes: int = 0, listen: int = 0, control: Path) -> list[str]:
    """The simulator's command line. It knows the protocol and nothing of the controller."""
    places = ["--enrolments", str(enrolments), "--folder", str(folder), "--control", str(control)]
    return [sys.executable, "-m", "simulators", *places, "--nodes", str(nodes), "--listen", str(listen)]


def _enrolled(config: Path, folder: Path, count: int) -> Path:
    """A folder with the files of `count` nodes (0: all); those without one are enrolled now, unless they are
    enrolled elsewhere."""
    settings = base.load_settings(config)
    if count > (known := len(settings.nodes)):
        how = "loa simulate --scenario FILE.yaml --write-config DIR"
        raise Failure(
            t("{asked} nodes are asked for, {known} are configured; more: {how}", asked=count, known=known, how=how)
        )
    files = {node: folder / f"{node}.json" for node in list(settings.nodes)[: count or None]}
    missing = {node: path for node, path in files.items() if not path.exists()}
    if missing:
        enroll.enroll_missing(settings, missing)
        enroll.tell_controller(config)
    if not any(path.exists() for path in files.values()):
        raise Failure(t("all these nodes are enrolled elsewhere; name the folder with their files: --enrolments DIR"))
    return folder


def inject(
    node: NodeArgument,
    fault: FaultArgument,
    control: ControlOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    _do(config, control, {"do": "inject", "node": node, "fault": fault}, as_json)


def mend(
    node: NodeArgument,
    fault: MendedArgument = EVERYTHING,
    control: ControlOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    _do(config, control, {"do": "mend", "node": node, **({} if fault == EVERYTHING else {"fault": fault})}, as_json)


def _do(config: Path, control: Path | None, order: dict[str, Any], as_json: bool) -> None:
    answer = tell(control or base.data_folder(config) / FOLDER / SOCKET, order)
    if not answer.get("ok"):
        raise Failure(str(answer.get("error", answer)))
    base.show(answer, as_json, lambda _: print(t("done")))


def tell(control: Path, order: dict[str, Any]) -> dict[str, Any]:
    """The answer to one order of the simulator that listens at `control`, in one process or several: of those, the one
    that has the node. Failure when no simulator listens there."""
    from simulators.control import listens

    parts = sorted(control.parent.glob(f"{control.name}.[0-9]*"))
    there = [place for place in (control, *parts) if listens(place)]
    answers = [_told(place, order) for place in there or [control]]
    return next((answer for answer in answers if answer.get("ok")), answers[0])


def _told(control: Path, order: dict[str, Any]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(TIMEOUT_S)
        try:
            line.connect(str(control))
            line.sendall(json.dumps(order).encode() + b"\n")
            with line.makefile("rb") as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise Failure(t("no simulator answers at {control}: {error}", control=control, error=error)) from None
    return answer
