"""The terminal speaks Vietnamese or English, all of it."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import controller
from controller.commands.vietnamese import CATALOGUE
from controller.commands.words import language, t
from controller.demo import account
from controller.domain.asrun import Heard
from controller.domain.liveness import Liveness

HOME = Path(controller.__file__).parent
FILES = [
    HOME / "cli.py",
    *(HOME / "commands").rglob("*.py"),
    *(HOME / "demo").glob("*.py"),
    *(HOME / "rehearsal").glob("*.py"),
]
INDIRECT = {*map(str, Heard), *map(str, Liveness)}


def _said() -> Iterator[str]:
    """Every text that the command line hands to t(), and those of broken promises."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t":
                text = node.args[0]
                if isinstance(text, ast.Constant):
                    yield str(text.value)
    nothing = account.Account(60, 0, None, frozenset(), {}, (), 0, None)
    yield from (text for text, _ in account.broken_promises(nothing, (), ("amplifier",)))


def test_no_text_is_left_in_english() -> None:
    assert sorted((set(_said()) | INDIRECT) - set(CATALOGUE)) == []


def test_no_translation_has_lost_its_original() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in FILES if file.name != "vietnamese.py")
    typer_own = {"Options", "Arguments", "Commands", "Error", "[default: {}]", "[required]"}
    said = set(_said())
    kept = {text for text in CATALOGUE if text in said or f'"{text}"' in sources}
    assert sorted(set(CATALOGUE) - kept - typer_own - INDIRECT - {text for text in CATALOGUE if "[blue]" in text}) == []


@pytest.mark.parametrize("text", sorted(CATALOGUE))
def test_a_translation_fills_the_same_places(text: str) -> None:
    def places(of: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(of) if name}

    assert places(CATALOGUE[text]) == places(text)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LANG": "vi_VN.UTF-8"}, "vi"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "vi_VN", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "C", "LOA_LANG": "vi"}, "vi"),
        ({"LC_ALL": "", "LANG": "vi_VN"}, "vi"),
        ({}, "en"),
    ],
)
def test_the_language_is_the_one_the_system_is_set_to(environ: dict[str, str], expected: str) -> None:
    assert language(environ) == expected


def test_a_name_with_braces_does_not_break_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOA_LANG", "vi")
    assert t("unknown node '{node}'", node="{x}") == "không có cụm loa '{x}'"
