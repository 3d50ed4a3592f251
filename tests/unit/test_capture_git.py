"""The state of real repositories, and that none of them can run anything."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mllab.tracking import capture_git, capture_process
from mllab.tracking.capture_git import GitState, snapshot, without_credentials
from mllab.tracking.capture_git_diff import MAX_FILE_BYTES, new_file, quoted
from mllab.tracking.capture_git_head import read_head

TOKEN = "gh" + "p_" + "a1B2" * 10
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git: not installed")


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run git as its user would, with a clean configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", GIT_ALLOW_PROTOCOL="file")
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always")
    output = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env=environment,
        check=check,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return output.stdout.strip()


def commit(folder: Path, message: str = "more") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def made(folder: Path, **files: str) -> Path:
    """Make a repository with one commit."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    for name, text in (files or {"train_py": "a = 1\nb = 2\n"}).items():
        (folder / name.replace("_", ".")).write_text(text)
    commit(folder, "first")
    return folder


def state_of(folder: Path) -> GitState:
    state = snapshot(str(folder))
    assert state is not None
    return state


def changes(state: GitState) -> dict[str, str]:
    return {change.path: change.status for change in state.changes}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return made(tmp_path / "code")


def test_a_clean_repository(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://ann:pa55@example.org/x.git")
    state = state_of(repository)
    assert state.root == str(repository)
    assert state.commit == git(repository, "rev-parse", "HEAD")
    assert state.branch == "main"
    assert state.remote == "https://example.org/x.git"
    assert state.dirty is False
    assert (state.changes, state.diff_bytes, state.problem) == ((), b"", None)


def test_no_repository(tmp_path: Path) -> None:
    assert snapshot(str(tmp_path)) is None
    assert snapshot(str(tmp_path / "missing")) is None


def test_changes_are_a_patch_that_restores_them(repository: Path, tmp_path: Path) -> None:
    (repository / "gone.txt").write_text("x\n")
    (repository / "mode.sh").write_text("echo\n")
    (repository / "no_end.txt").write_text("last line")
    base = commit(repository)
    (repository / "train.py").write_text("a = 1\nb = 3\n")
    (repository / "gone.txt").unlink()
    (repository / "mode.sh").chmod(0o755)
    (repository / "no_end.txt").write_text("other line")
    (repository / "staged.py").write_text("s = 1\n")
    git(repository, "add", "staged.py")
    (repository / "staged.py").write_text("s = 2\n")
    package = repository / "new package"
    package.mkdir()
    (package / 'träin "1".py').write_text("x = 1")
    (package / "empty.py").write_text("")
    (package / "run.sh").write_text("#!/bin/sh\n")
    (package / "run.sh").chmod(0o755)
    os.makedirs(repository / os.fsdecode(b"latin-\xe9"))
    Path(os.fsdecode(os.fsencode(repository) + b"/latin-\xe9/\xff.txt")).write_bytes(b"caf\xe9\r\n\n")

    state = state_of(repository / "new package")

    assert state.root == str(repository)
    assert state.dirty is True
    assert changes(state) == {
        "train.py": "modified",
        "gone.txt": "deleted",
        "mode.sh": "modified",
        "no_end.txt": "modified",
        "staged.py": "added",
        "new package/": "untracked",
        "latin-\\xe9/": "untracked",
    }
    assert not state.diff_truncated
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    git(clone, "checkout", "-q", base)
    patch = tmp_path / "it.diff"
    patch.write_bytes(state.diff_bytes)
    git(clone, "apply", str(patch))

    def files(folder: Path) -> dict[bytes, tuple[bytes, bool]]:
        found = {}
        for place, folders, names in os.walk(os.fsencode(folder)):
            folders[:] = [name for name in folders if name != b".git"]
            for name in names:
                path = os.path.join(place, name)
                executable = bool(os.stat(path).st_mode & stat.S_IXUSR)
                found[os.path.relpath(path, os.fsencode(folder))] = (Path(os.fsdecode(path)).read_bytes(), executable)
        return found

    assert files(clone) == files(repository)


def test_a_repository_without_commits(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "staged.py").write_text("s = 1\n")
    git(folder, "add", "staged.py")
    (folder / "loose.py").write_text("l = 1\n")
    state = state_of(folder)
    assert (state.commit, state.branch, state.dirty) == (None, "trunk", True)
    assert changes(state) == {"staged.py": "added", "loose.py": "untracked"}
    assert b"+s = 1\n" in state.diff_bytes
    assert b"+l = 1\n" in state.diff_bytes


def test_a_detached_head(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    state = state_of(repository)
    assert state.branch is None
    assert state.commit == git(repository, "rev-parse", "HEAD")


def test_a_worktree(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side/branch", str(tmp_path / "tree"))
    (tmp_path / "tree" / "train.py").write_text("a = 9\n")
    state = state_of(tmp_path / "tree")
    assert state.root == str(tmp_path / "tree")
    assert state.branch == "side/branch"
    assert changes(state) == {"train.py": "modified"}
    head = read_head(str(tmp_path / "tree"))
    assert head is not None
    assert (head.commit, head.branch) == (state.commit, "side/branch")


def test_submodules_are_looked_into(repository: Path, tmp_path: Path) -> None:
    library = made(tmp_path / "library", lib_py="x = 1\n")
    git(repository, "submodule", "add", "-q", str(library), "libs/inner")
    git(repository, "submodule", "add", "-q", str(library), "libs/absent")
    commit(repository)
    git(repository, "submodule", "deinit", "-q", "-f", "libs/absent")
    assert state_of(repository).dirty is False
    (repository / "libs/inner/lib.py").write_text("x = 2\n")
    (repository / "libs/inner/new.py").write_text("n = 1\n")
    state = state_of(repository)
    assert state.dirty is True
    assert changes(state) == {"libs/inner/lib.py": "modified", "libs/inner/new.py": "untracked"}
    assert b"--- a/libs/inner/lib.py\n+++ b/libs/inner/lib.py\n" in state.diff_bytes
    assert b"+++ b/libs/inner/new.py\n" in state.diff_bytes
    commit(repository / "libs/inner")
    state = state_of(repository)
    assert changes(state) == {"libs/inner": "submodule"}
    assert b"Subproject commit" in state.diff_bytes
    inside = state_of(repository / "libs/inner")
    assert inside.root == str(repository / "libs/inner")


def test_submodule_paths_do_not_lead_out(repository: Path, tmp_path: Path) -> None:
    outside = made(tmp_path / "outside")
    (outside / "train.py").write_text("private = 1\n")
    (repository / ".gitmodules").write_text(
        '[submodule "x"]\n\tpath = ../outside\n\turl = u\n[submodule "y"]\n\tpath = link\n\turl = u\n[submodule "z"]\n\tpath = .\n'
    )
    (repository / "link").symlink_to(outside)
    commit(repository)
    state = state_of(repository)
    assert state.dirty is False
    assert b"private" not in state.diff_bytes


def test_conflicts(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "side")
    (repository / "train.py").write_text("a = 2\n")
    commit(repository)
    git(repository, "checkout", "-q", "main")
    (repository / "train.py").write_text("a = 3\n")
    commit(repository)
    git(repository, "merge", "side", check=False)
    assert changes(state_of(repository)) == {"train.py": "conflicted"}


def test_what_is_not_copied(repository: Path) -> None:
    (repository / ".gitignore").write_text("ignored.txt\n")
    commit(repository)
    (repository / "ignored.txt").write_text("ignored contents\n")
    (repository / "data.bin").write_bytes(b"\0binary contents\n")
    (repository / ".env").write_text("PLAIN=env contents\n")
    (repository / "server.pem").write_text("pem contents\n")
    (repository / "big.csv").write_text("big contents\n" * (MAX_FILE_BYTES // 10))
    (repository / "link.py").symlink_to("/etc/passwd")
    (repository / ".mllab").mkdir()
    (repository / ".mllab" / "x.json").write_text("lab contents\n")
    (repository / "small.py").write_text("small contents\n")
    state = state_of(repository)
    assert set(changes(state)) == {"data.bin", ".env", "server.pem", "big.csv", "link.py", "small.py"}
    assert state.diff_bytes.count(b"contents") == 1
    assert b"small contents" in state.diff_bytes
    assert b"root:" not in state.diff_bytes
    assert state.diff_truncated
    assert state.diff_bytes.endswith(b"# mllab: truncated here; the changes were larger than what is kept.\n")
    assert state.dirty is False


def test_only_the_lab_itself_is_no_change(repository: Path) -> None:
    (repository / ".mllab").mkdir()
    (repository / ".mllab" / "x.json").write_text("{}\n")
    state = state_of(repository)
    assert (state.changes, state.diff_bytes) == ((), b"")


def test_secrets_are_taken_out_of_the_patch(repository: Path) -> None:
    (repository / "train.py").write_text(f"a = 1\ntoken = {TOKEN!r}\npassword = args.password\n")
    (repository / "new.py").write_text(f"key = {TOKEN!r}\n")
    state = state_of(repository)
    assert TOKEN.encode() not in state.diff_bytes
    assert state.diff_bytes.count(b"[redacted]") == 2
    assert b"password = args.password" in state.diff_bytes
    assert state.diff_redacted
    assert TOKEN not in json.dumps(state.as_json())


def test_the_patch_is_bounded(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_git, "MAX_DIFF_BYTES", 4000)
    (repository / "train.py").write_text("".join(f"line {number}\n" for number in range(5000)))
    (repository / "new.py").write_text("n = 1\n")
    state = state_of(repository)
    assert state.diff_truncated
    assert 3500 < len(state.diff_bytes) < 4200
    assert state.diff_bytes.splitlines()[-1].startswith(b"# mllab: truncated")
    assert state.dirty is True
    assert state.problem is None


def test_the_list_of_changes_is_bounded(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_git, "MAX_CHANGES", 3)
    for number in range(10):
        (repository / f"f{number}").write_text("")
    state = state_of(repository)
    assert len(state.changes) == 3
    assert state.change_count == 10


def test_user_settings_do_not_change_the_patch(repository: Path) -> None:
    for name, value in {
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.context": "0",
        "color.ui": "always",
        "status.relativePaths": "true",
        "status.showUntrackedFiles": "no",
        "core.quotePath": "false",
        "diff.renames": "copies",
    }.items():
        git(repository, "config", name, value)
    (repository / "train.py").write_text("a = 1\nb = 3\n")
    (repository / "ü.py").write_text("")
    state = state_of(repository)
    assert b"--- a/train.py\n+++ b/train.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n" in state.diff_bytes
    assert "ü.py" in changes(state)


def test_as_json_is_plain_data(repository: Path) -> None:
    (repository / "train.py").write_text("a = 9\n")
    data = json.loads(json.dumps(state_of(repository).as_json()))
    assert data["changes"] == [{"path": "train.py", "status": "modified"}]
    assert data["diff_size"] > 50
    assert set(data) >= {"root", "commit", "branch", "remote", "dirty", "problem", "diff_truncated"}


# -- hostile repositories ------------------------------------------------------------------------------------------


def test_nothing_of_the_repository_is_run(repository: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    fired = tmp_path / "fired"
    trap.write_text(f'#!/bin/sh\necho "$0 $@" >> {fired}\ncat 2>/dev/null\n')
    trap.chmod(0o755)
    (repository / "filtered.txt").write_text("f\n")
    (repository / ".gitattributes").write_text("*.txt filter=evil diff=evil\n*.py filter=evil2 diff=evil\n")
    commit(repository)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "pre-auto-gc"):
        shutil.copy(trap, hooks / hook)
    for name in (
        *(
            "core.fsmonitor",
            "diff.external",
            "diff.evil.command",
            "diff.evil.textconv",
            "filter.evil.clean",
            "filter.evil.smudge",
        ),
        *(
            "filter.evil2.process",
            "core.pager",
            "core.editor",
            "core.sshCommand",
            "core.gitProxy",
            "core.askPass",
            "pager.status",
        ),
        *(
            "pager.diff",
            "credential.helper",
            "interactive.diffFilter",
            "core.alternateRefsCommand",
            "uploadpack.packObjectsHook",
        ),
    ):
        git(repository, "config", name, str(trap))
    git(repository, "config", "core.hooksPath", str(hooks))
    git(repository, "config", "filter.evil.required", "true")
    git(repository, "config", "alias.status", f"!{trap}")
    (repository / "filtered.txt").write_text("changed\n")
    (repository / "train.py").write_text("changed = 1\n")
    fired.unlink(missing_ok=True)
    # The trap works: git itself runs it.
    git(repository, "diff", check=False)
    assert fired.exists()
    fired.unlink()
    state = state_of(repository)
    assert not fired.exists(), fired.read_text()
    assert b"+changed = 1\n" in state.diff_bytes
    assert changes(state) == {"filtered.txt": "modified", "train.py": "modified"}


def test_a_partial_clone_fetches_nothing(repository: Path, tmp_path: Path) -> None:
    fired = tmp_path / "fired"
    git(repository, "config", "extensions.partialClone", "evil")
    git(repository, "config", "core.repositoryFormatVersion", "1")
    git(repository, "config", "remote.evil.promisor", "true")
    git(repository, "config", "remote.evil.url", f"ext::sh -c touch% {fired}")
    git(repository, "config", "protocol.ext.allow", "always")
    blob = git(repository, "rev-parse", "HEAD:train.py")
    (repository / ".git/objects" / blob[:2] / blob[2:]).unlink()
    (repository / "train.py").write_text("a = 5\n")
    state = state_of(repository)
    assert not fired.exists()
    assert changes(state) == {"train.py": "modified"}
    assert state.problem is not None


def test_a_filter_that_cannot_be_switched_off_ends_the_questions(repository: Path, tmp_path: Path) -> None:
    fired = tmp_path / "fired"
    with (repository / ".git/config").open("a") as config:
        config.write(f'[filter "a=b"]\n\tclean = touch {fired}; cat\n')
    (repository / ".gitattributes").write_text("* filter=a=b\n")
    (repository / "train.py").write_text("changed = 1\n")
    state = state_of(repository)
    assert not fired.exists()
    assert state.commit == git(repository, "rev-parse", "HEAD")
    assert state.dirty is None
    assert state.problem is not None
    assert "filter" in state.problem


@pytest.mark.parametrize(
    "contents", ["", "gitdir: ", "gitdir: /dev/null", "gitdir: ../../nowhere", "\0\xff", "x" * 10000]
)
def test_hostile_git_files(tmp_path: Path, contents: str) -> None:
    (tmp_path / ".git").write_text(contents)
    assert snapshot(str(tmp_path)) is None


@pytest.mark.parametrize(
    "head", ["ref: refs/heads/../../../etc/passwd", "ref: HEAD", "not a commit", "ref: refs/heads/a b", "", "\0"]
)
def test_hostile_heads(tmp_path: Path, head: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    found = read_head(str(tmp_path))
    assert found is not None
    assert (found.commit, found.branch) == (None, None)


@pytest.mark.timeout(20)
def test_a_pipe_instead_of_a_file_does_not_wait(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert read_head(str(tmp_path)) is None


# -- git that is missing, refuses or hangs -------------------------------------------------------------------------


def fake_git(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    tool = folder / "git"
    tool.write_text(f"#!{sys.executable}\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_without_git_the_files_tell(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    monkeypatch.setenv("PATH", str(tmp_path))
    state = state_of(repository)
    assert (state.commit, state.branch, state.dirty) == (head, "main", None)
    assert state.problem == "git is not installed"


def test_a_git_that_refuses(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path / "bin", "import sys; sys.exit('fatal: detected dubious ownership')", monkeypatch)
    state = state_of(repository)
    assert state.branch == "main"
    assert state.commit is not None
    assert state.problem == "git failed (1): fatal: detected dubious ownership"


def test_a_git_that_hangs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_git, "TIMEOUT_S", 0.1)
    pid = tmp_path / "pid"
    script = (
        f"import os, signal; open({str(pid)!r}, 'w').write(str(os.getpid())); print('half', flush=True); signal.pause()"
    )
    fake_git(tmp_path / "bin", script, monkeypatch)
    state = state_of(repository)
    assert state.commit is not None
    assert state.problem == "git took longer than 0.1 s"
    if pid.exists():  # unless it was killed before it could write
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text() or -1), 0)


def test_a_git_that_prints_for_ever(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_git(tmp_path / "bin", "while True: print('x' * 10000)", monkeypatch)
    state = state_of(repository)
    assert state.commit is not None
    assert state.problem is not None


def test_variables_of_a_hook_do_not_lead_elsewhere(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = made(tmp_path / "other", x_py="")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    state = state_of(repository)
    assert state.root == str(repository)
    assert state.dirty is False


# -- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://example.org/x.git", "https://example.org/x.git"),
        ("https://ann:pa55@example.org/x.git", "https://example.org/x.git"),
        ("https://" + TOKEN + "@example.org/x.git", "https://example.org/x.git"),
        ("https://a:b@c@example.org:8443/x@y.git", "https://example.org:8443/x@y.git"),
        ("ssh://git:pa55@example.org:22/x.git", "ssh://git@example.org:22/x.git"),
        ("git+ssh://git@example.org/x.git", "git+ssh://git@example.org/x.git"),
        ("git@example.org:x.git", "git@example.org:x.git"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("https://ann:pa55@example.org", "https://example.org"),
        ("", ""),
    ],
)
def test_remotes_lose_their_credentials(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


def test_the_remote_of_the_branch_wins(repository: Path) -> None:
    git(repository, "remote", "add", "zero", "https://example.org/zero.git")
    assert state_of(repository).remote == "https://example.org/zero.git"
    git(repository, "remote", "add", "origin", "https://example.org/origin.git")
    assert state_of(repository).remote == "https://example.org/origin.git"
    git(repository, "config", "branch.main.remote", "zero")
    assert state_of(repository).remote == "https://example.org/zero.git"


@pytest.mark.parametrize(
    "name", [b"a b", b"tab\there", b'quo"te', b"back\\slash", b"new\nline", "ü".encode(), b"\xff", b"plain.py", b"\x7f"]
)
@pytest.mark.parametrize("data", [b"", b"x", b"x\n", b"\n", b"a\r\nb", b"\n\nx\n", b"\xff\xfe\n"])
def test_new_files_apply(tmp_path: Path, name: bytes, data: bytes) -> None:
    patch = tmp_path / "patch"
    patch.write_bytes(new_file(b"dir/" + name, data))
    place = tmp_path / "place"
    place.mkdir()
    git(place, "apply", str(patch))
    assert Path(os.fsdecode(os.fsencode(place) + b"/dir/" + name)).read_bytes() == data


def test_quoting_is_as_git_does_it(repository: Path) -> None:
    names = [b"a b", b"tab\there", b'quo"te', b"back\\slash", b"\x01\x7f", "ü".encode(), b"\xff"]
    for name in names:
        Path(os.fsdecode(os.fsencode(repository) + b"/" + name)).write_text("")
    listed = subprocess.run(["git", "ls-files", "-o"], cwd=repository, capture_output=True, check=True).stdout
    assert sorted(listed.splitlines()) == sorted(quoted(name) for name in names)


def test_commands_that_cannot_start(tmp_path: Path) -> None:
    assert capture_process.run(["true"], timeout_s=5, cwd=str(tmp_path / "gone")).problem is not None
    (tmp_path / "text").write_text("no program")
    assert "does not start" in str(capture_process.run([str(tmp_path / "text")], timeout_s=5).problem)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.timeout(30)
def test_a_helper_that_keeps_the_pipe_open_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = (
        "import os, signal\n"
        f"if os.fork() == 0:\n open({str(pid)!r}, 'w').write(str(os.getpid()))\n signal.pause()\n"
        f"while not os.path.exists({str(pid)!r}) or not os.path.getsize({str(pid)!r}): pass\n"
    )
    output = capture_process.run([sys.executable, "-S", "-c", script], timeout_s=0.5)
    assert output.problem is not None
    if pid.exists() and pid.read_text():  # unless the machine is so busy that it never got there
        state = Path(f"/proc/{pid.read_text()}/stat")
        # Killed; whoever inherited it may be slow to take note, so a zombie will do.
        while state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
            os.sched_yield()
