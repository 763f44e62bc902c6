"""The controller killed again and again at random instants: what was lost, what was heard twice.

`python -m benchmarks.kills --kills 500` on SQLite, and with `--postgresql` on a server of our own if its programs
are installed. About two seconds a kill. The seed is printed and can be given again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.report import Report
from tests import postgresql
from tests.e2e.kills import Account, account_of


def main() -> None:
    asked = _arguments(sys.argv[1:] if sys.argv[0].endswith("kills.py") else [])
    with ExitStack() as stack:
        url = _server(stack) if asked.postgresql else ""
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loa-kills-")))
        os.chmod(folder, 0o711)
        began = time.monotonic()
        account = asyncio.run(account_of(folder, asked.kills, seed=asked.seed, store_url=url, tell=_tell))
    _write(account, "kills_postgresql" if url else "kills", time.monotonic() - began)
    for name, rows in account.wrong.items():
        print(f"{name}:", *rows[:20], sep="\n  ")
    if account.wrong:
        sys.exit(1)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgresql", action="store_true")
    return parser.parse_args(words)


def _server(stack: ExitStack) -> str:
    programs = postgresql.binaries()
    if programs is None:
        sys.exit("no PostgreSQL server is installed here")
    return stack.enter_context(postgresql.cluster(programs)).database()


def _tell(done: int) -> None:
    print(f"{done} kills", flush=True)


def _write(account: Account, name: str, seconds: float) -> None:
    report = Report(name)
    figures = {
        "kills": account.kills,
        "airings": account.airings,
        "plays": account.plays,
        "lost": len(account.lost),
        "doubled": len(account.doubled),
        "ledger_rows_missing": len(account.missing_rows),
        "ledger_rows_stuck": len(account.stuck_rows),
        "documents_published": account.documents,
        "revisions_backwards": len(account.backwards),
        "same_revision_other_content": len(account.contradictions),
        "refused_by_nodes": len(account.refused_by_nodes),
        **{f"killed_{moment}": count for moment, count in sorted(account.kills_by_moment.items())},
    }
    for figure, value in figures.items():
        report.add(figure, value, "")
    report.add("duration", seconds, "s")
    report.write()


if __name__ == "__main__":
    main()
