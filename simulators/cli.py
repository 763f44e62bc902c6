"""`loa simulate`: a fleet of simulated nodes against any broker, in one process or several."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from controller.wire.messages import Enrolment
from simulators.control import place_of, taken
from simulators.crowd import Crowd, PartFailed, part_command
from simulators.fleet import BadEnrolment, Fleet, read_enrolments
from simulators.summary import Summary
from simulators.table import table
from simulators.words import t

REFRESH_S = 1.0
REPORT_S = 1.0

errors = Console(stderr=True)


def simulate(
    enrolments: Annotated[Path, typer.Option(help="Folder of enrolment files, as `loa enroll` writes them.")] = Path(
        "enrolments"
    ),
    nodes: Annotated[int, typer.Option(min=0, help="How many of them to run, by id; 0: all.")] = 0,
    folder: Annotated[Path, typer.Option(help="Where nodes keep journal, audio and heard.wav.")] = Path("nodes"),
    listen: Annotated[int, typer.Option(min=0, help="How many nodes write what was heard.")] = 0,
    control: Annotated[Path | None, typer.Option(help="Control socket: inject faults, list nodes.")] = None,
    processes: Annotated[
        int,
        typer.Option(min=1, help="Share the nodes among so many processes; their control sockets end in .0, .1 ..."),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="No table; at the end, the sum of it as JSON.")] = False,
    part: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
) -> None:
    """Run simulated nodes until Ctrl-C.

    Example: loa simulate --enrolments data/enrolments --nodes 60 --listen 3 --control fleet.sock
    """
    chosen = _choose(enrolments, nodes)
    if control is not None and part is None and taken(control):
        text = "{control}: another simulator listens there; give this one a folder or a --control of its own"
        _fail(t(text, control=control))
    if processes > 1 and part is None:
        places = ["--enrolments", str(enrolments), "--folder", str(folder), "--nodes", str(nodes)]
        options = [*places, "--listen", str(listen), *(["--control", str(control)] if control else [])]
        crowd = Crowd([part_command(options, n, processes) for n in range(processes)])
        asyncio.run(_run(crowd, as_json=as_json))
        return
    number = part or 0
    fleet = Fleet(
        chosen[number::processes],
        folder,
        listen=len(range(number, listen, processes)),
        control=control if control is None or part is None else place_of(control, part),
        part=number,
        parts=processes,
    )
    if part is None:
        asyncio.run(_run(fleet, as_json=as_json))
    else:
        asyncio.run(_report(fleet))


def _choose(folder: Path, count: int) -> list[Enrolment]:
    try:
        known = read_enrolments(folder)
    except (BadEnrolment, OSError) as error:
        _fail(str(error))
    if not known:
        _fail(t("{folder}: no enrolment files (*.json); write them with: loa enroll NODE", folder=folder))
    if count > len(known):
        text = "{folder}: {known} enrolment files, {asked} nodes asked for"
        _fail(t(text, folder=folder, known=len(known), asked=count))
    return known[: count or None]


def _fail(text: str) -> typer.Exit:
    errors.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


async def _run(fleet: Fleet | Crowd, *, as_json: bool) -> None:
    """Run until SIGINT or SIGTERM, with the table on a terminal, and `as_json` the sum of it at the end."""
    showing = _show(fleet) if not as_json and sys.stdout.isatty() else None
    try:
        summary = await _until_told(fleet, showing)
    except PartFailed as error:
        _fail(str(error))
    if as_json and summary is not None:
        print(json.dumps(summary.plain(), ensure_ascii=False))


async def _report(fleet: Fleet) -> None:
    """As a part of a crowd: a summary a second, each a line, and the whole one at the end. A crowd that is gone takes
    its parts along."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            _say(fleet.summary())

    summary = await _until_told(fleet, tell())
    if summary is not None:
        _say(summary)


def _say(summary: Summary) -> None:
    try:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.kill(os.getpid(), signal.SIGTERM)


async def _until_told(fleet: Fleet | Crowd, beside: Coroutine[Any, Any, None] | None) -> Summary | None:
    """Run `fleet` until SIGINT or SIGTERM, and `beside` while it does. What it amounted to then: before every node said
    goodbye."""
    running = asyncio.create_task(fleet.run(), name="fleet")
    loop = asyncio.get_running_loop()
    amounted: list[Summary] = []

    def end() -> None:
        if isinstance(fleet, Fleet) and not amounted:
            amounted.append(fleet.summary(whole=True))
        running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    other = asyncio.create_task(beside, name="beside") if beside is not None else None
    try:
        await running
    except asyncio.CancelledError:
        pass
    finally:
        if other is not None:
            other.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await other
    return amounted[0] if amounted else fleet.summary()  # of a crowd: its parts have said theirs


async def _show(fleet: Fleet | Crowd) -> None:
    """The live table on a terminal."""
    with Live(Table(), refresh_per_second=2) as live:
        while True:
            summary = fleet.summary()
            if summary is not None:
                live.update(table(summary))
            await asyncio.sleep(REFRESH_S)


def main() -> None:
    """`python -m simulators`."""
    typer.run(simulate)
