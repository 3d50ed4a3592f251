"""The pane of a run's artifacts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from mllab.errors import UsageError
from mllab.security.terminal import fit, line, width
from mllab.tui.acting import Acting, bindings, find
from mllab.tui.screens.viewer import Viewer
from mllab.wording import plural, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from mllab.query.run_detail import Artifact
    from mllab.tui.services.reader import Reader

MOST_VIEWED = 4 << 20


class FilesPane(Vertical, Acting):
    """Files of a run: look at those that are text, write any to disk."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("files")]
    scopes = ("files",)
    DEFAULT_CSS = """
    FilesPane { height: 1fr; }
    FilesPane OptionList, FilesPane OptionList:focus { height: 1fr; border: none; padding: 0; background: $background; }
    FilesPane #files-note { height: 1; padding: 0 1; color: $foreground-muted; background: $surface; }
    """

    def __init__(self, id: str | None = None) -> None:  # noqa: A002  # Textual's word
        super().__init__(id=id)
        self._artifacts: tuple[Artifact, ...] = ()

    def compose(self) -> ComposeResult:
        """Return the list above a note."""
        yield OptionList(markup=False)
        yield Static("", id="files-note", markup=False)

    def take_focus(self) -> None:
        """Focus the list."""
        self.screen.set_focus(self.query_one(OptionList))

    def show(self, artifacts: Sequence[Artifact]) -> None:
        """Show files."""
        options = self.query_one(OptionList)
        at = options.highlighted
        self._artifacts = tuple(artifacts)
        options.clear_options()
        options.add_options([Option(self._line(each)) for each in self._artifacts])
        if self._artifacts:
            options.highlighted = min(at or 0, len(self._artifacts) - 1)
        total = size(sum(each.size for each in self._artifacts))
        note = f"{plural(len(self._artifacts), 'file')}, {total}" if self._artifacts else "No file was logged."
        self.query_one("#files-note", Static).update(note)

    def _line(self, artifact: Artifact) -> Text:
        room = max(self.app.size.width - 34, 16)
        name = fit(line(artifact.path), room)
        text = Text(f" {name}{' ' * (room - width(name))}  {size(artifact.size):>9}  ", no_wrap=True)
        text.append(f"{line(artifact.kind or '')[:8]:<9}{artifact.sha256[:8]}", "dim")
        return text

    def _chosen(self) -> Artifact:
        at = self.query_one(OptionList).highlighted
        if at is None or not self._artifacts:
            raise UsageError("There is no file here.", "run.log_artifact(...) adds one.")
        return self._artifacts[at]

    @property
    def _reader(self) -> Reader:
        from mllab.tui.screens.lab_screen import LabScreen

        assert isinstance(self.screen, LabScreen)
        return self.screen.mllab.reader

    @on(OptionList.OptionSelected)
    async def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        await self.action_act("files", "view")

    async def do_view(self, _: str) -> None:
        """Show the file."""
        artifact = self._chosen()
        if artifact.size > MOST_VIEWED:
            raise UsageError(f"{artifact.path} has {size(artifact.size)}.", "e writes it to disk.")
        data = await self._reader.call(self._reader.lab.store.blobs.read, artifact.sha256)
        if b"\0" in data[:65536]:
            raise UsageError(f"{artifact.path} is no text.", "e writes it to disk.")
        text = data.decode("utf-8", "replace")
        self.app.push_screen(Viewer(artifact.path, text, is_diff=artifact.path.endswith((".diff", ".patch"))))

    async def do_save(self, argument: str) -> None:
        """Write the file to disk; what is there is not replaced."""
        from mllab.tui.screens.lab_screen import LabScreen

        artifact = self._chosen()
        if not argument:
            assert isinstance(self.screen, LabScreen)
            self.screen.ask_argument(find("save", ("files",)), "write to", os.path.basename(artifact.path))
            return
        path = await self._reader.call(_write, self._reader, artifact, argument)
        self.app.notify(f"Wrote {path}", markup=False)


def _write(reader: Reader, artifact: Artifact, target: str) -> str:
    """Write an artifact to a file, or into a folder; return where it is."""
    data = reader.lab.store.blobs.read(artifact.sha256)
    path = os.path.abspath(os.path.expanduser(target))
    if os.path.isdir(path):
        path = os.path.join(path, os.path.basename(artifact.path))
    try:
        with open(path, "xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise UsageError(f"{path} exists.", "Name another file; nothing was written.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Name another file.") from error
    return path
