"""The figures of a run. Figure objects alone: pyplot would keep them alive in a registry of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

if TYPE_CHECKING:
    import polars as pl

_SHOWN_FEATURES = 20
_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#777777"  # told apart by every kind of colour vision (Okabe and Ito)


def confusion_figure(table: pl.DataFrame, title: str) -> Any:
    """Draw a confusion matrix from :func:`mllab.demo.evaluation.confusion`, each row as shares of its class."""
    counts = table["flights"].to_numpy().reshape(2, 2)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        for column in range(2):
            axes.text(
                column,
                row,
                f"{counts[row, column]:,}\n{shares[row, column]:.1%}",
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.5 else "black",
            )
    axes.set_xticks([0, 1], ["on time", "late"])
    axes.set_yticks([0, 1], ["on time", "late"])
    axes.set(xlabel="predicted", ylabel="actual", title=title)
    return figure


def calibration_figure(table: pl.DataFrame, base_rate: float, title: str) -> Any:
    """Draw predicted against observed shares from :func:`mllab.demo.evaluation.calibration`."""
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.subplots()
    top = max(float(table.select("predicted", "observed").to_numpy().max()) * 1.08, 0.05)
    axes.plot([0, top], [0, top], linestyle="--", color=_GREY, label="perfect")
    axes.axhline(base_rate, linestyle=":", color=_ORANGE, label=f"base rate {base_rate:.1%}")
    axes.plot(table["predicted"].to_numpy(), table["observed"].to_numpy(), marker="o", color=_BLUE, label="model")
    axes.set(xlabel="predicted probability", ylabel="observed share", title=title, xlim=(0, top), ylim=(0, top))
    axes.legend(loc="upper left", frameon=False)
    return figure


def importance_figure(table: pl.DataFrame, title: str, label: str) -> Any:
    """Draw the strongest features from :func:`mllab.demo.evaluation.importances`."""
    top = table.head(_SHOWN_FEATURES).reverse()
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    values = top["importance"].to_numpy()
    axes.barh(
        top["feature"].to_list(),
        values,
        xerr=top["deviation"].to_numpy() if "deviation" in top.columns else None,
        color=[_BLUE if value >= 0 else _ORANGE for value in values],
    )
    axes.axvline(0, color=_GREY, linewidth=0.8)
    axes.set(xlabel=label, title=title)
    return figure
