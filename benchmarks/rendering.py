"""What rendering costs: a bulletin, a bulletin known already, an hour of audio and the memory it takes.

`python -m benchmarks.rendering` writes build/bench/rendering.json.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report
from broadcasts.model import Chime, Item, Pause, Say
from broadcasts.studio.encode import opus
from broadcasts.studio.ffmpeg import locate
from broadcasts.studio.library import Studio
from broadcasts.studio.targets import Targets

ROUNDS = 5
HOUR_S = 3600
SOUND = f"aevalsrc=0.2*sin(1900*t)*(1+sin(8*t)):s=44100:d={HOUR_S}"

HOUR = """
import asyncio, resource, sys, time
from broadcasts.model import File
from broadcasts.studio.library import Studio
studio = Studio(sys.argv[1])
began = time.perf_counter()
asyncio.run(studio.render([File(sys.argv[2])]))
took = time.perf_counter() - began
studio.close()
high = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(took, *high)
"""


def bulletin(number: int) -> list[Item]:
    """A chime and twenty seconds of speech; no two alike."""
    text = f"Bản tin số {number}. " + "Kính thưa bà con, sau đây là bản tin sáng của Ủy ban nhân dân xã. " * 4
    return [Chime("open"), Pause(500), Say(text), Pause(500), Chime("close")]


async def bulletins(folder: Path, report: Report) -> None:
    studio = Studio(folder)
    new, known = [], []
    for number in range(ROUNDS):
        new.append(await _timed(studio, bulletin(number)))
        known.append(await _timed(studio, bulletin(number)))
    studio.close()
    restarted = Studio(folder)
    after_restart = [await _timed(restarted, bulletin(number)) for number in range(ROUNDS)]
    restarted.close()
    report.spread("bulletin, new", [1000 * seconds for seconds in new], "ms")
    report.spread("bulletin, known", [1000 * seconds for seconds in known], "ms")
    report.spread("bulletin, known before a restart", [1000 * seconds for seconds in after_restart], "ms")


async def _timed(studio: Studio, items: list[Item]) -> float:
    began = time.perf_counter()
    await studio.render(items)
    return time.perf_counter() - began


def hour(folder: Path, report: Report) -> None:
    path = folder / "hour.mp3"
    made = [*locate().command, "-v", "error", "-f", "lavfi", "-i", SOUND, "-q:a", "7", str(path)]
    subprocess.run(made, check=True)
    command = [sys.executable, "-c", HOUR, str(folder / "studio"), str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    took, own_mb, child_mb = map(float, ran.stdout.split())
    alone = _ffmpeg_alone(path, folder / "alone.opus")
    report.add("60 min, times real time", HOUR_S / took, "x")
    report.add("60 min, times real time: ffmpeg alone, one pass", HOUR_S / alone, "x")
    report.add("60 min, Loa's time to that of ffmpeg alone", took / alone, "")
    report.add("60 min, memory: own and largest child", own_mb + child_mb, "MB")


def _ffmpeg_alone(path: Path, into: Path) -> float:
    """Seconds of one command that filters and encodes alike, at a gain that somebody told it: Loa measures before, for
    the gain, and after, to be sure."""
    chain = f"highpass=f={Targets().highpass_hz},volume=0dB,alimiter=limit=0.7:level=disabled"
    output = [*opus(Targets().bitrate_kbps), str(into)]
    command = [*locate().command, "-v", "error", "-i", str(path), "-af", chain, *output]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def main() -> None:
    report = Report("rendering")
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(bulletins(Path(name) / "bulletins", report))
        hour(Path(name), report)
    report.write()


if __name__ == "__main__":
    main()
