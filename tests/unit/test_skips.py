"""A date that is taken out of a series stays out, whatever else is edited; the plan and the nodes agree on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from broadcasts.calendar import Calendar
from broadcasts.model import DateRange, MonthDay, Repeat
from tests.house import NEWS, House, network

TOMORROW = date(2026, 11, 24)
SKIPPING = replace(NEWS, skip=(DateRange(TOMORROW, TOMORROW),))


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Started on 23 November 2026 at 08:00 local time with a daily broadcast at 17:00."""
    house = await House.opened(NEWS)
    yield house
    await house.store.close()


def days(house: House) -> list[str]:
    return [id.partition("@")[2] for id in house.holds("na-meo-01")]


async def test_a_skipped_date_is_taken_from_the_nodes_and_the_ledger(house: House) -> None:
    await house.edited(SKIPPING)
    assert "2026-11-24T17:00" not in days(house)
    assert set((await house.states("ban-tin@2026-11-24T17:00")).values()) == {"cancelled"}


@pytest.mark.parametrize(
    "edit",
    [
        {"title": "Bản tin tối"},
        {"at": (time(18, 30),)},
        {"at": (time(5, 30), time(17, 0)), "title": "Hai bản tin"},
        {"repeat": Repeat(2, timedelta(minutes=30))},
        {"volume": 50, "level": NEWS.level},
    ],
    ids=["title", "time", "more times", "repeated", "volume"],
)
async def test_no_edit_of_the_series_revives_a_skipped_date(edit: dict[str, object], house: House) -> None:
    await house.edited(SKIPPING)
    await house.edited(replace(SKIPPING, **edit))  # type: ignore[arg-type]
    assert not [one for one in days(house) if one.startswith("2026-11-24")]
    assert [one for one in days(house) if one.startswith("2026-11-25")]


async def test_a_skipped_date_stays_skipped_over_a_restart(house: House) -> None:
    await house.edited(SKIPPING)
    again = await house.restarted()
    await again.started()
    assert "ban-tin@2026-11-24T17:00" not in [one.id for one in again.scheduling.planned]


async def test_a_corrected_calendar_moves_what_keeps_the_moon_and_holidays(house: House) -> None:
    """A holiday that the site adds silences the series on the next reload, and no other day."""
    series = replace(NEWS, skip_holidays=True)
    await house.edited(series)
    assert "2026-11-24T17:00" not in days(house), "Ngày Văn hóa Việt Nam"
    plain = network(series, digest="9")
    house.configured = replace(
        plain, calendar=Calendar(added={date(2026, 11, 26): "Hội"}, removed=frozenset({TOMORROW}))
    )
    await house.scheduling.reload()
    assert [one[8:10] for one in days(house)] == ["23", "24", "25", "27", "28", "29"]


async def test_a_lunar_rule_and_repetitions_reach_the_nodes(house: House) -> None:
    """23 November 2026 is the full moon of the tenth lunar month."""
    await house.edited(replace(NEWS, lunar=(MonthDay(15),), repeat=Repeat(3, timedelta(minutes=30))))
    document = house.documents("na-meo-01")[-1]
    assert [one.id.partition("@")[2] for one in document.playlists] == [
        "2026-11-23T17:00",
        "2026-11-23T17:30",
        "2026-11-23T18:00",
    ]
    assert [one.start for one in document.playlists][1] == datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
