"""Is the node alive? One transition table; an event that is not in it is an error.

    unknown --birth, heartbeat--> online --will, bye, silence--> suspect --absence--> offline --return--> online
                                     ^------birth, heartbeat-------'

A node is suspect after its will, its goodbye, or 3.5 heartbeat intervals of silence. It is offline after 6
intervals of silence, or after 3.5 if its will stands too. Back is 3 heartbeats over 6 intervals. A node that
nobody ever heard of stays unknown: it was never there, so it cannot have gone.

Silence is counted by the controller's monotonic receive time, from the last heartbeat or birth or from the
end of a grace of two intervals after the broker connection came (back) up, whichever is later: what the
controller could not hear is nobody's silence. Nothing retained is life, nothing of a past session is either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum, auto

NEVER = float("inf")
"""A monotonic time that does not come."""


class Liveness(StrEnum):
    """What the controller believes of a node's connection."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    SUSPECT = "suspect"
    OFFLINE = "offline"


class Sign(StrEnum):
    """What bears on whether a node lives."""

    BIRTH = "birth"
    HEARTBEAT = "heartbeat"
    WILL = "will"
    BYE = "bye"
    SILENCE = "silence"
    """3.5 intervals without a heartbeat."""
    ABSENCE = "absence"
    """6 intervals, or 3.5 with a will."""
    RETURN = "return"
    """3 heartbeats over 6 intervals."""


_U, _ON, _SU, _OFF = Liveness.UNKNOWN, Liveness.ONLINE, Liveness.SUSPECT, Liveness.OFFLINE

TABLE: Mapping[tuple[Liveness, Sign], Liveness] = {
    (_U, Sign.BIRTH): _ON,
    (_U, Sign.HEARTBEAT): _ON,
    (_U, Sign.WILL): _SU,
    (_U, Sign.BYE): _SU,
    (_U, Sign.SILENCE): _SU,
    (_ON, Sign.BIRTH): _ON,
    (_ON, Sign.HEARTBEAT): _ON,
    (_ON, Sign.WILL): _SU,
    (_ON, Sign.BYE): _SU,
    (_ON, Sign.SILENCE): _SU,
    (_SU, Sign.BIRTH): _ON,
    (_SU, Sign.HEARTBEAT): _ON,
    (_SU, Sign.WILL): _SU,
    (_SU, Sign.BYE): _SU,
    (_SU, Sign.ABSENCE): _OFF,
    (_OFF, Sign.BIRTH): _OFF,
    (_OFF, Sign.HEARTBEAT): _OFF,
    (_OFF, Sign.WILL): _OFF,
    (_OFF, Sign.BYE): _OFF,
    (_OFF, Sign.RETURN): _ON,
}


def after(state: Liveness, sign: Sign) -> Liveness:
    """The state that follows; ValueError for a sign that cannot come in `state`."""
    try:
        return TABLE[state, sign]
    except KeyError:
        raise ValueError(f"{sign.value} cannot come while {state.value}") from None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence until a verdict, from the heartbeat interval."""

    interval_s: float

    @property
    def suspect_s(self) -> float:
        return 3.5 * self.interval_s

    @property
    def offline_s(self) -> float:
        return 6 * self.interval_s

    @property
    def back_s(self) -> float:
        return 6 * self.interval_s

    @property
    def grace_s(self) -> float:
        return 2 * self.interval_s


BACK_BEATS = 3
PAST_BOOTS = 8
"""So many of a node's former boots are known as former."""


class Session(Enum):
    """How the (boot, conn) of a message relates to the node's current session."""

    CURRENT = auto()
    RECONNECTED = auto()
    REBOOTED = auto()
    TWIN = auto()
    """A boot that had ended is born again, later than the one that came after it: two devices have one identity."""
    PAST = auto()


