"""The folder of rendered audio: nothing half there, nothing damaged handed out, nothing needed thrown away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broadcasts.studio.shelf import Shelf

DAY = 86_400.0


class Wall:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.seconds = 2_000_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def shelf(tmp_path: Path, wall: Wall) -> Shelf:
    return Shelf(tmp_path / "studio", wall)


def put(shelf: Shelf, content: bytes) -> str:
    with shelf.bench() as bench:
        made = bench / "made"
        made.write_bytes(content)
        return shelf.adopt(made)[0]


def test_an_asset_is_found_by_what_it_contains(shelf: Shelf) -> None:
    name = put(shelf, b"sound")
    held = shelf.asset(name)
    assert held is not None
    assert held.read_bytes() == b"sound"


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "A" * 64, "g" * 64, "0" * 63, "0" * 64, "0" * 64 + "\n"]
)
def test_nothing_else_can_be_asked_for(shelf: Shelf, name: str) -> None:
    assert shelf.asset(name) is None


def test_a_damaged_asset_is_noticed_after_a_restart_and_thrown_away(shelf: Shelf, wall: Wall) -> None:
    name = put(shelf, b"sound")
    held = shelf.asset(name)
    assert held is not None
    held.write_bytes(b"s0und")
    after_restart = Shelf(shelf.folder, wall)
    assert not after_restart.intact(name)
    assert after_restart.asset(name) is None


def test_an_index_entry_that_cannot_be_read_is_as_good_as_none(shelf: Shelf) -> None:
    shelf.remember("index", "ab", {"a": 1})
    assert shelf.recall("index", "ab", dict[str, int]) == {"a": 1}
    assert shelf.recall("index", "ab", dict[str, list[int]]) is None
    (entry,) = (shelf.folder / "index").rglob("*.json")
    entry.write_bytes(b'{"a": ')
    assert shelf.recall("index", "ab", dict[str, int]) is None


def test_what_is_young_or_wanted_is_not_swept(shelf: Shelf, wall: Wall) -> None:
    old, wanted, young = (put(shelf, content) for content in (b"old", b"wanted", b"young"))
    for name, age in ((old, DAY), (wanted, DAY), (young, 10.0)):
        path = shelf.asset(name)
        assert path is not None
        os.utime(path, (wall.seconds - age,) * 2)
    assert shelf.sweep("assets", 3600, lambda path: path.stem != wanted) == 1
    assert [shelf.asset(name) is not None for name in (old, wanted, young)] == [False, True, True]


def test_what_was_just_asked_for_is_young_again(shelf: Shelf, wall: Wall) -> None:
    name = put(shelf, b"sound")
    wall.seconds += 30 * DAY
    assert shelf.intact(name)
    assert shelf.sweep("assets", 3600, lambda _: True) == 0


def test_a_bench_is_gone_whatever_happened_on_it(shelf: Shelf) -> None:
    with pytest.raises(IsADirectoryError), shelf.bench() as bench:
        bench.write_bytes(b"a folder is no file")
    assert list((shelf.folder / "tmp").iterdir()) == []


def test_what_a_killed_process_left_is_cleared_but_not_what_another_is_making(shelf: Shelf, wall: Wall) -> None:
    tmp = shelf.folder / "tmp"
    for name, age in (("killed", DAY), ("busy", 60.0)):
        (tmp / name).mkdir()
        (tmp / name / "half.opus").write_bytes(b"half")
        os.utime(tmp / name, (wall.seconds - age,) * 2)
    Shelf(shelf.folder, wall)
    assert [path.name for path in tmp.iterdir()] == ["busy"]
