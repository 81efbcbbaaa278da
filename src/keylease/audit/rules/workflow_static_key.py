"""A static credential in a workflow where the vendor takes the job's identity token."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from keylease.audit.federated import KINDS, Kind, kind_of
from keylease.audit.model import Finding, Inventory, Record
from keylease.audit.rule import Rule
from keylease.audit.workflows import (
    COMPUTED,
    GITHUB_TOKEN,
    WHOLE,
    Job,
    Step,
    Use,
    Workflow,
    at,
    evidence,
    mapping,
    names,
    shown,
    text_of,
    workflows,
)

_ELSEWHERE = re.compile(r"--endpoint(?:-url)?[ =]|\brclone\b|\bs3cmd\b|\bmc alias\b", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9:/@._ ${}-]{1,200}")
"""What may stand in a YAML value without quotes, at the places that we fill."""


class WorkflowStaticKey(Rule):
    """Judges where secrets go (variables and inputs that name a vendor), and how they are called."""

    id = "workflow-static-key"
    title = "a static credential where the job's identity token would do"
    severity = "medium"
    needs = ("file.workflow",)
    why = (
        "A key that is stored as a CI secret is good for whoever gets hold of it, from anywhere, until somebody "
        "rotates it. The vendor takes the job's own identity token (OIDC) instead: nothing is stored, what is handed "
        "out ends within the hour, and the vendor's log says which run it was for."
    )
    fix = (
        "Let the vendor trust the repository and its environment (`keylease whoami` in the job prints how), give the "
        "job `id-token: write`, lease the credential with Keylease, and delete the secret and the key."
    )
    links = (
        "https://docs.github.com/actions/concepts/security/openid-connect",
        "https://docs.github.com/actions/reference/security/secure-use",
    )
    sample = ".github/workflows/ci.yml"
    bad = (
        """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: aws-actions/configure-aws-credentials@e3dd6a429d7300a6a4c196c26e071d42e0343502
        with:
          aws-access-key-id: ${{ secrets.AWS_ACCESS_KEY_ID }}
          aws-secret-access-key: ${{ secrets['AWS_SECRET_ACCESS_KEY'] }}
          aws-region: eu-central-1
""",
        """\
on: push
env:
  OPENAI_API_KEY: ${{ secrets.MODEL_KEY }}
jobs:
  evaluate:
    runs-on: ubuntu-latest
    steps:
      - run: python evaluate.py
""",
        """\
on: push
jobs:
  plan:
    runs-on: ubuntu-latest
    steps:
      - uses: google-github-actions/auth@v2
        with:
          credentials_json: '${{ secrets.PROD }}'
      - uses: azure/login@v2
        with:
          creds: ${{ secrets.PRINCIPAL }}
""",
    )
    good = (
        """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    permissions:
      id-token: write
    steps:
      - uses: aws-actions/configure-aws-credentials@e3dd6a429d7300a6a4c196c26e071d42e0343502
        with:
          role-to-assume: ${{ secrets.AWS_ROLE_ARN }}
          aws-region: eu-central-1
      - run: aws s3 ls
        env:
          AWS_ACCESS_KEY_ID: ${{ steps.aws.outputs.aws-access-key-id }}
""",
        """\
# Not AWS, and not OpenAI: nobody there takes an identity token.
on: push
jobs:
  publish:
    runs-on: ubuntu-latest
    env:
      AWS_ACCESS_KEY_ID: ${{ secrets.R2_ACCESS_KEY_ID }}
      AWS_SECRET_ACCESS_KEY: ${{ secrets.R2_SECRET_ACCESS_KEY }}
    steps:
      - run: ./evaluate
        env:
          OPENAI_API_KEY: ${{ secrets.GROQ_API_KEY }}
      - run: ./evaluate
        env:
          OPENAI_API_KEY: ${{ secrets.OPENAI_API_KEY }}
          OPENAI_BASE_URL: https://llm.example.com/v1
""",
        """\
# Only whether there is one; and a password that merely sounds like Vault's.
on: push
jobs:
  play:
    runs-on: ubuntu-latest
    env:
      HAS_KEY: ${{ secrets.OPENAI_API_KEY != '' }}
      ANSIBLE_VAULT_PASSWORD: ${{ secrets.ANSIBLE_VAULT_PASSWORD }}
      AZURE_OPENAI_API_KEY: ${{ secrets.AZURE_OPENAI_API_KEY }}
      AZURE_CLIENT_ID: ${{ secrets.AZURE_CLIENT_ID }}
    steps:
      - run: ansible-playbook site.yml
