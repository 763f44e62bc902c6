"""Files that were made to cost: each is refused before the work is done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.settings import ConfigError, load, problems, suggest, yaml_source
from controller.settings.source import Unusable

GOOD = Path(__file__).parent.parent / "config" / "good"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOOD, tmp_path / "config"))


def only_problem(config: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load(config)
    (problem,) = error.value.problems
    return problem.message


@pytest.mark.parametrize("megabytes", [50, 50_000])
def test_a_huge_file_is_refused_by_its_size_alone(megabytes: int, config: Path) -> None:
    with (config / "nodes.yaml").open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    assert only_problem(config) == f"has {megabytes}.0 MB; a configuration file may have 4 MB"


def test_an_endless_device_is_no_file(config: Path) -> None:
    (config / "nodes.yaml").unlink()
    (config / "nodes.yaml").symlink_to("/dev/zero")
    assert only_problem(config) == "is not a regular file"


def test_a_pipe_that_nobody_writes_to_blocks_nothing(config: Path) -> None:
    (config / "nodes.yaml").unlink()
    os.mkfifo(config / "nodes.yaml")
    assert only_problem(config) == "is not a regular file"


def test_a_link_to_itself_is_told(config: Path) -> None:
    (config / "nodes.yaml").unlink()
    (config / "nodes.yaml").symlink_to("nodes.yaml")
    assert only_problem(config) == "cannot be read: too many levels of symbolic links"


def test_an_audio_file_behind_a_link_out_of_the_folder_is_outside(config: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"x")
    (config / "audio" / "link.wav").symlink_to(tmp_path / "secret.wav")
    text = (config / "broadcasts.yaml").read_text().replace("{say: Kính thưa bà con.}", "{file: audio/link.wav}")
    (config / "broadcasts.yaml").write_text(text)
    assert only_problem(config) == "file 'audio/link.wav' lies outside of the configuration folder"


class CountingParser:
    """Endless events of a kind; says how many were taken."""

    def __init__(self, events: Iterator[object]) -> None:
        self.events = events
        self.taken = 0

    def __call__(self, text: str) -> CountingParser:
        return self

    def check_event(self) -> bool:
        return True

    def get_event(self) -> object:
        self.taken += 1
        return next(self.events)

    def dispose(self) -> None:
        pass


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_a_billion_laughs_end_at_the_third_level() -> None:
    with pytest.raises(Unusable, match=r"aliases .* stand for more than 2000 values") as error:
        yaml_source.parse(laughs(9))
    assert error.value.place.line == 4


def test_a_few_aliases_are_nobodys_harm() -> None:
    parsed = yaml_source.parse("days: &days [mon, tue]\nagain: *days\n")
    assert parsed.root == {"days": ["mon", "tue"], "again": ["mon", "tue"]}


@pytest.mark.parametrize("text", ["[" * 1_000_000, "{a: " * 300_000, "- " * 300_000], ids=["list", "block", "dash"])
def test_a_million_levels_end_at_the_twenty_fourth(text: str) -> None:
    with pytest.raises(Unusable, match="nested deeper than 24 levels"):
        yaml_source.parse(text)


def test_endless_values_end_at_a_limit() -> None:
    import itertools

    from yaml import DocumentStartEvent, ScalarEvent, SequenceStartEvent
    from yaml.error import Mark

    mark = Mark("", 0, 0, 0, None, None)
    begin = [DocumentStartEvent(mark, mark), SequenceStartEvent(None, None, True, mark, mark)]
    value = ScalarEvent(None, None, (True, False), "x", mark, mark)
    parser = CountingParser(itertools.chain(begin, itertools.repeat(value)))
    with pytest.raises(Unusable, match="more than 300000 values"):
        yaml_source.parse("", parser)
    assert parser.taken == yaml_source.MAX_VALUES + 3


def test_ten_thousand_mistakes_are_not_all_looked_for(config: Path) -> None:
    entries = "".join(f"  - {{id: b{n}, title: x, to: [na-meo-{n}], at: 05:30, play: open}}\n" for n in range(10_000))
    (config / "broadcasts.yaml").write_text("broadcasts:\n" + entries)
    with pytest.raises(ConfigError) as error:
        load(config)
    assert len(error.value.problems) == problems.MAX_PROBLEMS + 1
    assert error.value.problems[-1].message == "the first 500 problems; more may follow"
    assert str(error.value).count("unknown zone") > 200
    assert str(error.value).count("did you mean 'na-meo") <= 50


def test_a_list_of_a_hundred_thousand_targets_is_one_mistake(config: Path) -> None:
    text = (config / "broadcasts.yaml").read_text().replace("[all]", f"[{'x, ' * 100_000}]")
    (config / "broadcasts.yaml").write_text(text)
    assert only_problem(config) == "a list of 100000 values: at most 1000"


def test_a_number_of_a_million_digits_is_too_long(config: Path) -> None:
    with (config / "site.yaml").open("a") as file:
        file.write(f"horizon: {'9' * 1_000_000}\n")
    assert only_problem(config).endswith("...' is too long for a length of time")


def test_what_a_message_shows_cannot_take_over_the_terminal() -> None:
    assert suggest.shown("a\x1b[2J\nb\u202e") == "'a [2J b '"


def test_a_secret_is_never_shown(config: Path) -> None:
    (config / "site.yaml").write_text((config / "site.yaml").read_text() + "store: mysql://loa:hunter2@db/loa\n")
    assert "hunter2" not in only_problem(config)
