"""Secret files on a real file system, as root and as somebody else."""

# long file: one job with a workspace and a temporary directory, every place a file can go to.

import errno
import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from keylease.errors import UsageError
from keylease.model import Export
from keylease.outputs import files as files_module
from keylease.outputs.files import (
    HostPaths,
    Places,
    SecretFiles,
    Written,
    delete_files,
    is_mount_point,
    keep_out_of_git,
    place,
    write_private,
)
from keylease.secret import Secret

HOST = HostPaths("/home/runner/work/r/r", "/home/runner/work/_temp")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of other users")


class Job:
    """The container of a job: a workspace and a temporary directory."""

    def __init__(self, tmp_path: Path, *, mounted: bool = True) -> None:
        self.root = tmp_path.resolve()
        self.workspace, self.temp = self.root / "ws", self.root / "temp"
        self.workspace.mkdir()
        self.temp.mkdir()
        env = {"GITHUB_WORKSPACE": str(self.workspace), "RUNNER_TEMP": str(self.temp)}
        self.places = Places(env, HOST, lambda path: mounted and path == str(self.temp))
        self.remembered: list[list[Written]] = []
        self.warnings: list[str] = []
        self.files = SecretFiles(self.places, lambda files: self.remembered.append(list(files)), self.warnings.append)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_a_mere_name_goes_to_the_temporary_directory_in_a_directory_of_its_own(job: Job) -> None:
    one, two = job.files.write("gcp.json", b"one"), job.files.write("gcp.json", b"two")
    assert one.path != two.path
    assert Path(one.path).parent.parent == job.temp
    assert one.host_path == "/home/runner/work/_temp" + one.path.removeprefix(str(job.temp))
    assert Path(two.path).read_bytes() == b"two"
    assert mode(one.path) == 0o600
    assert mode(Path(one.path).parent) == 0o700


def test_where_the_temporary_directory_is_not_mounted_the_workspace_is_used(tmp_path: Path) -> None:
    job = Job(tmp_path, mounted=False)
    written = job.files.write("gcp.json", b"x")
    assert Path(written.path).parent.parent == job.workspace
    assert written.host_path.startswith("/home/runner/work/r/r/keylease-")
    with pytest.raises(UsageError, match="outside the workspace"):
        job.files.write(str(job.temp / "x"), b"")


@pytest.mark.parametrize("known", [True, False])
def test_an_older_runners_home_lies_in_its_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    home = tmp_path.resolve() / "home"
    home.mkdir()
    monkeypatch.setattr("keylease.outputs.files.RUNNER_HOME", str(home))
    env = {"GITHUB_WORKSPACE": str(tmp_path), "RUNNER_TEMP": HOST.temp}
    host = HOST if known else HostPaths()
    files = SecretFiles(Places(env, host, lambda path: path == str(home)))
    written = files.write("gcp.json", b"x")
    if known:
        assert Path(written.path).parent.parent == home
        assert written.host_path == f"{HOST.temp}/_github_home" + written.path.removeprefix(str(home))
    else:  # its name outside is not known, so later steps could not find it there
        assert Path(written.path).parent.parent == tmp_path.resolve()
    assert files.discard() == []
    assert everything(home) == set()


def test_what_stands_in_a_file_is_the_path_that_the_jobs_own_container_has(tmp_path: Path) -> None:
    """The runner translates variables that are paths; the text of a file it can't."""
    for in_container, where in ((False, "/home/runner/work/_temp/"), (True, "/__w/_temp/")):
        env = {"GITHUB_WORKSPACE": str(tmp_path), "RUNNER_TEMP": str(tmp_path / "temp")}
        (tmp_path / "temp").mkdir(exist_ok=True)
        host = HostPaths(HOST.workspace, HOST.temp, in_container)
        files = SecretFiles(Places(env, host, lambda _: True))
        exports = [
            Export("TOKEN", Secret("t"), "x", file="token"),
            Export("CONFIG", Secret(""), "x", file="config", render=lambda paths: Secret(paths["TOKEN"])),
        ]
        token, config = (export.value.reveal() for export in place(exports, files))
        assert token.startswith("/home/runner/work/_temp/")
        text = Path(files.written[1].path).read_text()
        assert text == where + token.removeprefix("/home/runner/work/_temp/")
        assert config != text
        assert files.discard() == []


