"""Brings the journal to the controller: within a window, again when nobody answers, until it is acknowledged."""

from __future__ import annotations

import random
import time

from controller.wire.messages import JournalAck, WireError, decode
from simulators.journal import Journal
from simulators.link import Link
from simulators.timers import Timers

RESEND_S = (20.0, 60.0)
"""The first and the longest pause before what was not acknowledged is sent again. A controller that was away asks for
it itself; one that is there and behind would be sent the same again and again, and be further behind."""
RESTED_S = 5.0
"""Not more often than that for acknowledgements that say nothing new."""


class Courier:
    """Publishes `journal` on `topic`. Silence of the controller is met ever more slowly, its return at once."""

    def __init__(self, journal: Journal, topic: str, link: Link, timers: Timers, rng: random.Random) -> None:
        self._journal = journal
        self._topic = topic
        self._link = link
        self._timers = timers
        self._rng = rng
        self._pause_s = self._first_pause_s()
        self._rewound_at = 0.0

    def pump(self) -> None:
        """Publish what is durable and not yet sent."""
        if not self._link.connected:
            return
        for payload in self._journal.take():
            self._link.publish(self._topic, payload, qos=1)
        if self._journal.backlog and not self._timers.set("resend"):
            self._timers.at("resend", time.monotonic() + self._pause_s, self._resend)

    def rewind(self) -> None:
        """Send everything above the last acknowledgement again."""
        self._rewound_at = time.monotonic()
        self._journal.rewind()
        self.pump()

    def on_ack(self, payload: bytes) -> None:
        """Take a `journal-ack`; one that is none is ignored."""
        try:
            ack = decode(JournalAck, payload)
        except WireError:
            return
        if self._journal.acknowledge(ack.log, ack.upto):
            self._pause_s = self._first_pause_s()
            self._timers.cancel("resend")
            self.pump()
        elif self._controller_is_back(ack):
            self.rewind()

    def _first_pause_s(self) -> float:
        return RESEND_S[0] * self._rng.uniform(1.0, 1.5)

    def _resend(self) -> None:
        self._pause_s = min(RESEND_S[1], self._pause_s * self._rng.uniform(1.5, 2.5))
        self.rewind()

    def _controller_is_back(self, ack: JournalAck) -> bool:
        """A controller that says again what it has, or names another log, has come back: it wants the rest."""
        nothing_new = ack.log != self._journal.log or ack.upto <= self._journal.upto
        rested = time.monotonic() - self._rewound_at > RESTED_S
        return nothing_new and rested and self._journal.backlog > 0
