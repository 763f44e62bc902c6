"""Secrets that do not stand in the configuration: `env:NAME` and `file:path`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from controller.settings import source
from controller.settings.suggest import shown

MAX_SECRET = 4096


def resolve(text: str, folder: Path, environ: Mapping[str, str], files: set[Path]) -> str:
    """The secret that `text` refers to, or `text` itself. Files read are added to `files`.

    ValueError when the variable is not set, or the file is missing or empty; it never shows the secret.
    """
    kind, _, name = text.partition(":")
    match kind:
        case "env":
            return _variable(name, environ)
        case "file":
            path = Path(os.path.abspath(folder / name))
            files.add(path)
            return _file(path, name)
        case _:
            return text


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if secret := environ.get(name, ""):
        return secret
    raise ValueError(f"environment variable {shown(name)} is not set")


def _file(path: Path, name: str) -> str:
    try:
        content = source.read(path)
        secret = content.decode("utf-8").strip() if len(content) <= MAX_SECRET else ""
    except source.Unusable as error:
        raise ValueError(f"secret file {shown(name)} {error.message}") from None
    except UnicodeDecodeError:
        raise ValueError(f"secret file {shown(name)} is not UTF-8") from None
    if not secret:
        raise ValueError(f"secret file {shown(name)} is empty or longer than {MAX_SECRET} bytes")
    return secret
