"""Every reason that the protocol names for what was not heard has words for people, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.services.labels import REASON

PAGE = Path(__file__).parent.parent.parent / "docs" / "protocol.md"
FIELDS = {"failed", "skipped", "playlist", "reason", "played_ms"}


def reasons() -> list[str]:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(("| `failed`", "| `skipped`"))]
    return sorted(set(re.findall(r"`([a-z_-]+)`", " ".join(rows))) - FIELDS)


def test_the_page_names_some() -> None:
    assert {"restart", "late", "missing-audio"} <= set(reasons())


@pytest.mark.parametrize("reason", reasons())
def test_a_reason_is_said_in_words(reason: str) -> None:
    assert REASON[reason].vi
    assert REASON[reason].en
