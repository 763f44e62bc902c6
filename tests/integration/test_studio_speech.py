"""Voices: the one that is always there, and the two ways to bring a better one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import unicodedata
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import espeakng_loader
import pytest

from broadcasts.model import FileTrack, Rendered, Say
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.espeak import VOICES, Espeak
from broadcasts.studio.library import Studio
from broadcasts.studio.piper import Piper
from broadcasts.studio.speech import Voices
from broadcasts.studio.speech_http import HttpSpeech
from broadcasts.studio.targets import Targets
from tests.studio_support import found_at, heard, quiet, script, voice, write

SPOKEN = voice(2.0, seed=9)
FLAT = Targets(highpass_hz=0)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "studio", FLAT)
    yield studio
    studio.close()


def sha_of(rendered: Rendered) -> str:
    (track,) = rendered.tracks
    assert isinstance(track, FileTrack)
    return track.sha256


def sounds_spoken(studio: Studio, rendered: Rendered) -> bool:
    return found_at(SPOKEN[6000:-6000], heard(studio.path(sha_of(rendered)) or ""))[1] > 0.9


# --- espeak-ng


@pytest.mark.parametrize("name", VOICES)
def test_the_same_text_is_spoken_to_the_byte_the_same(tmp_path: Path, name: str) -> None:
    for take in ("a", "b"):
        Espeak().speak("Kính thưa bà con", name, 150, tmp_path / take)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


async def test_tones_make_a_difference_and_their_encoding_does_not(studio: Studio) -> None:
    spoken = [sha_of(await studio.render([Say(text)])) for text in ("bàn ghế", "bạn ghế")]
    decomposed = await studio.render([Say(unicodedata.normalize("NFD", "bàn ghế"))])
    assert spoken[0] != spoken[1]
    assert sha_of(decomposed) == spoken[0]


async def test_shortened_text_sounds_as_if_written_out(studio: Studio) -> None:
    short = await studio.render([Say("UBND xã họp lúc 7h30")])
    full = await studio.render([Say("ủy ban nhân dân xã họp lúc bảy giờ ba mươi phút")])
    assert sha_of(short) == sha_of(full)


def test_a_deep_data_folder_still_speaks_vietnamese(tmp_path: Path) -> None:
    """Data paths over 159 characters make espeak-ng speak something else, or nothing."""
    deep = tmp_path / ("x" * 100) / ("y" * 100) / "espeak-ng-data"
    shutil.copytree(espeakng_loader.get_data_path(), deep)
    Espeak(data=str(deep)).speak("Kính thưa bà con", "vi", 150, tmp_path / "deep")
    Espeak().speak("Kính thưa bà con", "vi", 150, tmp_path / "usual")
    assert len(str(deep)) > 220
    assert (tmp_path / "deep").read_bytes() == (tmp_path / "usual").read_bytes()


def test_missing_data_is_a_refusal_not_another_language(tmp_path: Path) -> None:
    (tmp_path / "espeak-ng-data").mkdir()
    with pytest.raises(AudioRefused, match="espeak-ng did not speak: its data was not found") as caught:
        Espeak(data=str(tmp_path / "espeak-ng-data")).speak("Xin chào", "vi", 150, tmp_path / "out")
    assert not caught.value.permanent


def test_a_voice_whose_data_is_missing_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "espeak-ng-data"
    shutil.copytree(espeakng_loader.get_data_path(), data)
    for lang in data.glob("lang/aav/vi*"):
        lang.unlink()
    with pytest.raises(AudioRefused, match="it has no voice vi"):
        Espeak(data=str(data)).speak("Xin chào", "vi", 150, tmp_path / "out")


def test_slower_speech_takes_longer(tmp_path: Path) -> None:
    for words in (100, 200):
        Espeak().speak("Kính thưa bà con, sau đây là bản tin sáng", "vi", words, tmp_path / str(words))
    assert (tmp_path / "100").stat().st_size > 1.4 * (tmp_path / "200").stat().st_size


async def test_an_unknown_voice_is_refused_with_the_known_ones(studio: Studio) -> None:
    with pytest.raises(AudioRefused) as caught:
        await studio.render([Say("Xin chào"), Say("Xin chào", "vi-hue")])
    assert caught.value.item == 1
    assert str(caught.value).startswith("unknown voice 'vi-hue' (known: vi, vi-vn-x-central, vi-vn-x-south, piper:")


@pytest.mark.parametrize("text", ["", "  \n ", "\u200b"])
async def test_no_text_is_refused(studio: Studio, text: str) -> None:
    with pytest.raises(AudioRefused, match="there is no text to say"):
        await studio.render([Say(text)])


async def test_text_that_makes_no_sound_is_refused(studio: Studio) -> None:
    with pytest.raises(AudioRefused, match="spoken text"):
        await studio.render([Say("...")])


async def test_text_without_diacritics_is_spoken_with_a_warning(studio: Studio) -> None:
    text = "Kinh thua ba con day la ban tin sang nay"
    assert (await studio.render([Say(text)])).warnings == (
        "'Kinh thua ba con day la ban tin sang nay' has no Vietnamese diacritics: every word will be misread",
    )


async def test_text_is_never_a_command_to_the_engine(studio: Studio) -> None:
    """Neither markup nor phonemes nor options: words."""
    assert (await studio.render([Say("--help <break time='60s'/> [[h@'loU]] $(reboot)")])).duration_ms < 15_000


# --- Piper: a real program in the way that Piper is called

FAKE_PIPER = """#!{python}
import shutil, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
lines = sys.stdin.read().splitlines()
open({log!r}, "a").write(repr((options["--model"], options["--length_scale"], lines)) + "\\n")
if "fail" in lines[0]:
    sys.exit("Traceback\\nRuntimeError: bad model")
