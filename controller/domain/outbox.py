"""What to do with the rows of the outbox: which goes next, with which text, and what an attempt led to. Pure.

    pending -> claimed -> sent                    the receiver took it
                       -> retry -> claimed ...    refused for now, or perhaps arrived and safe to repeat
                       -> uncertain               perhaps arrived, and repeated once already
                       -> dead                    refused for good, or too old
    pending, retry     -> merged                  a later message to the same person told it too, or another channel

All rows of one incident for one person on one channel are a *thread*. Of a thread only the newest waiting row
is sent, with the texts before it that never arrived, so nobody hears "opened" after "recovered".

The threads of a person's channels, without those that get a copy in any case, are a *chain*. A row has its *spares* in
the chain, the same transition on the next channels, each due some minutes after the one before. What one channel takes
is not sent on another; what one refuses for good goes to the next at once. While one row of a chain is claimed the
others wait: its message may be on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.domain import wording
from controller.domain.escalation import OutboxRow, OutboxState
from controller.domain.wording import Message

UNSURE = "uncertain: "
"""Begins `last_error` of a row of which one attempt may have arrived."""

WAITING = frozenset({OutboxState.PENDING, OutboxState.RETRY})
TOLD = frozenset({OutboxState.SENT, OutboxState.MERGED})


@dataclass(frozen=True, slots=True)
class Policy:
    """How patiently messages are delivered. Seconds.

    The last step of `backoff_s` repeats until a message is `give_up_s` old. A person gets at most `limit` messages
    over all channels in any `window_s`, of which a `Share` says how; when more wait than are free, they go as one
    digest.
    """

    backoff_s: tuple[float, ...] = (5, 15, 60, 300, 900)
    give_up_s: float = 24 * 3600 + 1800
    lease_s: float = 90
    send_s: float = 60
    longest_pause_s: float = 900
    unsure_pause_s: float = 300
    burst: int = 5
    window_s: float = 600
    limit: int = 10
    least_copies: int = 2


# --- which row goes next --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing of this thread may go before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Sending:
    """One message: `row` carries it and gives the key; `merged` are the rows of its channel that it tells too,
    `spares` those of other channels that need not be sent if it arrives."""

    row: OutboxRow
    message: Message
    merged: tuple[OutboxRow, ...] = ()
    spares: tuple[OutboxRow, ...] = ()


def next_of_thread(
    rows: Sequence[OutboxRow], channel: str, copies: Collection[str], language: str, now: datetime
) -> Held | Sending | None:
    """What `channel` sends next of one incident to one person, whose `rows` of it these are (of all channels, in any
    order; `copies`: channels that get one in any case); None when nothing waits."""
    chain = [row for row in rows if row.channel == channel or not {row.channel, channel} & set(copies)]
    leases = [row.claimed_until for row in chain if row.state is OutboxState.CLAIMED and row.claimed_until]
    if leases and max(leases) > now:
        return Held(max(leases))
    thread = sorted((row for row in chain if row.channel == channel), key=lambda row: row.id)
    waiting = [row for row in thread if row.state in WAITING or row.state is OutboxState.CLAIMED]
    if not waiting:
        return None
    newest, earlier = waiting[-1], waiting[:-1]
    if newest.state in WAITING and newest.due_at > now:
        return Held(newest.due_at)
    told = {row.transition for row in chain if row.state in TOLD}
    untold = [row for row in thread if row.id < newest.id and row.transition not in told]
    message = Message(newest.subject, newest.body)
    if untold:
        message = wording.combined(message, [row.body for row in untold], language)
    tells = {newest.transition, *(row.transition for row in (*earlier, *untold))}
    # one whose claim ran out is a spare too: a controller that died had it, and it need not be sent again
    open_ = WAITING | {OutboxState.CLAIMED}
    spares = tuple(row for row in chain if row.channel != channel and row.state in open_ and row.transition in tells)
    return Sending(newest, message, tuple(earlier), spares)


def next_channel(spares: Sequence[OutboxRow]) -> tuple[OutboxRow, ...]:
    """The rows of the channel that comes next when one has refused for good."""
    if not spares:
        return ()
    first = min(spares, key=lambda row: (row.due_at, row.id))
    return tuple(row for row in spares if row.channel == first.channel)


LinkOf = Callable[[OutboxRow], str]
"""Where the recipient of a row answers it; empty if there is no such place."""


def digest_of(sendings: Sequence[Sending], language: str, page_url: str, link_of: LinkOf) -> Sending:
    """All of `sendings` (one person, one channel) in one message, carried by the newest row."""
    ordered = sorted(sendings, key=lambda sending: sending.row.id)
    if len(ordered) == 1:
        return ordered[0]
    newest = ordered[-1]
    others = [sending.row for sending in ordered[:-1]]
    merged = (*others, *(row for sending in ordered for row in sending.merged))
    spares = tuple(row for sending in ordered for row in sending.spares)
    told = [(sending.row.incident, sending.row.subject, link_of(sending.row)) for sending in ordered]
    calm = all(sending.row.held for sending in ordered)
    return Sending(newest.row, wording.digest(told, language, page_url, calm=calm), merged, spares)


@dataclass(frozen=True, slots=True)
class Share:
    """What of the limit is whose: `burst` messages freely within the window, then one each `spacing_s`."""

    burst: int
    spacing_s: float


def share_of(policy: Policy, copies: int, *, is_copy: bool) -> Share:
    """The share of one of so many channels that get a copy; or, not `is_copy`, of all the others together.

    Copies have a small part of the limit to themselves, so that no message ever waits for a copy of it (or of
    another): all shares together are never more than the limit in any window.
    """
    reserved = max(policy.least_copies, copies) if copies else 0
    if is_copy:
        return Share(max(1, reserved // copies), policy.window_s)
    left = policy.limit - policy.burst - reserved
    return Share(policy.burst, policy.window_s / max(1, left))


def most_copies(policy: Policy) -> int:
    """How many channels of a person may get copies, so that there is something left of the limit for the others."""
    return policy.limit - policy.burst - 1


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a share: the next message may go at `slot`; `free` may go without a wait between them."""

    slot: datetime
    free: int

    def is_crowded(self, waiting: int) -> bool:
        """More wait than may go freely in this window: they go as one digest."""
        return waiting > self.free


