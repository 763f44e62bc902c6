"""Whom a node obeys: the rules of the protocol for signed messages, as pure decisions with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from controller.wire.messages import MAX_DOCUMENT, Command, Emergency, PlaylistsDoc
from controller.wire.signing import Refused, meant_for, opened, verify

Keys = Mapping[str, Ed25519PublicKey]


NEVER_EXPIRED = datetime.min.replace(tzinfo=UTC)
"""The time by which nothing has expired: what a node without a trusted clock must take it for."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a node remembers: the highest epoch of anything it accepted, and the document it holds."""

    highest_epoch: int = 0
    epoch: int = 0
    rev: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not obeyed. `alarming`: raises fault `security`. `epoch` and `rev` only where the signature held."""

    reason: str
    alarming: bool
    detail: str = ""
    epoch: int | None = None
    rev: int | None = None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The very document that is held, delivered again: nothing to do and nothing to say."""


def digest_of(token: bytes) -> str:
    """SHA-256 of a signed message as it came."""
    return hashlib.sha256(token).hexdigest()


def judge_playlists(
    token: bytes, keys: Keys, node: str, now: datetime, holding: Holding, *, synced: bool = True
) -> PlaylistsDoc | Unchanged | Rejected:
    """Whether `token` becomes the node's desired state. `synced`: whether `now` can be trusted."""
    if holding.digest and digest_of(token) == holding.digest:
        return Unchanged()
    try:
        document = verify(PlaylistsDoc, token, keys, audience=(node,), now=now, limit=MAX_DOCUMENT)
    except Refused as refused:
        return Rejected(refused.reason, alarming=synced or refused.reason != "expired", detail=refused.detail)
    if (document.epoch, document.rev) == (holding.epoch, holding.rev):
        return Unchanged()
    if document.epoch < holding.highest_epoch:
        return Rejected("epoch", True, f"highest was {holding.highest_epoch}", document.epoch, document.rev)
    if (document.epoch, document.rev) < (holding.epoch, holding.rev):
        return Rejected("older", False, f"holds {holding.epoch}.{holding.rev}", document.epoch, document.rev)
    return document


def judge_command(
    token: bytes, keys: Keys, node: str, now: datetime, holding: Holding, *, synced: bool = True
) -> Command | Rejected:
    """Whether `token` is an order for this node; `not_after` and the id are the node's next question."""
    try:
        command = verify(Command, token, keys, audience=(node,), now=now)
    except Refused as refused:
        return Rejected(refused.reason, alarming=synced or refused.reason != "expired", detail=refused.detail)
    if command.epoch < holding.highest_epoch:
        return Rejected("epoch", True, f"highest was {holding.highest_epoch}", command.epoch)
    return command


def judge_emergency(
    token: bytes, keys: Keys, zone: str, now: datetime, holding: Holding, *, synced: bool = True
) -> Emergency | Rejected:
    """Whether `token` is an emergency state of `zone`.

    Without a trusted clock nothing has expired: rather a warning too late than none. A retained state may
    outlive its `exp` by a moment on the broker: that is staleness, not an attack.
    """
    by = now if synced else NEVER_EXPIRED
    try:
        emergency = _opened(token, tuple((kid, key.public_bytes_raw()) for kid, key in keys.items()))
        meant_for(emergency, (f"zone:{zone}",), by)
    except Refused as refused:
        return Rejected(refused.reason, alarming=refused.reason != "expired", detail=refused.detail)
    if emergency.epoch < holding.highest_epoch:
        return Rejected("epoch", True, f"highest was {holding.highest_epoch}", emergency.epoch)
    return emergency


@lru_cache(maxsize=64)
def _opened(token: bytes, keys: tuple[tuple[str, bytes], ...]) -> Emergency:
    """One signed state goes to all nodes of a zone. Nodes of one process that trust the same keys check it once: the
    signature of each would be checked on its own processor, and here they all share one."""
    return opened(Emergency, token, {kid: Ed25519PublicKey.from_public_bytes(raw) for kid, raw in keys})
