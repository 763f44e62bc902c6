"""Typed decoding with msgspec, whose types are learnt one at a time.

msgspec 0.22 learns the fields of a type when it is first decoded. A second thread that comes while another one learns
is given what is half learnt, and the process dies of it: seen three times in some ten thousand starts of a controller,
whose event loop and database threads decode the same types (tests/unit/test_typed.py). Whatever threads may do goes
through here.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_learning = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The JSON decoder of `kind`: a struct, a dataclass or any other type that msgspec knows."""
    found = _decoders.get(kind)
    if found is None:
        with _learning:
            found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found


def decode(payload: bytes | str, kind: type[T]) -> T:
    """msgspec.DecodeError, msgspec.ValidationError and UnicodeDecodeError, RecursionError as msgspec raises them."""
    return decoder(kind).decode(payload)


def convert(plain: object, kind: type[T], *, strict: bool = True) -> T:
    """`plain` (of dicts, lists, texts and numbers) as a `kind`; msgspec.ValidationError."""
    decoder(kind)
    return msgspec.convert(plain, kind, strict=strict)
