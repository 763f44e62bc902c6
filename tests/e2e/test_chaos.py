"""Chaos: everything killed, stopped, filled, cut and stepped at random, and every promise held all the same.

One seed that never changes, so that a red run means a change of ours and is red again; new seeds are drawn by
`make chaos`, for an hour, by whoever looks for what nobody has thought of.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.plan import CONTROLLERS, RULES, Kind, acts, programme
from tests.e2e.kills import COMMUNES, NODES, TARGETS
from tests.e2e.network import ROOT

SEED = 20261127
LENGTH_S = 180.0


@pytest.mark.timeout(600)
def test_chaos_breaks_no_promise(tmp_path: Path) -> None:
    """In a process of its own: it takes its own view of the mounts, for the disk that it fills."""
    words = ["-m", "benchmarks.chaos", "--for", f"{LENGTH_S:.0f}s", "--seed", str(SEED), "--report", str(tmp_path)]
    run = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    figures = json.loads((tmp_path / "chaos.json").read_text())
    assert figures["heard"]["value"] > 0
    assert figures["acts"]["value"] >= 40


def test_a_seed_does_the_same_again() -> None:
    first, again = (acts(SEED, 600, nodes=NODES, communes=COMMUNES) for _ in range(2))
    assert first == again
    assert programme(SEED, 600, TARGETS) == programme(SEED, 600, TARGETS)
    assert first != acts(SEED + 1, 600, nodes=NODES, communes=COMMUNES)


def test_nothing_is_broken_twice_at_once_and_all_is_mended_in_time() -> None:
    plan = acts(SEED, 3600, nodes=NODES, communes=COMMUNES)
    assert {act.kind for act in plan} == set(Kind) == set(RULES)
    assert max(act.until_s for act in plan) <= 3600
    for name in CONTROLLERS:
        of_one = [act for act in plan if RULES[act.kind].holds == "controller" and act.target == name]
        assert all(one.until_s < other.at_s for one, other in pairwise(of_one))
