"""The demo tells the truth about itself, and hurts nobody."""

from __future__ import annotations

import os
import shutil
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.lock import Lock
from controller.demo.account import Account, Break, account, broken_promises
from controller.demo.home import PREFIX, YOUNG_S, home
from controller.settings import load

CONFIG = Path(__file__).parent.parent.parent / "config"
BEGAN = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)


def stamp(after_s: float) -> str:
    return (BEGAN + timedelta(seconds=after_s)).isoformat()


def line(heard: str, started_s: float | None) -> dict[str, Any]:
    return {"heard": heard, "started_at": None if started_s is None else stamp(started_s)}


def incident(id: int, subject: str, cause: str, after_s: float, sent: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "subject": subject,
        "cause": cause,
        "component": "amplifier",
        "opened_at": stamp(after_s),
        "parent": None,
        "messages": {"sent": sent},
        **more,
    }


BREAK = Break("na-meo-01", "amplifier", BEGAN + timedelta(seconds=10))


def told(lines: list[dict[str, Any]], incidents: list[dict[str, Any]]) -> Account:
    return account(len(lines), {"nodes": lines}, incidents, [BREAK], 1, BEGAN)


def test_a_node_that_only_says_it_played_is_not_counted_as_heard() -> None:
    found = told([line("heard", 8.0), line("unverified", 8.0), line("unknown", None)], [])
    assert found.heard == 1
    assert ("only {heard} of {nodes} nodes heard the announcement", vars(found)) in broken_promises(found, [BREAK], ())


def test_skew_is_from_the_first_node_to_the_last() -> None:
    found = told([line("heard", 8.012), line("heard", 8.0), line("heard", 8.047)], [])
    assert (found.start_skew_ms, found.first_word_s) == (47, 8.0)


def test_a_fault_is_timed_from_the_moment_it_was_put_in() -> None:
    found = told([line("heard", 8.0)], [incident(1, "na-meo-01", "amplifier", 20.25)])
    assert found.as_json()["fault_to_flag_ms"] == {"amplifier": 10_250}
    assert broken_promises(found, [BREAK], ["amplifier"]) == []


def test_an_incident_elsewhere_does_not_keep_the_promise() -> None:
    found = told([line("heard", 8.0)], [incident(1, "na-meo-02", "amplifier", 20.0)])
    assert found.as_json()["fault_to_flag_ms"] == {}
    assert [text for text, _ in broken_promises(found, [BREAK], ["amplifier"])] == ["{cause}: no incident"]


def test_an_incident_that_nobody_was_told_of_breaks_the_promise() -> None:
    found = told([line("heard", 8.0)], [incident(1, "na-meo-01", "amplifier", 20.0, sent=0)])
    assert [text for text, _ in broken_promises(found, [BREAK], ["amplifier"])] == ["{cause}: nobody was told"]


def test_what_another_incident_explains_is_not_listed() -> None:
    found = told([], [incident(2, "na-meo-01", "mains-lost", 20.0, parent=1), incident(1, "na-meo", "power", 20.0)])
    assert [each["node_or_commune"] for each in found.as_json()["incidents"]] == ["na-meo"]


def test_a_demo_that_never_came_to_its_announcement_says_so() -> None:
    found = account(60, None, [], [], 0, BEGAN)
    assert found.as_json() == {
        "nodes": 60,
        "heard": 0,
        "start_skew_ms": None,
        "fault_to_flag_ms": {},
        "incidents": [],
        "alerts_sent": 0,
    }
    assert len(broken_promises(found, [], ["power"])) == 2


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_no_alert_of_a_demo_leaves_this_machine(temp: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    shutil.copytree(CONFIG, real)
    alerts = real / "alerts.yaml"
    alerts.write_text(alerts.read_text().replace("http://127.0.0.1:9099", "https://sms.example.vn"))
    with home(real, 18080) as place:
        settings = load(place.config)
    assert settings.alerts.smtp is not None
    assert (settings.alerts.smtp.host, settings.alerts.smtp.port) == ("127.0.0.1", place.mail_port)
    addresses = [channel.address for person in settings.alerts.people for channel in person.channels]
    assert addresses
    assert all(
        address.startswith(f"http://127.0.0.1:{place.web_port}/") or address.endswith("@demo.example")
        for address in addresses
    )


def test_a_demo_writes_to_its_own_folder_and_takes_it_away(temp: Path) -> None:
    before = {path: path.read_bytes() for path in CONFIG.rglob("*") if path.is_file()}
    with home(CONFIG, 18080) as place:
        settings = load(place.config)
        assert Path(settings.site.data).is_relative_to(place.folder)
        assert settings.site.store_url == f"sqlite:///{place.data / 'loa.db'}"
    assert list(temp.iterdir()) == []
    assert {path: path.read_bytes() for path in CONFIG.rglob("*") if path.is_file()} == before


def test_a_taken_port_moves_the_page_to_the_next(temp: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with home(CONFIG, port) as place:
            assert place.page_port > port


def test_what_a_killed_demo_left_is_removed_and_a_living_one_is_not(temp: Path) -> None:
    for name in ("dead", "living", "young"):
        (temp / f"{PREFIX}{name}").mkdir()
    (temp / f"{PREFIX}dead" / "lock").touch()
    os.utime(temp / f"{PREFIX}dead", (time.time() - YOUNG_S, time.time() - 2 * YOUNG_S))
    lock = Lock(temp / f"{PREFIX}living" / "lock")
    with home(CONFIG, 18080) as place:
        left = {path.name for path in temp.iterdir()} - {place.folder.name}
    lock.release()
    assert left == {f"{PREFIX}living", f"{PREFIX}young"}
