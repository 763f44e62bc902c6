"""`loa commission` and its HTTP: a node tests itself, somebody looks, and its rules compare with that from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_rig import GOOD, NODE, Rig, configuration, running

OPEN = {**GOOD, "line_z_ohm": 180.0}
"""A cut line: nobody is to take it for the normal state without looking."""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(configuration(tmp_path)) as found:
        yield found


async def baselines(rig: Rig) -> list[Any]:
    return await rig.app.store.transact(lambda tx: tx.baselines(NODE))


async def known(rig: Rig) -> list[dict[str, Any]]:
    """The self-tests of the node that the controller has, newest first."""
    found: list[dict[str, Any]] = (await rig.web.get(f"/api/nodes/{NODE}")).json()["selftests"]
    return found


async def selftested(rig: Rig, number: int, results: Any) -> int:
    """The node tests itself of its own accord; the number of the test."""
    before = len(await known(rig))
    rig.feed_selftest(number, results)

    async def is_known() -> bool:
        return len(await known(rig)) > before

    await rig.until(is_known)
    return int((await known(rig))[0]["id"])


async def test_a_node_tests_itself_is_looked_at_and_its_values_are_kept_with_date_and_author(rig: Rig) -> None:
    ended = await rig.loa("commission", NODE, "--by", "an", "--note", "thay loa", typed="y\n")
    assert (ended.status, "commissioned" in ended.output) == (0, True), ended.output
    assert "62" in ended.output, "what is agreed to is shown"
    (kept,) = await baselines(rig)
    assert (kept.by, kept.note, dict(kept.values)["line_z_ohm"]) == ("an", "thay loa", 62.0)
    shown = await rig.loa("commission", NODE, "--show")
    assert ("an" in shown.output, "thay loa" in shown.output) == (True, True)
    (audit,) = await rig.app.store.transact(lambda tx: tx.audits(what=["commissioned"]))
    assert audit.who == "an"


async def test_who_says_no_changes_nothing(rig: Rig) -> None:
    ended = await rig.loa("commission", NODE, typed="n\n")
    assert (ended.status, "nothing was written" in ended.output, await baselines(rig)) == (1, True, [])


async def test_what_is_out_of_range_is_asked_twice_about_and_never_taken_unseen(rig: Rig) -> None:
    rig.measures = OPEN
    ended = await rig.loa("commission", NODE, "--yes")
    assert (ended.status, "outside the expected range: line_z_ohm" in ended.output, await baselines(rig)) == (
        1,
        True,
        [],
    )
    ended = await rig.loa("commission", NODE, typed="\n")
    assert (ended.status, await baselines(rig)) == (1, []), "the easy answer is no"
    ended = await rig.loa("commission", NODE, typed="y\n")
    assert (ended.status, len(await baselines(rig))) == (0, 1)


async def test_the_newest_test_can_be_taken_without_another_one(rig: Rig) -> None:
    rig.measures = None
    await selftested(rig, 1, GOOD)
    ended = await rig.loa("commission", NODE, "--newest", "--yes", "--json")
    assert (ended.status, ended.json["values"]["mic_spl_db"]) == (0, 96.0)


async def test_a_node_without_a_test_or_that_there_is_not_cannot_be_commissioned(rig: Rig) -> None:
    none = await rig.loa("commission", NODE, "--newest")
    unknown = await rig.loa("commission", "na-meo-99", "--newest")
    assert (none.status, "no self-test that measured anything" in none.output) == (1, True), none.output
    assert (unknown.status, "na-meo-99" in unknown.output) == (1, True), unknown.output
    nowhere = await rig.loa("commission", NODE, "--show")
    assert "never commissioned" in nowhere.output


async def test_its_rules_compare_with_what_was_taken(rig: Rig) -> None:
    """A line of 62 ohm is open at 180 and not at 100: 2 x the baseline, in two tests."""
    await rig.loa("commission", NODE, "--yes")
    for number, ohm in ((11, 100.0), (12, 100.0), (13, 180.0), (14, 180.0)):
        rig.feed_selftest(number, {**GOOD, "line_z_ohm": ohm})

    async def found() -> bool:
        opens = await rig.app.store.transact(lambda tx: tx.open_incidents())
        return [each.evidence["line_z_ohm"] for each in opens if each.cause == "line-open"] == [180.0]

    await rig.until(found)


# --- the same over HTTP -----------------------------------------------------------------------------------------


async def test_programs_commission_with_the_token_and_a_test_of_that_node(rig: Rig) -> None:
    test = await selftested(rig, 1, GOOD)
    path, order = f"/api/nodes/{NODE}/commission", {"by": "an", "test": test}
    stranger = {"Authorization": "Bearer wrong"}
    assert (await rig.web.post(path, json=order, headers=stranger)).status_code == 401
    answers = [
        (await rig.web.post(path, json={**order, "test": test + 1})).status_code,
        (await rig.web.post("/api/nodes/na-meo-02/commission", json=order)).status_code,
        (await rig.web.post(path, json={**order, "test": "x"})).status_code,
        (await rig.web.post(path, json={**order, "note": "x" * 1001})).status_code,
    ]
    assert (answers, await baselines(rig)) == ([404, 404, 422, 422], [])
    made = await rig.web.post(path, json=order)
    assert (made.status_code, made.json()["values"]["line_z_ohm"]) == (200, 62.0)
    assert [each.by for each in await baselines(rig)] == ["an"]


async def test_a_test_that_measured_nothing_is_no_baseline(rig: Rig) -> None:
    test = await selftested(rig, 1, {"fan_rpm": 1200.0})
    answer = await rig.web.post(f"/api/nodes/{NODE}/commission", json={"by": "an", "test": test})
    assert (answer.status_code, bool(answer.json()["error"]), await baselines(rig)) == (409, True, [])
