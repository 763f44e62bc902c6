"""The live table of simulated nodes: what stands in it, in both languages."""

from __future__ import annotations

import io
import re
import string
from pathlib import Path

import pytest
from rich.console import Console

import simulators
from simulators.summary import Summary
from simulators.table import table
from simulators.words import VIETNAMESE

SUMMARY = Summary(
    nodes=60,
    connected=58,
    without_power=1,
    playing=57,
    missing=3,
    journal_waiting=4,
    broken=3,
    trouble="127.0.0.1:1883: Connection refused",
    faults=("na-meo-01: mains-lost, signal", "na-meo-02: clock"),
    fetched_mb=12.34,
    fetch_mb_s=1.25,
    connections=61,
    peak_per_s=59,
    connect_s=4.8,
    occurrence="say@2026-11-27T23:26:48",
    started=57,
    first=10.0,
    last=10.042,
    memory_mb=88.6,
)


def shown(summary: Summary, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(summary))
    return console.export_text()


@pytest.mark.parametrize("language", ["en", "vi"])
@pytest.mark.parametrize("width", [80, 40])
def test_it_has_every_figure_and_stays_within_the_terminal(
    width: int, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOA_LANG", language)
    text = shown(SUMMARY, width)
    assert max(map(len, text.splitlines())) <= width
    flat = re.sub(r"[│\s]+", "", text)
    for figure in ("58", "57", "42ms", "12.3MB", "1.2MB/s", "refused", "na-meo-02:clock", "89MB"):
        assert figure in flat


def test_it_speaks_vietnamese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOA_LANG", "vi")
    text = shown(SUMMARY, 80)
    assert "58 trên 60" in text
    assert not re.search(r"\b(connected|playing|skew|waiting|power|nodes)\b", text)


def test_what_can_be_reached_has_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOA_LANG", "en")
    quiet = Summary(nodes=1, connected=1, without_power=0, playing=0, missing=0, journal_waiting=0, broken=0)
    assert "because" not in shown(quiet, 80)


def test_no_translation_has_lost_its_original_or_a_place() -> None:
    sources = "".join(
        path.read_text() for path in Path(simulators.__file__).parent.glob("*.py") if path.name != "words.py"
    )
    for text, said in VIETNAMESE.items():
        assert f'"{text}"' in sources
        assert places(text) == places(said)


def places(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}
