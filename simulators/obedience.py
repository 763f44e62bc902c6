"""What a node does with what it is told: documents, emergencies, commands. Who may tell is decided in trust."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from broadcasts import typed
from broadcasts.model import Playlist, assets_of
from controller.wire.messages import (
    Command,
    JournalKind,
    NodeSettings,
    PlaylistsDoc,
    PlaylistsRef,
)
from controller.wire.signing import load_keys
from simulators.media import FETCH_ERRORS, Want
from simulators.speaker import Alarm, Ordered, Planned, Stop, Volume
from simulators.trust import (
    NEVER_EXPIRED,
    Holding,
    Rejected,
    Unchanged,
    digest_of,
    judge_command,
    judge_emergency,
    judge_playlists,
)

if TYPE_CHECKING:
    from simulators.agent import Node

LONGEST_REASON = 190


class Refusal(ValueError):
    """An order that is not carried out; the text is the reason in the journal."""


class Obedience:
    """One node's obedience: which document it holds, which keys it trusts, what it has been ordered."""

    def __init__(self, node: Node, keys: tuple[dict[str, str], ...]) -> None:
        self._node = node
        self._keys = load_keys(keys)
        self.holding = Holding()
        self.settings = NodeSettings()
        self.zones: tuple[str, ...] = ("all",)
        self.sounds: frozenset[str] = frozenset()
        self._document: PlaylistsDoc | None = None

    def trust(self, keys: tuple[dict[str, str], ...]) -> None:
        """Trust these keys from now on. Raises WireError when they are not keys."""
        self._keys = load_keys(keys)

    # --- documents ------------------------------------------------------------------------------------------

    def recall(self, token: bytes) -> None:
        """Hold again what was held before a boot; its age is judged by its own dates, not refused."""
        self.holding = Holding(highest_epoch=self._node.memory.known.epoch)
        verdict = judge_playlists(token, self._keys, self._node.id, NEVER_EXPIRED, Holding())
        if isinstance(verdict, PlaylistsDoc):
            self._hold(verdict, token)

    def _judge(self, token: bytes) -> PlaylistsDoc | Unchanged | Rejected:
        node = self._node
        return judge_playlists(token, self._keys, node.id, node.now(), self.holding, synced=node.synced)

    def on_playlists(self, token: bytes, *, retained: bool = False) -> None:
        """A document came. `retained`: the broker kept it, and nobody is sending it now."""
        verdict = self._judge(token)
        match verdict:
            case Unchanged():
                pass
            case Rejected():
                self._reject("playlists", _kept(verdict) if retained else verdict)
            case PlaylistsDoc(ref=PlaylistsRef() as ref):
                self._node.timers.spawn(self._fetch_document(ref), f"document of {self._node.id}")
            case PlaylistsDoc():
                self._accept(verdict, token)

    async def _fetch_document(self, ref: PlaylistsRef) -> None:
        """A document too long for the broker: the same rules hold for what lies at the reference."""
        try:
            token = await self._node.assets.fetch_document(ref.url)
        except FETCH_ERRORS as error:
            self._reject("playlists", Rejected("unreachable", alarming=False, detail=str(error)))
            return
        if digest_of(token) != ref.sha256:
            self._reject("playlists", Rejected("hash", alarming=True, detail=ref.url))
            return
        verdict = self._judge(token)
        if isinstance(verdict, PlaylistsDoc) and verdict.ref is not None:
            verdict = Rejected("malformed", alarming=True, detail="a reference to a reference")
        if isinstance(verdict, Rejected):
            self._reject("playlists", verdict)
        elif isinstance(verdict, PlaylistsDoc):
            self._accept(verdict, token)

    def _accept(self, document: PlaylistsDoc, token: bytes) -> None:
        before = self._document
        self._hold(document, token)
        written = self._node.memory.hold(token)
        written.add_done_callback(lambda done: self._accepted(document, done))
        self._tell_held(document, before)

    def _accepted(self, document: PlaylistsDoc, written: asyncio.Future[None]) -> None:
        """Only what is on the disk is accepted."""
        if written.cancelled() or not self._node.powered:
            return
        if written.exception() is not None:
            self._reject("playlists", Rejected("storage", False, epoch=document.epoch, rev=document.rev))
            return
        self._node.tell("playlists", result="accepted", epoch=document.epoch, rev=document.rev)

    def _hold(self, document: PlaylistsDoc, token: bytes) -> None:
        self._seen(document.epoch)
        self.holding = replace(self.holding, epoch=document.epoch, rev=document.rev, digest=digest_of(token))
        self._document = document
        self._apply_settings(document.settings)
        until = min(document.valid_until, datetime.fromtimestamp(document.exp, tz=UTC))
        self._node.step(Planned(document.playlists, until, document.settings.volume_max))
        self.want()

    def _tell_held(self, document: PlaylistsDoc, before: PlaylistsDoc | None) -> None:
        """New playlists may need nothing that is not there already: say so, as if it had just come."""
        known = {playlist.id for playlist in before.playlists} if before else set()
        told: dict[str, str] = {}
        for playlist in document.playlists:
            if playlist.id not in known:
                for asset in (asset for track in playlist.tracks for asset in assets_of(track)):
                    if asset.sha256 in self._node.assets.held:
                        told.setdefault(asset.sha256, playlist.id)
        for sha256, first in told.items():
            self._node.tell("prefetched", playlist=first, sha256=sha256)

    def _apply_settings(self, settings: NodeSettings) -> None:
        before, self.settings = self.settings, settings
        zones = tuple(dict.fromkeys(("all", *settings.zones)))
        topic, link = self._node.topics.emergency, self._node.link
        link.unsubscribe([topic(zone) for zone in self.zones if zone not in zones])
        link.subscribe([topic(zone) for zone in zones if zone not in self.zones])
        self.zones = zones
        self.sounds = frozenset(sound.sha256 for sound in settings.emergency_sounds)
        if settings.heartbeat_s != before.heartbeat_s:
            self._node.vitals.schedule(first=True)

    def want(self) -> None:
        """Tell the prefetcher what is needed now, emergency sounds first."""
        wanted = {sound.sha256: Want(sound.sha256, sound.url, 0, None) for sound in self.settings.emergency_sounds}
        for sha256, (start, track) in self._node.speaker.needed().items():
            wanted.setdefault(sha256, Want(sha256, track.url, track.bytes, start))
        self._node.assets.want(wanted)

    # --- emergencies ----------------------------------------------------------------------------------------

    def on_emergency(self, zone: str, token: bytes, *, retained: bool = False) -> None:
        """An emergency state of a zone came. A retained one that is past is no news."""
        if zone not in self.zones:
            return
        node = self._node
        verdict = judge_emergency(token, self._keys, zone, node.now(), self.holding, synced=node.synced)
        if isinstance(verdict, Rejected):
            if verdict.reason != "expired":
                self._reject("emergency", _kept(verdict) if retained else verdict)
            return
        self._seen(verdict.epoch)
        node.step(Alarm(verdict))
        self.want()

    def _seen(self, epoch: int) -> None:
        """The highest epoch of anything accepted is remembered; what speaks with a lower one is a replay."""
        if epoch > self.holding.highest_epoch:
            self.holding = replace(self.holding, highest_epoch=epoch)
            self._node.note_written(self._node.memory.remember_epoch(epoch))

    # --- commands -------------------------------------------------------------------------------------------

    def on_command(self, token: bytes) -> None:
        """An order came: carried out once by its id, and answered."""
        node = self._node
        verdict = judge_command(token, self._keys, node.id, node.now(), self.holding, synced=node.synced)
        if isinstance(verdict, Rejected):
            self._reject("command", verdict)
            return
        self._seen(verdict.epoch)
        if verdict.id in node.memory.known.commands:
            return
        node.note_written(node.memory.remember_command(verdict.id))
        try:
            if node.now() > verdict.not_after:
                raise Refusal("expired")
            self._execute(verdict)
        except Refusal as refusal:
            node.tell("command", id=verdict.id, result="rejected", reason=str(refusal)[:LONGEST_REASON])
        else:
            node.tell("command", id=verdict.id, result="done")

    def _execute(self, command: Command) -> None:
        node = self._node
        match command.do:
            case "ping":
                node.vitals.beat()
            case "rebirth":
                node.announce()
            case "log":
                node.courier.rewind()
            case "selftest":
                soundless = command.args.get("sound") == "none"
                node.timers.spawn(node.selftest(command.id, soundless=soundless), f"selftest of {node.id}")
            case "stop":
                node.step(Stop(_playlist_id(command.args)))
            case "volume":
                node.step(Volume(_volume(command.args)))
            case "play":
                self._play(command)

    def _play(self, command: Command) -> None:
        try:
            playlist = typed.convert(command.args.get("playlist"), Playlist)
        except msgspec.ValidationError as error:
            raise Refusal(f"not a playlist: {error}") from None
        self._node.note_written(self._node.memory.remember_ordered(playlist))
        self._node.step(Ordered(playlist))
        self.want()

    def _reject(self, kind: JournalKind, verdict: Rejected) -> None:
        self._node.tell(kind, result="rejected", reason=verdict.reason, epoch=verdict.epoch, rev=verdict.rev)
        if verdict.alarming:
            evidence = {"reason": verdict.reason, "message": kind, "detail": verdict.detail[:LONGEST_REASON]}
            self._node.vitals.alarm(evidence)


def _kept(verdict: Rejected) -> Rejected:
    """Of what a broker kept an old epoch is no attack: one that was killed has again what it had minutes before."""
    return replace(verdict, alarming=False) if verdict.reason == "epoch" else verdict


def _playlist_id(args: Mapping[str, object]) -> str | None:
    value = args.get("playlist")
    if value is not None and not isinstance(value, str):
        raise Refusal("playlist is not an id")
    return value


def _volume(args: Mapping[str, object]) -> int:
    level = args.get("volume")
    if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 100:
        raise Refusal("volume is not a number from 0 to 100")
    return level
