"""What changed of the plan, when and by whom: as it is kept in the audit trail, and as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from broadcasts import typed
from broadcasts.difference import KINDS, Change, Difference
from broadcasts.model import Broadcast
from controller.domain.faults import Text
from controller.ports import AuditRow
from controller.services import labels
from controller.wire.messages import stamp

TAKEN = "configuration"
REFUSED = "configuration refused"
"""`AuditRow.what` of a configuration that took effect, and of one that did not."""

MEANWHILE = "file, while stopped"
"""`AuditRow.who` of an edit that was found at the controller's start."""

KEPT = 200
"""Airings of each kind that a row of the audit trail names; it counts them all."""


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """`AuditRow.detail`. `places`: file:line of the broadcasts concerned, as far as they still are there."""

    counts: Mapping[str, int]
    difference: Difference
    places: Mapping[str, str] = {}


def kept(difference: Difference, broadcasts: Mapping[str, Broadcast]) -> str:
    """What an audit row says of `difference`; `shown` reads it."""
    short = Difference(**{kind: getattr(difference, kind)[:KEPT] for kind in KINDS})
    named = {change.broadcast for kind in KINDS for change in getattr(short, kind)}
    places = {id: broadcasts[id].place for id in sorted(named) if id in broadcasts}
    return msgspec.json.encode(Kept(difference.counts, short, places)).decode()


def shown(row: AuditRow) -> dict[str, Any]:
    """One audit row as plain data; times as the wire writes them."""
    problems = row.detail.splitlines() if row.what == REFUSED else []
    said = {"at": stamp(row.at), "who": row.who, "taken": row.what == TAKEN, "problems": problems}
    return {**said, **_plain(NOTHING if problems else _read(row.detail))}


def named(difference: Difference) -> dict[str, list[str]]:
    """The first airings of each kind, for a line of the log."""
    return {kind: [one.id for one in getattr(difference, kind)[:20]] for kind in KINDS}


def plain(difference: Difference, broadcasts: Mapping[str, Broadcast] | None = None) -> dict[str, Any]:
    """`difference` as plain data, every kind of it, and how many there are of each; with places if `broadcasts` are
    given."""
    places = {id: one.place for id, one in (broadcasts or {}).items()}
    return _plain(Kept(difference.counts, difference, places))


NOTHING = Kept(dict.fromkeys(KINDS, 0), Difference())


def _read(detail: str) -> Kept:
    try:
        return typed.decode(detail, Kept)
    except msgspec.DecodeError:  # a row of 0.1 lists ids, one a line
        return NOTHING


def _plain(told: Kept) -> dict[str, Any]:
    kinds = {kind: [_line(each, told.places) for each in getattr(told.difference, kind)] for kind in KINDS}
    return {"counts": dict(told.counts), **kinds}


def _both(text: Text) -> dict[str, str]:
    return {"vi": text.vi, "en": text.en}


def _line(change: Change, places: Mapping[str, str]) -> dict[str, Any]:
    return {
        "occurrence": change.id,
        "broadcast": change.broadcast,
        "title": change.title,
        "start": change.start and stamp(change.start),
        "was": change.was and stamp(change.was),
        "nodes": change.to,
        "what": list(change.what),
        "what_text": [_both(labels.ALTERED.get(name) or Text(name, name)) for name in change.what],
        "gained": list(change.gained),
        "lost": list(change.lost),
        "place": places.get(change.broadcast, ""),
    }
