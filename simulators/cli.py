"""`loa simulate`: a fleet of simulated nodes against any broker, in one process or several."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from controller.wire.messages import Enrolment
from simulators.crowd import Crowd, PartFailed, part_command
from simulators.fleet import BadEnrolment, Fleet, read_enrolments
from simulators.summary import Summary

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
    if processes > 1 and part is None:
        places = ["--enrolments", str(enrolments), "--folder", str(folder), "--nodes", str(nodes)]
        options = [*places, "--listen", str(listen), *(["--control", str(control)] if control else [])]
        crowd = Crowd([part_command(options, n, processes) for n in range(processes)])
        asyncio.run(_run(crowd, None if as_json else _table, as_json=as_json))
        return
    number = part or 0
    fleet = Fleet(
        chosen[number::processes],
        folder,
        listen=len(range(number, listen, processes)),
        control=control if control is None or part is None else control.with_name(f"{control.name}.{part}"),
        part=number,
        parts=processes,
    )
    if part is None:
        asyncio.run(_run(fleet, None if as_json else _table, as_json=as_json))
    else:
        asyncio.run(_report(fleet))


def _choose(folder: Path, count: int) -> list[Enrolment]:
    try:
        known = read_enrolments(folder)
    except (BadEnrolment, OSError) as error:
        _fail(str(error))
    if not known:
        _fail(f"{folder}: no enrolment files (*.json); write them with: loa enroll NODE")
    if count > len(known):
        _fail(f"{folder}: {len(known)} enrolment files, {count} nodes asked for")
    return known[: count or None]


def _fail(text: str) -> typer.Exit:
    errors.print(text, style="red", markup=False, highlight=False)
    raise typer.Exit(1)


async def _run(fleet: Fleet | Crowd, table: Callable[[Summary], Table] | None, *, as_json: bool = False) -> None:
    """Run until SIGINT or SIGTERM, with the table on a terminal, and `as_json` the sum of it at the end."""
    showing = _show(fleet, table) if table is not None and sys.stdout.isatty() else None
    try:
        await _until_told(fleet, showing)
    except PartFailed as error:
        _fail(str(error))
    if as_json and (summary := _sum(fleet)) is not None:
        print(json.dumps(summary.plain(), ensure_ascii=False))


async def _report(fleet: Fleet) -> None:
    """As a part of a crowd: a summary a second, each a line, and the whole one at the end. A crowd that is gone takes
    its parts along."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            _say(fleet.summary())

    await _until_told(fleet, tell())
    _say(fleet.summary(whole=True))


def _say(summary: Summary) -> None:
    try:
        sys.stdout.buffer.write(msgspec.json.encode(summary) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.kill(os.getpid(), signal.SIGTERM)


async def _until_told(fleet: Fleet | Crowd, beside: Coroutine[Any, Any, None] | None) -> None:
    """Run `fleet` until SIGINT or SIGTERM, and `beside` while it does."""
    running = asyncio.create_task(fleet.run(), name="fleet")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
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


def _sum(fleet: Fleet | Crowd) -> Summary | None:
    return fleet.summary(whole=True) if isinstance(fleet, Fleet) else fleet.summary()


async def _show(fleet: Fleet | Crowd, table: Callable[[Summary], Table]) -> None:
    """The live table on a terminal."""
    with Live(Table(), refresh_per_second=2) as live:
        while True:
            summary = fleet.summary()
            if summary is not None:
                live.update(table(summary))
            await asyncio.sleep(REFRESH_S)


def _table(summary: Summary) -> Table:
    table = Table(title="simulated nodes", show_header=False)
    table.add_row("connected", f"{summary.connected} of {summary.nodes}")
    peak = f"{summary.connections}, at most {summary.peak_per_s} a second"
    table.add_row("connections made", f"{peak}, the last after {summary.connect_s:.0f} s")
    table.add_row("without power", str(summary.without_power))
    table.add_row("playing", str(summary.playing))
    skew = summary.skew_ms
    table.add_row("skew of the last start", "-" if skew is None else f"{skew:.0f} ms over {summary.started} nodes")
    table.add_row("audio fetched", f"{summary.fetched_mb:.1f} MB, now {summary.fetch_mb_s:.1f} MB/s")
    table.add_row("assets to fetch", str(summary.missing))
    table.add_row("journal waiting", str(summary.journal_waiting))
    more = "" if summary.broken <= len(summary.faults) else f"\nand {summary.broken - len(summary.faults)} more nodes"
    table.add_row("faults put in", "\n".join(summary.faults) + more if summary.broken else "none")
    table.add_row("memory", f"{summary.memory_mb:.0f} MB")
    return table


def main() -> None:
    """`python -m simulators`."""
    typer.run(simulate)
