from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.ui import drive

from mllab.errors import ConfigError
from mllab.tui.app import MllabApp
from mllab.tui.keymap import keymap_path, load_keymap

if TYPE_CHECKING:
    from tests.support.ui import Driven

    from mllab.lab import Lab


def write(text: str) -> str:
    path = Path(keymap_path())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_users_keys_work_and_are_shown(study: Lab) -> None:
    write('[keys]\n"runs.sort" = "o"\n"app.help" = "f1"\n"runs.delete" = ""\n')

    async def story(ui: Driven) -> None:
        await ui.sees("Runs (9)", "o sort")
        await ui.press("s")
        await ui.press("o")
        await ui.sees("by name")
        await ui.press("D")
        assert "Cancel" not in ui.text
        await ui.press("f1")
        await ui.sees("Keys here")

    drive(study, story)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[keys]\n"runs.srot" = "o"\n', "Did you mean runs.sort?"),
        ('[keys]\n"runs.sort" = "j"\n', "would mean"),
        ('[keys]\n"runs.sort" = 5\n', "is no text"),
        ('[colors]\nred = "blue"\n', "there is no section"),
        ("keys = [", "cannot be read"),
        ("\x00\xff", "cannot be read"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_before_the_ui_starts(study: Lab, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        MllabApp(study)
    assert path in caught.value.message
    assert message in f"{caught.value.message} {caught.value.hint}"


def test_without_a_file_the_keys_are_as_declared() -> None:
    assert load_keymap(keymap_path()) == {}
