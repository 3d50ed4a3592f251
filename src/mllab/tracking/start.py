"""Starting runs: new, nested, resumed or forked."""

from __future__ import annotations

import atexit
import contextlib
import getpass
import os
import random
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional, Union

from mllab.errors import EnvironmentFault, InvalidValueError, MllabError, NotFoundError, UsageError
from mllab.ids import is_run_id, new_id
from mllab.lab import Lab
from mllab.store.values import clean_text
from mllab.tracking.background import BACKGROUND
from mllab.tracking.run import Run
from mllab.tracking.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mllab.store.run_state import RunState

CAPTURES = ("git", "environment", "console", "system")
MAX_NAME = 250
_ADJECTIVES = "amber brisk calm clear deft eager fair fleet fond glad keen kind lucid mild neat nimble pale quick quiet rapid royal sharp silver sleek smart solid steady still swift tidy vivid warm wise".split()  # noqa: SIM905, E501
_NOUNS = "badger beacon birch brook cedar comet condor coral crane delta ember falcon fern finch fjord glade harbor heron island kestrel lark lynx maple meadow otter pine prairie raven reef ridge river robin sparrow summit tern tide willow wren".split()  # noqa: SIM905, E501


def start_run(
    experiment: str = "default",
    name: Optional[str] = None,
    *,
    params: Optional[Mapping[str, Any]] = None,
    tags: Optional[Mapping[str, Any]] = None,
    parent: Union[Run, str, None] = None,
    resume: Union[Run, str, None] = None,
    fork: Union[Run, str, None] = None,
    fork_step: Optional[int] = None,
    lab: Union[Lab, str, os.PathLike[str], None] = None,
    capture: Union[bool, Mapping[str, bool], None] = None,
    on_error: Optional[str] = None,
    durability: Optional[str] = None,
) -> Run:
    """Start tracking a run.

    Args:
        experiment: what the run belongs to.
        name: a name for people; made up when left out.
        params: logged at once.
        tags: set at once.
        parent: the run this one is a part of.
        resume: a run to continue, by id, unique short id or name; its points become a new attempt.
        fork: a run to branch off: its params, tags and points up to ``fork_step`` are copied.
        fork_step: the last step to copy; all steps when left out.
        lab: a folder or Lab; otherwise ``MLLAB_LAB``, the nearest `mllab.toml`, or the user's default lab.
        capture: False for nothing, or which of git, environment, console and system; the lab's settings otherwise.
        on_error: ``warn`` (count and go on) or ``raise`` when a record cannot be stored.
        durability: ``process`` or ``power``: what a returned ``log()`` survives.

    Returns:
        A Run; use it in a ``with`` block so that failures are recorded.

    Raises:
        NotFoundError: the lab, or the run to resume or fork, does not exist.
        UsageError: the run to resume is still running.
        WriteError: the disk refuses the first records: nothing has been trained yet that could be lost.

    Example:
        >>> import mllab
        >>> with mllab.start_run("digits", params={"lr": 0.1}, lab=getfixture("lab"), capture=False) as run:
        ...     for step in range(3):
        ...         run.log({"loss": 1 / (step + 1)}, step=step)
    """
    if parent is not None and not isinstance(parent, Run) and not is_run_id(str(parent)):
        raise UsageError(f"The parent {str(parent)!r} is no run id.", "Pass the Run object, or its whole id.")
    if resume is not None and fork is not None:
        raise UsageError("A run is either resumed or forked.", "Pass resume= or fork=, not both.")
    found = Lab.find(lab)
    settings = _settings(found, capture, on_error, durability)
    next_step, attempt = 0, 1
    base: Optional[RunState] = None
    if resume is not None:
        base = _state(found, resume, "resume")
        if base.status == "running":
            raise UsageError(
                f"Run {base.name} ({base.run_id}) is still running.",
                "Wait for it to end; to log to it from another process, pass the Run object there.",
            )
        run_id, attempt = base.run_id, base.attempt + 1
        experiment, name = base.experiment, base.name
        next_step = max((summary.last_step + 1 for summary in base.summaries.values()), default=0)
    else:
        run_id = new_id()
        experiment = _label(experiment, "experiment")
        name = _label(name, "run name") if name is not None else _made_up_name()
    source = _state(found, fork, "fork") if fork is not None else None
    about = {"user": _user(), "host": socket.gethostname()}
    power_safe = settings.durability == "power"
    writer = found.store.writer(run_id, attempt=attempt, power_safe=power_safe, about=about)
    run = Run(found.store, writer, name=name, experiment=experiment, settings=settings, next_step=next_step)
    try:
        if base is not None:
            writer.event("resume", {}, sync=True)
        else:
            writer.event("start", _start_record(run, parent, source, fork_step), sync=True)
            if source is not None:
                _copy_history(found, run, source, fork_step)
        if params:
            run.log_params(params)
        if tags:
            run.set_tags(tags)
        run.begin(Session(settings))
    except BaseException as error:
        # The caller never gets the run, so nobody else could end it.
        with contextlib.suppress(MllabError):
            run.__exit__(type(error), error, error.__traceback__)
        raise
    return run


