"""A speech service on the network: voice `http://host/path` or `https://...`.

POST of `{"text": ..., "words_per_minute": ...}` as JSON; the answer's body is the audio, in any format that
the studio takes.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from broadcasts.studio.errors import AudioRefused

_TIMEOUT = httpx.Timeout(120, connect=10)
_LARGEST = 100_000_000


class HttpSpeech:
    """Engine over HTTP. Its identity is the URL: a service that changes its voice is to change its URL."""

    @property
    def known(self) -> tuple[str, ...]:
        return ("http://host/path", "https://host/path")

    def has(self, voice: str) -> bool:
        return voice.startswith(("http://", "https://"))

    def identity(self, voice: str) -> str:
        return voice

    def speak(self, text: str, voice: str, words_per_minute: int, into: Path) -> None:
        try:
            with httpx.stream(
                "POST", voice, json={"text": text, "words_per_minute": words_per_minute}, timeout=_TIMEOUT
            ) as answer:
                _keep(answer, into)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = str(error) or type(error).__name__
            raise AudioRefused(f"{_name(voice)} did not answer: {detail}", permanent=False) from None


def _keep(answer: httpx.Response, into: Path) -> None:
    who = _name(str(answer.url))
    if answer.status_code != httpx.codes.OK:
        wrong_request = 400 <= answer.status_code < 500 and answer.status_code not in (408, 429)
        raise AudioRefused(f"{who} answered {answer.status_code}", permanent=wrong_request)
    size = 0
    with into.open("wb") as file:
        for chunk in answer.iter_bytes():
            size += len(chunk)
            if size > _LARGEST:
                raise AudioRefused(f"{who} sent more than {_LARGEST // 1_000_000} MB")
            file.write(chunk)


def _name(voice: str) -> str:
    """Host only: a URL may carry a password."""
    return f"speech service {httpx.URL(voice).host}"
