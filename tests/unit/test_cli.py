"""What somebody at a terminal notices: help, mistakes in one line, exit statuses, JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from controller import cli
from controller.commands import base, demo
from controller.commands.base import Failure

ROOT = Path(__file__).parent.parent.parent
APP: Any = get_command(cli.app)
COMMANDS = sorted(APP.commands)

Loa = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the shipped configuration."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path / "config"


@pytest.fixture
def loa(tmp_path: Path) -> Loa:
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "", "TMPDIR": str(tmp_path), **environ}
        command = [sys.executable, "-m", "controller.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_that_is_a_command(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    example = re.search(r"Example: loa (\S+)", shown.output)
    assert example is not None
    assert example[1] == command


PRINTING = sorted(set(COMMANDS) - {"run", "demo", "simulate", "alerts"}) + [
    f"alerts {name}" for name in APP.commands["alerts"].load().commands
]


@pytest.mark.parametrize("command", PRINTING)
def test_every_command_that_prints_data_can_print_json(command: str) -> None:
    shown = CliRunner().invoke(cli.app, [*command.split(), "--help"], env={"COLUMNS": "200"})
    assert "--json" in shown.output


def test_a_bad_configuration_is_all_its_mistakes_and_status_1(loa: Loa, config: Path) -> None:
    broadcasts = config / "broadcasts.yaml"
    broadcasts.write_text(broadcasts.read_text().replace("to: [all]", "to: [al]").replace("chime: open", "chime: opn"))
    ended = loa("check")
    lines = ended.stderr.strip().splitlines()
    assert ended.returncode == 1
    assert len([line for line in lines if re.match(r"config/broadcasts\.yaml:\d+:\d+: ", line)]) >= 2
    assert lines[-1] == f"loa: {len(lines) - 1} problem(s) in config"


def test_audio_that_cannot_be_played_is_found_by_check(loa: Loa, config: Path) -> None:
    (config / "audio" / "nhac-hieu.opus").write_text("this is no music")
    ended = loa("check")
    assert ended.returncode == 1
    assert re.search(r"config/broadcasts\.yaml:\d+: broadcast 'ban-tin-sang': .*nhac-hieu.opus", ended.stderr)


def test_the_shipped_configuration_has_nothing_to_complain_about(loa: Loa, config: Path) -> None:
    ended = loa("check")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "60 nodes" in ended.stdout


def test_a_plan_for_programs_is_what_is_configured(loa: Loa, config: Path) -> None:
    day = ("plan", "--from", "2026-11-25", "--days", "1")
    everywhere = json.loads(loa(*day, "--json").stdout)
    in_town = json.loads(loa(*day, "--node", "thi-tran-01", "--format", "json").stdout)
    assert "2026-11-25T05:30:00+07:00" in [one["start"] for one in in_town if one["broadcast"] == "ban-tin-sang"]
    assert in_town == [one for one in everywhere if "thi-tran-01" in one["nodes"]]
    assert {"ban-tin-chieu"} <= {one["broadcast"] for one in everywhere} - {one["broadcast"] for one in in_town}


def test_a_plan_tells_what_is_skipped_and_why_to_programs_and_people(loa: Loa, config: Path) -> None:
    """18 February and 2 September 2027 are Thursdays."""
    broadcasts = config / "broadcasts.yaml"
    broadcasts.write_text(broadcasts.read_text().replace("skip: [holidays] ", "skip: [holidays, 2027-02-18] "))
    days = ("plan", "--node", "son-ha-01", "--days", "1", "--from")
    (skipped,) = (one for one in json.loads(loa(*days, "2027-02-18", "--json").stdout) if one["skipped"])
    assert skipped["broadcast"] == "gia-nong-san"
    assert skipped["skipped"] == {"reason": "skipped", "detail": "2027-02-18"}
    assert (skipped["start"], skipped["occurrence"]) == ("2027-02-18T11:30:00+07:00", None)
    table = loa("plan", "--node", "son-ha-01", "--days", "1", "--from", "2027-09-02", COLUMNS="200").stdout
    assert re.search(r"11:30 .*gia-nong-san .*holiday: Quốc khánh", table)


def test_a_plan_beyond_the_calendar_is_refused(loa: Loa, config: Path) -> None:
    ended = loa("plan", "--from", "2150-01-01")
    assert (ended.returncode, ended.stderr) == (2, "loa: the calendar reaches from 1902 to 2098\n")


def test_the_folder_may_be_named_in_three_ways(loa: Loa, config: Path, tmp_path: Path) -> None:
    config.rename(tmp_path / "elsewhere")
    day = ("plan", "--from", "2026-11-25", "--days", "1", "--json")
    ways = [
        loa(*day, "elsewhere"),
        loa("--config", "elsewhere", *day),
        loa(*day, "--config", "elsewhere"),
        loa(*day, LOA_CONFIG="elsewhere"),
    ]
    assert len({way.stdout for way in ways}) == 1
    assert [way.returncode for way in ways] == [0, 0, 0, 0]


@pytest.mark.parametrize("command", [["status"], ["nodes"], ["stop"], ["ack", "1"], ["listen"]])
def test_without_a_controller_the_status_is_3(loa: Loa, config: Path, command: list[str]) -> None:
    ended = loa(*command)
    assert ended.returncode == 3
    assert ended.stderr == "loa: no controller is running on config; start it with: loa run\n"


@pytest.mark.parametrize(
    "command",
    [["nonsense"], ["plan", "--days", "0"], ["plan", "--from", "31/12/2026"], ["enroll"], ["say", "", "--to", "all"]],
)
def test_wrong_usage_is_status_2(loa: Loa, config: Path, command: list[str]) -> None:
    assert loa(*command).returncode == 2


def test_the_language_of_the_system_is_spoken(loa: Loa, config: Path) -> None:
    assert "bộ điều khiển của config không chạy" in loa("status", LANG="vi_VN.UTF-8").stderr


@pytest.mark.parametrize("command", [["--help"], ["plan", "--help"], ["emergency", "start", "--help"], ["keys", "-h"]])
def test_help_is_in_the_language_of_the_system_also_where_typer_says_it(loa: Loa, command: list[str]) -> None:
    said = loa(*command, LANG="vi_VN.UTF-8").stdout
    assert "Tùy chọn" in said
    assert "Hiện hướng dẫn này rồi thoát." in said
    assert "Options" not in said


@pytest.mark.parametrize("command", [["nonsense"], ["plan", "--days", "0"], ["emergency", "start"]])
def test_a_mistake_on_the_command_line_is_told_in_that_language_too(loa: Loa, command: list[str]) -> None:
    ended = loa(*command, LANG="vi_VN.UTF-8")
    assert ended.returncode == 2
    assert "Lỗi" in ended.stderr
    assert "Xem hướng dẫn" in ended.stderr


def test_what_nobody_expected_is_one_line_and_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("the sky fell\nhard")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.count("\n") == 1
    report = Path(said.rsplit(" ", 1)[1].strip())
    assert "RuntimeError: the sky fell" in report.read_text()
    report.unlink()


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("90", 90), ("1.5m", 90), ("1h", 3600)])
def test_lengths_of_time_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert demo.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "0", "nan", "1d", "inf"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(Failure) as refused:
        demo.seconds_of(text)
    assert refused.value.status == base.USAGE


def test_a_data_folder_is_found_while_the_configuration_is_wrong(config: Path) -> None:
    (config / "broadcasts.yaml").write_text("broadcasts: 7\n")
    site = config / "site.yaml"
    site.write_text(re.sub(r"(?m)^data: \S+", "data: ../elsewhere", site.read_text()))
    assert base.data_folder(config) == config.parent / "elsewhere"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--verify",), "--verify needs a scenario: --scenario NAME"),
        (("--real-time",), "--real-time needs a scenario: --scenario NAME"),
        (("--write-config", "there"), "--write-config needs a scenario: --scenario NAME"),
        (("--scenario", "repair", "--verify", "--nodes", "2"), "leave out --nodes"),
        (("--scenario", "all"), "--scenario all --verify"),
        (("--scenario", "all", "--write-config", "there"), "--scenario all --verify"),
    ],
)
def test_an_option_that_would_do_nothing_is_wrong_usage(
    loa: Loa, config: Path, words: tuple[str, ...], said: str
) -> None:
    ran = loa("simulate", *words)
    assert (ran.returncode, said in ran.stderr) == (base.USAGE, True), ran.stderr


def test_a_scenario_that_does_not_ship_is_told_with_what_was_meant(loa: Loa, config: Path) -> None:
    ran = loa("simulate", "--scenario", "storm-nigt", "--verify", LOA_LANG="vi")
    assert ran.returncode == 1
    assert ran.stderr.startswith("loa: không có sẵn kịch bản 'storm-nigt' (có phải 'storm-night' không?)")


def test_more_nodes_than_there_are_is_told_with_the_way_to_have_more(loa: Loa, config: Path) -> None:
    ran = loa("simulate", "--nodes", "10000")
    assert ran.returncode == 1
    assert ran.stderr.startswith("loa: 10000 nodes are asked for, 60 are configured; more: loa simulate --scenario")
