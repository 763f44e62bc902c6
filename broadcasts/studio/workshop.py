"""Making the asset of one segment, or finding it made.

A rendering is known by a key: what its parts contain (not what they are called), the targets, the voices'
identity and the versions of our own steps.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from broadcasts.model import Chime, File, Pause, Say, fingerprint
from broadcasts.studio import assemble, chimes, decode, loudness, ogg, vietnamese
from broadcasts.studio.assemble import Sound
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.ffmpeg import Ffmpeg
from broadcasts.studio.listening import Listener
from broadcasts.studio.once import OncePerKey
from broadcasts.studio.segments import Part, Segment, about
from broadcasts.studio.shelf import Shelf
from broadcasts.studio.speech import Speech
from broadcasts.studio.targets import RATE, Targets

KIND = "index"
WHOLE = -1
_CHANGED = "a file changed while it was being read; try again"


class Entry(msgspec.Struct, frozen=True):
    """What rendering a segment gave. Warnings are by index of the part (or WHOLE), without its name."""

    sha256: str
    bytes: int
    duration_ms: int
    warnings: tuple[tuple[int, str], ...] = ()


class Workshop:
    """Renders segments to `targets`. Blocking; safe from several threads."""

    def __init__(self, ffmpeg: Ffmpeg, shelf: Shelf, listener: Listener, speech: Speech, targets: Targets) -> None:
        self._ffmpeg = ffmpeg
        self._shelf = shelf
        self._listener = listener
        self._speech = speech
        self._targets = targets
        self._once = OncePerKey()
        self._chimes: dict[str, Sound] = {}

    def rendered(self, segment: Segment) -> Entry:
        """The asset of `segment`, made now unless it is there. AudioRefused with the reason and the item."""
        key = self._key(segment)
        with self._once.only(key):
            entry = self._shelf.recall(KIND, key, Entry)
            if entry is None or not self._shelf.intact(entry.sha256):
                entry = self._made(segment)
                if self._key(segment) != key:
                    raise AudioRefused(_CHANGED, segment.first, permanent=False)
                self._shelf.remember(KIND, key, entry)
            return entry

    def _made(self, segment: Segment) -> Entry:
        make = self._streamed if segment.long else self._joined
        with self._shelf.bench() as bench:
            made = bench / "made.opus"
            warnings = make(segment, made)
            duration_ms = ogg.opus_duration_ms(made)
            sha256, size = self._shelf.adopt(made)
        return Entry(sha256, size, duration_ms, tuple(warnings))

    def _streamed(self, segment: Segment, into: Path) -> list[tuple[int, str]]:
        """A long file goes from file to file; nothing of it is held."""
        part = segment.parts[0]
        assert isinstance(part, File)
        facts = self._listener.facts(Path(part.path))
        options, filters = decode.opened(Path(part.path), facts)
        source = loudness.Source(options, filters, limit_s=600 + facts.sound_s)
        said = loudness.master(self._ffmpeg, source, self._targets, into)
        return [*((0, text) for text in facts.warnings), *((WHOLE, text) for text in said)]

    def _joined(self, segment: Segment, into: Path) -> list[tuple[int, str]]:
        warnings: list[tuple[int, str]] = []
        mixed = into.with_name("mixed.raw")
        samples = assemble.join(self._sounds(segment, into.parent, warnings), mixed)
        source = loudness.Source(assemble.raw_input(mixed), limit_s=600 + samples / RATE)
        said = loudness.master(self._ffmpeg, source, self._targets, into)
        return [*warnings, *((WHOLE, text) for text in said)]

    def _sounds(self, segment: Segment, bench: Path, warnings: list[tuple[int, str]]) -> Iterator[Sound]:
        for index, part in enumerate(segment.parts):
            with about(segment.first + index):
                sound, said = self._sound(part, bench)
            warnings.extend((index, text) for text in said)
            yield sound

    def _sound(self, part: Part, bench: Path) -> tuple[Sound, tuple[str, ...]]:
        said: tuple[str, ...] = ()
        match part:
            case Pause():
                return assemble.silence(part.duration_ms), ()
            case File():
                path = Path(part.path)
                facts = self._listener.facts(path)
            case Say():
                path, said = bench / "spoken text", vietnamese.doubts(part.text)
                text = vietnamese.expand(part.text)
                self._speech.speak(text, self._voice(part), self._targets.words_per_minute, path)
                facts = self._listener.fresh(path)
            case Chime():
                return self._chime(part.name, bench), ()
        return assemble.sound(decode.decode(self._ffmpeg, path, facts)), (*facts.warnings, *said)

    def _chime(self, name: str, bench: Path) -> Sound:
        """Made the first time it is wanted: most broadcasts begin with the same one."""
        if name not in self._chimes:
            path = bench / "chime"
            _write_wav(path, chimes.NAMES[name]())
            samples = decode.decode(self._ffmpeg, path, self._listener.fresh(path))
            self._chimes[name] = assemble.sound(samples)
        return self._chimes[name]

    def _key(self, segment: Segment) -> str:
        t = self._targets
        targets = [t.loudness_lufs, t.true_peak_dbtp, t.highpass_hz, t.bitrate_kbps]
        parts = []
        for index, part in enumerate(segment.parts):
            with about(segment.first + index):
                parts.append(self._identity(part))
        return fingerprint([KIND, loudness.CHAIN, decode.CHECKS, targets, segment.long, parts])

    def _identity(self, part: Part) -> list[object]:
        match part:
            case Pause():
                return ["pause", part.duration_ms]
            case Chime():
                _known_chime(part.name)
                return ["chime", part.name, chimes.VERSION]
            case File():
                return ["file", self._listener.content(Path(part.path))]
            case Say():
                text = vietnamese.expand(part.text)
                if not text:
                    raise AudioRefused("there is no text to say")
                return ["say", text, self._speech.identity(self._voice(part)), self._targets.words_per_minute]

    def _voice(self, say: Say) -> str:
        return say.voice or self._targets.voice


def _known_chime(name: str) -> None:
    if name not in chimes.NAMES:
        raise AudioRefused(f"unknown chime '{name}' (known: {', '.join(chimes.NAMES)})")


def _write_wav(path: Path, samples: chimes.Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, len(samples), "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
