"""Filter text becomes the tree it says, or an error at the column where it stops making sense."""

from __future__ import annotations

import sys

import pytest

from mllab.errors import FilterError
from mllab.query.filter_ast import (
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
from mllab.query.filter_lexer import MAX_LENGTH, tokenize
from mllab.query.filter_parser import MAX_DEPTH, parse

A, B, C = (Truth(Term("", name)) for name in "abc")


def bare(name: str) -> Term:
    return Term("", name)


TREES = [
    ("", Query()),
    ("a and b and c", Query(And((A, B, C)))),
    ("a or b and c", Query(Or((A, And((B, C)))))),
    ("a and b or c", Query(Or((And((A, B)), C)))),
    ("a and (b and c)", Query(And((A, And((B, C)))))),
    ("not a and b", Query(And((Not(A), B)))),
    ("not (a and b)", Query(Not(And((A, B))))),
    ("NOT not a", Query(Not(Not(A)))),
    ("a == 1", Query(Compare(bare("a"), "=", Value("1")))),
    ("a<>-1", Query(Compare(bare("a"), "!=", Value("-1")))),
    ("a<-1e-3", Query(Compare(bare("a"), "<", Value("-1e-3")))),
    ("top-1 > .5", Query(Compare(bare("top-1"), ">", Value(".5")))),
    ("a !~ '\\d+\\n'", Query(Compare(bare("a"), "!~", Value("\\d+\n", quoted=True)))),
    ('a = "it\'s ""x"" \\"y\\" \\\\"', Query(Compare(bare("a"), "=", Value('it\'s "x" "y" \\', quoted=True)))),
    ("a = 'x\"\"y'", Query(Compare(bare("a"), "=", Value('x""y', quoted=True)))),
    ("a = s3://b/c.d-e", Query(Compare(bare("a"), "=", Value("s3://b/c.d-e")))),
    ("a > 2 days  3H ago", Query(Compare(bare("a"), ">", Value("2 days 3H ago")))),
    ("a = 2026-11-01 12:30 and b", Query(And((Compare(bare("a"), "=", Value("2026-11-01 12:30")), B)))),
    ("a in (1, 'b', c)", Query(Among(bare("a"), (Value("1"), Value("b", quoted=True), Value("c"))))),
    ("a not in (1)", Query(Among(bare("a"), (Value("1"),), negated=True))),
    ("a is null", Query(IsNull(bare("a")))),
    ("a is not null", Query(IsNull(bare("a"), negated=True))),
    ("has a", Query(Has(bare("a")))),
    ("has(a)", Query(Has(bare("a")))),
    ("params.a.b", Query(Truth(Term("param", "a.b")))),
    ("tags.`a b`", Query(Truth(Term("tag", "a b")))),
    ("`a``b`", Query(Truth(bare("a`b")))),
    ("`params.a`", Query(Truth(bare("params.a")))),
    ("tagsy.a", Query(Truth(bare("tagsy.a")))),
    ("a = `b`", Query(Compare(bare("a"), "=", bare("b")))),
    ("a = metrics.b", Query(Compare(bare("a"), "=", Term("metric", "b")))),
    ("Min(a) < max ( metrics.b )", Query(Compare(Term("", "a", "min"), "<", Term("metric", "b", "max")))),
    ("a at 1_000 < 1", Query(Compare(Term("", "a", "at", 1000, 1000), "<", Value("1")))),
    ("min(a) after -5 < 1", Query(Compare(Term("", "a", "min", -5, None), "<", Value("1")))),
    ("min(a) BEFORE 5 < 1", Query(Compare(Term("", "a", "min", None, 5), "<", Value("1")))),
    ("min(a) between 1 and 5 < 1", Query(Compare(Term("", "a", "min", 1, 5), "<", Value("1")))),
    ("at at 5 = after", Query(Compare(Term("", "at", "at", 5, 5), "=", Value("after")))),
    ("order by a", Query(order=(OrderTerm(bare("a")),))),
    (
        "a Order By b desc, min(c) asc limit 5",
        Query(A, (OrderTerm(bare("b"), True), OrderTerm(Term("", "c", "min"))), 5),
    ),
    ("limit 5", Query(limit=5)),
    (
        "nan = 1 and 2d/iou > 1",
        Query(And((Compare(bare("nan"), "=", Value("1")), Compare(bare("2d/iou"), ">", Value("1"))))),
    ),
    ("épaisseur > 1", Query(Compare(bare("épaisseur"), ">", Value("1")))),
]


@pytest.mark.parametrize(("text", "expected"), TREES, ids=[text for text, _ in TREES])
def test_trees(text, expected):
    assert parse(text) == expected
    assert parse(str(expected)) == expected


ERRORS = [
    ("a =", 3, "ends where a value"),
    ("a = ", 3, "ends where a value"),
    ("a = and b", 4, "Found and where a value"),
    ("= 3", 0, "where a name"),
    ("and a", 0, "where a name"),
    ("a and", 5, "ends where a name"),
    ("a and or b", 6, "Found or where a name"),
    ("a not b", 6, "where `in`"),
    ("a is 3", 5, "use ="),
    ("3 < a", 0, "loss < 0.1"),
    ("'x' = a", 0, "on the left"),
    ("(a", 0, "This ( is never closed"),
    ("(a or (b)", 0, "This ( is never closed"),
    ("a)", 1, "closes nothing"),
    ("()", 1, "where a name"),
    ("(a b", 3, "a comparison"),
    ("(a = 1 b)", 7, "or )"),
    ("a = 1 b = 2", 6, "`and`, `or`"),
    ("a in 3", 5, "in parentheses"),
    ("a in ()", 6, "a value"),
    ("a in (1", 5, "never closed"),
    ("a in (1 x)", 8, ", or )"),
    ("a in (1, metrics.b)", 9, "holds values"),
    ("a && b", 2, "Write `and`"),
    ("a || b", 2, "Write `or`"),
    ("a; b", 1, "one expression"),
    ("a = 'x", 4, "never closed"),
    ("a = \"x'", 4, "never closed"),
    ("a = 'x\\'", 4, "never closed"),
    ("`a = 1", 0, "never closed"),
    ("params.`a = 1", 6, "no meaning"),
    ("`` = 1", 0, "is empty"),
    ("a =~ b", 2, "Write ~"),
    ("a => 1", 2, "Write >="),
    ("a === 1", 2, "no operator ==="),
    ("!a", 0, "Write `not`"),
    ("a = foo*", 7, "no meaning"),
    ("a = ^x", 4, "Put text in quotes"),
    ("a like 'x'", 2, "regular expression"),
    ("a between 1 and 2", 2, "two conditions"),
    ("a ~ metrics.b", 4, "regular expression is text"),
    ("mni(a) < 1", 0, "Did you mean min"),
    ("quantile(a) < 1", 0, "Functions: last"),
    ("min(params.a) < 1", 4, "takes a metric"),
    ("min(a < 1", 6, "where ) was expected"),
    ("min() < 1", 4, "where a name"),
    ("min(a) at 5 < 1", 7, "does not go with min(a)"),
    ("a after 5 < 1", 2, "does not go with a"),
    ("params.a at 5 < 1", 9, "does not go with params.a"),
    ("step(a) after 5 < 1", 5, "does not take a range"),
    ("min(a) after x < 1", 13, "a step"),
    ("min(a) after 1.5 < 1", 13, "whole number"),
    ("min(a) between 1 or 2 < 1", 17, "`and`"),
    ("a at 9223372036854775808 = 1", 5, "out of range"),
    (f"a at {'9' * 5000} = 1", 5, "out of range"),
    ("order a", 6, "`by`"),
    ("order by", 8, "a name"),
    ("order by a,", 11, "a name"),
    ("order by a nulls first", 11, "always come last"),
    ("order by a limit", 16, "a number after `limit`"),
    ("limit -1", 6, "out of range"),
    ("limit 5 order by a", 8, "the end"),
    ("a = '\ud800'", 5, "surrogate"),
    ("(" * (MAX_DEPTH + 1) + "a", MAX_DEPTH, f"more than {MAX_DEPTH} deep"),
    ("not " * 5000 + "a", MAX_DEPTH * 4, f"more than {MAX_DEPTH} deep"),
]


@pytest.mark.parametrize(("text", "column", "part"), ERRORS, ids=[ascii(text[:40]) for text, _, _ in ERRORS])
def test_errors(text, column, part):
    with pytest.raises(FilterError) as caught:
        parse(text)
    error = caught.value
    assert part in f"{error.message}\n{error.hint}"
    assert (error.column, error.text) == (column, text if len(text) <= 10_000 else "")


def test_an_error_shows_the_place():
    with pytest.raises(FilterError) as caught:
        parse("loss < and x")
    assert str(caught.value).splitlines()[1:3] == ["  loss < and x", "         ^"]


def test_too_long_a_text_is_refused():
    with pytest.raises(FilterError, match="100,001 characters"):
        parse(" " * (MAX_LENGTH + 1))
    assert parse(" " * MAX_LENGTH) == Query()


def test_the_deepest_filter_fits_a_deep_caller():
    text = "(" * (MAX_DEPTH - 1) + "a or b" + ")" * (MAX_DEPTH - 1)
    query = Query(Or((A, B)))
    limit = sys.getrecursionlimit()

    def below(frames: int) -> Query:
        return below(frames - 1) if frames else parse(text)

    assert below(limit // 2) == query


@pytest.mark.parametrize(
    "text", ["1" * 99_000 + "x", "'" * 99_999, "`" * 99_999, "a." * 49_000, "1d" * 49_000, "a =" + " 1 day" * 16_000]
)
def test_hostile_texts_take_linear_time(text):
    # The suite's timeout fails this if a pattern backtracks: each takes milliseconds.
    with pytest.raises(FilterError):
        parse(f"duration > {text} )")


def test_tokens_know_their_columns():
    assert [(token.text, token.column) for token in tokenize("  a.b >=\n'x' ")] == [
        ("a.b", 2), (">=", 6), ("'x'", 9), ("", 12),
    ]  # fmt: skip
