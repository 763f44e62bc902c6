"""The configuration of a scenario's district: the operator's own rules over nodes that exist only in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from controller.rehearsal.scenario import Scenario, feeder_of, technicians

COPIED = ("faults.yaml", "calendar.yaml")

NEVER_REMIND = {"steps": [], "overdue": {"critical": "720h", "major": "720h", "minor": "720h"}}
"""What counts is what the controller concludes, not who forgets to answer. 720h is the longest that may be given."""


def write(scenario: Scenario, rules: Path, folder: Path, *, web_port: int = 9098) -> None:
    """Write a configuration folder: fault rules, waiting times and site of the folder `rules`, but its own nodes, and
    one technician a commune (`kt-x01` ...), never reminded, whose messages go to `web_port` of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (rules / name).exists():
            shutil.copy(rules / name, folder / name)
    _dump(folder / "site.yaml", _site(scenario, rules))
    _dump(folder / "nodes.yaml", _nodes(scenario))
    _dump(folder / "alerts.yaml", _alerts(scenario, rules, web_port))
    _dump(folder / "broadcasts.yaml", {"broadcasts": []})


def _site(scenario: Scenario, rules: Path) -> dict[str, Any]:
    site: dict[str, Any] = yaml.safe_load((rules / "site.yaml").read_text(encoding="utf-8"))
    for key in ("emergency_sounds", "store", "ranks", "guards"):
        site.pop(key, None)
    site["data"] = "var"
    site["heartbeat"] = f"{scenario.network.heartbeat.total_seconds():.0f}s"
    site["mqtt"] = {"managed": True, "host": "127.0.0.1", "port": 1893}
    site["http"] = {"host": "127.0.0.1", "port": 8093}
    return site


def _nodes(scenario: Scenario) -> dict[str, Any]:
    network = scenario.network
    communes = [{"id": f"x{c:02d}", "name": f"Xã {c:02d}"} for c in range(1, network.communes + 1)]
    nodes = [
        {
            "id": f"x{c:02d}-{n:02d}",
            "name": f"Cụm {c:02d}-{n:02d}",
            "commune": f"x{c:02d}",
            "feeder": feeder_of(network, c, n),
        }
        for c in range(1, network.communes + 1)
        for n in range(1, network.nodes + 1)
    ]
    return {"communes": communes, "nodes": nodes}


def _alerts(scenario: Scenario, rules: Path, web_port: int) -> dict[str, Any]:
    alerts: dict[str, Any] = yaml.safe_load((rules / "alerts.yaml").read_text(encoding="utf-8"))
    people = [
        {
            "id": person,
            "name": f"Kỹ thuật viên xã {c:02d}",
            "communes": [f"x{c:02d}"],
            "channels": [{"webhook": f"http://127.0.0.1:{web_port}/{person}"}],
        }
        for c, person in enumerate(technicians(scenario.network), 1)
    ]
    kept: dict[str, Any] = {key: alerts[key] for key in ("wait", "silence") if key in alerts}
    return {**kept, "people": people, "escalation": NEVER_REMIND}


def _dump(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
