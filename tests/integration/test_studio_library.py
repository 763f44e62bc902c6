"""Rendered once, never half, never needlessly thrown away, and never in the way of the rest of the service."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broadcasts.model import Chime, File, FileTrack, Pause, Rendered, Say
from broadcasts.studio.errors import AudioRefused
from broadcasts.studio.ffmpeg import FfmpegMissing, locate
from broadcasts.studio.library import Studio
from broadcasts.studio.targets import Targets
from tests.studio_support import FFMPEG, counting_ffmpeg, heard, script, tone, voice, write

LONG_AGO = 1_000_000_000


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "studio")
    yield studio
    studio.close()


def sha_of(rendered: Rendered) -> str:
    (track,) = rendered.tracks
    assert isinstance(track, FileTrack)
    return track.sha256


async def rendered_by(folder: Path, ffmpeg: Path, *items: File | Say | Chime | Pause, **targets: float) -> Rendered:
    """As a fresh process would: by a studio that has just started."""
    studio = Studio(folder, Targets(ffmpeg=str(ffmpeg), **targets))  # type: ignore[arg-type]
    try:
        return await studio.render(items)
    finally:
        studio.close()


def encodings(log: Path) -> int:
    return sum("libopus" in line for line in log.read_text().splitlines())


async def test_the_same_is_rendered_once_also_across_restarts(tmp_path: Path) -> None:
    ffmpeg, log = counting_ffmpeg(tmp_path)
    path = write(tmp_path / "a.wav", voice(2))
    items = (Chime("open"), Pause(200), Say("Xin chào"), File(str(path)))
    first = await rendered_by(tmp_path / "studio", ffmpeg, *items)
    runs = len(log.read_text().splitlines())
    assert await rendered_by(tmp_path / "studio", ffmpeg, *items) == first
    assert len(log.read_text().splitlines()) == runs + 1  # its version was asked for, nothing else
    copy = tmp_path / "another name.wav"
    copy.write_bytes(path.read_bytes())
    assert await rendered_by(tmp_path / "studio", ffmpeg, *items[:3], File(str(copy))) == first
    assert encodings(log) == 1


async def test_what_changes_the_sound_is_rendered_anew(tmp_path: Path) -> None:
    ffmpeg, log = counting_ffmpeg(tmp_path)
    path = write(tmp_path / "a.wav", voice(2))
    seen = {sha_of(await rendered_by(tmp_path / "studio", ffmpeg, File(str(path))))}
    seen.add(sha_of(await rendered_by(tmp_path / "studio", ffmpeg, File(str(path)), loudness_lufs=-20.0)))
    seen.add(sha_of(await rendered_by(tmp_path / "studio", ffmpeg, File(str(path)), highpass_hz=300)))
    seen.add(sha_of(await rendered_by(tmp_path / "studio", ffmpeg, File(str(path)), bitrate_kbps=32)))
    seen.add(sha_of(await rendered_by(tmp_path / "studio", ffmpeg, Pause(10), File(str(path)))))
    write(path, voice(2, seed=2))
    seen.add(sha_of(await rendered_by(tmp_path / "studio", ffmpeg, File(str(path)))))
    for say in (Say("Xin chào"), Say("Xin chào", "vi-vn-x-south"), Say("Xin chào bà con")):
        seen.add(sha_of(await rendered_by(tmp_path / "studio", ffmpeg, say)))
    seen.add(sha_of(await rendered_by(tmp_path / "studio", ffmpeg, Say("Xin chào"), words_per_minute=100)))
    assert len(seen) == 10
    assert encodings(log) >= 10


async def test_sixty_wishes_for_the_same_at_once_are_one_rendering(tmp_path: Path) -> None:
    ffmpeg, log = counting_ffmpeg(tmp_path)
    studio = Studio(tmp_path / "studio", Targets(ffmpeg=str(ffmpeg)))
    all_of_them = await asyncio.gather(*(studio.render([Chime("open"), Say("Xin chào")]) for _ in range(60)))
    studio.close()
    assert len(set(map(sha_of, all_of_them))) == 1
    assert encodings(log) == 1


async def test_many_texts_at_once_are_all_spoken(studio: Studio) -> None:
    """espeak-ng crashes when threads share it."""
    texts = [f"Thông báo số {number}" for number in range(8)]
    names = await asyncio.gather(*(studio.render([Say(text)]) for text in texts))
    assert len(set(map(sha_of, names))) == 8


async def test_the_event_loop_goes_on_while_audio_is_rendered(tmp_path: Path) -> None:
    """The rendering waits for the loop to do something: it can only end if the loop is free."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waiting = script(
        tmp_path / "ffmpeg", f'#!/bin/sh\ncase "$*" in *libopus*) read _ < {gate};; esac\nexec {FFMPEG} "$@"\n'
    )
    studio = Studio(tmp_path / "studio", Targets(ffmpeg=str(waiting)))
    rendering = asyncio.create_task(studio.render([Chime("open")]))
    await asyncio.to_thread(_open_gate, gate)
    assert sha_of(await rendering)
    studio.close()


