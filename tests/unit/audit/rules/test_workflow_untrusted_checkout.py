"""Strangers' code beside secrets."""

from pathlib import Path

import pytest

from keylease.audit.rules.workflow_untrusted_checkout import WorkflowUntrustedCheckout as Rule
from tests.unit.audit.workflow_cases import job, judge

CHECKOUT = "- uses: actions/checkout@v4\n  with: {ref: '${{ github.event.pull_request.head.sha }}'}\n"
RUN = "- run: make\n  env: {A: '${{ secrets.A }}'}"


@pytest.mark.parametrize(
    ("more", "severity"),
    [
        ("", "critical"),
        ("environment: review", "high"),
        ("if: contains(github.event.pull_request.labels.*.name, 'safe')", "high"),
        ("if: github.actor == 'dependabot[bot]'", "high"),
        ("if: github.event.pull_request.user.login == 'dependabot[bot]'", ""),
        ("if: github.event.pull_request.user.login != 'dependabot[bot]'", "high"),
        ("if: github.event.pull_request.head.repo.full_name == github.repository", ""),
        ("if: github.event.pull_request.head.repo.fork == false", ""),
        ("if: github.event.pull_request.merged == true", ""),
        (
            "if: github.event_name == 'push' || github.event.pull_request.head.repo.full_name == github.repository",
            "medium",
        ),
    ],
)
def test_what_stands_before_the_job(more: str, severity: str, tmp_path: Path) -> None:
    findings = judge(Rule, tmp_path, job(CHECKOUT + RUN, on="pull_request_target", job=more))
    assert [each.severity for each in findings] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("version", "allow", "severity"),
    [
        ("v6.0.3", "", "critical"),
        ("v7", "", ""),
        ("v10.1", "", ""),
        ("main", "", ""),
        ("v7", ", allow-unsafe-pr-checkout: true", "critical"),
        ("v7", ", allow-unsafe-pr-checkout: '${{ needs.a.outputs.fork }}'", "critical"),
        ("v7", ", allow-unsafe-pr-checkout: false", ""),
        ("3d3c42e5aac5ba805825da76410c181273ba90b1", "", "high"),
        ("3d3c42e5aac5ba805825da76410c181273ba90b1", ", allow-unsafe-pr-checkout: true", "critical"),
    ],
)
def test_a_checkout_that_refuses_forks(version: str, allow: str, severity: str, tmp_path: Path) -> None:
    checkout = CHECKOUT.replace("@v4", f"@{version}").replace("}}'}", f"}}}}'{allow}}}")
    findings = judge(Rule, tmp_path, job(checkout + RUN, on="pull_request_target"))
    assert [each.severity for each in findings] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("more", "before", "severity", "persona"),
    [
        ("", "", "high", "regular"),
        ("if: github.event.comment.author_association == 'MEMBER'", "", "medium", "pedantic"),
        ("needs: asked", "", "medium", "pedantic"),
        ("", "- run: gh api repos/$REPO/collaborators/$WHO/permission\n", "medium", "pedantic"),
    ],
)
def test_a_comment(more: str, before: str, severity: str, persona: str, tmp_path: Path) -> None:
    checkout = "- uses: actions/checkout@v7\n  with: {ref: 'refs/pull/${{ github.event.issue.number }}/head'}\n"
    (finding,) = judge(Rule, tmp_path, job(before + checkout + RUN, on="issue_comment", job=more))
    assert (finding.severity, finding.persona) == (severity, persona)
    assert "runs on issue_comment" in finding.message


def test_what_is_allowed_but_the_base_is_taken(tmp_path: Path) -> None:
    checkout = "- uses: actions/checkout@v7\n  with: {allow-unsafe-pr-checkout: true}\n"
    assert judge(Rule, tmp_path, job(checkout + RUN, on="pull_request_target")) == []


def test_a_checkout_that_nothing_runs_from_is_for_pedants(tmp_path: Path) -> None:
    text = job(CHECKOUT, on="pull_request_target", job="env: {A: '${{ secrets.A }}'}")
    (finding,) = judge(Rule, tmp_path, text)
    assert finding.persona == "pedantic"


def test_the_jobs_own_token_is_no_secret_here(tmp_path: Path) -> None:
    text = job(CHECKOUT + RUN.replace("secrets.A", "secrets.GITHUB_TOKEN"), on="pull_request_target")
    assert judge(Rule, tmp_path, text) == []


@pytest.mark.parametrize(("on", "count"), [("push", 0), ("[push, pull_request]", 1)])
def test_a_workflow_run_is_as_foreign_as_what_starts_it(on: str, count: int, tmp_path: Path) -> None:
    text = job(
        CHECKOUT.replace("pull_request.head.sha", "workflow_run.head_sha") + RUN,
        on="{workflow_run: {workflows: [Build]}}",
    )
    first = "name: Build\n" + job("- run: make", on=on)
    assert len(judge(Rule, tmp_path, text, build=first)) == count


def test_a_reference_by_way_of_a_variable(tmp_path: Path) -> None:
    text = job(
        "- run: git checkout \"$REF\" && make\n  env: {REF: '${{ github.head_ref }}', A: '${{ secrets.A }}'}",
        on="pull_request_target",
    )
    assert len(judge(Rule, tmp_path, text)) == 1