class Pulse:
    """One node's life signs. All times are monotonic seconds; nothing here reads a clock."""

    __slots__ = (
        "answered",
        "back_beats",
        "back_from",
        "boot",
        "born_at",
        "conn",
        "expected",
        "gone",
        "heard",
        "past_boots",
        "patience",
        "seq",
        "since",
        "state",
    )

    def __init__(self, patience: Patience, since: float, state: Liveness = Liveness.UNKNOWN) -> None:
        self.patience = patience
        self.state = state
        self.since = since
        self.heard: float | None = None
        """When it last gave a sign of life to this process."""
        self.boot = ""
        self.conn = 0
        self.seq = -1
        self.born_at: datetime | None = None
        self.past_boots: tuple[str, ...] = ()
        self.gone = False
        """Its will or goodbye stands."""
        self.expected = state is not Liveness.UNKNOWN
        """It has been there at least once, so that its silence means something."""
        self.answered = False
        """It answered an order since it became suspect."""
        self.back_from = 0.0
        self.back_beats = 0

    # --- signs ----------------------------------------------------------------------------------------------

    def heartbeat(self, boot: str, conn: int, seq: int, mono: float) -> Session:
        """A live heartbeat. PAST when it is of an old session or came before: then it counts for nothing."""
        session = self._session(boot, conn)
        if session is Session.CURRENT and seq <= self.seq:
            return Session.PAST
        if session is not Session.PAST:
            self.seq = seq
            self._alive(Sign.HEARTBEAT, mono)
        return session

    def birth(self, boot: str, conn: int, at: datetime, mono: float, *, retained: bool) -> Session:
        """A birth; a retained one only tells which session is the current one. `at` is the node's clock."""
        session = self._session(boot, conn, at)
        if session is Session.PAST:
            return session
        self.expected = True
        self.born_at = at
        if not retained:
            self._alive(Sign.BIRTH, mono)
        return session

    def farewell(self, boot: str, conn: int, mono: float, *, bye: bool, retained: bool) -> Session:
        """A will or a goodbye; one that is not of the current session counts for nothing."""
        if retained and not self.boot:
            self.boot, self.conn = boot, conn
        if (boot, conn) != (self.boot, self.conn) or not boot:
            return Session.PAST
        self.expected = True
        self.gone = True
        if not retained:
            self._move(Sign.BYE if bye else Sign.WILL, mono)
        return Session.CURRENT

    def _alive(self, sign: Sign, mono: float) -> None:
        self.expected = True
        self.gone = False
        if self.state is Liveness.OFFLINE and sign is Sign.HEARTBEAT:
            self._back(mono)
        elif self.state is not Liveness.ONLINE:
            self._move(sign, mono)
        self.heard = mono

    def _back(self, mono: float) -> None:
        if self.back_beats == 0 or self.heard is None or mono - self.heard > self.patience.suspect_s:
            self.back_from, self.back_beats = mono, 0
        self.back_beats += 1
        if self.back_beats >= BACK_BEATS and mono - self.back_from >= self.patience.back_s:
            self._move(Sign.RETURN, mono)

    def _move(self, sign: Sign, mono: float) -> None:
        state = after(self.state, sign)
        if state is not self.state:
            self.state, self.since = state, mono
            self.back_beats = 0
            self.answered = False if state is Liveness.SUSPECT else self.answered

    # --- sessions -------------------------------------------------------------------------------------------

    def _session(self, boot: str, conn: int, at: datetime | None = None) -> Session:
        """Place a message's session, and adopt it if it is a newer one. `at` is that of a birth."""
        if boot == self.boot and conn == self.conn:
            return Session.CURRENT
        twin = boot in self.past_boots
        if twin and not self._is_later(at):
            return Session.PAST
        if boot == self.boot and not self._is_newer(conn, at):
            return Session.PAST
        rebooted = boot != self.boot and bool(self.boot)
        if twin:
            self.past_boots = tuple(past for past in self.past_boots if past != boot)
        if rebooted:
            self.past_boots = (*self.past_boots, self.boot)[-PAST_BOOTS:]
        self.boot, self.conn, self.seq = boot, conn, -1
        return Session.TWIN if twin else Session.REBOOTED if rebooted else Session.RECONNECTED

    def _is_newer(self, conn: int, at: datetime | None) -> bool:
        """A higher number; or a later birth, of a program that began to count anew. Either will do: a clock
        that was set back makes a newer birth look older."""
        return conn > self.conn or self._is_later(at)

    def _is_later(self, at: datetime | None) -> bool:
        """Whether a birth at `at` came after the current one, by the nodes' clocks."""
        return at is not None and self.born_at is not None and at > self.born_at

    # --- time -----------------------------------------------------------------------------------------------

    @property
    def returning(self) -> bool:
        """Offline, but heard again."""
        return self.state is Liveness.OFFLINE and self.back_beats > 0

    def quiet_from(self, listening_from: float) -> float:
        """Since when its silence counts; `listening_from` is the end of the last grace, NEVER while deaf."""
        return listening_from if self.heard is None else max(self.heard, listening_from)

    def deadline(self, listening_from: float) -> float:
        """When its silence must be judged next; NEVER if it need not be."""
        quiet = self.quiet_from(listening_from)
        match self.state:
            case Liveness.ONLINE:
                return quiet + self.patience.suspect_s
            case Liveness.SUSPECT:
                return quiet + (self.patience.suspect_s if self.gone else self.patience.offline_s)
            case Liveness.UNKNOWN:
                return quiet + self.patience.suspect_s if self.expected else NEVER
            case Liveness.OFFLINE:
                return quiet + self.patience.suspect_s if self.back_beats else NEVER

    def due(self, mono: float, listening_from: float) -> bool:
        """Judge its silence at `mono`; whether anything changed."""
        changed = False
        while self.deadline(listening_from) <= mono:
            changed = True
            if self.state is Liveness.OFFLINE:
                self.back_beats = 0
            else:
                self._move(Sign.ABSENCE if self.state is Liveness.SUSPECT else Sign.SILENCE, mono)
        return changed
