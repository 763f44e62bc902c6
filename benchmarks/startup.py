"""How long `loa run` takes until all is planned: 10,000 nodes, at the first start and with a year of ledger behind it.

The command line itself, on a configuration of that many nodes, with a broker of its own. The year is two airings a week
to all nodes (LOA_BENCH_AIRINGS a year), each with its delivery and two events a node. LOA_BENCH_NODES: how many nodes.

`python -m benchmarks.startup` writes build/bench/startup.json.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import Report
from broadcasts.guards import Guard
from controller.adapters.broker import free_port
from controller.adapters.process import bound
from tests.e2e.kills import tone
from tests.e2e.network import ROOT

NODES = int(os.environ.get("LOA_BENCH_NODES", "10000"))
AIRINGS = int(os.environ.get("LOA_BENCH_AIRINGS", "104"))
ROUNDS = 3
PATIENCE_S = 600
COMMUNES = 12


def main() -> None:
    report = Report("startup")
    with tempfile.TemporaryDirectory(prefix="loa-startup-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        _configure(folder)
        report.add("nodes", NODES, "nodes")
        _tell(report, "first start", [_started(folder)])
        _fill(folder / "data" / "loa.db")
        report.add("ledger: deliveries", AIRINGS * NODES, "rows")
        report.add("ledger: database", (folder / "data" / "loa.db").stat().st_size / 1e6, "MB")
        _tell(report, "start with the ledger", [_started(folder) for _ in range(ROUNDS)])
    report.write()


def _tell(report: Report, title: str, rounds: list[dict[str, float]]) -> None:
    units = {"page answers": "s", "planned": "s", "processor": "s", "memory": "MB"}
    for what, unit in units.items():
        report.spread(f"{title}: {what}", [each[what] for each in rounds], unit)


def _configure(folder: Path) -> None:
    config = folder / "config"
    (config / "audio").mkdir(parents=True)
    site = yaml.safe_load((ROOT / "config" / "site.yaml").read_text())
    site |= {"data": str(folder / "data"), "emergency_sounds": {}, "guards": {guard.value: "none" for guard in Guard}}
    communes = [{"id": f"xa-{n:02d}", "name": f"Xã {n}"} for n in range(COMMUNES)]
    nodes = [{"id": f"cum-{n:06d}", "name": f"Cụm {n}", "commune": f"xa-{n % COMMUNES:02d}"} for n in range(NODES)]
    person = {"id": "tho", "name": "Thợ", "channels": [{"smtp": "tho@district.example"}]}
    smtp = {"host": "127.0.0.1", "port": free_port(), "sender": "loa@district.example", "tls": "none"}
    daily = {"id": "ban-tin", "title": "Bản tin", "to": ["all"], "at": ["17:00"], "play": [{"file": "audio/tone.wav"}]}
    for name, content in {
        "site": site,
        "nodes": {"communes": communes, "nodes": nodes},
        "alerts": {"smtp": smtp, "people": [person]},
        "broadcasts": {"broadcasts": [daily]},
    }.items():
        (config / f"{name}.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    for name in ("faults.yaml", "calendar.yaml"):
        (config / name).write_bytes((ROOT / "config" / name).read_bytes())
    tone(config / "audio" / "tone.wav", seconds=10)


def _started(folder: Path) -> dict[str, float]:
    """Start it, wait until everything is planned and published, end it."""
    _take_ports(folder / "config" / "site.yaml")
    command = [sys.executable, "-m", "controller.cli", "--config", str(folder / "config"), "run"]
    log = folder / "loa.log"
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(bound(command), stdout=output, stderr=output, cwd=ROOT)
    told: dict[str, float] = {}
    try:
        for event, what in (("ready", "page answers"), ("planned", "planned")):
            _await(process, log, event, began)
            told[what] = time.monotonic() - began
        told |= _cost(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    return told


def _take_ports(path: Path) -> None:
    """Free ones, anew each time: what was free at one start another program may have at the next."""
    site = yaml.safe_load(path.read_text())
    for part in ("mqtt", "http"):
        site[part]["port"] = free_port()
    path.write_text(yaml.safe_dump(site, allow_unicode=True))


def _await(process: subprocess.Popen[bytes], log: Path, event: str, began: float) -> None:
    while not any(line.get("event") == event for line in _lines(log)):
        if process.poll() is not None or time.monotonic() - began > PATIENCE_S:
            raise SystemExit(f"never {event}:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


def _cost(pid: int) -> dict[str, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return {
        "processor": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        "memory": pages * resource.getpagesize() / 1e6,
    }


def _fill(path: Path) -> None:
    """A year of the broadcast, as the ledger keeps it."""
    now = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TEMP TABLE names AS SELECT DISTINCT node FROM deliveries")
        asked = "SELECT group_concat(name, ', ') FROM pragma_table_info('occurrences')"
        (columns,) = database.execute(asked).fetchone()
        for back in range(1, AIRINGS + 1):
            _fill_one(database, now - timedelta(days=365 * back / AIRINGS), str(columns))
        database.commit()


def _fill_one(database: sqlite3.Connection, start: datetime, columns: str) -> None:
    id, at = f"ban-tin@{start:%Y-%m-%dT%H:%M}", f"{start:%Y-%m-%d %H:%M:%S.%f}"
    changed = {"id": "?1", "start": "?2", "end": "?2", "planned_at": "?2", "cancelled_at": "NULL"}
    picked = ", ".join(changed.get(name, f'"{name}"') for name in columns.split(", "))
    quoted = ", ".join(f'"{name}"' for name in columns.split(", "))
    one = f"INSERT OR IGNORE INTO occurrences ({quoted}) SELECT {picked} FROM occurrences LIMIT 1"
    database.execute(one, (id, at))
    database.execute(
        "INSERT OR IGNORE INTO deliveries"
        " (occurrence, node, state, at, reason, started_at, late_ms, played_ms, level_db)"
        " SELECT ?1, node, 'completed', ?2, '', ?2, 12, 10000, -20.5 FROM names",
        (id, at),
    )
    for state in ("sounding", "completed"):
        database.execute(
            "INSERT INTO delivery_events (occurrence, node, at, state, reason) SELECT ?1, node, ?2, ?3, '' FROM names",
            (id, at, state),
        )


if __name__ == "__main__":
    main()
