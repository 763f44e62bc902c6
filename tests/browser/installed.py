"""Which browser the tests drive: `python tests/browser/installed.py` prints it, and fails if there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# where `playwright install chromium` puts its own
DOWNLOADED = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")


def browser() -> Path | None:
    """The program of a Chromium or Chrome that can be driven; None if there is none."""
    on_path = (Path(found) for name in NAMES if (found := shutil.which(name)))
    applications = (Path(name) for name in APPLICATIONS if Path(name).exists())
    return next(iter((*_drivable(on_path), *applications, *_downloaded())), None)


def _drivable(programs: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(program for program in programs if not _is_snap(program))


def _is_snap(program: Path) -> bool:
    """A snap has a /tmp of its own, so it finds no profile of ours. Ubuntu's chromium-browser is a script for one."""
    target = program.resolve()
    if target.name == "snap" or program.is_relative_to("/snap"):
        return True
    with target.open("rb") as file:
        start = file.read(4096)
    return start.startswith(b"#!") and b"/snap/bin/" in start


def _downloaded() -> list[Path]:
    default = "~/Library/Caches/ms-playwright" if sys.platform == "darwin" else "~/.cache/ms-playwright"
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or default).expanduser()
    return sorted(program for pattern in DOWNLOADED for program in folder.glob(pattern))


if __name__ == "__main__":
    found = browser()
    print(found or "")
    sys.exit(found is None)
