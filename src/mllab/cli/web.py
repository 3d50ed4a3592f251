"""`mllab web`: the terminal UI in a browser on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import click

from mllab.cli.completion_values import complete_run
from mllab.cli.invocation import Invocation, LabCommand, pass_invocation
from mllab.cli.screen import note, print_json
from mllab.errors import EnvironmentFault, UsageError


@click.command("web", cls=LabCommand)
@click.argument("link", required=False, metavar="[RUN|LINK]", shell_complete=complete_run)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=0, show_default="a free one", type=click.IntRange(0, 65535), help="The port to listen on."
)
@click.option("--no-browser", is_flag=True, help="Print the link, and open no browser.")
@click.option(
    "--i-know-it-is-unencrypted", "has_consent", is_flag=True,
    help="Allow a --host that other machines can reach: what goes over the network can be read there.",
)  # fmt: skip
@pass_invocation
def web(invocation: Invocation, link: str | None, host: str, port: int, *, no_browser: bool, has_consent: bool) -> None:
    """Serve the terminal UI to a browser on this machine, beginning at RUN or LINK.

    Prints a link that works once. Whoever opens it can read and edit the lab. Ctrl-C ends the server and its sessions.
    """
    lab = invocation.lab
    try:
        from mllab.web.access import Access
        from mllab.web.listening import listen, resolve
        from mllab.web.server import LabServer, serve_until_signal, session_argv
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"`mllab web` needs a package that is not installed: {error.name}.", "pip install 'mllab[web]'"
        ) from error
    address = resolve(host)
    if not address.is_loopback and not has_consent:
        raise UsageError(
            f"Other machines can reach {host}, and `mllab web` does not encrypt: who listens on the network can read "
            "the link, and everything after it.",
            "Leave --host out and use `ssh -L PORT:127.0.0.1:PORT`, or add --i-know-it-is-unencrypted.",
        )
    bound = listen(address, port)
    port = int(bound.getsockname()[1])
    access = Access(port, address.names(host))
    url = f"http://{address.in_url}:{port}/?token={access.token}"
    server = LabServer(session_argv(lab.root, link), f"{lab.name} - mllab", access, host, port)

    def ready() -> None:
        if invocation.as_json:
            print_json({"url": url})
        else:
            click.echo(url)
        sys.stdout.flush()
        note("The link works once. Ctrl-C ends the server and its sessions.")
        if not address.is_loopback:
            note(f"Other machines can reach {host}:{port}, and nothing is encrypted.")
        if not no_browser and _has_browser():
            threading.Thread(target=_open_browser, args=(url,), daemon=True).start()

    asyncio.run(serve_until_signal(server, bound, ready))


def _has_browser() -> bool:
    """Whether a browser would have a window: one in the terminal would take it from the server."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
