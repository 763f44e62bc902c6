"""`python -m benchmarks [NAME...]`: run these, or all; each prints a table and writes build/bench/NAME.json.

Each runs in a process of its own, so that one that fails stops no other and none inherits another's memory. The exit
status is 1 if one failed. `python -m benchmarks plots` draws what was measured into docs/performance.md.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import size

OTHERS = {"__main__", "bare", "firehose", "plots"}
NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in OTHERS and "\ndef main(" in path.read_text()
)
PATIENCE_S = size("PATIENCE", 1200, 3600)
"""None is meant to take longer than three minutes, none in full (FULL=1) than twenty; on a slow machine, several times
that."""


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*NAMES, "plots"]))
    wanted: list[str] = parser.parse_args(words).names
    unknown = [name for name in wanted if name not in (*NAMES, "plots")]
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}; there are: {', '.join(NAMES)}, plots", file=sys.stderr)
        return 2
    began = time.monotonic()
    outcomes = {name: _outcome(name) for name in wanted or NAMES}
    if len(outcomes) > 1:
        _tell(outcomes, time.monotonic() - began)
    return 1 if any(outcomes.values()) else 0


def _outcome(name: str) -> str:
    """Empty if it measured; otherwise what went wrong."""
    print(f"--- {name}", flush=True)
    child = subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}"])
    try:
        status = child.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)  # so that it ends what it started
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        return f"not done after {PATIENCE_S:.0f} s"
    return "" if status == 0 else f"exit status {status}"


def _tell(outcomes: dict[str, str], seconds: float) -> None:
    failed = {name: why for name, why in outcomes.items() if why}
    print(f"--- {len(outcomes)} benchmarks in {seconds / 60:.0f} min, {len(failed)} failed", flush=True)
    for name, why in failed.items():
        print(f"    {name}: {why}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
