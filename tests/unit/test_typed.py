"""Types are learnt by one thread at a time: msgspec kills the process otherwise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TWO_THREADS = """
import sys, threading
from datetime import datetime
import msgspec
from broadcasts import typed

sys.setswitchinterval(1e-6)
for _ in range(200):
    leaves = [msgspec.defstruct(f"Leaf{n}", [(f"f{i}", datetime | None, None) for i in range(10)]) for n in range(8)]
    fields = [(f"g{n}", leaf | None, None) for n, leaf in enumerate(leaves)]
    whole = msgspec.defstruct("Whole", [*fields, ("x", int | None, None)])
    both = threading.Barrier(2)

    def work():
        both.wait()
        assert typed.decode(b'{"x": 1}', whole).x == typed.convert({"x": 1}, whole).x == 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_two_threads_may_decode_the_same_type_first() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_THREADS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_else_has_types_learnt() -> None:
    learns = re.compile(r"json\.Decoder\(|msgpack\.Decoder\(|msgspec\.convert\(|(json|msgpack)\.decode\([^)]*type=")
    sources = [path for top in ("controller", "broadcasts", "simulators") for path in (ROOT / top).rglob("*.py")]
    found = [path.relative_to(ROOT) for path in sources if learns.search(path.read_text())]
    assert found == [Path("broadcasts/typed.py")]
