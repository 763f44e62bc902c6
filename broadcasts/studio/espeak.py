"""espeak-ng, the voice that is always there: robotic, offline, 1000 times faster than real time.

It is not thread-safe and does not repeat itself within one process, so each text has a child process of its
own. Data paths over 159 characters fail silently in it: the child works in the folder that holds the data
and calls it ".".
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import espeakng_loader

from broadcasts.studio import espeak_child
from broadcasts.studio.errors import AudioRefused

VOICES = ("vi", "vi-vn-x-central", "vi-vn-x-south")
_LIMIT_S = 120


class Espeak:
    """Engine over the espeak-ng library. Both paths default to what the wheel brings."""

    def __init__(self, library: str = "", data: str = "") -> None:
        self._library = library or str(espeakng_loader.get_library_path())
        self._data = Path(data or espeakng_loader.get_data_path())
        self._version = version("espeakng-loader")

    @property
    def known(self) -> tuple[str, ...]:
        return VOICES

    def has(self, voice: str) -> bool:
        return voice in VOICES

    def identity(self, voice: str) -> str:
        return f"espeak-ng {self._version} {voice}"

    def speak(self, text: str, voice: str, words_per_minute: int, into: Path) -> None:
        child = [sys.executable, "-I", "-S", espeak_child.__file__, self._library, voice, str(words_per_minute)]
        try:
            spoken = subprocess.run(
                child, input=text.encode(), capture_output=True, timeout=_LIMIT_S, cwd=self._data.parent
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AudioRefused(f"espeak-ng did not speak: {error}", permanent=False) from None
        if spoken.returncode != 0:
            reason = spoken.stderr.decode(errors="replace").strip() or f"status {spoken.returncode}"
            raise AudioRefused(f"espeak-ng did not speak: {reason.splitlines()[-1]}", permanent=False)
        into.write_bytes(spoken.stdout)