def _open_gate(gate: Path) -> None:
    with gate.open("w") as file:
        file.write("go\n")


async def test_an_urgent_text_does_not_wait_for_an_hour_of_audio(tmp_path: Path) -> None:
    """The long file is held at a gate that opens only when the text is done."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    hold = f'#!/bin/sh\ncase "$*" in *long.wav*libopus*) read _ < {gate};; esac\nexec {FFMPEG} "$@"\n'
    held = script(tmp_path / "ffmpeg", hold)
    studio = Studio(tmp_path / "studio", Targets(ffmpeg=str(held), assemble_up_to_s=2))
    path = write(tmp_path / "long.wav", voice(4))
    long = [asyncio.create_task(studio.render([File(str(path)), Pause(at)])) for at in range(8)]
    assert sha_of(await studio.render([Say("Sơ tán ngay")]))
    assert not any(task.done() for task in long)
    await asyncio.to_thread(_open_gate, gate)
    await asyncio.gather(*long)
    studio.close()


CRASH = """
import asyncio, sys
from broadcasts.model import Chime
from broadcasts.studio.library import Studio
from broadcasts.studio.targets import Targets
asyncio.run(Studio(sys.argv[1], Targets(ffmpeg=sys.argv[2])).render([Chime("open")]))
"""


@pytest.mark.parametrize("run", ["libopus", "-f ogg -i"])
async def test_a_kill_in_the_middle_leaves_nothing_half_made(tmp_path: Path, run: str) -> None:
    """Killed while encoding, and while what was encoded is measured; the next start renders it whole."""
    half = 'for last; do :; done; [ "$last" = - ] || echo half > "$last"'
    deadly = script(
        tmp_path / "deadly",
        f'#!/bin/sh\ncase "$*" in *"{run}"*) {half}; kill -9 $PPID;; esac\nexec {FFMPEG} "$@"\n',
    )
    folder = tmp_path / "studio"
    killed = subprocess.run([sys.executable, "-c", CRASH, str(folder), str(deadly)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert list(folder.glob("assets/*/*")) == []
    assert list(folder.glob("index/*/*")) == []
    studio = Studio(folder)
    assert len(heard(studio.path(sha_of(await studio.render([Chime("open")]))) or "")) > 24_000
    studio.close()


async def test_a_lost_or_damaged_asset_is_rendered_again(studio: Studio, tmp_path: Path) -> None:
    first = sha_of(await studio.render([Chime("open")]))
    path = Path(studio.path(first) or "")
    content = path.read_bytes()
    path.unlink()
    assert sha_of(await studio.render([Chime("open")])) == first
    path.write_bytes(content[:-100])
    restarted = Studio(tmp_path / "studio")
    assert sha_of(await restarted.render([Chime("open")])) == first
    restarted.close()
    assert path.read_bytes() == content


async def test_only_what_nobody_needs_and_nobody_just_asked_for_is_thrown_away(studio: Studio, tmp_path: Path) -> None:
    needed, unneeded, fresh = [sha_of(await studio.render([Chime(name)])) for name in ("open", "close", "alarm")]
    for entry in (tmp_path / "studio").rglob("*.*"):
        if fresh not in entry.name:
            os.utime(entry, (LONG_AGO, LONG_AGO))
    assert studio.collect([needed]) == 1
    assert [studio.path(sha256) is not None for sha256 in (needed, unneeded, fresh)] == [True, False, True]
    assert len(list((tmp_path / "studio" / "index").rglob("*.json"))) == 2
    assert sha_of(await studio.render([Chime("close")])) == unneeded
    assert studio.path(unneeded)


async def test_what_is_asked_for_again_is_not_thrown_away_a_moment_later(studio: Studio) -> None:
    name = sha_of(await studio.render([Chime("open")]))
    os.utime(studio.path(name) or "", (LONG_AGO, LONG_AGO))
    await studio.render([Chime("open")])
    assert studio.collect([]) == 0


async def test_closing_ends_children_at_once_and_says_so(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    endless = script(
        tmp_path / "ffmpeg",
        f'#!/bin/sh\ncase "$*" in *libopus*) echo $$ > {started}; exec sleep 1000;; esac\nexec {FFMPEG} "$@"\n',
    )
    studio = Studio(tmp_path / "studio", Targets(ffmpeg=str(endless)))
    rendering = asyncio.create_task(studio.render([Chime("open")]))
    pid = int(await asyncio.to_thread(started.read_text))
    await asyncio.to_thread(studio.close)
    with pytest.raises(AudioRefused) as caught:
        await rendering
    assert not caught.value.permanent
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("studio")] == []


def test_no_child_is_left_when_the_service_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    endless = script(
        tmp_path / "ffmpeg",
        f'#!/bin/sh\ncase "$*" in *libopus*) echo $$ > {started}; exec sleep 1000;; esac\nexec {FFMPEG} "$@"\n',
    )
    with subprocess.Popen([sys.executable, "-c", CRASH, str(tmp_path / "studio"), str(endless)]) as service:
        child = os.pidfd_open(int(started.read_text()))
        service.kill()
    ended, _, _ = select.select([child], [], [], 10)
    os.close(child)
    assert ended


async def test_a_full_disk_is_not_the_files_fault(tmp_path: Path) -> None:
    """A failure of ours is not remembered as a refusal."""
    broken = script(
        tmp_path / "ffmpeg",
        '#!/bin/sh\ncase "$*" in *libopus*) echo "[error] No space left on device" >&2; exit 1;; esac\n'
        f'exec {FFMPEG} "$@"\n',
    )
    items = [File(str(write(tmp_path / "a.wav", tone(1))))]
    with pytest.raises(AudioRefused, match="could not be written: No space left on device") as caught:
        await rendered_by(tmp_path / "studio", broken, *items)
    assert not caught.value.permanent
    assert await rendered_by(tmp_path / "studio", Path(FFMPEG), *items)


async def test_a_folder_that_cannot_be_written_is_said_in_one_line(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "studio" / "tmp").rmdir()
    (tmp_path / "studio" / "tmp").touch()
    with pytest.raises(AudioRefused, match="the studio's files could not be used: Not a directory") as caught:
        await studio.render([Chime("open")])
    assert not caught.value.permanent


async def test_after_closing_nothing_is_rendered(studio: Studio) -> None:
    studio.close()
    with pytest.raises(AudioRefused, match="the studio is closed"):
        await studio.render([Chime("open")])


async def test_a_file_replaced_while_it_is_read_is_not_remembered_under_its_old_content(tmp_path: Path) -> None:
    path, other = write(tmp_path / "a.wav", voice(1, 1)), write(tmp_path / "b.wav", voice(1.5, 2))
    swapping = script(
        tmp_path / "ffmpeg", f'#!/bin/sh\ncase "$*" in *libopus*) cp {other} {path};; esac\nexec {FFMPEG} "$@"\n'
    )
    with pytest.raises(AudioRefused, match="changed while it was being read"):
        await rendered_by(tmp_path / "studio", swapping, File(str(path)))
    rendered = await rendered_by(tmp_path / "studio", swapping, File(str(path)))
    assert rendered.duration_ms == pytest.approx(1500, abs=100)


def test_the_configured_ffmpeg_comes_first_then_the_environment_then_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name in ("configured", "environment", "path"):
        (tmp_path / name).mkdir()
        made.append(script(tmp_path / name / "ffmpeg", f'#!/bin/sh\nexec {FFMPEG} "$@"\n'))
    monkeypatch.setenv("LOA_FFMPEG", str(made[1]))
    monkeypatch.setenv("PATH", f"{made[2].parent}:{os.environ['PATH']}")
    assert locate(str(made[0])).command[-1] == str(made[0])
    assert locate().command[-1] == str(made[1])
    monkeypatch.delenv("LOA_FFMPEG")
    assert locate().command[-1] == str(made[2])


def test_an_ffmpeg_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(FfmpegMissing, match="/nowhere/ffmpeg does not run"):
        Studio(tmp_path, Targets(ffmpeg="/nowhere/ffmpeg"))


MEASURED = """
import asyncio, re, resource, sys
from pathlib import Path
from broadcasts.model import File
from broadcasts.studio.library import Studio
studio = Studio(sys.argv[1])
rendered = asyncio.run(studio.render([File(sys.argv[2])]))
studio.close()
# Not ru_maxrss of our own: a new program inherits that of the process that started it.
own = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(rendered.duration_ms, own // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def test_a_long_file_never_sits_in_memory(tmp_path: Path) -> None:
    """Eight minutes; whole in memory they would take over 120 MB more. (An hour: benchmarks/rendering.py.)"""
    sound = ["-f", "lavfi", "-i", "aevalsrc=0.2*sin(1900*t)*(1+sin(8*t)):s=44100:d=480", "-q:a", "7"]
    subprocess.run([FFMPEG, "-v", "error", *sound, str(tmp_path / "long.mp3")], check=True)
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "studio"), str(tmp_path / "long.mp3")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    duration_ms, own_mb, child_mb = map(int, ran.stdout.split())
    assert duration_ms == pytest.approx(480_000, abs=100)
    assert own_mb + child_mb < 160
