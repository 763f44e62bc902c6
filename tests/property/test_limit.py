"""Never more than ten messages in ten minutes to one person, over all channels and with their copies; and nobody waits
for a copy."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.outbox import Policy, most_copies, room_for

POLICY = Policy()
T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
CHANNELS = ("mail", "telegram")
COPIES = tuple(f"copy-{n}" for n in range(most_copies(POLICY)))
Sent = list[tuple[datetime, str]]

waiting = st.lists(
    st.tuples(st.integers(0, 900).map(lambda s: T0 + timedelta(seconds=s)), st.sampled_from([*CHANNELS, *COPIES])),
    min_size=20,
    max_size=150,
)
"""When something began to wait on which channel."""


def sent(arrivals: Sent, copies: tuple[str, ...]) -> Sent:
    """Each channel sends what waits as soon as there is room; what waits together is one message if it is crowded."""
    got: Sent = []
    left = Counter[str]()
    events = {at for at, _ in arrivals}
    while events:
        now = min(events)
        events.discard(now)
        left.update(on for at, on in arrivals if at == now)
        for channel in sorted(left, key=lambda on: on not in copies):  # the worst case: copies are quicker
            while left[channel]:
                room = room_for(got, channel, copies, POLICY, now)
                if room.slot > now:
                    events.add(room.slot)
                    break
                got.append((now, channel))
                left[channel] = 0 if room.is_crowded(left[channel]) else left[channel] - 1
    assert not +left, "nothing waits for ever"
    return got


def most_in_ten_minutes(times: list[datetime]) -> int:
    ordered = sorted(times)
    ends = (bisect_left(ordered, at + timedelta(minutes=10)) for at in ordered)
    return max((end - start for start, end in enumerate(ends)), default=0)


@settings(max_examples=150, deadline=None)
@given(waiting, st.integers(0, len(COPIES)))
def test_nobody_gets_more_than_ten_messages_in_ten_minutes_copies_included(arrivals: Sent, copies: int) -> None:
    known = (*CHANNELS, *COPIES[:copies])
    got = sent([(at, on) for at, on in arrivals if on in known], COPIES[:copies])
    assert most_in_ten_minutes([at for at, _ in got]) <= 10


@settings(max_examples=150, deadline=None)
@given(waiting, st.integers(1, len(COPIES)))
def test_no_message_waits_for_a_copy(arrivals: Sent, copies: int) -> None:
    known = (*CHANNELS, *COPIES[:copies])
    with_copies = sent([(at, on) for at, on in arrivals if on in known], COPIES[:copies])
    without = sent([(at, on) for at, on in arrivals if on in CHANNELS], COPIES[:copies])
    assert [each for each in with_copies if each[1] in CHANNELS] == without


@settings(max_examples=150, deadline=None)
@given(waiting, st.lists(st.integers(0, len(COPIES)), min_size=2, max_size=4))
def test_a_change_of_who_gets_copies_does_not_raise_the_limit(arrivals: Sent, changes: list[int]) -> None:
    got: Sent = []
    for at, channel in sorted(arrivals):
        copies = COPIES[: changes[int((at - T0).total_seconds()) * len(changes) // 901]]
        if room_for(got, channel, copies, POLICY, at).slot <= at:
            got.append((at, channel))
    assert most_in_ten_minutes([at for at, _ in got]) <= 10
