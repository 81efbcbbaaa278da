"""Credentials in clear: exact forms, and never the value in what is said."""

from pathlib import Path

import pytest

from keylease.audit.literals import literals
from keylease.audit.rules.workflow_clear_secret import WorkflowClearSecret as Rule
from keylease.audit.trees import Tree
from tests.unit.audit.workflow_cases import job, judge

LETTERS = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zAcCeFfGiIkLlM" * 3
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
WORD = "qWeRtYuIoPlKjHgFdSaZxCvBnMqAzWsXeDcRfVtGbY"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ghp_" + LETTERS[:36], "GitHub token"),
        ("Bearer ghs_" + LETTERS[:36], "GitHub token"),
        ("hf_" + WORD[:34], "Hugging Face token"),
        ("dapi" + HEX[:32], "Databricks token"),
        ("sk-or-v1-" + HEX, "OpenRouter key"),
        ("sk-proj-" + LETTERS[:60], "OpenAI key"),
        ("sk-ant-api03-" + LETTERS[:95], "Anthropic key"),
        ("hvs." + LETTERS[:30], "Vault token"),
        ("glpat-" + LETTERS[:20], "GitLab token"),
        ("AIza" + LETTERS[:35], "Google API key"),
        ("https://u:npm_" + LETTERS[:36] + "@x", "npm token"),
        ("-----BEGIN RSA PRIVATE KEY-----\n" + LETTERS[:64] + "\n", "private key"),
        ("hf_" + WORD[:33], ""),
        ("xhf_" + WORD[:34], ""),
        ("ghp_" + "x" * 36, ""),
        ("AKIA" + "IOSFODNN7EXAMPLE", ""),
        ("image@sha256:" + HEX, ""),
        ("-----BEGIN PUBLIC KEY-----\n" + LETTERS[:64] + "\n", ""),
        ("$GITHUB_TOKEN and ${{ secrets.GHP }}", ""),
    ],
)
def test_forms(text: str, what: str) -> None:
    assert [each.what for each in literals(Tree({"a": [text]}, {}))] == ([what] if what else [])


def test_an_aws_secret_key_is_told_by_its_variable() -> None:
    value = LETTERS[:40]
    assert [each.what for each in literals(Tree({"AWS_SECRET_ACCESS_KEY": value}, {}))] == ["AWS secret access key"]
    assert list(literals(Tree({"GIT_SHA": value}, {}))) == []


def test_the_value_is_in_nothing_that_is_said(tmp_path: Path) -> None:
    value = "glpat-" + LETTERS[:20]
    (finding,) = judge(Rule, tmp_path, job(f"- run: |\n    make\n    curl -H 'PRIVATE-TOKEN: {value}' https://x"))
    assert LETTERS[:8] not in repr(finding)
    assert finding.evidence == (("prefix", "glpat-"), ("length", "26"))
    assert finding.location is not None
    assert finding.location.line == 8
