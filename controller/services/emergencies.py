"""Emergencies: render, write down, sign, publish; keep the broker's copy right until the last node must have heard.

An emergency is a state, not an order. The database is the truth: whatever the broker forgot is published again at
every connect, and what a node that was away missed is told to its zone when it is back.
"""

from __future__ import annotations

import asyncio
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

import structlog

from broadcasts.model import File, Rendered, Say
from broadcasts.timeline import occurrence_id
from controller.domain.emergencies import (
    Answer,
    AnswerState,
    Change,
    EmergencyRow,
    EmergencyState,
    Said,
    Step,
    answered,
    meant,
    moved,
    next_deadline,
    slot,
)
from controller.domain.site import Settings
from controller.ports import NOBODY_SUBSCRIBED, AuditRow, Bus, Clock, Handed, Library, Store, StoreError, Timer, Tx
from controller.services.changes import Changes
from controller.services.sounds import Sounds, alarm_items
from controller.wire.messages import Emergency, Heartbeat, JournalEntry, Repeat
from controller.wire.signing import SigningKey, sign
from controller.wire.topics import Topics

log = structlog.get_logger(__name__)

TOPIC = "emergencies"
"""What watchers of changes are told."""

AGAIN = timedelta(seconds=5)
"""When the database or the broker could not take something."""
RETELL_EVERY_S = 2.0
"""What some node missed is told to its zone at most this often, however many come back at once."""
NAME_OF_A_TEXT = "khan-cap"


def _unasked(_left_at: float) -> None:
    """Urgent like every emergency, and nobody wants to know when it left."""


@dataclass(frozen=True, slots=True)
class Message:
    """What an emergency says: exactly one of a text, a file of this machine (absolute path), a held sound's name."""

    text: str = ""
    path: str = ""
    sound: str = ""
    voice: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """How it says it: for how long nodes may begin it, how often each sounds it, with which gap, how loud."""

    life: timedelta = timedelta(minutes=10)
    times: int = 3
    gap_ms: int = 5000
    volume: int = 100


@dataclass(frozen=True, slots=True)
class Amendment:
    """What of a running emergency changes; None stays as it is. `life` counts from now."""

    message: Message | None = None
    life: timedelta | None = None
    times: int | None = None
    gap_ms: int | None = None
    volume: int | None = None


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    rendered: Rendered


