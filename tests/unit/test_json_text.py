"""JSON that every reader takes."""

from __future__ import annotations

import json

import pytest

from mllab.json_text import json_lines, json_text


def test_json_is_strict_and_ascii() -> None:
    data = {"loss": float("nan"), "up": [float("inf"), -float("inf")], "name": "\x1b[2J\u202e訓"}
    text = json_text(data)
    assert text.isascii()
    assert "\x1b" not in text
    loaded = json.loads(text, parse_constant=pytest.fail)
    assert loaded == {"loss": "NaN", "up": ["Infinity", "-Infinity"], "name": "\x1b[2J\u202e訓"}
    assert json.loads("".join(json_lines([]))) == []
    assert json.loads("".join(json_lines([1, {"a": 2}], '{"x":[', "]}"))) == {"x": [1, {"a": 2}]}
