"""The controller's signing keys: Ed25519 seeds as files that only their owner can read.

`<data>/keys/{kid}.seed` holds 32 bytes; the file `signing` names the key that signs. Every key in the
folder is valid for the nodes that are enrolled from now on, so rotating is: make a new key, enrol the nodes
again, let the new key sign, drop the old one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from controller.wire.messages import KeySet
from controller.wire.signing import SigningKey, generate_key, key_from_seed

SEED_BYTES = 32


class KeyFault(Exception):
    """A key folder that cannot be used; the text says which file and what to do."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys that are valid now; `signing` is one of them."""

    signing: SigningKey
    keys: tuple[SigningKey, ...]

    @property
    def public(self) -> KeySet:
        """What a node's enrolment carries; the signing key comes first."""
        others = tuple(key for key in self.keys if key.kid != self.signing.kid)
        return KeySet(tuple(key.public_jwk for key in (self.signing, *others)))


def load_or_create(folder: Path) -> KeyRing:
    """The keys in `folder`; a first one is made when there is none. KeyFault when the files make no sense."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = _seeds(folder)
    if not keys:
        keys = [add(folder)]
    return KeyRing(_signing(folder, keys), tuple(keys))


def add(folder: Path) -> SigningKey:
    """Make another key. It signs nothing until `use` says so, unless it is the only one."""
    key = generate_key()
    write_private(folder / f"{key.kid}.seed", key.private.private_bytes_raw())
    return key


def use(folder: Path, kid: str) -> None:
    """Let the key `kid` sign from the controller's next start."""
    if kid not in {key.kid for key in _seeds(folder)}:
        raise KeyFault(f"{folder}: no key {kid}")
    write_private(folder / "signing", kid.encode())


def drop(folder: Path, kid: str) -> None:
    """Forget a key that no longer signs."""
    if load_or_create(folder).signing.kid == kid:
        raise KeyFault(f"{kid} is the key that signs: let another one sign first")
    path = folder / f"{kid}.seed"
    if not path.exists():
        raise KeyFault(f"{folder}: no key {kid}")
    path.unlink()


def write_private(path: Path, content: bytes) -> None:
    """Write `content` atomically and durably as a file with mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _seeds(folder: Path) -> list[SigningKey]:
    return [_read(path) for path in sorted(folder.glob("*.seed"))]


def _read(path: Path) -> SigningKey:
    try:
        seed = path.read_bytes()
    except OSError as error:
        raise KeyFault(f"{path}: {error.strerror}") from None
    if len(seed) != SEED_BYTES:
        raise KeyFault(f"{path}: {len(seed)} bytes, a key has {SEED_BYTES}; restore it from a backup or delete it")
    key = key_from_seed(seed)
    if path.stem != key.kid:
        raise KeyFault(f"{path}: the name does not fit the key inside ({key.kid})")
    return key


def _signing(folder: Path, keys: list[SigningKey]) -> SigningKey:
    try:
        kid = (folder / "signing").read_text().strip()
    except FileNotFoundError:
        if len(keys) > 1:
            raise KeyFault(f"{folder}: {len(keys)} keys and none chosen; run `loa keys use KID`") from None
        return keys[0]
    for key in keys:
        if key.kid == kid:
            return key
    raise KeyFault(f"{folder / 'signing'}: names {kid}, which is not there; run `loa keys use KID`")
