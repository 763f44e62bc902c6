"""Work orders: who repairs an incident, by when, and how far that is. One transition table.

    open --accepted--> accepted --begun--> in-repair --repaired--> repaired --cleared--> verified
      ^                                        ^                      |
      |                                        '---begun--- not-verified <--unverified--'
      '-- assigned to somebody else, worse --- (every state that waits for a person)

"Repaired" is what a person proposes; only measurements make it verified or not verified. What is measured good without
anybody's word is closed. An order that has ended begins anew when its incident relapses. Overdue is an
overlay and not a state: an order is overdue while it waits for a person past its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class OrderState(StrEnum):
    OPEN = "open"
    ACCEPTED = "accepted"
    IN_REPAIR = "in-repair"
    REPAIRED = "repaired"
    """Proposed: it is being measured again."""
    NOT_VERIFIED = "not-verified"
    """It was said to be repaired, and no measurement confirmed it."""
    VERIFIED = "verified"
    CLOSED = "closed"
    """Measured good without anybody having said that it was repaired."""


class Step(StrEnum):
    """What happens to an order. The first four are people's, the others come from measurements."""

    ACCEPTED = "accepted"
    BEGUN = "begun"
    REPAIRED = "repaired"
    ASSIGNED = "assigned"
    UNVERIFIED = "unverified"
    WORSE = "worse"
    CLEARED = "cleared"
    RELAPSED = "relapsed"


_S, _T = OrderState, Step

WAITS_FOR_PERSON = frozenset({_S.OPEN, _S.ACCEPTED, _S.IN_REPAIR, _S.NOT_VERIFIED})
ENDED = frozenset({_S.VERIFIED, _S.CLOSED})

TABLE: Mapping[tuple[OrderState, Step], OrderState] = {
    **{(state, _T.ACCEPTED): _S.ACCEPTED for state in (_S.OPEN, _S.ACCEPTED, _S.NOT_VERIFIED)},
    **{(state, _T.ACCEPTED): state for state in (_S.IN_REPAIR, _S.REPAIRED)},
    **{(state, _T.BEGUN): _S.IN_REPAIR for state in (*WAITS_FOR_PERSON, _S.REPAIRED)},
    **{(state, _T.REPAIRED): _S.REPAIRED for state in (*WAITS_FOR_PERSON, _S.REPAIRED)},
    # Whoever gets it has not accepted it yet; what is being measured goes on being measured.
    **{(state, _T.ASSIGNED): _S.OPEN for state in WAITS_FOR_PERSON},
    (_S.REPAIRED, _T.ASSIGNED): _S.REPAIRED,
    (_S.REPAIRED, _T.UNVERIFIED): _S.NOT_VERIFIED,
    # It was accepted, or said to be repaired, when it was something smaller.
    **{(state, _T.WORSE): _S.OPEN for state in (*WAITS_FOR_PERSON, _S.REPAIRED)},
    (_S.REPAIRED, _T.CLEARED): _S.VERIFIED,
    **{(state, _T.CLEARED): _S.CLOSED for state in WAITS_FOR_PERSON},
    **{(state, _T.RELAPSED): _S.OPEN for state in ENDED},
}


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """Who repairs an incident, by when. `assignee` is a person's id, empty for nobody. Times are aware UTC."""

    incident: int
    assignee: str
    due_at: datetime
    created_at: datetime
    state: OrderState = OrderState.OPEN
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkOrderEvent:
    """One row of an order's history: what it was from `at` on, after which step, and by whose word."""

    incident: int
    at: datetime
    step: str
    state: OrderState
    assignee: str
    due_at: datetime
    by: str = "loa"


@dataclass(frozen=True, slots=True)
class WorkPhoto:
    """One picture of an order. `kind` is its media type; bytes are kept by their SHA-256. (Notes are rows of the
    incident's history.)"""

    incident: int
    at: datetime
    by: str
    sha256: str
    kind: str
    size: int


