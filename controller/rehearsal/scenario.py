"""A scenario: a district, what befalls it, and what the controller must conclude. Read from one YAML file with the
machinery of the configuration: every mistake at once, with file, line, column, and what was probably meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

import simulators
from controller.domain.faults import Severity
from controller.settings import source, values, yaml_source
from controller.settings.problems import ConfigError, Problems
from controller.settings.sheet import Sheet, Strict
from controller.settings.suggest import did_you_mean, shown
from controller.settings.values import Flag, Id, Line, Many, Prose
from controller.settings.yaml_source import Map
from simulators.parts import FAULTS, Value, kind_of

FOLDER = Path(simulators.__file__).parent / "scenarios"
"""Those that ship."""

NOT_HERE = ("relay", "missed-broadcast", "emergency-sound")
"""Faults that need something on air, which a scenario has not."""

SCOPES = ("node", "commune", "feeder", "uplink", "centre")
ENDS = ("open", "closed")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _fault(value: Any) -> str:
    return values.one_of(value, [code for code in FAULTS if code not in NOT_HERE], "fault")


def _mended(value: Any) -> str:
    return "everything" if value == "everything" else _fault(value)


def _arguments(value: Any) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise ValueError("a block of arguments is wanted here, like {celsius: 82}")
    return {str(name): _argument(given) for name, given in value.items()}


def _argument(value: Any) -> Value:
    text = values.scalar(value, "a value")
    if _NUMBER.fullmatch(text):
        return float(text)
    return text == "yes" if text in ("yes", "no") else text


def _window(value: Any) -> tuple[timedelta, timedelta]:
    text = values.scalar(value, "a window like 10m..13m")
    first, dots, last = text.partition("..")
    if not dots:
        raise ValueError(f"{shown(text)} is no window like 10m..13m")
    window = _time(first.strip()), _time(last.strip())
    if window[0] > window[1]:
        raise ValueError(f"{shown(text)} ends before it begins")
    return window


def _step(value: Any) -> timedelta:
    text = values.scalar(value, "a length of time like 1h or -1h")
    return -_time(text[1:]) if text.startswith("-") else _time(text)


def _word(*words: str) -> Any:
    return BeforeValidator(lambda value: values.one_of(value, words, "word"))


_time = values.duration("0s", "2d")
Time = Annotated[timedelta, BeforeValidator(_time)]
Share = Annotated[float, BeforeValidator(values.number(0, 1))]
ZERO = timedelta(0)


class NetworkIn(Strict):
    """The district: `nodes` of each commune, shared out over its `feeders`."""

    communes: Annotated[int, BeforeValidator(values.whole(1, 99))] = 1
    nodes: Annotated[int, BeforeValidator(values.whole(1, 200))] = 5
    feeders: Annotated[int, BeforeValidator(values.whole(1, 9))] = 1
    heartbeat: Annotated[timedelta, BeforeValidator(values.duration("5s", "2m"))] = timedelta(seconds=10)
    battery_wh: Annotated[float, BeforeValidator(values.number(0.01, 10_000))] = 240.0


class FadeIn(Strict):
    """What the radio of a node is like meanwhile."""

    rsrp: Annotated[float, BeforeValidator(values.number(-140, -40))] = -90.0
    sinr: Annotated[float, BeforeValidator(values.number(-20, 40))] = 10.0
    loss: Share = 0.0


class LoseIn(Strict):
    """Bursts in which nothing passes; together they take `share` of the time."""

    share: Share
    burst: Time = timedelta(seconds=30)


class IncidentName(Strict):
    subject: Id
    cause: Line


ACTIONS = (
    "break", "mend", "battery", "fade", "lose", "delay", "broker", "controller", "step", "clone", "keys",
    "acknowledge", "repair",
)  # fmt: skip
LASTING = ("fade", "lose", "delay", "broker", "controller", "clone")
"""What takes a while: `for` says how long."""

OF_NODES = ("break", "mend", "battery", "fade", "lose", "clone", "keys")
"""What befalls nodes: `to` says which, `spread` within what time."""

GOES_WITH: Mapping[str, Sequence[str]] = {
    "for": LASTING,
    "to": OF_NODES,
    "spread": OF_NODES,
    "with": ("break",),
    "by": ("acknowledge", "repair"),
}
"""What a step may have beside its action, and with which actions that means something."""


class StepIn(Strict):
    """One thing that happens at `at`."""

    at: Time
    to: Many[Line] = ("all",)
    spread: Time = ZERO
    lasts: Annotated[Time, Field(alias="for")] = ZERO
    broken: Annotated[str | None, BeforeValidator(_fault), Field(alias="break")] = None
    arguments: Annotated[dict[str, Value], BeforeValidator(_arguments), Field(alias="with", default_factory=dict)]
    mend: Annotated[str | None, BeforeValidator(_mended)] = None
    battery: Annotated[float | None, BeforeValidator(values.number(0.01, 10_000))] = None
    fade: FadeIn | None = None
    lose: LoseIn | None = None
    delay: Time | None = None
    broker: Annotated[str | None, _word("down")] = None
    controller: Annotated[str | None, _word("down")] = None
    step: Annotated[timedelta | None, BeforeValidator(_step)] = None
    clone: Flag = False
    keys: Annotated[str | None, _word("strange")] = None
    acknowledge: IncidentName | None = None
    repair: IncidentName | None = None
    by: Id = "kt-x01"

    @model_validator(mode="before")
    @classmethod
    def _one_action(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found = [key for key in value if key in ACTIONS]
        if found == ["clone"] and value["clone"] == "no":
            found = []
        if len(found) != 1:
            unknown = [key for key in value if key not in _STEP_KEYS]
            hint = did_you_mean(unknown[0], ACTIONS) if unknown and not found else ""
            both = f"'{found[0]}' and '{found[1]}' in one step" if found else "this step does nothing"
            raise ValueError(f"{both}: each has one of {', '.join(ACTIONS)}{hint}")
        if found[0] in LASTING and "for" not in value:
            raise ValueError(f"'{found[0]}' lasts a while: say how long with 'for: 10m'")
        return value

    @property
    def action(self) -> str:
        """Which of ACTIONS it is."""
        held = {"break": self.broken, "clone": self.clone or None}
        return next(name for name in ACTIONS if held.get(name, getattr(self, name, None)) is not None)


_STEP_KEYS = ("at", "to", "spread", "for", "with", "by", *ACTIONS)


class IncidentIn(Strict):
    """An incident that must be there at the end. Incidents that another one explains are not told of, nor here."""

    subject: Id
    cause: Line
    scope: Annotated[str, BeforeValidator(lambda value: values.one_of(value, SCOPES, "scope"))] = "node"
    severity: Annotated[Severity, BeforeValidator(values.choice(Severity, "severity"))]
    opens: Annotated[tuple[timedelta, timedelta], BeforeValidator(_window)]
    ends: Annotated[str, BeforeValidator(lambda value: values.one_of(value, ENDS, "end"))]


class ExpectIn(Strict):
    """All incidents, and messages per person; who is not named hears nothing."""

    incidents: tuple[IncidentIn, ...] = ()
    messages: dict[str, Annotated[int, BeforeValidator(values.whole(0, 100_000))]] = Field(default_factory=dict)


class Scenario(Strict):
    """A whole file."""

    name: Line = ""
    story: Prose
    seed: Annotated[int, BeforeValidator(values.whole(0, 2**31))] = 1
    starts: Annotated[datetime, BeforeValidator(values.moment)]
    lasts: Time
    network: NetworkIn = NetworkIn()
    steps: tuple[StepIn, ...]
    expect: ExpectIn

    @property
    def only_compressed(self) -> tuple[str, ...]:
        """What of it needs compressed time: a simulated network that is no network."""
        only = ("fade", "lose", "delay", "broker", "controller", "step", "clone", "keys")
        return tuple(sorted({step.action for step in self.steps} & set(only)))


def names() -> list[str]:
    """The scenarios that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Scenario:
    """The scenario of that name, or in that file. ConfigError with every mistake in it."""
    path = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
    problems = Problems()
    sheet = _sheet(path, name, problems)
    scenario = sheet.read(Scenario, ()) if sheet else None
    if sheet:
        _check_steps(sheet)
        _check_expected(sheet)
    problems.raise_if_any()
    assert scenario is not None
    return scenario.model_copy(update={"name": path.stem})


