"""Rules about GitLab's CI files: IdTokenAudience."""

from pathlib import Path

import pytest

from keylease.audit.model import Finding, Location
from keylease.audit.rules.gitlab_id_token_audience import IdTokenAudience
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
