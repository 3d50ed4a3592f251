"""``python -m mllab.store.upkeep STORE``: seal, compact and sweep once, at low priority, then end."""

from __future__ import annotations

import contextlib
import os
import sys

from mllab.errors import MllabError
from mllab.store.store import Store


def main(root: str) -> int:
    """Do the upkeep of one store; another process doing it already is fine."""
    with contextlib.suppress(OSError):
        os.nice(10)
    try:
        store = Store.open(root)
        store.seal()
        store.compact()
        store.sweep()
    except MllabError as error:
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
