"""Passwords of nodes: made at random, kept only as Mosquitto's own PBKDF2-SHA512 hash.

Format `$7$iterations$salt$hash`, both parts standard base64, as `mosquitto_passwd` writes it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

ITERATIONS = 101
"""Mosquitto's own figure. Stretching protects guessable passwords; ours carry 192 random bits, and both the
broker and the media server compute this hash for every connection."""

MAX_ITERATIONS = 1_000_000
"""More in a stored hash is refused: one login would hold the server for seconds."""


def random_password() -> str:
    """32 URL-safe characters, 192 random bits."""
    return secrets.token_urlsafe(24)


def hash_password(password: str) -> str:
    """Hash of `password` with a fresh salt, ready for Mosquitto's password file."""
    salt = secrets.token_bytes(12)
    digest = _digest(password, salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verify(password: str, stored: str) -> bool:
    """Is `password` the one behind `stored`? Compared in constant time; a malformed hash fits nothing."""
    try:
        empty, kind, iterations, salt, digest = stored.split("$")
        rounds = int(iterations)
        if (empty, kind) != ("", "7") or not 0 < rounds <= MAX_ITERATIONS:
            return False
        expected = base64.b64decode(digest, validate=True)
        actual = _digest(password, base64.b64decode(salt, validate=True), rounds)
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(actual, expected)


def _digest(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode("utf-8", "surrogatepass"), salt, iterations)
