"""A node for compressed time: its parts, what it says of them and what it answers, without sockets or sound.

Time and messages come in as arguments; what it says comes back as messages. Everything by chance follows from
the seed, so that a night of weather is the same night every time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from controller.wire.messages import (
    ClockState,
    Command,
    FaultReport,
    Heartbeat,
    Held,
    JournalAck,
    JournalEntry,
    Metric,
    PlaylistsDoc,
    Status,
    WireError,
    decode,
    encode,
    stamp,
)
from controller.wire.signing import load_keys
from controller.wire.topics import Topics
from simulators.parts import IDLE, Parts
from simulators.trust import (
    Holding,
    Rejected,
    Unchanged,
    digest_of,
    judge_command,
    judge_playlists,
)

_json = msgspec.json.Encoder()
_plain = msgspec.structs.asdict

SECURITY_CLEARS_S = 600.0
OF_THE_NODE = ("link", "reboots", "security", "clock", "clock-drift", "emergency-sound")
"""Faults of the table that are not the parts' own."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a node on its way to the broker."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """True time: wall clock and monotonic seconds."""

    wall: datetime
    mono: float


@dataclass(frozen=True, slots=True)
class Radio:
    """What the weather makes of a node's 4G: levels, and the share of heartbeats that are lost."""

    rsrp_dbm: float
    sinr_db: float
    loss: float = 0.0


