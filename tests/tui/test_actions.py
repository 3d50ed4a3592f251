from __future__ import annotations

import pytest

from mllab.tui.acting import Acting
from mllab.tui.actions import ACTIONS, in_scopes, key_name
from mllab.tui.app import MllabApp
from mllab.tui.screens.charts_pane import ChartsPane
from mllab.tui.screens.compare import CompareScreen
from mllab.tui.screens.files_pane import FilesPane
from mllab.tui.screens.inbox import InboxScreen
from mllab.tui.screens.logs_pane import LogsPane
from mllab.tui.screens.run import RunScreen
from mllab.tui.screens.runs import RunsScreen

NODES: tuple[type[Acting], ...] = (
    MllabApp, RunsScreen, RunScreen, CompareScreen, InboxScreen, ChartsPane, LogsPane, FilesPane,
)  # fmt: skip


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_everything_that_is_declared_can_be_done(node: type[Acting]) -> None:
    assert [action.name for action in in_scopes(*node.scopes) if not hasattr(node, action.method)] == []


def test_everything_that_is_declared_belongs_to_something() -> None:
    scopes = {scope for node in NODES for scope in node.scopes}
    assert {action.scope for action in ACTIONS} == scopes


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_everything_that_can_be_done_is_declared(node: type[Acting]) -> None:
    declared = {action.method for action in ACTIONS}
    done = {name for name in dir(node) if name.startswith("do_")}
    assert done <= declared


def test_keys_are_written_as_people_write_them() -> None:
    written = {key_name(key) for action in ACTIONS for key in action.keys}
    assert not [text for text in written if "_" in text and text != "_"]
