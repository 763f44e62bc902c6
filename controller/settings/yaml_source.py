"""YAML text -> plain values that know where they stand.

Nothing is guessed: every scalar stays the text that was written (`17:30` is no sexagesimal number, `no` no
truth value, `0900000001` no octal) and the schema says what it means. Works on the event stream of PyYAML's
safe parser with an explicit stack and fixed limits, so that neither depth nor aliases can be made to cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from controller.settings.source import CONTROL, START, Place, Unusable
from controller.settings.suggest import shown
from controller.settings.syntax import explain

MAX_DEPTH = 24
MAX_VALUES = 300_000
MAX_ALIASED = 2_000
"""Values that all aliases of one file may stand for together."""

NOTHING = frozenset({"", "~", "null", "Null", "NULL"})

QUOTES = ('"', "'")

PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it (every wheel): 15 times as fast as the Python parser."""


class Text(str):
    """A scalar as it was written; `plain`: without quotes."""

    __slots__ = ("plain",)
    plain: bool

    @classmethod
    def of(cls, value: str, *, plain: bool) -> Text:
        text = cls(value)
        text.plain = plain
        return text


class Map(dict[str, Any]):
    """A block of keys; `keys_at` and `values_at` say where each key and its value begin."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Place] = {}


class Seq(list[Any]):
    """A list; `values_at` says where each entry begins."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.values_at: list[Place] = []


Value = Map | Seq | Text | None


@dataclass(frozen=True, slots=True)
class Flaw:
    """A mistake that does not keep the rest of the file from being read."""

    place: Place
    message: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A whole file. `root` is None for an empty one."""

    root: Value
    place: Place
    flaws: tuple[Flaw, ...]


def parse(text: str, parser: Any = PARSER) -> Parsed:
    """Read one YAML document; Unusable at the first mistake that leaves the rest without meaning."""
    builder = _Builder()
    loader = parser(text)
    try:
        while loader.check_event():
            builder.take(loader.get_event())
    except yaml.YAMLError as error:
        place, message = explain(error, text, builder.long_quote)
        raise Unusable(message, place) from error
    finally:
        loader.dispose()
    builder.refuse_tabs(text)
    return Parsed(builder.root, builder.root_place, tuple(builder.flaws))


@dataclass(slots=True)
class _Open:
    """A collection that has begun and not ended."""

    value: Map | Seq
    place: Place
    anchor: str | None
    weight: int = 1
    key: Text | None = None
    key_place: Place = START


@dataclass(slots=True)
class _Builder:
    """Takes the parser's events one by one."""

    root: Value = None
    root_place: Place = START
    flaws: list[Flaw] = field(default_factory=list)
    long_quote: tuple[Place, int] | None = None
    """Where the last quoted text of several lines begins, and the line it ends in."""
    _stack: list[_Open] = field(default_factory=list)
    _anchors: dict[str, tuple[Value, int]] = field(default_factory=dict)
    _documents: int = 0
    _values: int = 0
    _aliased: int = 0
    _free_lines: set[int] = field(default_factory=set)
    """Lines that continue a quoted or block text: what indents them is the operator's business."""

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._document(event)

    def _document(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise Unusable("a second document begins here (---): one document a file", _place(event))

    def _scalar(self, event: Any) -> None:
        plain = event.style is None or event.style == ""
        place = _place(event)
        if not plain:
            self._free_lines.update(range(place.line + 1, event.end_mark.line + 2))
        if event.style in QUOTES and event.end_mark.line > event.start_mark.line:
            self.long_quote = place, event.end_mark.line + 1
        self._refuse_tag(event)
        text = Text.of(event.value, plain=plain)
        if control := CONTROL.search(text):
            self.flaws.append(
                Flaw(place, f"an escape makes the control character U+{ord(control[0]):04X}: leave it out")
            )
        value = text if self._expects_key() or not plain or text not in NOTHING else None
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, place, 1)

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        place = _place(event)
        self._refuse_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            raise Unusable(f"nested deeper than {MAX_DEPTH} levels", place)
        value: Map | Seq = Map(place) if isinstance(event, yaml.MappingStartEvent) else Seq(place)
        if self._expects_key():
            self._key(value, place)
        self._stack.append(_Open(value, place, event.anchor))

    def _close(self) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._anchors[done.anchor] = (done.value, done.weight)
        self._put(done.value, done.place, done.weight)

    def _alias(self, event: yaml.AliasEvent) -> None:
        place, name = _place(event), str(event.anchor)
        if name not in self._anchors:
            inside = any(one.anchor == name for one in self._stack)
            raise Unusable(f"*{name} stands inside itself" if inside else f"unknown alias *{name}", place)
        value, weight = self._anchors[name]
        self._aliased += weight
        if self._aliased > MAX_ALIASED:
            message = f"aliases (*) stand for more than {MAX_ALIASED} values here: write them out"
            raise Unusable(message, place)
        self._put(value, place, weight)

    def _put(self, value: Value, place: Place, weight: int) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Unusable(f"more than {MAX_VALUES} values in one file: split it", place)
        if not self._stack:
            self.root, self.root_place = value, place
            return
        top = self._stack[-1]
        top.weight += weight
        if isinstance(top.value, Seq):
            top.value.append(value)
            top.value.values_at.append(place)
        elif top.key is None:
            top.key, top.key_place = self._key(value, place), place
        else:
            self._pair(top.value, top.key, top.key_place, value, place)
            top.key = None

    def _key(self, value: Value, place: Place) -> Text:
        if not isinstance(value, Text):
            raise Unusable("a key must be one word, not a list or a block", place)
        return value

    def _pair(self, block: Map, key: Text, key_place: Place, value: Value, place: Place) -> None:
        if key == "<<" and key.plain:
            self.flaws.append(Flaw(key_place, "merge keys (<<) are not read: write the keys out"))
        elif key.plain and key in NOTHING:
            self.flaws.append(Flaw(key_place, "a key is missing before the ':'"))
        elif key in block:
            first = block.keys_at[key].line
            message = f"key {shown(key)} is there twice in this block (first in line {first})"
            self.flaws.append(Flaw(key_place, message))
        else:
            block[str(key)] = value
            block.keys_at[str(key)] = key_place
            block.values_at[str(key)] = place

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, Map) and self._stack[-1].key is None

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.flaws.append(Flaw(_place(event), f"tags ({shown(tag)[1:-1]}) are not read: leave it out"))

    def refuse_tabs(self, text: str) -> None:
        """Tabs that indent: the parser lets some of them pass and reads another structure than is seen."""
        if "\t" not in text:
            return
        for number, line in enumerate(text.split("\n"), start=1):
            indent = line[: len(line) - len(line.lstrip())]
            if "\t" in indent and indent != line and number not in self._free_lines:
                place = Place(number, indent.index("\t") + 1)
                raise Unusable("a tab indents this line: YAML wants spaces", place)


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
