"""What does not fit in memory goes to a folder that DuckDB may remove: the other things in the cache outlive it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mllab.lab import Lab

# The folder `coarse` comes after the first spilled file: DuckDB may take what it has made itself for its own.
CHILD = """
import os, sys
from mllab.lab import Lab
lab = Lab.find(sys.argv[1])
cache = lab.store.layout.cache
connection = lab.engine._connection
connection.execute("SET memory_limit = '20MB'")
connection.execute("SET threads = 1")
connection.execute("CREATE TABLE t AS SELECT range, hash(range) FROM range(2000000)")
print(any(name.startswith("duckdb_temp") for _, _, names in os.walk(cache) for name in names))
print(sorted(os.listdir(cache)))
os.makedirs(os.path.join(cache, "coarse"), exist_ok=True)
with open(os.path.join(cache, "coarse", "a copy"), "w") as file:
    file.write("whole")
"""


def child(lab: Lab) -> list[str]:
    argv = [sys.executable, "-c", CHILD, lab.root]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def test_coarse_copies_outlive_a_process_that_spilled(lab: Lab) -> None:
    cache = lab.store.layout.cache
    assert not os.path.exists(cache)
    assert child(lab) == ["True", "['spill']"]
    assert os.listdir(os.path.join(cache, "coarse")) == ["a copy"]
    assert child(lab) == ["True", "['coarse', 'spill']"]
    assert os.listdir(os.path.join(cache, "coarse")) == ["a copy"]


def test_user_sql_spills_into_the_same_folder(lab: Lab) -> None:
    from mllab.query.sandbox import Sandbox

    (path,) = Sandbox(lab.store).run("SELECT current_setting('temp_directory')", lambda r: r.fetchall())[0]
    assert path == os.path.join(lab.store.layout.cache, "spill")