class Post:
    """One node on its pole. `powered` and `connected` are set by whoever plays the network."""

    def __init__(
        self,
        id: str,
        topics: Topics,
        keys: tuple[dict[str, str], ...],
        *,
        seed: str,
        heartbeat_s: float,
        battery_wh: float,
    ) -> None:
        self.id = id
        self.topics = topics
        self.heartbeat_s = heartbeat_s
        self.rng = random.Random(seed)  # noqa: S311  must repeat by seed
        self.parts = Parts(seed, battery_wh=battery_wh)
        self.powered = False
        self.connected = False
        self.radio: Radio | None = None
        self.offset = timedelta(0)
        self.synced = True
        self.boot = ""
        self._conn = 0
        self._seq = 0
        self._log = f"log-{self.rng.randrange(2**32):08x}"
        self._n = 0
        self._unacknowledged: list[JournalEntry] = []
        self._keys = load_keys(keys)
        self._holding = Holding()
        self._obeyed: set[str] = set()
        self.told = self.parts.state()
        self._reports: dict[str, float] = {}

    # --- power and connection -------------------------------------------------------------------------------

    def power_on(self) -> None:
        self.powered = True
        self.boot, self._conn, self._seq = f"{self.rng.randrange(2**32):08x}", 0, 0

    def will(self, now: Moment) -> Said:
        """The will of the connection that is about to be made, which is thereby counted."""
        self._conn += 1
        return self._status(now, "will")

    def birth(self, now: Moment) -> list[Said]:
        """What it says once it is connected: its birth, what is wrong with it, and the rest of its journal."""
        reports = [self._report(code, now) for code in sorted(self._reports)]
        return [self._status(now, "birth"), *reports, *map(self._entry, self._unacknowledged)]

    def forget(self, keys: tuple[dict[str, str], ...]) -> None:
        """It is a board out of the box, enrolled somewhere else."""
        self._keys = load_keys(keys)
        self._holding = Holding()

    # --- what it says ---------------------------------------------------------------------------------------

    def stepped(self) -> bool:
        """Whether something changed since it was last asked: that is told a second time a second later."""
        changed, self.told = self.parts.state() != self.told, self.parts.state()
        return changed

    def live(self, now: Moment) -> bool:
        """Let time pass for the parts; whether there is still power to run on."""
        self.parts.advance(now.mono, running=self.powered)
        return self.parts.powered()

    def beat(self, now: Moment) -> Said:
        """A heartbeat."""
        self._seq += 1
        beat = Heartbeat(
            boot=self.boot,
            conn=self._conn,
            seq=self._seq,
            at=now.wall,
            clock=ClockState(self.synced, round(self.offset.total_seconds() * 1000, 1)),
            playlists=self._held(),
            metrics=self._metrics(),
        )
        # as `encode` would, without looking through a hundred thousand metrics for times
        at = stamp(now.wall + self.offset)
        return Said(self.topics.heartbeat(self.id), _json.encode({**_plain(beat), "at": at}), qos=0)

    def drowned(self) -> bool:
        """Whether the weather swallows the next heartbeat."""
        return self.radio is not None and self.rng.random() < self.radio.loss

    def report(self, code: str, now: Moment, clears_at: float = float("inf")) -> list[Said]:
        """Report a fault that only the node itself can see, until `clears_at`."""
        known, self._reports[code] = code in self._reports, clears_at
        return [] if known else [self._report(code, now)]

    def take_back(self, code: str) -> list[Said]:
        """Such a fault is gone."""
        if self._reports.pop(code, None) is None:
            return []
        return [Said(self.topics.fault(self.id, code), b"", retain=True)]

    def overdue(self, now: Moment) -> list[Said]:
        """Take back what has been reported for long enough."""
        return [said for code, at in list(self._reports.items()) if at <= now.mono for said in self.take_back(code)]

    def set_clock(self, offset: timedelta, *, synced: bool, now: Moment) -> list[Said]:
        """Its clock is off by that; without `synced` it knows so."""
        self.offset, self.synced = offset, synced
        return self.take_back("clock") if synced else self.report("clock", now)

    def refuse(self, kind: str, rejected: Rejected, now: Moment) -> list[Said]:
        """Say that something was not obeyed."""
        said = [self._tell(now, kind=kind, result="rejected", reason=rejected.reason)]
        return said + (self.report("security", now, now.mono + SECURITY_CLEARS_S) if rejected.alarming else [])

    # --- what it hears --------------------------------------------------------------------------------------

    def hear(self, topic: str, payload: bytes, now: Moment) -> list[Said]:
        """A message from the broker; what it answers."""
        if topic == self.topics.playlists(self.id):
            return self._document(payload, now)
        if topic == self.topics.command(self.id):
            return self._command(payload, now)
        if topic == self.topics.journal_ack(self.id):
            self._acknowledged(payload)
        return []

    def _document(self, token: bytes, now: Moment) -> list[Said]:
        wall = now.wall + self.offset
        verdict = judge_playlists(token, self._keys, self.id, wall, self._holding, synced=self.synced)
        if isinstance(verdict, Unchanged):
            return []
        if isinstance(verdict, Rejected):
            return self.refuse("playlists", verdict, now)
        self._hold(verdict, token)
        return [self._tell(now, kind="playlists", result="accepted", epoch=verdict.epoch, rev=verdict.rev)]

    def _hold(self, document: PlaylistsDoc, token: bytes) -> None:
        highest = max(self._holding.highest_epoch, document.epoch)
        self._holding = Holding(highest, document.epoch, document.rev, digest_of(token))

    def _command(self, token: bytes, now: Moment) -> list[Said]:
        wall = now.wall + self.offset
        verdict = judge_command(token, self._keys, self.id, wall, self._holding, synced=self.synced)
        if isinstance(verdict, Rejected):
            return self.refuse("command", verdict, now)
        if verdict.id in self._obeyed:
            return []
        self._obeyed.add(verdict.id)
        self._holding = replace(self._holding, highest_epoch=max(self._holding.highest_epoch, verdict.epoch))
        return [self._tell(now, kind="command", id=verdict.id, result="done"), *self._execute(verdict, now)]

    def _execute(self, command: Command, now: Moment) -> list[Said]:
        match command.do:
            case "ping":
                return [self.beat(now)]
            case "rebirth":
                return [self._status(now, "birth")]
            case "log":
                return [self._entry(entry) for entry in self._unacknowledged]
            case "selftest":
                return [self._selftest(command, now), self.beat(now)]
        return []

    def _selftest(self, command: Command, now: Moment) -> Said:
        test = self.parts.selftest(soundless=command.args.get("sound") == "none")
        passed = "passed" if test.passed else "failed"
        return self._tell(
            now, kind="selftest", id=command.id, result=passed, results=dict(test.results), parts=dict(test.parts)
        )

    def _acknowledged(self, payload: bytes) -> None:
        try:
            ack = decode(JournalAck, payload)
        except WireError:
            return
        if ack.log == self._log:
            self._unacknowledged = [entry for entry in self._unacknowledged if entry.n > ack.upto]

    # --- inside ---------------------------------------------------------------------------------------------

    def _status(self, now: Moment, reason: str) -> Said:
        status = Status(
            online=reason == "birth",
            boot=self.boot,
            conn=self._conn,
            at=now.wall + self.offset,
            reason=reason,  # type: ignore[arg-type]
            model="loa-sim-1",
            firmware="1.0.0",
            playlists=self._held(),
        )
        return Said(self.topics.status(self.id), encode(status), retain=True)

    def _held(self) -> Held:
        return Held(self._holding.epoch, self._holding.rev)

    def _metrics(self) -> dict[str, Metric | None]:
        metrics = self.parts.metrics(IDLE)
        if self.radio is not None:
            metrics["rsrp_dbm"], metrics["sinr_db"] = self.radio.rsrp_dbm, self.radio.sinr_db
        return metrics

    def _report(self, code: str, now: Moment) -> Said:
        component = {"security": "identity", "clock": "clock"}.get(code, "storage")
        report = FaultReport(code, component, now.wall + self.offset)
        return Said(self.topics.fault(self.id, code), encode(report), retain=True)

    def _tell(self, now: Moment, **fields: object) -> Said:
        self._n += 1
        entry = JournalEntry(log=self._log, n=self._n, at=now.wall + self.offset, **fields)  # type: ignore[arg-type]
        self._unacknowledged.append(entry)
        return self._entry(entry)

    def _entry(self, entry: JournalEntry) -> Said:
        return Said(self.topics.journal(self.id), encode(entry))


__all__ = ["OF_THE_NODE", "Moment", "Post", "Radio", "Said"]
