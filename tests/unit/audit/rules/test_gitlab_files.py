"""Rules about GitLab's CI files: IdTokenAudience, GitlabSecretPrinted."""

import time
from pathlib import Path

import pytest

from keylease.audit.gitlab_secrets import set_in, used_in
from keylease.audit.model import Finding, Location
from keylease.audit.rules.gitlab_id_token_audience import IdTokenAudience
from keylease.audit.rules.gitlab_secret_printed import GitlabSecretPrinted
from keylease.audit.scripts import listed, printed, traced
from tests.unit.audit.workflow_cases import inventory


def judged(rule: type, root: Path, text: str, **others: str) -> list[Finding]:
    found = inventory(root, {".gitlab-ci.yml": text, **{f"{name}.yml": each for name, each in others.items()}})
    assert found.problems == []
    return list(rule().check(found))


@pytest.mark.parametrize(
    ("aud", "message", "severity", "confidence"),
    [
        ("", "has no audience", "medium", "high"),
        ("['', '']", "has no audience", "medium", "high"),
        ("https://*.example.com", "has a wildcard as its audience", "medium", "high"),
        ("[a, b, c, d, e, a]", "is good for 5 services (a, b, c, d …)", "medium", "medium"),
        ("https://gitlab.com/", "has GitLab's own address as its audience (https://gitlab.com/)", "low", "high"),
        ("'${CI_SERVER_URL}'", "has GitLab's own address as its audience (${CI_SERVER_URL})", "low", "high"),
        (
            "https://$CI_SERVER_HOST",
            "has GitLab's own address as its audience (https://$CI_SERVER_HOST)",
            "low",
            "high",
        ),
        (
            "gitlab.example.com",
            "seems to have GitLab's own address as its audience (gitlab.example.com)",
            "low",
            "medium",
        ),
        ("[https://vault.example.com]", "", "", ""),
        ("https://gitlab.example.com/vault", "", "", ""),
        ("$VAULT_ADDR", "", "", ""),
        ("'$[[ inputs.audience ]]'", "", "", ""),
        ("[a, a]", "", "", ""),
        ("sts.amazonaws.com", "", "", ""),
        ("{a: b}", "", "", ""),
    ],
)
def test_audiences(aud: str, message: str, severity: str, confidence: str, tmp_path: Path) -> None:
    found = judged(IdTokenAudience, tmp_path, f"job:\n  id_tokens:\n    T:\n      aud: {aud}\n")
    assert [(each.message, each.severity, each.confidence) for each in found] == (
        [(f"the identity token T {message}", severity, confidence)] if message else []
    )
    assert all(each.location == Location(".gitlab-ci.yml", 4) for each in found)


def test_a_token_is_judged_once_where_it_is_written(tmp_path: Path) -> None:
    text = "include: base.yml\na: {extends: .base}\nb: {extends: .base}\n.c: {extends: .base}\n"
    [found] = judged(IdTokenAudience, tmp_path, text, base=".base:\n  id_tokens:\n    T: {aud: [a, b]}\n")
    assert (found.subject, found.location) == ("file://base.yml", Location("base.yml", 3))


def test_a_token_that_is_written_in_two_places(tmp_path: Path) -> None:
    """An audience may come from another file, or from where nobody can look."""
    base = ".base: {id_tokens: {T: {aud: one}}}\n"
    text = "include: base.yml\na:\n  extends: .base\n  id_tokens: {T: {}}\n"
    assert judged(IdTokenAudience, tmp_path, text, base=base) == []
    assert judged(IdTokenAudience, tmp_path, "a:\n  extends: .elsewhere\n  id_tokens: {T: {}}\n") == []
    assert len(judged(IdTokenAudience, tmp_path, "a:\n  id_tokens: {T: {}}\n")) == 1


def test_tokens_by_default(tmp_path: Path) -> None:
    default = "default: {id_tokens: {T: {aud: [a, b]}}}\n"
    assert len(judged(IdTokenAudience, tmp_path, f"{default}a: {{script: x}}\n")) == 1
    assert judged(IdTokenAudience, tmp_path, f"{default}a: {{id_tokens: {{U: {{aud: c}}}}}}\n") == []
    assert judged(IdTokenAudience, tmp_path, f"{default}a: {{script: x, inherit: {{default: [image]}}}}\n") == []