@pytest.mark.parametrize(
    ("file", "here", "there"),
    [
        ("certs/a.pem", "ws/certs/a.pem", "/home/runner/work/r/r/certs/a.pem"),
        ("./a b;c.pem", "ws/a b;c.pem", "/home/runner/work/r/r/a b;c.pem"),
        ("/home/runner/work/r/r/x/y", "ws/x/y", "/home/runner/work/r/r/x/y"),
        ("/home/runner/work/_temp/x", "temp/x", "/home/runner/work/_temp/x"),
        ("{ws}/deep/er/x", "ws/deep/er/x", "/home/runner/work/r/r/deep/er/x"),
        ("a/../b/x", "ws/b/x", "/home/runner/work/r/r/b/x"),
    ],
)
def test_paths_may_be_given_as_the_host_or_the_container_has_them(job: Job, file: str, here: str, there: str) -> None:
    written = job.files.write(file.format(ws=job.workspace), b"data")
    assert (written.path, written.host_path) == (str(job.root / here), there)
    assert (job.root / here).read_bytes() == b"data"


@pytest.mark.parametrize(
    "file", ["../x", "a/../../x", "/etc/x", "/home/runner/work/r/r2/x", "/home/runner/work/r/r/../x", "~/x/../../../y"]
)
def test_nothing_is_written_where_no_later_step_can_see_it(job: Job, file: str) -> None:
    with pytest.raises(UsageError, match="outside the workspace"):
        job.files.write(file, b"x")
    assert everything(job.root) == {"ws", "temp"}


@pytest.mark.parametrize(
    "file",
    ["", " ", ".", "..", "a/", "a/.", "a/..", "a\nb", "a\0b", ".git/hooks/pre-commit", "x/.git/config", "\x1b[0m"],
)
def test_what_is_no_path_of_a_file_is_refused(job: Job, file: str) -> None:
    with pytest.raises(UsageError, match="can't be the path of a secret file"):
        job.files.write(file, b"x")


def test_symbolic_links_of_an_earlier_step_are_not_followed(job: Job) -> None:
    outside = job.root / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    (job.workspace / "dir").symlink_to(outside)
    (job.workspace / "loop").symlink_to("loop")
    (job.workspace / "link").symlink_to(outside / "victim")
    (job.workspace / "new").symlink_to(outside / "made-by-us")
    with pytest.raises(UsageError, match="outside the workspace"):
        job.files.write("dir/x", b"secret")
    with pytest.raises(UsageError, match="can't be written"):
        job.files.write("loop/x", b"secret")
    for name in ("./link", "./new"):
        with pytest.raises(UsageError, match="is there already and is not a private file"):
            job.files.write(name, b"secret")
    assert everything(outside) == {"victim"}
    assert (outside / "victim").read_text() == "untouched"


def test_a_link_that_stays_inside_is_fine(job: Job) -> None:
    (job.workspace / "real").mkdir()
    (job.workspace / "link").symlink_to("real")
    written = job.files.write("link/x", b"1")
    assert written.path == str(job.workspace / "real/x")
    assert delete_files([written]) == []
    assert everything(job.workspace) == {"real", "link"}


def test_what_is_there_is_overwritten_only_if_it_is_a_private_file(job: Job) -> None:
    there = job.workspace / "x.json"
    there.write_text("of the repository")
    with pytest.raises(UsageError, match="is there already"):
        job.files.write("./x.json", b"new")
    assert there.read_text() == "of the repository"
    there.chmod(0o600)  # what a run that was killed leaves behind
    job.files.write("./x.json", b"new")
    assert there.read_bytes() == b"new"
    (job.workspace / "dir").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        job.files.write("./dir", b"new")


