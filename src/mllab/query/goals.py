"""Which way a metric should go, as far as its key says."""

from __future__ import annotations

import re
from typing import Literal

Goal = Literal["min", "max"]

LOWER_WORDS = frozenset(
    {
        "loss", "losses", "nll", "mse", "rmse", "mae", "mape", "msle", "error",
        "errors", "err", "cost", "perplexity", "ppl", "bce", "ce", "xent", "logloss",
        "crossentropy", "kl", "wer", "cer", "fid", "brier", "regret", "latency",
    }
)  # fmt: skip
HIGHER_WORDS = frozenset(
    {
        "accuracy", "acc", "auc", "auroc", "auprc", "map", "f1", "precision", "recall",
        "sensitivity", "specificity", "r2", "score", "bleu", "rouge", "iou", "miou", "dice",
        "reward", "kappa", "mcc", "ndcg", "mrr", "throughput",
    }
)  # fmt: skip
# Endings of words that are written as one, such as trainloss.
LOWER_ENDINGS = ("loss", "error")
HIGHER_ENDINGS = ("accuracy",)

_WORD = re.compile(r"[a-z0-9]+")
_INNER_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def goal(key: str) -> Goal | None:
    """Return whether less or more of a metric is better; None when its key says neither, or both.

    >>> goal("val/crossEntropy_loss"), goal("test.auc"), goal("lr")
    ('min', 'max', None)
    """
    words = _WORD.findall(_INNER_CAPITAL.sub(" ", key).lower())
    lower = any(word in LOWER_WORDS or word.endswith(LOWER_ENDINGS) for word in words)
    higher = any(word in HIGHER_WORDS or word.endswith(HIGHER_ENDINGS) for word in words)
    if lower == higher:
        return None
    return "min" if lower else "max"
