"""Static keys: every provider's YAML is good, and what is nobody's fault is left alone."""

import re
from pathlib import Path

import pytest
import yaml

from keylease.audit.federated import KINDS, Kind, kind_of
from keylease.audit.rules.workflow_static_key import WorkflowStaticKey
from keylease.config.keyleasefile import load_text
from tests.unit.audit.workflow_cases import job, judge

UUID = "4ecd6548-e33b-4b9d-9986-0bd3c22986c6"
FILLED = {  # placeholders that Keylease refuses, as it should
    "ACCOUNT_ID": "111122223333",
    "REGION": "eu-central-1",
    "projects/NUMBER": "projects/123456789012",
    "POOL": "ci-pool",
    "providers/NAME": "providers/github",
    "NAME@PROJECT": "trainer@acme-ml",
    "TENANT_ID": UUID,
    "CLIENT_ID": UUID,
    "SUBSCRIPTION_ID": UUID,
    "FEDERATION_RULE_ID": "fdrl_01SDCCSbTxrXDpWc1phhtcfK",
    "ORGANIZATION_ID": UUID,
    "SERVICE_ACCOUNT_ID": "svac_01SDCCSbTxrXDpWc1phhtcfK",
}


def env(*lines: str) -> str:
    return job("- run: ./go\n  env:\n" + "\n".join(f"    {line}" for line in lines))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.provider)
def test_the_change_is_a_configuration_that_keylease_reads(kind: Kind, tmp_path: Path) -> None:
    name = min(kind.variables)
    (finding,) = judge(WorkflowStaticKey, tmp_path, env(f"{name}: ${{{{ secrets.ANY }}}}"))
    assert finding.persona == kind.persona
    block = yaml.safe_load(finding.change.partition("\n\n")[2])
    assert block["permissions"] == {"contents": "read", "id-token": "write"}
    step = block["steps"][0]
    assert step["uses"].startswith("keylease/keylease@")
    config = re.sub("|".join(FILLED), lambda found: FILLED[found[0]], step["with"]["config"])
    plan = load_text(config, "keylease.yml", {})
    assert [(name, each.type) for name, each in plan.providers.items()] == [(kind.provider, kind.provider)]


@pytest.mark.parametrize(
    ("target", "secret", "provider"),
    [
        ("AWS_ACCESS_KEY_ID", "PROD_KEY", "aws"),
        ("KEY", "PROD_AWS_SECRET_ACCESS_KEY", "aws"),
        ("aws-secret-access-key", "X", "aws"),
        ("AWS_ACCESS_KEY_ID", "MINIO_AWS_ACCESS_KEY_ID", ""),
        ("AWS_ACCESS_KEY_ID", "DO_SPACES_KEY", ""),
        ("role", "AWS_ROLE_ARN", ""),
        ("AWS_REGION", "AWS_REGION", ""),
        ("x", "GCP_SA_KEY", "gcp"),
        ("x", "GCP_PROJECT_ID", ""),
        ("x", "GEMINI_API_KEY", ""),
        ("x", "AZURE_CREDENTIALS_PROD", "azure"),
        ("x", "AZURE_CLIENT_ID", ""),
        ("x", "AZURE_OPENAI_API_KEY", ""),
        ("OPENAI_API_KEY", "DEEPSEEK_KEY", ""),
        ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "openrouter"),
        ("x", "ANSIBLE_VAULT_TOKEN", ""),
        ("VAULT_TOKEN", "T", "vault"),
        ("VAULT_PASSWORD", "VAULT_PASSWORD", ""),
        ("anthropic_api_key", "CLAUDE", "anthropic"),
        ("x", "CLAUDE_CODE_OAUTH_TOKEN", ""),
        ("x", "HUGGINGFACE_TOKEN", "huggingface"),
        ("x", "SHELF_TOKEN", ""),
        ("x", "OPENAI_ORG_ID", ""),
        ("x", "NPM_TOKEN", ""),
    ],
)
def test_whose_it_is(target: str, secret: str, provider: str) -> None:
    kind = kind_of(target, secret)
    assert (kind.provider if kind else "") == provider


def test_one_finding_a_job_and_vendor_with_what_the_workflow_knows(tmp_path: Path) -> None:
    text = job(
        "- uses: aws-actions/configure-aws-credentials@v4\n"
        "  with:\n"
        "    aws-access-key-id: ${{ secrets.A }}\n"
        "    aws-secret-access-key: ${{ secrets.B }}\n"
        "    aws-region: eu-north-1\n"
        "    role-to-assume: arn:aws:iam::111122223333:role/x\n",
        job="permissions:\n  packages: write",
    )
    (finding,) = judge(WorkflowStaticKey, tmp_path, text)
    assert "A, B" in finding.message
    assert finding.location is not None
    assert finding.location.line == 10
    assert "region: eu-north-1" in finding.change
    assert "role_arn: arn:aws:iam::111122223333:role/x" in finding.change
    assert "  packages: write\n  id-token: write" in finding.change


@pytest.mark.parametrize(
    "text",
    [
        env("AWS_ACCESS_KEY_ID: ${{ secrets.KEY }}", "AWS_ENDPOINT_URL: https://s3.example.com"),
        env("OPENAI_API_KEY: ${{ secrets.KEY }}", "OPENAI_BASE_URL: ${{ vars.LLM }}"),
        env("HF_TOKEN: ${{ secrets.KEY }}", "HF_ENDPOINT: https://hub.example.com"),
        env(
            "OPENAI_API_KEY: ${{ vars.KEY }}",
            "VAULT_TOKEN: ${{ steps.a.outputs.b }}",
            "AWS_ACCESS_KEY_ID: x",
        ),
        env("SKIP: ${{ secrets.OPENAI_API_KEY == '' && 'yes' }}"),
        job("- run: aws s3 ls --endpoint-url https://r2.example\n  env: {AWS_ACCESS_KEY_ID: '${{ secrets.K }}'}"),
        "on: push\njobs:\n  a:\n    uses: ./.github/workflows/b.yml\n    secrets: {VAULT_TOKEN: '${{ secrets.K }}'}\n",
    ],
)
def test_nobody_there_takes_an_identity_token(text: str, tmp_path: Path) -> None:
    assert judge(WorkflowStaticKey, tmp_path, text) == []


def test_the_vendors_own_address_changes_nothing(tmp_path: Path) -> None:
    text = env("OPENAI_API_KEY: ${{ secrets.KEY }}", "OPENAI_BASE_URL: https://api.openai.com/v1")
    assert len(judge(WorkflowStaticKey, tmp_path, text)) == 1


def test_claudes_own_action_takes_the_token_itself(tmp_path: Path) -> None:
    text = job(
        "- uses: anthropics/claude-code-action@v1\n  with: {anthropic_api_key: '${{ secrets.ANTHROPIC_API_KEY }}'}"
    )
    (finding,) = judge(WorkflowStaticKey, tmp_path, text)
    assert "  anthropic_federation_rule_id: FEDERATION_RULE_ID" in finding.change
    assert "keylease/keylease" not in finding.change
