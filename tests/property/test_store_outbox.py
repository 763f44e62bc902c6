"""The outbox under any sequence of claims, outcomes, deaths of workers and clock steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controller.adapters.store import schema
from controller.adapters.store.engine import make_engine
from controller.adapters.store.tx import SqlTx
from controller.domain.escalation import OutboxRow, OutboxState

T0 = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
LEASE = timedelta(seconds=90)
CHANNEL = "smtp:dinh@example.invalid"
TRANSITIONS = ("opened", "severity-2", "recovered")
WAITING = (OutboxState.PENDING, OutboxState.RETRY)
FINAL = (OutboxState.SENT, OutboxState.DEAD, OutboxState.MERGED)

transitions = st.sampled_from(TRANSITIONS)
seconds = st.integers(-3600, 3600).map(lambda n: timedelta(seconds=n))


class Outbox(RuleBasedStateMachine):
    """Claims succeed exactly for what is due; what is sent or dead never changes again."""

    @initialize()
    def start(self) -> None:
        self.engine = make_engine("sqlite://")
        self.connection = self.engine.connect()
        self.connection.begin()
        schema.metadata.create_all(self.connection)
        self.tx = SqlTx(self.connection)
        self.now = T0
        self.claims: dict[str, int] = dict.fromkeys(TRANSITIONS, 0)
        self.final: dict[str, OutboxRow] = {}

    def rows(self) -> dict[str, OutboxRow]:
        return {row.transition: row for row in self.tx.outbox()}

    @rule(transition=transitions, delay=seconds)
    def enqueue(self, transition: str, delay: timedelta) -> None:
        known = transition in self.rows()
        row = OutboxRow(1, transition, "dinh", CHANNEL, self.now + delay, self.now, "s", "b")
        assert self.tx.enqueue(row) == (not known)

    @rule(step=seconds)
    def clock_steps(self, step: timedelta) -> None:
        self.now += step

    @rule(transition=transitions)
    def claim(self, transition: str) -> None:
        row = self.rows().get(transition)
        if row is None:
            return
        due = row.id in {waiting.id for waiting in self.tx.due_outbox(CHANNEL, self.now)}
        claimed = self.tx.claim(row.id, self.now + LEASE, self.now)
        assert claimed == due
        self.claims[transition] += claimed

    @rule(
        transition=transitions,
        outcome=st.sampled_from([*FINAL, OutboxState.RETRY, OutboxState.UNCERTAIN]),
        delay=seconds,
    )
    def finish(self, transition: str, outcome: OutboxState, delay: timedelta) -> None:
        row = self.rows().get(transition)
        if row is None:
            return
        self.tx.finish(row.id, outcome, self.now, due_at=self.now + delay, error="why")
        if outcome in FINAL:
            self.final.setdefault(transition, self.rows()[transition])

    @invariant()
    def attempts_are_complete(self) -> None:
        for transition, row in self.rows().items():
            attempts = self.tx.attempts(row.id)
            assert [attempt.n for attempt in attempts] == list(range(1, row.attempts + 1))
            assert row.attempts == self.claims[transition]
            running = [attempt for attempt in attempts if attempt.finished_at is None]
            assert running == (attempts[-1:] if row.state is OutboxState.CLAIMED else [])

    @invariant()
    def what_is_final_stays(self) -> None:
        rows = self.rows()
        for transition, row in self.final.items():
            assert rows[transition] == row
            assert row.state in FINAL

    @invariant()
    def the_next_look_is_when_something_is_due(self) -> None:
        rows = self.rows().values()
        times = [row.due_at for row in rows if row.state in WAITING]
        times += [row.claimed_until for row in rows if row.claimed_until is not None]
        assert self.tx.next_outbox_due(CHANNEL) == min(times, default=None)
        due = self.tx.due_outbox(CHANNEL, self.now)
        assert bool(due) == any(at <= self.now for at in times)
        assert self.tx.outbox_channels() == ([CHANNEL] if times else [])

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
            self.engine.dispose()


TestOutbox = Outbox.TestCase
TestOutbox.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
