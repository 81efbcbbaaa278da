"""Rules about GitLab's CI files: IdTokenAudience, GitlabSecretPrinted, GitlabStaticKey, IncludeUnpinned."""

import time
from pathlib import Path

import pytest

from keylease.audit.gitlab_secrets import set_in, used_in
from keylease.audit.model import Finding, Location
from keylease.audit.rules.gitlab_id_token_audience import IdTokenAudience
from keylease.audit.rules.gitlab_include_unpinned import Groups, IncludeUnpinned
from keylease.audit.rules.gitlab_secret_printed import GitlabSecretPrinted
from keylease.audit.rules.gitlab_static_key import GitlabStaticKey
from keylease.audit.scripts import listed, printed, traced
from tests.leaks import Seeded
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


@pytest.mark.parametrize(
    ("job", "what", "confidence"),
    [
        ("script: ['use $OPENAI_API_KEY']", "OpenAI API key (OPENAI_API_KEY)", "medium"),
        ("script: ['use ${PROD_OPENAI_API_KEY}']", "OpenAI API key (PROD_OPENAI_API_KEY)", "medium"),
        ("script: ['docker run -e HF_TOKEN=\"$HF_TOKEN\" x']", "Hugging Face token (HF_TOKEN)", "medium"),
        ("variables: {ANTHROPIC_API_KEY: '${KEY}'}", "Anthropic API key (KEY)", "high"),
        ("variables: {ANTHROPIC_API_KEY: {value: $KEY}}", "Anthropic API key (KEY)", "high"),
        ("variables: {GOOGLE_APPLICATION_CREDENTIALS: $SA}", "Google service account key (SA)", "high"),
        ("script: ['. venv/bin/activate', 'use $VAULT_TOKEN']", "Vault token or SecretID (VAULT_TOKEN)", "medium"),
        ("script: ['export AWS_SECRET_ACCESS_KEY=\"$AMI_KEY\"', x]", "AWS access key (AMI_KEY)", "medium"),
        ("script: ['AMI_KEY=$(./ask)', 'export AWS_SECRET_ACCESS_KEY=$AMI_KEY']", "", ""),
        ("script: ['export AWS_SECRET_ACCESS_KEY=$AMI_KEY']\n  variables: {AMI_KEY: minio}", "", ""),
        ("script: ['use $GOOGLE_CREDENTIALS']\n  id_tokens: {T: {aud: x}}", "", ""),
        ("variables: {GOOGLE_APPLICATION_CREDENTIALS: $SA}\n  id_tokens: {T: {aud: x}}", "", ""),
        ("variables: {GOOGLE_APPLICATION_CREDENTIALS: $CI_PROJECT_DIR/key.json}", "", ""),
        ("variables: {ANTHROPIC_API_KEY: $KEY}\n  secrets: {KEY: {vault: x}}", "", ""),
        ("variables: {ANTHROPIC_API_KEY: $KEY, KEY: none}", "", ""),
        ("variables: {OPENAI_API_KEY: $GROQ_API_KEY}", "", ""),
        ("script: ['. ./env', 'use $OPENAI_API_KEY']", "", ""),
        ("script: ['keylease exec -- use \"$OPENAI_API_KEY\"']", "", ""),
        ("script: ['export OPENAI_BASE_URL=http://x', 'use $OPENAI_API_KEY']", "", ""),
        ("script: ['aws --endpoint-url http://x s3 ls # $AWS_SECRET_ACCESS_KEY']", "", ""),
        ("script: ['use $OPENAI_API_KEY']\n  extends: .unseen", "", ""),
        (
            "script: ['use $OPENAI_API_KEY']\nother:\n  artifacts: {reports: {dotenv: x.env}}",
            "OpenAI API key (OPENAI_API_KEY)",
            "low",
        ),
    ],
)
def test_static_keys(job: str, what: str, confidence: str, tmp_path: Path) -> None:
    found = judged(GitlabStaticKey, tmp_path, f"job:\n  {job}\n")
    assert [each.confidence for each in found] == ([confidence] if what else [])
    assert all(f"job gets a static {what}: " in each.message for each in found)


def test_a_key_of_all_jobs_is_one_finding(tmp_path: Path) -> None:
    text = "variables:\n  AWS_ACCESS_KEY_ID: $ID\n  AWS_SECRET_ACCESS_KEY: $KEY\na: {script: [x]}\nb: {script: [y]}\n"
    [found] = judged(GitlabStaticKey, tmp_path, text)
    assert found.message.startswith("every job gets a static AWS access key (ID, KEY)")
    assert found.location == Location(".gitlab-ci.yml", 2)


