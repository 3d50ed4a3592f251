"""Everything that can be done in the terminal UI, declared once.

Key bindings, footer, help, palette, command line and docs/reference/keys.md all read this table. What an action does is
the method ``do_<name>`` of the screen or pane whose scope it belongs to; ``why_not_<name>`` may say why it cannot be
done there at present.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Scope: TypeAlias = Literal["app", "table", "runs", "run", "charts", "logs", "files", "compare", "inbox"]
SCOPE_TITLES: dict[Scope, str] = {
    "app": "Everywhere",
    "table": "In a table",
    "runs": "Runs",
    "run": "A run",
    "charts": "Charts",
    "logs": "Logs",
    "files": "Artifacts",
    "compare": "Compare",
    "inbox": "Inbox",
}


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done.

    Attributes:
        name: what the command line calls it: ``:sort loss``; unique within its scope.
        scope: where it can be done.
        keys: Textual's names of the keys that do it.
        label: a word or two for the footer and menus.
        help: what it does, in one line.
        argument: what the command takes, for the help; empty when it takes nothing.
        footer: place in the footer, least first; 0 is not shown there.
        is_menu: whether the action menu lists it.
    """

    name: str
    scope: Scope
    keys: tuple[str, ...]
    label: str
    help: str
    argument: str = ""
    footer: int = 0
    is_menu: bool = False

    @property
    def method(self) -> str:
        """The name of the method that does it."""
        return "do_" + self.name.replace("-", "_")


def _action(
    scope: Scope, name: str, keys: str, label: str, about: str, *, takes: str = "", footer: int = 0, menu: bool = False
) -> Action:
    return Action(name, scope, tuple(keys.split()), label, about, takes, footer, menu)