@pytest.mark.parametrize(
    ("job", "message", "rank"),
    [
        ("script: ['echo $API_TOKEN']", "job prints API_TOKEN: only a mask", ("low", "low", "pedantic")),
        ("script: ['echo $API_TOKEN | rev']", "(through rev)", ("medium", "medium", "regular")),
        ("script: ['printenv API_TOKEN | base64']", "(through base64)", ("medium", "medium", "regular")),
        ("script: ['echo $T | rev']\n  id_tokens: {T: {aud: x}}", "prints T in a form", ("medium", "high", "regular")),
        ("script: ['echo $S | rev']\n  secrets: {S: {vault: x, file: false}}", "S in a", ("medium", "high", "regular")),
        ("script: ['set -x', 'login $API_TOKEN']", "(set -x)", ("low", "low", "pedantic")),
        ("script: ['login $API_TOKEN', printenv]", "prints all variables", ("low", "low", "pedantic")),
        (
            "script: ['echo $A | rev']\n  variables: {A: '${PROD_SECRET}'}",
            "prints A in a",
            ("medium", "medium", "regular"),
        ),
        ("script: [x]\n  variables: {CI_DEBUG_TRACE: 'true'}", "prints all variables", ("medium", "high", "regular")),
        ("script: ['echo $S | rev']\n  secrets: {S: {vault: x}}", "", ()),
        ("script: ['echo $API_TOKEN | rev']\n  variables: {API_TOKEN: none}", "", ()),
        ("script: ['echo $API_TOKEN | rev']\n  parallel: {matrix: [{API_TOKEN: [a, b]}]}", "", ()),
        ("script: ['echo $API_TOKEN | rev']\n  rules: [{variables: {API_TOKEN: a}}]", "", ()),
        ("script: ['read -r API_TOKEN', 'echo $API_TOKEN | rev']", "", ()),
        ("script: ['for API_TOKEN in a b; do echo $API_TOKEN | rev; done']", "", ()),
        ("script: ['API_TOKEN=$(./ask)', 'echo $API_TOKEN | rev']", "", ()),
        ("script: ['echo $API_TOKEN_FILE | rev']", "", ()),
        ("script: [printenv, 'printenv HOME']", "", ()),
        ("script: {a: b}", "", ()),
    ],
)
def test_printed(job: str, message: str, rank: tuple[str, ...], tmp_path: Path) -> None:
    found = judged(GitlabSecretPrinted, tmp_path, f"job:\n  {job}\n")
    assert [(each.severity, each.confidence, each.persona) for each in found] == ([rank] if message else [])
    assert all(message in each.message for each in found)


def test_a_command_that_several_jobs_inherit_is_found_once_where_it_is(tmp_path: Path) -> None:
    base = ".base:\n  before_script:\n    - make\n    - |\n      ls\n      echo $API_TOKEN | rev\n"
    text = "include: base.yml\na: {extends: .base}\nb: {before_script: [y, !reference [.base, before_script]]}\n"
    [found] = judged(GitlabSecretPrinted, tmp_path, text, base=base)
    assert (found.location, found.message.split()[0]) == (Location("base.yml", 6), ".base")


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("env", 0),
        ("make\nexport", 1),
        ("make; printenv | sort", 0),
        ("declare -x", 0),
        ("env | cat", 0),
        ("env | grep A", -1),
        ("env > file", -1),
        ("env A=1 make", -1),
        ("export A=1", -1),
        ("x=$(env)", -1),
    ],
)
def test_what_lists_all_variables(script: str, line: int) -> None:
    assert listed(script) == line


@pytest.mark.parametrize(
    "piece", ["${a-", '\\"', "<<A ", "'\"'", "echo $a;", "$(", ">", "\\", "printenv a ", "|", "a=${a", "read -a "]
)
def test_hostile_scripts_are_read_in_time(piece: str) -> None:
    script = "echo " + piece * (300_000 // len(piece))
    start = time.process_time()
    for _ in printed(script, {"a": "b"}):
        pass
    assert (traced(script), listed(script)) == (-1, -1)
    set_in(script)
    used_in(script)
    assert time.process_time() - start < 10
