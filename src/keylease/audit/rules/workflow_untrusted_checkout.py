"""Code of a pull request beside secrets, in a workflow that runs with the repository's own rights."""

import re
from collections.abc import Iterator

from keylease.audit.model import Confidence, Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import Job, Step, Workflow, at, evidence, mapping, names, text_of, workflows

_HEAD = re.compile(
    r"github\.event\.pull_request\.head\.(?:sha|ref)|github\.head_ref|pull_request\.head\.repo\.full_name"
    r"|github\.event\.workflow_run\.(?:head_sha|head_branch|head_repository|head_commit\.id|pull_requests)"
    r"|refs/pull/|github\.event\.pull_request\.merge_commit_sha",
    re.IGNORECASE,
)
# Bounded, for a script may be megabytes of one line.
_FETCH = re.compile(r"\bgh\s{1,9}pr\s{1,9}checkout\b|\bpull/[^\n]{1,90}?/(?:head|merge)\b")
_SWITCH = re.compile(r"\bgit\b[^\n]{1,90}?\b(?:checkout|switch|reset|merge)\b")
_SAFE = re.compile(
    r"head\.repo\.full_name\s*==\s*github\.(?:repository|event\.repository\.full_name)"
    r"|github\.repository\s*==\s*github\.event\.pull_request\.head\.repo\.full_name"
    r"|head\.repo\.fork\s*==\s*false|!\s*github\.event\.pull_request\.head\.repo\.fork|pull_request\.merged\s*==\s*true"
    r"|pull_request\.merged\s*(?:$|&&)|pull_request\.user\.login\s*==\s*'|head_repository\.full_name\s*==\s*github\.repository"
    r"|github\.event\.workflow_run\.event\s*==\s*'(?:push|schedule|release|workflow_dispatch)'"
    r"|head_repository\.fork\s*==\s*false|!\s*github\.event\.workflow_run\.head_repository\.fork"
)
_REFUSING = re.compile(r"v?(?:[7-9]|\d\d+)(?:\.\d+)*|main")
"""Versions of actions/checkout that take a fork's code only where ``allow-unsafe-pr-checkout`` says so."""
_GATED = re.compile(
    r"labels|author_association|github\.actor|(?:pull_request|comment)\.user|sender\.login|event\.label"
)
_ASKING = re.compile(
    r"permission|collaborator|membership|association|actor|sender|user\.login|allow|trusted", re.IGNORECASE
)
"""How a step that asks who wrote a comment gives itself away."""

_EVENTS = ("pull_request_target", "workflow_run", "issue_comment")
_FOREIGN = {
    "pull_request",
    "pull_request_target",
    "pull_request_review",
    "issue_comment",
    "workflow_run",
    "merge_group",
}


class WorkflowUntrustedCheckout(Rule):
    """Less sure where something gates the job or a commit has no known version; pedantic where nothing is run."""

    id = "workflow-untrusted-checkout"
    title = "a stranger's pull request beside secrets"
    severity = "critical"
    needs = ("file.workflow",)
    why = (
        "Workflows on `pull_request_target`, `workflow_run` and `issue_comment` get the repository's secrets even for "
        "a pull request from a fork. One that checks out the pull request's own code gives whoever opens one a place "
        "to run in: a build script, a test, a package's install hook, a linter's configuration. It reads all secrets "
        "of the job, from memory if need be."
    )
    fix = (
        "Build and test pull requests on `pull_request`, which has no secrets. What needs secrets goes into a second "
        "workflow that takes the first one's results as data and runs nothing of the pull request."
    )
    links = (
        "https://securitylab.github.com/resources/github-actions-preventing-pwn-requests/",
        "https://docs.github.com/actions/reference/security/secure-use",
        "https://github.com/actions/checkout/pull/2454",
    )
    sample = ".github/workflows/preview.yml"
    bad = (
        """\
on: pull_request_target
jobs:
  preview:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.event.pull_request.head.sha }}
      - run: npm ci && npm run deploy
        env:
          TOKEN: ${{ secrets.PREVIEW_TOKEN }}
""",
        """\
on:
  workflow_run:
    workflows: [Elsewhere]
    types: [completed]
env:
  TOKEN: ${{ secrets.TOKEN }}
jobs:
  scan:
    if: github.event.workflow_run.conclusion == 'success'
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          repository: ${{ github.event.workflow_run.head_repository.full_name }}
          ref: ${{ github.event.workflow_run.head_branch }}
      - run: make scan
""",
        """\
on: [push, pull_request_target]
permissions:
  id-token: write
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: gh pr checkout ${{ github.event.number }} && make
""",
        """\
on: pull_request_target
jobs:
  test:
    needs: choose
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
        with:
          ref: ${{ needs.choose.outputs.ref }}
          allow-unsafe-pr-checkout: true
      - run: make test
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
        """\
on: issue_comment
jobs:
  bench:
    if: github.event.issue.pull_request && startsWith(github.event.comment.body, '/bench')
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
        with:
          ref: refs/pull/${{ github.event.issue.number }}/merge
      - run: make bench
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
    )
    good = (
        """\
on: pull_request
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.event.pull_request.head.sha }}
      - run: make
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
        """\
# The repository's own code; and a stranger's without any secret.
on: pull_request_target
jobs:
  label:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: ./label "$TITLE"
        env:
          TITLE: ${{ github.event.pull_request.title }}
          TOKEN: ${{ secrets.TOKEN }}
  size:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.event.pull_request.head.sha }}
      - run: wc -c README.md
