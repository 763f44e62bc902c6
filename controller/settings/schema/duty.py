"""The parts of alerts.yaml that say when somebody is told: rota, escalation, nights, silences, maintenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from broadcasts.model import DateRange
from controller.domain import centre
from controller.domain.duty import Shift
from controller.domain.escalation import TECHNICIAN, Escalation, Person, Step
from controller.domain.faults import Severity
from controller.domain.hush import SINCE_EVER, WEEK, Hush, HushKind, Night
from controller.domain.wording import CAUSES
from controller.settings import context as names
from controller.settings import values
from controller.settings.context import CommuneName, Context
from controller.settings.dates import Dates, Moment
from controller.settings.sheet import Sheet, Steps, Strict
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import Flag, Line, Many, TimeOfDay

Severities = Many[Annotated[Severity, BeforeValidator(values.choice(Severity, "severity"))]]
Later = Annotated[timedelta, BeforeValidator(values.duration("1m", "720h"))]


def _days(value: Any) -> frozenset[int]:
    found = values.weekdays(value)
    if found is None:
        raise ValueError("shifts know no 'workdays': write weekdays, and a shift with dates for days off")
    return frozenset(int(day) for day in found)


def _node(value: Any, info: ValidationInfo) -> str:
    known = names.of(info).names
    return names.known(value, info, "node", known.nodes if known else None)


def _code(value: Any, info: ValidationInfo) -> str:
    codes = names.of(info).codes
    everything = codes | CAUSES.keys() | centre.RULES.keys() if codes is not None else None
    return names.known(value, info, "fault", everything)


NodeName = Annotated[str, BeforeValidator(_node)]
Code = Annotated[str, BeforeValidator(_code)]


class ShiftIn(Strict):
    who: Many[Line]
    days: Many[Annotated[frozenset[int], BeforeValidator(_days)]] = ()
    on: Dates | None = None
    start: TimeOfDay = Field(default=time(0), alias="from")
    until: TimeOfDay = time(0)


class StepIn(Strict):
    after: Later
    tell: Line
    severities: Severities = tuple(Severity)


class OverdueIn(Strict):
    critical: Later = timedelta(hours=4)
    major: Later = timedelta(hours=24)
    minor: Later = timedelta(hours=72)


class EscalationIn(Strict):
    steps: tuple[Any, ...] | None = None
    overdue: OverdueIn = OverdueIn()
    again: Later = timedelta(hours=24)


class QuietIn(Strict):
    start: TimeOfDay = Field(default=time(21), alias="from")
    until: TimeOfDay = time(6, 30)
    severities: Severities = (Severity.MINOR,)


class HushIn(Strict):
    nodes: Many[NodeName] = ()
    communes: Many[CommuneName] = ()
    codes: Many[Code] = ()
    start: Moment | None = Field(default=None, alias="from")
    until: Moment
    weekly: Flag = False
    reason: Line
    by: Line = ""


def rota(sheet: Sheet, people: Mapping[str, object], context: Context) -> dict[str, tuple[Shift, ...]]:
    """Role -> shifts; what is wrong is recorded."""
    given = sheet.root.get("on_call")
    roles: dict[str, Any] = given if isinstance(given, dict) else {}
    found: dict[str, tuple[Shift, ...]] = {}
    for role in roles:
        where: Steps = ("on_call", role)
        if reason := _role_flaw(role):
            sheet.problem(where, reason, at_key=True)
        if not roles[role] or not isinstance(roles[role], list):
            sheet.problem(where, "a list of shifts is wanted here: '- who:' with 'days:', 'from:' and 'until:'")
            continue
        shifts = (_shift(sheet, steps, people, context) for steps, _ in sheet.blocks(*where))
        found[role] = tuple(shift for shift in shifts if shift)
    return found


def _role_flaw(role: str) -> str:
    if role == TECHNICIAN:
        return f"'{TECHNICIAN}' is who serves a commune, and no role of the rota"
    try:
        values.identifier(role)
    except ValueError as error:
        return str(error)
    return ""


def _shift(sheet: Sheet, steps: Steps, people: Mapping[str, object], context: Context) -> Shift | None:
    given = sheet.read(ShiftIn, steps, context)
    if given is None:
        return None
    for number, person in enumerate(given.who):
        if person not in people:
            inner = (*steps, "who", number) if len(given.who) > 1 else (*steps, "who")
            sheet.problem(inner, f"unknown person {shown(person)}{did_you_mean(person, people)}")
    dates = given.on if isinstance(given.on, DateRange) else None
    return Shift(
        who=given.who,
        days=frozenset(day for group in given.days for day in group) if given.days else None,
        start=given.start,
        end=given.until,
        first=dates.first if dates else None,
        last=dates.last if dates else None,
    )


def escalation(sheet: Sheet, given: EscalationIn, roles: Iterable[str], context: Context) -> Escalation:
    """The ladder; the default one, as far as the rota fills it, when no steps are given."""
    overdue = {
        Severity.CRITICAL: given.overdue.critical.total_seconds(),
        Severity.MAJOR: given.overdue.major.total_seconds(),
        Severity.MINOR: given.overdue.minor.total_seconds(),
    }
    again = given.again.total_seconds()
    if given.steps is None:
        return Escalation(overdue_s=overdue, again_s=again)
    return Escalation(_steps(sheet, (TECHNICIAN, *roles), context), overdue, again)


def _steps(sheet: Sheet, known: tuple[str, ...], context: Context) -> tuple[Step, ...]:
    found: list[Step] = []
    for where, _ in sheet.blocks("escalation", "steps"):
        step = sheet.read(StepIn, where, context)
        if step is None:
            continue
        if step.tell not in known:
            hint = did_you_mean(step.tell, known)
            sheet.problem((*where, "tell"), f"unknown role {shown(step.tell)}: one of {', '.join(known)}{hint}")
        if found and step.after.total_seconds() <= found[-1].after_s:
            sheet.problem((*where, "after"), "not later than the step before")
        found.append(Step(step.after.total_seconds(), step.tell, frozenset(step.severities)))
    return tuple(found)


def night(sheet: Sheet, given: QuietIn) -> Night:
    if Severity.CRITICAL in given.severities:
        sheet.problem(("quiet", "severities"), "critical faults never wait for the morning")
    return Night(given.start, given.until, frozenset(given.severities))


def hushes(sheet: Sheet, context: Context) -> tuple[Hush, ...]:
    """Silences and maintenance windows of the file."""
    kinds = (("silences", HushKind.SILENCE), ("maintenance", HushKind.MAINTENANCE))
    made = (_hush(sheet, steps, kind, context) for key, kind in kinds for steps, _ in sheet.blocks(key))
    return tuple(hush for hush in made if hush)


def _hush(sheet: Sheet, steps: Steps, kind: HushKind, context: Context) -> Hush | None:
    given = sheet.read(HushIn, steps, context)
    if given is None:
        return None
    start = _aware(given.start, context) if given.start else SINCE_EVER
    until = _aware(given.until, context)
    if not (given.nodes or given.communes or given.codes):
        sheet.problem(steps, "this would hush everything: say 'nodes:', 'communes:' or 'codes:'")
    if kind is HushKind.MAINTENANCE and given.start is None:
        sheet.problem(steps, "key 'from' is missing")
    elif until <= start:
        sheet.problem((*steps, "until"), "ends before it begins")
    elif given.weekly and given.start is None:
        sheet.problem((*steps, "weekly"), "what repeats weekly needs 'from:'", at_key=True)
    elif given.weekly and until - start >= WEEK:
        sheet.problem((*steps, "until"), "a window that repeats weekly must be shorter than a week")
    return Hush(kind, start, until, given.reason, given.by, given.nodes, given.communes, given.codes, given.weekly)


def _aware(local: datetime, context: Context) -> datetime:
    return local.replace(tzinfo=context.zone).astimezone(UTC)


def warnings(people: Iterable[Person]) -> list[str]:
    """What is allowed and hardly meant."""
    return [f"alerts.yaml: {one.name} ({one.id}) has no channel" for one in people if not one.reachable]
