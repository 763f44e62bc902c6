"""A configuration file's bytes, read with a bound, and its text, checked for what editors and YAML trip over."""

from __future__ import annotations

import codecs
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 4 * 1024 * 1024
"""Of one file; 5,000 nodes take a quarter of it."""


class Place(NamedTuple):
    """Line and column of a character, both from 1."""

    line: int
    column: int


START = Place(1, 1)


class Unusable(Exception):
    """A file that cannot be read at all, with the place that says why."""

    def __init__(self, message: str, place: Place = START) -> None:
        super().__init__(message)
        self.message = message
        self.place = place


def read(path: Path) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES; Unusable otherwise. Never blocks on a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Unusable(_reason(error)) from error
    try:
        _refuse_kind(os.fstat(descriptor))
        return _content(descriptor)
    finally:
        os.close(descriptor)


def _refuse_kind(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Unusable("is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise Unusable("is not a regular file")
    if status.st_size > MAX_BYTES:
        raise Unusable(_too_long(status.st_size))


def _content(descriptor: int) -> bytes:
    """Everything, also of a file that grows while it is read."""
    try:
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unusable(_reason(error)) from error
    if len(content) > MAX_BYTES:
        raise Unusable(_too_long(len(content)))
    return content


def _too_long(size: int) -> str:
    return f"has {size / 1024 / 1024:.1f} MB; a configuration file may have {MAX_BYTES // 1024 // 1024} MB"


def _reason(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "is missing"
        case PermissionError():
            return "cannot be read: permission denied"
        case OSError(strerror=str(text)):
            return f"cannot be read: {text.lower()}"
        case _:
            return f"cannot be read: {error}"


_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "begins with a byte order mark: save it as UTF-8 without BOM"),
    (codecs.BOM_UTF32_LE, "is UTF-32: save it as UTF-8 without BOM"),
    (codecs.BOM_UTF32_BE, "is UTF-32: save it as UTF-8 without BOM"),
    (codecs.BOM_UTF16_LE, "is UTF-16: save it as UTF-8 without BOM"),
    (codecs.BOM_UTF16_BE, "is UTF-16: save it as UTF-8 without BOM"),
)
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_HARD_SPACE = re.compile("^ *(\u00a0)|[:-](\u00a0)", re.MULTILINE)


def decode(content: bytes) -> str:
    """The text of a file; Unusable when it is not plain UTF-8 with Unix line ends."""
    for mark, message in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            raise Unusable(message)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        place = place_in(content[: error.start].decode("utf-8"), error.start)
        byte = content[error.start]
        raise Unusable(f"byte 0x{byte:02X} is not UTF-8: save the file as UTF-8", place) from error
    _refuse_letters(text)
    return text


def place_in(text: str, offset: int) -> Place:
    """Where the character at `offset` stands."""
    before = text[:offset]
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _refuse_letters(text: str) -> None:
    if (at := text.find("\r")) >= 0:
        message = "Windows line end (CRLF): save the file with Unix line ends (LF)"
        raise Unusable(message, place_in(text, at))
    if control := CONTROL.search(text):
        letter = f"U+{ord(control[0]):04X}"
        raise Unusable(f"control character {letter}: delete it", place_in(text, control.start()))
    if space := _HARD_SPACE.search(text):
        at = space.start(space.lastindex or 0)
        message = "non-breaking space (U+00A0) where YAML wants a plain space: type the space again"
        raise Unusable(message, place_in(text, at))
