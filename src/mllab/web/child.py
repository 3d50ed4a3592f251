"""The terminal UI of one browser session, as a process of its own: ``python -m mllab.web.child LAB [LINK]``."""

from __future__ import annotations

import sys

from mllab.lab import Lab


def main() -> int:
    """Run the UI; what it draws goes to stdout in textual-serve's packets."""
    from mllab.tui.app import MllabApp

    app = MllabApp(Lab.find(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