ACTIONS: tuple[Action, ...] = (
    _action(
        "app", "runs", "1", "runs", "Go to the runs; with a filter, to the runs that it chooses.", takes="[FILTER]"
    ),
    _action("app", "compare", "2", "compare", "Go to the comparison; with runs, compare these.", takes="[RUN ...]"),
    _action("app", "inbox", "0", "inbox", "Go to what needs attention: failures, NaN, lost runs."),
    _action("app", "open", "", "open", "Open a run, by id or name, or a link.", takes="RUN|LINK"),
    _action("app", "command", "colon", "command", "Type a command; Tab completes it."),
    _action("app", "palette", "ctrl+p", "palette", "Find an action, a run, a metric or a saved view by a few letters."),
    _action("app", "help", "question_mark", "help", "Every key that works here; type to search it.", footer=9),
    _action("app", "back", "escape q", "back", "Close what is open, or go back to where you came from.", footer=8),
    _action("app", "quit", "Q", "quit", "Leave mllab; runs go on."),
    _action("app", "history-back", "left_square_bracket", "back", "The view before this one."),
    _action("app", "history-forward", "right_square_bracket", "forward", "The view after this one."),
    _action("app", "last", "minus", "last view", "Back and forth between the last two views."),
    _action("app", "undo", "z", "undo", "Undo the last edit of runs: tags, notes, names, archiving, deletion."),
    _action("app", "redo", "Z", "redo", "Do again what was undone."),
    _action("app", "menu", "x", "actions", "Everything that can be done here; what cannot says why."),
    _action("app", "follow", "f", "follow", "Follow what happens, or freeze what is shown."),
    _action("app", "messages", "exclamation_mark", "messages", "What was said lately."),
    _action("app", "link", "", "copy link", "Copy a link that brings back this view.", menu=True),
    _action("app", "theme", "", "theme", "Choose colours.", takes="[NAME]", menu=True),
    _action("table", "down", "j down", "down", "The next row."),
    _action("table", "up", "k up", "up", "The row before."),
    _action("table", "page-down", "pagedown ctrl+f", "page down", "A page further."),
    _action("table", "page-up", "pageup", "page up", "A page back."),
    _action("table", "half-down", "ctrl+d", "half page", "Half a page further."),
    _action("table", "half-up", "ctrl+u", "half page", "Half a page back."),
    _action("table", "top", "g home", "top", "The first row."),
    _action("table", "bottom", "G end", "bottom", "The last row."),
    _action("table", "column-right", "l right", "next column", "Select the next column."),
    _action("table", "column-left", "h left", "column before", "Select the column before."),
    _action("table", "mark", "space", "mark", "Mark the row, or take its mark away, and go on."),
    _action("table", "mark-range", "v", "mark range", "Mark from the last mark to here."),
    _action("table", "mark-all", "asterisk", "mark all", "Mark every row that the filter chooses."),
    _action("table", "mark-none", "u", "no marks", "Take all marks away."),
    _action("runs", "filter", "slash", "filter", "Filter the runs as you type.", takes="[FILTER]", footer=1),
    _action("runs", "show", "enter", "open", "Open the run.", footer=2),
    _action(
        "runs",
        "sort",
        "s",
        "sort",
        "Sort by the selected column; again turns it round.",
        takes="[TERM [desc]]",
        footer=3,
    ),
    _action("runs", "columns", "C", "columns", "Choose the columns.", takes="[A,B,...]", footer=5),
    _action("runs", "column-forward", "greater_than_sign", "move column", "Move the column to the right."),
    _action("runs", "column-back", "less_than_sign", "move column", "Move the column to the left."),
    _action("runs", "column-wider", "plus", "wider", "Make the column wider."),
    _action("runs", "column-narrower", "underscore", "narrower", "Make the column narrower."),
    _action("runs", "column-hide", "d", "hide column", "Leave the column out."),
    _action("runs", "compare-marked", "c", "compare", "Compare the marked runs.", footer=4, menu=True),
    _action("runs", "baseline", "b", "baseline", "Make the run the first of a comparison.", menu=True),
    _action("runs", "pin", "p", "pin", "Keep the run on top of every list, or let it go.", menu=True),
    _action("runs", "tag", "t", "tag", "Set or remove tags of the marked runs.", takes="KEY=VALUE|KEY- ...", menu=True),
    _action("runs", "note", "N", "note", "Write the run's note.", takes="TEXT", menu=True),
    _action("runs", "rename", "R", "rename", "Give the run another name.", takes="NAME", menu=True),
    _action("runs", "archive", "a", "archive", "Take the marked runs out of lists, or put them back.", menu=True),
    _action("runs", "delete", "D", "delete", "Delete the marked runs; they can be restored for a month.", menu=True),
    _action("runs", "which", "A", "archived", "Show archived runs too, then deleted ones, then neither."),
    _action(
        "runs",
        "copy",
        "y",
        "copy",
        "Copy the id, a link, the command line or the Python for this.",
        takes="[WHAT]",
        footer=6,
    ),
    _action(
        "runs",
        "export",
        "e",
        "export",
        "Write what is shown to a file: csv, json, jsonl, parquet or md.",
        takes="[FILE]",
        menu=True,
    ),
    _action("runs", "views", "V", "views", "Open, save or delete a saved view.", takes="[NAME]", footer=7),
    _action("runs", "save-view", "", "save view", "Save filter, columns and order under a name.", takes="NAME"),
    _action(
        "runs",
        "importance",
        "w",
        "what mattered",
        "Rank the params by their association with a metric.",
        takes="[METRIC]",
        menu=True,
    ),
    _action(
        "runs",
        "fold",
        "F",
        "fold seeds",
        "Compare with runs that differ in the seed alone taken together: mean, interval, n.",
        menu=True,
    ),
    _action("runs", "detail", "vertical_line", "detail", "Show or hide what is known of the run beside the list."),
    _action("run", "next-tab", "tab", "next tab", "The next tab.", footer=1),
    _action("run", "previous-tab", "shift+tab", "tab before", "The tab before."),
    _action("run", "tab", "", "tab", "Go to a tab.", takes="overview|charts|logs|system|artifacts|code"),
    _action("run", "next-run", "J", "next run", "The next run of the list.", footer=2),
    _action("run", "previous-run", "K", "run before", "The run before in the list."),
    _action("run", "tag", "t", "tag", "Set or remove tags.", takes="KEY=VALUE|KEY- ...", menu=True),
    _action("run", "note", "N", "note", "Write the run's note.", takes="TEXT", menu=True),
    _action("run", "rename", "R", "rename", "Give the run another name.", takes="NAME", menu=True),
    _action("run", "archive", "a", "archive", "Take the run out of lists, or put it back.", menu=True),
    _action(
        "run",
        "copy",
        "y",
        "copy",
        "Copy the id, a link, the command line or the Python for this.",
        takes="[WHAT]",
        footer=6,
    ),
    _action("charts", "cursor-left", "h left", "cursor", "Move the cursor, over all charts and logs at once."),
    _action("charts", "cursor-right", "l right", "cursor", "Move the cursor, over all charts and logs at once."),
    _action("charts", "cursor-off", "backspace", "no cursor", "Take the cursor away."),
    _action("charts", "down", "j down", "next chart", "The chart below."),
    _action("charts", "up", "k up", "chart before", "The chart above."),
    _action("charts", "page-down", "pagedown", "next page", "The next charts."),
    _action("charts", "page-up", "pageup", "page before", "The charts before."),
    _action("charts", "zoom-in", "i", "zoom in", "Look closer around the cursor.", footer=3),
    _action("charts", "zoom-out", "I", "zoom out", "Look from further away."),
    _action("charts", "zoom-reset", "r", "whole curve", "Show the whole curves.", takes="[FROM TO]"),
    _action("charts", "pan-left", "comma", "pan", "Move to earlier steps."),
    _action("charts", "pan-right", "full_stop", "pan", "Move to later steps."),
    _action(
        "charts",
        "axis",
        "X",
        "axis",
        "The x axis: step, time since the start, wall time.",
        takes="[step|relative|wall]",
        footer=4,
    ),
    _action("charts", "log-scale", "L", "log scale", "A logarithmic y axis, or a linear one.", footer=5),
    _action(
        "charts",
        "smoothing",
        "tilde",
        "smoothing",
        "Smooth: off, EMA, median; the raw curve stays, dim.",
        takes="[off|ema|median [AMOUNT]]",
    ),
    _action("charts", "clip", "O", "clip outliers", "Show the 1st to the 99th percentile; what is cut is said."),
    _action("charts", "maximise", "m enter", "one chart", "One chart over the whole pane, or all again."),
    _action("charts", "filter", "slash", "find metric", "Show the charts whose names hold a text.", takes="[TEXT]"),
    _action("logs", "down", "j down", "down", "The next line."),
    _action("logs", "up", "k up", "up", "The line before."),
    _action("logs", "page-down", "pagedown space ctrl+f", "page down", "A page further."),
    _action("logs", "page-up", "pageup", "page up", "A page back."),
    _action("logs", "half-down", "ctrl+d", "half page", "Half a page further."),
    _action("logs", "half-up", "ctrl+u", "half page", "Half a page back."),
    _action("logs", "top", "g home", "top", "The first line."),
    _action("logs", "bottom", "G end", "bottom", "The last line; follows what comes."),
    _action("logs", "search", "slash", "search", "Search with a regular expression.", takes="PATTERN", footer=3),
    _action("logs", "next-match", "n", "next match", "The next match."),
    _action("logs", "previous-match", "N", "match before", "The match before."),
    _action("logs", "wrap", "w", "wrap", "Wrap long lines, or cut them."),
    _action("logs", "time", "T", "time", "Show no time, the clock, or the time since the start."),
    _action("logs", "level", "v", "level", "Show all lines, or those that look like a warning or worse.", footer=4),
    _action("logs", "minute-back", "left_curly_bracket", "minute back", "A minute back."),
    _action("logs", "minute-forward", "right_curly_bracket", "minute on", "A minute further."),
    _action("logs", "hour-back", "left_parenthesis", "hour back", "An hour back."),
    _action("logs", "hour-forward", "right_parenthesis", "hour on", "An hour further."),
    _action("files", "view", "enter", "view", "Show the file, when it is text.", footer=3),
    _action("files", "save", "e", "save", "Write the file to disk.", takes="[PATH]", footer=4),
    _action("compare", "next-tab", "tab", "next tab", "The next tab.", footer=1),
    _action("compare", "previous-tab", "shift+tab", "tab before", "The tab before."),
    _action("compare", "differing", "d", "differences", "Show only what differs, or everything.", footer=2),
    _action("compare", "fold", "F", "fold seeds", "Compare groups that are equal but for the seed.", footer=3),
    _action("compare", "baseline", "b", "baseline", "Make the selected run the one that others are compared with."),
    _action(
        "compare",
        "copy",
        "y",
        "copy",
        "Copy a link, the command line or the Python for this.",
        takes="[WHAT]",
        footer=6,
    ),
    _action("inbox", "show", "enter", "open", "Open the run where it happened.", footer=1),
    _action("inbox", "acknowledge", "a", "seen", "Take the item out of the inbox, or put it back.", footer=2),
    _action("inbox", "snooze", "s", "later", "Hide the item until tomorrow.", footer=3),
    _action("inbox", "all", "A", "all", "Show items that were seen or put off too."),
)


