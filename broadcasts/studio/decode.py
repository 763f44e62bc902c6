"""From an operator's file to canonical audio, or to the reason why not.

ffmpeg answers 0 for truncated and damaged files, so its word is never enough: what was decoded is compared
with what the header promised, and every message of level error counts. The safety flags matter: a text file
that begins "ffconcat" and is called .mp3 would otherwise be opened as a playlist of other files.
"""

from __future__ import annotations

import codecs
import math
import re
import stat
import struct
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from numpy.typing import NDArray

from broadcasts.studio import ogg, riff
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.ffmpeg import Ffmpeg, Ran
from broadcasts.studio.loudness import integrated, meter
from broadcasts.studio.targets import RATE, WORKING_LUFS

CHECKS = 1
"""Version of what is checked and measured here; a higher one makes every file be listened to again."""

TAKEN = "WAV, MP3, OGG, Opus, FLAC, M4A"
CLIPPED_WARNING = 0.001
CLIPPED_REFUSED = 0.05

_SAFE = ("-protocol_whitelist", "file,pipe", "-format_whitelist", "wav,mp3,ogg,flac,mov")
_FULL_SCALE = 0.98
_OVER_DBFS = 1.0
_SHORTEST_S = 0.3
_PROMISED = 0.97
_PADDING_S = 0.1
"""MP3 and AAC headers may count the encoder's padding, which is not decoded."""
_SILENT_LUFS = -50.0
_TRIM_BELOW_LU = 32.0
_KEEP_BEFORE_S = 0.05
_KEEP_AFTER_S = 0.2
_BLOCKS_A_SECOND = 100
_FLOOR_DBFS = -120.0

