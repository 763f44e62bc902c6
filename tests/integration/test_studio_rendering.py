"""What is rendered sounds as it was written: in order, at the stated loudness, gaps exact, the same every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from broadcasts.model import Chime, File, FileTrack, Item, Pause, PauseTrack, Rendered, Say, Stream, StreamTrack
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.library import Studio
from broadcasts.studio.targets import Targets
from tests.studio_support import RATE, found_at, heard, loudness, quiet, tone, voice, write

SPEECH = "Kính thưa bà con, sau đây là bản tin sáng của Ủy ban nhân dân xã."
CODEC_OVERSHOOT_DB = 2.0
FLAT = Targets(highpass_hz=0)
"""Without the high-pass, which turns phases, what comes out correlates with what went in."""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "studio", replace(FLAT, assemble_up_to_s=6))
    yield studio
    studio.close()


def asset(studio: Studio, rendered: Rendered) -> str:
    (track,) = rendered.tracks
    assert isinstance(track, FileTrack)
    path = studio.path(track.sha256)
    assert path is not None
    return path


def inputs(folder: Path) -> dict[str, Sequence[Item]]:
    whisper, shout = voice(4, 1, level=0.02), voice(4, 2, level=0.9)
    uneven = np.concatenate([voice(4, 3, level=0.02), voice(4, 4, level=0.5)])
    spiky = voice(4, 5, level=0.05)
    spiky[::6000] = 0.95
    return {
        "whisper": [File(str(write(folder / "whisper.wav", whisper)))],
        "shout": [File(str(write(folder / "shout.wav", shout)))],
        "uneven": [File(str(write(folder / "uneven.flac", uneven)))],
        "spiky": [File(str(write(folder / "spiky.wav", spiky)))],
        "stereo": [File(str(write(folder / "stereo.mp3", voice(4, 6), "-ac", "2")))],
        "tone": [File(str(write(folder / "tone.ogg", tone(4), "-c:a", "libvorbis")))],
        "speech": [Say(SPEECH)],
        "alarm": [Chime("alarm")],
        "chime": [Chime("open")],
        "short": [File(str(write(folder / "short.wav", voice(0.6))))],
        "bulletin": [Chime("open"), Say(SPEECH), File(str(folder / "whisper.wav")), Chime("close")],
    }


@pytest.mark.parametrize(
    "name",
    ["whisper", "shout", "uneven", "spiky", "stereo", "tone", "speech", "alarm", "chime", "short", "bulletin"],
)
async def test_whatever_comes_in_goes_out_at_the_stated_loudness(tmp_path: Path, name: str) -> None:
    targets = Targets()
    studio = Studio(tmp_path / "studio", targets)
    measured, peak = loudness(asset(studio, await studio.render(inputs(tmp_path)[name])))
    studio.close()
    assert measured == pytest.approx(targets.loudness_lufs, abs=1.0)
    assert peak <= targets.true_peak_dbtp + CODEC_OVERSHOOT_DB


@pytest.mark.parametrize(("lufs", "ceiling"), [(-16.0, -1.0), (-23.0, -6.0)])
async def test_the_targets_are_the_operators(tmp_path: Path, lufs: float, ceiling: float) -> None:
    studio = Studio(tmp_path / "studio", Targets(loudness_lufs=lufs, true_peak_dbtp=ceiling))
    measured, peak = loudness(asset(studio, await studio.render(inputs(tmp_path)["shout"])))
    studio.close()
    assert measured == pytest.approx(lufs, abs=1.0)
    assert peak <= ceiling + CODEC_OVERSHOOT_DB


async def test_what_horns_cannot_play_is_filtered_out(tmp_path: Path) -> None:
    rumble = write(tmp_path / "rumble.wav", tone(3, 50, 0.4) + tone(3, 1000, 0.1))
    levels = {}
    for highpass_hz in (0, 200):
        studio = Studio(tmp_path / "studio", Targets(highpass_hz=highpass_hz))
        spectrum = np.abs(np.fft.rfft(heard(asset(studio, await studio.render([File(str(rumble))])), 8000)))
        studio.close()
        hz = np.fft.rfftfreq(2 * (len(spectrum) - 1), 1 / 8000)
        levels[highpass_hz] = spectrum[(hz > 40) & (hz < 60)].max() / spectrum[(hz > 990) & (hz < 1010)].max()
    assert levels[200] < levels[0] / 10


async def test_parts_sound_in_order_with_gaps_exact_to_a_few_samples(studio: Studio, tmp_path: Path) -> None:
    first, second = voice(2, 1), voice(2, 2)
    paths = [str(write(tmp_path / f"{name}.wav", part)) for name, part in (("a", first), ("b", second))]
    rendered = await studio.render([Pause(700), File(paths[0]), Pause(1234), File(paths[1]), Pause(2001)])
    whole = heard(asset(studio, rendered))
    cut = slice(RATE // 4, -RATE // 4)
    (first_at, first_sure), (second_at, second_sure) = found_at(first[cut], whole), found_at(second[cut], whole)
    assert min(first_sure, second_sure) > 0.9
    assert first_at == pytest.approx(0.7 + 0.25, abs=0.001)
    assert second_at - first_at == pytest.approx(2.0 + 1.234, abs=0.0002)
    assert rendered.duration_ms == pytest.approx(700 + 2000 + 1234 + 2000 + 2001, abs=1)
    assert len(whole) == pytest.approx(rendered.duration_ms * RATE / 1000, abs=48)


async def test_silence_around_a_recording_is_trimmed_and_silence_within_is_kept(studio: Studio, tmp_path: Path) -> None:
    parts = (quiet(1.5), voice(1, 1), quiet(1.0), voice(1, 2), quiet(2.5))
    hiss = 0.0001 * np.random.default_rng(1).standard_normal(sum(map(len, parts)))
    path = write(tmp_path / "padded.wav", np.concatenate(parts) + hiss)
    rendered = await studio.render([File(str(path))])
    assert rendered.duration_ms == pytest.approx(3000, abs=300)
    at, sure = found_at(parts[1][RATE // 8 :], heard(asset(studio, rendered)))
    assert sure > 0.9
    assert at == pytest.approx(0.125, abs=0.06)


async def test_a_quiet_file_is_not_drowned_by_its_neighbours(studio: Studio, tmp_path: Path) -> None:
    """A whisper after a shout: each is levelled before they are joined."""
    given = inputs(tmp_path)
    whole = heard(asset(studio, await studio.render([*given["shout"], Pause(500), *given["whisper"]])))
    halves = [np.sqrt(np.mean(np.square(half))) for half in (whole[: 4 * RATE], whole[-4 * RATE :])]
    assert 0.7 < halves[0] / halves[1] < 1.4


async def test_equal_content_has_an_equal_name(tmp_path: Path) -> None:
    names = []
    for room in ("here", "there"):
        studio = Studio(tmp_path / room)
        rendered = await studio.render([Chime("open"), Pause(300), Say(SPEECH), *inputs(tmp_path)["stereo"]])
        names.append(Path(asset(studio, rendered)).name)
        studio.close()
    assert names[0] == names[1]


async def test_an_asset_is_what_its_track_says(studio: Studio) -> None:
    (track,) = (await studio.render([Say(SPEECH)])).tracks
    assert isinstance(track, FileTrack)
    path = Path(studio.path(track.sha256) or "")
    assert (track.url, track.mime) == (f"/media/{track.sha256}.opus", "audio/ogg")
    assert track.bytes == path.stat().st_size
    assert path.read_bytes()[:4] == b"OggS"
    assert b"OpusHead\x01\x01" in path.read_bytes()[:60]  # one channel
    assert track.bytes * 8 / track.duration_ms == pytest.approx(24, rel=0.35)  # kbit/s


async def test_a_long_file_is_streamed_to_an_asset_of_its_own(studio: Studio, tmp_path: Path) -> None:
    sound = np.concatenate([quiet(2), voice(8), quiet(1)])
    path = write(tmp_path / "long.mp3", sound, "-ac", "2", "-b:a", "128k")
    rendered = await studio.render([Chime("open"), Pause(2000), File(str(path)), Pause(1000), Chime("close")])
    kinds = [type(track) for track in rendered.tracks]
    assert kinds == [FileTrack, PauseTrack, FileTrack, PauseTrack, FileTrack]
    long = rendered.tracks[2]
    assert isinstance(long, FileTrack)
    assert long.duration_ms == pytest.approx(8000, abs=300)
    at, sure = found_at(voice(8)[RATE : 4 * RATE], heard(studio.path(long.sha256) or ""))
    assert sure > 0.9
    assert at == pytest.approx(1.0, abs=0.1)
    assert loudness(studio.path(long.sha256) or "")[0] == pytest.approx(-18, abs=1)


async def test_a_stream_is_left_to_the_nodes_and_its_fallback_is_rendered(studio: Studio, tmp_path: Path) -> None:
    fallback = File(str(write(tmp_path / "music.wav", voice(3))))
    stream = Stream("http://127.0.0.1:9/nothing-is-fetched", 60_000, fallback, on_silence_s=15)
    (before, track) = (await studio.render([Pause(500), stream])).tracks
    assert before == PauseTrack(500)
    assert isinstance(track, StreamTrack)
    assert (track.url, track.duration_ms, track.on_silence_s) == (stream.url, 60_000, 15)
    assert track.fallback is not None
    assert studio.path(track.fallback.sha256)


async def test_a_bad_fallback_is_refused_before_it_is_needed(studio: Studio) -> None:
    items = [Chime("open"), Stream("http://127.0.0.1:9/", 1000, File("/nowhere/music.mp3"))]
    with pytest.raises(AudioRefused, match=r"music\.mp3 does not exist") as caught:
        await studio.render(items)
    assert caught.value.item == 1


@pytest.mark.parametrize("items", [[], [Pause(500)], [Pause(1), Pause(2)]])
async def test_nothing_is_not_a_broadcast(studio: Studio, items: list[Item]) -> None:
    with pytest.raises(AudioRefused, match="nothing to play"):
        await studio.render(items)


async def test_an_unknown_chime_is_refused_with_the_known_ones(studio: Studio) -> None:
    with pytest.raises(AudioRefused, match=r"unknown chime 'gong' \(known: open, close, alarm\)") as caught:
        await studio.render([Say("Xin chào"), Chime("gong")])
    assert caught.value.item == 1
