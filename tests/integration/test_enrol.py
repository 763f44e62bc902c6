"""Enrolment and the running controller, each a process of its own, as an integrator meets them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from broadcasts.guards import Guard
from controller.adapters.broker import free_port

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 60.0

Loa = Callable[..., "subprocess.CompletedProcess[str]"]


class Site:
    """A copy of the shipped configuration on ports of its own, and the `loa` command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config"
        self.data = folder / "var"
        shutil.copytree(ROOT / "config", self.config)
        site = self.config / "site.yaml"
        text = site.read_text().replace("port: 1883", f"port: {free_port()}")
        text = text.replace("port: 8080", f"port: {free_port()}")
        guards = {guard.value: "none" for guard in Guard}  # whatever the time is
        site.write_text(f"{text}\nguards: {json.dumps(guards)}\n")

    def loa(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, cwd=self.folder, env=self.environment, check=False
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "controller.cli", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LANG": "C.UTF-8", "LC_ALL": ""}

    def start(self) -> subprocess.Popen[str]:
        log = self.folder / "run.log"
        with log.open("w") as output:
            running = subprocess.Popen(
                self.command("run"), stderr=output, cwd=self.folder, env=self.environment, text=True
            )

        def ready() -> bool:
            assert running.poll() is None, log.read_text()
            return '"ready"' in log.read_text()

        until(ready)
        return running


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[subprocess.Popen[str]]:
    process = site.start()
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def can_join(file: Path) -> bool:
    """Does the broker let in who has this file?"""
    mqtt = json.loads(file.read_text())["mqtt"]
    answered = threading.Event()
    answers: list[bool] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, mqtt["username"], protocol=paho.MQTTv5)
    client.username_pw_set(mqtt["username"], mqtt["password"])

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        answers.append(not reason.is_failure)
        answered.set()

    client.on_connect = on_connect
    client.connect(mqtt["host"], mqtt["port"])
    client.loop_start()
    assert answered.wait(PATIENCE_S)
    client.disconnect()
    client.loop_stop()
    return answers[0]


def test_a_node_enrolled_before_the_first_start_can_join(site: Site) -> None:
    ended = site.loa("enroll", "son-ha-01")
    file = site.folder / "son-ha-01.json"
    assert ended.returncode == 0, ended.stderr
    assert "delete it here" in ended.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    running = site.start()
    assert can_join(file)
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE_S) == 0
    assert not (site.data / "controller.json").exists()


@pytest.mark.usefixtures("running")
def test_a_node_enrolled_while_the_controller_runs_can_join(site: Site) -> None:
    file = site.folder / "na-meo-02.json"
    assert site.loa("enroll", "na-meo-02").returncode == 0
    until(lambda: can_join(file))
    enrolled = json.loads(file.read_text())
    assert enrolled["node"] == enrolled["mqtt"]["username"] == "na-meo-02"
    assert [key["alg"] for key in enrolled["keys"]["keys"]] == ["EdDSA"]


@pytest.mark.usefixtures("running")
def test_enrolling_twice_needs_a_word_and_ends_the_old_password(site: Site) -> None:
    first, second = site.folder / "first.json", site.folder / "second.json"
    assert site.loa("enroll", "na-meo-03", "-o", str(first)).returncode == 0
    again = site.loa("enroll", "na-meo-03", "-o", str(second))
    assert (again.returncode, second.exists()) == (1, False)
    assert "--force" in again.stderr
    assert site.loa("enroll", "na-meo-03", "-o", str(second), "--force").returncode == 0
    until(lambda: can_join(second))
    assert not can_join(first)


@pytest.mark.usefixtures("running")
def test_all_means_all_that_have_no_file_yet(site: Site) -> None:
    one = site.folder / "tam-lu-01.json"
    assert site.loa("enroll", "tam-lu-01", "-o", str(one)).returncode == 0
    folder = site.folder / "all"
    assert site.loa("enroll", "--all", str(folder)).returncode == 0
    names = {path.stem for path in folder.glob("*.json")}
    assert "tam-lu-01" not in names
    assert "tam-lu-02" in names
    until(lambda: can_join(folder / "tam-lu-02.json"))
    assert can_join(one)
    assert "enrolled already" in site.loa("enroll", "--all", str(folder)).stdout


def test_a_misspelt_node_is_not_enrolled(site: Site) -> None:
    ended = site.loa("enroll", "na-meo-1")
    assert ended.returncode == 1
    assert re.search(r"unknown node 'na-meo-1' \(did you mean 'na-meo-0\d'\?\)", ended.stderr)


@pytest.mark.usefixtures("running")
def test_a_second_controller_on_the_same_data_is_refused(site: Site) -> None:
    ended = site.loa("run")
    assert ended.returncode == 1
    assert ended.stderr == f"loa: a controller runs on {site.data} already\n"


def test_several_controllers_with_one_managed_broker_are_refused(site: Site) -> None:
    ended = site.loa("run", "--instance", "b")
    assert ended.returncode == 1
    assert "several controllers need a broker that runs on its own" in ended.stderr
    assert site.loa("run", "--instance", "Máy B").stderr.startswith("loa: 'Máy B' is no name")


@pytest.mark.usefixtures("running")
def test_the_command_line_asks_the_running_controller(site: Site) -> None:
    status = json.loads(site.loa("status", "--json").stdout)
    assert status["nodes"]["total"] == 60
    refused = site.loa("say", "Xin chào", "--to", "na-meoo")
    assert (refused.returncode, refused.stderr) == (1, "loa: unknown commune, zone or node 'na-meoo'\n")
    aired = json.loads(site.loa("say", "Xin chào bà con", "--to", "na-meo", "--json").stdout)
    assert len(aired["nodes"]) == 5
    story = site.loa("why", aired["occurrence"], "na-meo-01")
    assert "Xin chào bà con" in story.stdout
    assert site.loa("why", aired["occurrence"], "son-thuy-01").returncode == 1


@pytest.mark.usefixtures("running")
def test_two_can_listen_at_once_and_see_signed_documents(site: Site) -> None:
    command = site.command("listen", "dn/na-meo-01/#", "--count", "1", "--json")
    listeners = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=site.folder, env=site.environment)
        for _ in range(2)
    ]
    for listener in listeners:
        heard = json.loads(listener.communicate(timeout=PATIENCE_S)[0])
        assert (heard["topic"], heard["verdict"]) == ("dn/na-meo-01/playlists", "signed")
        assert heard["message"]["aud"] == "na-meo-01"
    assert json.loads(site.loa("status", "--json").stdout)["nodes"]["total"] == 60


def test_secrets_are_for_their_owner_alone(site: Site, running: subprocess.Popen[str]) -> None:
    told = site.data / "controller.json"
    assert json.loads(told.read_text())["pid"] == running.pid
    for path in (told, site.data / "loa.db", *(site.data / "keys").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_killed_controller_leaves_no_broker_and_can_start_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    running = site.start()
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert children
    running.kill()
    running.wait()
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    assert site.loa("status").returncode == 3
    again = site.start()
    until(lambda: site.loa("status").returncode == 0)
    again.send_signal(signal.SIGTERM)
    assert again.wait(PATIENCE_S) == 0
