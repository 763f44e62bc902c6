"""Who changed what of the plan, and when: kept with the change itself, and shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import time

import pytest

from broadcasts.model import Say
from controller.ports import AuditRow, ConfigRefused
from controller.services import changelog
from controller.services.reporting import Reporting
from tests.house import NEWS, House, network


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = await House.opened(NEWS)
    yield house
    await house.store.close()


def reporting(house: House) -> Reporting:
    return Reporting(house.configured, store=house.store, clock=house.clock)


async def test_a_moved_series_is_told_with_both_times_the_reason_and_who(house: House) -> None:
    await house.clock.advance(60)
    await house.edited(replace(NEWS, at=(time(18, 30),), place="config/broadcasts.yaml:3"))
    [change] = (await reporting(house).changes())["changes"]
    assert (change["who"], change["taken"], change["at"]) == ("file", True, "2026-11-23T01:01:00.000Z")
    assert change["counts"] == {"added": 0, "moved": 7, "changed": 0, "cancelled": 0}
    first = change["moved"][0]
    assert (first["was"], first["start"]) == ("2026-11-23T10:00:00.000Z", "2026-11-23T11:30:00.000Z")
    assert first["place"] == "config/broadcasts.yaml:3"


async def test_a_refused_folder_is_in_the_history_with_its_problems(house: House) -> None:
    bad = replace(NEWS, id="hong", play=(Say("im lặng"),), place="config/broadcasts.yaml:9:5")
    house.library.refused.add(bad.play[0])
    with pytest.raises(ConfigRefused):
        await house.edited(bad)
    [change] = (await reporting(house).changes())["changes"]
    assert not change["taken"]
    assert change["problems"] == ["config/broadcasts.yaml:9:5: broadcast 'hong': silent"]
    assert (await reporting(house).status())["config"]["last_change"] is None, "it changed nothing"


async def test_an_edit_while_the_controller_was_stopped_is_told_at_its_start(house: House) -> None:
    house.configured = replace(network(replace(NEWS, title="Bản tin chiều")), digest="2")
    again = await house.restarted()
    await again.started()
    [change] = (await reporting(again).changes())["changes"]
    assert change["who"] == changelog.MEANWHILE
    assert [each["what"] for each in change["changed"]] == [["title"]] * 7


async def test_a_restart_or_a_new_day_is_no_change(house: House) -> None:
    again = await house.restarted()
    await again.started()
    await again.clock.advance(24 * 3600)
    await again.timer.run_due()
    assert (await reporting(again).changes())["changes"] == []


async def test_a_change_of_thousands_is_counted_whole_and_listed_in_part(house: House) -> None:
    many = [replace(NEWS, id=f"b-{n}") for n in range(60)]
    await house.edited(NEWS, *many)
    [change] = (await reporting(house).changes())["changes"]
    assert change["counts"]["added"] == 7 * 60
    assert len(change["added"]) == changelog.KEPT
    json.dumps(change)


async def test_rows_of_an_older_release_are_shown_without_details(house: House) -> None:
    old = AuditRow(house.clock.now(), "file", "configuration", "+ a@2026-11-23T08:00\n- b@2026-11-23T09:00")
    await house.store.transact(lambda tx: tx.audit(old))
    [change] = (await reporting(house).changes())["changes"]
    assert (change["taken"], change["added"]) == (True, [])


async def test_orders_of_the_moment_are_no_changes_of_the_configuration(house: House) -> None:
    await house.orders.say("Chào bà con", ["all"])
    assert (await reporting(house).changes())["changes"] == []


async def test_what_nodes_hold_is_the_same_with_and_without_the_controller(house: House) -> None:
    live = Reporting(house.configured, store=house.store, clock=house.clock, scheduling=house.scheduling)
    offline = await reporting(house).plan()
    assert sorted(offline, key=lambda one: one.id) == sorted(await live.plan(), key=lambda one: one.id)
    assert len(offline) == 7
