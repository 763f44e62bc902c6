"""What a YAML parser's complaint means to somebody who is no programmer."""

from __future__ import annotations

import yaml

from controller.settings.source import START, Place

_MEANINGS = (
    ("mapping values are not allowed", "a ':' makes no sense here: put the text in quotes, or mend the indentation"),
    ("could not find expected ':'", "this is neither 'key: value' nor '- entry': a ':' is missing"),
    ("expected ',' or ']'", "the list that began with '[' in line {began} is not closed: a ']' or ',' is missing"),
    ("expected ',' or '}'", "the block that began with '{{' in line {began} is not closed: a '}}' or ',' is missing"),
    ("unexpected end of stream", "the quote opened here is never closed"),
    ("unexpected document separator", "the quote opened here is never closed"),
    ("did not find expected key", "this does not fit the block that began in line {began}: mend the indentation"),
    (
        "did not find expected '-' indicator",
        "this does not fit the block that began in line {began}: mend the indentation",
    ),
    ("expected <block end>", "this does not fit the block that began in line {began}: mend the indentation"),
    ("block sequence entries are not allowed", "a '-' list cannot begin here: begin it on a line of its own"),
    ("unknown escape character", "unknown '\\' escape in double quotes: use single quotes"),
    ("expected comment or line break", "only a comment may follow '|' or '>' on this line"),
    ("expected a comment or a line break", "only a comment may follow '|' or '>' on this line"),
    ("expected chomping or indentation indicators", "only a comment may follow '|' or '>' on this line"),
    ("did not find expected node content", "a value is missing here"),
    ("expected the node content", "a value is missing here"),
    ("did not find expected <document start>", "this stands outside of the document: mend the indentation"),
    ("expected '<document start>'", "this stands outside of the document: mend the indentation"),
    ("found a tab character", "a tab indents this line: YAML wants spaces"),
)
_AT_CONTEXT = ("unexpected end of stream", "unexpected document separator")


def explain(error: yaml.YAMLError, text: str, long_quote: tuple[Place, int] | None = None) -> tuple[Place, str]:
    """Where and why, in the words of the person who wrote the file.

    `long_quote`: beginning and last line of the last quoted text that goes over several lines. A quote that was
    forgotten ends at the next one, and the parser complains only there.
    """
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return START, f"is not YAML: {error}"
    problem = error.problem or ""
    mark = error.problem_mark
    if error.context_mark is not None and any(part in problem for part in _AT_CONTEXT):
        mark = error.context_mark
    place = Place(mark.line + 1, mark.column + 1)
    if "unknown escape" in problem and _letter(place, text) != "\\":
        place = Place(place.line, place.column - 1)  # the Python parser points behind the backslash
    if tab := _tab_before(place, text):
        return tab, "a tab indents this line: YAML wants spaces"
    if long_quote is not None and long_quote[1] == place.line:
        return long_quote[0], f"the quote opened here ends only in line {place.line}: was it meant to?"
    return place, _message(problem, error, _letter(place, text))


def _message(problem: str, error: yaml.MarkedYAMLError, letter: str) -> str:
    if "cannot start any token" in problem:
        return f"a value cannot begin with {letter!r}: put it in quotes"
    if letter == ":" and ("expected key" in problem or "expected <block end>" in problem):
        return "a key is missing before the ':'"
    began = error.context_mark.line + 1 if error.context_mark is not None else 1
    for part, meaning in _MEANINGS:
        if part in problem:
            return meaning.format(began=began)
    return f"is not YAML: {problem}"


def _tab_before(place: Place, text: str) -> Place | None:
    """The tab that indents the line of `place` or the one above it."""
    lines = text.split("\n")
    for number in (place.line, place.line - 1):
        if 1 <= number <= len(lines):
            line = lines[number - 1]
            indent = line[: len(line) - len(line.lstrip())]
            if "\t" in indent:
                return Place(number, indent.index("\t") + 1)
    return None


def _letter(place: Place, text: str) -> str:
    lines = text.split("\n")
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    return line[place.column - 1 : place.column]
