"""What a filter means: terms, values and an expression tree. ``str()`` of a node is text that parses back to it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["", "run", "metric", "param", "tag"]
PREFIXES: dict[str, Kind] = {"metrics": "metric", "params": "param", "tags": "tag"}
# Functions of a curve that are no plain aggregate.
DERIVED = ("ema", "slope", "time_to", "step_to")
RESERVED = frozenset({"and", "or", "not", "in", "is", "has", "order", "limit"})
PLAIN_NAME = re.compile(r"[^\W\d]\w*(?:[./:@%+#-]+\w+)*")


def quote_name(key: str, *, always: bool = False) -> str:
    """Return a key as a filter must write it: bare where that is safe, else in backticks."""
    is_safe = PLAIN_NAME.fullmatch(key) and key.lower() not in RESERVED and key.partition(".")[0] not in PREFIXES
    return key if is_safe and not always else "`" + key.replace("`", "``") + "`"


@dataclass(frozen=True, slots=True)
class Term:
    """Something a run has a value of: an attribute, a param, a tag, or a number taken from a metric.

    ``kind`` is empty until a bare name is looked up. ``function`` names an aggregate of a metric, or "at"; ``low``
    and ``high`` bound the steps it covers, both inclusive, and ``last`` says how many of the last ones it covers.
    ``arguments`` are the weight of ``ema``, or the operator and the bound of ``time_to`` and ``step_to``.
    """

    kind: Kind
    key: str
    function: str = ""
    low: int | None = None
    high: int | None = None
    column: int = field(default=0, compare=False)
    last: int | None = None
    arguments: tuple[str | float, ...] = ()

    @property
    def has_steps(self) -> bool:
        """Whether the term looks at a range of steps."""
        return self.low is not None or self.high is not None or self.last is not None

    @property
    def is_derived(self) -> bool:
        """Whether the term is one of the functions of a curve."""
        return self.function in DERIVED

    @property
    def reads_points(self) -> bool:
        """Whether the term looks at points instead of summaries."""
        return self.has_steps or self.is_derived

    @property
    def reads_newest(self) -> bool:
        """Whether the term looks at points as charts show them, where others look at those of all attempts."""
        return self.is_derived or self.last is not None

    def __str__(self) -> str:
        return self._written(always=False)

    def as_right_side(self) -> str:
        """Return the term so that it is a term on the right of an operator too, where a bare word is text."""
        return self._written(always=True)

    def _written(self, *, always: bool) -> str:
        prefix = next((f"{word}." for word, kind in PREFIXES.items() if kind == self.kind), "")
        name = prefix + quote_name(self.key, always=always and not prefix and self.function in ("", "at"))
        if self.function == "at":
            return f"{name} at {self.low}"
        if self.function:
            name = f"{self.function}({name}{self._written_arguments()})"
        if self.last is not None:
            return f"{name} last {self.last}"
        if self.low is not None and self.high is not None:
            return f"{name} between {self.low} and {self.high}"
        if self.low is not None:
            return f"{name} after {self.low}"
        return f"{name} before {self.high}" if self.high is not None else name

    def _written_arguments(self) -> str:
        if not self.arguments:
            return ""
        return ", " + repr(*self.arguments) if self.function == "ema" else f" {self.arguments[0]} {self.arguments[1]!r}"


@dataclass(frozen=True, slots=True)
class Value:
    """A literal as written. What it means depends on what it is compared with: ``10m`` is a duration or a name."""

    text: str
    quoted: bool = False
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return "'" + self.text.replace("\\", "\\\\").replace("'", "\\'") + "'" if self.quoted else self.text

    @property
    def word(self) -> str:
        """The text in lower case when it was not quoted: what keywords such as ``null`` are looked for in."""
        return "" if self.quoted else self.text.lower()


@dataclass(frozen=True, slots=True)
class Compare:
    """``term operator right``; the operator is one of = != < <= > >= ~ !~."""

    term: Term
    operator: str
    right: Value | Term

    def __str__(self) -> str:
        right = self.right.as_right_side() if isinstance(self.right, Term) else str(self.right)
        return f"{self.term} {self.operator} {right}"


@dataclass(frozen=True, slots=True)
class Among:
    """``term in (values)`` or ``term not in (values)``."""

    term: Term
    values: tuple[Value, ...]
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.term} {'not ' if self.negated else ''}in ({', '.join(map(str, self.values))})"


@dataclass(frozen=True, slots=True)
class Truth:
    """A term by itself: it is true."""

    term: Term

    def __str__(self) -> str:
        return str(self.term)


@dataclass(frozen=True, slots=True)
class IsNull:
    """``term is null`` or ``term is not null``."""

    term: Term
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.term} is {'not ' if self.negated else ''}null"


@dataclass(frozen=True, slots=True)
class Has:
    """``has term``: it was logged, be it as null."""

    term: Term

    def __str__(self) -> str:
        return f"has {self.term}"


@dataclass(frozen=True, slots=True)
class Not:
    """``not part``."""

    part: Expr

    def __str__(self) -> str:
        return f"not {_operand(self.part)}"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more parts that must all hold."""

    parts: tuple[Expr, ...]

    def __str__(self) -> str:
        return " and ".join(map(_operand, self.parts))


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more parts of which one must hold."""

    parts: tuple[Expr, ...]

    def __str__(self) -> str:
        return " or ".join(map(_operand, self.parts))


Expr: TypeAlias = Compare | Among | Truth | IsNull | Has | Not | And | Or


def _operand(part: Expr) -> str:
    return f"({part})" if isinstance(part, (And, Or)) else str(part)


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One term of ``order by``."""

    term: Term
    descending: bool = False

    def __str__(self) -> str:
        return f"{self.term}{' desc' if self.descending else ''}"


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed filter: which runs, in which order, how many."""

    where: Expr | None = None
    order: tuple[OrderTerm, ...] = ()
    limit: int | None = None

    def __str__(self) -> str:
        parts = [
            "" if self.where is None else str(self.where),
            f"order by {', '.join(map(str, self.order))}" if self.order else "",
            "" if self.limit is None else f"limit {self.limit}",
        ]
        return " ".join(part for part in parts if part)
