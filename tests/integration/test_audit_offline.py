"""`keylease audit --offline` as a program: exit codes, reports, policies, baselines, and trees that mean harm."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from keylease.cli import main
from keylease.registry import RULES
from tests.conftest import RunKeylease
from tests.leaks import Seeded

RULE = "workflow-static-key"
WORKFLOW = ".github/workflows/deploy.yml"
BAD, GOOD = RULES.load(RULE).bad[0], RULES.load(RULE).good[0]
CLEAN = "on: push\npermissions: {}\njobs: {a: {runs-on: ubuntu-24.04, permissions: {}, steps: [{run: make}]}}\n"


def tree(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def report(done: "subprocess.CompletedProcess[str]") -> Any:
    return json.loads(done.stdout)


def rules_of(done: "subprocess.CompletedProcess[str]", status: str = "failing") -> set[str]:
    return {each["rule"] for each in report(done)["findings"] if each["status"] == status}


def test_a_clean_repository(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path, {WORKFLOW: CLEAN})
    done = keylease("audit", "--offline", "--fail-on", "info", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(done)
    assert (found["findings"], found["performed"], found["problems"]) == ([], True, [])
    assert found["checked"][RULE] == 1
    assert found["inventory"]["file.workflow"] == 1
    assert done.stderr == ""


@pytest.mark.parametrize("form", ["table", "json", "markdown", "sarif", "code-scanning", "junit", "gitlab"])
def test_findings_in_every_form(tmp_path: Path, keylease: RunKeylease, form: str) -> None:
    tree(tmp_path, {WORKFLOW: BAD})
    done = keylease("audit", "--offline", "--fail-on", "info", "--format", form)
    assert done.returncode == 1, done.stderr
    assert RULE in done.stdout
    assert WORKFLOW in done.stdout
    file = tmp_path / "report"
    again = keylease("audit", "--offline", "--fail-on", "info", "--format", form, "--output", str(file), ".")
    assert (again.returncode, again.stdout) == (1, "")
    assert RULE in file.read_text()


def test_what_fails_is_for_the_policy_to_say(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path, {WORKFLOW: BAD})
    tree(tmp_path, {"keylease.yml": f"version: 1\naudit:\n  fail_on: critical\n  rules:\n    {RULE}: low\n"})
    done = keylease("audit", "--offline", "--format", "json")
    assert done.returncode == 0
    assert RULE in rules_of(done, "below")
    assert keylease("audit", "--offline", "--fail-on", "low").returncode == 1
    tree(tmp_path, {"keylease.yml": f"version: 1\naudit: {{fail_on: info, rules: {{{RULE}: false}}}}\n"})
    assert RULE not in rules_of(keylease("audit", "--offline", "--format", "json"))


def test_waivers(tmp_path: Path, keylease: RunKeylease) -> None:
    text = f"""version: 1
audit:
  waivers:
    - {{rule: "*", subject: "file://{WORKFLOW}", reason: moving in spring, until: "%s"}}
