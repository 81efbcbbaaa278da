"""A secret in the hands of an action that may become other code."""

import re
import shlex
from collections.abc import Iterator

import msgspec

from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import Action, Job, Step, Use, Workflow, at, evidence, names, shown, workflows

_RELEASE = re.compile(r"v?\d+(?:\.\d+){0,3}(?:[.+-][\w.+-]*)?")


class Owners(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """trusted_owners: owners whose repositories are as good as one's own, in lower case."""

    trusted_owners: tuple[str, ...] = ("actions", "github")


class WorkflowUnpinnedAction(Rule):
    """Actions and called workflows that get a secret; `GITHUB_TOKEN` doesn't count, it ends with the job."""

    id = "workflow-unpinned-action"
    title = "a secret for an action that is not pinned"
    severity = "medium"
    needs = ("file.workflow",)
    Settings = Owners
    why = (
        "A tag or branch can be moved by whoever takes over the action's repository. In March 2025 every tag of "
        "tj-actions/changed-files was moved to code that printed the secrets of whoever used it into the log. A "
        "commit can't be moved. An action sees what is in its `with` and `env`, and the variables of its job and "
        "workflow."
    )
    fix = (
        "Write the commit in place of the tag, with the tag in a comment: Dependabot and Renovate keep both up to date."
    )
    links = (
        "https://docs.github.com/actions/reference/security/secure-use#using-third-party-actions",
        "https://www.cisa.gov/news-events/alerts/2025/03/18/supply-chain-compromise-third-party-tj-actionschanged-files-cve-2025-30066-and-reviewdogaction",
    )
    sample = ".github/workflows/publish.yml"
    bad = (
        """\
on: push
jobs:
  notify:
    runs-on: ubuntu-latest
    steps:
      - uses: acme/notify@v2
        with:
          webhook: ${{ secrets.WEBHOOK }}
""",
        """\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    env:
      DB_PASSWORD: ${{ secrets.DB_PASSWORD }}
    steps:
      - uses: docker://ghcr.io/acme/lint:latest
""",
        """\
on: push
jobs:
  release:
    uses: acme/workflows/.github/workflows/release.yml@main
    secrets:
      token: ${{ secrets.NPM_TOKEN }}
""",
    )
    good = (
        """\
on: push
jobs:
  notify:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          ssh-key: ${{ secrets.DEPLOY_KEY }}
      - uses: acme/notify@3d3c42e5aac5ba805825da76410c181273ba90b1 # v2
        with:
          webhook: ${{ secrets.WEBHOOK }}
      - uses: acme/comment@v1
        with:
          token: ${{ secrets.GITHUB_TOKEN }}
          enabled: ${{ secrets.WEBHOOK != '' }}
      - uses: ./actions/notify
        with:
          webhook: ${{ secrets.WEBHOOK }}
      - uses: acme/setup@v1
      - run: ./send
        env:
          WEBHOOK: ${{ secrets.WEBHOOK }}
""",
        """\
on: push
jobs:
  lint:
    runs-on: ubuntu-latest
    steps:
      - uses: docker://ghcr.io/acme/lint@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        env:
          TOKEN: ${{ secrets.TOKEN }}
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a job and action."""
        for record, workflow in workflows(inventory):
            if not workflow.uses:
                continue
            for job in workflow.jobs:
                shared = [use for use in (*workflow.uses_at(None), *workflow.uses_at(job)) if use.secret]
                if job.action and not self._trusted(job.action):
                    mine = [use for use in shared if use.at in ("secrets", "with")]
                    if mine:
                        line = workflow.tree.line(*job.path, "uses")
                        yield self._found(record, job, job.action, mine, line)
                yield from self._steps(record, workflow, job, [use for use in shared if use.at == "env"])

    def _steps(self, record: Record, workflow: Workflow, job: Job, shared: list[Use]) -> Iterator[Finding]:
        found: dict[str, tuple[Action, Step, dict[tuple[object, ...], Use]]] = {}
        for step in job.steps:
            used = step.action
            if used is None or self._trusted(used):
                continue
            own = [use for use in workflow.uses_at(job, step) if use.secret and use.at in ("with", "env")]
            mine = [*shared, *own]
            if mine:
                found.setdefault(used.text.partition("@")[0], (used, step, {}))[2].update(
                    {(use.path, use.name): use for use in mine}
                )
        for used, step, uses in found.values():
            yield self._found(record, job, used, list(uses.values()), step.line)

    def _trusted(self, used: Action) -> bool:
        return used.pinned or used.owner in self.settings.trusted_owners

    def _found(self, record: Record, job: Job, used: Action, uses: list[Use], line: int) -> Finding:
        if used.kind == "docker":
            where, severity = "an image that is not pinned", "medium"
            change = f"pin it by digest: uses: {shown(used.text.partition('@')[0])}@sha256:…"
        else:
            release = bool(_RELEASE.fullmatch(used.ref))
            where = "a tag" if release else "a branch"
            severity = "medium" if release or job.action else "high"  # one calls workflows of one's own organisation
            # Quoted, for it is to be pasted into a shell, and the name is whatever the file says.
            wanted = f"{shlex.quote(shown(f'https://github.com/{used.name}'))} {shlex.quote(shown(used.ref) or 'HEAD')}"
            # Of an annotated tag the name alone gives the tag's own id, which is no commit.
            wanted += f" {shlex.quote(f'{shown(used.ref)}^{{}}')}" if release else ""
            line_of = " (of two lines the one with ^{})" if release else ""
            change = (
                f"pin it by commit, which `git ls-remote {wanted}` prints{line_of}\n\n"
                f"uses: {shown(used.text.partition('@')[0])}@COMMIT # {shown(used.ref)}"
            )
        return self.finding(
            record,
            f"{job.title} gives {names(uses)} to {shown(used.text)}: {where} can become other code",
            severity=severity,
            location=at(record, line),
            evidence=evidence(uses),
            change=change,
            key=f"{job.id} {used.text.partition('@')[0]}",
        )
