"""What lies in the data folder and what it is called there: the controller writes it, commands look for it.

Nothing slow is imported here: an emergency passes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LOCK = "lock"


def of_instance(name: str, instance: str) -> str:
    """`name` of a file as this instance of the controller has it: lock -> lock-b, controller.json ->
    controller-b.json. The instance without a name has it as it is."""
    stem, dot, ending = name.partition(".")
    return f"{stem}-{instance}{dot}{ending}" if instance else name


@dataclass(frozen=True, slots=True)
class DataFolder:
    """`path`: `data` of site.yaml."""

    path: Path

    @property
    def keys(self) -> Path:
        """The keys that sign what nodes obey."""
        return self.path / "keys"

    @property
    def broker(self) -> Path:
        """Configuration, state and log of the broker that Loa runs itself."""
        return self.path / "broker"

    @property
    def audio(self) -> Path:
        """Rendered sound, by its content."""
        return self.path / "audio"

    def lock(self, instance: str = "") -> Path:
        """Held by the controller of that name as long as it lives."""
        return self.path / of_instance(_LOCK, instance)

    def controller(self, instance: str = "") -> Path:
        """Where the controller of that name answers, and its token (JSON)."""
        return self.path / of_instance("controller.json", instance)

    def instances(self) -> Iterator[str]:
        """Names of the controllers that have ever run here."""
        for path in self.path.glob(f"{_LOCK}*"):
            name = path.name.removeprefix(_LOCK)
            if not name or name.startswith("-"):
                yield name.removeprefix("-")
