"""What we have not read yet is nobody's silence: up to when all that nodes had to tell is in the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.hearing import BEHIND_S, RETOLD_S, Hearing

RESENT_S = 60.0
"""A node sends again what was not acknowledged, at the latest after this."""


def test_who_keeps_up_has_heard_everything() -> None:
    hearing = Hearing()
    hearing.take(100.0, 100.0 + BEHIND_S)
    assert hearing.upto(None, 106.0) == 106.0
    assert hearing.upto(105.5, 106.0) == 105.5


def test_who_is_behind_or_just_was_has_heard_what_was_said_a_minute_before_what_waits() -> None:
    hearing = Hearing()
    assert hearing.upto(900.0, 1000.0) == 900.0 - RETOLD_S
    hearing.take(900.0, 1000.0)
    assert hearing.upto(None, 1001.0) == 1001.0 - RETOLD_S
    assert hearing.upto(None, 1000.1 + RETOLD_S) == 1000.1 + RETOLD_S


def test_what_the_database_refused_comes_again_before_anything_is_said_of_it() -> None:
    hearing = Hearing()
    for at in (500.0, 560.0, 620.0):
        hearing.refused(at - 1, at)
    assert hearing.upto(None, 620.0 + RETOLD_S) == 499.0
    assert hearing.upto(None, 620.1 + RETOLD_S) == 620.1 + RETOLD_S
    hearing.refused(999.0, 1000.0)
    assert hearing.upto(None, 1000.0) == 999.0, "what was refused long ago is over"


@dataclass
class Line:
    """What nodes say, in the order in which it comes in; each entry is its number and when it comes (again)."""

    waits: list[tuple[float, int]] = field(default_factory=list)
    written: set[int] = field(default_factory=set)

    @property
    def oldest(self) -> float | None:
        return self.waits[0][0] if self.waits else None


steps = st.lists(
    st.tuples(
        st.floats(0.1, 100),  # seconds until the next turn
        st.integers(0, 4),  # entries said meanwhile
        st.integers(1, 6),  # entries read in one go
        st.booleans(),  # whether the database refuses them
        st.floats(1, RESENT_S),  # how soon they are sent again then
    ),
    max_size=40,
)


@given(steps)
def test_whatever_is_read_late_or_refused_all_that_was_said_by_then_is_written(
    turns: list[tuple[float, int, int, bool, float]],
) -> None:
    hearing, mono, said, coming = Hearing(), 1000.0, list[float](), Line()
    for pause, count, at_once, refused, again in turns:
        said += [mono + pause * n / (count + 1) for n in range(1, count + 1)]
        first = len(said) - count
        coming.waits = sorted([*coming.waits, *((said[n], n) for n in range(first, len(said)))])
        mono += pause
        come = Line([one for one in coming.waits if one[0] <= mono], coming.written)
        _holds(hearing, come, said, mono)
        if not come.waits:
            continue
        taken = come.waits[:at_once]
        hearing.take(taken[0][0], mono)
        coming.waits = [one for one in coming.waits if one not in taken]
        if refused:
            hearing.refused(taken[0][0], mono)
            coming.waits = sorted([*coming.waits, *((mono + again, n) for _, n in taken)])
        else:
            coming.written |= {n for _, n in taken}
        _holds(hearing, Line([one for one in coming.waits if one[0] <= mono], coming.written), said, mono)


def _holds(hearing: Hearing, line: Line, said: list[float], mono: float) -> None:
    upto = hearing.upto(line.oldest, mono)
    assert upto <= mono
    assert all(n in line.written for n, at in enumerate(said) if at < upto)