def test_a_failure_leaves_neither_file_nor_directory(job: Job) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    files = SecretFiles(job.places, full)
    with pytest.raises(UsageError, match="No space left"):
        files.write("new/dir/x", b"secret")
    assert everything(job.workspace) == set()


def test_a_file_is_remembered_before_it_holds_anything_and_can_be_deleted_at_any_moment(job: Job) -> None:
    class Killed(BaseException):
        pass

    def killed(files: list[Written]) -> None:
        job.remembered.append(list(files))
        raise Killed

    # Killed for good: not even the clean-up of the block runs.
    written = job.files.write("a/x", b"secret")
    os.rename(written.path, os.path.join(os.path.dirname(written.path), written.temporary))
    assert delete_files([written]) == []
    assert everything(job.workspace) == set()
    files = SecretFiles(job.places, killed)  # type: ignore[arg-type]
    with pytest.raises(Killed):
        files.write("b/x", b"secret")
    assert everything(job.workspace) == set()


def test_deletion_is_idempotent_and_takes_only_what_we_made(job: Job) -> None:
    ours, theirs = job.files.write("d/e/ours", b"1"), job.files.write("d/theirs", b"2")
    (job.temp / "another").write_text("another file")
    os.rename(job.temp / "another", theirs.path)
    problems = delete_files([ours, theirs])
    assert problems == [f"{theirs.path} was replaced by another file, which is left alone"]
    assert everything(job.workspace) == {"d", "d/theirs"}
    assert delete_files([ours]) == []
    link = job.files.write("d/link", b"3")
    os.symlink(theirs.path, job.temp / "another")
    os.rename(job.temp / "another", link.path)
    assert "was replaced" in delete_files([link])[0]
    assert Path(theirs.path).read_text() == "another file"


def test_discard_leaves_nothing(job: Job) -> None:
    for name in ("x", "y/z", "y/q/w"):
        job.files.write(name, b"1")
    assert job.files.discard() == []
    assert job.files.written == []
    assert everything(job.root) == {"ws", "temp"}
    assert [len(files) for files in job.remembered] == [1, 2, 3]


@as_root
def test_all_belongs_to_the_owner_of_the_workspace(job: Job) -> None:
    (job.workspace / ".git" / "info").mkdir(parents=True)
    os.chown(job.workspace, 1001, 118)
    for name in ("x.json", "new/y.json"):
        path = Path(job.files.write(name, b"1").path)
        for each in (path, path.parent):
            assert (os.lstat(each).st_uid, os.lstat(each).st_gid) == (1001, 118)
    assert os.stat(job.workspace / ".git/info/exclude").st_uid == 1001


def test_host_paths_may_hold_any_character_but_must_be_there() -> None:
    assert HostPaths.parse("workspace=/a;temp=b/r;temp=/c d/") == HostPaths("/a;temp=b/r", "/c d")
    assert HostPaths.parse(" workspace=/a//;temp=/b \n") == HostPaths("/a", "/b")
    assert HostPaths.parse("container=;workspace=/a;temp=/b") == HostPaths("/a", "/b")
    assert HostPaths.parse("container=5f0c-x;workspace=/a;temp=/b") == HostPaths("/a", "/b", in_container=True)
    for bad in ("", "workspace=/a", "workspace=;temp=", "workspace=a;temp=b", "temp=/a;workspace=/b"):
        with pytest.raises(UsageError, match="host-paths"):
            HostPaths.parse(bad)


