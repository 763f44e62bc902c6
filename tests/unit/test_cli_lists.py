"""What the lists of the command line show of odd entries."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from controller.commands.alerts import _print_silences
from controller.commands.work import _print_one

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")


def test_a_silence_without_a_beginning_shows_none(capsys: pytest.CaptureFixture[str]) -> None:
    each = {"id": 0, "nodes": [], "communes": [], "codes": ["fan"], "reason": "chờ quạt", "by": ""}
    times = {"from": "2000-01-01T00:00:00.000Z", "until": "2036-12-05T15:00:00.000Z"}
    _print_silences({"on_call": {}, "silences": [{**each, **times}]}, ZONE)
    assert "   -  … – 05/12 22:00:00  fan: chờ quạt (alerts.yaml)\n" in capsys.readouterr().out


def test_pictures_of_a_repair_stand_where_they_were_taken(capsys: pytest.CaptureFixture[str]) -> None:
    def step(minute: int, transition: str) -> dict[str, Any]:
        name = {"vi": transition, "en": transition}
        at = f"2026-11-27T13:0{minute}:00.000Z"
        return {"at": at, "transition": transition, "name": name, "reason": "", "by": "an", "by_name": "An"}

    picture = {"at": "2026-11-27T13:02:00.000Z", "type": "image/jpeg", "size": 8132, "sha256": "44af3844f962ffff"}
    incident = {
        **{"id": 3, "severity": "major", "title": {"vi": "Hỏng", "en": "Broken"}, "place": None, "work_order": None},
        **{"subject_name": "UBND xã", "advice": None, "safety": None, "parts": None},
        **{"history": [step(1, "acknowledged"), step(3, "repaired")], "photos": [picture]},
    }
    _print_one(incident, ZONE)
    out = capsys.readouterr().out
    assert out.index("acknowledged") < out.index("image/jpeg 8 kB 44af3844f962") < out.index("repaired")
