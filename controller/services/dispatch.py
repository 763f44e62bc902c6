"""Puts each node's desired state on the broker: revise, sign, publish what differs; orders by command.

The database is the truth, a retained message a cache: whatever a node says that it holds is compared with what it
should hold, and only the difference is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import structlog

from broadcasts.model import Playlist, fingerprint
from broadcasts.timeline import still_needed
from controller.domain.site import Settings
from controller.ports import NOBODY_SUBSCRIBED, AuditRow, Bus, Clock, Desired, Store, Tx
from controller.services.shared import Shared
from controller.wire.messages import (
    Command,
    ControllerStatus,
    EmergencySound,
    JournalAck,
    NodeSettings,
    PlaylistsDoc,
    PlaylistsRef,
    encode,
)
from controller.wire.signing import SigningKey, payload_of, sign
from controller.wire.topics import Topics

log = structlog.get_logger(__name__)

COMMAND_LIFE = timedelta(seconds=30)
ACK_LIFE_S = 60
INLINE_UP_TO = 100_000
"""Bytes of a document that goes over MQTT itself; a longer one is fetched by HTTP."""
RESEND_AFTER_S = 30.0
"""A node that still reports another document this long after it was sent gets it again."""

OVERTAKEN_FOR_S = 900.0
"""So long a node may tell of refusals from before our epoch was raised: its report stands for 10 minutes."""

REVISED_AT_ONCE = 50
"""Nodes whose documents are made before others have a turn."""

Order = Literal["stop", "play", "volume", "selftest", "ping", "rebirth", "log"]


@dataclass(frozen=True, slots=True)
class _Sent:
    version: tuple[int, int]
    mono: float


class Dispatch:
    """One per controller. `revise` and `commit` decide and store; `send` publishes."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        bus: Bus,
        clock: Clock,
        key: SigningKey,
        sounds: Callable[[], tuple[EmergencySound, ...]] = tuple,
        name: str = "",
    ) -> None:
        self._settings = settings
        self._name = name
        self._sounds = sounds
        self._store = store
        self._bus = bus
        self._clock = clock
        self._key = key
        self._topics = Topics(settings.site.mqtt.root)
        self._desired: dict[str, Desired] = {}
        self._documents: dict[str, PlaylistsDoc] = {}
        self._held: dict[str, tuple[int, int]] = {}
        self._sent: dict[str, _Sent] = {}
        self._shared = Shared()
        self._ahead: dict[str, int] = {}
        self._overtaken: frozenset[str] = frozenset()
        self._overtook_at = -math.inf
        self.epoch = 0
        self.revising = asyncio.Lock()
        """Held from `revise` to `adopt`: two successors of one document would bear the same revision, and a node
        that has the one ignores the other."""

    async def start(self) -> None:
        """Take over: raise the epoch and remember what was wanted and held."""

        def work(tx: Tx) -> tuple[int, dict[str, Desired], dict[str, tuple[int, int]]]:
            held = {row.node: (row.held_epoch, row.held_rev) for row in tx.nodes().values()}
            epoch = tx.raise_epoch()
            tx.audit(AuditRow(self._clock.now(), "controller", "started", f"epoch {epoch}"))
            return epoch, tx.desired(), held

        self.epoch, self._desired, self._held = await self._store.transact(work)
        self._documents = {node: self._read(row) for node, row in self._desired.items()}

    def reload(self, settings: Settings) -> None:
        self._settings = settings

    # --- epoch ----------------------------------------------------------------------------------------------

    @property
    def ahead(self) -> Mapping[str, int]:
        """Nodes that hold a document of a later epoch than ours, with it: they refuse whatever we say."""
        return {node: epoch for node, epoch in self._ahead.items() if epoch > self.epoch}

    def refuses_us(self, node: str) -> bool:
        """Whether `node` refuses what we say for its epoch, or did and may still be telling of it."""
        recent = self._clock.monotonic() - self._overtook_at < OVERTAKEN_FOR_S
        return node in self.ahead or (recent and node in self._overtaken)

    def note_epoch(self, node: str, epoch: int) -> None:
        """`node` says, perhaps some time ago, that it holds a document of `epoch`."""
        if epoch > self.epoch:
            self._ahead[node] = epoch

    async def raise_epoch(self, above: int, by: str) -> int:
        """Lead from now on with an epoch higher than `above` too, on the word of `by`."""
        async with self.revising:

            def work(tx: Tx) -> int:
                epoch = tx.raise_epoch(above)
                tx.audit(AuditRow(self._clock.now(), by, "epoch raised", f"from {self.epoch} to {epoch}"))
                return epoch

            behind = frozenset(self.ahead)
            self.epoch = await self._store.transact(work)
        self._overtaken, self._overtook_at = behind, self._clock.monotonic()
        return self.epoch

    def wanted(self, node: str) -> tuple[Playlist, ...]:
        """The playlists that `node` is to hold."""
        document = self._documents.get(node)
        return document.playlists if document else ()

    def documents(self) -> Mapping[str, tuple[Playlist, ...]]:
        """The playlists of every node."""
        return {node: document.playlists for node, document in self._documents.items()}

    @property
    def valid_until(self) -> datetime | None:
        """How far ahead the nodes' documents reach; None before the first."""
        return max((document.valid_until for document in self._documents.values()), default=None)

    def version(self, node: str) -> tuple[int, int]:
        """(epoch, rev) that `node` is to hold; (0, 0) before its first document."""
        desired = self._desired.get(node)
        return (desired.epoch, desired.rev) if desired else (0, 0)

    # --- desired state ---------------------------------------------------------------------------------------

    async def revise(self, playlists: Mapping[str, tuple[Playlist, ...]], valid_until: datetime) -> list[Desired]:
        """New documents for the nodes whose desired state changes; a node that left the network gets an empty one.
        Hold `revising` until they are adopted. Others have a turn in between: signing for 10,000 nodes takes longer
        than a lease may wait for its renewal on a busy machine."""
        now = self._clock.now()
        gone = {node: () for node in self._documents if node not in self._settings.nodes}
        revisions: list[Desired] = []
        for n, (node, held) in enumerate({**playlists, **gone}.items()):
            if n % REVISED_AT_ONCE == 0:
                await asyncio.sleep(0)
            document = self._document(node, held, valid_until)
            if self._differs(document, now):
                revisions.append(self._signed(document, now))
        return revisions

    def adopt(self, revisions: Iterable[Desired]) -> None:
        """These revisions are committed: they are what the nodes should hold."""
        for row in revisions:
            self._desired[row.node] = row
            self._documents[row.node] = self._read(row)

    def _read(self, row: Desired) -> PlaylistsDoc:
        document = payload_of(PlaylistsDoc, row.document)
        playlists = tuple(map(self._shared.one, document.playlists))
        return msgspec.structs.replace(document, playlists=playlists, settings=self._shared.one(document.settings))

    async def send(self, nodes: Collection[str]) -> list[str]:
        """Publish the documents of `nodes`; those that the broker took."""
        await self._renew(nodes)
        rows = [self._desired[node] for node in nodes if node in self._desired]
        outcomes = await asyncio.gather(*(self._publish(row) for row in rows))
        return [row.node for row, taken in zip(rows, outcomes, strict=True) if taken]

    async def _renew(self, nodes: Collection[str]) -> None:
        """Sign again what was made under an earlier epoch: a node that has had an order of this one would refuse it."""
        if not any(self._is_old(node) for node in nodes):
            return
        async with self.revising:
            now = self._clock.now()
            old = [self._documents[node] for node in nodes if self._is_old(node)]
            renewed = [msgspec.structs.replace(one, epoch=self.epoch, rev=one.rev + 1) for one in old]
            revisions = [self._signed(one, now) for one in renewed]
            await self._store.transact(lambda tx: tx.put_desired(revisions))
            self.adopt(revisions)

    def _is_old(self, node: str) -> bool:
        return node in self._desired and self.version(node)[0] < self.epoch

    async def on_bus_up(self) -> list[str]:
        """Say who leads. Returns the nodes that are not known to hold what they should: send it to them."""
        self._sent.clear()  # the broker may have lost what it kept
        await self._say_status(online=True)
        return [node for node in self._desired if self._held.get(node) != self.version(node)]

    async def say_goodbye(self) -> None:
        """Tell whoever watches that this controller ends of its own will."""
        await self._say_status(online=False)

    async def _say_status(self, *, online: bool) -> None:
        status = ControllerStatus(online=online, epoch=self.epoch, at=self._clock.now())
        topic = self._topics.controller_status(self._name or self._settings.site.id)
        await self._bus.publish(topic, encode(status), retain=True)

    def note_held(self, node: str, held: tuple[int, int]) -> bool:
        """`node` reports what it holds; whether that is what it should."""
        self._held[node] = held
        self._ahead.pop(node, None)
        self.note_epoch(node, held[0])
        return held == self.version(node)

    def wants(self, node: str, held: tuple[int, int], *, born: bool = False) -> bool:
        """`node` reports what it holds; whether it is to be sent what it lacks, which is no oftener than it can answer.
        `born`: it has just connected. What the broker has taken since we are connected it keeps, and gives to the node
        now."""
        if self.note_held(node, held) or node not in self._desired:
            return False
        sent, mono = self._sent.get(node), self._clock.monotonic()
        if sent is None or sent.version != self.version(node):
            return True
        if born:
            self._sent[node] = _Sent(sent.version, mono)
        return mono - sent.mono >= RESEND_AFTER_S and not born

    def _document(self, node: str, playlists: tuple[Playlist, ...], valid_until: datetime) -> PlaylistsDoc:
        site = self._settings.site
        return PlaylistsDoc(
            iss=site.id,
            aud=node,
            iat=0,
            exp=math.ceil(valid_until.timestamp()),
            epoch=self.epoch,
            rev=self.version(node)[1] + 1,
            valid_until=valid_until,
            settings=NodeSettings(
                zones=self._settings.zones_of(node),
                volume_max=site.volume_max,
                heartbeat_s=site.heartbeat_s,
                emergency_sounds=self._sounds(),
            ),
            playlists=playlists,
        )

    def _differs(self, document: PlaylistsDoc, now: datetime) -> bool:
        """Whether a node must hear of it: what is over drops out with the next change, not as one."""
        held = self._documents.get(document.aud)
        if held is None:
            return True
        before = tuple(one for one in held.playlists if still_needed(one, now))
        after = tuple(one for one in document.playlists if still_needed(one, now))
        return (before, held.settings, held.valid_until) != (after, document.settings, document.valid_until)

    def _signed(self, document: PlaylistsDoc, now: datetime) -> Desired:
        content = fingerprint((document.settings, document.playlists))
        dated = msgspec.structs.replace(document, iat=int(now.timestamp()))
        return Desired(
            node=document.aud,
            epoch=document.epoch,
            rev=document.rev,
            content=content,
            document=sign(dated, self._key),
            made_at=now,
            valid_until=document.valid_until,
        )

    async def _publish(self, row: Desired) -> bool:
        expiry = (row.valid_until - self._clock.now()).total_seconds()
        if expiry <= 0:
            return False
        outcome = await self._bus.publish(
            self._topics.playlists(row.node), self._payload(row), retain=True, expiry_s=int(expiry), bulk=True
        )
        if outcome not in ("", NOBODY_SUBSCRIBED):
            log.warning("playlists not published", node=row.node, rev=row.rev, reason=outcome)
            return False
        self._sent[row.node] = _Sent((row.epoch, row.rev), self._clock.monotonic())
        return True

    def _payload(self, row: Desired) -> bytes:
        """What goes over MQTT: the document, or where to fetch it if it is long."""
        if len(row.document) <= INLINE_UP_TO:
            return row.document
        name = _name(row)
        ref = PlaylistsRef(url=f"/media/{name}.jws", sha256=name)
        whole = self._documents[row.node]
        return sign(msgspec.structs.replace(whole, playlists=(), settings=NodeSettings(), ref=ref), self._key)

    def document(self, node: str, sha256: str) -> bytes | None:
        """The document of `node` that a `ref` named; None if it is not (or no longer) its newest here."""
        row = self._desired.get(node)
        return row.document if row is not None and _name(row) == sha256 else None

    async def published_document(self, node: str, sha256: str) -> bytes | None:
        """As `document`, also while another controller leads: nodes may ask this one, whose memory then knows nothing,
        or what was wanted in its own last term."""
        if (here := self.document(node, sha256)) is not None:
            return here
        row = await self._store.read(lambda tx: tx.desired_of(node))
        return row.document if row is not None and _name(row) == sha256 else None

    # --- orders ---------------------------------------------------------------------------------------------

    async def order(self, node: str, do: Order, args: Mapping[str, Any] | None = None) -> str:
        """Send one order; empty when the node's connection took it, else the reason."""
        now = self._clock.now()
        until = now + COMMAND_LIFE
        command = Command(
            iss=self._settings.site.id,
            aud=node,
            iat=int(now.timestamp()),
            exp=math.ceil(until.timestamp()),
            epoch=self.epoch,
            id=f"{do}-{secrets.token_hex(6)}",
            do=do,
            args=dict(args or {}),
            not_after=until,
        )
        life = int(COMMAND_LIFE.total_seconds())
        return await self._bus.publish(self._topics.command(node), sign(command, self._key), expiry_s=life)

    async def acknowledge(self, upto: Mapping[tuple[str, str], int]) -> None:
        """Tell nodes how far their logs are stored: node, log -> n."""
        await asyncio.gather(
            *(
                self._bus.publish(
                    self._topics.journal_ack(node), encode(JournalAck(log=name, upto=n)), expiry_s=ACK_LIFE_S
                )
                for (node, name), n in upto.items()
            )
        )


def _name(row: Desired) -> str:
    return hashlib.sha256(row.document).hexdigest()
