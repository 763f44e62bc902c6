"""Work orders: whatever people and measurements do in whatever order, an order says what is true."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.faults import Severity
from controller.domain.workorders import (
    ENDED,
    MAX_PHOTOS,
    TABLE,
    WAITS_FOR_PERSON,
    OrderState,
    PhotoRefused,
    Step,
    WorkOrder,
    after,
    assigned,
    check_photos,
    is_overdue,
    moved,
    opened,
    overdue_next,
    photo_type,
    relapsed,
    taken,
    worse,
)

T0 = datetime(2026, 11, 23, 1, tzinfo=UTC)
WITHIN = {
    Severity.CRITICAL: timedelta(hours=4),
    Severity.MAJOR: timedelta(hours=24),
    Severity.MINOR: timedelta(hours=72),
}

happenings = st.lists(
    st.tuples(st.sampled_from(Step), st.integers(0, 2000), st.sampled_from(Severity), st.sampled_from(("lan", "dinh"))),
    max_size=30,
)


def _happens(order: WorkOrder, step: Step, severity: Severity, person: str, now: datetime) -> WorkOrder:
    match step:
        case Step.WORSE:
            return worse(order, WITHIN[severity], now)
        case Step.RELAPSED:
            return relapsed(order, WITHIN[severity], person, now)
        case Step.ASSIGNED:
            return assigned(order, person, now)
        case Step.ACCEPTED | Step.BEGUN | Step.REPAIRED:
            return taken(order, step, person, now)
        case _:
            return moved(order, step, now)


@given(happenings)
def test_an_order_is_verified_by_a_word_and_a_measurement_and_by_nothing_less(
    steps: list[tuple[Step, int, Severity, str]],
) -> None:
    order, now, proposed = opened(7, WITHIN[Severity.MAJOR], "lan", T0, T0), T0, False
    for step, minutes, severity, person in steps:
        now += timedelta(minutes=minutes)
        before = order
        try:
            order = _happens(order, step, severity, person, now)
        except ValueError:
            assert (before.state, step) not in TABLE
            assert order is before, "what cannot be changes nothing"
            continue
        if step is Step.REPAIRED:
            proposed = True
        elif step in (Step.BEGUN, Step.WORSE, Step.UNVERIFIED, Step.RELAPSED):
            proposed = False
        if step is Step.CLEARED:
            assert order.state is (OrderState.VERIFIED if proposed else OrderState.CLOSED)
        assert (order.closed_at is not None) == (order.state in ENDED)
        assert (order.state is OrderState.REPAIRED) == (proposed and order.state not in ENDED)
        if step is not Step.RELAPSED:
            assert order.due_at <= before.due_at, "nothing gives more time but a fresh start"
        if step in (Step.ACCEPTED, Step.BEGUN, Step.REPAIRED, Step.ASSIGNED):
            assert order.assignee == person
        assert is_overdue(order, now) == (order.state in WAITS_FOR_PERSON and order.due_at <= now)


@pytest.mark.parametrize("state", OrderState)
def test_people_can_always_act_until_it_has_ended_and_never_after(state: OrderState) -> None:
    for step in (Step.ACCEPTED, Step.BEGUN, Step.REPAIRED, Step.ASSIGNED):
        if state in ENDED:
            with pytest.raises(ValueError, match="cannot be"):
                after(state, step)
        else:
            assert after(state, step) not in ENDED, "people propose, measurements decide"


def test_an_order_that_is_measured_again_is_nobodys_delay() -> None:
    order = opened(7, WITHIN[Severity.CRITICAL], "lan", T0, T0)
    late = T0 + timedelta(hours=4)
    assert not is_overdue(order, late - timedelta(seconds=1))
    assert is_overdue(order, late)
    assert not is_overdue(taken(order, Step.REPAIRED, "lan", late), late)
    assert is_overdue(moved(taken(order, Step.REPAIRED, "lan", T0), Step.UNVERIFIED, late), late)


def test_the_next_deadline_is_the_first_that_still_comes() -> None:
    critical, minor = opened(1, WITHIN[Severity.CRITICAL], "", T0, T0), opened(2, WITHIN[Severity.MINOR], "", T0, T0)
    assert overdue_next([minor, critical], T0) == T0 + timedelta(hours=4)
    assert overdue_next([minor, critical], T0 + timedelta(hours=4)) == T0 + timedelta(hours=72)
    assert overdue_next([moved(minor, Step.CLEARED, T0)], T0) is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_pictures_are_known_by_their_bytes(content: bytes, kind: str) -> None:
    assert photo_type(content) == kind


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"GIF89a", b"%PDF-1.7", b"RIFF\x10\x00\x00\x00WAVEfmt ", b"<svg/>"]
)
def test_nothing_else_is_a_picture(content: bytes) -> None:
    with pytest.raises(PhotoRefused, match="no picture"):
        photo_type(content)


def test_an_order_takes_so_many_pictures_and_no_more() -> None:
    check_photos(MAX_PHOTOS - 2, 2)
    with pytest.raises(PhotoRefused, match="12 pictures"):
        check_photos(MAX_PHOTOS - 1, 2)
