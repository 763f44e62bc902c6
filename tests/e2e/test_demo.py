"""`loa demo` as a newcomer meets it: it shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.broker import free_port

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 60.0

Demo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """Starts `loa demo` with a temporary folder of its own: whatever it starts names that folder."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "controller.cli", "demo", "--port", str(free_port()), *arguments]
        environment = {**os.environ, "LANG": "vi_VN.UTF-8", "LC_ALL": "", "TMPDIR": str(tmp_path), "COLUMNS": "100"}
        started.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        with process:
            process.wait()


def processes_of(folder: Path) -> dict[int, str]:
    """Command lines of the living processes that name `folder`, by id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in line:
                found[int(entry.name)] = line
    return found


def until(true: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := true()):
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.05)
    return answer


def network_of(folder: Path) -> dict[int, str]:
    """All three kinds of children, once they are there."""
    found = processes_of(folder)
    kinds = ("mosquitto -c", "controller.cli run", "-m simulators")
    return found if all(any(kind in line for line in found.values()) for kind in kinds) else {}


@pytest.mark.timeout(240)
def test_a_demo_keeps_all_its_promises(demo: Demo, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    # A minute is enough; a busy machine gets half a minute more.
    running = demo("--for", "90s", "--json", str(report))
    said, _ = running.communicate()
    assert running.returncode == 0, said
    found = json.loads(report.read_text())
    assert (found["nodes"], found["heard"]) == (60, 60)
    assert found["start_skew_ms"] >= 0  # how small: benchmarks/main_job.py
    assert set(found["fault_to_flag_ms"]) == {"amplifier", "line-open", "power"}
    assert all(0 < delay < 40_000 for delay in found["fault_to_flag_ms"].values())
    incidents = {each["code"]: each for each in found["incidents"]}
    assert set(incidents) == {"amplifier", "line-open", "power"}
    assert [each["message_count"] for each in found["incidents"]] == [1, 1, 1]
    assert found["alerts_sent"] == 3
    assert "60/60 cụm loa đã phát và nghe được" in said
    assert "Việc cần làm" in said  # the alert as the technician gets it
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.glob("loa-demo-*")) == []


def test_ctrl_c_ends_everything_and_still_sums_up(demo: Demo, tmp_path: Path) -> None:
    running = demo()
    until(lambda: network_of(tmp_path), "all children run")
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130  # interrupted before it had shown anything
    assert "Tóm tắt" in said
    assert "Traceback" not in said
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.glob("loa-demo-*")) == []


def test_a_killed_demo_leaves_nothing_running_and_the_next_one_cleans_up(demo: Demo, tmp_path: Path) -> None:
    first = demo()
    until(lambda: network_of(tmp_path), "all children run")
    first.kill()
    first.communicate()
    until(lambda: not processes_of(tmp_path), "no child lives on")
    (left,) = tmp_path.glob("loa-demo-*")
    second = demo()
    until(lambda: network_of(tmp_path), "all children run again")
    assert not left.exists()
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=PATIENCE_S)
    assert processes_of(tmp_path) == {}


def test_a_child_that_dies_is_said_with_its_last_words(demo: Demo, tmp_path: Path) -> None:
    running = demo()
    network = until(lambda: network_of(tmp_path), "all children run")
    (controller,) = [pid for pid, line in network.items() if "controller.cli run" in line]
    os.kill(controller, signal.SIGKILL)
    said, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1
    assert "controller ended" in said
    assert processes_of(tmp_path) == {}
