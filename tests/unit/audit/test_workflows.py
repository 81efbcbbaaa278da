"""Workflows taken apart: expressions, uses of secrets, odd files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keylease.audit.trees import Tree
from keylease.audit.workflows import Workflow, action, expressions, secrets_in, shown
from tests.unit.audit.workflow_cases import job, workflow


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("secrets.A", ["A"]),
        ("SECRETS.a || secrets . b", ["A", "B"]),
        ("secrets['A'] && secrets[ 'b' ]", ["A?", "B"]),
        ("secrets.A == ''", ["A?"]),
        ("'x' != secrets.A", ["A?"]),
        ("!secrets.A", ["A?"]),
        ("toJSON(secrets)", ["*"]),
        ("secrets.*", ["*"]),
        ("secrets[matrix.x]", ["[…]"]),
        ("format('secrets.A {0}', 'it''s secrets.B')", []),
        ("needs.secrets.outputs.x", []),
        ("mysecrets.A + secrets_x.A + my-secrets.A", []),
        ("", []),
    ],
)
def test_secrets_in_an_expression(expression: str, found: list[str]) -> None:
    assert [each.name + "?" * each.tested for each in secrets_in(expression)] == found


def test_expressions_end_outside_of_texts() -> None:
    assert [body for _, body in expressions("a ${{ format('}}', secrets.A) }} b ${{ x }}")] == [
        " format('}}', secrets.A) ",
        " x ",
    ]
    assert [body for _, body in expressions("${{ secrets.A")] == [" secrets.A"]


def test_the_innermost_variable_wins() -> None:
    it = workflow(
        job(
            "- run: x\n  env: {A: plain}\n- run: y",
            top="env: {A: '${{ secrets.TOP }}', B: '${{ secrets.B }}'}",
            job="env: {B: '${{ secrets.JOB }}'}",
        )
    )
    (build,) = it.jobs
    first, second = build.steps
    assert {name: use.name for name, use in it.secrets_seen_by(build, first).items()} == {"B": "JOB"}
    assert {name: use.name for name, use in it.secrets_seen_by(build, second).items()} == {"A": "TOP", "B": "JOB"}


def test_where_a_secret_is_used() -> None:
    it = workflow(
        job(
            "- uses: a/b@v1\n  with:\n    key: ${{ secrets.K }}",
            job="container:\n  credentials:\n    password: ${{ secrets.P }}",
        )
    )
    assert sorted((use.name, use.at, use.key, use.step) for use in it.uses) == [
        ("K", "with", "key", 0),
        ("P", "other", "password", -1),
    ]


def test_triggers_in_every_form() -> None:
    assert [set(workflow(f"on: {on}\njobs: {{}}").triggers) for on in ("push", "[push, a]", "{push: , a: {b: c}}")] == [
        {"push"},
        {"push", "a"},
        {"push", "a"},
    ]


@pytest.mark.parametrize("uses", ["", " ", None, [], {}])
def test_no_action(uses: object) -> None:
    assert action(uses) is None


def test_a_name_is_one_printable_line() -> None:
    assert shown("a\n::error::\x1b[31m\u202eb" + "c" * 100) == ("a ::error:: [31m b" + "c" * 100)[:79] + "…"


_NODES = st.recursive(
    st.sampled_from(["", "push", "${{ secrets.A }}", "inherit", "write-all", "a/b@v1", "./x", "echo $A"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["on", "jobs", "steps", "env", "with", "secrets", "run", "uses", "runs", "permissions", "A", "if"]
            ),
            children,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_NODES)
def test_nothing_is_too_odd(data: object) -> None:
    from keylease.audit.model import Inventory, Location, Record
    from keylease.registry import RULES

    assert Workflow(Tree(data, {})).jobs is not None
    record = Record("file.workflow", "file://a.yml", {"tree": Tree(data, {})}, Location("a.yml", 1))
    every = Inventory(records=[record], kinds={"file.workflow"})
    for name in RULES:
        if name.startswith("workflow-"):
            assert all("\n" not in finding.message for finding in RULES.load(name)().check(every))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("AWS_ROLE_ARN", False),
        ("DEPLOY_ROLE_TO_ASSUME", False),
        ("AZURE_CLIENT_ID", False),
        ("SMTP_USERNAME", False),
        ("GITHUB_TOKEN", False),
        ("AZURE_CLIENT_SECRET", True),
        ("DATABASE_URL", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("ROLE_KEY", True),
    ],
)
def test_identifiers_are_no_secrets(name: str, secret: bool) -> None:
    it = workflow(job(f"- run: x\n  env: {{A: '${{{{ secrets.{name} }}}}'}}"))
    assert bool(it.used_in(it.jobs[0])) == secret


def test_a_huge_workflow_ends_soon() -> None:
    import time

    from keylease.audit.model import Inventory, Location, Record
    from keylease.registry import RULES

    step = {
        "run": "git fetch " * 20 + "${{ secrets.A }} | echo $B 'x",
        "env": {"B": "${{ secrets.B }}"},
        "uses": "a/b@v1",
    }
    data = {
        "on": "pull_request_target",
        "jobs": {"a": {"steps": [step] * 8000}, "b": {"steps": [{"run": "git fetch " * 90_000}]}},
    }
    record = Record("file.workflow", "file://a.yml", {"tree": Tree(data, {})}, Location("a.yml", 1))
    every = Inventory(records=[record], kinds={"file.workflow"})
    start = time.monotonic()
    for name in RULES:
        if name.startswith("workflow-"):
            list(RULES.load(name)().check(every))
    assert time.monotonic() - start < 30  # seconds; it takes some three
