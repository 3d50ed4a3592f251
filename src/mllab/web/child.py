"""The terminal UI of one browser session, as a process of its own: ``python -m mllab.web.child LAB [LINK]``."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

from mllab.lab import Lab


def main() -> int:
    """Run the UI; what it draws goes to stdout in textual-serve's packets. SIGHUP ends it in good order."""
    from mllab.tui.app import MllabApp
    from mllab.tui.compat import install_exit_guards

    app = MllabApp(Lab.find(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    install_exit_guards(app)
    threading.Thread(target=_hang_up_with_the_server, daemon=True).start()
    app.run()
    return app.return_code or 0


def _hang_up_with_the_server() -> None:
    """Wait until nobody can write to stdin any more: the server has ended, if need be by SIGKILL."""
    watch = select.poll()
    watch.register(0, 0)  # no input, which is the UI's: only the hang-up, which is always told
    watch.poll()
    os.kill(os.getpid(), signal.SIGHUP)


if __name__ == "__main__":
    sys.exit(main())
