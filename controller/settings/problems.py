"""What is wrong with the configuration, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_PROBLEMS = 500
"""More are counted, not listed: whoever has 500 mistakes has one mistake 500 times."""


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
    _unlisted: int = 0

    def add(self, file: str, line: int, column: int, message: str) -> None:
        if len(self._found) < MAX_PROBLEMS:
            self._found.add(Problem(file, line, column, message))
        else:
            self._unlisted += 1

    def raise_if_any(self) -> None:
        """Raise ConfigError with all problems in order; return when there are none."""
        if not self._found:
            return
        found = sorted(self._found)
        if self._unlisted:
            last = found[-1]
            more = f"and {self._unlisted} more problems that are not listed"
            found.append(Problem(last.file, last.line, last.column, more))
        raise ConfigError(found)
