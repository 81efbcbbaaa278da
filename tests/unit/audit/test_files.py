"""The collector of files: what it makes of each kind, and of everything that is not as it should be."""

import os
import subprocess
from pathlib import Path

import pytest

from keylease.audit.collectors.files import KINDS, MAX_BYTES, POLICIES, STATIC_KEY, collect
from keylease.audit.collectors.listing import SKIPPED, listing
from keylease.audit.model import Location, Record
from tests.leaks import Seeded


def tree(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def one(root: Path, name: str, text: str | bytes) -> Record:
    inventory = collect(tree(root, {name: text}))
    assert inventory.problems == []
    (record,) = inventory.records
    return record


def problems(root: Path, name: str, text: str | bytes) -> list[tuple[str, str]]:
    inventory = collect(tree(root, {name: text}))
    assert inventory.records == []
    return [(problem.kind, f"{problem.location}: {problem.what}") for problem in inventory.problems]


@pytest.mark.parametrize(
    "name", [".github/workflows/ci.yml", ".github/workflows/ci.yaml", "action.yml", "a/b/action.yaml"]
)
def test_workflows_and_actions(tmp_path: Path, name: str) -> None:
    record = one(tmp_path, name, "on: push\njobs:\n  a:\n    steps: []\n")
    assert (record.kind, record.subject, record.location) == ("file.workflow", f"file://{name}", Location(name, 1))
    assert record.facts["tree"].data == {"on": "push", "jobs": {"a": {"steps": []}}}
    assert record.facts["tree"].line("jobs", "a") == 3


@pytest.mark.parametrize("name", [".gitlab-ci.yml", "deploy.gitlab-ci.yml", ".gitlab/ci/a/b.yml", ".gitlab-ci/c.yaml"])
def test_gitlab_files(tmp_path: Path, name: str) -> None:
    record = one(tmp_path, name, "spec:\n  inputs: {}\n---\njob:\n  script: !reference [.a, script]\n")
    assert record.kind == "file.gitlab_ci"
    assert record.facts["tree"].at("job", "script") == {"Fn::reference": [".a", "script"]}


def test_values_of_env_files_stay_where_they_are(tmp_path: Path, seeded: Seeded) -> None:
    value = seeded.new("env")
    seeded.allow_file(tmp_path / ".env.production")
    text = f'# A=1\nexport TOKEN={value}\nEMPTY=\nQUOTED=""\nLONG="{value}\nB=2\n"\nLATER=x\nCOMMENT= # none\n'
    record = one(tmp_path, ".env.production", text)
    names = ["TOKEN", "EMPTY", "QUOTED", "LONG", "LATER", "COMMENT"]
    assert record.facts == {"names": names, "empty": ["EMPTY", "QUOTED", "COMMENT"]}
    assert value not in repr(record)


def test_files_of_other_names_are_not_looked_at(tmp_path: Path) -> None:
    inventory = collect(tree(tmp_path, {"docs/ci.yml": "a: [", "x.py": "{", "environment": "A=1", "x.hcl": "a = 1"}))
    assert (inventory.records, inventory.kinds, inventory.problems) == ([], set(KINDS), [])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "2: it is no YAML: did not find expected node content"),
        ("", " it holds no mapping"),
        ("- a\n", " it holds no mapping"),
        ("a: 1\n---\nb: 1\n", "3: it holds several documents"),
        (b"a: \xff", " it is no text in UTF-8"),
        (b"\x7fELF\0\0", " it is no text in UTF-8"),
        ("[" * 100_000, "1: it is no YAML: it is nested too deeply"),
        ("- " * 100_000, "1: it is no YAML: it is nested too deeply"),
        ("a: &a [*a]", "1: it is no YAML: it is nested too deeply, or its aliases make it huge"),
        ("a: " + "x" * MAX_BYTES, " it is larger than 2 MiB"),
    ],
    ids=["syntax", "empty", "list", "two", "latin", "binary", "brackets", "dashes", "circle", "large"],
)
def test_a_workflow_that_can_not_be_read_is_a_problem(tmp_path: Path, text: str | bytes, what: str) -> None:
    name = ".github/workflows/ci.yml"
    assert problems(tmp_path, name, text) == [("file.workflow", f"{name}:{what}")]


def test_alias_bombs_in_many_documents(tmp_path: Path) -> None:
    levels = "".join(
        f"{this}: &{this} [{', '.join([f'*{last}'] * 10)}]\n" for last, this in zip("abc", "bcd", strict=True)
    )
    one = f"a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n{levels}---\n"
    (tmp_path / "policy.yml").write_text("# Statement Effect\n" + one * 500, encoding="utf-8")
    (problem,) = collect(tmp_path).problems
    assert "its aliases make it huge" in problem.what


def test_an_alias_bomb(tmp_path: Path) -> None:
    rows = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    text = "a0: &a0 [x]\n" + "\n".join(rows)
    ((kind, what),) = problems(tmp_path, ".gitlab-ci.yml", text)
    assert kind == "file.gitlab_ci"
    assert "its aliases make it huge" in what


def test_what_may_hold_several_kinds_is_a_problem_of_each(tmp_path: Path) -> None:
    os.symlink("/etc/passwd", tmp_path / "main.tf")
    found = collect(tmp_path)
    assert found.records == []
    assert [problem.kind for problem in found.problems] == [*POLICIES, STATIC_KEY]
    assert {problem.what for problem in found.problems} == {
        "it can't be read: it is a symbolic link, which is not followed"
    }


POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}'


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, root = tree(tmp_path / "outside", {"p.json": POLICY, "ci.yml": "on: push"}), tmp_path / "root"
    tree(root, {"policy.json": POLICY, ".github/workflows/real.yml": "on: push\n"})
    os.symlink(outside / "p.json", root / "out.json")
    os.symlink("policy.json", root / "in.json")
    os.symlink(outside / "ci.yml", root / ".github/workflows/ci.yml")
    os.symlink(outside, root / "linked")
    os.symlink("/dev/zero", root / ".env")
    inventory = collect(root)
    assert {str(record.location) for record in inventory.records} == {"policy.json:1", ".github/workflows/real.yml:1"}
    assert {(problem.kind, str(problem.location)) for problem in inventory.problems} == {
        ("aws.iam_policy", "out.json"),
        ("aws.trust_policy", "out.json"),
        ("file.kubernetes", "out.json"),
        ("file.workflow", ".github/workflows/ci.yml"),
        ("file.env", ".env"),
    }


def test_a_linked_directory_of_workflows_is_a_problem(tmp_path: Path) -> None:
    tree(tmp_path, {"other/ci.yml": "on: push\n"})
    (tmp_path / ".github").mkdir()
    os.symlink("../other", tmp_path / ".github/workflows")
    (problem,) = collect(tmp_path).problems
    assert (problem.kind, str(problem.location)) == ("file.workflow", ".github/workflows")


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "policy.hcl")
    (problem,) = collect(tmp_path).problems
    assert problem.what == "it can't be read: it is no regular file"


def test_names_that_are_no_text(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path) + b"/.github/workflows"
    os.makedirs(directory)
    for name in (b"\xff.yml", b"a\n::error::b\x1b[31m.yml"):
        Path(os.fsdecode(directory + b"/" + name)).write_text("a: [")
    found = {problem.location.path for problem in collect(tmp_path).problems if problem.location}
    assert found == {".github/workflows/\\xff.yml", ".github/workflows/a\n::error::b\x1b[31m.yml"}
    for path in found:
        path.encode()


def test_large_files_that_hold_no_policy_are_no_problem(tmp_path: Path) -> None:
    filler = '{"x": "' + "y" * MAX_BYTES + '"'
    found = collect(tree(tmp_path, {"data.json": filler + "}", "policy.json": filler + "," + POLICY[1:]}))
    assert [str(problem.location) for problem in found.problems] == ["policy.json", "policy.json"]


def test_a_directory_that_can_not_be_read_leaves_nothing_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser, as whom the tests may run, can read every directory: so the system call is made to fail.
    tree(tmp_path, {"a/ci.yml": "x"})
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    (problem,) = collect(tmp_path).problems
    assert (problem.kind, problem.what) == ("", "the directory can't be read: Permission denied")


# Which files there are.


def git(root: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=root, check=True, capture_output=True)


def test_git_says_which_files_there_are(tmp_path: Path) -> None:
    tree(tmp_path, {"a.env": "A=1", "ignored.env": "A=1", "new.env": "A=1", ".gitignore": "ignored.env\n"})
    git(tmp_path, "init")
    git(tmp_path, "add", "a.env", ".gitignore")
    assert listing(tmp_path).paths == [".gitignore", "a.env", "new.env"]
    assert listing(tree(tmp_path, {"below/b.env": "A=1"}) / "below").paths == ["b.env"]


def test_without_git_all_files_are_there(tmp_path: Path) -> None:
    files = {"a.env": "A=1", "sub/b.env": "", **{f"{name}/c.env": "" for name in SKIPPED}}
    assert listing(tree(tmp_path, dict(files))).paths == ["a.env", "sub/b.env"]
    assert "vendor/c.env" in listing(tmp_path, skipped=()).paths


def test_listing_runs_nothing_that_the_repository_names(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"a.env": "A=1"})
    git(root, "init")
    git(root, "add", "a.env")
    witness = tmp_path / "ran"
    script = tree(tmp_path, {"evil.sh": f"#!/bin/sh\ntouch '{witness}'\n"}) / "evil.sh"
    script.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(script))
    git(root, "config", "core.hooksPath", str(tmp_path))
    subprocess.run(["git", "status"], cwd=root, check=False, capture_output=True)
    assert witness.exists(), "the trap does not work"
    witness.unlink()
    assert listing(root).paths == ["a.env"]
    assert not witness.exists()


def test_what_a_sparse_checkout_left_out_is_a_problem(tmp_path: Path) -> None:
    tree(tmp_path, {"a.env": "A=1", ".github/workflows/ci.yml": "on: push\n", "gone.env": ""})
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "all")
    git(tmp_path, "sparse-checkout", "set", "--no-cone", "/a.env", "/gone.env")
    (tmp_path / "gone.env").unlink()
    inventory = collect(tmp_path)
    assert [record.subject for record in inventory.records] == ["file://a.env"]
    ((problem),) = inventory.problems
    assert (problem.kind, problem.what) == ("file.workflow", "a sparse checkout left it out")


def test_a_directory_of_the_index_that_became_a_link(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {".github/workflows/ci.yml": "on: push\n"})
    git(root, "init")
    git(root, "add", ".")
    (root / ".github").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", root / ".github")
    inventory = collect(root)
    assert inventory.records == []
    assert {problem.kind for problem in inventory.problems} == {"file.workflow"}


@pytest.mark.parametrize("root", ["", ".github", ".github/workflows"])
def test_a_workflow_is_one_from_wherever_one_looks(tmp_path: Path, root: str) -> None:
    tree(tmp_path, {".github/workflows/ci.yml": "on: push\n"})
    assert [record.kind for record in collect(tmp_path / root).records] == ["file.workflow"]
