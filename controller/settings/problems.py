"""What is wrong with the configuration, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_PROBLEMS = 500
"""No more are looked for: whoever has 500 mistakes has one mistake 500 times."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. `file` as the operator named the folder; `line` and `column` count from 1, in characters."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds every mistake of every file, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(slots=True)
class Problems:
    """Collects problems while files are read."""

    _found: set[Problem] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Enough has been found; reading on is a waste."""
        return len(self._found) >= MAX_PROBLEMS

    def add(self, file: str, line: int, column: int, message: str) -> None:
        if not self.full:
            self._found.add(Problem(file, line, column, message))

    def raise_if_any(self) -> None:
        """Raise ConfigError with all problems in order; return when there are none."""
        if not self._found:
            return
        found = sorted(self._found)
        if self.full:
            last = found[-1]
            found.append(
                Problem(last.file, last.line, last.column, f"the first {MAX_PROBLEMS} problems; more may follow")
            )
        raise ConfigError(found)
