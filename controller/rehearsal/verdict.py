"""What the controller concluded, against what it had to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.domain.incidents import Incident, IncidentState
from controller.rehearsal.scenario import ExpectIn, IncidentIn


@dataclass(frozen=True, slots=True)
class Found:
    """An incident that people were told of, or that stands open and will be; `opened`: time since the beginning."""

    subject: str
    cause: str
    scope: str
    severity: str
    opened: timedelta
    ends: str


@dataclass(frozen=True, slots=True)
class Concluded:
    """All that came of a run: incidents, how many more nobody was told of (explained by these, or over before it
    was time), and messages per person."""

    incidents: tuple[Found, ...]
    untold: int
    messages: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was to be."""

    what: str
    expected: str
    found: str


def concluded(incidents: Iterable[Incident], began: datetime, messages: Mapping[str, int]) -> Concluded:
    """From the controller's own records."""
    rows = sorted(incidents, key=lambda row: (row.opened_at, row.id))
    tops = tuple(
        Found(
            row.subject,
            row.cause,
            row.scope,
            row.severity.value,
            row.opened_at - began,
            "closed" if row.state is IncidentState.CLOSED else "open",
        )
        for row in rows
        if row.announced or (row.parent is None and row.state is not IncidentState.CLOSED)
    )
    return Concluded(tops, len(rows) - len(tops), {person: n for person, n in sorted(messages.items()) if n})


Say = Callable[..., str]
"""A text with its {places} filled."""


def english(text: str, /, **values: object) -> str:
    """As programs read it."""
    return text.format(**values)


def compare(expect: ExpectIn, got: Concluded, t: Say = english) -> list[Difference]:
    """Every difference; none if the controller concluded exactly what it had to. `t` says it in another language."""
    left = list(got.incidents)
    found: list[Difference] = []
    for wanted in expect.incidents:
        match = _nearest(wanted, left)
        if match is None:
            found.append(Difference(_name(wanted, t), t("an incident"), t("none")))
            continue
        left.remove(match)
        found += _unlike(wanted, match, t)
    found += [
        Difference(
            _name(one, t),
            t("none"),
            t("{severity}, {scope}, at {time}", severity=one.severity, scope=one.scope, time=clock(one.opened)),
        )
        for one in left
    ]
    people = sorted(expect.messages.keys() | got.messages.keys())
    counts = [(person, expect.messages.get(person, 0), got.messages.get(person, 0)) for person in people]
    told = [(who, str(due), str(n)) for who, due, n in counts if due != n]
    return found + [Difference(t("messages to {person}", person=who), due, n) for who, due, n in told]


def _nearest(wanted: IncidentIn, left: list[Found]) -> Found | None:
    """Of several of this name, the one that opened nearest to when it had to."""
    same = [one for one in left if (one.subject, one.cause) == (wanted.subject, wanted.cause)]
    return min(same, key=lambda one: abs(one.opened - wanted.opens[0]), default=None)


def _unlike(wanted: IncidentIn, found: Found, t: Say) -> Iterator[Difference]:
    name = _name(wanted, t)
    first, last = wanted.opens
    for what, due, is_ in (
        (t("scope"), wanted.scope, found.scope),
        (t("severity"), wanted.severity.value, found.severity),
        (t("at the end"), wanted.ends, found.ends),
    ):
        if due != is_:
            yield Difference(f"{name}: {what}", due, is_)
    if not first <= found.opened <= last:
        yield Difference(f"{name}: {t('opens')}", f"{clock(first)}..{clock(last)}", clock(found.opened))


def _name(one: IncidentIn | Found, t: Say) -> str:
    return t("{cause} of {subject}", cause=one.cause, subject=one.subject)


def clock(time: timedelta) -> str:
    """Time since the beginning, as 1:23:45."""
    seconds = round(time.total_seconds())
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
