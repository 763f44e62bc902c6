"""Everything killed, stopped, filled, cut and stepped at random while announcements air; then the promises are checked.

`make chaos` does it for an hour, `python -m benchmarks.chaos --for 10m --seed 7` for ten minutes. The seed is printed
and replays the same acts. With `--postgresql` the database is a server that is killed too; `--only` does some kinds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import shlex
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.report import FOLDER, Report
from tests import postgresql
from tests.chaos.plan import Kind
from tests.chaos.run import Outcome, impossible, planned, run

DEFAULT = "2m"
LEAST_S = 30.0


def main() -> None:
    asked = _arguments(sys.argv[1:] if sys.argv[0].endswith("chaos.py") else [])
    with ExitStack() as stack:
        cluster = _server(stack) if asked.postgresql else None
        without = impossible(cluster)
        for kind, why in without.items():
            print(f"not done here: {kind}: {why}")
        if asked.show:
            print(*planned(asked.seed, asked.length_s, without, asked.only), sep="\n")
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loa-chaos-", ignore_cleanup_errors=True)))
        os.chmod(folder, 0o711)
        again = _again(asked)
        print(f"to do the same again: {again}", flush=True)
        began = time.monotonic()
        work = run(
            folder,
            seed=asked.seed,
            length_s=asked.length_s,
            without=without,
            cluster=cluster,
            only=asked.only,
            tell=lambda line: print(line, flush=True),
            keep=asked.keep,
        )
        outcome = asyncio.run(work)
    _report(outcome, "chaos_postgresql" if asked.postgresql else "chaos", time.monotonic() - began, asked.report)
    _tell(outcome, again)


def _again(asked: argparse.Namespace) -> str:
    """The options that do the same acts on a machine that can do the same."""
    words = [
        "--for",
        f"{asked.length_s:g}s",
        "--seed",
        str(asked.seed),
        *(["--postgresql"] if asked.postgresql else []),
    ]
    return shlex.join([*words, *(["--only", *asked.only] if asked.only else [])])


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--for", dest="length_s", type=_seconds, default=_seconds(DEFAULT), help="90s, 10m, 1h")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite, on a server of our own")
    parser.add_argument("--only", type=_kind, nargs="+", default=(), metavar="KIND", help=", ".join(Kind))
    parser.add_argument("--show", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument("--report", type=Path, default=FOLDER, help="folder for the figures")
    parser.add_argument("--keep", type=Path, help="a folder for logs and database when a promise was broken")
    return parser.parse_args(words)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no length: 90s, 10m, 1h")
    seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]
    if seconds < LEAST_S:
        raise argparse.ArgumentTypeError(f"{text} is too short for anything to air: at least {LEAST_S:.0f}s")
    return seconds


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is none of: {', '.join(Kind)}") from None


def _server(stack: ExitStack) -> postgresql.Cluster:
    programs = postgresql.binaries()
    if programs is None:
        sys.exit("no PostgreSQL server is installed here")
    return stack.enter_context(postgresql.cluster(programs))


def _report(outcome: Outcome, name: str, seconds: float, folder: Path) -> None:
    report = Report(name, folder)
    report.add("seed", outcome.seed, "")
    report.add("acts", sum(outcome.done.values()), "")
    for kind, count in outcome.done.items():
        report.add(f"done: {kind}", count, "")
    for what, count in outcome.verdict.counts.items():
        report.add(what, count, "")
    report.add("controllers ended by themselves", len(outcome.fell), "")
    report.add("promises broken", sum(map(len, outcome.verdict.broken.values())), "")
    report.add("duration", seconds, "s")
    report.write()


def _tell(outcome: Outcome, again: str) -> None:
    for line in outcome.refused:
        print(f"could not: {line}")
    for line in outcome.fell:
        print(f"ended by itself: {line}")
    for promise, lines in outcome.verdict.broken.items():
        print(f"BROKEN: {promise}", *lines[:20], sep="\n  ")
    if outcome.verdict.broken:
        sys.exit(f"promises were broken. To do the same again: python -m benchmarks.chaos {again}")
    print("all promises held")


if __name__ == "__main__":
    main()