def room_for(
    got: Sequence[tuple[datetime, str]], channel: str, copies: Collection[str], policy: Policy, now: datetime
) -> Room:
    """The room for messages on `channel` to somebody who got messages at these times on these channels. `copies`: the
    channels that get a copy in any case."""
    is_copy = channel in copies
    own = [at for at, on in got if (on == channel if is_copy else on not in copies)]
    share = share_of(policy, len(copies), is_copy=is_copy)
    # the shares were others before the configuration changed: all together are looked at too
    whole = Share(policy.limit, policy.window_s)
    slot = max(_slot(own, share, policy, now), _slot([at for at, _ in got], whole, policy, now))
    return Room(slot, max(0, share.burst - len(_recent(own, policy, now))))


def _slot(sent: Sequence[datetime], share: Share, policy: Policy, now: datetime) -> datetime:
    """When the next message of `share` may go, of which those at `sent` went."""
    recent = _recent(sent, policy, now)
    if len(recent) < share.burst:
        return now
    free = recent[-share.burst] + timedelta(seconds=policy.window_s)
    return max(now, min(free, recent[-1] + timedelta(seconds=share.spacing_s)))


def _recent(sent: Sequence[datetime], policy: Policy, now: datetime) -> list[datetime]:
    """Of those in the window that ends now, oldest first."""
    start = now - timedelta(seconds=policy.window_s)
    return sorted(at for at in sent if at > start)


def key_of(site: str, row: OutboxRow) -> str:
    """Names one message for its receiver, the same in every attempt. ASCII without spaces.

    The date tells apart rows of two databases that counted from one.
    """
    parts = (site, str(row.incident), row.transition, row.recipient, row.channel, row.created_at.isoformat())
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return f"{site}.{row.incident}.{row.transition}.{digest}"


# --- what an attempt led to -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message was not (surely) taken; as ports.NotifyError says it."""

    detail: str
    permanent: bool = False
    uncertain: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The new state of a row, when it is due again, and how long its channel pauses."""

    state: OutboxState
    error: str
    due_at: datetime | None = None
    pause_s: float = 0


def after_failure(
    row: OutboxRow, failure: Failure, *, failures: int, repeatable: bool, policy: Policy, now: datetime
) -> Outcome:
    """What a failed attempt leads to.

    `failures`: how often in a row this channel was tried in vain before. `repeatable`: the
    receiver drops a second message of the same key, so an uncertain one is simply sent again; another
    receiver gets it once more and no further, since a person told twice is better than one not told.
    The row backs off by its own attempts, the channel by its failures: a message that its receiver always
    refuses does not hold up the others, and a receiver that is down is not asked once for each message.
    """
    was_unsure = row.last_error.startswith(UNSURE)
    unsure = was_unsure or failure.uncertain
    error = f"{UNSURE}{failure.detail}" if unsure else failure.detail
    if failure.permanent:
        return Outcome(OutboxState.DEAD, error)
    if now - row.created_at >= timedelta(seconds=policy.give_up_s):
        return Outcome(OutboxState.UNCERTAIN if unsure else OutboxState.DEAD, error)
    if failure.uncertain and was_unsure and not repeatable:
        return Outcome(OutboxState.UNCERTAIN, error)
    asked = min(failure.retry_after_s or 0, policy.longest_pause_s)
    unsure_s = policy.unsure_pause_s if failure.uncertain and not repeatable else 0
    wait = max(_step(row.attempts - 1, policy), asked, unsure_s)
    pause = max(_step(failures, policy), asked)
    return Outcome(OutboxState.RETRY, error, now + timedelta(seconds=wait), pause)


def caught_up(row: OutboxRow, policy: Policy, now: datetime) -> OutboxRow | None:
    """An unfinished row that waits longer than it can, as it may wait now; None if it is well.

    An earlier process whose clock was ahead wrote its times: the clock has been set back since, and nobody would be
    told until it comes there again.
    """
    if row.state is OutboxState.CLAIMED and row.claimed_until is not None:
        latest = now + timedelta(seconds=policy.lease_s)
        return replace(row, claimed_until=latest) if row.claimed_until > latest else None
    if row.state is OutboxState.RETRY:
        longest = max(*policy.backoff_s, policy.longest_pause_s, policy.unsure_pause_s)
        latest = now + timedelta(seconds=longest)
        return replace(row, due_at=latest) if row.due_at > latest else None
    wait = row.due_at - row.created_at
    return replace(row, due_at=now + wait) if row.created_at > now and wait >= timedelta(0) else None


def _step(count: int, policy: Policy) -> float:
    return policy.backoff_s[max(0, min(count, len(policy.backoff_s) - 1))]
