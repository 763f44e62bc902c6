"""Every format that operators bring is heard; what must not be aired is refused with a reason that helps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from broadcasts.model import File, Say
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.library import Studio
from broadcasts.studio.targets import Targets
from tests.studio_support import FFMPEG, RATE, found_at, heard, quiet, script, tone, voice, write

FORMATS = {
    "u8.wav": ("-c:a", "pcm_u8"),
    "s16.wav": ("-c:a", "pcm_s16le"),
    "s24.wav": ("-c:a", "pcm_s24le"),
    "s32.wav": ("-c:a", "pcm_s32le"),
    "f32.wav": ("-c:a", "pcm_f32le"),
    "f64.wav": ("-c:a", "pcm_f64le"),
    "alaw.wav": ("-c:a", "pcm_alaw", "-ar", "8000"),
    "stereo.wav": ("-ac", "2", "-ar", "44100"),
    "surround.wav": ("-ac", "6", "-ar", "48000"),
    "cbr.mp3": ("-b:a", "64k",),
    "vbr.mp3": ("-q:a", "4", "-ac", "2"),
    "plain.mp3": ("-write_xing", "0", "-b:a", "64k"),
    "vorbis.ogg": ("-c:a", "libvorbis", "-ar", "44100"),
    "opus.ogg": ("-c:a", "libopus"),
    "opus.opus": ("-c:a", "libopus", "-b:a", "32k"),
    "flac.flac": ("-c:a", "flac"),
    "24bit.flac": ("-c:a", "flac", "-sample_fmt", "s32"),
    "aac.m4a": ("-c:a", "aac", "-b:a", "96k"),
    "alac.m4a": ("-c:a", "alac"),
    "faststart.m4a": ("-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart"),
}  # fmt: skip
VOICE = voice(3.0)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "studio", Targets(max_item_s=20, highpass_hz=0))  # a high-pass turns phases
    yield studio
    studio.close()


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_is_heard_in_full(studio: Studio, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, VOICE, *FORMATS[name])
    facts = await studio.inspect(path)
    rendered = await studio.render([File(str(path))])
    assert facts.duration_s == pytest.approx(3.0, abs=0.06)
    assert facts.warnings == ()
    (track,) = rendered.tracks
    at, likeness = found_at(VOICE[RATE // 2 : -RATE // 2], heard(studio.path(track.sha256) or ""))  # type: ignore[union-attr]
    assert likeness > 0.9
    assert at == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("name", FORMATS)
async def test_half_a_second_is_not_taken_for_a_file_cut_off(studio: Studio, tmp_path: Path, name: str) -> None:
    """Encoders pad, and some headers count the padding."""
    path = write(tmp_path / name, VOICE[: RATE // 2], *FORMATS[name])
    assert (await studio.inspect(path)).duration_s == pytest.approx(0.5, abs=0.08)


async def test_a_song_with_a_cover_and_tags_is_heard(studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "plain.mp3", VOICE, "-b:a", "96k")
    cover = ["-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", str(tmp_path / "cover.png")]
    subprocess.run([FFMPEG, "-v", "error", *cover], check=True)
    both = ["-i", str(path), "-i", str(tmp_path / "cover.png"), "-map", "0", "-map", "1", "-c", "copy"]
    tags = ["-metadata", "title=Quốc ca", "-disposition:v", "attached_pic", "-id3v2_version", "3"]
    subprocess.run([FFMPEG, "-v", "error", *both, *tags, str(tmp_path / "song.mp3")], check=True)
    assert (await studio.inspect(tmp_path / "song.mp3")).duration_s == pytest.approx(3.0, abs=0.06)


async def test_an_extension_that_lies_about_the_format_does_no_harm(studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "really.flac", VOICE).rename(tmp_path / "named.mp3")
    assert (await studio.inspect(path)).duration_s == pytest.approx(3.0, abs=0.01)


async def test_names_that_mean_something_to_programs_are_only_names(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "%03d concat:a|b"
    folder.mkdir()
    path = write(tmp_path / "x.wav", VOICE).rename(folder / "-y 'lễ' [rằm];:.wav")
    assert (await studio.inspect(path)).duration_s == pytest.approx(3.0, abs=0.01)


async def reason(studio: Studio, path: Path) -> str:
    with pytest.raises(AudioRefused) as caught:
        await studio.inspect(path)
    assert str(caught.value).startswith(path.name)
    assert "\n" not in str(caught.value)
    with pytest.raises(AudioRefused) as again:
        await studio.render([Say("Xin chào"), File(str(path))])
    assert (str(again.value), again.value.item) == (str(caught.value), 1)
    return str(caught.value)


async def test_missing_folder_and_empty_are_three_reasons(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "folder.mp3").mkdir()
    os.mkfifo(tmp_path / "pipe.mp3")
    assert "does not exist" in await reason(studio, tmp_path / "missing.mp3")
    assert "is empty (0 bytes)" in await reason(studio, tmp_path / "empty.mp3")
    assert "is a folder" in await reason(studio, tmp_path / "folder.mp3")
    assert "is not a regular file" in await reason(studio, tmp_path / "pipe.mp3")


@pytest.mark.parametrize(
    "text", ["Kính thưa bà con, đây là bản tin. " * 40, "x", "<html><body>404</body></html>", "#EXTM3U\nhttp://x/\n"]
)
async def test_text_renamed_to_mp3_is_called_text(studio: Studio, tmp_path: Path, text: str) -> None:
    (tmp_path / "text.mp3").write_text(text)
    assert "is a text file, not audio" in await reason(studio, tmp_path / "text.mp3")


@pytest.mark.parametrize("start", ["", "\x01"])
async def test_a_playlist_called_mp3_never_makes_us_read_other_files(
    studio: Studio, tmp_path: Path, start: str
) -> None:
    """ffconcat would be opened by its content, whatever the file is called; so would a UTF-8 lookalike."""
    secret = write(tmp_path / "secret.wav", VOICE)
    (tmp_path / "innocent.mp3").write_text(f"ffconcat version 1.0\nfile {secret.name}\n{start}")
    said = await reason(studio, tmp_path / "innocent.mp3")
    assert "text file" in said or "not in a format that Loa takes" in said


async def test_noise_and_pictures_are_not_audio(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(1).bytes(20_000))
    picture = ["-f", "lavfi", "-i", "color=red:s=32x32:d=1", "-c:v", "mpeg4", str(tmp_path / "film.m4a")]
    subprocess.run([FFMPEG, "-v", "error", *picture], check=True)
    assert "is not audio" in await reason(studio, tmp_path / "noise.mp3")
    assert "has no audio track" in await reason(studio, tmp_path / "film.m4a")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.9])
@pytest.mark.parametrize(
    "name", ["s16.wav", "s24.wav", "vbr.mp3", "vorbis.ogg", "opus.opus", "flac.flac", "aac.m4a", "faststart.m4a"]
)
async def test_a_file_cut_off_while_copying_is_refused(studio: Studio, tmp_path: Path, name: str, share: float) -> None:
    whole = write(tmp_path / name, VOICE, *FORMATS[name])
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    said = await reason(studio, whole)
    assert "cut off" in said or "damaged" in said


async def test_a_recorder_that_never_wrote_the_length_is_forgiven(studio: Studio, tmp_path: Path) -> None:
    whole = write(tmp_path / "pipe.wav", VOICE).read_bytes()
    at = whole.index(b"data") + 4
    (tmp_path / "pipe.wav").write_bytes(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :])
    assert (await studio.inspect(tmp_path / "pipe.wav")).duration_s == pytest.approx(3.0, abs=0.01)


async def test_a_header_without_sound_is_refused(studio: Studio, tmp_path: Path) -> None:
    assert "contains no sound" in await reason(studio, write(tmp_path / "header.wav", quiet(0)))


@pytest.mark.parametrize("name", ["flac.flac", "vorbis.ogg"])
async def test_flipped_bits_are_noticed(studio: Studio, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, VOICE, *FORMATS[name])
    damaged = bytearray(path.read_bytes())
    for at in range(len(damaged) // 2, len(damaged) // 2 + 40):
        damaged[at] ^= 0xA5
    path.write_bytes(damaged)
    said = await reason(studio, path)
    assert "damaged" in said or "cut off" in said


async def test_silence_is_not_an_announcement(studio: Studio, tmp_path: Path) -> None:
    assert "is silent" in await reason(studio, write(tmp_path / "silent.wav", quiet(3)))
    assert "is silent" in await reason(studio, write(tmp_path / "hum.wav", tone(3, 50, 0.001)))


async def test_too_short_and_too_long(studio: Studio, tmp_path: Path) -> None:
    assert "is too short: 0.2 s" in await reason(studio, write(tmp_path / "short.wav", tone(0.2)))
    assert "longer than its limit of 20 s" in await reason(studio, write(tmp_path / "long.wav", tone(21)))
    assert (await studio.inspect(write(tmp_path / "just.wav", tone(20)))).duration_s == 20.0


async def test_a_length_that_only_decoding_shows_is_limited_too(studio: Studio, tmp_path: Path) -> None:
    """No length in the header: what is decoded counts."""
    whole = write(tmp_path / "long.wav", tone(21)).read_bytes()
    at = whole.index(b"data") + 4
    (tmp_path / "long.wav").write_bytes(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :])
    assert "longer than its limit of 20 s" in await reason(studio, tmp_path / "long.wav")


@pytest.mark.parametrize("name", ["s16.wav", "f32.wav", "cbr.mp3", "vorbis.ogg"])
async def test_heavy_clipping_is_refused(studio: Studio, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, np.clip(voice(3, level=8.0), -1, 1), *FORMATS[name])
    assert "is heavily clipped" in await reason(studio, path)


@pytest.mark.parametrize("clipped", [0.0005, 0.01, 0.045, 0.06])
async def test_some_clipping_is_a_warning_at_its_threshold(studio: Studio, tmp_path: Path, clipped: float) -> None:
    """Under 0.1 % of samples nothing is said, up to 5 % it is a warning, above it is refused."""
    samples = voice(3)
    samples[:: round(1 / clipped)] = 1.0
    path = write(tmp_path / "peaks.wav", samples, "-c:a", "pcm_s24le")
    if clipped > 0.05:
        assert "is heavily clipped: 6%" in await reason(studio, path)
        return
    warnings = (await studio.render([Say("Xin chào"), File(str(path))])).warnings
    about_it = [text for text in warnings if "clipped" in text]
    assert [text.startswith("peaks.wav ") for text in about_it] == ([True] if clipped > 0.001 else [])
    assert (await studio.inspect(path)).clipped == pytest.approx(clipped, rel=0.05)


async def test_a_peak_over_full_scale_is_a_warning(studio: Studio, tmp_path: Path) -> None:
    samples = voice(3)
    samples[1000] = 1.5
    path = write(tmp_path / "over.wav", samples, "-c:a", "pcm_f32le")
    assert (await studio.inspect(path)).warnings == ("its peak is 3.5 dB over full scale: it may sound harsh",)


async def test_samples_that_are_no_numbers_are_refused(studio: Studio, tmp_path: Path) -> None:
    samples = voice(3)
    samples[2000] = np.nan
    assert "is damaged" in await reason(studio, write(tmp_path / "nan.wav", samples, "-c:a", "pcm_f32le"))


async def test_a_verdict_goes_with_the_content_not_with_the_name(tmp_path: Path) -> None:
    """Listened to once, across restarts; the refusal names the file that was asked for."""
    log = tmp_path / "runs"
    counting = script(tmp_path / "ffmpeg", f'#!/bin/sh\necho "$@" >> {log}\nexec {FFMPEG} "$@"\n')
    targets = Targets(ffmpeg=str(counting))
    write(tmp_path / "a.wav", quiet(1))
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    for name in ("a.wav", "b.wav"):
        studio = Studio(tmp_path / "studio", targets)
        with pytest.raises(AudioRefused, match=f"^{name} is silent"):
            await studio.inspect(tmp_path / name)
        studio.close()
    assert sum("ebur128" in line for line in log.read_text().splitlines()) == 1


async def test_a_mended_file_is_taken(studio: Studio, tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", quiet(1))
    with pytest.raises(AudioRefused):
        await studio.inspect(path)
    write(path, VOICE)
    assert (await studio.inspect(path)).duration_s == pytest.approx(3.0, abs=0.01)