def in_scopes(*scopes: Scope) -> tuple[Action, ...]:
    """Return the actions of some scopes, in the order of the table."""
    return tuple(action for action in ACTIONS if action.scope in scopes)


KEY_NAMES = {
    "colon": ":", "slash": "/", "question_mark": "?", "left_square_bracket": "[", "right_square_bracket": "]",
    "minus": "-", "exclamation_mark": "!", "asterisk": "*", "greater_than_sign": ">",
    "less_than_sign": "<", "plus": "+", "underscore": "_", "vertical_line": "|", "comma": ",", "full_stop": ".",
    "tilde": "~", "left_curly_bracket": "{", "right_curly_bracket": "}", "left_parenthesis": "(",
    "right_parenthesis": ")", "down": "↓", "up": "↑", "left": "←", "right": "→", "pagedown": "PgDn", "pageup": "PgUp",
    "home": "Home", "end": "End", "enter": "Enter", "escape": "Esc", "space": "Space", "tab": "Tab",
    "shift+tab": "Shift+Tab", "backspace": "Backspace",
}  # fmt: skip


def key_name(key: str) -> str:
    """Return a key as people write it.

    >>> key_name("question_mark"), key_name("ctrl+p"), key_name("G")
    ('?', '^p', 'G')
    """
    if key in KEY_NAMES:
        return KEY_NAMES[key]
    return "^" + key.removeprefix("ctrl+") if key.startswith("ctrl+") else key


def keys_text(keys: tuple[str, ...]) -> str:
    """Return keys as people write them.

    >>> keys_text(("down", "j"))
    '↓ j'
    """
    return " ".join(map(key_name, keys))
