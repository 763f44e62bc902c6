"""Finding nodes among many, and a page of what was found."""

from __future__ import annotations

import pytest

from controller.domain.finding import TROUBLE, Wanted, folded, matching, page
from tests.district import district

SITE = district()
STATES = {"na-meo-01": "offline", "son-lu-02": "suspect"}
FAULTY = {"quan-son-05"}


def found(**wanted: str) -> list[str]:
    return [
        node.id
        for node in matching(
            SITE.nodes.values(),
            Wanted(**wanted),  # type: ignore[arg-type]
            lambda place: SITE.zones[place].name if place in SITE.zones else place,
            lambda node: STATES.get(node, "online"),
            FAULTY.__contains__,
        )
    ]


@pytest.mark.parametrize("words", ["Mường Mìn 3", "muong min 3", "MUONG  min 3", "muong-min-03", "hau muong"])
def test_a_node_is_found_without_accents_and_in_any_order_of_words(words: str) -> None:
    assert found(words=words) == ["muong-min-03"]


def test_a_letter_with_a_stroke_is_found_by_the_plain_one() -> None:
    assert (folded("Đường ĐỎ"), folded("Sơn Điện")) == ("duong do", "son dien")


def test_trouble_is_what_is_not_online_or_has_a_fault() -> None:
    assert found(state=TROUBLE) == ["na-meo-01", "son-lu-02", "quan-son-05"]
    assert found(state="suspect") == ["son-lu-02"]
    assert found(state=TROUBLE, commune="na-meo") == ["na-meo-01"]
    assert found(words="nowhere") == []


@pytest.mark.parametrize("limit", [1, 7, 59, 60, 61, None])
def test_the_pages_together_are_all_of_it_once(limit: int | None) -> None:
    every, seen, offset = list(range(60)), list[int](), 0
    while True:
        got = page(every, Wanted(offset=offset, limit=limit))
        seen += got.found
        assert got.total == 60
        if got.next is None:
            break
        offset = got.next
    assert seen == every
    assert page(every, Wanted(offset=500, limit=limit)).found == []
