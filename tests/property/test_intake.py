"""Whatever bytes arrive on an `up/` topic: they are counted, and nothing stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.adapters.store.sql import SqlStore
from controller.ports import Received
from controller.services.changes import Changes
from controller.services.dispatch import Dispatch
from controller.services.intake import Intake
from controller.services.ledger import Ledger
from controller.wire.messages import MAX_UP_PAYLOAD, FaultReport, Heartbeat, JournalEntry, Status
from tests.fakes import FakeBus, FakeClock
from tests.house import KEY, NEWS, network

KINDS = ["status", "heartbeat", "journal", "fault/clock", "fault/" + "x" * 80, "fault", "else", "", "status/more"]
NODES = ["na-meo-01", "na-meo-02", "stranger", "NA MEO", "+", "#", "$SYS", "", "a" * 49, "xã"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=12,
)
FIELDS = [
    "boot",
    "conn",
    "seq",
    "at",
    "log",
    "n",
    "kind",
    "online",
    "reason",
    "code",
    "component",
    "metrics",
    "results",
]
TIMES = ["2026-11-23T01:00:00.000Z", "2026-11-23T01:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
GOOD = {"boot": "b", "conn": 1, "seq": 1, "at": TIMES[0], "log": "a", "n": 1, "kind": "playlists", "code": "clock"}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


nearly = st.dictionaries(st.sampled_from(FIELDS), json_values | st.sampled_from(TIMES), max_size=6).map(
    lambda odd: as_json({**GOOD, "online": True, "reason": "birth", "component": "clock", **odd})
)
payloads = st.one_of(
    st.binary(max_size=200),
    json_values.map(as_json),
    nearly,
    st.sampled_from([b"", b"null", b"[" * 5000, b'{"a":' * 3000, b"\xff\xfe", b'"\\ud800"', b"1e999", b"9" * 5000]),
    st.integers(MAX_UP_PAYLOAD + 1, MAX_UP_PAYLOAD * 4).map(lambda size: b"x" * size),
)
messages = st.tuples(st.sampled_from(NODES), st.sampled_from(KINDS), payloads, st.booleans())


class Listening:
    """Counts what intake lets through."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    async def on_bus_up(self, mono: float) -> None: ...

    async def on_bus_down(self, reason: str, mono: float) -> None: ...

    async def on_statuses(self, batch: list[tuple[str, Status, float, bool]]) -> None:
        self.heard.extend(batch)

    async def on_heartbeats(self, batch: list[tuple[str, Heartbeat, float]]) -> None:
        self.heard.extend(batch)

    async def on_fault(self, node: str, code: str, report: FaultReport | None, mono: float, retain: bool) -> None:
        self.heard.append(report)

    async def on_journal(self, node: str, entry: JournalEntry, mono: float) -> None:
        self.heard.append(entry)


class NoEmergency:
    """Nothing is going on."""

    async def on_bus_up(self) -> None: ...

    async def on_birth(self, node: str) -> None: ...

    async def on_heartbeats(self, batch: list[tuple[str, Heartbeat]]) -> None: ...


async def _fed(batches: list[list[Received]]) -> tuple[Intake, Listening]:
    clock, health, site = FakeClock(), Listening(), network(NEWS)
    bus, store = FakeBus(clock), SqlStore("sqlite://")
    await store.open()
    dispatch = Dispatch(site, store=store, bus=bus, clock=clock, key=KEY)
    await dispatch.start()
    changes = Changes()
    ledger = Ledger(store=store, clock=clock, changes=changes, wanted=dispatch.wanted, version=dispatch.version)
    intake = Intake(
        site,
        clock=clock,
        bus=bus,
        dispatch=dispatch,
        ledger=ledger,
        health=health,
        changes=changes,
        alarms=NoEmergency(),
    )
    for batch in batches:
        await intake.take(batch)
    last = Received("loa/v1/up/na-meo-01/heartbeat", as_json({**GOOD, "conn": 2}), retain=False, mono=clock.monotonic())
    await intake.take([last])
    await store.close()
    return intake, health


def _received(batch: list[tuple[str, str, bytes, bool]]) -> Iterator[Received]:
    for node, kind, payload, retain in batch:
        yield Received(f"loa/v1/up/{node}/{kind}", payload, retain, mono=1.0)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(messages, min_size=20, max_size=20), min_size=2, max_size=2))
def test_twelve_thousand_hostile_messages_stop_nothing(batches: list[list[tuple[str, str, bytes, bool]]]) -> None:
    intake, health = asyncio.run(_fed([list(_received(batch)) for batch in batches]))
    assert isinstance(health.heard[-1], tuple), "the good heartbeat after all of them is heard"
    counted = intake.counters
    known = sum(counted[kind] for kind in ("status", "heartbeat", "journal", "fault"))
    assert known + counted["topic"] + counted["stranger"] == sum(map(len, batches)) + 1
    assert counted["undecodable"] + counted["retained"] <= known


async def test_a_good_message_between_bad_ones_is_heard() -> None:
    topic = "loa/v1/up/na-meo-01/heartbeat"
    batch = [Received(topic, payload, False, 1.0) for payload in (b"{", as_json(GOOD), b"\x00" * 20_000)]
    intake, health = await _fed([batch])
    assert len(health.heard) == 2
    assert intake.counters["undecodable"] == 2


@pytest.mark.parametrize(
    "odd",
    [{"at": "9999-12-31T23:59:59-14:00"}, {"at": "0001-01-01T00:00:00+14:00"}, {"at": "2026-11-23"}, {"boot": "a\0b"}],
)
async def test_what_no_calendar_or_database_can_hold_is_refused_at_the_door(odd: dict[str, str]) -> None:
    payload = as_json({**GOOD, **odd})
    intake, _ = await _fed([[Received("loa/v1/up/na-meo-01/heartbeat", payload, False, 1.0)]])
    assert intake.counters["undecodable"] == 1


async def test_a_retained_heartbeat_is_no_life() -> None:
    intake, health = await _fed([[Received("loa/v1/up/na-meo-01/heartbeat", as_json(GOOD), True, 1.0)]])
    assert len(health.heard) == 1
    assert intake.counters["retained"] == 1
