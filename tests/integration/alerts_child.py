"""A controller reduced to its alerts, as a process of its own to be killed: incidents happen, messages go out.

Arguments: database URL, mail port, webhook URL, how many transitions in all. Every transition and its rows are
one transaction, as in monitoring. Ends when all rows are finished.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from controller.adapters.clock import SystemClock
from controller.adapters.notify.smtp import SmtpNotifier
from controller.adapters.notify.webhook import WebhookNotifier
from controller.adapters.store.sql import SqlStore
from controller.domain.escalation import Smtp, messages_for
from controller.domain.outbox import Policy
from controller.ports import Tx
from controller.services.alerting import Alerting
from controller.services.changes import Changes
from tests.alerts_support import FACTS, hook, incident, mail, person, settings

STORY = ("opened", "recovered", "reopened", "recovered-2")
SITE_ID = "quan-son"

IMPATIENT = Policy(backoff_s=(0.05, 0.1), lease_s=0.5, send_s=5, burst=10**6, limit=10**7, least_copies=10**6)
"""Nothing is decided otherwise than in service; a killed message is only repeated sooner."""


@dataclass(frozen=True)
class Life:
    url: str
    mail_port: int
    hook_url: str
    transitions: int

    async def live(self) -> None:
        store = SqlStore(self.url)
        await store.open()
        clock = SystemClock()
        relay = Smtp(host="127.0.0.1", port=self.mail_port, sender="loa@quan-son.example", timeout_s=5)
        alerting = Alerting(
            settings(person("lan", mail(), also=(hook(self.hook_url),))),
            store=store,
            clock=clock,
            notifiers={"smtp": SmtpNotifier(relay, clock), "webhook": WebhookNotifier(clock)},
            changes=Changes(),
            policy=IMPATIENT,
        )
        running = asyncio.create_task(alerting.run())
        while await store.transact(self._happen):
            alerting.wake()
            await clock.sleep(0.002)
        while await store.transact(lambda tx: tx.outbox_channels()):
            await clock.sleep(0.05)
        running.cancel()

    def _happen(self, tx: Tx) -> bool:
        """The next transition that this database has not had; False when all have been."""
        count = int(tx.noted("happened") or 0)
        if count == self.transitions:
            return False
        tx.note("happened", str(count + 1))
        about = incident(1 + count // len(STORY))
        alerts = settings(person("lan", mail(), also=(hook(self.hook_url),))).alerts
        for row in messages_for(about, STORY[count % len(STORY)], alerts, FACTS, SystemClock().now()):
            assert tx.enqueue(row)
        return True


if __name__ == "__main__":
    url, mail_port, hook_url, transitions = sys.argv[1:]
    asyncio.run(Life(url, int(mail_port), hook_url, int(transitions)).live())
