"""Delivery of messages: in order, once by key, patiently, and one receiver's trouble is nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar

import pytest

from controller.domain.escalation import OutboxState, Person
from controller.domain.incidents import Incident, IncidentState
from controller.domain.site import Settings
from controller.ports import NotifyError, Outgoing, Store, StoreError, Tx
from tests.alerts_support import CountingStore, Desk, Receiver, hook, incident, mail, open_store, person, settings
from tests.fakes import FakeClock

T = TypeVar("T")

BUSY = "450 mailbox busy"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    made = await open_store()
    yield made
    await made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def post() -> Receiver:
    return Receiver()


def desk_of(store: Store, clock: FakeClock, post: Receiver, *people: Person) -> Desk:
    return Desk(store, clock, settings(*people), {"smtp": post})


def closed(id: int = 1, clock: FakeClock | None = None) -> Incident:
    at = clock.now() if clock else None
    return incident(id, state=IncidentState.CLOSED, closed_at=at)


def refuses(times: int, error: NotifyError) -> Callable[[Outgoing], NotifyError | None]:
    left = [times]

    def answer(message: Outgoing) -> NotifyError | None:
        left[0] -= 1
        return error if left[0] >= 0 else None

    return answer


async def test_a_new_incident_reaches_every_channel_of_a_person_at_once(store: Store, clock: FakeClock) -> None:
    mails, hooks = Receiver(), Receiver()
    both = settings(person("lan", mail(), also=(hook(),)))
    async with Desk(store, clock, both, {"smtp": mails, "webhook": hooks}) as desk:
        await desk.announce("opened")
    assert mails.subjects == hooks.subjects == ["[Nguy cấp] Na Mèo 03: hỏng tăng âm"]
    assert mails.got[0].key != hooks.got[0].key


async def test_a_program_at_a_webhook_gets_the_incident_as_it_is_now(store: Store, clock: FakeClock) -> None:
    hooks = Receiver()
    made = await store.transact(lambda tx: tx.new_incident(incident()))
    async with Desk(store, clock, settings(person("lan", hook())), {"webhook": hooks}) as desk:
        await desk.announce("opened", made)
    assert hooks.got[0].data == {
        "incident": made.id,
        "transition": "opened",
        "recipient": "lan",
        "created_at": "2026-11-23T01:00:00+00:00",
        "merged": [],
        "severity": "critical",
        "state": "open",
        "scope": "node",
        "subject_id": "na-meo-03",
        "commune": "na-meo",
        "cause": "amplifier",
        "component": "amplifier",
        "opened_at": "2026-11-23T00:59:20+00:00",
        "closed_at": None,
        "nodes": [],
        "evidence": {"amp_vrms": 0.04, "src_dbfs": -12.3},
    }


async def test_an_attempt_is_on_record_before_the_message_leaves(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.hang = asyncio.Event()
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        [row] = await desk.rows()
        tries = await store.transact(lambda tx: tx.attempts(row.id))
    assert (row.state, row.attempts, [attempt.outcome for attempt in tries]) == (OutboxState.CLAIMED, 1, [""])


async def test_a_busy_receiver_is_asked_after_5_15_60_300_and_then_every_900_seconds(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    asked: list[float] = []

    def answer(message: Outgoing) -> NotifyError | None:
        asked.append(clock.monotonic())
        return NotifyError(BUSY)

    post.answer = answer
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.later(3100)
        [row] = await desk.rows()
    assert [round(later - earlier) for earlier, later in pairwise(asked)] == [
        5,
        15,
        60,
        300,
        900,
        900,
        900,
    ]
    assert (row.state, row.last_error) == (OutboxState.RETRY, BUSY)


async def test_a_message_nobody_takes_for_a_day_ends_visibly_dead(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = lambda message: NotifyError(BUSY)
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.later(24 * 3600)
        assert await desk.states() == [("opened", OutboxState.RETRY)]
        await desk.later(2 * 3600)
        assert await desk.states() == [("opened", OutboxState.DEAD)]
        asked = len(post.asked)
        await desk.later(24 * 3600)
    assert len(post.asked) == asked


async def test_a_channel_that_was_down_for_a_day_then_gets_everything_in_order(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = lambda message: NotifyError("connection refused")
    async with desk_of(store, clock, post) as desk:
        for id in (1, 2, 3, 4):
            await desk.announce("opened", incident(id))
        await desk.later(24 * 3600)
        post.answer = lambda message: None
        await desk.later(900)
    numbers = [message.data["incident"] for message in post.got]
    assert numbers == [1, 2, 3, 4]


async def test_a_refusal_for_good_is_dead_at_once_and_the_next_message_still_goes(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = lambda message: (
        NotifyError("550 no such user", permanent=True) if message.data["incident"] == 1 else None
    )
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened", incident(1))
        await desk.announce("opened", incident(2))
        rows = await desk.rows()
    assert [row.state for row in rows] == [OutboxState.DEAD, OutboxState.SENT]
    assert rows[0].last_error == "550 no such user"


# --- the next channel ------------------------------------------------------------------------------------------


def two_channels() -> Settings:
    return settings(person("lan", hook(), mail()))


async def test_only_the_first_channel_that_takes_it_gets_a_message(store: Store, clock: FakeClock) -> None:
    hooks, mails = Receiver(), Receiver()
    async with Desk(store, clock, two_channels(), {"webhook": hooks, "smtp": mails}) as desk:
        await desk.announce("opened")
        await desk.later(3600)
        states = await desk.states()
    assert (len(hooks.got), len(mails.asked)) == (1, 0)
    assert states == [("opened", OutboxState.SENT), ("opened", OutboxState.MERGED)]


async def test_a_channel_that_refuses_for_good_passes_its_message_on_at_once(store: Store, clock: FakeClock) -> None:
    hooks, mails = Receiver(), Receiver()
    hooks.answer = lambda message: NotifyError("410 gone", permanent=True)
    async with Desk(store, clock, two_channels(), {"webhook": hooks, "smtp": mails}) as desk:
        await desk.announce("opened")
        states = await desk.states()
    assert len(mails.got) == 1
    assert states == [("opened", OutboxState.DEAD), ("opened", OutboxState.SENT)]


async def test_a_channel_that_fails_for_now_has_five_minutes(store: Store, clock: FakeClock) -> None:
    hooks, mails = Receiver(), Receiver()
    hooks.answer = lambda message: NotifyError("503")
    async with Desk(store, clock, two_channels(), {"webhook": hooks, "smtp": mails}) as desk:
        await desk.announce("opened")
        await desk.later(299)
        assert mails.asked == []
        await desk.later(1)
        hooks.answer = lambda message: None
        await desk.later(3600)
    assert (len(mails.got), len(hooks.got)) == (1, 0), "once, and not again when the first channel is back"


async def test_what_another_channel_told_is_not_told_again_with_the_recovery(store: Store, clock: FakeClock) -> None:
    hooks, mails = Receiver(), Receiver()
    hooks.answer = refuses(1, NotifyError("410", permanent=True))
    async with Desk(store, clock, two_channels(), {"webhook": hooks, "smtp": mails}) as desk:
        await desk.announce("opened")
        await desk.announce("recovered", closed(clock=clock))
    assert mails.subjects == ["[Nguy cấp] Na Mèo 03: hỏng tăng âm"]
    assert "chưa gửi được" not in hooks.got[0].body


async def test_while_one_channel_may_have_the_message_the_next_one_waits(store: Store, clock: FakeClock) -> None:
    hooks, mails = Receiver(), Receiver()
    hooks.answer = lambda message: NotifyError("503") if clock.monotonic() < 380 else None
    async with Desk(store, clock, two_channels(), {"webhook": hooks, "smtp": mails}) as desk:
        await desk.announce("opened")
        await desk.later(290)
        hung = hooks.hang = asyncio.Event()
        desk.alerting.reload(desk.settings)
        await desk.later(95)
        hung.set()
        await desk.later(600)
    assert len(hooks.got) + len(mails.got) == 1


def crowded(sent_at: list[float]) -> int:
    """The most of these in any ten minutes."""
    return max(sum(1 for at in sent_at if start <= at < start + 600) for start in sent_at)


@pytest.mark.parametrize("copies", [1, 2, 4])
async def test_a_hundred_incidents_are_at_most_ten_messages_with_all_their_copies(
    store: Store, clock: FakeClock, copies: int
) -> None:
    lan = person("lan", mail(), also=tuple(hook(f"http://127.0.0.1:9/{n}") for n in range(copies)))
    messages, repeats = Receiver(), Receiver()
    sent_at: list[float] = []
    messages.answer = repeats.answer = lambda message: sent_at.append(clock.monotonic())
    async with Desk(store, clock, settings(lan), {"smtp": messages, "webhook": repeats}) as desk:
        for id in range(1, 101):
            await desk.announce("opened", incident(id))
            await desk.later(6)
        await desk.later(1500)
        states = {state for _, state in await desk.states()}
    assert (crowded(sent_at) <= 10, states) == (True, {OutboxState.SENT, OutboxState.MERGED})


async def test_no_message_waits_for_the_copies_of_those_before_it(store: Store, clock: FakeClock) -> None:
    lan = person("lan", mail(), also=(hook("http://127.0.0.1:9/1"), hook("http://127.0.0.1:9/2")))
    post, copies = Receiver(), Receiver()
    async with Desk(store, clock, settings(lan), {"smtp": post, "webhook": copies}) as desk:
        for id in range(1, 6):
            await desk.announce("opened", incident(id))
        assert (len(post.got), len(copies.got)) == (5, 2)
        await desk.later(601)
        assert [message.subject.count("Tổng hợp") for message in copies.got] == [0, 0, 1, 1]


async def test_all_that_waited_for_a_channel_is_told_as_soon_as_it_is_back(store: Store, clock: FakeClock) -> None:
    """Even a copy, of which two go in ten minutes."""
    lan = person("lan", mail(), also=(hook(),))
    copies = Receiver()
    copies.answer = lambda message: NotifyError("connection refused")
    async with Desk(store, clock, settings(lan), {"smtp": Receiver(), "webhook": copies}) as desk:
        for id in range(1, 201):
            await desk.announce("opened", incident(id))
        await desk.later(3600)
        copies.answer = lambda message: None
        await desk.later(900)
        rows = await store.transact(lambda tx: tx.outbox(limit=1000))
    left = [row for row in rows if row.state not in (OutboxState.SENT, OutboxState.MERGED)]
    assert (left, len(copies.got) <= 2) == ([], True)


async def test_who_has_only_copies_gets_them_like_messages(store: Store, clock: FakeClock) -> None:
    lan = replace(person("lan", also=(hook(),)), channels=())
    post = Receiver()
    async with Desk(store, clock, settings(lan), {"webhook": post}) as desk:
        for id in range(1, 6):
            await desk.announce("opened", incident(id))
        assert len(post.got) == 5


async def test_a_channel_that_became_a_copy_takes_no_message_over_the_limit(store: Store, clock: FakeClock) -> None:
    before, after = settings(person("lan", mail(), hook())), settings(person("lan", hook(), also=(mail(),)))
    sent_at: list[float] = []
    post = Receiver()
    post.answer = lambda message: sent_at.append(clock.monotonic())
    for configured in (before, after, before, after):
        async with Desk(store, clock, configured, {"smtp": post, "webhook": post}) as desk:
            for _ in range(10):
                await desk.announce("opened", incident(len(await desk.rows()) + 1))
            await desk.later(60)
    assert crowded(sent_at) == 10


async def test_a_receiver_that_asks_for_a_pause_gets_it(store: Store, clock: FakeClock, post: Receiver) -> None:
    post.answer = refuses(1, NotifyError("429", retry_after_s=120))
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.later(119)
        assert post.got == []
        await desk.later(1)
        assert len(post.got) == 1


async def test_opened_and_recovered_while_a_channel_was_down_are_one_message(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = refuses(1, NotifyError(BUSY))
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.announce("recovered", closed(clock=clock))
        await desk.later(60)
        states = await desk.states()
    assert post.subjects == ["[Đã phục hồi] Na Mèo 03: hỏng tăng âm"]
    assert "Việc cần làm (phải trèo cột): Thay mô-đun" in post.got[0].body, "the first text is told too"
    assert post.got[0].data["merged"] == [{"incident": 1, "transition": "opened"}]
    assert states == [("opened", OutboxState.MERGED), ("recovered", OutboxState.SENT)]


async def test_nobody_hears_opened_after_recovered_when_the_last_try_of_opened_broke_off(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.hang = asyncio.Event()
    desk = desk_of(store, clock, post)
    async with desk:
        await desk.announce("opened")
        await desk.crash()  # the message may or may not have arrived
    post.hang = None
    async with desk_of(store, clock, post) as again:
        await again.announce("recovered", closed(clock=clock))
        assert post.got == [], "while the first may be on its way, the second waits"
        await again.later(90)
        await again.later(3600)
    assert post.subjects == ["[Đã phục hồi] Na Mèo 03: hỏng tăng âm"]


async def test_a_message_of_a_killed_controller_goes_again_under_its_key_when_its_lease_ends(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.hang = asyncio.Event()
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
    post.hang = None
    async with desk_of(store, clock, post) as again:
        await again.later(89)
        assert post.got == []
        await again.later(1)
        states = await again.states()
    assert [message.key for message in post.asked] == [post.got[0].key] * 2
    assert states == [("opened", OutboxState.SENT)]


async def test_what_a_controller_left_whose_clock_was_an_hour_ahead_does_not_wait_an_hour(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    clock.step_wall(3600)
    post.hang = asyncio.Event()
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.announce("opened", incident(id=8))
    clock.step_wall(-3600)
    post.hang = None
    async with desk_of(store, clock, post) as again:
        await again.later(100)
        states = await again.states()
    assert {state for _, state in states} == {OutboxState.SENT}


async def test_a_restart_sends_nothing_again(store: Store, clock: FakeClock, post: Receiver) -> None:
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
    async with desk_of(store, clock, post) as again:
        await again.later(24 * 3600)
    assert len(post.asked) == 1


async def test_a_hung_receiver_delays_nobody_else(store: Store, clock: FakeClock) -> None:
    hung, well = Receiver(), Receiver()
    hung.hang = asyncio.Event()
    both = settings(person("lan", hook(), also=(mail(),)))
    async with Desk(store, clock, both, {"smtp": hung, "webhook": well}) as desk:
        for id in (1, 2, 3):
            await desk.announce("opened", incident(id))
    assert (len(hung.asked), len(well.got)) == (1, 3)


async def test_a_message_its_receiver_never_takes_does_not_hold_up_the_others(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = lambda message: NotifyError("500") if message.data["incident"] == 1 else None
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened", incident(1))
        await desk.announce("opened", incident(2))
        await desk.later(60)
    assert [message.data["incident"] for message in post.got] == [2]


async def test_a_mail_that_perhaps_arrived_is_repeated_once_and_then_called_uncertain(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = lambda message: NotifyError("fell silent", uncertain=True)
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.later(24 * 3600)
        [row] = await desk.rows()
    assert len(post.asked) == 2
    assert (row.state, row.last_error) == (OutboxState.UNCERTAIN, "uncertain: fell silent")


async def test_a_webhook_that_perhaps_arrived_is_repeated_under_its_key_until_it_answers(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = refuses(4, NotifyError("fell silent", uncertain=True))
    async with Desk(store, clock, settings(person("lan", hook())), {"webhook": post}) as desk:
        await desk.announce("opened")
        await desk.later(3600)
        states = await desk.states()
    assert len({message.key for message in post.asked}) == 1
    assert (len(post.asked), states) == (5, [("opened", OutboxState.SENT)])


async def test_a_hundred_incidents_at_once_are_at_most_ten_messages_in_ten_minutes_and_none_is_left_out(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    sent_at: list[float] = []
    async with desk_of(store, clock, post) as desk:
        post.answer = lambda message: sent_at.append(clock.monotonic())
        for id in range(1, 101):
            await desk.announce("opened", incident(id))
            await desk.later(6)
        await desk.later(900)
        states = await desk.states()
    told = sum(message.body.count("số ") for message in post.got if "Tổng hợp" in message.subject)
    alone = sum("Tổng hợp" not in message.subject for message in post.got)
    assert crowded(sent_at) <= 10
    assert {state for _, state in states} == {OutboxState.SENT, OutboxState.MERGED}
    assert (alone, told) == (5, 95)


async def test_a_restart_does_not_forget_how_many_messages_a_person_just_got(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    for id in range(1, 8):
        async with desk_of(store, clock, post) as desk:
            await desk.announce("opened", incident(id))
    assert len(post.got) == 5


async def test_a_wall_clock_set_back_an_hour_holds_no_message(store: Store, clock: FakeClock, post: Receiver) -> None:
    post.answer = refuses(1, NotifyError(BUSY))
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        clock.step_wall(-3600)
        await desk.later(5)
    assert len(post.got) == 1


async def test_a_channel_taken_out_of_the_configuration_leaves_its_messages_visibly_dead(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    post.answer = lambda message: NotifyError(BUSY)
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        desk.alerting.reload(settings(person("lan", mail("new@example.org"))))
        await desk.quiet()
        await desk.later(5)
        [row] = await desk.rows()
    assert (row.state, row.last_error) == (
        OutboxState.DEAD,
        "this person or channel is no longer in alerts.yaml",
    )


async def test_new_settings_make_a_pausing_channel_try_again_with_the_new_relay(store: Store, clock: FakeClock) -> None:
    class Relay(Receiver):
        def reload(self, settings: Settings) -> None:
            self.answer = lambda message: None

    post = Relay()
    post.answer = lambda message: NotifyError("535 wrong password")
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.later(400)
        desk.alerting.reload(desk.settings)
        await desk.announce("opened", incident(2))
    assert [message.data["incident"] for message in post.got] == [2]


async def test_the_page_hears_of_every_outcome(store: Store, clock: FakeClock, post: Receiver) -> None:
    async with desk_of(store, clock, post) as desk:
        heard: set[str] = set()

        async def watch() -> None:
            async for topics in desk.changes.watch():
                heard.update(topics)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await desk.announce("opened")
        watching.cancel()
    assert "alerts" in heard


async def test_times_of_a_message_are_its_own(store: Store, clock: FakeClock, post: Receiver) -> None:
    post.answer = refuses(1, NotifyError(BUSY))
    async with desk_of(store, clock, post) as desk:
        await desk.announce("opened")
        await desk.later(5)
        [row] = await desk.rows()
    assert row.sent_at == row.created_at + timedelta(seconds=5)


async def test_two_controllers_on_one_database_send_each_message_once(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    async with desk_of(store, clock, post) as one, desk_of(store, clock, post) as other:
        for id in (1, 2, 3):
            await one.announce("opened", incident(id))
            other.alerting.wake()
            await other.quiet()
        await other.later(3600)
        await one.quiet()
    assert sorted(message.data["incident"] for message in post.got) == [1, 2, 3]


async def test_a_claim_that_another_controller_won_sends_nothing_and_looks_again(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    lost = [True]

    class Losing:
        def __init__(self, tx: Tx) -> None:
            self._tx = tx

        def __getattr__(self, name: str) -> object:
            return getattr(self._tx, name)

        def claim(self, id: int, until: datetime, now: datetime) -> bool:
            return False if lost[0] else self._tx.claim(id, until, now)

    class Contended(CountingStore):
        async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
            return await super().transact(lambda tx: work(Losing(tx)), ahead=ahead)  # type: ignore[arg-type]

    async with desk_of(Contended(store), clock, post) as desk:
        await desk.announce("opened")
        assert post.asked == []
        lost[0] = False
        await desk.later(5)
    assert len(post.got) == 1


async def test_a_store_in_trouble_delays_messages_and_loses_none(
    store: Store, clock: FakeClock, post: Receiver
) -> None:
    trouble = [False]

    class Ailing(CountingStore):
        async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
            if trouble[0]:
                raise StoreError("disk full")
            return await super().transact(work, ahead=ahead)

    ailing = Ailing(store)
    hung = post.hang = asyncio.Event()
    async with desk_of(ailing, clock, post) as desk:
        await desk.announce("opened")
        trouble[0] = True
        hung.set()  # the receiver took it, and its outcome cannot be written
        await clock.advance(300)
        trouble[0] = False
        await desk.later(60)
        states = await desk.states()
    assert states == [("opened", OutboxState.SENT)]
    assert len(post.asked) == 1


async def test_a_senders_bug_silences_nobody_else_and_is_told(store: Store, clock: FakeClock) -> None:
    class Broken:
        async def send(self, channel: object, message: Outgoing) -> None:
            raise ZeroDivisionError("nobody expected this")

    mails = Receiver()
    both = settings(person("lan", mail(), also=(hook(),)))
    async with Desk(store, clock, both, {"smtp": mails, "webhook": Broken()}) as desk:  # type: ignore[dict-item]
        await desk.announce("opened")
    assert len(mails.got) == 1
    rows = await store.transact(lambda tx: tx.outbox())
    (broken,) = [row for row in rows if row.channel.startswith("webhook")]
    assert "ZeroDivisionError" in broken.last_error
    assert broken.state is not OutboxState.SENT
