"""A disk of its own for the controller's data, small enough to be filled, that nobody else sees mounted."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS = 0x20000
SIZE_MB = 96
BALLAST = "ballast"


def own_mounts() -> str:
    """Let this process mount what no other sees and what ends with it. Empty, or why that cannot be had. Call it
    before any thread starts: each thread has its own view."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a disk that can be filled needs root on Linux"
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return f"no mounts of our own: {os.strerror(ctypes.get_errno())}"
    return _run("mount", "--make-rprivate", "/")


class SmallDisk:
    """A tmpfs at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / BALLAST
        self._folder = folder

    def mount(self) -> str:
        """Empty, or why it cannot be mounted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=711", "tmpfs", str(self._folder))

    def unmount(self) -> str:
        """Now or when its last file is closed. Empty, or why not."""
        return _run("umount", "--lazy", str(self._folder))

    def fill(self) -> None:
        """To the last byte."""
        piece = b"\0" * 65536
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(piece):
                    pass
            except OSError:
                return

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""
