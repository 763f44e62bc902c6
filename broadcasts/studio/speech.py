"""Text to speech: what the studio asks of a voice, and which engine has it.

A better voice is one more `Engine`: give it to `Voices` (see docs/audio.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from broadcasts.studio.errors import AudioRefused


class Speech(Protocol):
    """Speaks text. Called from several threads at once."""

    def identity(self, voice: str) -> str:
        """Engine, version and voice, as far as they change the sound: part of what a rendering is known by.
        AudioRefused when nobody has this voice."""

    def speak(self, text: str, voice: str, words_per_minute: int, into: Path) -> None:
        """Write `text` (NFC, already expanded) spoken to `into`, in any format that the studio takes.
        AudioRefused with the reason when it cannot; not permanent if a later try may do."""


class Engine(Speech, Protocol):
    """One kind of voices."""

    @property
    def known(self) -> tuple[str, ...]:
        """Its voices, or the pattern that their names follow, for people."""

    def has(self, voice: str) -> bool: ...


class Voices:
    """Speech by the first of several engines that has the voice."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)

    def identity(self, voice: str) -> str:
        return self._of(voice).identity(voice)

    def speak(self, text: str, voice: str, words_per_minute: int, into: Path) -> None:
        self._of(voice).speak(text, voice, words_per_minute, into)

    def _of(self, voice: str) -> Engine:
        for engine in self._engines:
            if engine.has(voice):
                return engine
        known = ", ".join(name for engine in self._engines for name in engine.known)
        raise AudioRefused(f"unknown voice '{voice}' (known: {known})")
