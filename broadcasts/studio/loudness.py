"""To the stated loudness (EBU R128) under a true peak ceiling, measured on what was written.

High-pass, compressor, measure, gain, limiter at 4 x rate, encode, measure again; once more if off by more
than 0.5 LU. Gain and limiter alone miss loud targets: speech peaks 20 dB over its loudness.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from broadcasts.studio import encode
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.ffmpeg import Ffmpeg, Ran
from broadcasts.studio.targets import RATE, Targets

CHAIN = 1
"""Version of the chain below; a higher one renders everything anew."""

_COMPRESSOR = "acompressor=threshold=0.0631:ratio=3:attack=5:release=120"
_OVERSAMPLED = 4 * RATE
_CLOSE_ENOUGH_LU = 0.5
_WORTH_SAYING_LU = 1.0
_QUIETEST = -70.0
_INTEGRATED = re.compile(r"^    I: +(-?[\d.]+|-?inf|nan) LUFS", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """Where audio comes from: ffmpeg input options, and filters that make it canonical (mono, 24 kHz)."""

    options: tuple[str, ...]
    filters: tuple[str, ...] = ()
    limit_s: float = 600


def meter() -> str:
    """Filter whose log `integrated` reads. Padded, because R128 hears nothing in less than 0.4 s."""
    return "apad=whole_dur=0.4,ebur128=framelog=verbose"


def integrated(log: str) -> float:
    """Integrated loudness (LUFS) in a log; -70 where nothing was heard."""
    found = _INTEGRATED.findall(log)
    try:
        return max(_QUIETEST, float(found[-1])) if found and found[-1] != "nan" else _QUIETEST
    except ValueError:
        return _QUIETEST


def measure(ffmpeg: Ffmpeg, source: Source) -> float:
    """Integrated loudness of `source` in LUFS."""
    chain = ",".join((*source.filters, meter()))
    ran = ffmpeg.run([*source.options, "-map", "0:a:0", "-af", chain, "-f", "null", "-"], limit_s=source.limit_s)
    _must(ran, "measured")
    return integrated(ran.log)


def master(ffmpeg: Ffmpeg, source: Source, targets: Targets, into: Path) -> tuple[str, ...]:
    """Write `source` to `into` as Ogg Opus at the target loudness; return warnings."""
    even = Source(source.options, (*source.filters, *_evened(targets)), source.limit_s)
    gain = targets.loudness_lufs - measure(ffmpeg, even)
    missing = _written(ffmpeg, even, targets, gain, into)
    if abs(missing) > _CLOSE_ENOUGH_LU:
        missing = _written(ffmpeg, even, targets, gain + missing, into)
    if abs(missing) <= _WORTH_SAYING_LU:
        return ()
    return (f"is {abs(missing):.1f} LU {'under' if missing > 0 else 'over'} the target loudness",)


def _written(ffmpeg: Ffmpeg, even: Source, targets: Targets, gain: float, into: Path) -> float:
    """Write with `gain` (dB), and say by how many LU it misses the target."""
    chain = ",".join((*even.filters, *_limited(targets, gain)))
    ran = ffmpeg.run(
        [*even.options, "-map", "0:a:0", "-af", chain, *encode.opus(targets.bitrate_kbps), "-y", str(into)],
        limit_s=even.limit_s,
    )
    _must(ran, "written")
    written = Source(("-f", "ogg", "-i", f"file:{into}"), limit_s=even.limit_s)
    return targets.loudness_lufs - measure(ffmpeg, written)


def _evened(targets: Targets) -> Sequence[str]:
    highpass = (f"highpass=f={targets.highpass_hz}",) if targets.highpass_hz else ()
    return (*highpass, _COMPRESSOR)


def _limited(targets: Targets, gain: float) -> Sequence[str]:
    ceiling = 10 ** (targets.true_peak_dbtp / 20)
    return (
        f"volume={gain:.2f}dB",
        f"aresample={_OVERSAMPLED}",
        f"alimiter=limit={ceiling:.6f}:attack=5:release=50:level=disabled:latency=1",
        f"aresample={RATE}",
    )


def _must(ran: Ran, what: str) -> None:
    if ran.code != 0:
        detail = ran.errors[0] if ran.errors else f"ffmpeg ended with status {ran.code}"
        raise AudioRefused(f"the audio could not be {what}: {detail}", permanent=False)