OPENED = "opened"
"""The step of an order's first event."""


def after(state: OrderState, step: Step) -> OrderState:
    """The state that follows; ValueError for what cannot happen in `state`."""
    try:
        return TABLE[state, step]
    except KeyError:
        raise ValueError(f"a work order that is {state.value} cannot be {step.value}") from None


def opened(incident: int, within: timedelta, assignee: str, since: datetime, now: datetime) -> WorkOrder:
    """A new order, due `within` the time that alerts.yaml gives; it runs from `since`, when the fault began."""
    return WorkOrder(incident, assignee, since + within, now)


def moved(order: WorkOrder, step: Step, now: datetime) -> WorkOrder:
    """`order` after `step`. ValueError if that cannot be."""
    state = after(order.state, step)
    return replace(order, state=state, closed_at=now if state in ENDED else None)


def taken(order: WorkOrder, step: Step, person: str, now: datetime) -> WorkOrder:
    """`order` after a step of `person`'s, whose order it is from then on."""
    return replace(moved(order, step, now), assignee=person)


def assigned(order: WorkOrder, person: str, now: datetime) -> WorkOrder:
    """`order` given to `person`. ValueError once it has ended."""
    return taken(order, Step.ASSIGNED, person, now)


def worse(order: WorkOrder, within: timedelta, now: datetime) -> WorkOrder:
    """`order` of an incident that became more severe: it is due sooner, never later."""
    return replace(moved(order, Step.WORSE, now), due_at=min(order.due_at, now + within))


def relapsed(order: WorkOrder, within: timedelta, assignee: str, now: datetime) -> WorkOrder:
    """An order that had ended, begun anew."""
    begun = moved(order, Step.RELAPSED, now)
    return replace(begun, assignee=assignee, created_at=now, due_at=now + within)


def event_of(order: WorkOrder, step: str, now: datetime, by: str = "loa") -> WorkOrderEvent:
    """The row of its history that says how `order` is after `step`."""
    return WorkOrderEvent(order.incident, now, step, order.state, order.assignee, order.due_at, by)


# --- overdue ------------------------------------------------------------------------------------------------


def is_overdue(order: WorkOrder, now: datetime) -> bool:
    """Does it wait for a person past its time?"""
    return order.state in WAITS_FOR_PERSON and now >= order.due_at


def overdue_next(orders: Iterable[WorkOrder], now: datetime) -> datetime | None:
    """When the next of `orders` becomes overdue; None if none will."""
    return min(
        (order.due_at for order in orders if order.state in WAITS_FOR_PERSON and order.due_at > now), default=None
    )


# --- notes and pictures -------------------------------------------------------------------------------------

MAX_PHOTOS = 12
"""Pictures one order may have."""
MAX_PHOTO_BYTES = 10 * 1024 * 1024
"""A phone's camera makes 3 to 8 MB."""
MAX_NOTE = 2000
"""Characters."""

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
)


class PhotoRefused(ValueError):
    """A file that is not taken as a picture; the text says why, `why` in one word: "kind", "size" or "count"."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


def photo_type(content: bytes) -> str:
    """What kind of picture `content` is, by its own bytes whatever its name says. PhotoRefused if it is none, or
    too large. Nothing is decoded here."""
    if len(content) > MAX_PHOTO_BYTES:
        most = MAX_PHOTO_BYTES // 1024 // 1024
        raise PhotoRefused("size", f"the picture has {len(content) / 1e6:.1f} MB; at most {most} MB")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    for signature, kind in SIGNATURES:
        if content.startswith(signature):
            return kind
    raise PhotoRefused("kind", "this is no picture: JPEG, PNG and WebP are taken")


def check_photos(held: int, brought: int) -> None:
    """PhotoRefused when an order that holds `held` pictures cannot take `brought` more."""
    if held + brought > MAX_PHOTOS:
        raise PhotoRefused("count", f"an order takes {MAX_PHOTOS} pictures, and this one has {held}")