"""
    tree(tmp_path, {WORKFLOW: BAD, "keylease.yml": text % "2999-12-31"})
    done = keylease("audit", "--offline", "--fail-on", "info", "--format", "json")
    assert done.returncode == 0, done.stdout
    assert RULE in rules_of(done, "waived")
    tree(tmp_path, {"keylease.yml": text % "2020-12-31"})
    done = keylease("audit", "--offline", "--fail-on", "info", "--format", "json")
    assert done.returncode == 1
    assert {RULE, "waiver-ended"} <= rules_of(done)


def test_no_link_of_the_repository_chooses_what_is_overwritten(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path, {"work/.env": "A=\n", "outside/profile": "kept", "work/keylease.yml": "version: 1\naudit: {}\n"})
    work, victim = tmp_path / "work", tmp_path / "outside/profile"
    (work / "report.json").symlink_to(victim)
    (work / "reports").symlink_to(tmp_path / "outside")
    for arguments in (
        ("audit", "--offline", "--output", "report.json"),
        ("audit", "--offline", "--output", "reports/profile"),
        ("audit", "collect", "--output", "report.json"),
        ("audit", "--offline", "--write-baseline", "--baseline", "report.json"),
        ("scan", "--env", "HOME", "--output", "report.json"),
    ):
        done = keylease(*arguments, cwd=work)
        assert done.returncode == 2, done.stderr
        assert "symbolic link" in done.stderr
    for baseline in ("../outside/profile", str(victim), "reports/profile", "report.json"):
        tree(work, {"keylease.yml": f"version: 1\naudit: {{baseline: {baseline}}}\n"})
        done = keylease("audit", "--offline", "--write-baseline", cwd=work)
        assert done.returncode == 2, done.stderr
        assert "--baseline: " in done.stderr
    assert victim.read_text() == "kept"
    tree(work, {"keylease.yml": "version: 1\naudit: {baseline: known.json}\n"})
    assert keylease("audit", "--offline", "--write-baseline", cwd=work).returncode == 0
    assert (work / "known.json").is_file()


def test_a_baseline(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path, {WORKFLOW: BAD})
    known = ("audit", "--offline", "--fail-on", "info", "--baseline", "known.json")
    assert keylease(*known).returncode == 2
    assert keylease(*known, "--write-baseline").returncode == 0
    assert keylease(*known).returncode == 0
    tree(tmp_path, {WORKFLOW: "# moved\n\n" + BAD})
    assert keylease(*known).returncode == 0
    tree(tmp_path, {".github/workflows/new.yml": BAD})
    done = keylease(*known, "--format", "json")
    assert done.returncode == 1
    failing = [each["subject"] for each in report(done)["findings"] if each["status"] == "failing"]
    assert set(failing) == {"file://.github/workflows/new.yml"}
    tree(tmp_path, {WORKFLOW: CLEAN, ".github/workflows/new.yml": CLEAN})
    assert "of the baseline no longer found" in keylease(*known).stderr


def test_what_could_not_be_checked(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path, {WORKFLOW: CLEAN, ".github/workflows/broken.yml": "a: ["})
    done = keylease("audit", "--offline", "--format", "json")
    assert done.returncode == 0
    assert RULE in {each["rule"] for each in report(done)["not_checked"]}
    tree(tmp_path, {"keylease.yml": "version: 1\naudit: {fail_unchecked: true}\n"})
    done = keylease("audit", "--offline")
    assert done.returncode == 6
    assert ".github/workflows/broken.yml:2" in done.stdout
    assert "1 thing could not be checked" in done.stderr
    tree(tmp_path, {".github/workflows/bad.yml": BAD})
    assert keylease("audit", "--offline", "--fail-on", "info").returncode == 1, "findings come first"


def test_nothing_to_judge_is_no_clean_bill(tmp_path: Path, keylease: RunKeylease) -> None:
    done = keylease("audit", "--offline")
    assert done.returncode == 0
    assert "No audit was performed" in done.stdout
    assert "no audit was performed" in done.stderr
    tree(tmp_path, {"keylease.yml": "version: 1\naudit: {preset: strict}\n"})
    assert keylease("audit", "--offline").returncode == 6


def test_one_file(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path, {WORKFLOW: BAD, ".github/workflows/other.yml": BAD})
    done = keylease("audit", "--offline", "--fail-on", "info", "--format", "json", WORKFLOW)
    assert done.returncode == 1
    assert {each["location"]["path"] for each in report(done)["findings"]} == {WORKFLOW}
    elsewhere = keylease("audit", "--offline", "--format", "json", str(tmp_path / WORKFLOW), cwd=tmp_path / ".github")
    assert {each["location"]["path"] for each in report(elsewhere)["findings"]} == {"workflows/deploy.yml"}


def test_a_workflow_that_lies_elsewhere_is_judged_if_it_is_named(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path, {"drafts/deploy.yaml": BAD, "notes/values.yml": "on: 1\nhosts: []\n"})
    done = keylease("audit", "--offline", "--fail-on", "info", "--format", "json", "drafts/deploy.yaml")
    assert done.returncode == 1, done.stderr
    assert RULE in rules_of(done)
    assert report(keylease("audit", "--offline", "--format", "json"))["findings"] == []
    done = keylease("audit", "--offline", "notes/values.yml")
    assert done.returncode == 0
    assert "notes/values.yml holds nothing that a rule could judge; which files one can: https://" in done.stderr
    tree(tmp_path, {"drafts/deploy.yaml": "on: push\njobs:\n  a: [\n"})
    done = keylease("audit", "--offline", "--format", "json", "drafts/deploy.yaml")
    assert [each["location"]["path"] for each in report(done)["problems"]] == ["drafts/deploy.yaml"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("audit", "nowhere"), "there is no file or directory 'nowhere'"),
        (("audit", "--offline", "nowhere"), "there is no file or directory 'nowhere'"),
        (("audit", "--offline", "--config", "nowhere.yml"), "there is no such file"),
        (("audit", "--offline", "--output", "/nowhere/report"), "--output: '/nowhere/report' can't be written"),
        (("audit", "--offline", "--write-baseline"), "--write-baseline needs a file"),
        (("audit", "--offline", "--fail-on", "loud"), "invalid choice"),
        (("audit", "--explain", "workflow-static-keys"), f"did you mean '{RULE}'?"),
    ],
)
def test_mistakes_on_the_command_line(keylease: RunKeylease, arguments: tuple[str, ...], what: str) -> None:
    done = keylease(*arguments)
    assert done.returncode == 2
    assert what in done.stderr
    assert done.stdout == ""


def test_rules_are_listed_and_explained(keylease: RunKeylease, capsys: pytest.CaptureFixture[str]) -> None:
    listed = keylease("rules").stdout
    assert all(name in listed for name in RULES)
    assert [each["id"] for each in json.loads(keylease("rules", "--format", "json").stdout)] == sorted(RULES)
    first = next(iter(RULES))
    assert RULES.load(first).title in keylease("audit", "--explain", first).stdout
    for name in RULES:
        assert main(["audit", "--explain", name]) == 0
        assert RULES.load(name).title in capsys.readouterr().out


def test_values_of_env_files_are_not_shown(tmp_path: Path, keylease: RunKeylease, seeded: Seeded) -> None:
    value = seeded.new("openai")
    tree(tmp_path, {".env": f"OPENAI_API_KEY={value}\n"})
    seeded.allow_file(tmp_path / ".env")
    for form in ("table", "json", "markdown", "sarif", "junit", "gitlab"):
        done = keylease("audit", "--offline", "--persona", "auditor", "--debug", "--format", form)
        assert done.returncode in (0, 1), done.stderr


def test_a_tree_that_means_harm(tmp_path: Path, keylease: RunKeylease) -> None:
    root = tmp_path / "root"
    bomb = "\n".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))
    tree(
        root,
        {
            ".github/workflows/deep.yml": "[" * 100_000,
            ".github/workflows/dashes.yml": "- " * 100_000,
            ".github/workflows/bomb.yml": f"a0: &a0 [x]\n{bomb}",
            ".github/workflows/x\n::error::y\x1b[31m##vso[a.yml": "a: [",
            "deep.json": '{"Statement": ' + "[" * 100_000 + '"Effect"',
            "number.json": '{"Statement": [{"Effect": "Allow", "Action": ' + "9" * 6000 + "}]}",
            "deep.tf": 'resource "aws_iam_role" "x" { a = ' + "[" * 100_000,
            "text.tf": "# aws_iam_\nx = " + '"${' * 50_000,
            "heredoc.tf": "# aws_iam_\n" + "x = <<A\n" * 50_000,
            "lines.hcl": "\n" * 1_000_000,
        },
    )
    os.symlink("/etc", root / "etc")
    os.symlink("/etc/passwd", root / ".env")
    os.mkfifo(root / "pipe.hcl")
    (root / "noise.hcl").write_bytes(b'path "x" {\n' + os.urandom(1000))
    done = keylease("audit", "--offline", "root", timeout=30)
    assert done.returncode == 0, done.stderr
    problems = report(keylease("audit", "--offline", "--format", "json", "root"))["problems"]
    named = {each["location"]["path"].removeprefix("root/") for each in problems}
    assert {"deep.json", "number.json", "deep.tf", "text.tf", "heredoc.tf", ".env", "pipe.hcl", "noise.hcl"} <= named
    assert len(named) == 12
    assert "root:" not in done.stdout, "the file of passwords was read"
    assert "\x1b" not in done.stdout
    assert "##vso[" not in done.stdout
    assert not any(line.lstrip().startswith("::") for line in done.stdout.splitlines())


def test_without_anything_to_collect_it_looks_at_files(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(
        tmp_path, {WORKFLOW: BAD, "keylease.yml": "version: 1\nproviders: {v: {type: vault}}\naudit: {fail_on: info}\n"}
    )
    plain, offline = keylease("audit", "--format", "json"), keylease("audit", "--offline", "--format", "json")
    assert plain.returncode == offline.returncode == 1, plain.stderr
    assert report(plain)["findings"] == report(offline)["findings"]


def test_a_directory_may_be_called_collect(tmp_path: Path, keylease: RunKeylease) -> None:
    tree(tmp_path / "collect", {WORKFLOW: BAD})
    assert keylease("audit", "--fail-on", "info", "./collect").returncode == 1


def test_paths_are_those_of_the_working_directory_but_for_a_checkout_of_its_own(
    tmp_path: Path, keylease: RunKeylease
) -> None:
    tree(tmp_path / "sub", {WORKFLOW: BAD})
    [first] = {each["subject"] for each in report(keylease("audit", "--format", "json", "sub"))["findings"]}
    assert first == f"file://sub/{WORKFLOW}"
    (tmp_path / "sub/.git").mkdir()
    [own] = {each["subject"] for each in report(keylease("audit", "--format", "json", "sub"))["findings"]}
    assert own == f"file://{WORKFLOW}"
