"""The controller dies at any instant of an incident: whoever is to hear of it hears of it, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.incident_kills import account_of


@pytest.mark.timeout(240)
async def test_twenty_kills_during_incidents_and_sending_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    account = await account_of(tmp_path, kills=20, seed=20261127)
    assert account.wrong == {}
    assert account.incidents > 20, "things happened between the kills"
    assert account.wire_doubles <= account.kills
