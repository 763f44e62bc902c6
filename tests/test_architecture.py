"""The house holds: imports point inwards, what decides is pure, nobody but the clock reads the time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("broadcasts", "controller", "simulators")

RINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    # ring: (its modules as a pattern, the rings it may import beside itself)
    "model": (r"broadcasts|broadcasts\.model", ()),
    # A lock around what a library learns: whoever decodes types needs it.
    "typed": (r"broadcasts\.typed", ()),
    "plan": (r"broadcasts\.(calendar|recurrence|arbitration|guards|review|difference|timeline)", ("model",)),
    "studio": (r"broadcasts\.studio(\..+)?", ("model", "refusal", "typed")),
    "domain": (r"controller\.domain(\..+)?", ("model", "plan")),
    "wire": (r"controller\.wire(\..+)?", ("model", "typed")),
    "ports": (r"controller\.ports", ("model", "domain", "wire", "refusal")),
    "services": (r"controller\.services(\..+)?", ("model", "plan", "domain", "wire", "ports", "typed")),
    "adapters": (r"controller\.adapters(\..+)?", ("model", "plan", "domain", "wire", "ports", "services", "typed")),
    "settings": (r"controller\.settings(\..+)?", ("model", "plan", "domain", "wire", "ports", "adapters")),
    "app": (
        r"controller\.(app|runtime)",
        ("model", "plan", "domain", "wire", "ports", "services", "adapters", "settings", "studio", "web"),
    ),
    "web": (r"controller\.web(\..+)?", ("model", "plan", "domain", "wire", "ports", "services", "adapters", "app")),
    "cli": (
        r"controller|controller\.(cli|__main__)|controller\.(commands|demo|rehearsal)(\..+)?",
        (
            "model",
            "plan",
            "domain",
            "wire",
            "ports",
            "services",
            "adapters",
            "settings",
            "studio",
            "app",
            "web",
            "refusal",
            "simulators",
            "typed",
        ),
    ),
    "simulators": (r"simulators(\..+)?", ("model", "wire", "typed")),
    # A reason for refusing audio is a value, shared by the studio and the port.
    "refusal": (r"broadcasts\.studio\.errors", ("model",)),
}

PURE_RINGS = ("model", "plan", "domain", "refusal")
PURE_IMPORTS = {
    "__future__", "abc", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "enum", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "string", "types", "typing", "unicodedata",
    "zoneinfo", "msgspec",
    # tables and arithmetic; like zoneinfo they read nothing but data of their own
    "holidays", "lunar_vn",
}  # fmt: skip
SERVICE_FORBIDDEN = {
    "os", "io", "socket", "subprocess", "sqlite3", "sqlalchemy", "httpx", "paho", "apscheduler", "time", "threading",
    "shutil", "tempfile", "smtplib", "urllib", "http", "apprise", "fastapi",
}  # fmt: skip
CLOCK_READS = re.compile(r"(^|\.)(datetime|date)\.(now|utcnow|today)$|^time\.(time|monotonic|perf_counter)(_ns)?$")


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if "migrations.versions" not in name:
                yield name.removesuffix(".__init__"), path


MODULES = dict(modules())


def ring_of(module: str) -> str | None:
    found = [ring for ring, (pattern, _) in RINGS.items() if re.fullmatch(pattern, module)]
    return "refusal" if "refusal" in found else found[0] if found else None


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def test_every_module_stands_in_a_ring() -> None:
    assert [name for name in MODULES if ring_of(name) is None] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_inwards(module: str) -> None:
    ring = ring_of(module)
    assert ring is not None
    allowed = {ring, *RINGS[ring][1]}
    for imported in imports(MODULES[module]):
        if imported.split(".")[0] in PACKAGES:
            target = ring_of(imported)
            assert target in allowed, f"{module} ({ring}) imports {imported} ({target})"


@pytest.mark.parametrize("module", [name for name in MODULES if ring_of(name) in PURE_RINGS])
def test_what_decides_is_pure(module: str) -> None:
    outside = {name for name in imports(MODULES[module]) if name.split(".")[0] not in PACKAGES}
    assert outside <= PURE_IMPORTS, f"{module} imports {sorted(outside - PURE_IMPORTS)}"


@pytest.mark.parametrize("module", [name for name in MODULES if ring_of(name) == "services"])
def test_services_talk_to_the_world_through_ports(module: str) -> None:
    found = {name.split(".")[0] for name in imports(MODULES[module])} & SERVICE_FORBIDDEN
    assert not found, f"{module} imports {sorted(found)}"


@pytest.mark.parametrize("module", [name for name in MODULES if ring_of(name) in (*PURE_RINGS, "services", "wire")])
def test_time_comes_from_outside(module: str) -> None:
    calls = (node for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Call))
    reads = [ast.unparse(call.func) for call in calls if CLOCK_READS.search(ast.unparse(call.func))]
    assert not reads, f"{module} reads the clock: {reads}"


def test_the_check_itself_sees_an_import_that_points_outwards(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("from controller.adapters import mqtt\nfrom controller.wire import topics\n")
    assert "controller.adapters.mqtt" in set(imports(bad))
    assert ring_of("controller.adapters.mqtt") not in {"simulators", *RINGS["simulators"][1]}
