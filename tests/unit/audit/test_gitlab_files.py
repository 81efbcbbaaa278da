"""GitLab's CI files: what they include, and what their jobs inherit."""

import os
import random
import re
import time
from pathlib import Path

import pytest

from keylease.audit.collectors.files import collect
from keylease.audit.collectors.gitlab_includes import MAX_EDGES, matches
from keylease.audit.gitlab_files import KIND, Job, Pipeline, pipelines
from keylease.audit.model import Inventory, Location
from tests.unit.audit.workflow_cases import inventory

JOB = "job: {script: [make]}\n"


def told(found: Inventory) -> list[str]:
    assert {each.kind for each in found.problems} <= {KIND}
    return [f"{each.location}: {each.what}" for each in found.problems]


def files(found: Inventory) -> list[str]:
    return sorted(each.subject.removeprefix("file://") for each in found.of(KIND))


def only(found: Inventory) -> Pipeline:
    [pipeline] = pipelines(found)
    return pipeline


def jobs(root: Path, text: str, **others: str) -> dict[str, Job]:
    given = {f"{name}.yml": each for name, each in others.items()}
    return {job.name: job for job in only(inventory(root, {".gitlab-ci.yml": text, **given})).jobs}


@pytest.mark.parametrize(
    "include",
    [
        "include: ci/a.yml\n",
        "include: /ci/a.yml\n",
        "include: [ci/a.yml]\n",
        "include: {local: ci/a.yml, rules: [{if: $A}]}\n",
        "include:\n  - local: /ci/a.yml\n    inputs: {x: 1}\n",
        "include: ci/*.yml\n",
        "include: [{local: '/**/a.yml'}, {template: X.gitlab-ci.yml}, 'https://example.com/x.yml']\n",
        "include: [{project: a/b, file: c.yml}, {local: ./ci/a.yml}]\n",
        "child:\n  trigger: {include: ci/a.yml}\n",
        "child:\n  trigger:\n    include: [{local: ci/a.yml}, {artifact: x.yml, job: y}]\n",
    ],
)
def test_included_files_are_collected(include: str, tmp_path: Path) -> None:
    found = inventory(tmp_path, {".gitlab-ci.yml": include, "ci/a.yml": JOB, "ci/d/b.yml": JOB, "c/a.yaml": JOB})
    assert told(found) == []
    assert files(found) == [".gitlab-ci.yml", "ci/a.yml"]


def test_includes_of_includes(tmp_path: Path) -> None:
    given = {".gitlab-ci.yml": "include: a.yml", "a.yml": "include: /d/b.yml", "d/b.yml": "include: [d/c.yml]"}
    found = inventory(tmp_path, {**given, "d/c.yml": JOB})
    assert told(found) == []
    assert files(found) == [".gitlab-ci.yml", "a.yml", "d/b.yml", "d/c.yml"]
    assert [each.name for each in only(found).jobs] == ["job"]


def test_a_project_in_a_directory_includes_its_own_files(tmp_path: Path) -> None:
    found = inventory(tmp_path, {"x/.gitlab-ci.yml": "include: [ci/a.yml, 'ci/b*.yml']", "x/ci/a.yml": JOB})
    assert told(found) == []
    assert files(found) == ["x/.gitlab-ci.yml", "x/ci/a.yml"]


@pytest.mark.parametrize(
    ("include", "what"),
    [
        ("ci/none.yml", "the file that it includes is not there: ci/none.yml"),
        ("ci/none", "what it includes is no .yml or .yaml file: ci/none"),
        ("../outside.yml", "what it includes is no file of the repository: ../outside.yml"),
        ("ci/../../outside.yml", "what it includes is no file of the repository: ci/../../outside.yml"),
        (".git/x.yml", "what it includes is no file of the repository: .git/x.yml"),
        ("ci/$CI_PROJECT_NAME.yml", "which file ci/$CI_PROJECT_NAME.yml is can't be told here"),
        ("'$[[ inputs.file ]]'", "which file $[[ inputs.file ]] is can't be told here"),
        ('"a\\e[31m.yml"', "the file that it includes is not there: a [31m.yml"),
        ('"a\\0.yml"', "what it includes is no file of the repository: a .yml"),
        ("x" * 5000 + ".yml", ""),
    ],
)
def test_what_can_not_be_included_is_told(include: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "outside.yml").write_text(JOB, encoding="utf-8")
    found = inventory(tmp_path / "root", {".gitlab-ci.yml": f"{JOB}include:\n  - local: {include}\n"})
    assert files(found) == [".gitlab-ci.yml"]
    if what:
        assert told(found) == [f".gitlab-ci.yml:3: {what}"]
    assert len(found.problems) == 1
    assert found.problems[0].change


