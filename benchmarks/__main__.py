"""``python -m benchmarks``: measure, print a table, and say on what it was measured.

``python -m benchmarks store DIR`` makes a store of any size instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback

from benchmarks.cases import CASES
from benchmarks.generate import generate
from benchmarks.machine import facts
from benchmarks.measure import Context
from benchmarks.report import Row, as_json, missing, print_rows
from benchmarks.synthetic.plan import Shape


def main(argv: list[str]) -> int:
    """Run what the command line asks for."""
    if argv[:1] == ["store"]:
        return make_store(argv[1:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(CASES)}; all when left out")
    parser.add_argument("--quick", action="store_true", help="small sizes, for trying it out: floors are not judged")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument(
        "--store", metavar="DIR", help="the lab to read, as `store` makes it; one is made when left out"
    )
    parser.add_argument(
        "--work", metavar="DIR", default=_default_work(), help="scratch folder (%(default)s); stores stay"
    )
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(CASES))
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; choose from {', '.join(CASES)}")
    work = os.path.abspath(options.work)
    os.makedirs(work, exist_ok=True)
    about = facts(work)
    print("\n".join(f"{name}: {value}" for name, value in about.items()))
    context = Context(work, options.quick, options.store and os.path.abspath(options.store))
    rows: list[Row] = []
    for name in options.names or CASES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            rows += CASES[name](context)
        except Exception:  # one case that fails must not lose the figures of the others
            traceback.print_exc()
            rows.append(missing(name, name, "", "failed; see above"))
    print_rows(rows, judge=not options.quick)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(as_json(about, rows) + "\n")
    return 1 if any(row.note.startswith("failed") for row in rows) else 0


def make_store(argv: list[str]) -> int:
    """Make a store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks store", description="Make a lab with a made-up store.")
    parser.add_argument("folder", metavar="DIR")
    for name, default in (("runs", 100_000), ("points", 100_000_000), ("params", 50), ("metrics", 50)):
        parser.add_argument(f"--{name}", type=int, default=default, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=Shape().seed, help="another seed makes another store (%(default)s)")
    options = parser.parse_args(argv)
    shape = Shape(options.runs, options.params, options.metrics, options.points, options.seed)
    generate(options.folder, shape, lambda text: print(text, file=sys.stderr, flush=True))
    return 0


def _default_work() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "mllab-benchmarks")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
