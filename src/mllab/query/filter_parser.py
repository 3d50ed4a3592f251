"""Filter text into a Query. Grammar: docs/reference/filters.md."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mllab.errors import FilterError
from mllab.query.filter_ast import (
    DERIVED,
    RESERVED,
    Among,
    And,
    Compare,
    Has,
    IsNull,
    Not,
    Or,
    OrderTerm,
    Query,
    Term,
    Truth,
    Value,
)
from mllab.query.filter_lexer import Token, tokenize
from mllab.query.filter_values import CONTINUES, NUMBER, as_number

if TYPE_CHECKING:
    from mllab.query.filter_ast import Expr

# Two Python frames a level here and two in the compiler: far from the interpreter's limit of 1000.
MAX_DEPTH = 100
INT64_MAX = (1 << 63) - 1
FUNCTIONS = ("last", "min", "max", "mean", "count", "nans", "step", "first_step", "min_step", "max_step")
# What can be asked of a range of steps.
RANGED = ("last", "min", "max", "mean", "count", "nans")
_RANGES = ("at", "after", "before", "between", "last")
_ORDERINGS = ("<", "<=", ">", ">=")
_WHOLE = re.compile(r"[+-]?\d[\d_]*", re.ASCII)
_SQL_HINTS = {
    "like": "Match with a regular expression: name ~ 'part'.",
    "ilike": "Match with a regular expression: name ~ '(?i)part'.",
    "contains": "Match with a regular expression: name ~ 'part'.",
    "between": "Write two conditions: lr >= 0.01 and lr <= 0.1. After a function, `between` takes steps.",
    "nulls": "Missing values and NaN always come last.",
}


def parse(text: str) -> Query:
    """Parse a filter.

    >>> str(parse("Status == finished AND (loss<.1) ORDER BY auc DESC"))
    'Status = finished and loss < .1 order by auc desc'

    Raises:
        FilterError: at the column where the text stops making sense.
    """
    try:
        return _Parser(tokenize(text)).query()
    except FilterError as error:
        error.text = text if len(text) <= 10_000 else ""  # a pointer into more than that helps nobody
        raise


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    @property
    def word(self) -> str:
        """The current token as a keyword; empty when it cannot be one."""
        return self.token.text.lower() if self.token.kind == "word" else ""

    def take(self, *words: str) -> str:
        """Step over a keyword or mark and return it, or return an empty text."""
        found = self.word or self.token.kind
        if found not in words:
            return ""
        self.index += 1
        return found

    def next(self) -> Token:
        token = self.token
        self.index += token.kind != "end"
        return token

    def surprise(self, wanted: str, hint: str | None = None) -> FilterError:
        token = self.token
        found = f"Found {token.text[:60]}" if token.text else "The filter ends"
        return FilterError(f"{found} where {wanted} was expected.", hint, column=token.column)

    def query(self) -> Query:
        where = None if self.token.kind == "end" or self.word in ("order", "limit") else self.expression()
        order: list[OrderTerm] = []
        if self.take("order"):
            if not self.take("by"):
                raise self.surprise("`by` after `order`", "Write: order by loss desc.")
            while True:
                term = self.term()
                order.append(OrderTerm(term, self.take("asc", "desc") == "desc"))
                if not self.take(","):
                    break
        limit = self.whole_number("a number after `limit`", low=0) if self.take("limit") else None
        if self.token.kind == ")":
            raise FilterError("This ) closes nothing.", "Remove it, or add a ( before.", column=self.token.column)
        if self.token.kind != "end":
            raise self.surprise(
                "`and`, `or`, `order by`, `limit` or the end", _SQL_HINTS.get(self.word, _quote_hint(self.token))
            )
        return Query(where, tuple(order), limit)

    def expression(self, minimum: int = 0) -> Expr:
        """Parse operands joined by operators that bind tighter than ``minimum``: `or` 1, `and` 2."""
        left = self.operand()
        while (word := self.word) in ("and", "or"):
            power = 1 if word == "or" else 2
            if power <= minimum:
                break
            parts = [left]
            while self.take(word):
                parts.append(self.expression(power))
            left = And(tuple(parts)) if word == "and" else Or(tuple(parts))
        return left

    def operand(self) -> Expr:
        token = self.token
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FilterError(
                f"The filter is nested more than {MAX_DEPTH} deep.", "Remove parentheses.", column=token.column
            )
        expression: Expr
        if self.take("not"):
            expression = Not(self.operand())
        elif self.take("("):
            expression = self.expression()
            self.close(token, "`and`, `or` or )")
        elif self.take("has"):
            opening = self.token
            is_open = self.take("(")
            expression = Has(self.term())
            if is_open:
                self.close(opening, ")")
        else:
            expression = self.comparison()
        self.depth -= 1
        return expression

    def close(self, opening: Token, wanted: str) -> None:
        if self.take(")"):
            return
        if self.token.kind == "end":
            raise FilterError("This ( is never closed.", "Add a ).", column=opening.column)
        raise self.surprise(wanted, _SQL_HINTS.get(self.word, _quote_hint(self.token)))

    def comparison(self) -> Expr:
        term = self.term()
        if self.token.kind == "operator":
            operator = self.next().value
            right = self.right_side()
            if operator in ("~", "!~") and isinstance(right, Term):
                raise FilterError("A regular expression is text.", "Put it in quotes.", column=right.column)
            return Compare(term, operator, right)
        if self.take("is"):
            negated = bool(self.take("not"))
            if not self.take("null"):
                raise self.surprise("`null`", "Write `is null` or `is not null`; for anything else, use =.")
            return IsNull(term, negated)
        negated = bool(self.take("not"))
        if self.take("in"):
            return Among(term, self.values(), negated)
        if negated:
            raise self.surprise("`in`", "`not` goes before a condition: not loss < 1.")
        if self.token.kind in ("end", ")") or self.word in RESERVED:
            return Truth(term)
        raise self.surprise("a comparison", _SQL_HINTS.get(self.word, "Compare it with something: loss < 0.1."))

    def values(self) -> tuple[Value, ...]:
        opening = self.token
        if not self.take("("):
            raise self.surprise("(", "Write the values in parentheses: in (adam, sgd).")
        values: list[Value] = []
        while True:
            value = self.right_side()
            if isinstance(value, Term):
                raise FilterError("A list holds values, not terms.", "Quote it to mean text.", column=value.column)
            values.append(value)
            if not self.take(","):
                break
        self.close(opening, ", or )")
        return tuple(values)

    def right_side(self) -> Value | Term:
        """Parse a value, or a term that cannot be mistaken for one."""
        token = self.token
        if token.kind == "text":
            self.index += 1
            return Value(token.value, quoted=True, column=token.column)
        if token.kind == "key" or (token.kind == "word" and (token.prefix or self.tokens[self.index + 1].kind == "(")):
            return self.term()
        if token.kind != "word" or self.word in RESERVED:
            raise self.surprise("a value", "Quote a keyword to mean its text." if token.kind == "word" else None)
        words = [self.next().text]
        while words[0][0].isdigit() and self.token.kind == "word" and CONTINUES.fullmatch(self.word):
            words.append(self.next().text)
        return Value(" ".join(words), column=token.column)

    def term(self) -> Term:
        """Parse a name, a function of a metric, or one of these over a range of steps."""
        token, is_function = self.token, False
        if token.kind == "word" and self.word not in RESERVED:
            is_function = self.tokens[self.index + 1].kind == "("
        if not is_function:
            return self.over_steps(self.name())
        function = token.text.lower()
        if function not in (*FUNCTIONS, *DERIVED):
            close = get_close_matches(function, (*FUNCTIONS, *DERIVED), 1)
            hint = f"Did you mean {close[0]}?" if close else f"Functions: {', '.join((*FUNCTIONS, *DERIVED))}."
            raise FilterError(f"There is no function {token.text[:60]}.", hint, column=token.column)
        self.index += 1
        opening = self.next()
        name = self.name()
        if name.kind not in ("", "metric"):
            raise FilterError(f"{function} takes a metric, not a {name.kind}.", column=name.column)
        arguments = self.arguments(function)
        self.close(opening, ")")
        return self.over_steps(Term(name.kind, name.key, function, column=name.column, arguments=arguments))

    def arguments(self, function: str) -> tuple[str | float, ...]:
        """Parse what follows the name in a function's parentheses."""
        if function in ("time_to", "step_to"):
            hint = f"Write: {function}(loss < 0.1)."
            operator = self.next().value if self.token.kind == "operator" else ""
            if operator not in _ORDERINGS:
                raise self.surprise("<, <=, > or >=", hint)
            return operator, self.number(hint)
        if function != "ema" or not self.take(","):
            return ()
        column = self.token.column
        weight = self.number("Write: ema(loss, 0.9).")
        if not 0 <= weight < 1:
            raise FilterError("The weight of ema is from 0 to below 1.", "Write: ema(loss, 0.9).", column=column)
        return (weight,)

    def number(self, hint: str) -> float:
        token = self.token
        if token.kind != "word":
            raise self.surprise("a number", hint)
        number = as_number(Value(self.next().text, column=token.column))
        if number != number:  # noqa: PLR0124  # NaN
            raise FilterError("NaN is no bound.", hint, column=token.column)
        return number

    def name(self) -> Term:
        token = self.token
        if token.kind not in ("word", "key"):
            raise self.surprise(
                "a name", "Put the name on the left: status = finished." if token.kind == "text" else None
            )
        if token.kind == "word" and (
            self.word in RESERVED or (NUMBER.fullmatch(token.text) and not token.text.isalpha())
        ):
            hint = "Write a key that looks like this in backticks; the name goes on the left: loss < 0.1."
            raise self.surprise("a name", hint)
        self.index += 1
        return Term(token.prefix, token.value, column=token.column)

    def over_steps(self, term: Term) -> Term:
        word = self.word
        if word not in _RANGES or (word == "between" and not term.function):
            return term
        if (word == "at") is bool(term.function) or term.kind in ("param", "tag"):
            hint = "Write: loss at 1000, min(loss) after 1000, or min(loss) last 100."
            raise FilterError(f"`{word}` does not go with {term}.", hint, column=self.token.column)
        if term.function and term.function not in RANGED:
            hint = f"Functions that do: {', '.join(RANGED)}."
            raise FilterError(f"{term.function} does not take a range of steps.", hint, column=term.column)
        self.index += 1
        low = high = None
        if word == "last":
            last = self.whole_number("a number of steps", low=1)
            return Term(term.kind, term.key, term.function, column=term.column, last=last)
        if word != "before":
            low = self.whole_number("a step")
        if word == "between":
            if not self.take("and"):
                raise self.surprise("`and`", "Write: min(loss) between 100 and 200.")
            high = self.whole_number("a step")
        elif word != "after":
            high = low if word == "at" else self.whole_number("a step")
        return Term(term.kind, term.key, term.function or "at", low, high, term.column)

    def whole_number(self, wanted: str, *, low: int = -INT64_MAX - 1) -> int:
        token = self.token
        if token.kind != "word" or not _WHOLE.fullmatch(token.text):
            raise self.surprise(wanted, "It is a whole number.")
        # A length first: int() refuses, or takes long over, very many digits.
        number = int(token.text.rstrip("_").replace("_", "")) if len(token.text) <= 40 else INT64_MAX + 1
        if not low <= number <= INT64_MAX:
            raise FilterError(f"{token.text[:60]} is out of range.", f"{low:,} to {INT64_MAX:,}.", column=token.column)
        self.index += 1
        return number


def _quote_hint(token: Token) -> str | None:
    return (
        "Put text with spaces in quotes, and write `and` or `or` between conditions." if token.kind == "word" else None
    )