""",
    )

    def check(self, inventory: Inventory) -> Iterator[Finding]:
        """One finding a job and vendor."""
        for record, workflow in workflows(inventory):
            found: dict[tuple[str, str], tuple[Kind, list[Use]]] = {}
            for use in workflow.uses:
                kind = self._kind(workflow, use)
                if kind is not None:
                    found.setdefault((use.job, kind.provider), (kind, []))[1].append(use)
            for (job, _), (kind, uses) in found.items():
                yield self._found(record, workflow, workflow.job(job), kind, uses)

    def _kind(self, workflow: Workflow, use: Use) -> Kind | None:
        if use.tested or use.name in (GITHUB_TOKEN, WHOLE, COMPUTED):
            return None
        job = workflow.job(use.job)
        step = workflow.step(use)
        if use.at == "secrets" and job and job.action and job.action.kind == "local":
            return None  # judged in the workflow that is called
        called = (step.action.name if step and step.action else "", use.key.lower())
        kind = next((each for each in KINDS if called in each.inputs), None) if use.at == "with" else None
        kind = kind or kind_of(use.key if use.at in ("env", "with", "secrets") else "", use.name)
        return None if kind is None or _elsewhere(workflow, job, step, kind) else kind

    def _found(self, record: Record, workflow: Workflow, job: Job | None, kind: Kind, uses: list[Use]) -> Finding:
        who = job.title if job else "every job"
        key = f"{job.id if job else ''} {kind.provider}"
        secrets = names(uses)
        return self.finding(
            record,
            f"{who} gets a static {kind.label} ({secrets}): {kind.vendor} takes the job's identity token",
            location=at(record, uses[0].line),
            confidence=kind.confidence,
            persona=kind.persona,
            evidence=evidence(uses),
            change=_change(workflow, job, kind, uses),
            key=key,
        )


def _elsewhere(workflow: Workflow, job: Job | None, step: Step | None, kind: Kind) -> bool:
    """Whether the credential goes to a server that is not the vendor's."""
    env = workflow.env(job, step)
    for name in kind.endpoints:
        if name in env and not any(host in env[name].lower() for host in kind.own):
            return True
    if kind.provider != "aws" or job is None:
        return False
    steps = job.steps if step is None else (step,)
    inputs = [name.lower() for each in steps for name in mapping(each.data.get("with"))]
    return any("endpoint" in name for name in inputs) or any(_ELSEWHERE.search(each.run) for each in steps)


def _change(workflow: Workflow, job: Job | None, kind: Kind, uses: list[Use]) -> str:
    steps = [step for step in (job.steps if job else ()) if any(use.step == step.number for use in uses)]
    todo = f"lease it with Keylease ({kind.docs}), then delete the secrets {names(uses)}; last, {kind.then}"
    if "workflow_call" in workflow.triggers:
        todo += "; callers must grant id-token: write too"
    if kind.provider == "anthropic" and any(_claude(step) for step in steps):
        return (
            f"the action takes the identity token itself; then delete {names(uses)} and disable the key\n\n"
            + _permissions(workflow, job)
            + "\nwith: # in place of anthropic_api_key\n"
            + "".join(f"  anthropic_{line}\n" for line in kind.settings).rstrip()
        )
    config = "\n".join(f"        {line}" for line in kind.keylease(_known(workflow, job, steps, kind)).splitlines())
    step = "steps: # before the step that needs it\n  - uses: keylease/keylease@v0\n    with:\n      config: |\n"
    return f"{todo}\n\n{_permissions(workflow, job)}\n{step}{config}"


def _claude(step: Step) -> bool:
    return step.action is not None and step.action.name.startswith("anthropics/claude-code-")


def _permissions(workflow: Workflow, job: Job | None) -> str:
    """The job's permissions as they are, with the one that is needed."""
    given: Any = workflow.permissions(job) if job else workflow.data.get("permissions")
    wanted: Mapping[str, Any] = {**mapping(given)} if isinstance(given, dict) else {"contents": "read"}
    lines = [f"  {shown(name)}: {shown(value)}" for name, value in wanted.items() if name != "id-token"]
    return "\n".join(["permissions: # of the job", *lines, "  id-token: write"])


def _known(workflow: Workflow, job: Job | None, steps: list[Step], kind: Kind) -> dict[str, str]:
    """Settings that the workflow names already."""
    if kind.provider != "aws":
        return {}
    given = {name: text_of(value) for step in steps for name, value in mapping(step.data.get("with")).items()}
    env = workflow.env(job)
    region = given.get("aws-region") or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or ""
    found = {"region": region, "role_arn": given.get("role-to-assume") or ""}
    return {name: value for name, value in found.items() if _PLAIN.fullmatch(value) and "secrets" not in value}