shutil.copy({spoken!r}, options["--output_file"])
"""


@pytest.fixture
def piper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model; `piper` is on PATH, what it was asked is in its log."""
    spoken = write(tmp_path / "spoken.wav", SPOKEN, "-ar", "22050")
    (tmp_path / "bin").mkdir()
    text = FAKE_PIPER.format(python=sys.executable, log=str(tmp_path / "log"), spoken=str(spoken))
    script(tmp_path / "bin" / "piper", text)
    (tmp_path / "model.onnx").write_bytes(b"model")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


async def test_piper_speaks_with_the_operators_model(studio: Studio, piper: Path) -> None:
    model = piper / "model.onnx"
    rendered = await studio.render([Say("Kính thưa\nUBND", f"piper:{model}")])
    assert sounds_spoken(studio, rendered)
    assert (piper / "log").read_text() == f"{(str(model), '1.000', ['Kính thưa ủy ban nhân dân'])!r}\n"
    await studio.render([Say("Kính thưa\nUBND", f"piper:{model}")])
    assert len((piper / "log").read_text().splitlines()) == 1
    model.write_bytes(b"a better model")
    await studio.render([Say("Kính thưa\nUBND", f"piper:{model}")])
    assert len((piper / "log").read_text().splitlines()) == 2


async def test_what_is_wrong_with_piper_is_said(studio: Studio, piper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AudioRefused, match=r"there is no model file /nowhere/m\.onnx"):
        await studio.render([Say("Xin chào", "piper:/nowhere/m.onnx")])
    with pytest.raises(AudioRefused, match="did not speak: RuntimeError: bad model"):
        await studio.render([Say("fail", f"piper:{piper / 'model.onnx'}")])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AudioRefused, match="needs the program 'piper', which is not installed") as caught:
        await studio.render([Say("Xin chào", f"piper:{piper / 'model.onnx'}")])
    assert not caught.value.permanent


# --- a speech service


class SpeechService(ThreadingHTTPServer):
    """Speaks whatever is asked; `asked` is what that was, by path."""

    def __init__(self, audio: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.audio = audio
        self.asked: list[tuple[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, SpeechService)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        status = {"/busy": 503, "/wrong": 422}.get(self.path, 200)
        audio = b"<html>" if self.path == "/html" else self.server.audio
        self.send_response(status)
        self.send_header("Content-Length", str(len(audio)))
        self.end_headers()
        self.wfile.write(audio)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SpeechService]:
    spoken = write(tmp_path / "spoken.mp3", SPOKEN, "-b:a", "96k")
    with SpeechService(spoken.read_bytes()) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield service
        service.shutdown()
        thread.join()


async def test_a_speech_service_speaks_once_for_each_text(studio: Studio, service: SpeechService) -> None:
    for _ in range(2):
        rendered = await studio.render([Say("Họp lúc 8h", f"{service.url}/vi/nu")])
    assert sounds_spoken(studio, rendered)
    assert service.asked == [("/vi/nu", {"text": "Họp lúc tám giờ", "words_per_minute": 150})]


@pytest.mark.parametrize(
    ("path", "reason", "permanent"),
    [
        ("/busy", "speech service 127.0.0.1 answered 503", False),
        ("/wrong", "speech service 127.0.0.1 answered 422", True),
        ("/html", "spoken text is a text file, not audio", True),
    ],
)
async def test_what_is_wrong_with_a_service_is_said(
    studio: Studio, service: SpeechService, path: str, reason: str, permanent: bool
) -> None:
    with pytest.raises(AudioRefused, match=reason) as caught:
        await studio.render([Say("Xin chào", service.url + path)])
    assert caught.value.permanent is permanent


async def test_a_service_that_is_not_there_may_come_back(studio: Studio, service: SpeechService) -> None:
    secret = service.url.replace("//", "//user:secret@").replace(str(service.server_address[1]), "1")
    with pytest.raises(AudioRefused, match=r"speech service 127\.0\.0\.1 did not answer") as caught:
        await studio.render([Say("Xin chào", secret)])
    assert not caught.value.permanent
    assert "secret" not in str(caught.value)
    assert await studio.render([Say("Xin chào", service.url)])


async def test_a_silent_service_is_not_put_on_air(studio: Studio, service: SpeechService, tmp_path: Path) -> None:
    service.audio = write(tmp_path / "silent.wav", quiet(2)).read_bytes()
    with pytest.raises(AudioRefused, match="spoken text is silent"):
        await studio.render([Say("Xin chào", service.url)])


# --- one more engine


class Recorded:
    """Somebody's own engine, as docs/audio.md tells to write it."""

    known = ("recorded",)

    def has(self, voice: str) -> bool:
        return voice == "recorded"

    def identity(self, voice: str) -> str:
        return "recorded 1"

    def speak(self, text: str, voice: str, words_per_minute: int, into: Path) -> None:
        write(into.with_suffix(".flac"), SPOKEN).rename(into)


async def test_a_better_voice_is_one_adapter(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "studio", FLAT, Voices([Recorded(), Espeak(), Piper(), HttpSpeech()]))
    assert sounds_spoken(studio, await studio.render([Say("Xin chào", "recorded")]))
    assert await studio.render([Say("Xin chào")])
    studio.close()


async def test_text_without_a_voice_has_the_sites_voice(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "studio", Targets(voice="vi-vn-x-south"))
    assert sha_of(await studio.render([Say("Xin chào", "")])) == sha_of(
        await studio.render([Say("Xin chào", "vi-vn-x-south")])
    )
    studio.close()
