"""What `loa emergency` makes of what was typed in a hurry, and when it says that all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller import cli
from controller.commands import emergency
from controller.commands.base import Failure


def test_a_file_that_is_there_is_played_a_lone_word_is_a_sound_and_the_rest_is_spoken(tmp_path: Path) -> None:
    siren = tmp_path / "coi.wav"
    siren.write_bytes(b"RIFF")
    assert emergency._message(str(siren)) == {"path": str(siren)}
    assert emergency._message("lu-quet") == {"sound": "lu-quet"}
    assert emergency._message("Lũ quét!") == {"text": "Lũ quét!"}
    assert emergency._message("Rời nhà ngay.\nKhông quay lại.")["text"].startswith("Rời nhà ngay.")
    with pytest.raises(Failure, match="empty"):
        emergency._message("  ")


@pytest.mark.parametrize(
    "words",
    [
        ["emergency", "lu-quet", "--for", "ten minutes", "--to", "na-meo"],
        ["emergency", "start", "lu-quet", "--gap", "1h", "--to", "na-meo"],
        ["emergency", "--for", "ten minutes", "lu-quet", "--to", "na-meo"],
    ],
)
def test_a_time_that_is_none_is_wrong_usage_with_or_without_the_word_start(words: list[str]) -> None:
    ended = CliRunner().invoke(cli.app, words)
    assert isinstance(ended.exception, Failure)
    assert ended.exception.status == 2


def test_without_a_place_it_says_how_to_name_one() -> None:
    ended = CliRunner().invoke(cli.app, ["emergency", "Lũ quét!"], env={"LOA_LANG": "en"})
    assert isinstance(ended.exception, Failure)
    assert ended.exception.status == 2
    assert "--to" in str(ended.exception)


def told(active: bool, *states: str) -> dict[str, Any]:
    counts = {state: states.count(state) for state in ("sounding", "ended", "refused", "waiting", "no-answer")}
    return {"active": active, "counts": counts, "nodes": [{"state": state} for state in states]}


@pytest.mark.parametrize(
    ("data", "complete", "well"),
    [
        (told(True, "sounding", "ended"), emergency._all_answered, True),
        (told(True, "sounding", "waiting"), emergency._all_answered, False),
        (told(True, "sounding", "refused"), emergency._all_answered, False),
        (told(True, "sounding", "no-answer"), emergency._all_answered, False),
        (told(False, "ended", "no-answer"), emergency._all_silent, True),
        (told(False, "ended", "sounding"), emergency._all_silent, False),
    ],
)
def test_all_is_well_only_when_every_node_sounds_or_after_an_end_when_none_does(
    data: dict[str, Any], complete: Any, well: bool
) -> None:
    assert emergency._well(data, complete) is well
