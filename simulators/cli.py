"""`loa simulate`: a fleet of simulated nodes against any broker."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from controller.wire.messages import Enrolment
from simulators.fleet import BadEnrolment, Fleet, process_memory_mb, read_enrolments

REFRESH_S = 0.5

errors = Console(stderr=True)


def simulate(
    enrolments: Annotated[Path, typer.Option(help="Folder of enrolment files, as `loa enroll` writes them.")] = Path(
        "enrolments"
    ),
    nodes: Annotated[int, typer.Option(min=0, help="How many of them to run, by id; 0: all.")] = 0,
    folder: Annotated[Path, typer.Option(help="Where nodes keep journal, audio and heard.wav.")] = Path("nodes"),
    listen: Annotated[int, typer.Option(min=0, help="How many nodes write what was heard.")] = 0,
    control: Annotated[Path | None, typer.Option(help="Control socket: inject faults, list nodes.")] = None,
) -> None:
    """Run simulated nodes until Ctrl-C.

    Example: loa simulate --enrolments data/enrolments --nodes 60 --listen 3 --control fleet.sock
    """
    chosen = _choose(enrolments, nodes)
    asyncio.run(_run(Fleet(chosen, folder, listen=listen, control=control)))


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


async def _run(fleet: Fleet) -> None:
    """Run until SIGINT or SIGTERM."""
    running = asyncio.create_task(fleet.run(), name="fleet")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    shown = asyncio.create_task(_show(fleet), name="table") if sys.stdout.isatty() else None
    try:
        await running
    except asyncio.CancelledError:
        pass
    finally:
        if shown is not None:
            shown.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await shown


async def _show(fleet: Fleet) -> None:
    """The live table on a terminal."""
    with Live(_table(fleet), refresh_per_second=2) as live:
        while True:
            await asyncio.sleep(REFRESH_S)
            live.update(_table(fleet))


def _table(fleet: Fleet) -> Table:
    nodes = list(fleet.nodes.values())
    broken = [f"{node.id}: {', '.join(node.faults)}" for node in nodes if node.faults]
    table = Table(title="simulated nodes", show_header=False)
    table.add_row("connected", f"{sum(node.link.connected for node in nodes)} of {len(nodes)}")
    table.add_row("without power", str(sum(not node.powered for node in nodes)))
    table.add_row("playing", str(sum(node.playing() is not None for node in nodes)))
    skew = fleet.skew_ms()
    table.add_row("skew of the last start", "-" if skew is None else f"{skew:.0f} ms")
    table.add_row("audio fetched", f"{fleet.fetched_mb():.1f} MB")
    table.add_row("assets to fetch", str(sum(node.assets.missing for node in nodes)))
    table.add_row("journal waiting", str(sum(node.journal.backlog for node in nodes)))
    table.add_row("faults put in", "\n".join(broken[:20]) or "none")
    table.add_row("memory", f"{process_memory_mb():.0f} MB")
    return table


def main() -> None:
    """`python -m simulators`."""
    typer.run(simulate)
