"""Piper, a neural voice, with the operator's own model file: voice `piper:/path/model.onnx`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from broadcasts.studio.errors import AudioRefused

_PREFIX = "piper:"
_LIMIT_S = 600
_NATURAL_WORDS_PER_MINUTE = 150


class Piper:
    """Engine over a local `piper` executable."""

    def __init__(self, executable: str = "piper") -> None:
        self._executable = executable
        self._digests: dict[tuple[Path, int, int], str] = {}

    @property
    def known(self) -> tuple[str, ...]:
        return ("piper:/path/to/model.onnx",)

    def has(self, voice: str) -> bool:
        return voice.startswith(_PREFIX)

    def identity(self, voice: str) -> str:
        model = _model(voice)
        status = model.stat()
        held = (model, status.st_size, status.st_mtime_ns)
        if held not in self._digests:
            with model.open("rb") as file:
                self._digests[held] = hashlib.file_digest(file, "sha256").hexdigest()
        return f"piper {self._digests[held]}"

    def speak(self, text: str, voice: str, words_per_minute: int, into: Path) -> None:
        executable = shutil.which(self._executable)
        if executable is None:
            raise AudioRefused(
                f"voice '{voice}' needs the program '{self._executable}', which is not installed",
                permanent=False,
            )
        scale = f"{_NATURAL_WORDS_PER_MINUTE / words_per_minute:.3f}"
        command = [executable, "--model", str(_model(voice)), "--length_scale", scale]
        _run([*command, "--output_file", str(into)], " ".join(text.split()), voice)


def _model(voice: str) -> Path:
    model = Path(voice.removeprefix(_PREFIX))
    if not model.is_file():
        raise AudioRefused(f"voice '{voice}': there is no model file {model}")
    return model


def _run(command: list[str], text: str, voice: str) -> None:
    """One line of text in (Piper makes a file of its own of every line)."""
    try:
        ran = subprocess.run(command, input=f"{text}\n".encode(), capture_output=True, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AudioRefused(f"voice '{voice}' did not speak: {error}", permanent=False) from None
    if ran.returncode != 0:
        lines = ran.stderr.decode(errors="replace").strip().splitlines() or [f"status {ran.returncode}"]
        raise AudioRefused(f"voice '{voice}' did not speak: {lines[-1]}", permanent=False)
