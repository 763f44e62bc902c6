"""The small language of fault rules: is this true of these metrics?

    expression := or
    or         := and ("or" and)*
    and        := not ("and" not)*
    not        := "not" not | comparison
    comparison := sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum        := product (("+" | "-") product)*
    product    := sign (("*" | "/") sign)*
    sign       := "-" sign | atom
    atom       := number | "text" | true | false | name | "abs" "(" sum ")" | "(" or ")"

A name is a metric (`mains_v`, `clock.offset_ms`). There are three truth values: what depends on a metric
that is not there is unknown (None), never false. `and` and `or` are Kleene's: false and unknown is false,
true or unknown is true. A comparison of text with a number, a division by zero and a number that stands
where a truth value must are unknown too (0 and 1 count as false and true: some nodes have no booleans).

Parsing refuses everything else with the column of the mistake. The text never reaches Python's own `eval`.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from controller.domain.faults import Value

Metrics = Mapping[str, Value | None]
Evaluator = Callable[[Metrics], bool | None]
Getter = Callable[[Metrics], Value | None]

MAX_LENGTH = 500
"""Characters of one expression."""
MAX_DEPTH = 40
"""Parentheses, signs and `not`s inside one another."""


class ExpressionError(ValueError):
    """An expression that does not parse; the text says why. `column` counts characters from 1."""

    def __init__(self, reason: str, column: int) -> None:
        super().__init__(f"{reason} (column {column})")
        self.reason = reason
        self.column = column


# --- what is parsed -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    value: Value


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Minus:
    of: Term


@dataclass(frozen=True, slots=True)
class Absolute:
    of: Term


@dataclass(frozen=True, slots=True)
class Arithmetic:
    sign: str
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Comparison:
    sign: str
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Not:
    of: Term


@dataclass(frozen=True, slots=True)
class And:
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Or:
    left: Term
    right: Term


Term = Constant | Name | Minus | Absolute | Arithmetic | Comparison | Not | And | Or


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression. `evaluate(metrics)` says True, False or None (unknown) and never raises."""

    text: str
    term: Term
    names: frozenset[str]
    """The metrics it looks at."""
    evaluate: Evaluator = field(repr=False, compare=False)


def parse(text: str) -> Expression:
    """Parse `text`; ExpressionError with the place of the first mistake."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"longer than {MAX_LENGTH} characters", MAX_LENGTH + 1)
    parser = _Parser(text)
    term = parser.whole()
    return Expression(text, term, frozenset(parser.names), _truth(term))


@dataclass(frozen=True, slots=True)
class Clause:
    """One of several conditions that are joined by `and`, or by `or`."""

    evaluate: Evaluator = field(repr=False, compare=False)
    names: frozenset[str]


def clauses(text: str, joined_by: type[And] | type[Or]) -> tuple[Clause, ...]:
    """The conditions that `text` joins at its top by `and` (by `or`); one, if it joins none."""
    return tuple(Clause(_truth(term), _names(term)) for term in _split(parse(text).term, joined_by))


def _split(term: Term, kind: type[And] | type[Or]) -> tuple[Term, ...]:
    if isinstance(term, And | Or) and isinstance(term, kind):
        return (*_split(term.left, kind), *_split(term.right, kind))
    return (term,)


def _names(term: Term) -> frozenset[str]:
    match term:
        case Name(name):
            return frozenset({name})
        case Constant():
            return frozenset()
        case Minus(of) | Absolute(of) | Not(of):
            return _names(of)
        case _:
            return _names(term.left) | _names(term.right)


# --- text -> terms ------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>[A-Za-z_]\w*(?:\.\w+)*)
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<sign><=|>=|==|!=|[<>()+\-*/])
    | (?P<end>$)
    )""",
    re.VERBOSE | re.ASCII,
)
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_HINTS = {
    "=": "'=' is no comparison, write '=='",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not' or '!='",
    "%": "'%' has no meaning here; write 20 % more as '* 1.2'",
}
_WORDS = frozenset({"and", "or", "not", "true", "false", "abs"})
_Truths = Comparison | Not | And | Or


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse_text(text, position)
        kind = match.lastgroup or "end"
        tokens.append(_Token(kind, match.group(kind), match.start(kind) + 1))
        position = match.end()
    return tokens


