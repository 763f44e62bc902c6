"""What is alike is kept once, and what is not stays apart."""

from __future__ import annotations

from controller.services.shared import MANY, Shared


def test_equal_things_become_one() -> None:
    shared = Shared()
    first, second = ((word,) for word in ("ban-tin", "ban-tin"))
    assert first is not second
    assert shared.one(first) is first
    assert shared.one(second) is first
    assert shared.one(("khac",)) == ("khac",)


def test_what_is_remembered_does_not_grow_for_ever() -> None:
    shared = Shared()
    for n in range(3 * MANY):
        assert shared.one((n,)) == (n,)
    assert len(shared._known) <= MANY
