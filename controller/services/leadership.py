"""One controller leads: takes the lease, renews it, and stops everything it does when it is lost.

Two fences keep a leader that was stopped (SIGSTOP, a suspended machine, a database that did not answer) from doing
harm when it wakes up. `refusal` is asked right before every publish and goes by a clock that runs on in suspension;
`FencedStore` looks at the lease within every transaction that writes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TypeVar

import msgspec
import structlog

from broadcasts import typed
from controller.domain.lease import AGAIN_S, FENCE_S, LOOK_S, RENEW_S, TTL_S, Lease, Seen, look, why_wait
from controller.ports import Clock, Store, StoreError, Tx

log = structlog.get_logger(__name__)

T = TypeVar("T")

NOTE = "leader"
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A controller that may lead. `holder` names this run of it and no other; `account` is its name at the broker,
    `key` the id of the key that it signs with."""

    holder: str
    instance: str
    url: str
    account: str = ""
    key: str = ""


class Deposed(StoreError):
    """Another controller leads now: nothing was stored."""

    def __init__(self) -> None:
        super().__init__("another controller leads")


class SharedAccount(Exception):
    """Two controllers that use one account of the broker would throw each other out for ever."""


class Leadership:
    """The lease, from one candidate's side. `uptime`: seconds of a clock that runs on while the machine is suspended;
    `dead`: holders that are known to run no more, whose lease need not be waited for."""

    def __init__(
        self, me: Candidate, *, store: Store, clock: Clock, uptime: Callable[[], float], dead: Collection[str] = ()
    ) -> None:
        self.me = me
        self.leader: Candidate | None = None
        """Who leads, as last seen."""
        self.lost = False
        self._store = store
        self._clock = clock
        self._uptime = uptime
        self._dead = dead
        self._seen: Seen | None = None
        self._fence = NEVER

    def refusal(self) -> str:
        """Why nothing may be published now; empty while leading. From any thread."""
        return "" if self._uptime() < self._fence else "this controller does not lead"

    async def win(self) -> bool:
        """Look at the lease and take it if that may be. SharedAccount, StoreError."""
        asked = self._uptime()
        seen, self.leader = await self._store.transact(lambda tx: self._contend(tx, self._seen, asked))
        self._seen = seen
        if seen.lease is not None and seen.lease.holder == self.me.holder:
            self.lost, self._fence = False, asked + FENCE_S
            return True
        if self.leader and self.leader.account == self.me.account != "":
            raise SharedAccount(
                f"controller '{self.leader.instance}' at {self.leader.url} leads and uses the broker account "
                f"'{self.me.account}' too: give each its own (mqtt.username)"
            )
        return False

    async def wait(self, looked: Callable[[], None]) -> None:
        """Until this controller leads. `looked` is called after every look."""
        while not await self._try():
            looked()
            await self._clock.sleep(LOOK_S)

    async def keep(self) -> None:
        """Renew until another controller leads."""
        pause = RENEW_S
        while not self.lost:
            await self._clock.sleep(pause)
            pause = RENEW_S if await self._renewed() else AGAIN_S
        log.error("leadership lost", to=self.leader.instance if self.leader else "nobody")

    async def release(self) -> None:
        """Step down, so that nobody has to wait. A lease that cannot be given back runs out."""
        self._fence = NEVER
        self._seen = None
        if self.lost:
            return
        try:
            await self._store.transact(lambda tx: tx.drop_lease(self.me.holder))
        except StoreError as error:
            log.warning("lease not given back; it runs out", reason=str(error), seconds=TTL_S)

    def check(self, tx: Tx) -> None:
        """Deposed unless this controller has the lease within this transaction."""
        lease = tx.lease()
        if lease is None or lease.holder != self.me.holder:
            self.depose()
            raise Deposed

    def depose(self) -> None:
        self._fence = NEVER
        self.lost = True

    # --- inside -------------------------------------------------------------------------------------------------

    async def _try(self) -> bool:
        try:
            return await self.win()
        except StoreError as error:
            log.error("the database does not say who leads", reason=str(error))
            return False

    def _contend(self, tx: Tx, before: Seen | None, mono: float) -> tuple[Seen, Candidate | None]:
        """In one transaction: read the row, judge, take it."""
        seen = look(before, tx.lease(), mono)
        if why_wait(seen, self.me.holder, self._dead, mono):
            return seen, leader_of(tx)
        taken = self._lease()
        tx.put_lease(taken)
        tx.note(NOTE, msgspec.json.encode(asdict(self.me)).decode())
        return Seen(taken, mono), self.me

    async def _renewed(self) -> bool:
        """Whether the database answered. However late it is, who still has the lease was replaced by nobody."""
        asked = self._uptime()

        def work(tx: Tx) -> Candidate | None:
            lease = tx.lease()
            if lease is None or lease.holder != self.me.holder:
                return leader_of(tx)
            tx.put_lease(self._lease())
            return self.me

        try:
            self.leader = await self._store.transact(work, ahead=True)
        except StoreError as error:
            log.error("leadership not renewed; trying again", reason=str(error))
            return False
        if self.leader != self.me:
            self.depose()
        elif not self.lost:
            self._fence = asked + FENCE_S
        return True

    def _lease(self) -> Lease:
        return Lease(self.me.holder, self._clock.now() + timedelta(seconds=TTL_S))


def leader_of(tx: Tx) -> Candidate | None:
    """Who has the lease, if the last to take it wrote down where it is."""
    lease, noted = tx.lease(), tx.noted(NOTE)
    if lease is None or noted is None:
        return None
    leader = typed.decode(noted, Candidate)
    return leader if leader.holder == lease.holder else None


class FencedStore:
    """A Store whose transactions commit only while `leadership` lasts. `close` leaves the store open: it serves the
    next term too."""

    def __init__(self, store: Store, leadership: Leadership) -> None:
        self._store = store
        self._leadership = leadership

    async def transact(self, work: Callable[[Tx], T], *, ahead: bool = False) -> T:
        """As Store.transact. Deposed: another controller leads, and nothing was written."""

        def fenced(tx: Tx) -> T:
            self._leadership.check(tx)
            return work(tx)

        return await self._store.transact(fenced, ahead=ahead)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self._store.read(work)

    async def close(self) -> None:
        return None
