"""When a node sends its journal again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

from controller.wire.messages import JournalAck, encode
from simulators.courier import RESEND_S, Courier
from simulators.journal import Journal
from simulators.link import Link
from simulators.timers import Timers


class Entries:
    """A journal of one entry."""

    log, upto, backlog = "l", 0, 1
    sent = False

    def take(self) -> list[bytes]:
        taken, self.sent = ([] if self.sent else [b"entry"]), True
        return taken

    def rewind(self) -> None:
        self.sent = False

    def acknowledge(self, log: str, upto: int) -> bool:
        new, self.upto, self.backlog = upto > self.upto, max(upto, self.upto), 0 if upto else self.backlog
        return new


class Wire:
    connected = True

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        self.got.append(payload)


class Alarm:
    """The timers of a node, of which a test lets one go off."""

    def __init__(self) -> None:
        self.waiting: dict[str, Callable[[], None]] = {}

    def at(self, name: str, mono: float, call: Callable[[], None]) -> None:
        self.waiting[name] = call

    def set(self, name: str) -> bool:
        return name in self.waiting

    def cancel(self, name: str) -> None:
        self.waiting.pop(name, None)

    def go_off(self) -> None:
        self.waiting.pop("resend")()


def courier_of(entries: Entries, wire: Wire, alarm: Alarm) -> Courier:
    known: tuple[Any, ...] = (cast(Journal, entries), "t", cast(Link, wire), cast(Timers, alarm))
    return Courier(*known, random.Random(1))


def test_what_nobody_answers_is_sent_again_until_it_is_acknowledged() -> None:
    entries, wire, alarm = Entries(), Wire(), Alarm()
    courier = courier_of(entries, wire, alarm)
    courier.pump()
    assert wire.got == [b"entry"]
    alarm.go_off()
    assert wire.got == [b"entry"] * 2
    courier.on_ack(encode(JournalAck("l", 1)))
    assert alarm.waiting == {}
    assert wire.got == [b"entry"] * 2


def test_a_controller_that_is_behind_is_given_time_and_one_that_is_back_gets_all_at_once() -> None:
    assert RESEND_S[0] >= 20
    entries, wire, alarm = Entries(), Wire(), Alarm()
    courier = courier_of(entries, wire, alarm)
    courier.pump()
    courier.on_ack(encode(JournalAck("l", 0)))
    assert wire.got == [b"entry"] * 2
