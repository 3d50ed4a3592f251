"""A lab: a store and its settings. Finds, opens and makes labs; everything else is handed its Lab."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Optional, Union

from mllab.config.settings import FILE_NAME, Settings, load
from mllab.errors import NotFoundError, UsageError
from mllab.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mllab.query.engine import Engine

_TEMPLATE = """\
# A lab of mllab. The store is in the folder {path} beside this file. Settings: docs/reference/settings.md

[lab]
name = "{name}"
"""


class Lab:
    """A folder with `mllab.toml` and a store.

    Attributes:
        root: the folder.
        settings: what `mllab.toml` and the environment say.
        origin: how the lab was found, for `mllab doctor`.
    """

    def __init__(self, root: str, origin: str = "argument", environ: Optional[Mapping[str, str]] = None) -> None:
        self.root = os.path.abspath(root)
        self.origin = origin
        self.settings: Settings = load(self.root, environ)
        self._store: Optional[Store] = None
        self._engine: Optional[Engine] = None

    @property
    def name(self) -> str:
        """The lab's name for people."""
        return self.settings.name or os.path.basename(self.root)

    @property
    def store_path(self) -> str:
        """The store's folder."""
        return os.path.join(self.root, os.path.expanduser(self.settings.path))

    @property
    def store(self) -> Store:
        """The store; NotFoundError when there is none yet."""
        if self._store is None:
            self._store = Store.open(self.store_path)
        return self._store

    @property
    def engine(self) -> Engine:
        """The query engine over the store. Loads DuckDB."""
        if self._engine is None:
            from mllab.query.engine import Engine

            self._engine = Engine(self.store)
        return self._engine

    @classmethod
    def init(cls, folder: str, *, name: Optional[str] = None, allow_network: bool = False) -> Lab:
        """Make a lab in ``folder``, or open the one that is there; nothing is ever overwritten."""
        folder = os.path.abspath(os.path.expanduser(folder))
        if os.path.exists(folder) and not os.path.isdir(folder):
            raise UsageError(f"{folder} is a file, not a folder.", "Name a folder for the lab.")
        if not folder.isprintable():  # SQL has no way to say such a path, nor has a terminal
            raise UsageError(f"The path {folder!r} is not printable text in UTF-8.", "Name another folder for the lab.")
        try:
            os.makedirs(folder, exist_ok=True)
            title = "".join(char if char.isprintable() else " " for char in name or os.path.basename(folder))
            quoted = title.replace("\\", "\\\\").replace('"', '\\"')
            with open(os.path.join(folder, FILE_NAME), "x", encoding="utf-8") as file:
                file.write(_TEMPLATE.format(path=".mllab", name=quoted))
        except FileExistsError:
            pass
        except OSError as error:
            raise UsageError(f"Cannot make a lab in {folder}: {error.strerror}.", "Name a folder you own.") from error
        lab = cls(folder)
        lab._store = Store.create(lab.store_path, allow_network=allow_network)
        return lab

    @classmethod
    def find(
        cls, lab: Union[Lab, str, os.PathLike[str], None] = None, *, environ: Optional[Mapping[str, str]] = None
    ) -> Lab:
        """Return the lab to use: the argument, ``MLLAB_LAB``, the nearest `mllab.toml`, or the user's default.

        The user's default lab is made when it is first needed; any other must exist.

        Raises:
            NotFoundError: the named folder holds no lab.
        """
        if isinstance(lab, Lab):
            return lab
        environ = os.environ if environ is None else environ
        if lab is not None:
            return cls._at(os.fspath(lab), "argument", environ)
        if environ.get("MLLAB_LAB"):
            return cls._at(environ["MLLAB_LAB"], "MLLAB_LAB", environ)
        folder = _nearest_lab()
        if folder is not None:
            return cls._at(folder, FILE_NAME, environ)
        found = cls.init(default_folder(environ), name="default")
        found.origin = "user default"
        return found

    @classmethod
    def _at(cls, folder: str, origin: str, environ: Mapping[str, str]) -> Lab:
        folder = os.path.abspath(os.path.expanduser(folder))
        if os.path.basename(folder) == FILE_NAME:
            folder = os.path.dirname(folder)
        if not os.path.isfile(os.path.join(folder, FILE_NAME)):
            raise NotFoundError(
                f"There is no lab in {folder} (from {origin}).", f"Make one with: mllab init {folder}", code="USE-004"
            )
        found = cls(folder, origin, environ)
        found._store = Store.create(found.store_path)
        return found


def _nearest_lab() -> Optional[str]:
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # the working directory was removed
        return None
    while True:
        if os.path.isfile(os.path.join(folder, FILE_NAME)):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def default_folder(environ: Mapping[str, str]) -> str:
    """Return the folder of the user's default lab: the platform's place for a program's data."""
    if sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Application Support")
    else:
        base = environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    if not os.path.isabs(base):
        raise UsageError("This user has no home folder.", "Say where the lab is with --lab DIR or MLLAB_LAB.")
    return os.path.join(base, "mllab")
