"""JWS compact with Ed25519 for everything a node obeys.

Header `{"alg": "EdDSA", "kid": ..., "typ": "loa-..."}`. `verify` checks what holds for every node alike
(signature, algorithm, key, type, audience, expiry); epoch and revision are the node's own memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from controller.wire.messages import (
    MAX_DOCUMENT,
    MAX_PAYLOAD,
    Claims,
    Command,
    Emergency,
    PlaylistsDoc,
    WireError,
    decode,
    encode,
)

TYP: dict[type[Claims], str] = {
    PlaylistsDoc: "loa-playlists",
    Command: "loa-command",
    Emergency: "loa-emergency",
}

S = TypeVar("S", bound=Claims)

_jws = jwt.PyJWS(algorithms=["EdDSA"])


class Refused(ValueError):
    """A signed message that must not be obeyed. `reason` is one of REASONS, `detail` is for people."""

    REASONS = (
        "malformed",
        "algorithm",
        "unknown-key",
        "bad-signature",
        "wrong-type",
        "wrong-audience",
        "expired",
    )

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The controller's private key and its id (RFC 7638 thumbprint of the public JWK)."""

    private: Ed25519PrivateKey
    kid: str

    def secret(self, purpose: bytes) -> bytes:
        """32 bytes that only holders of this key have, others for each `purpose` (RFC 5869)."""
        seed = self.private.private_bytes_raw()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(seed)

    @property
    def public_jwk(self) -> dict[str, str]:
        return public_jwk(self.private.public_key())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """The public key as a JWK with `kid` (RFC 8037, RFC 7638)."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    core = {"crv": "Ed25519", "kty": "OKP", "x": _b64(raw)}
    thumb = hashlib.sha256(json.dumps(core, sort_keys=True, separators=(",", ":")).encode()).digest()
    return {**core, "kid": _b64(thumb), "use": "sig", "alg": "EdDSA"}


def generate_key() -> SigningKey:
    """A new key from the system's randomness."""
    return key_from_seed(Ed25519PrivateKey.generate().private_bytes_raw())


def key_from_seed(seed: bytes) -> SigningKey:
    """The key of a 32-byte seed (how keys are stored, and how golden examples stay golden)."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return SigningKey(private, public_jwk(private.public_key())["kid"])


def load_keys(jwks: tuple[dict[str, str], ...]) -> dict[str, Ed25519PublicKey]:
    """Public keys by kid; WireError when one is not an Ed25519 JWK."""
    try:
        return {jwk["kid"]: Ed25519PublicKey.from_public_bytes(_unb64(jwk["x"])) for jwk in jwks}
    except (KeyError, ValueError, TypeError) as error:
        raise WireError(f"not an Ed25519 JWK set: {error!r}") from None


def sign(message: Claims, key: SigningKey) -> bytes:
    """JWS compact of `message`, ready to publish."""
    headers = {"kid": key.kid, "typ": TYP[type(message)]}
    return _jws.encode(encode(message), key.private, algorithm="EdDSA", headers=headers).encode()


def verify(
    kind: type[S],
    token: bytes,
    keys: Mapping[str, Ed25519PublicKey],
    *,
    audience: tuple[str, ...],
    now: datetime,
    limit: int = MAX_PAYLOAD,
) -> S:
    """The message inside `token`, or Refused with the reason.

    `audience`: the names this node answers to (its id, `zone:...` of its zones). Nothing of the payload is
    looked at before the signature holds. `limit`: bytes; MAX_DOCUMENT for what a `ref` points to.
    """
    message = opened(kind, token, keys, limit=limit)
    meant_for(message, audience, now)
    return message


def opened(kind: type[S], token: bytes, keys: Mapping[str, Ed25519PublicKey], *, limit: int = MAX_PAYLOAD) -> S:
    """What somebody with one of these keys said, whoever it is for and however long ago; or Refused."""
    if len(token) > limit:
        raise Refused("malformed", f"{len(token)} bytes")
    header, signed, payload, signature = _split(token)
    if header.get("alg") != "EdDSA":
        raise Refused("algorithm", str(header.get("alg"))[:40])
    key = keys.get(header["kid"]) if isinstance(header.get("kid"), str) else None
    if key is None:
        raise Refused("unknown-key", str(header.get("kid"))[:64])
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        raise Refused("bad-signature") from None
    if header.get("typ") != TYP[kind]:
        raise Refused("wrong-type", str(header.get("typ"))[:40])
    try:
        return decode(kind, payload, limit=limit)
    except WireError as error:
        raise Refused("malformed", str(error)) from None


def meant_for(message: Claims, audience: tuple[str, ...], now: datetime) -> None:
    """Refused when `message` is for somebody else, or past its time."""
    if message.aud not in audience:
        raise Refused("wrong-audience", message.aud[:60])
    if message.exp <= now.timestamp():
        raise Refused("expired", f"{int(now.timestamp()) - message.exp} s ago")


def payload_of(kind: type[S], token: bytes) -> S:
    """The message inside a token of our own making, e.g. read back from our database: nothing is verified."""
    return decode(kind, _split(token)[2], limit=MAX_DOCUMENT)


def _split(token: bytes) -> tuple[dict[str, Any], bytes, bytes, bytes]:
    try:
        signed, signature = token.rsplit(b".", 1)
        head, body = signed.split(b".")
        header = json.loads(_unb64(head.decode("ascii")))
        if not isinstance(header, dict):
            raise ValueError("header is not an object")
        return header, signed, _unb64(body.decode("ascii")), _unb64(signature.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", str(error)[:100]) from None
