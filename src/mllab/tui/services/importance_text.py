"""What mattered, as a list to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllab.query.filter_ast import Term
from mllab.query.importance import what_mattered
from mllab.tui.screens.chooser import Choice
from mllab.wording import plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.query.tables import Tables

BAR_CELLS = 10


def mattered_choices(engine: Engine, state: Tables, refs: NDArray[np.int64], metric: str) -> tuple[str, list[Choice]]:
    """Return a title, and a line for each param: how strongly it goes along with the metric, n and method shown."""
    with engine.at(state):
        found = what_mattered(engine, [int(ref) for ref in refs], metric)
    choices = []
    for each in found:
        name = ", ".join(each.keys)
        if each.effect is None:
            choices.append(Choice("", f"{' ' * BAR_CELLS} {name}", each.skipped or "", is_disabled=True))
            continue
        bar = "█" * round((each.strength or 0.0) * BAR_CELLS)
        sure = "" if each.p_holm is None else f" p={each.p_holm:.2g}"
        best = "" if each.best is None else f" best at {each.best.text}"
        remark = f"{each.method} {each.effect:+.2f}{sure} n={each.n:,}{best}"
        choices.append(Choice(str(Term("param", each.keys[0])), f"{bar.ljust(BAR_CELLS)} {name}", remark))
    title = f"What goes along with {metric} over {plural(len(refs), 'run')}: association, not cause"
    return title, choices
