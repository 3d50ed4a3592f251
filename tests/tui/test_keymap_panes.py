from __future__ import annotations

from pathlib import Path

import pytest

from mllab.errors import ConfigError
from mllab.tui.actions import in_scopes
from mllab.tui.keymap import keymap_path, load_keymap


def loaded(text: str) -> dict[str, tuple[str, ...]]:
    path = Path(keymap_path())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[keys]\n{text}\n", encoding="utf-8")
    return load_keymap(str(path))


@pytest.mark.parametrize("pane", ["charts", "logs", "files"])
def test_two_actions_of_a_pane_have_no_key_in_common(pane) -> None:
    first, second = [action.name for action in in_scopes(pane)][:2]
    with pytest.raises(ConfigError, match=f"{pane}.{first} and {pane}.{second}"):
        loaded(f'"{pane}.{first}" = "ctrl+y"\n"{pane}.{second}" = "ctrl+y"')


@pytest.mark.parametrize("pane", ["charts", "logs", "files"])
def test_a_pane_takes_keys_of_its_screen_and_none_that_lead_elsewhere(pane) -> None:
    name = next(action.name for action in in_scopes(pane))
    key = next(action.keys[0] for action in in_scopes("run") if action.name == "note")
    others = {each for action in in_scopes(pane) if action.name != name for each in action.keys}
    if key not in others:
        assert loaded(f'"{pane}.{name}" = "{key}"') == {f"{pane}.{name}": (key,)}
    with pytest.raises(ConfigError, match=r"app\.quit"):
        loaded(f'"{pane}.{name}" = "Q"')
