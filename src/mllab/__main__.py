"""``python -m mllab``: the command line."""

from __future__ import annotations

from mllab.cli.main import main

if __name__ == "__main__":
    main()
