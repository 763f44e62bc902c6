"""One configuration file being read: pydantic models over its values, every mistake with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from controller.settings.problems import Problems
from controller.settings.source import Place
from controller.settings.suggest import did_you_mean, shown
from controller.settings.yaml_source import Map, Seq

M = TypeVar("M", bound=BaseModel)
Step = str | int
Steps = tuple[Step, ...]

MAX_SUGGESTIONS = 50
"""Of one file: looking for near words costs more than all other checks."""


class Strict(BaseModel):
    """A block whose unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(slots=True)
class Sheet:
    """A parsed file. `name` is what messages call it, `path` where it lies."""

    name: str
    path: Path
    root: Map
    problems: Problems
    _suggestions: int = field(default=0)

    def problem(self, steps: Steps, message: str, *, at_key: bool = False) -> None:
        """Record a mistake at the value that `steps` lead to, or at its key."""
        place = self.place(steps, at_key=at_key)
        self.problems.add(self.name, place.line, place.column, message)

    def place(self, steps: Steps, *, at_key: bool = False) -> Place:
        """Where the value (or its key) begins; the nearest place above it if it is not there."""
        value: Any = self.root
        place = self.root.place
        for number, step in enumerate(steps):
            last = number == len(steps) - 1
            if isinstance(value, Map) and step in value:
                place = (value.keys_at if last and at_key else value.values_at)[str(step)]
            elif isinstance(value, Seq) and isinstance(step, int) and step < len(value):
                place = value.values_at[step]
            else:
                break
            value = value[step]
        return place

    def read(self, kind: type[M], steps: Steps, context: object = None) -> M | None:
        """The block at `steps` as a `kind`; None when it has mistakes, which are recorded."""
        value: Any = self.root
        for step in steps:
            value = value[step]
        try:
            return kind.model_validate(value, context=context)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                self._record(kind, steps, details)
            return None

    def blocks(self, *steps: Step) -> Iterator[tuple[Steps, Map]]:
        """The blocks of the list at `steps`, each with the steps to it; recorded: entries that are none."""
        value: Any = self.root
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else value[step]
        for number, entry in enumerate(value if isinstance(value, list) else ()):
            if self.problems.full:
                return
            if isinstance(entry, Map):
                yield (*steps, number), entry
            else:
                self.problem((*steps, number), f"a block of keys is wanted here, not {_kind_of(entry)}")

    def _record(self, kind: type[BaseModel], steps: Steps, details: ErrorDetails) -> None:
        where = (*steps, *details["loc"])
        if details["type"] == "extra_forbidden":
            names = _keys_of(kind, details["loc"][:-1])
            key = str(details["loc"][-1])
            hint = did_you_mean(key, names) if self._may_suggest() else ""
            self.problem(where, f"unknown key {shown(key)}{hint}", at_key=True)
        else:
            self.problem(where, _wording(details))

    def _may_suggest(self) -> bool:
        self._suggestions += 1
        return self._suggestions <= MAX_SUGGESTIONS


def _wording(details: ErrorDetails) -> str:
    key = details["loc"][-1] if details["loc"] else ""
    match details["type"]:
        case "missing":
            return f"key '{key}' is missing"
        case "value_error":
            return str(details["ctx"]["error"])
        case "list_type" | "tuple_type":
            return f"a list is wanted here, not {_kind_of(details['input'])}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"a block of keys is wanted here, not {_kind_of(details['input'])}"
        case _:
            return f"{shown(details['input'])} is not right: {details['msg']}"


def _kind_of(value: object) -> str:
    return "nothing" if value is None else shown(value)


def _keys_of(kind: type[BaseModel], steps: Sequence[Step]) -> list[str]:
    """The keys that the block at `steps` of a `kind` may have."""
    for step in steps:
        if isinstance(step, str):
            inner = [part for name, part in _fields(kind) if name == step]
            kind = next((model for part in inner for model in _models_in(part)), kind)
    return [name for name, _ in _fields(kind)]


def _fields(kind: type[BaseModel]) -> list[tuple[str, Any]]:
    return [(part.alias or name, part.annotation) for name, part in kind.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