def test_outside_a_container_paths_are_what_they_are(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    places = Places({"WORKSPACE": str(root), "WORKSPACE_TMP": str(root / "none")})
    assert places.default == "/tmp", "not the workspace: a build or artifact would take the file along"
    assert places.to_host("/x") == "/x"
    assert SecretFiles(places).write(str(root / "a/x"), b"1").host_path == str(root / "a/x")


def test_mount_points_are_told_from_directories(tmp_path: Path) -> None:
    assert is_mount_point("/proc")
    assert not is_mount_point(str(tmp_path))


# Kept out of git. The git here is the machine's; the image has none.


def git(*arguments: str, cwd: Path) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *settings, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


def repository(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    git("init", "-q", cwd=path)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=path)
    return path


@pytest.mark.parametrize("name", ["x.json", "we[ir]d *?.json", "trailing ", "!x", "#x", "back\\slash", "ünï"])
def test_git_does_not_see_the_file(job: Job, name: str) -> None:
    repository(job.workspace)
    (job.workspace / "other.json").touch()
    job.files.write(f"./{name}", b"secret")
    job.files.write(f"sub/{name}", b"secret")
    assert git("status", "--porcelain", "-uall", cwd=job.workspace) == "?? other.json\n"
    before = (job.workspace / ".git/info/exclude").read_bytes()
    assert keep_out_of_git(str(job.workspace / name), job.places) is None  # once is enough
    assert (job.workspace / ".git/info/exclude").read_bytes() == before
    assert job.warnings == []


def test_git_does_not_see_it_in_a_worktree_or_a_submodule(job: Job) -> None:
    main = repository(job.workspace / "main")
    git("worktree", "add", "-q", "../tree", cwd=main)
    library = repository(job.workspace / "library")
    git("submodule", "--quiet", "add", str(library), "sub", cwd=main)
    for directory in ("tree", "main/sub"):
        job.files.write(f"{directory}/secret.json", b"secret")
        assert git("status", "--porcelain", "-uall", cwd=job.workspace / directory) == ""
    assert job.warnings == []


def test_a_worktree_made_outside_the_container_is_found_by_the_host_path(job: Job) -> None:
    main = repository(job.workspace / "main")
    git("worktree", "add", "-q", "../tree", cwd=main)
    dot_git = job.workspace / "tree/.git"
    dot_git.write_text(dot_git.read_text().replace(str(job.workspace), HOST.workspace))
    job.files.write("tree/secret.json", b"secret")
    assert b"\n/secret.json\n" in (main / ".git/info/exclude").read_bytes()


def test_an_exclude_file_without_a_last_newline_is_continued_on_a_new_line(job: Job) -> None:
    (job.workspace / ".git/info").mkdir(parents=True)
    exclude = job.workspace / ".git/info/exclude"
    exclude.write_bytes(b"*.log")
    job.files.write("./a", b"1")
    assert exclude.read_bytes() == b"*.log\n/a\n"


@pytest.mark.parametrize(
    "trap", ["symlink", "fifo", "directory", "outside", "garbage", "info-symlink", "commondir-fifo"]
)
def test_a_repository_that_cannot_be_used_is_a_warning(job: Job, trap: str) -> None:
    outside = job.root / "outside"
    (outside / "info").mkdir(parents=True)
    victim = outside / "victim"
    victim.write_text("untouched")
    dot_git = job.workspace / ".git"
    if trap in ("outside", "garbage"):
        dot_git.write_text(f"gitdir: {outside}\n" if trap == "outside" else "what?")
    elif trap == "commondir-fifo":
        dot_git.mkdir()
        os.mkfifo(dot_git / "commondir")
    elif trap == "info-symlink":
        dot_git.mkdir()
        (dot_git / "info").symlink_to(outside / "info")
    else:
        (dot_git / "info").mkdir(parents=True)
        exclude = dot_git / "info/exclude"
        if trap == "symlink":
            exclude.symlink_to(victim)
        elif trap == "fifo":
            os.mkfifo(exclude)
        else:
            exclude.mkdir()
    done: list[Written] = []
    thread = threading.Thread(target=lambda: done.append(job.files.write("./a", b"1")), daemon=True)
    thread.start()
    thread.join(10)  # a FIFO would block for ever
    assert [file.path for file in done] == [str(job.workspace / "a")]
    assert len(job.warnings) == 1
    assert "can't be kept out of git" in job.warnings[0]
    assert victim.read_text() == "untouched"
    assert everything(outside) == {"info", "victim"}


# What the user names on the command line.


def test_write_private_replaces_a_file_atomically_with_mode_0600(tmp_path: Path) -> None:
    target = tmp_path / "out.env"
    target.write_text("old")
    target.chmod(0o644)
    held = target.open()
    write_private(str(target), b"new")
    assert held.read() == "old"  # another inode: who had it open saw no half
    held.close()
    assert (target.read_bytes(), mode(target)) == (b"new", 0o600)
    assert everything(tmp_path) == {"out.env"}


def test_write_private_follows_no_link_and_makes_no_directory(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "link").symlink_to(victim)
    for bad in (tmp_path / "link", tmp_path, Path("/dev/null")):
        with pytest.raises(UsageError, match="is not a regular file"):
            write_private(str(bad), b"new")
    with pytest.raises(UsageError, match="can't be written: No such file"):
        write_private(str(tmp_path / "none/x"), b"new")
    assert victim.read_text() == "untouched"


def test_files_of_a_lease_know_each_others_paths(job: Job) -> None:
    exports = [
        Export("TOKEN_FILE", Secret("the token"), "cloud", file="cloud-token"),
        Export("CREDENTIALS", Secret(""), "cloud", file="cloud.json", render=lambda p: Secret(f"@{p['TOKEN_FILE']}")),
        Export("SAME", Secret(""), "cloud", path_of="CREDENTIALS"),
        Export("PLAIN", Secret("x"), "cloud"),
    ]
    placed = {export.name: export.value.reveal() for export in place(exports, job.files)}
    assert placed["SAME"] == placed["CREDENTIALS"]
    assert placed["PLAIN"] == "x"
    assert placed["TOKEN_FILE"].startswith("/home/runner/work/_temp/")
    here = {os.path.basename(file.path): Path(file.path).read_text() for file in job.files.written}
    assert here == {"cloud-token": "the token", "cloud.json": f"@{placed['TOKEN_FILE']}"}
    assert not list(job.workspace.iterdir()), "no build context or artifact holds them"


def test_a_rewritten_file_is_private_and_deleted_in_the_end(job: Job) -> None:
    first = job.files.write("token", b"old")
    job.files.rewrite(first.host_path, b"new")
    assert Path(first.path).read_bytes() == b"new"
    assert mode(first.path) == 0o600
    (kept,) = job.files.written
    assert kept.inode == os.stat(first.path).st_ino
    assert job.remembered[-2:] != [], "a crash in between leaves nothing that the post step does not know"
    assert job.files.discard() == []
    assert everything(job.temp) == set()


def test_a_file_deleted_meanwhile_is_not_written_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = job.files.write("token", b"old")
    begun, discarded = threading.Event(), threading.Event()
    opened = files_module._opened

    def late(*arguments: Any) -> Any:
        begun.set()
        discarded.wait(0.3)  # a discard that does not wait for us is through by then
        return opened(*arguments)

    monkeypatch.setattr(files_module, "_opened", late)
    renewal = threading.Thread(target=job.files.rewrite, args=(first.host_path, b"new"))
    renewal.start()
    assert begun.wait(5)
    assert job.files.discard() == []
    discarded.set()
    renewal.join(5)
    assert everything(job.temp) == set()
    job.files.rewrite(first.host_path, b"newer")
    assert everything(job.temp) == set()


def test_a_rewrite_that_fails_leaves_the_file_and_what_is_known_of_it(job: Job) -> None:
    first = job.files.write("token", b"old")
    real = job.files.remember

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job.files.remember = full
    with pytest.raises(UsageError, match="No space left"):
        job.files.rewrite(first.host_path, b"new")
    job.files.remember = real
    assert Path(first.path).read_bytes() == b"old"
    job.files.rewrite(first.host_path, b"newer")
    assert job.files.discard() == [], "no file is told of as another one's"
    assert everything(job.temp) == set()
