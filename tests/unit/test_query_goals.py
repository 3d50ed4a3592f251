"""Which way a metric should go, by its key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllab.query.goals import Goal, goal


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("loss", "min"), ("train/loss", "min"), ("valLoss", "min"), ("trainloss", "min"), ("test_RMSE", "min"),
        ("cross_entropy_loss/epoch", "min"), ("layer.003.loss", "min"), ("auc", "max"), ("val.Top5_Accuracy", "max"),
        ("f1", "max"), ("R2", "max"), ("lr", None), ("grad_norm", None), ("loss/accuracy", None), ("lossless", None),
        ("потеря", None), ("", None),
    ],
)  # fmt: skip
def test_goals(key: str, expected: Goal | None) -> None:
    assert goal(key) == expected


@given(st.text(max_size=40))
def test_any_text_is_a_key(key: str) -> None:
    assert goal(key) in ("min", "max", None)
