"""Credentials in the job's own environment: told by their form, and never kept."""

import pytest

from keylease.audit.model import Inventory
from keylease.collectors.base import Access
from keylease.collectors.job import JobCollector, JobSettings
from keylease.context import Context
from keylease.http import Deadline
from keylease.masking import Masker
from tests.integration.collecting import as_json
from tests.leaks import Seeded

TAIL = "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW"


def made(sort: str, seeded: Seeded) -> str:
    values = {
        "project": f"sk-proj-{TAIL}{TAIL}",
        "account": f"sk-svcacct-{TAIL}{TAIL}",
        "admin": f"sk-admin-{TAIL}{TAIL}",
        "user": "sk-" + TAIL[:20] + "T3Blb" + "kFJ" + TAIL[:20],
        "claude": f"sk-ant-api03-{TAIL * 3}",
        "claude-admin": f"sk-ant-admin01-{TAIL * 3}",
        "claude-oauth": f"sk-ant-oat01-{TAIL * 3}",
        "hub": "hf_" + "qWeRtYuIoPaSdFgHjKlZxCvBnMqpWxyzAbWxyz"[-34:],
        "databricks": "dapi" + "0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d",
        "pinecone": f"pcsk_4aB7c_{TAIL}{TAIL[:28]}",
        "classic": f"ghp_{TAIL}{TAIL[:4]}",
        "job": f"ghs_{TAIL}{TAIL[:4]}",
        "aws": "AKIA" + "J5XQ2WERTYUI7OPA",
        "vault": f"hvs.{TAIL}",
    }
    seeded.add(values[sort])
    return values[sort]


def collect(env: dict[str, str], *ignore: str) -> tuple[Inventory, Masker]:
    masker = Masker()
    collector = JobCollector(JobSettings(ignore=ignore), Context(env, masker, Deadline(5)), Access())
    return collector.collect(), masker


@pytest.mark.parametrize(
    ("sort", "facts"),
    [
        ("project", {"sort": "openai", "label": "OpenAI key", "static": True, "hint": "sk-proj-…U0vW"}),
        ("account", {"sort": "openai", "label": "OpenAI key", "static": True, "hint": "sk-svcacct-…U0vW"}),
        ("admin", {"sort": "openai", "level": "admin", "hint": "sk-admin-…U0vW"}),
        ("user", {"sort": "openai", "personal": True, "hint": "sk-…M2nO"}),
        ("claude", {"sort": "anthropic", "static": True, "hint": "sk-ant-api03-…U0vW"}),
        ("claude-admin", {"sort": "anthropic", "level": "admin", "hint": "sk-ant-admin01-…U0vW"}),
        ("claude-oauth", {"sort": "anthropic", "static": None}),
        ("hub", {"sort": "huggingface", "static": True, "hint": "hf_…Wxyz"}),
        ("databricks", {"sort": "databricks", "static": True}),
        ("pinecone", {"sort": "pinecone", "static": True}),
        ("classic", {"sort": "github", "personal": True}),
        ("aws", {"sort": "aws", "hint": "AKIA…7OPA"}),
        ("vault", {"sort": "vault", "static": None}),
    ],
)
def test_what_is_told_of_each(sort: str, facts: dict[str, object], seeded: Seeded) -> None:
    value = made(sort, seeded)
    found, masker = collect({"SOME_KEY": value, "OTHER": "plain"})
    (record,) = found.of("job.variable")
    assert record.subject == "job://environment/variable/SOME_KEY"
    assert {name: record.facts.get(name) for name in facts} == facts
    assert found.kinds == {"job.variable"}
    assert value not in as_json(found)
    assert value not in masker.scrub(f"x {value} y"), "it was not sealed"


def test_what_is_no_key_that_lies_there(seeded: Seeded) -> None:
    env = {
        "GITHUB_TOKEN": made("job", seeded),
        "EXAMPLE": "sk-proj-" + "x" * 60,
        "EMPTY": "",
        "PATH": "/usr/bin:/bin",
        "IGNORED": made("admin", seeded),
    }
    found, masker = collect(env, "IGNORED")
    assert found.records == []
    assert env["GITHUB_TOKEN"] not in masker.scrub(env["GITHUB_TOKEN"])


def test_within_other_text(seeded: Seeded) -> None:
    value = made("project", seeded)
    found, _ = collect({"CONFIG": f'{{"openai": "{value}", "again": "{value}"}}', "A\nB": value})
    assert [record.facts["hint"] for record in found.records] == ["sk-proj-…U0vW"] * 2
    assert {record.facts["name"] for record in found.records} == {"A B", "CONFIG"}