def _sheet(path: Path, name: str, problems: Problems) -> Sheet | None:
    shown_as = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    try:
        parsed = yaml_source.parse(source.decode(source.read(path)))
    except source.Unusable as error:
        hint = did_you_mean(name, names()) if error.message == "is missing" else ""
        problems.add(shown_as, *error.place, f"{error.message}{hint}")
        return None
    for flaw in parsed.flaws:
        problems.add(shown_as, *flaw.place, flaw.message)
    if isinstance(parsed.root, Map):
        return Sheet(shown_as, path, parsed.root, problems)
    problems.add(shown_as, *parsed.place, "must be 'key: value' blocks")
    return None


def _check_steps(sheet: Sheet) -> None:
    """Steps speak of what is there and come before the end, and faults take the arguments they are given. Each step
    that can be read is looked at, whatever is wrong elsewhere."""
    known, people, end = _district(sheet)
    for where, block in sheet.blocks("steps"):
        step = sheet.read(StepIn, where)
        if step is None:
            continue
        for key, actions in GOES_WITH.items():
            if key in block and step.action not in actions:
                sheet.problem((*where, key), f"'{key}' goes with {', '.join(actions)}", at_key=True)
        for name in step.to:
            if known and name not in known:
                sheet.problem(
                    (*where, "to"), f"unknown node, feeder or commune {shown(name)}{did_you_mean(name, known)}"
                )
        if people and step.by not in people:
            sheet.problem((*where, "by"), f"unknown person {shown(step.by)}{did_you_mean(step.by, people)}")
        if end is not None and step.at > end:
            sheet.problem((*where, "at"), "comes after the end: see 'lasts'")
        for name, message in _misfits(step):
            sheet.problem((*where, "with", name), message, at_key=True)