_DURATION = re.compile(r"^\[info\]   Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_AUDIO = re.compile(r"Stream #0:\d+.*: Audio: ")
_ESTIMATED = "Estimating duration from bitrate"
_OPENING = (
    ("moov atom not found", "is cut off: its table of contents is missing; copy or export it again"),
    ("STSC and STCO", "is cut off: its table of contents is incomplete; copy or export it again"),
    ("no 'data' tag found", "contains no sound, only a header"),
    ("not on whitelist", f"is not in a format that Loa takes ({TAKEN})"),
)


class FileFacts(msgspec.Struct, frozen=True):
    """What an accepted audio file sounds like. `clipped` is the share of samples at full scale; sound begins
    and ends (leading and trailing silence left out) at `sound_from_s` and `sound_to_s`; `warnings` do not
    name the file."""

    duration_s: float
    loudness_lufs: float
    peak_dbfs: float
    clipped: float
    sound_from_s: float
    sound_to_s: float
    warnings: tuple[str, ...] = ()

    @property
    def sound_s(self) -> float:
        return self.sound_to_s - self.sound_from_s


def inspect(ffmpeg: Ffmpeg, path: Path, max_s: float) -> FileFacts:
    """Listen to all of `path`. AudioRefused with one line that names it."""
    reason = unreadable(path) or _unlike_audio(path)
    if reason:
        raise AudioRefused(f"{path.name} {reason}")
    header = ffmpeg.run([*_SAFE, "-i", f"file:{path}"], limit_s=60)
    promised = _promised_s(header)
    reason = _unopened(header) or _too_long(promised, max_s)
    if reason:
        raise AudioRefused(f"{path.name} {reason}")
    tap = _Tap()
    ran = ffmpeg.run(_listening(path, max_s), limit_s=60 + max_s / 4, listen=tap.listen)
    reason = _too_long(tap.duration_s, max_s) or _spoilt(ran, tap, promised)
    if reason:
        raise AudioRefused(f"{path.name} {reason}")
    return tap.facts(integrated(ran.log))


def opened(path: Path, facts: FileFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Input options and filters by which ffmpeg gives `path` in canonical form: silence trimmed, mono,
    at the working loudness."""
    gain = min(WORKING_LUFS - facts.loudness_lufs, -1.0 - facts.peak_dbfs)
    filters = (
        "asetpts=N/SR/TB",
        f"atrim=start={facts.sound_from_s:.3f}:end={facts.sound_to_s:.3f}",
        "asetpts=N/SR/TB",
        f"aresample={RATE}",
        "aformat=sample_fmts=flt:channel_layouts=mono",
        f"volume={gain:.2f}dB",
    )
    return (*_SAFE, "-i", f"file:{path}"), filters


def decode(ffmpeg: Ffmpeg, path: Path, facts: FileFacts) -> bytes:
    """Canonical samples of a short file, as `opened` says. AudioRefused when ffmpeg cannot."""
    source, filters = opened(path, facts)
    parts: list[bytes] = []
    output = ("-map", "0:a:0", "-af", ",".join(filters), "-f", "s16le", "pipe:1")
    ran = ffmpeg.run([*source, *output], limit_s=600, listen=lambda out: parts.append(out.read()))
    if ran.code != 0:
        raise AudioRefused(f"{path.name} could not be decoded: {first_error(ran)}", permanent=False)
    return parts[0]


def first_error(ran: Ran) -> str:
    """One line on why a run failed."""
    if ran.code < 0:
        return "ffmpeg was killed, or took too long"
    return ran.errors[0] if ran.errors else f"ffmpeg ended with status {ran.code}"


def unreadable(path: Path) -> str:
    """Why there is no file to listen to; empty if there is one."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return "is a folder, not an audio file"
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        with path.open("rb"):
            return "is empty (0 bytes)" if status.st_size == 0 else ""
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {(error.strerror or str(error)).lower()}"


# --- one reason each; empty when there is nothing to say ------------------------------------------------------


def _unlike_audio(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if _is_text(head):
        return f"is a text file, not audio; Loa takes {TAKEN}"
    page = ogg.last_page(path) if head.startswith(b"OggS") else None
    if (page is not None and not page.whole) or not riff.is_whole(path):
        return "is cut off: its end is missing; copy or export it again"
    return ""


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _unopened(header: Ran) -> str:
    if "Input #0" in header.log:
        return "" if _AUDIO.search(header.log) else "has no audio track"
    for symptom, reason in _OPENING:
        if symptom in header.log:
            return reason
    return f"is not audio, or is damaged from its start; Loa takes {TAKEN}"


def _promised_s(header: Ran) -> float:
    """Length that the header states, 0 where it states none that can be relied on."""
    found = _DURATION.search(header.log)
    if found is None or _ESTIMATED in header.log:
        return 0.0
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _too_long(seconds: float, max_s: float) -> str:
    if seconds <= max_s + 0.05:
        return ""
    return f"is longer than its limit of {_length(max_s)}"


def _spoilt(ran: Ran, tap: _Tap, promised_s: float) -> str:
    """Why what was decoded is not to be aired."""
    if tap.frames == 0 and not ran.errors:
        return "contains no sound, only a header"
    if tap.duration_s < _PROMISED * promised_s - _PADDING_S:
        return f"is cut off: {_length(tap.duration_s)} of {_length(promised_s)} are there; copy or export it again"
    if ran.code != 0 or ran.errors or not tap.finite:
        detail = "not a number" if not tap.finite else first_error(ran)
        return f"is damaged ({detail}); copy or export it again"
    if tap.duration_s < _SHORTEST_S:
        return f"is too short: {_length(tap.duration_s)}, at least {_SHORTEST_S} s are needed"
    loudness = integrated(ran.log)
    if loudness < _SILENT_LUFS:
        return f"is silent ({loudness:.0f} LUFS; under {_SILENT_LUFS:.0f} nobody hears anything)"
    if tap.clipped > CLIPPED_REFUSED:
        return (
            f"is heavily clipped: {tap.clipped:.0%} of its samples are at full scale (over "
            f"{CLIPPED_REFUSED:.0%} is refused); record or export it at a lower level"
        )
    return ""


def _length(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


# --- listening ------------------------------------------------------------------------------------------------


def _listening(path: Path, max_s: float) -> list[str]:
    """Two outputs of one run: the native samples as floats (clipping is not visible after a resampler), and
    the loudness of the mono downmix (mono reads 3 dB lower than the same voice as dual mono)."""
    native = ("-map", "0:a:0", "-c:a", "pcm_f32le", "-fflags", "+bitexact", "-f", "wav", "pipe:1")
    mono = (f"aresample={RATE}", "aformat=sample_fmts=flt:channel_layouts=mono", meter())
    metered = ("-map", "0:a:0", "-af", ",".join(mono), "-f", "null", "-")
    return [*_SAFE, "-err_detect", "crccheck", "-t", f"{max_s + 1}", "-i", f"file:{path}", *native, *metered]


class _Tap:
    """Reads a WAV stream of floats and keeps figures only: 60 minutes pass through in 2 MB."""

    def __init__(self) -> None:
        self.rate = RATE
        self.channels = 1
        self.frames = 0
        self.peak = 0.0
        self.finite = True
        self._clipped = 0
        self._envelope: list[NDArray[np.float32]] = []

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate

    @property
    def clipped(self) -> float:
        """Share of samples at full scale."""
        return self._clipped / max(1, self.frames * self.channels)

    def listen(self, stream: IO[bytes]) -> None:
        if not self._header(stream):
            return
        block = max(1, self.rate // _BLOCKS_A_SECOND) * self.channels
        while data := stream.read(500 * block * 4):
            samples = np.frombuffer(data, np.float32, count=len(data) // (4 * self.channels) * self.channels)
            self._count(samples, block)

    def facts(self, loudness: float) -> FileFacts:
        start, end = self._sounding(loudness)
        peak = max(_FLOOR_DBFS, 20 * math.log10(self.peak)) if self.peak > 0 else _FLOOR_DBFS
        return FileFacts(
            duration_s=round(self.duration_s, 3),
            loudness_lufs=loudness,
            peak_dbfs=round(peak, 2),
            clipped=round(self.clipped, 6),
            sound_from_s=round(start, 3),
            sound_to_s=round(end, 3),
            warnings=self._warnings(peak),
        )

    def _header(self, stream: IO[bytes]) -> bool:
        stream.read(12)
        while len(chunk := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                return True
            body = stream.read(size)
            if name == b"fmt ":
                self.channels, self.rate = struct.unpack_from("<HI", body, 2)
        return False

    def _count(self, samples: NDArray[np.float32], block: int) -> None:
        if not np.isfinite(samples).all():
            self.finite = False
            samples = np.nan_to_num(samples, posinf=1.0, neginf=-1.0)
        level = np.abs(samples)
        self.frames += len(samples) // self.channels
        self.peak = max(self.peak, float(level.max(initial=0.0)))
        self._clipped += int(np.count_nonzero(level >= _FULL_SCALE))
        padded = np.pad(samples, (0, -len(samples) % block)).reshape(-1, block)
        self._envelope.append(np.sqrt(np.mean(np.square(padded), axis=1)))

    def _sounding(self, loudness: float) -> tuple[float, float]:
        """From when to when (seconds) the file is not silent, with a little air around it."""
        envelope = np.concatenate(self._envelope)
        loud = np.flatnonzero(envelope >= 10 ** ((loudness - _TRIM_BELOW_LU) / 20))
        if loud.size == 0:
            return 0.0, self.duration_s
        start = loud[0] / _BLOCKS_A_SECOND - _KEEP_BEFORE_S
        end = (loud[-1] + 1) / _BLOCKS_A_SECOND + _KEEP_AFTER_S
        return max(0.0, float(start)), min(self.duration_s, float(end))

    def _warnings(self, peak_dbfs: float) -> tuple[str, ...]:
        if self.clipped > CLIPPED_WARNING:
            return (f"{self.clipped:.1%} of its samples are clipped: it will sound harsh",)
        if peak_dbfs > _OVER_DBFS:
            return (f"its peak is {peak_dbfs:.1f} dB over full scale: it may sound harsh",)
        return ()
