"""Which guards hold on a node: its site's, its commune's, its hamlet's, those of its zones; the nearest word counts."""

from __future__ import annotations

import shutil
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from broadcasts.guards import Guards, Span
from controller.settings import load

ROOT = Path(__file__).parent.parent.parent
MINUTE = timedelta(minutes=1)


@pytest.fixture
def guards(tmp_path: Path) -> dict[str, Guards]:
    """Of some nodes of a site with two communes, a hamlet and two zones that each say something of their own."""
    config = tmp_path / "config"
    shutil.copytree(ROOT / "config", config)
    (config / "broadcasts.yaml").write_text("broadcasts: []\n")
    _edit(config / "site.yaml", guards={"quiet-hours": "22:00-04:00", "session": "50m"})
    hamlet = {"id": "ban-a", "name": "Bản A", "guards": {"session": "20m"}}
    communes = [
        {"id": "na-meo", "name": "Na Mèo", "guards": {"session": "40m", "gap": "none"}, "hamlets": [hamlet]},
        {"id": "son-thuy", "name": "Sơn Thủy"},
    ]
    nodes = [
        {"id": "lang", "name": "Làng", "commune": "na-meo"},
        {"id": "ban", "name": "Bản", "commune": "na-meo", "hamlet": "ban-a"},
        {"id": "cho", "name": "Chợ", "commune": "son-thuy"},
        {"id": "truong", "name": "Trường", "commune": "son-thuy"},
    ]
    zones = [
        {"id": "tre-em", "name": "Trẻ em", "members": ["truong", "ban"], "guards": {"quiet-hours": ["11:30-13:30"]}},
        {
            "id": "on-ao",
            "name": "Ồn ào",
            "members": ["truong"],
            "guards": {"session": "30m", "quiet-hours": "20:00-06:00"},
        },
        {"id": "yen", "name": "Yên", "members": ["truong"], "guards": {"session": "10m", "daily-airtime": "none"}},
    ]
    written = {"communes": communes, "zones": zones, "nodes": nodes}
    (config / "nodes.yaml").write_text(yaml.safe_dump(written, allow_unicode=True))
    (config / "alerts.yaml").write_text("people: []\n")
    settings = load(config)
    return {node: settings.guards_of(node) for node in settings.nodes}


def _edit(path: Path, **more: Any) -> None:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **more}, allow_unicode=True))


NIGHT = Span(time(22), time(4))


def test_what_nobody_says_otherwise_is_the_sites(guards: dict[str, Guards]) -> None:
    assert guards["cho"] == Guards(quiet=(NIGHT,), session=50 * MINUTE)


def test_a_commune_changes_what_it_names_and_leaves_the_rest(guards: dict[str, Guards]) -> None:
    assert guards["lang"] == Guards(quiet=(NIGHT,), session=40 * MINUTE, gap=None)


def test_a_hamlet_comes_before_its_commune_and_a_zone_before_both(guards: dict[str, Guards]) -> None:
    assert guards["ban"] == Guards(quiet=(Span(time(11, 30), time(13, 30)),), session=20 * MINUTE, gap=None)


def test_of_several_zones_the_strictest_holds_guard_by_guard(guards: dict[str, Guards]) -> None:
    truong = guards["truong"]
    assert truong.session == 10 * MINUTE
    assert truong.airtime is None
    assert set(truong.quiet) == {Span(time(11, 30), time(13, 30)), Span(time(20), time(6))}