def test_what_is_included_from_elsewhere_may_set_it(tmp_path: Path) -> None:
    text = "include: [{template: X.yml}]\na: {script: ['use $OPENAI_API_KEY']}\n"
    assert [each.confidence for each in judged(GitlabStaticKey, tmp_path, text)] == ["low"]


def test_many_names_are_judged_in_time(tmp_path: Path) -> None:
    lines = "".join(f"    - use $A{number}_OPENAI_API_KEY\n" for number in range(20_000))
    start = time.process_time()
    for rule in (GitlabStaticKey, GitlabSecretPrinted):
        judged(rule, tmp_path, f"job:\n  script:\n    - set -x\n{lines}")
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("entry", "rank"),
    [
        ("remote: https://example.com/a.yml", ("medium", "high", "regular")),
        ("remote: https://example.com/raw/feature/a.yml", ("medium", "high", "regular")),
        ("remote: http://example.com/raw/v1.2.0/a.yml", ("high", "high", "regular")),
        ("remote: https://raw.githubusercontent.com/acme/ci/v1.2.0/a.yml", ("low", "high", "pedantic")),
        ("remote: https://raw.githubusercontent.com/acme/ci/refs/tags/v1/a.yml", ("low", "high", "pedantic")),
        ("remote: https://cdn.jsdelivr.net/gh/acme/ci@1.2.0/a.yml", ("low", "high", "pedantic")),
        ("remote: $CI_SERVER_URL/a/-/raw/main/a.yml", ()),
        ("remote: https://$CI_SERVER_HOST/a/-/raw/main/a.yml", ("low", "high", "pedantic")),
        ("remote: https://gitlab.com/gitlab-org/a/-/raw/main/a.yml", ()),
        ("{remote: 'https://example.com/a.yml', integrity: ''}", ("medium", "high", "regular")),
        ("{remote: 'https://example.com/a.yml', integrity: sha256-x}", ()),
        ("{project: a/b, file: c.yml}", ("low", "high", "pedantic")),
        ("{project: a/b, file: c.yml, ref: stable}", ("low", "medium", "pedantic")),
        ("{project: a/b, file: c.yml, ref: $REF}", ()),
        ("{project: $CI_PROJECT_NAMESPACE/b, file: c.yml}", ()),
        ("{project: trusted/b, file: c.yml}", ()),
        ("component: gitlab.com/a/b/c@~latest", ("low", "high", "regular")),
        ("component: gitlab.com/a/b/c@feature", ("low", "medium", "regular")),
        ("component: gitlab.com/a/b/c@1.2", ()),
        ("component: gitlab.com/trusted/b/c@main", ()),
        ("component: [x]", ()),
        ("template: X.yml", ()),
    ],
)
def test_unpinned(entry: str, rank: tuple[str, ...], tmp_path: Path) -> None:
    text = f"include:\n  - {entry}\njob:\n  id_tokens: {{T: {{aud: x}}}}\n"
    found = inventory(tmp_path, {".gitlab-ci.yml": text})
    findings = list(IncludeUnpinned(Groups(trusted_groups=("trusted", "gitlab-org"))).check(found))
    assert [(each.severity, each.confidence, each.persona) for each in findings] == ([rank] if rank else [])
    assert all(each.location == Location(".gitlab-ci.yml", 2) for each in findings)


def test_an_include_in_a_file_that_is_included(tmp_path: Path) -> None:
    text = "include: base.yml\njob: {script: ['use $A_TOKEN']}\n"
    [found] = judged(IncludeUnpinned, tmp_path, text, base="include:\n  - https://example.com/x.yml\n")
    assert found.location == Location("base.yml", 2)
    [found] = judged(IncludeUnpinned, tmp_path, text, base="x: {trigger: {include: [{project: a/b, file: c.yml}]}}\n")
    assert found.location == Location("base.yml", 1)


def test_a_password_in_an_address_stays_where_it_is(tmp_path: Path, seeded: Seeded) -> None:
    value = seeded.new("remote")
    seeded.allow_file(tmp_path / ".gitlab-ci.yml")
    text = f"include: https://ci:{value}@example.com/x.yml?token={value}#{value}\njob: {{script: ['use $A_TOKEN']}}\n"
    [found] = judged(IncludeUnpinned, tmp_path, text)
    assert "https://example.com/x.yml:" in found.message
    assert value not in repr(found)
