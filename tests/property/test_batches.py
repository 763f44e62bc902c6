"""What came in together, put together by kind: each sender is heard in its order, and nothing is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.services.batches import BARRIER, gathered

KINDS = ("status", "heartbeat", "journal", "fault")
spoken = st.tuples(st.sampled_from(KINDS), st.sampled_from("abcd"))
batches = st.lists(spoken | st.just((BARRIER, "")), max_size=60)


@given(batches)
def test_each_is_heard_once_in_its_senders_order(batch: list[tuple[str, str]]) -> None:
    groups = gathered((kind, sender, n) for n, (kind, sender) in enumerate(batch))
    order = [n for _, numbers in groups for n in numbers]
    assert sorted(order) == list(range(len(batch)))
    assert all(batch[n][0] == kind for kind, numbers in groups for n in numbers)
    for sender in "abcd":
        own = [n for n in order if batch[n][1] == sender]
        assert own == sorted(own)


@given(batches)
def test_nothing_passes_the_brokers_coming_and_going(batch: list[tuple[str, str]]) -> None:
    groups = gathered((kind, sender, n) for n, (kind, sender) in enumerate(batch))
    order = [n for _, numbers in groups for n in numbers]
    for n, (kind, _) in enumerate(batch):
        if kind == BARRIER:
            assert set(order[: order.index(n)]) == set(range(n))


def test_a_thousand_nodes_that_speak_in_turn_make_few_groups() -> None:
    batch = [(kind, str(node), 0) for node in range(1000) for kind in ("status", "heartbeat", "journal")]
    assert [kind for kind, _ in gathered(batch)] == ["status", "heartbeat", "journal"]
