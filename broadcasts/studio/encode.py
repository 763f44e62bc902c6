"""The one codec of the network: Ogg Opus, mono. At 24 kbit/s it is as clear as MP3 at 64 and half as long
on the air of a 4G cell. Complexity 10: a lower one overshoots peaks."""

from __future__ import annotations

from broadcasts.studio.targets import RATE

MIME = "audio/ogg"
SUFFIX = ".opus"


def opus(bitrate_kbps: int) -> tuple[str, ...]:
    """Output options. Bit-exact: equal audio gives equal bytes, so an equal name."""
    return (
        *("-c:a", "libopus", "-b:a", f"{bitrate_kbps}k", "-vbr", "on", "-compression_level", "10"),
        *("-application", "audio", "-ac", "1", "-ar", str(RATE), "-map_metadata", "-1"),
        *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-serial_offset", "1", "-f", "ogg"),
    )