def active_run() -> Optional[Run]:
    """Return the run started last in this process that is still open, or None."""
    runs = BACKGROUND.open_runs()
    return runs[-1] if runs else None


def _settings(lab: Lab, capture: Any, on_error: Optional[str], durability: Optional[str]) -> Any:
    changes: dict[str, Any] = {}
    if on_error is not None:
        if on_error not in ("warn", "raise"):
            raise UsageError(f"on_error is {on_error!r}.", "Choose warn or raise.")
        changes["on_error"] = on_error
    if durability is not None:
        if durability not in ("process", "power"):
            raise UsageError(f"durability is {durability!r}.", "Choose process or power.")
        changes["durability"] = durability
    if isinstance(capture, bool):
        changes.update(dict.fromkeys(CAPTURES, capture))
    elif capture is not None:
        unknown = sorted(set(capture) - set(CAPTURES))
        if unknown:
            raise UsageError(f"There is no capture {unknown[0]!r}.", f"Captures: {', '.join(CAPTURES)}.")
        changes.update({key: bool(value) for key, value in capture.items()})
    return replace(lab.settings, **changes)


def _state(lab: Lab, run: Union[Run, str], what: str) -> RunState:
    """Return the state of a run to resume or fork. Needs what reading needs."""
    try:
        run_id = run.id if isinstance(run, Run) else str(run)
        if not is_run_id(run_id):
            run_id = lab.engine.resolve(run_id)
        state = lab.store.run_state(run_id)
    except ImportError as error:
        raise EnvironmentFault(
            f"To {what} a run, mllab must read the store, and {error.name} is not installed.", "pip install mllab"
        ) from error
    if state is None or state.deleted:
        gone = "was deleted" if state is not None else "does not exist"
        raise NotFoundError(f"Run {run_id} {gone} in {lab.root}.", "See `mllab runs ls`, or `mllab runs restore`.")
    return state


def _start_record(
    run: Run, parent: Union[Run, str, None], source: Optional[RunState], fork_step: Optional[int]
) -> dict[str, Any]:
    record: dict[str, Any] = {"experiment": run.experiment, "name": run.name}
    if parent is not None:
        record["parent"] = parent.id if isinstance(parent, Run) else parent
    if source is not None:
        record["forked_from"] = source.run_id
        record["forked_step"] = fork_step
    return record


def _copy_history(lab: Lab, run: Run, source: RunState, fork_step: Optional[int]) -> None:
    """Give a fork its own copy of what came before, so that it reads like any other run."""
    from mllab.store.history import newest_points

    if source.params:
        run.writer.event("params", {"values": source.params})
    if source.tags:
        run.writer.event("tags", {"values": source.tags})
    last = -1
    for key, steps, times, values in newest_points(lab.store, source.run_id, up_to=fork_step):
        run.log_batch(key, steps, values, times)
        last = max(last, int(steps.max()))
    run.continue_from(last + 1)


def _label(text: Any, what: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InvalidValueError(f"The {what} is {text!r}.", "Give it a few words.")
    if len(text) > MAX_NAME:
        raise InvalidValueError(f"The {what} has {len(text):,} characters; {MAX_NAME} is the limit.", "Shorten it.")
    return clean_text(text)


def _made_up_name() -> str:
    # Its own generator: a seeded training script must not get the same name for every run, nor lose its draws.
    source = random.SystemRandom()
    return f"{source.choice(_ADJECTIVES)}-{source.choice(_NOUNS)}-{source.randrange(100, 1000)}"


def _user() -> Optional[str]:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a uid without a name, as in containers
        return str(os.getuid())


@atexit.register
def _finish_open_runs() -> None:
    """Finish what the script left open: as failed when it ends with an exception."""
    error = getattr(sys, "last_value", None)
    for run in reversed(BACKGROUND.open_runs()):
        try:
            run.finish("failed" if error is not None else "finished", error)
        except MllabError:
            continue