class Emergencies:
    """ValueError says what cannot be ordered, KeyError that there is no such emergency, AudioRefused what cannot be
    played. Orders return `{"id", "rev", "active", "nodes", "not_after", "handed_ms", "unpublished": {zone: reason},
    "warnings"}`; `handed_ms`: from its being stored until it had left for the broker in every zone, else None."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        bus: Bus,
        clock: Clock,
        timer: Timer,
        library: Library,
        sounds: Sounds,
        key: SigningKey,
        epoch: Callable[[], int],
        changes: Changes,
    ) -> None:
        self._settings = settings
        self._store = store
        self._bus = bus
        self._clock = clock
        self._timer = timer
        self._library = library
        self._sounds = sounds
        self._key = key
        self._epoch = epoch
        self._changes = changes
        self._topics = Topics(settings.site.mqtt.root)
        self._current: dict[str, EmergencyRow] = {}
        self._one_at_a_time = asyncio.Lock()
        self._retold: dict[str, float] = {}

    async def start(self) -> None:
        """Remember what is going on; it is published when the broker is there."""
        rows = await self._store.read(lambda tx: tx.current_emergencies())
        for id in list(self._current):
            self._sounds.let_go(id)
        self._current.clear()
        for row in rows:
            self._adopt(row)
        if rows:
            self._timer.at("emergencies", self._clock.now(), self._due)

    def reload(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def current(self) -> Mapping[str, EmergencyRow]:
        """Everything that the broker may keep something of, by id."""
        return self._current

    # --- orders ---------------------------------------------------------------------------------------------

    async def sound(
        self, message: Message, to: Sequence[str], manner: Manner, *, drill: bool = False, by: str = "?"
    ) -> dict[str, Any]:
        """Begin an emergency in the zones `to`, at once."""
        zones = self._zones(to)
        words = await self._words(message, drill)
        async with self._one_at_a_time:
            row = self._new(message, words, zones, manner, drill, by)
            row = await self._store.transact(lambda tx: _insert(tx, row), ahead=True)
            return await self._told(row, words.rendered.warnings)

    async def update(self, id: str, amendment: Amendment, by: str = "?") -> dict[str, Any]:
        """Say something else, longer, louder; only while it is active."""
        before = self._known(id)
        words = await self._words(amendment.message, before.drill) if amendment.message else None
        async with self._one_at_a_time:
            now = self._clock.now()
            row = _amended(moved(self._known(id), Step.UPDATED, now, by), amendment, words, now)
            await self._commit(row, by, "emergency updated")
            return await self._told(row, words.rendered.warnings if words else ())

    async def end(self, id: str, by: str = "?") -> dict[str, Any]:
        """Take it back: every node is silent as soon as it hears of it, and no node begins it any more."""
        async with self._one_at_a_time:
            row = moved(self._known(id), Step.ENDED, self._clock.now(), by)
            await self._commit(row, by, "emergency ended")
            return await self._told(row)

    def _known(self, id: str) -> EmergencyRow:
        """By its id or, when only one active one is meant, by the beginning of it."""
        if id in self._current:
            return self._current[id]
        begun = [row for row in self._current.values() if row.active and row.id.startswith(f"{id}@")]
        if len(begun) == 1:
            return begun[0]
        active = ", ".join(sorted(row.id for row in self._current.values() if row.active)) or "none"
        raise KeyError(f"no emergency '{id}' is going on (active: {active})")

    def _zones(self, to: Sequence[str]) -> tuple[str, ...]:
        for name in to:
            if name in self._settings.zones:
                continue
            if name in self._settings.nodes:
                inside = ", ".join(self._settings.zones_of(name))
                raise ValueError(f"an emergency is for a zone, and '{name}' is one node; its zones: {inside}")
            near = difflib.get_close_matches(name, self._settings.zones, n=1)
            raise ValueError(f"unknown commune or zone '{name}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
        if not self._settings.targets(to):
            raise ValueError(f"no node in {', '.join(to) or 'nothing'}")
        return tuple(dict.fromkeys(to))

    async def _words(self, message: Message, drill: bool) -> _Words:
        """Rendered, from what is held where it can be: this is what the first sample waits for."""
        if [bool(message.text.strip()), bool(message.path), bool(message.sound)].count(True) != 1:
            raise ValueError("say what: one of a text, a file, the name of a held sound")
        if message.sound:
            return await self._held(message.sound, drill)
        if message.path and not PurePath(message.path).is_absolute():
            raise ValueError(f"not an absolute path: {message.path!r}")
        voice = message.voice or self._settings.site.studio.voice
        said = File(message.path) if message.path else Say(message.text, voice)
        title = PurePath(message.path).name if message.path else message.text
        return _Words(_short(title), await self._library.render(alarm_items(said, drill=drill)))

    async def _held(self, name: str, drill: bool) -> _Words:
        known = {sound.name: sound for sound in self._settings.site.emergency_sounds}
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else f": {', '.join(known) or 'none is configured'}"
            raise ValueError(f"no emergency sound is called '{name}'{hint}")
        message = known[name].message
        rendered = self._sounds.held(name, drill=drill)
        if rendered is None:  # still being prepared, or refused then
            rendered = await self._library.render(alarm_items(message, drill=drill))
        return _Words(_short(message.text) if isinstance(message, Say) else PurePath(message.path).name, rendered)

    def _new(
        self, message: Message, words: _Words, zones: tuple[str, ...], manner: Manner, drill: bool, by: str
    ) -> EmergencyRow:
        now = self._clock.now()
        local = now.astimezone(self._settings.site.zone).replace(tzinfo=None, microsecond=0)
        until = now + manner.life
        return EmergencyRow(
            id=occurrence_id(message.sound or NAME_OF_A_TEXT, local),
            rev=1,
            words_rev=1,
            title=words.title,
            zones=zones,
            nodes=self._settings.targets(zones),
            drill=drill,
            volume=manner.volume,
            times=manner.times,
            gap_ms=manner.gap_ms,
            tracks=words.rendered.tracks,
            state=EmergencyState.ACTIVE,
            ordered_at=now,
            ordered_by=by,
            changed_at=now,
            not_after=until,
            retained_until=until,
            history=(Change(1, now, Step.ORDERED, by),),
        )

    async def _commit(self, row: EmergencyRow, by: str, what: str) -> None:
        def work(tx: Tx) -> None:
            tx.put_emergency(row)
            tx.audit(AuditRow(row.changed_at, by, what, f"{row.id} rev {row.rev}"))

        await self._store.transact(work, ahead=True)

    async def _told(self, row: EmergencyRow, warnings: Sequence[str] = ()) -> dict[str, Any]:
        """It is committed: tell the nodes, and the caller what came of that."""
        accepted = self._clock.monotonic()
        self._adopt(row)
        left: list[float] = []
        unpublished = await self._tell(row, left.append)
        self._arm()
        log.warning(
            "emergency", id=row.id, rev=row.rev, state=row.state.value, drill=row.drill, zones=row.zones, **unpublished
        )
        self._changes.notify(TOPIC)
        return {
            "id": row.id,
            "rev": row.rev,
            "active": row.active,
            "nodes": list(row.nodes),
            "not_after": row.not_after.isoformat(),
            "handed_ms": round((max(left) - accepted) * 1000, 1) if left else None,
            "unpublished": unpublished,
            "warnings": list(warnings),
        }

    def _adopt(self, row: EmergencyRow) -> None:
        if row.cleared:
            self._current.pop(row.id, None)
            self._sounds.let_go(row.id)
        else:
            self._current[row.id] = row
            self._sounds.keep(row.id, row.tracks)

    # --- what the broker keeps ------------------------------------------------------------------------------

    async def _tell(self, row: EmergencyRow, handed: Handed = _unasked) -> dict[str, str]:
        """Publish `row` in its zones; reasons by zone where that failed. Where another one is to be kept by the
        broker, nodes that are there hear of `row` and the broker keeps the other."""
        now = self._clock.now()
        outcomes = await asyncio.gather(*(self._tell_zone(row, zone, now, handed) for zone in row.zones))
        return {zone: why for zone, why in zip(row.zones, outcomes, strict=True) if why}

    async def _tell_zone(self, row: EmergencyRow, zone: str, now: datetime, handed: Handed) -> str:
        kept = slot(self._current.values(), zone, now)
        if kept is None or kept.id == row.id:
            return await self._publish(row, zone, now, handed, retain=True)
        unpublished = await self._publish(row, zone, now, handed, retain=False)
        return unpublished or await self._publish(kept, zone, now, handed, retain=True)

    async def _publish(self, row: EmergencyRow, zone: str, now: datetime, handed: Handed, *, retain: bool) -> str:
        token = sign(self._state(row, zone), self._key)
        expiry = max(1, math.ceil((row.retained_until - now).total_seconds()))
        topic = self._topics.emergency(zone)
        outcome = await self._bus.publish(topic, token, retain=retain, expiry_s=expiry, handed=handed)
        return "" if outcome == NOBODY_SUBSCRIBED else outcome

    def _state(self, row: EmergencyRow, zone: str) -> Emergency:
        """As nodes read it. `iat` stays what it was when ordered: nodes rank emergencies by it. `exp` is the last
        moment at which a node can hold any revision as active: an end must not expire before that."""
        return Emergency(
            iss=self._settings.site.id,
            aud=f"zone:{zone}",
            iat=int(row.ordered_at.timestamp()),
            exp=math.ceil(row.retained_until.timestamp()),
            epoch=self._epoch(),
            id=row.id,
            rev=row.rev,
            active=row.active,
            not_after=row.not_after,
            drill=row.drill,
            volume=row.volume,
            repeat=Repeat(row.times, row.gap_ms),
            tracks=row.tracks if row.active else (),
        )

    async def on_bus_up(self) -> None:
        """Connected: the broker may have lost, or brought back, anything."""
        async with self._one_at_a_time:
            await self._restore(self._current.values())

    async def _restore(self, rows: Iterable[EmergencyRow]) -> bool:
        """Have the broker keep what it should in every zone of `rows`; whether it took all of it."""
        now = self._clock.now()
        zones = sorted({zone for row in rows for zone in row.zones})
        outcomes = await asyncio.gather(*(self._restore_zone(zone, now) for zone in zones))
        return not any(outcomes)

    async def _restore_zone(self, zone: str, now: datetime) -> str:
        kept = slot(self._current.values(), zone, now)
        if kept is not None:
            return await self._publish(kept, zone, now, _unasked, retain=True)
        outcome = await self._bus.publish(self._topics.emergency(zone), b"", retain=True, handed=_unasked)
        return "" if outcome == NOBODY_SUBSCRIBED else outcome

    # --- what nodes say -------------------------------------------------------------------------------------

    async def on_birth(self, node: str) -> None:
        """`node` is there again. The broker gave it one state for each zone; if there are more, tell them too."""
        now = self._clock.now()
        mine = [row for row in self._current.values() if node in row.nodes and row.retained_until > now]
        if len(mine) > 1:
            await self._retell(mine)

    async def on_heartbeats(self, batch: Sequence[tuple[str, Heartbeat]]) -> None:
        """A node that still sounds what is over has missed its end."""
        said = {(node, heartbeat.playing.id) for node, heartbeat in batch if heartbeat.playing}
        over = [self._current[id] for _, id in said if id in self._current and not self._current[id].active]
        if over:
            await self._retell(over)

    async def _retell(self, rows: Sequence[EmergencyRow]) -> None:
        mono = self._clock.monotonic()
        for row in {row.id: row for row in rows}.values():
            if mono - self._retold.get(row.id, -RETELL_EVERY_S) < RETELL_EVERY_S:
                self._timer.at(
                    f"retell:{row.id}", self._clock.now() + timedelta(seconds=RETELL_EVERY_S), self._again(row.id)
                )
                continue
            self._retold[row.id] = mono
            await self._tell(row)

    def _again(self, id: str) -> Callable[[], Any]:
        async def call() -> None:
            if row := self._current.get(id):
                self._retold[id] = self._clock.monotonic()
                await self._tell(row)

        return call

    # --- time -----------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        when = next_deadline(self._current.values(), self._clock.now())
        if when is not None:
            self._timer.at("emergencies", when, self._due)

    async def _due(self) -> None:
        """Something ran out: time to answer, to sound, or to be kept by the broker."""
        async with self._one_at_a_time:
            try:
                await self._expire()
                await self._clear()
            except StoreError as error:
                log.error("emergency not brought up to date; trying again", reason=str(error))
                self._timer.at("emergencies", self._clock.now() + AGAIN, self._due)
                return
        self._changes.notify(TOPIC)

    async def _expire(self) -> None:
        now = self._clock.now()
        for row in [row for row in self._current.values() if row.active and row.not_after <= now]:
            expired = moved(row, Step.EXPIRED, now)
            await self._store.transact(lambda tx, expired=expired: tx.put_emergency(expired))  # type: ignore[misc]
            self._adopt(expired)
            log.info("emergency expired", id=row.id)

    async def _clear(self) -> None:
        """Nobody can hold these as active any more: the broker need not keep them. Until it said so, try again."""
        now = self._clock.now()
        past = [row for row in self._current.values() if row.retained_until <= now]
        if past and not await self._restore(past):
            self._timer.at("emergencies", now + AGAIN, self._due)
            return
        for row in past:
            cleared = replace(row, cleared=True)
            await self._store.transact(lambda tx, cleared=cleared: tx.put_emergency(cleared))  # type: ignore[misc]
            self._adopt(cleared)
            self._retold.pop(row.id, None)
        self._arm()


def _insert(tx: Tx, row: EmergencyRow) -> EmergencyRow:
    """Store a new emergency under an id that no node can have heard of."""
    n, id = 1, row.id
    while tx.emergency(id) is not None:
        n, id = n + 1, f"{row.id}-{n + 1}"
    row = replace(row, id=id)
    tx.put_emergency(row)
    kind = "drill ordered" if row.drill else "emergency ordered"
    tx.audit(AuditRow(row.ordered_at, row.ordered_by, kind, f"{id} to {', '.join(row.zones)}: {row.title}"))
    return row


def _amended(row: EmergencyRow, amendment: Amendment, words: _Words | None, now: datetime) -> EmergencyRow:
    """`row`, whose revision is new already, with what changes; nodes begin anew when words or repeats change."""
    until = row.not_after if amendment.life is None else now + amendment.life
    changed = replace(
        row,
        title=words.title if words else row.title,
        tracks=words.rendered.tracks if words else row.tracks,
        times=row.times if amendment.times is None else amendment.times,
        gap_ms=row.gap_ms if amendment.gap_ms is None else amendment.gap_ms,
        volume=row.volume if amendment.volume is None else amendment.volume,
        not_after=until,
        retained_until=max(row.retained_until, until),
    )
    anew = (changed.tracks, changed.times, changed.gap_ms) != (row.tracks, row.times, row.gap_ms)
    return replace(changed, words_rev=row.rev) if anew else changed


def _short(text: str) -> str:
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= 90 else f"{line[:87]}..."


# --- what nodes answer, in the transaction that stores their journals ------------------------------------------


def record_answers(tx: Tx, entries: Sequence[tuple[str, JournalEntry]]) -> bool:
    """Write down what new journal entries say of emergencies; whether any did."""
    said = [one for node, entry in entries if (one := _said(node, entry))]
    if not said:
        return False
    rows = tx.current_emergencies()
    unknown = {one.emergency for one in said if one.emergency} - {row.id for row in rows}
    rows += [row for id in sorted(unknown) if (row := tx.emergency(id))]
    known = {(one.emergency, one.node): one for one in _answers(tx, rows, said)}
    changed: dict[tuple[str, str], Answer] = {}
    for one in said:
        row = meant(rows, one)
        if row is None:
            continue
        key = (row.id, one.node)
        answer = answered(known.get(key), row, one)
        if answer is not None:
            known[key] = changed[key] = answer
    tx.put_answers(changed.values())
    return bool(changed)


def _answers(tx: Tx, rows: Iterable[EmergencyRow], said: Sequence[Said]) -> list[Answer]:
    """What is known already of those that speak, of the emergencies they speak of: all, if one names none."""
    named = {one.emergency for one in said}
    ids = [row.id for row in rows if "" in named or row.id in named]
    return tx.answers(ids, {one.node for one in said})


def _said(node: str, entry: JournalEntry) -> Said | None:
    match entry.kind, entry.result:
        case "emergency", "started":
            return Said(node, AnswerState.SOUNDING, entry.at, entry.id or "", entry.rev or 0)
        case "emergency", "ended":
            return Said(node, AnswerState.ENDED, entry.at, entry.id or "", entry.rev or 0)
        case "emergency", "rejected":
            return Said(node, AnswerState.REFUSED, entry.at, entry.id or "", entry.rev or 0, entry.reason or "?")
        case "failed", _ if entry.playlist:
            return Said(node, AnswerState.REFUSED, entry.at, entry.playlist, 0, entry.reason or "?")
        case _:
            return None


__all__ = ["TOPIC", "Amendment", "Emergencies", "Manner", "Message", "record_answers"]
