"""What leaves the horns, in real time: a programme played through the parts, measured and written down.

A Programme is decoded tracks on one line of milliseconds. An Output plays it at the pace of the monotonic
clock: it always knows the level that the amplifier sees now, integrates what came out behind it, and for a
node that is listened to it yields the samples that were heard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from broadcasts.model import FileTrack, StreamTrack, Track
from simulators.audio import RATE, STEP_MS, Clip, Samples
from simulators.parts import FULL_SCALE_VRMS, IDLE, SILENCE_DBFS, Load, Parts

METER_MS = 1000
"""Span over which a level meter averages."""


@dataclass(frozen=True, slots=True)
class Segment:
    """[start_ms, end_ms) of a programme: a clip, or silence. `relaying`: a stream should be heard here; `streaming`:
    a stream is on air, be it heard itself or its fallback."""

    start_ms: int
    end_ms: int
    clip: Clip | None = None
    relaying: bool = False
    streaming: bool = False


class Programme:
    """Tracks with their decoded clips, in order."""

    def __init__(self, tracks: Sequence[Track], clips: Mapping[str, Clip]) -> None:
        self.segments = tuple(_segments(tracks, clips))
        self.length_ms = self.segments[-1].end_ms if self.segments else 0

    def at(self, position_ms: float) -> Segment | None:
        """What sounds at a position."""
        for segment in self.segments:
            if segment.start_ms <= position_ms < segment.end_ms:
                return segment
        return None

    def power(self, start_ms: float, end_ms: float) -> float:
        """Mean square over [start_ms, end_ms), full scale 1.0."""
        span = end_ms - start_ms
        if span <= 0:
            return 0.0
        return sum(_energy(segment, start_ms, end_ms) for segment in self.segments) / span

    def samples(self, start: int, stop: int) -> Samples:
        """Samples [start, stop) of the whole programme at RATE."""
        heard = np.zeros(max(0, stop - start), dtype=np.int16)
        for segment in self.segments:
            first = _index(segment.start_ms)
            low, high = max(start, first), min(stop, _index(segment.end_ms))
            if segment.clip is not None and low < high:
                piece = segment.clip.samples(low - first, high - first)
                heard[low - start : low - start + len(piece)] = piece
        return heard


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples that were heard from wall instant `at` (epoch seconds) on."""

    at: float
    samples: Samples


class Output:
    """One node's audio output. `listened`: keep what was heard until `take` fetches it."""

    def __init__(self, parts: Parts, *, listened: bool) -> None:
        self._parts = parts
        self.listened = listened
        self._programme: Programme | None = None
        self._volume = 0
        self._begun_mono = 0.0
        self._begun_wall = 0.0
        self._begun_ms = 0.0
        self._accounted_ms = 0.0
        self._output_energy = 0.0
        self._output_ms = 0.0
        self._pieces: list[Piece] = []

    def start(self, programme: Programme, position_ms: float, volume: int, mono: float, wall: float) -> None:
        """Sound now: `mono` and `wall` (epoch seconds) are the instant of the first sample."""
        self._programme = programme
        self._volume = volume
        self._begun_mono, self._begun_wall, self._begun_ms = mono, wall, position_ms
        self._accounted_ms = position_ms
        self._output_energy = self._output_ms = 0.0

    def turn(self, volume: int, mono: float) -> None:
        """Go on at another volume."""
        self.account(mono)
        self._volume = volume

    def hush(self, mono: float) -> float | None:
        """Be silent. The level behind the amplifier while it sounded, in dB of full scale."""
        self.account(mono)
        self._programme = None
        if self._output_ms <= 0:
            return None
        volts = math.sqrt(self._output_energy / self._output_ms)
        return round(20 * math.log10(max(volts, 1e-4) / FULL_SCALE_VRMS), 1)

    def load(self, mono: float) -> Load:
        """What the amplifier is asked for now, averaged over the last second."""
        programme = self._programme
        if programme is None:
            return IDLE
        position = self._position(mono)
        start = max(self._begun_ms, position - METER_MS)
        return self._load_over(programme, start, max(position, start + STEP_MS))

    def account(self, mono: float) -> None:
        """Book everything since the last time, through the parts as they were. Call before they change."""
        programme = self._programme
        if programme is None:
            return
        start, end = self._accounted_ms, self._position(mono)
        if end <= start:
            return
        volts = self._parts.amp_vrms(self._load_over(programme, start, end))
        self._output_energy += volts**2 * (end - start)
        self._output_ms += end - start
        self._accounted_ms = end
        if self.listened:
            self._keep(programme, start, end)

    def take(self) -> list[Piece]:
        """What was heard since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _position(self, mono: float) -> float:
        programme = self._programme
        limit = programme.length_ms if programme else 0
        return min(self._begun_ms + (mono - self._begun_mono) * 1000, float(limit))

    def _load_over(self, programme: Programme, start_ms: float, end_ms: float) -> Load:
        power = programme.power(start_ms, end_ms) * (self._volume / 100) ** 2
        segment = programme.at(start_ms)
        level = 10 * math.log10(power) if power > 0 else SILENCE_DBFS
        level = max(SILENCE_DBFS, level)
        return Load(level, segment.relaying, segment.streaming) if segment is not None else Load(level)

    def _keep(self, programme: Programme, start_ms: float, end_ms: float) -> None:
        gain = self._parts.acoustic_gain() * self._volume / 100
        if gain <= 0:
            return
        first = _index(start_ms)
        samples = programme.samples(first, _index(end_ms))
        at = self._begun_wall + first / RATE - self._begun_ms / 1000
        self._pieces.append(Piece(at, _scaled(samples, gain)))


def _scaled(samples: Samples, gain: float) -> Samples:
    scaled: npt.NDArray[np.float32] = samples.astype(np.float32) * gain
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)


def _index(ms: float) -> int:
    return round(ms * RATE / 1000)


def _energy(segment: Segment, start_ms: float, end_ms: float) -> float:
    """Sum of power x ms of a segment inside [start_ms, end_ms)."""
    low, high = max(start_ms, segment.start_ms), min(end_ms, segment.end_ms)
    if segment.clip is None or high <= low:
        return 0.0
    first = int((low - segment.start_ms) // STEP_MS)
    last = max(first + 1, math.ceil((high - segment.start_ms) / STEP_MS))
    steps = segment.clip.power[first:last]
    return float(steps.mean()) * (high - low) if len(steps) else 0.0


def _segments(tracks: Sequence[Track], clips: Mapping[str, Clip]) -> Iterator[Segment]:
    at = 0
    for track in tracks:
        end = at + track.duration_ms
        match track:
            case FileTrack():
                yield Segment(at, end, clips[track.sha256])
            case StreamTrack():
                yield from _relayed(track, at, end, clips)
            case _:
                yield Segment(at, end)
        at = end


def _relayed(track: StreamTrack, at: int, end: int, clips: Mapping[str, Clip]) -> Iterator[Segment]:
    """A simulated node has no line to any station: silence, and after `on_silence_s` the fallback, over and
    over until the stream's time is up."""
    silent_until = min(end, at + track.on_silence_s * 1000)
    yield Segment(at, silent_until, relaying=True, streaming=True)
    clip = clips[track.fallback.sha256] if track.fallback else None
    if clip is None:
        yield Segment(silent_until, end, relaying=True, streaming=True)
        return
    while silent_until < end:
        until = min(end, silent_until + max(1, int(clip.duration_ms)))
        yield Segment(silent_until, until, clip, streaming=True)
        silent_until = until
