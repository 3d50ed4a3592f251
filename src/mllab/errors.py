"""Every error mllab raises on purpose, in one tree.

MllabError
├── UsageError              bad arguments, filters, configuration        exit 2
│   ├── FilterError         a filter that does not parse or compile
│   ├── ConfigError         a setting that is wrong
│   ├── NotFoundError       a run, artifact or key that is not there
│   └── AmbiguousError      a short id or name that fits several
├── LoggingError            a record that could not be taken             exit 1
│   ├── InvalidValueError   a value of a type that cannot be stored
│   ├── RunClosedError      logging after finish()
│   └── WriteError          the disk refused: full, read-only, I/O error   exit 3
├── QueryError              SQL that failed, was denied or cancelled     exit 1
├── StoreError              the store itself                             exit 3
│   ├── StoreCorrupt        bytes that fail their checksum or invariant
│   ├── StoreTooNew         written by a newer format
│   ├── StoreBusy           another process holds the lease
│   └── UnsafePathError     a path that would leave its folder
└── EnvironmentFault        something needed is missing on this machine  exit 3

A message names the thing and says what happened; the hint says what to do.
"""

from __future__ import annotations

from typing import Optional

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class MllabError(Exception):
    """Base of all errors: a message, a hint and a stable code such as ``STORE-002``."""

    code = "MLLAB-000"
    exit_status = 1

    def __init__(self, message: str, hint: Optional[str] = None, *, code: Optional[str] = None) -> None:
        # Names from outside come into messages, and messages onto terminals.
        self.message = message.translate(_CONTROLS)
        super().__init__(self.message)
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        text = f"{self.message} [{self.code}]"
        return f"{text}\n{self.hint}" if self.hint else text


class UsageError(MllabError):
    """The caller asked for something that makes no sense."""

    code = "USE-001"
    exit_status = 2


class FilterError(UsageError):
    """A filter expression is wrong at a known column (0-based offset into the text)."""

    code = "FILTER-001"

    def __init__(
        self, message: str, hint: Optional[str] = None, *, text: str = "", column: int = 0, code: Optional[str] = None
    ) -> None:
        super().__init__(message, hint, code=code)
        self.text = text
        self.column = column

    def __str__(self) -> str:
        line = "".join(" " if character.isspace() else character for character in self.text)
        pointer = f"\n  {line}\n  {' ' * self.column}^" if line else ""
        hint = f"\n{self.hint}" if self.hint else ""
        return f"{self.message} [{self.code}]{pointer}{hint}"


class ConfigError(UsageError):
    """A setting has a wrong name, type or value."""

    code = "CONFIG-001"


class NotFoundError(UsageError):
    """A named thing does not exist in this lab."""

    code = "USE-002"


class AmbiguousError(UsageError):
    """A short name fits more than one thing."""

    code = "USE-003"


class LoggingError(MllabError):
    """A record could not be taken."""

    code = "LOG-001"


class InvalidValueError(LoggingError):
    """A metric, param or tag has a value or key that cannot be stored."""

    code = "LOG-002"


class RunClosedError(LoggingError):
    """The run is finished; nothing can be added through this object."""

    code = "LOG-003"


class WriteError(LoggingError):
    """The operating system refused a write; the record is not acknowledged."""

    code = "LOG-004"
    exit_status = 3


class QueryError(MllabError):
    """A query failed, was denied by the sandbox, or was cancelled."""

    code = "QUERY-001"


class StoreError(MllabError):
    """The store cannot do what was asked."""

    code = "STORE-001"
    exit_status = 3


class StoreCorrupt(StoreError):  # noqa: N818  # the word the docs and the design use
    """Stored bytes fail a checksum or an invariant."""

    code = "STORE-002"


class StoreTooNew(StoreError):  # noqa: N818
    """The store was written by a newer mllab than this one can read."""

    code = "STORE-003"


class StoreBusy(StoreError):  # noqa: N818
    """Another process holds the lease that this work needs."""

    code = "STORE-004"


class UnsafePathError(StoreError):
    """A path from outside would leave the folder it belongs to."""

    code = "STORE-005"


class EnvironmentFault(MllabError):  # noqa: N818
    """Something this command needs is not on this machine."""

    code = "ENV-001"
    exit_status = 3
