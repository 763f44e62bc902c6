"""The commands by name: what is shown of each, and the module that does it, imported only when it is called.

People in danger may wait for `loa emergency`: what one command needs, no other imports, and what draws help and
errors is imported when there are some (tests/unit/test_cli_start.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from controller.commands.words import language, t

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of `loa --help`. `does`: module:name below controller.commands, a function or `Commands`."""

    name: str
    does: str
    text: str
    example: str
    panel: str


class _Ours:
    """Help in the terminal's language, and no pydantic for what is a plain word."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.name == "help":
                param.help = t("Show this message and exit.")
            others = getattr(param, "get_runtime_param", None)
            if others is not None and not isinstance(others, partial):
                param.get_runtime_param = partial(_Sparing, others)  # a Typer that does not ask for it is only slower
        return params

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _translate()
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(_Ours, TyperCommand):
    """A command as all of ours are."""


class CommandGroup(_Ours, TyperGroup):
    """Commands below a word."""


class Commands(typer.Typer):
    """Commands of a module below a word."""

    def __init__(self, **settings: Any) -> None:
        plain = {"rich_markup_mode": "rich", "pretty_exceptions_enable": False, "add_completion": False}
        super().__init__(**{"cls": CommandGroup, **plain, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": Command, **settings})


class Listed(Command):
    """Stands for a command in the list and gives way to it when it is called."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(name=entry.name, help=entry.text, rich_help_panel=entry.panel)
        self._entry = entry

    def load(self) -> Any:
        """The command itself."""
        entry = self._entry
        shown: dict[str, Any] = {"help": entry.text, "epilog": f"{t('Example')}: [bold]{entry.example}[/bold]"}
        module, _, name = entry.does.partition(":")
        found = getattr(import_module(f"controller.commands.{module}"), name)
        room = Commands()
        room.callback()(_nothing)
        if isinstance(found, typer.Typer):
            room.add_typer(found, name=entry.name, **shown)
        else:
            room.command(entry.name, **shown)(found)
        return get_command(room).commands[entry.name]  # type: ignore[attr-defined]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.load().make_context(info_name, args, parent, **extra)


class Listing(CommandGroup):
    """The command of which all others are parts; `of` makes the class of one."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> type[Listing]:
        return type(cls.__name__, (cls,), {"entries": tuple(entries)})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": {entry.name: Listed(entry) for entry in self.entries}})

    def make_context(self, *args: Any, **settings: Any) -> Any:
        with _translating_errors():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        with _translating_errors():
            return super().invoke(ctx)


class _Sparing:
    """In the place of what makes values of words: it makes those that need nothing but themselves and asks pydantic,
    whose import is a third of the start of a command, for all others."""

    def __init__(self, others: Callable[[], Any]) -> None:
        self._others = others

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        kind = param.type_descriptor.annotation
        if value is None and not param.multiple and param.nargs != -1:
            return None
        if kind is str and isinstance(value, str):
            return value
        if kind == list[str] and not isinstance(value, str) and all(isinstance(each, str) for each in value or ()):
            return value or ()
        if kind is Path and os.path.isdir(value):  # of a file Typer sees whether it can be read
            return Path(value)
        return self._others().coerce(value, param=param, ctx=ctx)


def _nothing() -> None: ...


@contextmanager
def _translating_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # a mistake on the command line, which Typer draws
            _translate()
        raise


def _translate() -> None:
    """Typer's own words, in the module that draws them: imported here, right before it is needed."""
    if language() != "vi":
        return
    from typer import rich_utils

    panels = ("OPTIONS_PANEL_TITLE", "ARGUMENTS_PANEL_TITLE", "COMMANDS_PANEL_TITLE", "ERRORS_PANEL_TITLE")
    for name in (*panels, "DEFAULT_STRING", "REQUIRED_LONG_STRING", "RICH_HELP"):
        setattr(rich_utils, name, t(getattr(rich_utils, name)))
