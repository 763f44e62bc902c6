"""Child process of one text: `python espeak_child.py LIBRARY VOICE WORDS_PER_MINUTE < text > wav`.

Runs in the folder that holds espeak-ng-data. Imports nothing but the standard library, so that it starts in
milliseconds under `python -I -S`.
"""

from __future__ import annotations

import ctypes
import sys
import wave

_SYNCHRONOUS = 2
_UTF8 = 1
_RATE_PARAMETER = 1
_DO_NOT_EXIT = 0x8000


def main(library: str, voice: str, words_per_minute: int, text: bytes) -> str:
    """Speak `text` to standard output as WAV; return the reason if that was not possible."""
    espeak = ctypes.CDLL(library)
    rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DO_NOT_EXIT)
    if rate <= 0:
        return "its data was not found"
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        return f"it has no voice {voice}"
    espeak.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
    samples = bytearray()
    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

    def heard(wav: int | None, count: int, _events: int | None) -> int:
        if wav and count > 0:
            samples.extend(ctypes.string_at(wav, 2 * count))
        return 0

    callback = signature(heard)
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None) != 0:
        return "it refused the text"
    espeak.espeak_Synchronize()
    with wave.open(sys.stdout.buffer, "wb") as file:
        file.setparams((1, 2, rate, len(samples) // 2, "NONE", ""))
        file.writeframes(bytes(samples))
    return ""


if __name__ == "__main__":
    reason = main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.stdin.buffer.read())
    sys.exit(reason or 0)
