"""What the machine says of itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from controller.adapters.host import Host


def test_free_space_is_that_of_the_folders_disk(tmp_path: Path) -> None:
    space = Host(str(tmp_path)).space()
    assert space is not None
    assert abs(space.free_mb - shutil.disk_usage(tmp_path).free / 1e6) < 5_000
    assert space.inodes_free is None or 0 <= space.inodes_free <= 1


def test_a_folder_that_is_gone_is_not_measured(tmp_path: Path) -> None:
    assert Host(str(tmp_path / "gone")).space() is None


def test_the_clock_is_synchronised_or_not_or_the_system_does_not_say(tmp_path: Path) -> None:
    assert Host(str(tmp_path)).synced() in (True, False, None)