def _misfits(step: StepIn) -> Iterator[tuple[str, str]]:
    """Arguments that the fault of a step does not take, or not like this."""
    if step.broken is None:
        return
    takes = FAULTS[step.broken].args
    for name, value in step.arguments.items():
        if name not in takes:
            yield name, f"fault '{step.broken}' takes no {shown(name)}{did_you_mean(name, takes)}"
        elif kind_of(value) != kind_of(takes[name]):
            yield name, f"{shown(name)} of fault '{step.broken}' is wanted as {kind_of(takes[name])}"


def _check_expected(sheet: Sheet) -> None:
    """What must be concluded is of subjects and people that are there. It may open after the end: the controller's
    clock can be stepped."""
    known, people, _ = _district(sheet)
    expect = sheet.root.get("expect")
    if not isinstance(expect, Map):
        return
    for where, _ in sheet.blocks("expect", "incidents"):
        one = sheet.read(IncidentIn, where)
        if one is None:
            continue
        if known and one.subject not in known and one.subject != "centre":
            message = f"unknown subject {shown(one.subject)}{did_you_mean(one.subject, known)}"
            sheet.problem((*where, "subject"), message)
    messages = expect.get("messages")
    for person in messages if isinstance(messages, Map) and people else ():
        if person not in people:
            message = f"unknown person {shown(person)}{did_you_mean(person, people)}"
            sheet.problem(("expect", "messages", person), message, at_key=True)


def _district(sheet: Sheet) -> tuple[Mapping[str, tuple[str, ...]], Sequence[str], timedelta | None]:
    """Who is there (nobody if the network cannot be read), which people, and when it ends (None if that cannot be)."""
    network = sheet.read(NetworkIn, ("network",)) if "network" in sheet.root else NetworkIn()
    try:
        end = _time(sheet.root.get("lasts"))
    except ValueError:
        end = None
    return (members(network), technicians(network), end) if network else ({}, (), end)


def technicians(network: NetworkIn) -> tuple[str, ...]:
    """The people of the district: one for each commune."""
    return tuple(f"kt-x{c:02d}" for c in range(1, network.communes + 1))


def members(network: NetworkIn) -> Mapping[str, tuple[str, ...]]:
    """Node ids by every name that a step may use: nodes, communes `x01`, feeders `x01-f1`, `all`."""
    found: dict[str, list[str]] = {"all": []}
    for c in range(1, network.communes + 1):
        for n in range(1, network.nodes + 1):
            node = f"x{c:02d}-{n:02d}"
            for name in (node, f"x{c:02d}", feeder_of(network, c, n), "all"):
                found.setdefault(name, []).append(node)
    return {name: tuple(nodes) for name, nodes in found.items()}


def feeder_of(network: NetworkIn, commune: int, node: int) -> str:
    """The feeder of the n-th node of a commune: neighbours hang on the same one."""
    return f"x{commune:02d}-f{(node - 1) * network.feeders // network.nodes + 1}"


__all__ = ["ConfigError", "Scenario", "feeder_of", "load", "members", "names", "technicians"]
