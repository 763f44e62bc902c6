"""One receiver's silence is nobody else's: with real sockets and threads."""

from __future__ import annotations

import asyncio
import socket
import threading

from controller.adapters.clock import SystemClock
from controller.adapters.notify.smtp import SmtpNotifier
from controller.adapters.notify.threads import in_own_thread
from controller.adapters.notify.webhook import WebhookNotifier
from controller.domain.escalation import OutboxState, Smtp, messages_for
from controller.services.alerting import Alerting
from controller.services.changes import Changes
from tests.alerts_support import FACTS, hook, incident, mail, open_store, person, settings
from tests.receivers import HttpReceiver, Request

HUNG = 40


async def test_forty_mails_to_a_relay_that_never_answers_delay_no_webhook() -> None:
    """Ends when the webhooks have arrived, long before the first mail's 20 s are over: it would time out."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Semaphore(0)

    def answer(request: Request) -> tuple[int, dict[str, str]]:
        loop.call_soon_threadsafe(arrived.release)
        return 204, {}

    relay = socket.create_server(("127.0.0.1", 0), backlog=HUNG)  # takes connections, greets nobody
    store = await open_store()
    clock = SystemClock()
    with HttpReceiver() as hooks:
        hooks.answer = answer
        deaf = [person(f"p{n}", mail(f"p{n}@example.org")) for n in range(HUNG)]
        people = settings(*deaf, person("lan", hook(hooks.url)))
        smtp = Smtp("127.0.0.1", relay.getsockname()[1], "loa@example.org", timeout_s=20)
        webhook = WebhookNotifier(clock)
        alerting = Alerting(
            people,
            store=store,
            clock=clock,
            notifiers={"smtp": SmtpNotifier(smtp, clock), "webhook": webhook},
            changes=Changes(),
        )
        running = asyncio.create_task(alerting.run())
        for number in (1, 2, 3):
            rows = messages_for(incident(number), "opened", people.alerts, FACTS, clock.now())
            await store.transact(lambda tx, rows=rows: [tx.enqueue(row) for row in rows])  # type: ignore[misc]
            alerting.wake()
            await asyncio.wait_for(arrived.acquire(), 15)
        mails = [row for row in await store.transact(lambda tx: tx.outbox()) if row.channel.startswith("smtp")]
        assert {row.state for row in mails} <= {OutboxState.CLAIMED, OutboxState.PENDING}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await webhook.close()
    relay.close()
    await store.close()


async def test_forty_hung_threads_hold_up_neither_another_nor_a_shutdown() -> None:
    release = threading.Event()
    hung = [asyncio.create_task(in_own_thread(release.wait, "hung")) for _ in range(HUNG)]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    ran: list[str] = []
    await in_own_thread(lambda: ran.append("well"), "well")
    assert ran == ["well"]
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "hung")
    for task in hung:
        task.cancel()
    ended = await asyncio.gather(*hung, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in ended)
    release.set()
