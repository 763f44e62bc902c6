"""The people at the centre: they save announcements, take some back, edit, spoil the file and mend it, give orders."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos.plan import Airing
from tests.chaos.stage import Stage
from tests.e2e.kills import TARGETS, Recorder, later, tone

WITHIN = timedelta(minutes=15)
KEPT = timedelta(minutes=20)
TONE_S = 0.8


@dataclass(slots=True)
class Promise:
    """What was asked for: an airing on nodes. `saved`: when the file or the order was there; `taken_back`: when it was
    deleted again; `late`: its `if_late`."""

    occurrence: str
    start: datetime
    nodes: tuple[str, ...]
    late: str
    saved: datetime
    taken_back: datetime | None = None
    ordered: bool = False


class Operator:
    """Saves what `airings` say, at its time, into the configuration of `stage`."""

    def __init__(self, stage: Stage, recorder: Recorder, airings: Sequence[Airing], seed: int) -> None:
        self.promises: dict[str, Promise] = {}
        self._stage = stage
        self._recorder = recorder
        self._airings = airings
        self._rng = random.Random(f"operator {seed}")
        self._queued: dict[str, dict[str, Any]] = {}
        self._extra: list[dict[str, Any]] = []
        self._edits = 0
        self._spoilt = False

    async def work(self, began: float) -> None:
        """Until the last airing is saved, and taken back if it is to be."""
        zero = (datetime.now(UTC) - timedelta(seconds=time.monotonic() - began)).replace(microsecond=0)
        steps = [(one.at_s - one.ahead_s, self._save, one) for one in self._airings]
        steps += [(one.at_s - one.taken_back_s, self._take_back, one) for one in self._airings if one.taken_back_s]
        for at_s, do, airing in sorted(steps, key=lambda step: step[0]):
            await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
            do(airing, zero + timedelta(seconds=airing.at_s))

    def _save(self, airing: Airing, start: datetime) -> None:
        occurrence = self._stage.occurrence(airing.id, start)
        self._queued[occurrence] = {
            "id": airing.id,
            "title": airing.id,
            "to": [airing.to],
            "once": self._stage.written(start),
            "if_interrupted": "resume",
            "play": [{"file": self._audio(airing)}],
            "if_late": "drop" if airing.late == "drop" else {"do": airing.late, "within": "15m"},
        }
        nodes = TARGETS[airing.to]
        self.promises[occurrence] = Promise(occurrence, start, nodes, airing.late, datetime.now(UTC))
        self._write()

    def _audio(self, airing: Airing) -> str:
        if not airing.own_audio:
            return "audio/tone.wav"
        name = f"audio/tone-{airing.number}.wav"
        tone(self._stage.config / name, seconds=TONE_S + airing.number / 10_000)
        return name

    def _take_back(self, airing: Airing, start: datetime) -> None:
        occurrence = self._stage.occurrence(airing.id, start)
        if self._queued.pop(occurrence, None) is not None:
            self.promises[occurrence].taken_back = datetime.now(UTC)
            self._write()

    def disturb(self) -> None:
        """An edit that changes nothing that is heard, and the documents of all nodes."""
        self._edits += 1
        self._extra = [later(self._stage, f"mai-{self._edits}")] if self._rng.random() < 0.7 else []
        for one in self._queued.values():
            if self._rng.random() < 0.2:
                one["title"] = f"{one['id']} sửa lần {self._edits}"
        self._write()

    def spoil(self) -> None:
        """Half a file, as a transfer leaves it that broke off."""
        self._spoilt = True
        path = self._path
        path.write_text(path.read_text()[: -len("broadcasts")] + "\n  - id: [")

    def mend(self) -> None:
        self._spoilt = False
        self._write()

    async def play(self, commune: str) -> None:
        """An order of the moment. Only one that was answered is certain to be carried out."""
        asked = datetime.now(UTC)
        answer = await self._stage.order("play", path=str(self._stage.config / "audio" / "tone.wav"), to=[commune])
        if answer is not None:
            id, nodes = answer["occurrence"], tuple(answer["nodes"])
            self.promises[id] = Promise(id, asked, nodes, "restart", asked, ordered=True)

    @property
    def _path(self) -> Path:
        return self._stage.config / "broadcasts.yaml"

    def _write(self) -> None:
        """What is over and was heard everywhere goes out of the file; so does what nobody can hear any more."""
        if self._spoilt:
            return
        now, heard = datetime.now(UTC), self._recorder.told("completed")
        for occurrence in list(self._queued):
            promise = self.promises[occurrence]
            everywhere = all(heard[occurrence, node] for node in promise.nodes)
            if promise.start + KEPT < now or (everywhere and promise.start + timedelta(seconds=20) < now):
                del self._queued[occurrence]
        self._stage.save([later(self._stage, "nen"), *self._extra, *self._queued.values()])
