"""What the readers of one file need to know from the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, ValidationInfo

from broadcasts.calendar import VIETNAM, Calendar
from controller.settings import secrets
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import line, refuse_yaml_word, scalar

MAX_SUGGESTIONS = 50
"""Of one load: looking for near words costs more than all other checks."""


@dataclass(frozen=True, slots=True)
class Names:
    """Ids that nodes.yaml gives away, also those of entries with other mistakes. `hamlets` by commune; `targets`:
    everything that `to` and `except` may name."""

    communes: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    hamlets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    targets: frozenset[str] = frozenset()


@dataclass(slots=True)
class Context:
    """Handed to every validator. `names` is None when nodes.yaml cannot be read: then no name is unknown."""

    folder: Path
    environ: Mapping[str, str]
    names: Names | None = None
    reach: Mapping[str, frozenset[str]] | None = None
    """Node ids that each name stands for; None unless every entry of nodes.yaml is right."""
    codes: frozenset[str] | None = None
    """Codes of the fault rules; None when faults.yaml has mistakes."""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    calendar: Calendar = VIETNAM
    volume_max: int = 100
    voice: str = "vi"
    files: set[Path] = field(default_factory=set)
    """Files beside the YAML ones that the configuration depends on."""
    _suggested: int = 0

    def meant(self, word: str, candidates: frozenset[str]) -> str:
        """``did you mean`` for an unknown name, while there are not too many of them."""
        self._suggested += 1
        return did_you_mean(word, candidates) if self._suggested <= MAX_SUGGESTIONS else ""


def of(info: ValidationInfo) -> Context:
    """The Context that a validator was called with."""
    assert isinstance(info.context, Context)
    return info.context


def _target(value: Any, info: ValidationInfo) -> str:
    names = of(info).names
    return known(value, info, "zone", names.targets if names else None)


def _commune(value: Any, info: ValidationInfo) -> str:
    names = of(info).names
    return known(value, info, "commune", names.communes if names else None)


def known(value: Any, info: ValidationInfo, what: str, names: frozenset[str] | None) -> str:
    """`value` if it is one of `names` (None: anything is)."""
    text = scalar(value, f"the id of a {what}")
    refuse_yaml_word(value)
    if names is None or text in names:
        return text
    raise ValueError(f"unknown {what} {shown(text)}{of(info).meant(text, names)}")


def _secret(value: Any, info: ValidationInfo) -> str:
    context = of(info)
    return secrets.resolve(line(value), context.folder, context.environ, context.files)


Target = Annotated[str, BeforeValidator(_target)]
CommuneName = Annotated[str, BeforeValidator(_commune)]
Secret = Annotated[str, BeforeValidator(_secret)]
