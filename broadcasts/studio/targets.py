"""What the studio renders to; the fields are those of `studio:` in config/site.yaml."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 24_000
"""Samples per second of the canonical form: mono, signed 16 bit. The whole studio works in it."""

WORKING_LUFS = -24.0
"""Loudness that every part is brought to before parts are joined: a chime, a voice and a file of any level
meet the compressor alike, and speech peaks (up to 20 dB above loudness) still fit in 16 bits."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets for horns, and limits for what operators bring. Lengths in seconds, levels as named.

    `highpass_hz` 0 turns the high-pass filter off; `ffmpeg` empty means: look for one.
    """

    loudness_lufs: float = -18.0
    true_peak_dbtp: float = -3.0
    highpass_hz: int = 200
    bitrate_kbps: int = 24
    voice: str = "vi"
    words_per_minute: int = 150
    max_item_s: int = 3 * 3600
    assemble_up_to_s: int = 180
    ffmpeg: str = ""