""",
        """\
on: pull_request_target
jobs:
  deploy:
    if: ${{ github.event.pull_request.head.repo.full_name == github.repository }}
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.head_ref }}
      - run: ./deploy
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
        """\
on:
  workflow_run:
    workflows: [Build]
    types: [completed]
jobs:
  publish:
    if: github.event.workflow_run.event == 'push' && github.event.workflow_run.conclusion == 'success'
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.event.workflow_run.head_sha }}
      - run: ./publish
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
        """\
# From version 7 on the action refuses a fork's code; and nobody but the bot has this author.
on: pull_request_target
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7.0.1
        with:
          ref: ${{ github.event.pull_request.head.sha }}
      - run: make test
        env:
          TOKEN: ${{ secrets.TOKEN }}
  approve:
    if: github.event.pull_request.user.login == 'dependabot[bot]'
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: gh pr checkout "$URL" && gh pr review --approve
        env:
          URL: ${{ github.event.pull_request.html_url }}
          GH_TOKEN: ${{ secrets.BOT_TOKEN }}
""",
        """\
on: issue_comment
jobs:
  answer:
    if: github.event.issue.pull_request && startsWith(github.event.comment.body, '/help')
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
      - run: ./answer ${{ github.event.issue.number }}
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a job."""
        every = [workflow for _, workflow in workflows(inventory)]
        for record, workflow in workflows(inventory):
            event = next((name for name in _EVENTS if name in workflow.triggers), "")
            if not event or (event == "workflow_run" and _only_ours(workflow, every)):
                continue
            for job in workflow.jobs:
                yield from self._of(record, workflow, job, event)

    def _of(self, record: Record, workflow: Workflow, job: Job, event: str) -> Iterator[Finding]:
        refusing = "issue_comment" not in workflow.triggers
        taking = next((step for step in job.steps if _takes_head(step, refusing=refusing)), None)
        uses = workflow.used_in(job)
        permissions = workflow.permissions(job)
        asks = permissions == "write-all" or mapping(permissions).get("id-token") == "write"
        if taking is None or not (uses or asks):
            return
        conditions = f"{text_of(job.data.get('if'))} && {text_of(taking.data.get('if'))}"
        if _SAFE.search(conditions) and "||" not in conditions:
            return
        has = " and ".join([*([names(uses)] if uses else []), *(["an identity token"] if asks else [])])
        sure = _confidence(workflow, job, taking, conditions, event)
        yield self.finding(
            record,
            f"{job.title} runs on {event}, checks out the pull request's code and has {has}",
            severity={"high": "critical", "medium": "high", "low": "medium"}[sure],
            confidence=sure,
            persona="pedantic" if sure == "low" else "regular",
            location=at(record, taking.line),
            evidence=(("checkout", taking.title), *evidence(uses)),
            change="move what runs the pull request's code to a workflow of its own, without secrets\n\n"
            "on: pull_request\npermissions:\n  contents: read",
            key=job.id,
        )


def _takes_head(step: Step, *, refusing: bool) -> bool:
    """Whether it takes the pull request's code. refusing: newer checkouts refuse a fork's on such events."""
    used = step.action
    if used is not None and used.name == "actions/checkout":
        given = mapping(step.data.get("with"))
        wanted = " ".join(text_of(given.get(name)) for name in ("ref", "repository"))
        if _is_allowed(step):
            return "${{" in wanted
        return not (refusing and _REFUSING.fullmatch(used.ref)) and bool(_HEAD.search(wanted))
    if _FETCH.search(step.run) and ("git " in step.run or "gh " in step.run):
        return True
    texts = [step.run, *(text_of(value) for value in mapping(step.data.get("env")).values())]
    return bool(_SWITCH.search(step.run)) and any(_HEAD.search(text) for text in texts)


def _is_allowed(step: Step) -> bool:
    return text_of(mapping(step.data.get("with")).get("allow-unsafe-pr-checkout")).lower() not in ("", "false")


def _confidence(workflow: Workflow, job: Job, taking: Step, conditions: str, event: str) -> Confidence:
    after = [step for step in job.steps if step.number > taking.number]
    runs = bool(taking.run) or any(step.run or (step.action and step.action.kind == "local") for step in after)
    types = workflow.triggers.get(event, {}).get("types")
    labelled = types in ("labeled", ["labeled"])
    refuses = taking.action is not None and taking.action.pinned and not _is_allowed(taking)  # it may do so
    gated = "environment" in job.data or labelled or bool(_GATED.search(conditions))
    lends = any(step.action and step.action.owner != "actions" for step in after)  # it may build what lies there
    if event == "issue_comment":  # many ask first who wrote it: in a step before, or in another job
        before = " ".join(str(step.data) for step in job.steps[: taking.number])
        gated = gated or "needs" in job.data or bool(_ASKING.search(f"{before}{taking.data.get('if')}"))
    if not (runs or lends) or _SAFE.search(conditions) or (gated and event == "issue_comment"):
        return "low"
    return "medium" if gated or refuses or not runs or event != "pull_request_target" else "high"


def _only_ours(workflow: Workflow, every: list[Workflow]) -> bool:
    """Whether all workflows that it waits for are here, and none of them is started by a pull request."""
    wanted = workflow.triggers["workflow_run"].get("workflows")
    listed = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, list) else []
    if not listed:
        return False
    for name in listed:
        found = [each for each in every if each.data.get("name") == name]
        if not found or any(_FOREIGN & each.triggers.keys() for each in found):
            return False
    return True
