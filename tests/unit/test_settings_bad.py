"""Every mistake an operator can make says where it is, what is there, and what was probably meant.

tests/config/bad holds one mistake each: a file whose first lines say which file of tests/config/good it replaces
and what must be said, or a folder laid over it with the messages in expect.txt.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from controller.settings import ConfigError, load, source, yaml_source

SAMPLES = Path(__file__).parent.parent / "config"
BAD = sorted((SAMPLES / "bad").iterdir())


def expected(sample: Path) -> list[str]:
    if sample.is_dir():
        return (sample / "expect.txt").read_text().splitlines()
    lines = sample.read_text().splitlines()
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]


def lay(sample: Path, config: Path) -> None:
    """Put the files of `sample` in the place of the good ones."""
    if sample.is_file():
        name = sample.read_text().splitlines()[0].removeprefix("# replaces: ")
        shutil.copy(sample, config / name)
        return
    for file in (path for path in sample.rglob("*") if path.is_file() and path.name != "expect.txt"):
        target = config / file.relative_to(sample)
        if target.parent.is_file():
            target.parent.unlink()
        target.parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(file, target)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good configuration in `config` of the working folder."""
    shutil.copytree(SAMPLES / "good", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config"


def problems(config: Path) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load("config", environ={})
    return [str(problem).removeprefix("config/") for problem in error.value.problems]


def test_the_samples_are_wrong_only_where_they_say_because_their_base_is_right(config: Path) -> None:
    assert load("config").warnings == ()


def test_there_are_samples() -> None:
    assert len(BAD) > 100


@pytest.mark.parametrize("sample", BAD, ids=lambda sample: sample.stem)
def test_a_mistake_gives_just_its_message_at_its_place(sample: Path, config: Path) -> None:
    lay(sample, config)
    assert problems(config) == expected(sample)


def files_of(sample: Path) -> list[Path]:
    inside = sample.rglob("*.yaml") if sample.is_dir() else [sample]
    return [path for path in inside if path.is_file()]


@pytest.mark.parametrize("file", [file for sample in BAD for file in files_of(sample)], ids=lambda file: file.stem)
def test_without_libyaml_a_file_is_read_the_same_way(file: Path) -> None:
    """PyYAML built from source may have only its Python parser."""
    assert outcome(file, yaml.SafeLoader) == outcome(file, yaml.CSafeLoader)


def outcome(file: Path, parser: type) -> object:
    try:
        return yaml_source.parse(source.decode(file.read_bytes()), parser)
    except source.Unusable as error:
        return error.place, error.message


def test_mistakes_of_all_files_come_at_once_in_the_order_of_files_and_lines(config: Path) -> None:
    lay(SAMPLES / "bad" / "mistakes-in-all-files", config)
    with pytest.raises(ConfigError) as error:
        load("config")
    found = error.value.problems
    assert {problem.file for problem in found} == {
        f"config/{name}.yaml" for name in ("site", "nodes", "broadcasts", "broadcasts/xa", "faults", "alerts")
    }
    assert list(found) == sorted(found)
    assert str(error.value).splitlines() == [str(problem) for problem in found]


def test_a_broken_network_file_does_not_make_every_broadcast_wrong(config: Path) -> None:
    (config / "nodes.yaml").write_text("communes: [")
    assert all(problem.startswith("nodes.yaml:") for problem in problems(config))


@pytest.mark.parametrize("name", ["site", "nodes", "broadcasts", "faults", "alerts"])
def test_a_file_that_is_gone_is_missed_so_that_a_deleted_one_never_cancels_all_silently(
    name: str, config: Path
) -> None:
    (config / f"{name}.yaml").unlink()
    found = problems(config)
    assert len(found) == 1
    assert found[0].startswith(f"{name}.yaml:1:1: is missing: ")


def test_no_folder(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"^conf:1:1: there is no such folder$"):
        load("conf")


def test_a_file_in_the_place_of_the_folder() -> None:
    file = SAMPLES / "good" / "site.yaml"
    with pytest.raises(ConfigError, match=r"site\.yaml:1:1: is a file, not a folder$"):
        load(file)
