"""What the web room needs of the running controller; `controller.app.App` has it all."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Literal, Protocol

from controller.app import Loopback
from controller.domain.commissioning import Baseline
from controller.domain.hush import Hush
from controller.domain.site import Settings
from controller.domain.workorders import Step
from controller.ports import Bus, Clock, Library, Store
from controller.services.changes import Changes
from controller.services.emergencies import Amendment, Manner, Message
from controller.services.gauges import Gauges
from controller.services.links import Links
from controller.services.reporting import Reporting
from controller.services.watching import Watching


class Scheduling(Protocol):
    """The configuration in effect, and why a newer one is not."""

    @property
    def problems(self) -> tuple[str, ...]: ...

    def reload(self, by: str) -> Awaitable[Any]:
        """ConfigRefused when nothing changed."""


class Orders(Protocol):
    """Orders of the moment. ValueError (AudioRefused too) says why one cannot be carried out."""

    def say(
        self, text: str, to: Sequence[str], voice: str, volume: int | None, by: str, override: str
    ) -> Awaitable[dict[str, Any]]: ...

    def play(
        self, path: str, to: Sequence[str], volume: int | None, by: str, override: str
    ) -> Awaitable[dict[str, Any]]: ...

    def stop_air(self, to: Sequence[str], by: str) -> Awaitable[dict[str, Any]]: ...

    def volume(self, percent: int, to: Sequence[str], by: str) -> Awaitable[dict[str, Any]]: ...


class Emergencies(Protocol):
    """ValueError (AudioRefused too) says why one cannot be carried out, KeyError that there is no such emergency."""

    def sound(
        self, message: Message, to: Sequence[str], manner: Manner, *, drill: bool, by: str
    ) -> Awaitable[dict[str, Any]]: ...

    def update(self, id: str, amendment: Amendment, by: str) -> Awaitable[dict[str, Any]]: ...

    def end(self, id: str, by: str) -> Awaitable[dict[str, Any]]: ...


class Dispatch(Protocol):
    def order(self, node: str, do: Literal["selftest"]) -> Awaitable[str]:
        """Send a command; empty when the broker took it, otherwise the reason."""

    def published_document(self, node: str, sha256: str) -> Awaitable[bytes | None]:
        """The playlists document that a `ref` sent to `node` names, while it is the newest."""


class Workshop(Protocol):
    """KeyError: no such incident. ValueError (PhotoRefused too): not possible. AlreadyDone: that form was sent."""

    def act(
        self, id: int, step: Step | None, by: str, *, note: str = "", photos: Sequence[bytes] = (), once: str = ""
    ) -> Awaitable[None]: ...

    def assign(self, id: int, person: str, by: str) -> Awaitable[None]: ...

    def photo(self, id: int, sha256: str, *, small: bool = False) -> Awaitable[tuple[str, bytes] | None]: ...


class Monitoring(Protocol):
    """KeyError: no such self-test. ValueError: it measured nothing that has a baseline."""

    def commission(self, node: str, test: int, by: str, note: str) -> Awaitable[Baseline]: ...

    def hush(self, hush: Hush) -> Awaitable[Hush]: ...

    def end_hush(self, id: int, by: str) -> Awaitable[None]:
        """KeyError if there is none that goes on."""


class Epochs(Protocol):
    def told(self) -> dict[str, Any]: ...

    def overtake(self, by: str) -> Awaitable[dict[str, Any]]:
        """ValueError: there is nothing to overtake."""


class Intake(Protocol):
    @property
    def counters(self) -> Mapping[str, int]: ...


class Controller(Protocol):
    """The running controller as the web room sees it."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def store(self) -> Store: ...

    @property
    def bus(self) -> Bus: ...

    @property
    def library(self) -> Library: ...

    @property
    def changes(self) -> Changes: ...

    @property
    def reporting(self) -> Reporting: ...

    @property
    def scheduling(self) -> Scheduling: ...

    @property
    def orders(self) -> Orders: ...

    @property
    def emergencies(self) -> Emergencies: ...

    @property
    def dispatch(self) -> Dispatch: ...

    @property
    def links(self) -> Links: ...

    @property
    def workshop(self) -> Workshop: ...

    @property
    def monitoring(self) -> Monitoring: ...

    @property
    def intake(self) -> Intake: ...

    @property
    def epochs(self) -> Epochs: ...

    @property
    def gauges(self) -> Gauges: ...

    @property
    def watching(self) -> Watching: ...

    @property
    def loopback(self) -> Loopback | None: ...