@pytest.mark.parametrize("name", ["link.yml", "linked/x.yml"])
def test_links_are_not_followed(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.yml").write_text(JOB, encoding="utf-8")
    root = tmp_path / "root"
    root.mkdir()
    os.symlink(tmp_path / "outside/x.yml", root / "link.yml")
    os.symlink(tmp_path / "outside", root / "linked")
    found = inventory(root, {".gitlab-ci.yml": f"include: {name}\n"})
    assert files(found) == [".gitlab-ci.yml"]
    [problem] = [each for each in found.problems if each.kind == KIND]
    assert problem.location is not None
    assert problem.location.path == name
    assert "is a symbolic link, which is not followed" in problem.what


def test_circles(tmp_path: Path) -> None:
    given = {".gitlab-ci.yml": "include: [a.yml, c.yml]", "a.yml": "include: b.yml", "b.yml": f"include: a.yml\n{JOB}"}
    found = inventory(tmp_path, {**given, "c.yml": "include: c.yml\nother: {script: make}"})
    assert sorted(told(found)) == [
        "b.yml:1: its includes go round in a circle by a.yml",
        "c.yml:1: its includes go round in a circle by c.yml",
    ]
    assert sorted(each.name for each in only(found).jobs) == ["job", "other"]


def test_an_included_file_that_can_not_be_read_is_told_once(tmp_path: Path) -> None:
    found = inventory(
        tmp_path, {".gitlab-ci.yml": "include: [a.yml, a.yml]\nx: {trigger: {include: a.yml}}", "a.yml": "a: ["}
    )
    assert told(found) == ["a.yml:2: it is no YAML: did not find expected node content"]


def test_one_file_by_itself_includes_nothing(tmp_path: Path) -> None:
    inventory(tmp_path, {".gitlab-ci.yml": f"include: [a.yml, none.yml]\n{JOB}", "a.yml": JOB})
    found = collect(tmp_path, [".gitlab-ci.yml"])
    assert (files(found), told(found)) == ([".gitlab-ci.yml"], [])
    assert only(found).unseen


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("configs/*.yml", "configs/a.yml", True),
        ("configs/*.yml", "configs/d/a.yml", False),
        ("configs/**.yml", "configs/d/a.yml", True),
        ("configs/**.yml", "configs/a.yml", True),
        ("configs/**/*.yml", "configs/a.yml", False),
        ("configs/**/*.yml", "configs/d/e/a.yml", True),
        ("**a*b", "a/ab", True),
        ("*a*b", "a/ab", False),
        ("***", "a/b", True),
        ("a.yml", "abyml", False),
        ("*", "", True),
    ],
)
def test_wildcards(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


def test_wildcards_are_those_of_gitlab() -> None:
    """https://docs.gitlab.com/ci/yaml/includes/: ``**`` is ``.*?``, ``*`` is ``[^/]*?``."""
    chance = random.Random(7)
    for _ in range(5000):
        pattern = "".join(chance.choice("ab/*") for _ in range(chance.randint(1, 7)))
        path = "".join(chance.choice("ab/") for _ in range(chance.randint(0, 7)))
        regex = re.escape(pattern).replace(r"\*\*", ".*?").replace(r"\*", "[^/]*?")
        assert matches(pattern, path) is bool(re.fullmatch(regex, path)), (pattern, path)


def test_many_includes_end(tmp_path: Path) -> None:
    given = {f"ci/{number}.yml": "include: 'ci/**.yml'\n" for number in range(300)}
    start = time.monotonic()
    found = inventory(tmp_path, {".gitlab-ci.yml": "include: 'ci/*.yml'\n", **given})
    assert any(f"more than {MAX_EDGES} files" in each.what for each in found.problems)
    assert matches("**a" * 300 + ".yml", "a" * 4000) is False
    pipelines(found)
    assert time.monotonic() - start < 20


def test_jobs_inherit_as_in_gitlab(tmp_path: Path) -> None:
    found = jobs(
        tmp_path,
        """\
include: [base.yml, more.yml]
default:
  id_tokens: {SHARED: {aud: shared}}
  before_script: [prepare]
variables: {A: top, B: top}
deploy:
  extends: [.login, .other]
  variables: {B: own}
  script:
    - !reference [.login, script]
    - deploy
plain: {script: run, inherit: {default: false, variables: [A]}}
last: {extends: deploy, variables: !reference [.other, variables]}
""",
        base=".login:\n  id_tokens: {T: {aud: [a, b]}}\n  variables: {C: base}\n  script: [login, {x: y}]\n",
        more=".login:\n  id_tokens: {T: {aud: over}}\n.other:\n  before_script: !reference [.none, script]\n"
        "  variables: {D: more}\n",
    )
    deploy = found["deploy"]
    assert [each.text for each in deploy.scripts] == ["login\ndeploy"]
    assert {name: each.text for name, each in deploy.variables.items()} == {
        "A": "top",
        "B": "own",
        "C": "base",
        "D": "more",
    }
    assert {name: each.items["aud"].text for name, each in deploy.items("id_tokens").items()} == {"T": "over"}
    assert deploy.items("id_tokens")["T"].items["aud"].location == Location("more.yml", 2)
    assert not deploy.whole, "a reference leads nowhere"
    plain = found["plain"]
    assert ([each.text for each in plain.scripts], set(plain.variables)) == (["run"], {"A"})
    assert (plain.items("id_tokens"), plain.whole) == ({}, True)
    assert {name: each.text for name, each in found["last"].variables.items()} == {
        "A": "top",
        "B": "own",
        "C": "base",
        "D": "more",
    }


def test_lines_of_commands(tmp_path: Path) -> None:
    job = jobs(tmp_path, "job:\n  before_script:\n    - one\n  script:\n    - |\n      two\n      three\n    - four\n")[
        "job"
    ]
    [script] = job.scripts
    assert script.text.split("\n") == ["one", "two", "three", "", "four"]
    lines = [location.line for number in (0, 1, 2, 4) if (location := script.at(number)[1])]
    assert lines == [3, 6, 7, 8]


@pytest.mark.parametrize("text", ["a: {extends: a}", "a: {extends: b}\nb: {extends: [a, a]}", "a: {extends: {x: y}}"])
def test_odd_bases(text: str, tmp_path: Path) -> None:
    assert all(not job.scripts for job in jobs(tmp_path, text).values())


def test_the_depth_of_bases(tmp_path: Path) -> None:
    text = "".join(f"j{number}: {{extends: j{number + 1}}}\n" for number in range(5000)) + "j5000: {script: x}\n"
    found = jobs(tmp_path, text)
    assert not found["j0"].whole
    assert found["j4999"].whole


@pytest.mark.parametrize(
    "text",
    [
        ".b:\n  variables: {"
        + ", ".join(f"V{number}: 1" for number in range(20_000))
        + "}\n"
        + "".join(f"j{number}: {{extends: .b, variables: {{A: 1}}}}\n" for number in range(5000)),
        "".join(f".r{n}:\n  script: [{', '.join([f'!reference [.r{n + 1}, script]'] * 12)}]\n" for n in range(12))
        + ".r12: {script: [x]}\n",
        "plain: {script: [x]}",
    ],
    ids=["bases", "references", "plain"],
)
def test_a_bomb_of_inheritance_is_cut(text: str, tmp_path: Path) -> None:
    start = time.monotonic()
    found = inventory(tmp_path, {".gitlab-ci.yml": text})
    assert time.monotonic() - start < 10
    assert only(found).cut is (len(text) > 100)
    what = [".gitlab-ci.yml:1: its jobs inherit more than is looked at"]
    assert told(found) == (what if only(found).cut else [])
