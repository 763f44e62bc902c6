"""Every scenario that ships: the real controller in compressed time concludes exactly what the file says it must."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.cli import app
from controller.commands.base import Failure
from controller.domain.faults import Severity
from controller.rehearsal import district, scenario
from controller.rehearsal.scenario import ExpectIn
from controller.rehearsal.stage import Stage
from controller.rehearsal.verdict import Concluded, Found, compare
from controller.settings import ConfigError, load

RULES = Path(__file__).parent.parent.parent / "config"
BAD = Path(__file__).parent.parent / "config" / "scenarios"


def concluded(chosen: scenario.Scenario, folder: Path) -> Concluded:
    district.write(chosen, RULES, folder)
    return asyncio.run(Stage(chosen, load(folder)).play())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", scenario.names())
def test_the_controller_concludes_what_it_must(name: str, tmp_path: Path) -> None:
    chosen = scenario.load(name)
    differences = compare(chosen.expect, concluded(chosen, tmp_path))
    assert not differences, "\n".join(f"{one.what}: {one.expected} expected, {one.found} found" for one in differences)


def test_at_least_twenty_ship_and_the_storm_night_is_the_whole_district() -> None:
    assert len(scenario.names()) >= 20
    storm = scenario.load("storm-night")
    assert (storm.network.communes, storm.network.communes * storm.network.nodes) == (12, 600)
    assert not storm.only_compressed, "it can be run in real time"


def test_a_seed_is_the_same_night_every_time(tmp_path: Path) -> None:
    chosen = scenario.load("evening-fading").model_copy(update={"lasts": timedelta(minutes=30)})
    one, two = concluded(chosen, tmp_path / "a"), concluded(chosen, tmp_path / "b")
    assert one == two


def test_what_was_not_to_be_fails_the_command_and_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (scenario.FOLDER / "single-fuse.yaml").read_text().replace("kt-x01: 2", "kt-x01: 3")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text)
    ran = CliRunner().invoke(
        app, ["simulate", "--scenario", str(wrong), "--verify", "--json", "--config", str(RULES)], catch_exceptions=True
    )
    assert ran.exit_code != 0
    told = json.loads(ran.stdout)
    assert told["as_expected"] is False
    assert told["differences"] == [{"what": "messages to kt-x01", "expected": "3", "found": "2"}]
    monkeypatch.setenv("LOA_LANG", "vi")
    said = CliRunner().invoke(app, ["simulate", "--scenario", str(wrong), "--verify", "--config", str(RULES)])
    assert "tin nhắn gửi kt-x01" in said.stdout


def test_what_is_as_it_was_to_be_is_one_line(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["simulate", "--scenario", "single-fuse", "--verify", "--config", str(RULES)])
    assert ran.exit_code == 0
    assert ran.stdout.startswith("✓ single-fuse  1 incident(s), 2 message(s) in ")
    assert len(ran.stdout.splitlines()) == 1


def test_a_scenarios_district_is_written_as_a_configuration_that_can_run(tmp_path: Path) -> None:
    words = ["simulate", "--scenario", "single-fuse", "--write-config", str(tmp_path / "fuse")]
    ran = CliRunner().invoke(app, [*words, "--config", str(RULES)])
    assert ran.exit_code == 0, ran.output
    assert set(load(tmp_path / "fuse").nodes) == set(scenario.members(scenario.load("single-fuse").network)["all"])


def test_a_district_can_be_as_large_as_a_fleet(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(
        "story: A quiet day.\nstarts: 2026-03-02 08:00\nlasts: 1h\n"
        "network: {communes: 50, nodes: 200, heartbeat: 30s}\nsteps: []\nexpect: {}\n"
    )
    words = ["simulate", "--scenario", str(tmp_path / "large.yaml"), "--write-config", str(tmp_path / "large")]
    ran = CliRunner().invoke(app, [*words, "--config", str(RULES)])
    assert ran.exit_code == 0, ran.output
    assert len(load(tmp_path / "large").nodes) == 10_000


def test_a_district_without_a_configuration_to_take_the_rules_from_is_an_error_in_one_line(tmp_path: Path) -> None:
    words = ["simulate", "--scenario", "single-fuse", "--write-config", str(tmp_path / "fuse")]
    ran = CliRunner().invoke(app, [*words, "--config", str(tmp_path / "none")])
    assert isinstance(ran.exception, Failure)
    assert "there is no such folder" in ran.output


def test_what_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    theirs = tmp_path / "config"
    shutil.copytree(RULES, theirs)
    before = (theirs / "nodes.yaml").read_text()
    words = ["simulate", "--scenario", "single-fuse", "--write-config", str(theirs)]
    ran = CliRunner().invoke(app, [*words, "--config", str(RULES)])
    assert isinstance(ran.exception, Failure)
    assert "something already" in str(ran.exception)
    assert (theirs / "nodes.yaml").read_text() == before
    ran = CliRunner().invoke(app, [*words[:-1], str(theirs / "nodes.yaml"), "--config", str(RULES)])
    assert isinstance(ran.exception, Failure)


@pytest.mark.parametrize(
    ("file", "mistake"), [("faults.yaml", "faults: [{severty: major}]\n"), ("alerts.yaml", "people: [\n")]
)
def test_a_mistake_in_the_rules_is_told_where_the_operator_made_it(file: str, mistake: str, tmp_path: Path) -> None:
    rules = tmp_path / "config"
    shutil.copytree(RULES, rules)
    (rules / file).write_text(mistake)
    ran = CliRunner().invoke(app, ["simulate", "--scenario", "repair", "--verify", "--config", str(rules)])
    assert isinstance(ran.exception, Failure)
    assert f"{rules / file}:" in ran.output


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_mistake_is_told_with_its_place_and_what_was_meant(path: Path) -> None:
    """The first line of each file says what must be told."""
    with pytest.raises(ConfigError) as caught:
        scenario.load(str(path))
    wanted = path.read_text().splitlines()[0].removeprefix("# ")
    assert [str(one).partition(f"{path.name}:")[2] for one in caught.value.problems] == [wanted]


@pytest.mark.parametrize("key", ["network", "steps", "expect", "lasts", "starts", "story", "seed"])
@pytest.mark.parametrize(
    "value", ["", "5", "[]", "{}", "[x]", "{incidents: 5, messages: [x]}", "{communes: no}", "[[]]", "[{}]"]
)
def test_whatever_stands_at_a_key_is_a_mistake_or_right_but_never_a_crash(key: str, value: str, tmp_path: Path) -> None:
    lines = (scenario.FOLDER / "repair.yaml").read_text().splitlines()
    whole = {line.partition(":")[0]: line for line in lines if not line.startswith((" ", "#"))}
    (tmp_path / "odd.yaml").write_text("\n".join(f"{key}: {value}" if k == key else line for k, line in whole.items()))
    with suppress(ConfigError):
        scenario.load(str(tmp_path / "odd.yaml"))


def test_every_kind_of_difference_is_seen() -> None:
    whole = {"cause": "power", "severity": "major", "opens": "1m..2m", "ends": "closed"}
    due = [{"subject": "x01", "scope": "commune", **whole}, {"subject": "x02", **whole}]
    expect = ExpectIn.model_validate({"incidents": due, "messages": {"kt-x01": "2"}})
    late = Found("x01", "power", "feeder", Severity.CRITICAL.value, timedelta(minutes=3), "open")
    extra = Found("x03-01", "fan", "node", Severity.MINOR.value, timedelta(minutes=3), "open")
    found = compare(expect, Concluded((late, extra), 0, {"kt-x02": 1}))
    assert [one.what for one in found] == [
        "power of x01: scope",
        "power of x01: severity",
        "power of x01: at the end",
        "power of x01: opens",
        "power of x02",
        "fan of x03-01",
        "messages to kt-x01",
        "messages to kt-x02",
    ]
