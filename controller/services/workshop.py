"""Work orders as people change them: from the command line, the API and the link in a message.

Every change is one transaction with the incident, its history and the order (services/monitoring.py); notes and
pictures join it. A picture's bytes are stored before: a crash in between leaves a file that nothing names.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from controller.domain import workorders
from controller.domain.escalation import messages_for
from controller.domain.incidents import Incident, IncidentEvent
from controller.domain.site import Settings
from controller.domain.workorders import MAX_NOTE, Step, WorkPhoto
from controller.ports import AuditRow, Clock, Photos, Store, Tx
from controller.services.changes import Changes
from controller.services.healthbook import PlanMessages, keep_work, tell_assignee, work_order_of

Also = Callable[[Tx], None]


class Cases(Protocol):
    """The steps that change an incident. KeyError: it is not open. ValueError: not possible in its state."""

    def acknowledge(self, id: int, by: str, note: str = "", also: Also | None = None) -> Awaitable[Incident]: ...

    def begin(self, id: int, by: str, note: str = "", also: Also | None = None) -> Awaitable[Incident]: ...

    def repaired(self, id: int, by: str, note: str = "", also: Also | None = None) -> Awaitable[Incident]: ...


class AlreadyDone(Exception):
    """This form was sent before; nothing was done a second time."""


class Workshop:
    """What people do with work orders."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        clock: Clock,
        changes: Changes,
        cases: Cases,
        photos: Photos,
        plan_messages: PlanMessages = messages_for,
        on_outbox: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_outbox` is called after messages were committed."""
        self._settings = settings
        self._store = store
        self._clock = clock
        self._changes = changes
        self._cases = cases
        self._photos = photos
        self._plan_messages = plan_messages
        self._on_outbox = on_outbox

    def reload(self, settings: Settings) -> None:
        self._settings = settings

    async def act(
        self, id: int, step: Step | None, by: str, *, note: str = "", photos: Sequence[bytes] = (), once: str = ""
    ) -> None:
        """`by` takes `step` with incident `id`, or (None) only adds `note` and `photos`.

        `once` names the form that was sent: the second time it is AlreadyDone. KeyError: no such open
        incident. ValueError (PhotoRefused too): it cannot be, with the reason; then nothing was written.
        """
        if len(note) > MAX_NOTE:
            raise ValueError(f"a note has at most {MAX_NOTE} characters")
        for each in photos:
            workorders.photo_type(each)
        workorders.check_photos(0, len(photos))
        now, pictures = self._clock.now(), [await self._photos.put(each) for each in photos]
        kept = [WorkPhoto(id, now, by, each.sha256, each.kind, each.size) for each in pictures]

        def also(tx: Tx) -> None:
            if once and not tx.use_once(once, now):
                raise AlreadyDone
            held = tx.work_photos(id)
            new = {each.sha256 for each in kept} - {each.sha256 for each in held}
            workorders.check_photos(len(held), len(new))
            for photo in kept:
                tx.put_work_photo(photo)

        match step:
            case Step.ACCEPTED:
                await self._cases.acknowledge(id, by, note, also)
            case Step.BEGUN:
                await self._cases.begin(id, by, note, also)
            case Step.REPAIRED:
                await self._cases.repaired(id, by, note, also)
            case None:
                await self._note(id, by, note, len(kept), also)
            case _:
                raise ValueError(f"nobody can say that an order is {step.value}")

    async def _note(self, id: int, by: str, note: str, photos: int, also: Also) -> None:
        if not note and not photos:
            raise ValueError("a note needs a text or a picture")
        now = self._clock.now()

        def write(tx: Tx) -> None:
            if tx.incident(id) is None:
                raise KeyError(f"there is no incident {id}")
            also(tx)
            tx.put_incident_event(IncidentEvent(id, now, "note", note, by))
            tx.audit(AuditRow(now, by, "note", f"incident {id} {note}".rstrip()))

        await self._store.transact(write)
        self._changes.notify("incidents")

    async def assign(self, id: int, person: str, by: str) -> None:
        """Give the work order of open incident `id` to `person` of alerts.yaml, who is told unless it was theirs.
        KeyError: no such open incident. ValueError: nobody is called so."""
        settings, now = self._settings, self._clock.now()
        self._check_person(person)

        def write(tx: Tx) -> bool:
            incident = tx.incident(id)
            if incident is None or incident.closed_at is not None:
                raise KeyError(f"there is no open incident {id}")
            before = work_order_of(tx, incident, settings, now)
            keep_work(tx, workorders.assigned(before, person, now), Step.ASSIGNED.value, now, by)
            tx.audit(AuditRow(now, by, "assigned", f"incident {id} to {person}"))
            return tell_assignee(tx, incident, before.assignee, by, settings, self._plan_messages, now)

        if await self._store.transact(write):
            self._on_outbox()
        self._changes.notify("incidents")

    def _check_person(self, person: str) -> None:
        known = [each.id for each in self._settings.alerts.people]
        if person not in known:
            likely = difflib.get_close_matches(person, known, n=1)
            hint = f" (did you mean {likely[0]}?)" if likely else f"; there are {', '.join(known) or 'none'}"
            raise ValueError(f"nobody in alerts.yaml is called '{person}'{hint}")

    async def photo(self, id: int, sha256: str, *, small: bool = False) -> tuple[str, bytes] | None:
        """Media type and bytes of a picture of incident `id`, or of a `small` one; None if it has none such."""
        held = await self._store.read(lambda tx: tx.work_photos(id))
        found = next((each for each in held if each.sha256 == sha256), None)
        if found is None:
            return None
        content = await (self._photos.small(sha256) if small else self._photos.get(sha256))
        return None if content is None else ("image/jpeg" if small else found.kind, content)