def _refuse_text(text: str, position: int) -> NoReturn:
    rest = text[position:].lstrip()
    column = len(text) - len(rest) + 1
    if rest[0] in "\"'":
        raise ExpressionError("text without a closing quote", column)
    if rest[0].isdigit():
        raise ExpressionError(f"{rest.split()[0]!r} is neither a number nor a name", column)
    raise ExpressionError(_HINTS.get(rest[0], f"unexpected {rest[0]!r}"), column)


class _Parser:
    """Recursive descent over the grammar in the module's docstring."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Term:
        if self._next.kind == "end":
            self._refuse("an empty expression")
        term = self._or()
        if self._next.kind != "end":
            self._refuse(f"unexpected {self._next.text!r}")
        self._must_be_truth(term, 1)
        return term

    def _or(self) -> Term:
        column, term = self._next.column, self._and()
        while self._take("or"):
            self._must_be_truth(term, column)
            column = self._next.column
            right = self._and()
            self._must_be_truth(right, column)
            term = Or(term, right)
        return term

    def _and(self) -> Term:
        column, term = self._next.column, self._not()
        while self._take("and"):
            self._must_be_truth(term, column)
            column = self._next.column
            right = self._not()
            self._must_be_truth(right, column)
            term = And(term, right)
        return term

    def _not(self) -> Term:
        if not self._take("not"):
            return self._comparison()
        column, term = self._next.column, self._deeper(self._not)
        self._must_be_truth(term, column)
        return Not(term)

    def _comparison(self) -> Term:
        left_column, left = self._next.column, self._sum()
        if self._next.text not in _COMPARISONS or self._next.kind != "sign":
            return left
        sign = self._advance().text
        right_column, right = self._next.column, self._sum()
        self._must_be_value(left, left_column)
        self._must_be_value(right, right_column)
        if self._next.kind == "sign" and self._next.text in _COMPARISONS:
            self._refuse("comparisons cannot be chained; join two with 'and'")
        return Comparison(sign, left, right)

    def _sum(self) -> Term:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Term:
        return self._chain(("*", "/"), self._sign)

    def _chain(self, signs: tuple[str, str], inner: Callable[[], Term]) -> Term:
        column, term = self._next.column, inner()
        while self._next.kind == "sign" and self._next.text in signs:
            self._must_be_number(term, column)
            sign = self._advance().text
            column = self._next.column
            right = inner()
            self._must_be_number(right, column)
            term = Arithmetic(sign, term, right)
        return term

    def _sign(self) -> Term:
        if not self._take("-"):
            return self._atom()
        column, term = self._next.column, self._deeper(self._sign)
        self._must_be_number(term, column)
        return Minus(term)

    def _atom(self) -> Term:
        token = self._advance()
        match token.kind:
            case "number":
                return Constant(float(token.text) if set(token.text) & set(".eE") else int(token.text))
            case "text":
                return Constant(token.text[1:-1])
            case "name":
                return self._named(token)
            case "sign" if token.text == "(":
                term = self._deeper(self._or)
                self._expect(")")
                return term
            case "end":
                raise ExpressionError("something is missing at the end", token.column)
            case _:
                raise ExpressionError(f"unexpected {token.text!r}", token.column)

    def _named(self, token: _Token) -> Term:
        match token.text:
            case "true" | "false":
                return Constant(token.text == "true")
            case "abs":
                return self._abs()
            case "and" | "or" | "not":
                raise ExpressionError(f"unexpected {token.text!r}", token.column)
        if token.text.lower() in _WORDS:
            raise ExpressionError(f"write {token.text.lower()!r} in small letters", token.column)
        if self._next.text == "(":
            raise ExpressionError(f"unknown function {token.text!r} (there is only 'abs')", token.column)
        self.names.add(token.text)
        return Name(token.text)

    def _abs(self) -> Term:
        self._expect("(")
        column, term = self._next.column, self._deeper(self._sum)
        self._must_be_number(term, column)
        self._expect(")")
        return Absolute(term)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _advance(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _take(self, text: str) -> bool:
        if self._next.text != text or self._next.kind == "text":
            return False
        self._at += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            self._refuse(f"{text!r} is missing")

    def _deeper(self, inner: Callable[[], Term]) -> Term:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH}")
        term = inner()
        self._depth -= 1
        return term

    def _refuse(self, reason: str) -> NoReturn:
        raise ExpressionError(reason, self._next.column)

    def _must_be_truth(self, term: Term, column: int) -> None:
        if isinstance(term, Minus | Absolute | Arithmetic) or (
            isinstance(term, Constant) and not isinstance(term.value, bool)
        ):
            raise ExpressionError("a value stands where true or false must; compare it with something", column)

    def _must_be_value(self, term: Term, column: int) -> None:
        if isinstance(term, _Truths):
            raise ExpressionError("true or false stands where a value must", column)

    def _must_be_number(self, term: Term, column: int) -> None:
        self._must_be_value(term, column)
        if isinstance(term, Constant) and not _is_number(term.value):
            raise ExpressionError("a number must stand here", column)


def _is_number(value: Value | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- terms -> closures --------------------------------------------------------------------------------------

_COMPARE: Mapping[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_CALCULATE: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def _truth(term: Term) -> Evaluator:
    match term:
        case Not(of):
            return _negation(_truth(of))
        case And(left, right):
            return _conjunction(_truth(left), _truth(right))
        case Or(left, right):
            return _disjunction(_truth(left), _truth(right))
        case Comparison(sign, Name(name), Constant(value)):
            return _comparison_with_constant(sign, name, value)
        case Comparison(sign, Name(name), Minus(Constant(int() | float() as value))):
            return _comparison_with_constant(sign, name, -value)
        case Comparison(sign, left, right):
            return _comparison(sign, _value(left), _value(right))
        case _:
            return _as_truth(_value(term))


def _value(term: Term) -> Getter:
    match term:
        case Constant(value):
            return lambda metrics: value
        case Name(name):
            return lambda metrics: metrics.get(name)
        case Minus(of):
            return _calculation(operator.sub, _value(Constant(0)), _value(of))
        case Absolute(of):
            return _absolute(_value(of))
        case Arithmetic(sign, left, right):
            return _calculation(_CALCULATE[sign], _value(left), _value(right))
        case _:
            return _truth(term)


def _negation(of: Evaluator) -> Evaluator:
    def evaluate(metrics: Metrics) -> bool | None:
        truth = of(metrics)
        return None if truth is None else not truth

    return evaluate


def _conjunction(left: Evaluator, right: Evaluator) -> Evaluator:
    def evaluate(metrics: Metrics) -> bool | None:
        one = left(metrics)
        if one is False:
            return False
        other = right(metrics)
        return one if other else other

    return evaluate


def _disjunction(left: Evaluator, right: Evaluator) -> Evaluator:
    def evaluate(metrics: Metrics) -> bool | None:
        one = left(metrics)
        if one:
            return True
        other = right(metrics)
        return one if other is False else other

    return evaluate


def _comparison_with_constant(sign: str, name: str, value: Value) -> Evaluator:
    """The form of nearly every rule, without the detour over two getters: it runs for each heartbeat."""
    compare = _COMPARE[sign]
    is_text = isinstance(value, str)

    def evaluate(metrics: Metrics) -> bool | None:
        measured = metrics.get(name)
        if measured is None or isinstance(measured, str) is not is_text:
            return None
        return compare(measured, value)

    return evaluate


def _comparison(sign: str, left: Getter, right: Getter) -> Evaluator:
    compare = _COMPARE[sign]

    def evaluate(metrics: Metrics) -> bool | None:
        one, other = left(metrics), right(metrics)
        if one is None or other is None or isinstance(one, str) is not isinstance(other, str):
            return None
        return compare(one, other)

    return evaluate


def _as_truth(of: Getter) -> Evaluator:
    def evaluate(metrics: Metrics) -> bool | None:
        value = of(metrics)
        return bool(value) if value in (0, 1) else None

    return evaluate


def _absolute(of: Getter) -> Getter:
    def evaluate(metrics: Metrics) -> Value | None:
        value = of(metrics)
        return None if value is None or isinstance(value, str) else abs(value)

    return evaluate


def _calculation(calculate: Callable[[float, float], float], left: Getter, right: Getter) -> Getter:
    def evaluate(metrics: Metrics) -> Value | None:
        one, other = left(metrics), right(metrics)
        if one is None or other is None or isinstance(one, str) or isinstance(other, str):
            return None
        try:
            result = calculate(one, other)
            return result if math.isfinite(result) else None
        except (ZeroDivisionError, OverflowError):  # overflow also of a whole number that no float can hold
            return None

    return evaluate
